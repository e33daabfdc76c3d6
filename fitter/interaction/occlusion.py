"""Who stands in front of whom: hands of a group drawn into each other's crops."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from fitter.camera import project
from fitter.interaction.coupling import to_other
from fitter.raster import Fragments, MeshTopology, rasterize
from fitter.records import TensorBatch

SAMPLES = 48
"""Pixels at most that say of two hands which is nearer. # not published"""

_LEAST_SAID = 0.25
"""Difference of two hands' shares of a pixel below which masks do not say whose it is.
# not published"""


@dataclass(frozen=True)
class DrawnPairs:
    """P times two hands in the crop of the first, S x S pixels.

    Attributes:
        own: fragments of the first; other: of the second.
    """

    own: Fragments
    other: Fragments

    @property
    def overlap(self) -> Tensor:
        """(P, S, S) bool: pixels in which both hands lie."""
        return self.own.mask & self.other.mask


@dataclass(frozen=True)
class DepthOrder(TensorBatch):
    """Pixels of P pairs in which it is known which hand is nearer; K places a pair.

    Points are attached to both surfaces: they move with the hands.

    Attributes:
        near_first: (P, K) bool, the first hand is.
        weight: (P, K) their sum is at most one a pair; 0 at places without a pixel.
        first, second: (P, K, 3) int64 vertices of the face that shows there.
        first_share, second_share: (P, K, 3) barycentrics in it.
    """

    near_first: Tensor
    weight: Tensor
    first: Tensor
    second: Tensor
    first_share: Tensor
    second_share: Tensor


def draw_pairs(
    topology: MeshTopology, own: Tensor, other: Tensor, intrinsics: Tensor, side: int
) -> DrawnPairs:
    """Draw P pairs of hands.

    Args:
        topology: of the mesh of both.
        own: (P, V, 3) metres, the first hand, in its own frame.
        other: (P, V, 3) the second, in the first's frame.
        intrinsics: (P, 3, 3) K of the first's crop.
        side: S, pixels.
    """

    def drawn(vertices: Tensor) -> Fragments:
        screen = torch.cat([project(vertices, intrinsics), vertices[..., 2:]], -1)
        return rasterize(screen, topology, (side, side))

    return DrawnPairs(drawn(own), drawn(other))


def hidden_by_other(drawn: DrawnPairs) -> Tensor:
    """(P, S, S) bool: pixels in which the second hand stands in front of the first, as drawn.

    Beside its silhouette the first hand's depth is that of its nearest pixel: where the second one
    is farther away there, the first hand's outline is seen against it.
    """
    own, other = drawn.own, drawn.other
    beyond = [
        _spread(depth, mask)
        for depth, mask in zip(own.depth.cpu().numpy(), own.mask.cpu().numpy(), strict=True)
    ]
    nearest = torch.as_tensor(np.stack(beyond)).to(own.depth)
    return other.mask & (other.depth < nearest)


def _spread(depth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(S, S) depth where there is some, elsewhere that of the nearest such pixel; infinite where
    there is none at all."""
    if not mask.any():
        return np.full_like(depth, np.inf)
    _, label = cv2.distanceTransformWithLabels(
        (~mask).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    by_label = np.zeros(label.max() + 1, depth.dtype)
    by_label[label[mask]] = depth[mask]
    found: np.ndarray = by_label[label]
    return found


def depth_order(
    drawn: DrawnPairs, faces: Tensor, own_share: Tensor, other_share: Tensor
) -> DepthOrder:
    """Pixels of the overlap that one mask claims more than the other.

    Args:
        drawn: P pairs in the first's crop.
        faces: (F, 3) of the mesh.
        own_share: (P, S, S) in [0, 1], how likely a pixel shows the first hand, by its mask; NaN
            where nothing is said.
        other_share: (P, S, S) the second, by its own mask, in the same pixels.
    """
    said = (own_share - other_share).nan_to_num()
    counts = drawn.overlap & (said.abs() >= _LEAST_SAID)
    place, used = _evenly(counts.flatten(1), SAMPLES)

    def at(values: Tensor) -> Tensor:
        flat = values.flatten(1, 2)
        index = place.view(*place.shape, *[1] * (flat.ndim - 2)).expand(-1, -1, *flat.shape[2:])
        return flat.gather(1, index)

    told = at(said)
    share = used / used.sum(1, keepdim=True).clamp_min(1)
    return DepthOrder(
        near_first=told > 0,
        weight=(share * told.abs()).double(),
        first=faces[at(drawn.own.face_index).clamp_min(0).long()],
        second=faces[at(drawn.other.face_index).clamp_min(0).long()],
        first_share=at(drawn.own.barycentrics),
        second_share=at(drawn.other.barycentrics),
    )


def _evenly(counts: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """(P, K) pixels spread evenly over those of (P, N) that count, and (P, K) bool whether each is
    one; no host waits for any device."""
    total = counts.sum(1, keepdim=True)
    rank = counts.cumsum(1) - 1
    wanted = torch.arange(most, device=counts.device).expand(len(counts), -1)
    # Of more than there are places every (total / most)-th.
    number = torch.where(total > most, wanted * total // most, wanted)
    used = number < total
    ranks = torch.where(counts, rank, -1)
    # Ranks ascend along the row, so that the pixel of a rank is found by bisection.
    place = torch.searchsorted(rank.contiguous(), number.contiguous())
    place = place.clamp_max(counts.shape[1] - 1)
    return place, used & (ranks.gather(1, place) == number)


def seen_in_other_crop(
    share: Tensor, intrinsics: Tensor, other_intrinsics: Tensor, differ: Tensor
) -> Tensor:
    """(P, S, S) what the second hand's mask says of the pixels of the first's crop; NaN beyond it.

    Args:
        share: (P, S, S) in the second's crop.
        intrinsics: (P, 3, 3) K of the first's crop.
        other_intrinsics: (P, 3, 3) K of the second's.
        differ: (P,) bool, their sides do, so that one crop is mirrored.
    """
    side = share.shape[-1]
    line = torch.arange(side, device=share.device, dtype=torch.float64) + 0.5
    y, x = torch.meshgrid(line, line, indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)], -1).view(1, -1, 3)
    rays = pixels @ torch.linalg.inv(intrinsics.double()).mT
    there = to_other(differ, rays) @ other_intrinsics.double().mT
    place = there[..., :2] / there[..., 2:]
    inside = ((place >= 0) & (place <= side)).all(-1).view_as(share)
    grid = (2 * place / side - 1).view(len(share), side, side, 2).to(share)
    sampled = torch.nn.functional.grid_sample(
        share[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return torch.where(inside, sampled[:, 0], torch.nan)
