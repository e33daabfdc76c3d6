"""Which keypoints of a fitted hand are seen: by its mesh, masks, other hands and a network.

Each says a probability. The causes that hide a keypoint are independent, so what the mesh, masks,
other hands and the image's border say is multiplied; a network that sees the image judges all of
them at once, and `combined` puts its answer beside theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from fitter.camera import SquareCrop, crop_intrinsics, project
from fitter.hand_models import HandModel
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.raster import MeshTopology, rasterize
from fitter.records import HandParams
from fitter.store.schema import HandRow

SIDE = 128
"""Side in pixels of the square in which meshes are rendered."""

BORDER = 0.1
"""What that square adds on each side to the hand's own, whose side is 1."""

CLEARANCE = 0.004
"""Metres of skin in front of a keypoint beyond its distance to the skin that still is its own."""

DEPTH_STD = 0.004
"""Metres by which a fitted hand's surface lies too near or too far beside its own keypoints."""

POSITION_STD = 2.5
"""Pixels of the square by which keypoints miss their true place."""

HANDS_STD = 0.02
"""Metres by which two fitted hands lie too near or too far beside each other."""

FLESH = 0.3
"""Of the longer side of a hand's box, by which its mesh may reach beyond its keypoints."""

LEAST = 0.01
"""Nothing is surer than this: probabilities are kept in [LEAST, 1 - LEAST]."""

_REACH = 3
"""Pixels around a keypoint that are looked at."""


@dataclass(frozen=True)
class VisibilityModel:
    """A right-hand model with what its keypoints' visibility needs.

    Attributes:
        hand: float32.
        topology: of its mesh.
        tolerance: (21,) metres of flesh that may lie in front of each keypoint.
    """

    hand: HandModel
    topology: MeshTopology
    tolerance: Tensor

    @classmethod
    def of(cls, hand: HandModel) -> Self:
        """For a right-hand model, float32."""
        return cls(hand, MeshTopology(hand.faces), flesh(hand))


def flesh(hand: HandModel) -> Tensor:
    """(21,) metres of skin that may lie in front of each keypoint without hiding it: at rest its
    distance to the nearest vertex, which is more where the hand is turned sideways."""
    still = hand.v_template.new_zeros(1, 3)
    betas = hand.v_template.new_zeros(1, hand.joint_shapedirs.shape[-1])
    params = HandParams(still, still.expand(hand.skeleton.rotations, 3)[None], betas, still)
    keypoints = pose_keypoints(hand.keypoint_model(), params)[1]
    return 1.6 * torch.cdist(keypoints[0], hand.v_template).amin(1) + CLEARANCE


def mesh_visibility(
    model: VisibilityModel, params: HandParams, intrinsics: Tensor, offsets: Tensor | None = None
) -> Tensor:
    """(B, 21) probability that a hand does not hide its own keypoint.

    Args:
        model: of right hands.
        params: of B right hands.
        intrinsics: (B, 3, 3) K that maps each hand's square to [0, 1], see `NormalisedHands`.
        offsets: (B, V, 3) metres, added to the vertices; None for none.
    """
    mesh = model.hand(params.to(torch.float32))
    vertices = mesh.vertices if offsets is None else mesh.vertices + offsets
    K = in_square(intrinsics.to(vertices))
    return unhidden(model.topology, vertices, mesh.keypoints, K, (model.tolerance, DEPTH_STD))


def in_square(intrinsics: Tensor) -> Tensor:
    """K (B, 3, 3) that maps to [0, 1] as one that maps to the pixels of the rendered square."""
    scale = SIDE / (1 + 2 * BORDER)
    to_square = intrinsics.new_tensor(
        [[scale, 0, scale * BORDER], [0, scale, scale * BORDER], [0, 0, 1]]
    )
    return to_square @ intrinsics


def unhidden(
    topology: MeshTopology,
    vertices: Tensor,
    keypoints: Tensor,
    K: Tensor,
    depths: tuple[Tensor | float, float],
) -> Tensor:
    """(B, 21) probability that no mesh lies in front of a keypoint.

    At a pixel the surface hides the keypoint with probability ``sigmoid((z_k - t_k - z) / s)``, z
    the surface's depth, z_k the keypoint's, t_k the flesh that is its own, s the depth's standard
    deviation times ``sqrt(3) / pi``, with which the logistic distribution has that of a Gaussian.
    The pixels around the keypoint are weighted by a Gaussian: where it is drawn to is uncertain.

    Args:
        topology: of the meshes.
        vertices: (B, V, 3) metres, camera frame.
        keypoints: (B, 21, 3) metres, camera frame.
        K: (B, 3, 3) pixels of a square of side `SIDE`.
        depths: (21,) metres or one number, `t`, and the standard deviation, metres.
    """
    tolerance, std = depths
    screen = torch.cat([project(vertices, K), vertices[..., 2:]], -1)
    seen = rasterize(screen, topology, (SIDE, SIDE))
    surface = torch.where(seen.mask, seen.depth, torch.inf).flatten(1)
    steps = torch.arange(-_REACH, _REACH + 1, device=K.device)
    around = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).flatten(0, 1)
    weight = (-0.5 * around.to(K).square().sum(-1) / POSITION_STD**2).exp()
    place = project(keypoints, K)[:, :, None].floor().nan_to_num() + around
    inside = ((place >= 0) & (place < SIDE)).all(-1)
    place = place.clamp(0, SIDE - 1).long()
    depth = surface.gather(1, (place[..., 1] * SIDE + place[..., 0]).flatten(1))
    depth = torch.where(inside, depth.view(inside.shape), torch.inf)
    own = (keypoints[..., 2] - tolerance)[..., None]
    hidden = ((own - depth) * (torch.pi / (3**0.5 * std))).sigmoid()
    return 1 - (hidden * weight).sum(-1) / weight.sum()


