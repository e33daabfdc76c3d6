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
"""Pixels at most that say of two hands which is nearer, or how near they are. # not published"""

BESIDE = 0.04
"""Share of the crop's side within which the outlines of two hands beside each other are taken for
touching in the picture. # not published"""

_LEAST_SAID = 0.25
"""Difference of two hands' shares of a pixel below which masks do not say whose it is.
# not published"""


@dataclass(frozen=True)
class DrawnPairs:
    """P times two hands in the crop of the first, S x S pixels.

    Attributes:
        own: fragments of the first; other: of the second.
        nearest: (P, S, S) int64 the first's pixel that is nearest to each, itself where the first
            is drawn there; row by row.
        apart: (P, S, S) how far that is, pixels; infinite where the first is drawn nowhere.
    """

    own: Fragments
    other: Fragments
    nearest: Tensor
    apart: Tensor

    @property
    def own_depth(self) -> Tensor:
        """(P, S, S) metres, of the first's nearest pixel; infinite where it is drawn nowhere."""
        depth = self.own.depth.flatten(1).gather(1, self.nearest.flatten(1))
        return torch.where(self.apart.isfinite(), depth.view_as(self.apart), torch.inf)


@dataclass(frozen=True)
class SeenPoints(TensorBatch):
    """K pixels of each of P pairs with a point of both hands' surfaces, which moves with the hands.

    Attributes:
        weight: (P, K) their sum is at most one a pair; 0 at places without a pixel.
        near_first: (P, K) bool, the picture says that the first hand is nearer.
        first, second: (P, K, 3) int64 vertices of the face that shows there.
        first_share, second_share: (P, K, 3) barycentrics in it.
    """

    weight: Tensor
    near_first: Tensor
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

    if len(own) == 0:
        nothing = torch.zeros(0, side, side, dtype=torch.int64, device=own.device)
        return DrawnPairs(drawn(own), drawn(other), nothing, nothing.to(own))
    first = drawn(own)
    found = [_nearest(mask) for mask in first.mask.cpu().numpy()]
    nearest, apart = (
        torch.as_tensor(np.stack(x), device=own.device) for x in zip(*found, strict=True)
    )
    return DrawnPairs(first, drawn(other), nearest, apart.to(own))


def hidden_by_other(drawn: DrawnPairs) -> Tensor:
    """(P, S, S) bool: pixels in which the second hand stands in front of the first, as drawn.

    Beside its silhouette the first hand's depth is that of its nearest pixel: where the second one
    is farther away there, the first hand's outline is seen against it.
    """
    return drawn.other.mask & (drawn.other.depth < drawn.own_depth)


def _nearest(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(S, S) int64 nearest pixel of the mask, row by row, and (S, S) float32 its distance."""
    if not mask.any():
        return np.zeros(mask.shape, np.int64), np.full(mask.shape, np.inf, np.float32)
    distance, label = cv2.distanceTransformWithLabels(
        (~mask).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    pixel = np.zeros(label.max() + 1, np.int64)
    pixel[label[mask]] = np.flatnonzero(mask)
    return pixel[label], distance


def points_in_order(
    drawn: DrawnPairs, faces: Tensor, own_share: Tensor, other_share: Tensor
) -> SeenPoints:
    """Pixels of the overlap that one mask claims more than the other.

    Args:
        drawn: P pairs in the first's crop.
        faces: (F, 3) of the mesh.
        own_share: (P, S, S) in [0, 1], how likely a pixel shows the first hand, by its mask; NaN
            where nothing is said.
        other_share: (P, S, S) the second, by its own mask, in the same pixels.
    """
    said = (own_share - other_share).nan_to_num()
    overlap = drawn.own.mask & drawn.other.mask
    return _points(drawn, faces, overlap & (said.abs() >= _LEAST_SAID), said)


def points_beside(drawn: DrawnPairs, faces: Tensor) -> SeenPoints:
    """Pixels of the second hand on the first or right beside it, with the first's nearest pixel."""
    close = drawn.other.mask & (drawn.apart <= BESIDE * drawn.apart.shape[-1])
    return _points(drawn, faces, close, torch.ones_like(drawn.apart))


def _points(drawn: DrawnPairs, faces: Tensor, counts: Tensor, said: Tensor) -> SeenPoints:
    """Some of the pixels that count, (P, S, S) bool, each weighted by how much is said there,
    positive of the first hand."""
    place, used = _evenly(counts.flatten(1), SAMPLES)
    own_place = drawn.nearest.flatten(1).gather(1, place)

    def at(values: Tensor, place: Tensor) -> Tensor:
        flat = values.flatten(1, 2)
        index = place.view(*place.shape, *[1] * (flat.ndim - 2)).expand(-1, -1, *flat.shape[2:])
        return flat.gather(1, index)

    told = at(said, place)
    share = used / used.sum(1, keepdim=True).clamp_min(1)
    return SeenPoints(
        weight=(share * told.abs()).double(),
        near_first=told > 0,
        first=faces[at(drawn.own.face_index, own_place).clamp_min(0).long()],
        second=faces[at(drawn.other.face_index, place).clamp_min(0).long()],
        first_share=at(drawn.own.barycentrics, own_place),
        second_share=at(drawn.other.barycentrics, place),
    )


def _evenly(counts: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """(P, K) pixels spread evenly over those of (P, N) that count, and (P, K) bool whether each is
    one; no host waits for any device."""
    total = counts.sum(1, keepdim=True)
    rank = counts.cumsum(1) - 1
    wanted = torch.arange(most, device=counts.device).expand(len(counts), -1)
    # Of more than there are places every (total / most)-th.
    number = torch.where(total > most, wanted * total // most, wanted)
    # Ranks ascend along the row, so that the first pixel of a rank is found by bisection.
    place = torch.searchsorted(rank.contiguous(), number.contiguous())
    return place.clamp_max(counts.shape[1] - 1), number < total


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
