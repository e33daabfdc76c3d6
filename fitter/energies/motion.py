"""What the other frames of a video say of where a hand is in this one."""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.energies.declare import least_squares
from fitter.energies.residuals import Quadratic
from fitter.hand_models.hand_size import HandSize
from fitter.hand_models.motion import (
    PLACE,
    RIGID,
    ROTATION,
    HandMotion,
    place_of,
    place_slopes,
    rotation_difference,
)
from fitter.hand_models.tangent import GLOBAL, TRANSL, TangentLayout
from fitter.records import HandParams


@least_squares("motion_prior", "hand", "size", "expected_motion", by="tangent")
def motion_prior(params: HandParams, size: HandSize, expected: HandMotion) -> Quadratic:
    """How far a hand is from where its track has it without this frame: ``e^T L e / 2``, e the
    difference in the coordinates of `fitter.hand_models.motion`, L their inverse covariance: the
    message of all other frames to this one in the joint fit of the track (Kschischang et al.,
    "Factor graphs and the sum-product algorithm", 2001, section IV).

    `fitter.tracks.smoother` makes it.

    Args:
        params: of B hands.
        size: of the hand model.
        expected: of the same hands.

    Returns:
        The gradient is (B, D) by the tangent vector, the Gauss-Newton Hessian (B, D, D).
    """
    layout = TangentLayout.of(params)
    difference, turned = rotation_difference(params.global_orient, expected.rotation)
    residual = torch.cat(
        [
            difference,
            place_of(size, params) - expected.place,
            params.hand_pose.flatten(1) - expected.pose,
        ],
        1,
    )
    jacobian = residual.new_zeros(len(residual), residual.shape[1], layout.size)
    jacobian[:, ROTATION, GLOBAL] = turned
    jacobian[:, PLACE, TRANSL], jacobian[:, PLACE, layout.betas] = place_slopes(size, params)
    jacobian[:, RIGID:, layout.pose].diagonal(dim1=1, dim2=2).fill_(1.0)
    along = (expected.information @ residual[..., None])[..., 0]
    value: Tensor = (residual * along).sum(-1) / 2
    gradient = (jacobian.mT @ along[..., None])[..., 0]
    return Quadratic(value, gradient, jacobian.mT @ expected.information @ jacobian)
