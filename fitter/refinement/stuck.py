"""Hands that stay in known objects, fitted again from places along their lines of sight.

A surface that is deep in another one is drawn to all of its sides at once, and the hand stays where
it is, whatever penetration weighs. An image determines depth least, so that is what is tried;
`fitter.interaction.apart` does the same for two hands.
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
from fitter.refinement.things_depth import things_depth
from fitter.solvers import SolverResult, Status
from fitter.solvers.states import map_tensors, select, where

DEEP = 0.002
"""Metres in one of its objects from which on a hand is fitted again. Known surfaces are where they
are, but a grip presses the hand's own by a millimetre or two. # not published"""

SHIFTS = (-0.06, -0.04, -0.02, 0.02, 0.04, 0.06)
"""Metres along its line of sight from where it was. # not published"""

Solve = Callable[[LeastSquaresObjective, HandParams], SolverResult[HandParams]]
"""A stage's solver: what it minimises, and where it begins."""


def out_of_objects(
    problem: LeastSquaresObjective, result: SolverResult[HandParams], solve: Solve
) -> SolverResult[HandParams]:
    """Fit the hands again that a stage left more than `DEEP` in an object, from each of
    `SHIFTS`, and keep what costs least.

    For this comparison a pixel of the silhouette in which an object stands in front shows no hand,
    so that the mask says who is in front. The silhouette of the stage itself knows of no objects.

    Args:
        problem: of B hands and the objects known of their images.
        result: of the stage.
        solve: the stage's solver.

    Returns:
        The result with what is kept; its cost is the stage's own, and may be higher than it was.
    """
    objects = problem.task.objects
    if objects is None:
        return result
    vertices = _vertices(problem, result.params)
    deep = _depths(objects, vertices).nan_to_num() > DEEP
    stuck = (deep & (result.status != int(Status.DIVERGED))).nonzero().flatten()
    if len(stuck) == 0:
        return result
    before = select(result, stuck)
    start = _shifted(before.params, vertices[stuck].mean(1))
    each = stuck.repeat_interleave(len(SHIFTS))
    again = solve(problem.select(each), start)
    view = problem.task.view
    things = things_depth(objects[stuck], view.intrinsics[stuck], view.size)
    own = _costs(problem.select(stuck), before, things)
    other = _costs(problem.select(each), again, things.repeat_interleave(len(SHIFTS), 0))
    best = torch.cat([own[:, None], other.view(len(stuck), -1)], 1).argmin(1)  # 0 is as it was
    first = torch.arange(0, len(each), len(SHIFTS), device=best.device)
    kept = where(best > 0, select(again, first + (best - 1).clamp_min(0)), before)
    steps = before.iterations + again.iterations.view(len(stuck), -1).sum(1)
    return result.with_rows(stuck, replace(kept, iterations=steps))


def _shifted(hands: HandParams, middle: Tensor) -> HandParams:
    """Each of n hands, whose middles are at (n, 3) metres, at each of S `SHIFTS`, (n S); none comes
    nearer than half its distance."""
    depth = middle[:, 2:]
    moves = torch.maximum(middle.new_tensor(SHIFTS), -0.5 * depth)
    # 1 in z: moved by it, a hand stays where it is in the image.
    moved = moves[..., None] * (middle / depth)[:, None]
    hands = map_tensors(lambda each: each.repeat_interleave(len(SHIFTS), 0), hands)
    return replace(hands, transl=hands.transl + moved.flatten(0, 1).to(hands.transl))


def _costs(
    problem: LeastSquaresObjective, result: SolverResult[HandParams], things: Tensor
) -> Tensor:
    """(B,) by which results are compared, things standing at (B, S, S) metres before the hands."""
    cost = result.cost + _hidden_cost(problem, result.params, things)
    return torch.where(result.status == int(Status.DIVERGED), torch.inf, cost)


def _vertices(problem: LeastSquaresObjective, hands: HandParams) -> Tensor:
    """(B, V, 3) metres."""
    offsets, model = problem.offsets, problem.task.model
    hands = problem.task.targets.known.sized(model.fit.size, hands)
    return model.hand(hands.to(offsets.dtype)).vertices + offsets


def _depths(objects: KnownObjects, vertices: Tensor) -> Tensor:
    """(B,) metres, how deep hands (B, V, 3) are in the object that they are deepest in."""
    found = vertices.new_zeros(len(vertices))
    for k, own in enumerate(objects.surfaces):
        hand = Surface(vertices[k : k + 1], objects.faces)
        for thing in own:
            gaps = [contacts(a, b, 0.0).gap for a, b in ((hand, thing), (thing, hand))]
            found[k] = torch.cat([found[k, None], *(-gap.to(found) for gap in gaps)]).amax()
    return found


def _hidden_cost(problem: LeastSquaresObjective, hands: HandParams, things: Tensor) -> Tensor:
    """(B,) what `silhouette_l2` costs more where pixels in which a hand is drawn behind things
    (B, S, S) metres count as none of the hand's: ``mask^2`` in place of ``(1 - mask)^2``."""
    view, model = problem.task.view, problem.task.model
    vertices = _vertices(problem, hands)
    screen = torch.cat([project(vertices, view.intrinsics), vertices[..., 2:]], -1)
    drawn = rasterize(screen, model.topology, (view.size, view.size))
    hidden = drawn.mask & (things < drawn.depth)
    more = (view.mask_weight * (2 * view.mask - 1) * hidden).flatten(1).mean(1)
    return problem.stage.energies.get("silhouette_l2", 0.0) * more.double()
