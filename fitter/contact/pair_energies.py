"""How far closed meshes are in each other, and how near they come: energies of B pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from fitter.contact.contact_points import contacts
from fitter.contact.grid import DistanceGrid
from fitter.contact.records import Surface

PenetrationForm = Literal["printed", "squared", "grid"]
"""See `penetration`."""


def penetration(first: Surface, second: Surface, form: PenetrationForm = "printed") -> Tensor:
    """How far two closed meshes are in each other, over both directions.

    Yu et al., CVPR 2023, eq. 6, with ``dist`` the distance to the other surface:

    - `printed`: the mean of ``dist`` over a mesh's vertices inside the other, 0 for none (that is
      not published); the sum of both. A vertex that goes in lowers it at first.
    - `grid`: the same with ``phi`` of eq. 5 on 32^3 cells in the place of ``dist`` and of inside:
      the exact distance is faster, and differentiable in the other mesh's shape.
    - `squared`: ``dist^2`` summed over the vertices inside, over the number of all; ours, not
      published. It and its gradient are continuous, and it is a sum of squares.

    Args:
        first: B closed meshes.
        second: B closed meshes, of the same or of other triangles.
        form: see above.

    Returns:
        (B,) metres, or metres squared; 0 for meshes that are apart, NaN where one is not finite.
        Differentiable in both meshes' vertices.

    Raises:
        ValueError: a shape or the form is another one.
        InputError: `contact.open`, a mesh has an open edge.
    """
    if form not in _FORMS:
        raise ValueError(f"form must be one of {', '.join(_FORMS)}, got {form!r}")
    one_way = _FORMS[form]
    total = one_way(first, second) + one_way(second, first)
    return total.to(first.vertices.dtype)


def attraction(first: Surface, second: Surface, reach: float) -> Tensor:
    """How far the surfaces of two meshes are apart where they nearly touch; ours, not published.

    ``rho(gap)`` summed over the vertices outside the other mesh, over the number of all, and added
    up over both directions; rho is Tukey's biweight ``r^2 / 6 (1 - (1 - (gap / r)^2)^3)`` less its
    largest value r^2 / 6 (Beaton and Tukey, "The fitting of power series", 1974): near the surface
    half the gap's square, and from `reach` on without a pull. Vertices inside the other mesh count
    as touching; to push them out is for `penetration`.

    Args:
        first: B closed meshes.
        second: B closed meshes.
        reach: r, metres.

    Returns:
        (B,) metres squared, from -r^2 / 3 where all vertices touch up to 0 where none is near; NaN
        where a mesh is not finite. Differentiable in both meshes' vertices.

    Raises:
        ValueError: a shape is another one, or `reach` is not positive.
        InputError: `contact.open`, a mesh has an open edge.
    """
    if not reach > 0:
        raise ValueError(f"reach must be positive, got {reach}")

    def one_way(one: Surface, other: Surface) -> Tensor:
        near = contacts(one, other, reach)
        return near.sum(biweight(near.gap, reach)[0]) / near.vertices_count

    return (one_way(first, second) + one_way(second, first)).to(first.vertices.dtype)


def biweight(gap: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Tukey's biweight of gaps less its value far away (Beaton and Tukey, "The fitting of power
    series", 1974): ``-(r^2 / 6) (1 - (gap / r)^2)^3``, 0 from r on; inside the constant of a gap
    of 0.

    Args:
        gap: of any shape, metres, negative inside.
        reach: r, metres.

    Returns:
        The loss, metres squared, and its weight rho' as of least squares: the derivative of the
        loss is ``2 weight gap``.
    """
    left = (1 - (gap.clamp_min(0) / reach).square()).clamp_min(0)
    return -(left**3) * reach**2 / 6, torch.where(gap > 0, left.square() / 2, 0.0)


def _printed(one: Surface, other: Surface) -> Tensor:
    inside = contacts(one, other, 0.0)
    count = torch.bincount(inside.pair, minlength=inside.batch)
    return inside.sum(-inside.gap) / count.clamp_min(1)


def _squared(one: Surface, other: Surface) -> Tensor:
    inside = contacts(one, other, 0.0)
    return inside.sum(inside.gap.square()) / inside.vertices_count


def _on_grid(one: Surface, other: Surface) -> Tensor:
    depth = DistanceGrid.of(other).inside_depth(one.vertices).double()
    # NaN is not above 0 and counts all the same.
    count = (~(depth <= 0)).sum(1)
    return depth.sum(1) / count.clamp_min(1)


_FORMS: Mapping[PenetrationForm, Callable[[Surface, Surface], Tensor]] = {
    "printed": _printed,
    "squared": _squared,
    "grid": _on_grid,
}
