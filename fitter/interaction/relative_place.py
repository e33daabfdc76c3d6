"""Where the hands of a group are to each other, and how sure that is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fitter.hand_models.tangent import TRANSL
from fitter.interaction.coupling import to_other
from fitter.interaction.group_problem import GroupProblem, flat
from fitter.records import HandParams

UNDERSTATED = (3.5, 3.7, 3.5)
"""What the standard deviations of the approximation are multiplied by, along x, y and z. Keypoints,
masks and networks err together; the objective adds them up as if each erred alone.
``python scripts/fit_relative_place.py``, from ``benchmarks/results/touching_hands``.
# not published"""

_FLOOR = 1e-9
"""Added to the diagonal of a Hessian, relative to its largest entry."""


class RelativePlaces(NamedTuple):
    """Of G n hands, one group after the other; float32, metres.

    Attributes:
        place: (G n, 3) camera frame, from the group's first wrist joint to this hand's.
        std: (G n, 3) of it, 0 for the first hand itself; NaN where it is not known.
        depth: (G n,) how deep the hand and another of its group are in each other.
    """

    place: np.ndarray
    std: np.ndarray
    depth: np.ndarray


def relative_places(problem: GroupProblem, params: HandParams, joint: Tensor) -> RelativePlaces:
    """What is stored of G groups of n hands.

    The covariance is Laplace's approximation: the inverse of the Hessian of the objective where it
    was minimised, without what speaks on one side alone (contact, order of depth), to first order
    through the wrists' joints (MacKay, "Information theory, inference,
    and learning algorithms", 2003, chapter 27). The objective is a multiple of the negative
    logarithm of a density, by the weight of the prior of the shape, whose variance is 1.

    Args:
        problem: the objective of the groups.
        params: of the hands, (G, n, ...) float64.
        joint: (G,) bool, fitted together; of the others no std is known.
    """
    hands, count = flat(params), problem.count
    wrists = to_other(problem.hands.left, _wrists(problem, hands)[:, None])[:, 0]
    wrists = wrists.view(-1, count, 3)
    std = _std(problem, params)
    known = joint & (problem.shape_prior > 0)
    std = torch.where(known[:, None, None], std, torch.nan)

    def array(values: Tensor) -> np.ndarray:
        found: np.ndarray = values.float().cpu().numpy()
        return found.copy()

    place = (wrists - wrists[:, :1]).flatten(0, 1)
    return RelativePlaces(array(place), array(std.flatten(0, 1)), array(_depths(problem, hands)))


def _wrists(problem: GroupProblem, hands: HandParams) -> Tensor:
    """(G n, 3) root joints, each in its own frame: the hand turns about them."""
    model = problem.model.keypoints
    return model.joint_template[0] + hands.betas @ model.joint_shapedirs[0].T + hands.transl


def _std(problem: GroupProblem, params: HandParams) -> Tensor:
    """(G, n, 3) metres."""
    count = problem.count
    hessian = problem.without_one_sided().linearize(params).hessian
    diagonal = hessian.diagonal(dim1=-2, dim2=-1)
    hessian = hessian + torch.diag_embed(
        (_FLOOR * diagonal.amax(-1, keepdim=True)).expand_as(diagonal)
    )
    groups, size = len(hessian), hessian.shape[-1] // count
    by = hessian.new_zeros(groups, count, 3, count, size)
    layout = problem.surface.layout
    flip = torch.where(problem.hands.left, -1.0, 1.0).to(hessian).view(groups, count)
    axes = torch.stack([flip, torch.ones_like(flip), torch.ones_like(flip)], -1)
    moved = axes[..., None] * torch.eye(3).to(hessian)
    shaped = axes[..., None] * problem.model.keypoints.joint_shapedirs[0].to(hessian)
    for hand in range(count):
        by[:, hand, :, hand, TRANSL] += moved[:, hand]
        by[:, hand, :, hand, layout.betas] += shaped[:, hand]
        by[:, hand, :, 0, TRANSL] -= moved[:, 0]
        by[:, hand, :, 0, layout.betas] -= shaped[:, 0]
    rows = by.view(groups, count * 3, count * size)
    factor, failed = torch.linalg.cholesky_ex(hessian)
    solved = torch.cholesky_solve(rows.mT, factor)
    variance = _temperature(problem) * (rows.mT * solved).sum(1)
    std = variance.clamp_min(0).sqrt().view(groups, count, 3)
    std = std * torch.tensor(UNDERSTATED).to(std)
    return torch.where(failed[:, None, None] == 0, std, torch.nan)


def _temperature(problem: GroupProblem) -> float:
    """What the inverse of the Hessian is multiplied by to be a covariance: an objective of weight w
    of the squared coefficients of a shape has the Hessian 2 w, and their variance is 1."""
    return 2 * problem.shape_prior


def _depths(problem: GroupProblem, hands: HandParams) -> Tensor:
    """(G n,) metres."""
    meshes = problem.meshes(hands)
    left = problem.hands.left
    deepest = meshes.new_zeros(len(left), dtype=torch.float64)
    if len(problem.pairs.group):
        ends = problem.ends
        first, second = (torch.cat(each) for each in zip(ends, ends[::-1], strict=True))
        found = problem.surface.between(
            to_other(left[first] != left[second], meshes[first]),
            meshes[second],
            0.0,
        )
        for each in (first, second):
            deepest = deepest.scatter_reduce(0, each, found.depth, "amax")
    return deepest