@dataclass(frozen=True)
class SceneHand:
    """One fitted hand of an image.

    Attributes:
        vertices: (V, 3) metres, camera frame.
        faces: (F, 3).
        keypoints: (21, 3) metres, camera frame.
        positions: (21, 2) their projection, pixels of the image.
    """

    vertices: np.ndarray
    faces: np.ndarray
    keypoints: np.ndarray
    positions: np.ndarray

    @classmethod
    def of(cls, row: HandRow, vertices: np.ndarray, faces: np.ndarray) -> Self:
        """A fitted hand with its mesh."""
        assert row.keypoints_3d is not None and row.keypoints_2d is not None
        return cls(vertices, faces, row.keypoints_3d, row.keypoints_2d)

    def touches(self, other: SceneHand) -> bool:
        """Whether the boxes around both hands' keypoints, widened by flesh, overlap."""
        low, high = zip(*(_wide_box(hand.positions) for hand in (self, other)), strict=True)
        return bool((np.maximum(*low) <= np.minimum(*high)).all())


def _wide_box(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = positions.min(0), positions.max(0)
    flesh_width = FLESH * (high - low).max()
    return low - flesh_width, high + flesh_width


def behind_others(hands: Sequence[SceneHand], intrinsics: np.ndarray) -> np.ndarray:
    """(H, 21) probability that no other fitted hand of the image hides a keypoint.

    Args:
        hands: H of one image.
        intrinsics: (3, 3) K of the image.
    """
    free = np.ones((len(hands), 21), np.float32)
    K = torch.as_tensor(intrinsics, dtype=torch.float64)[None]
    for place, hand in enumerate(hands):
        window = SquareCrop.around(
            torch.as_tensor(hand.positions, dtype=torch.float64)[None], 1 + 2 * BORDER, SIDE
        )
        points = torch.as_tensor(hand.keypoints, dtype=torch.float64)[None]
        for other in (*hands[:place], *hands[place + 1 :]):
            if not hand.touches(other):
                continue
            vertices = torch.as_tensor(other.vertices, dtype=torch.float64)[None]
            topology = MeshTopology(torch.as_tensor(np.ascontiguousarray(other.faces)))
            found = unhidden(
                topology, vertices, points, crop_intrinsics(K, window), (0.0, HANDS_STD)
            )
            free[place] *= found[0].numpy()
    return free


def mask_visibility(mask: np.ndarray, weight: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(21,) probability that a mask does not deny a hand's keypoints.

    Where a mask that is believed says that nothing near the keypoint is this hand, something else
    lies there: a held object, another hand.

    Args:
        mask: (S, S) in [0, 1], share of the pixel that shows this hand.
        weight: (S, S) in [0, 1], how far the mask is to be believed.
        positions: (21, 2) pixels of the mask.
    """
    side = len(mask)
    reach = max(1, round(side / 64))
    denied = weight * (1 - mask)
    cells = np.floor(positions).astype(int)
    inside = ((cells >= 0) & (cells < side)).all(axis=1)
    found = np.ones(len(positions))
    for number in np.flatnonzero(inside):
        x, y = cells[number]
        low = (max(y - reach, 0), max(x - reach, 0))
        found[number] -= denied[low[0] : y + reach + 1, low[1] : x + reach + 1].min()
    return found


def inside_image(positions: Tensor, sizes: Tensor) -> Tensor:
    """(B, 21) bool: positions (B, 21, 2) lie in images of width and height (B, 2), pixels."""
    return ((positions >= 0) & (positions <= sizes[:, None])).all(-1)


def combined(fitted: Tensor, network: Tensor) -> Tensor:
    """(B, 21) what the fit and a network say together: the mean of their log-odds.

    The logarithmic opinion pool (Genest, Zidek, "Combining probability distributions", 1986) with
    equal weights: each errs in its own way, and neither is believed without the other. Where the
    network says nothing (NaN) the fit speaks alone.

    Args:
        fitted: (B, 21) in [0, 1].
        network: (B, 21) in [0, 1], or NaN.
    """
    fitted = fitted.clamp(LEAST, 1 - LEAST)
    both = 0.5 * (fitted.logit() + network.clamp(LEAST, 1 - LEAST).logit())
    return torch.where(network.isnan(), fitted, both.sigmoid())
