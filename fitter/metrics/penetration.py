"""How far two hands, or a hand and a thing, are in each other, and whether they touch where they
should."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fitter.contact import DistanceGrid, Surface, contacts
from fitter.metrics.points import point_errors


class PenetrationDepths(NamedTuple):
    """Depths of the vertices of B pairs of meshes inside the other mesh, both ways together.

    Attributes:
        average: (B,) mean depth over the vertices of both meshes, those outside with depth 0: A-PD.
        average_inside: (B,) the same over the vertices inside alone; 0 where there is none.
        maximum: (B,) depth of the deepest vertex, 0 where none is inside: M-PD.
        inside: (B,) number of vertices inside.
    """

    average: np.ndarray
    average_inside: np.ndarray
    maximum: np.ndarray
    inside: np.ndarray


def penetration_depth(first: Surface, second: Surface, cells: int | None = 32) -> PenetrationDepths:
    """A-PD and M-PD of Yu et al., CVPR 2023, section 4.3.

    There a vertex's depth is read from the other mesh's grid of 32^3 cells (eq. 5). Over which
    vertices they average is not published; that their A-PD is a seventeenth of their M-PD speaks
    for all vertices. Grids lose depth where a part is thinner than a few cells: both hands of a
    table have to be measured one way.

    Args:
        first: B closed meshes.
        second: B closed meshes.
        cells: of the grid along each axis; None for exact depths.

    Returns:
        In the unit of the vertices; NaN for a pair that is not finite, whose `inside` is 0.

    Raises:
        ValueError: a shape is another one.
        InputError: `contact.open`, a mesh has an open edge.
    """
    with torch.no_grad():
        depths = torch.cat(
            [_depths(one, other, cells) for one, other in ((first, second), (second, first))], 1
        )
    depth = depths.cpu().numpy()
    inside = (depth > 0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        total = depth.sum(axis=1)
    return PenetrationDepths(
        total / depth.shape[1], total / np.maximum(inside, 1), depth.max(axis=1), inside
    )


class ContactScores(NamedTuple):
    """Whether B pairs of meshes touch where they should.

    Attributes:
        precision: (B,) share of the vertices said to touch that do; NaN where none is said to.
        recall: (B,) share of the vertices that touch which are said to; NaN where none does.
    """

    precision: np.ndarray
    recall: np.ndarray


def contact_scores(
    estimate: tuple[Surface, Surface], truth: tuple[Surface, Surface], threshold: float = 0.003
) -> ContactScores:
    """Precision and recall of contact, by the vertices of both meshes of a pair.

    A vertex touches where it is inside the other mesh or no further than the threshold from it.

    Args:
        estimate: B pairs.
        truth: the same of the same triangles.
        threshold: in the unit of the vertices; 3 mm for metres.

    Returns:
        NaN for a pair that is not finite.

    Raises:
        ValueError: a shape is another one.
        InputError: `contact.open`, a mesh has an open edge.
    """
    said, said_broken = _touching(estimate, threshold)
    true, true_broken = _touching(truth, threshold)
    if said.shape != true.shape:
        raise ValueError(f"expected estimates of shape {true.shape}, found {said.shape}")
    right = (said & true).sum(axis=1).astype(float)
    right[said_broken | true_broken] = np.nan
    return ContactScores(_share(right, said.sum(axis=1)), _share(right, true.sum(axis=1)))


def relative_place_error(
    estimate: tuple[np.ndarray, np.ndarray], truth: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """How far one hand is misplaced as seen from the other: the distance between the estimated and
    the true vector from one wrist to the other.

    Args:
        estimate: wrists of the first hands and of the second, (B, 3) each, one frame.
        truth: likewise.

    Returns:
        (B,) in their unit.
    """
    (first, second), (true_first, true_second) = estimate, truth
    return point_errors(
        np.asarray(second, float) - np.asarray(first, float),
        np.asarray(true_second, float) - np.asarray(true_first, float),
    )


def _depths(one: Surface, other: Surface, cells: int | None) -> Tensor:
    """(B, V) float64 depths of one mesh's vertices in the other, 0 outside."""
    vertices = one.vertices.double()
    if cells is not None:
        depth = DistanceGrid.of(other, cells).inside_depth(vertices)
        broken = ~vertices.isfinite().flatten(1).all(1)
    else:
        near = contacts(one, other, 0.0)
        depth = vertices.new_zeros(vertices.shape[:2])
        depth[near.pair, near.vertex] = -near.gap
        broken = near.broken
    return torch.where(broken[:, None], torch.nan, depth)


def _touching(pair: tuple[Surface, Surface], threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """(B, V + W) bool of the vertices of both meshes, and (B,) bool of pairs not finite."""
    parts, broken = [], np.zeros(len(pair[0].vertices), bool)
    for one, other in (pair, pair[::-1]):
        near = contacts(one, other, threshold)
        touching = torch.zeros(one.vertices.shape[:2], dtype=torch.bool)
        touching[near.pair.cpu(), near.vertex.cpu()] = True
        parts.append(touching.numpy())
        broken |= near.broken.cpu().numpy()
    return np.concatenate(parts, axis=1), broken


def _share(count: np.ndarray, total: np.ndarray) -> np.ndarray:
    return np.divide(count, total, out=np.full(len(count), np.nan), where=total > 0)
