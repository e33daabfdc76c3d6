"""Hands that stay in each other: taken apart along their lines of sight, one way and the other.

A surface that is deep in another one is drawn to both of its sides at once, and the hands stay
where they are, whatever contact weighs. How far a hand is away is what a picture says least of, so
that is what is tried: each of both hands in front.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fitter.interaction.coupling import to_other
from fitter.interaction.group_problem import GroupProblem, flat, grouped
from fitter.records import HandParams

DEEP = 0.001
"""Metres in each other from which on hands are taken apart. # not published"""

SHIFTS = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08)
"""Metres along the lines of sight by which it is tried. # not published"""


def deepest(problem: GroupProblem, hands: HandParams) -> Tensor:
    """(G,) float64 metres, how deep the two hands of each group that are deepest in each other are.

    Args:
        problem: G groups of n hands.
        hands: the G n hands.
    """
    return _by_group(problem, problem.meshes(hands)).amax(1)


def one_in_front(problem: GroupProblem, params: HandParams, front: float) -> HandParams:
    """The same hands, of each group the two that are deepest in each other moved apart, by the
    least of `SHIFTS` that brings them out of each other, else by the one that does so most.

    Args:
        problem: G groups of n hands, each with a pair at least.
        params: of them, (G, n, ...).
        front: 1 for the first of both hands nearer to the camera, -1 for the second.
    """
    hands = flat(params)
    meshes = problem.meshes(hands)
    pair = _by_group(problem, meshes).argmax(1)
    ends = [end[pair] for end in problem.ends]
    differ = _differ(problem)[pair]
    rays = [_ray(meshes[end]) for end in ends]
    shifts = front * torch.tensor(SHIFTS).to(meshes)
    # The hands of every pair with every shift.
    moves = (-0.5 * shifts, 0.5 * shifts)
    first, second = (
        (meshes[end][:, None] + move[None, :, None, None] * ray[:, None, None]).flatten(0, 1)
        for end, ray, move in zip(ends, rays, moves, strict=True)
    )
    deep = _depths(problem, first, second, differ.repeat_interleave(len(shifts)))
    deep = deep.view(len(pair), len(shifts)).nan_to_num(torch.inf)
    # Of those that are out of each other the first, else the one that is least deep.
    best = deep.clamp_min(DEEP).argmin(1)
    transl = hands.transl.clone()
    for end, ray, move in zip(ends, rays, moves, strict=True):
        transl[end] += (move[best, None] * ray).to(transl)
    return grouped(replace(hands, transl=transl), problem.count)


def _by_group(problem: GroupProblem, meshes: Tensor) -> Tensor:
    """(G, P) metres, how deep the hands of each pair are in each other; 0 for those of another
    group."""
    first, second = (meshes[end] for end in problem.ends)
    deep = _depths(problem, first, second, _differ(problem)).nan_to_num()
    groups = torch.arange(len(problem.hands.left) // problem.count, device=deep.device)
    return torch.where(problem.pairs.group == groups[:, None], deep, 0.0)


def _differ(problem: GroupProblem) -> Tensor:
    """(P,) bool, the sides of both hands do."""
    first, second = (problem.hands.left[end] for end in problem.ends)
    return first != second


def _ray(vertices: Tensor) -> Tensor:
    """(P, 3) along the line of sight to each mesh's middle, 1 in z: moved by it, a hand stays where
    it is in the picture."""
    middle = vertices.mean(1)
    return middle / middle[:, 2:]


def _depths(problem: GroupProblem, first: Tensor, second: Tensor, differ: Tensor) -> Tensor:
    """(P,) of meshes (P, V, 3), each in its own frame."""
    between = problem.surface.between
    one = between(to_other(differ, first), second, 0.0).depth
    return torch.maximum(one, between(to_other(differ, second), first, 0.0).depth)
