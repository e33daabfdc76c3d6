"""Weighted sums of energies: the one place where energies are weighted and added up."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from fitter.energies.declare import Variables
from fitter.energies.inputs import HandInputs, KeypointInputs, SceneInputs
from fitter.energies.residuals import Quadratic, weighted_sum
from fitter.energies.table import ENERGIES
from fitter.hand_models.keypoint_jacobian import KeypointJacobian
from fitter.hand_models.tangent import TangentLayout


def values(inputs: SceneInputs, weights: Mapping[str, float]) -> dict[str, Tensor]:
    """(B,) value of each energy that has a weight, not weighted."""
    return {name: ENERGIES[name].value(inputs) for name, weight in weights.items() if weight != 0}


def weighted_value(inputs: SceneInputs, weights: Mapping[str, float]) -> Tensor:
    """(B,) the weighted sum of energies, for first-order solvers.

    Args:
        inputs: of B hands.
        weights: by name; an energy of weight 0 is not computed.
    """
    weighted = [weights[name] * value for name, value in values(inputs, weights).items()]
    # Where all weights are zero nothing is left to add up.
    return torch.stack(weighted or [torch.zeros_like(inputs.params.log_focal)]).sum(0)


def keypoint_quadratic(
    inputs: KeypointInputs, jacobian: KeypointJacobian, weights: Mapping[str, float]
) -> Quadratic:
    """The weighted sum of the energies of keypoints and parameters, for Levenberg-Marquardt.

    Energies of keypoints are computed where their weight is 0, too: where one is infinite, such as
    behind the camera, no hand can be, whatever its weight.

    Args:
        inputs: of B hands.
        jacobian: how the keypoints move with the hand's parameters.
        weights: by name, 0 where not given.

    Returns:
        Value (B,), gradient (B, D) and Gauss-Newton Hessian (B, D, D) by the tangent vector of
        `fitter.hand_models.tangent`.
    """
    points = _weighted(inputs, weights, frozenset({"points"}), ENERGIES)
    data = weighted_sum([(weight, term) for weight, term, _ in points])
    gradient, hessian = jacobian.pull_back(data.gradient, data.hessian)

    total = Quadratic(data.value, gradient, hessian)
    return _with_priors(total, jacobian.layout, inputs, weights)


def prior_quadratic(inputs: HandInputs, weights: Mapping[str, float]) -> Quadratic:
    """The weighted sum of the energies of parameters alone, for Levenberg-Marquardt.

    Args:
        inputs: of B hands.
        weights: by name, 0 where not given; those of other energies do not count.

    Returns:
        As `keypoint_quadratic`.
    """
    layout, like = TangentLayout.of(inputs.hand), inputs.hand.betas
    nothing = [like.new_zeros(len(like), *[layout.size] * order) for order in range(3)]
    return _with_priors(Quadratic(*nothing), layout, inputs, weights)


def _with_priors(
    total: Quadratic,
    layout: TangentLayout,
    inputs: KeypointInputs | HandInputs,
    weights: Mapping[str, float],
) -> Quadratic:
    """The energies of parameters alone added to a sum, to its derivatives in place."""
    cost, gradient, hessian = total
    given = {name: weight for name, weight in weights.items() if weight != 0}
    terms = _weighted(inputs, given, frozenset({"hand_pose", "joints", "betas", "shape"}), given)
    for weight, term, variables in terms:
        cost = cost + weight * term.value
        part = _part(layout, variables)
        gradient[:, part].add_(term.gradient, alpha=weight)
    # Whole blocks first, then diagonals.
    for weight, term, variables in sorted(
        terms, key=lambda found: found.variables not in ("hand_pose", "shape")
    ):
        part = _part(layout, variables)
        _add_hessian(hessian[:, part, part], term.hessian, variables, weight)
    return Quadratic(cost, gradient, hessian)


def weighted_quadratic(
    inputs: KeypointInputs, jacobian: KeypointJacobian, weights: Mapping[str, float]
) -> Quadratic:
    """`keypoint_quadratic` with the energies of the silhouette, those of weight 0 left out.

    Args:
        inputs: `OutlineInputs` where an energy of the silhouette has a weight.
        jacobian: see `keypoint_quadratic`.
        weights: see `keypoint_quadratic`.
    """
    total = keypoint_quadratic(inputs, jacobian, weights)
    for name, weight in weights.items():
        term = ENERGIES[name].least_squares
        if weight != 0 and term is not None and term.variables == "tangent":
            added = ENERGIES[name].quadratic(inputs)
            # Not in place: the silhouette may be of another dtype.
            total = Quadratic(*(old + weight * new for old, new in zip(total, added, strict=True)))
    return total


class _Weighted(NamedTuple):
    weight: float
    term: Quadratic
    variables: Variables


def _weighted(
    inputs: KeypointInputs | HandInputs,
    weights: Mapping[str, float],
    variables: frozenset[Variables],
    names: Container[str],
) -> list[_Weighted]:
    """The least-squares energies of such names by some variables, in the table's order."""
    found = []
    for name, energy in ENERGIES.items():
        squares = energy.least_squares
        if squares is not None and squares.variables in variables and name in names:
            term = energy.quadratic(inputs)
            found.append(_Weighted(weights.get(name, 0.0), term, squares.variables))
    return found


def _part(layout: TangentLayout, variables: Variables) -> slice:
    return layout.betas if variables in ("betas", "shape") else layout.pose


def _add_hessian(block: Tensor, added: Tensor, variables: Variables, weight: float) -> None:
    """Add a term's Hessian to the block (B, P, P) of its variables, in place."""
    match variables:
        case "hand_pose" | "shape":
            block.add_(added, alpha=weight)
        case "joints":
            joints = block.unflatten(2, (-1, 3)).unflatten(1, (-1, 3))
            joints.diagonal(dim1=1, dim2=3).add_(added.permute(0, 2, 3, 1), alpha=weight)
        case "betas":
            block.diagonal(dim1=1, dim2=2).add_(added, alpha=weight)
