"""Hands that stay in known objects: begun anew along their lines of sight, before and behind.

A surface that is deep in another one is drawn to all of its sides at once, and the hand stays where
it is, whatever penetration weighs. How far a hand is away is what an image says least of, so that
is what is tried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from fitter.camera import project
from fitter.contact import Surface, contacts
from fitter.energies.known_objects import KnownObjects
from fitter.raster import rasterize
from fitter.records import HandParams
from fitter.refinement.least_squares import LeastSquaresObjective
from fitter.refinement.things import hidden_by_thing
from fitter.solvers import SolverResult
from fitter.solvers.states import map_tensors, select

DEEP = 0.002
"""Metres in its objects from which on a hand is begun anew. # not published"""

SHIFTS = (-0.06, -0.04, -0.02, 0.02, 0.04, 0.06)
"""Metres along its line of sight from which it is fitted again. # not published"""

Solve = Callable[[LeastSquaresObjective, HandParams], SolverResult[HandParams]]
"""A stage's solver: what it minimises, and where it begins."""


def out_of_objects(
    problem: LeastSquaresObjective, result: SolverResult[HandParams], solve: Solve
) -> SolverResult[HandParams]:
    """A stage's hands, of which those that are still more than `DEEP` in their objects are fitted
    again from each of `SHIFTS`. What costs least is kept, where a pixel of the silhouette in which
    an object stands in front shows no hand: an image says so who is in front.

    Args:
        problem: of B hands and the objects known of their images.
        result: of the stage.
        solve: the stage's solver.
    """
    objects = problem.task.objects
    if objects is None:
        return result
    vertices = _vertices(problem, result.params)
    deep = _depths(objects, vertices).nan_to_num() > DEEP
    stuck = deep.nonzero().flatten()
    if len(stuck) == 0:
        return result
    middle = vertices[stuck].mean(1)
    shifts = torch.tensor(SHIFTS).to(middle)
    # 1 in z: moved by it, a hand stays where it is in the image.
    moves = shifts[:, None] * (middle / middle[:, 2:])[:, None]
    again = stuck.repeat_interleave(len(shifts))
    start = result.params[again]
    start = replace(start, transl=start.transl + moves.flatten(0, 1).to(start.transl))
    before, after = select(result, stuck), solve(problem.select(again), start)
    tried = map_tensors(lambda *parts: torch.cat(parts), before, after)
    cost = tried.cost + _hidden_cost(problem.select(torch.cat([stuck, again])), tried.params)
    by_hand = [part.view(len(stuck), -1) for part in cost.tensor_split([len(stuck)])]
    best = torch.cat(by_hand, 1).nan_to_num(torch.inf).argmin(1)
    first = torch.arange(len(stuck), device=best.device)
    place = torch.where(best == 0, first, len(stuck) + first * len(shifts) + best - 1)
    return result.with_rows(stuck, select(tried, place))


def _vertices(problem: LeastSquaresObjective, hands: HandParams) -> Tensor:
    """(B, V, 3) metres."""
    offsets, model = problem.offsets, problem.task.model
    hands = problem.task.targets.known.sized(model.fit.size, hands)
    return model.hand(hands.to(offsets.dtype)).vertices + offsets


def _depths(objects: KnownObjects, vertices: Tensor) -> Tensor:
    """(B,) metres, how deep hands (B, V, 3) are in their objects, summed over objects."""

    def deepest(hand: Surface, thing: Surface) -> Tensor:
        gaps = [contacts(one, other, 0.0).gap for one, other in ((hand, thing), (thing, hand))]
        return torch.cat([*gaps, gaps[0].new_zeros(1)]).amin()[None].neg()

    return objects.total(vertices, deepest)


def _hidden_cost(problem: LeastSquaresObjective, hands: HandParams) -> Tensor:
    """(B,) what `silhouette_l2` costs more where pixels in which a hand is drawn behind an object
    of its own count as none of the hand's: ``mask^2`` in place of ``(1 - mask)^2``."""
    view, model, objects = problem.task.view, problem.task.model, problem.task.objects
    assert objects is not None
    vertices = _vertices(problem, hands)
    screen = torch.cat([project(vertices, view.intrinsics), vertices[..., 2:]], -1)
    drawn = rasterize(screen, model.topology, (view.size, view.size))
    depth = torch.where(drawn.mask, drawn.depth, -torch.inf)
    hidden = torch.zeros_like(drawn.mask)
    for k, own in enumerate(objects.surfaces):
        for thing in own:
            hidden[k] |= hidden_by_thing(thing, depth[k], view.intrinsics[k])
    more = (view.mask_weight * (2 * view.mask - 1) * hidden).flatten(1).mean(1)
    return problem.stage.energies.get("silhouette_l2", 0.0) * more.double()
