"""What one image says of where a hand of known shape is, in the coordinates of its motion.

Near its optimum a hand's cost is a quadratic in the tangent vector of all its parameters. By the
coordinates of `fitter.hand_models.motion`, of the pose its leading components, and the shape b it
is

    f(x, b) = g (x - x_0) + (x - x_0) H (x - x_0) / 2 + (x - x_0) C (b - b_0) + terms of b alone

where the rest of the pose follows x and b (the Schur complement, as in
`fitter.fitting.shape_information`). So what an image says can be known when the shape is, which all
images of the track make together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fitter.fitting.fit_model import FitModel
from fitter.fitting.shape_information import FLOOR
from fitter.hand_models.motion import (
    PLACE,
    RIGID,
    PoseBasis,
    place_of,
    place_slopes,
)
from fitter.hand_models.tangent import TRANSL, TangentLayout
from fitter.records import HandParams
from fitter.solvers import Linearization


class MotionInformation(NamedTuple):
    """Of M images; n = 6 + K coordinates with K components of the pose.

    Attributes:
        place: (M, 3) where the hands were fitted.
        pose: (M, K) standard deviations of the components, likewise.
        gradient: (M, n) of the cost there.
        hessian: (M, n, n).
        across: (M, n, S) by the coordinates and the shape.
    """

    place: np.ndarray
    pose: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray
    across: np.ndarray


def motion_entries(components: int, num_betas: int) -> int:
    """Numbers that are stored of a hand."""
    n = RIGID + components
    return 3 + components + n + n * (n + 1) // 2 + n * num_betas


def motion_information(
    found: Linearization, hands: HandParams, model: FitModel, basis: PoseBasis
) -> Tensor:
    """What is stored of each hand.

    Args:
        found: the objective of B hands, without priors of shape and motion, where they were fitted.
        hands: float64 parameters there.
        model: of the hands.
        basis: of their poses.

    Returns:
        (B, `motion_entries`) float32: place, pose, gradient, upper triangle of the Hessian row by
        row, and `across`, in the order of `MotionInformation`; NaN for a hand whose derivatives are
        not finite.
    """
    layout, like, batch = TangentLayout.of(hands), hands.betas, len(hands.betas)
    whole = np.linalg.qr(basis.components.T, mode="complete")[0][:, basis.count :]
    to_pose = like.new_tensor(np.concatenate([basis.backward, whole], 1))
    by_transl, by_betas = place_slopes(model.size, hands)
    back = torch.linalg.inv(by_transl)
    moved = torch.eye(layout.size, dtype=like.dtype, device=like.device).repeat(batch, 1, 1)
    moved[:, TRANSL, PLACE] = back
    moved[:, TRANSL, layout.betas] = -back @ by_betas
    moved[:, layout.pose, layout.pose] = to_pose
    gradient = (moved.mT @ found.gradient[..., None])[..., 0]
    hessian = moved.mT @ found.hessian @ moved

    every = torch.arange(layout.size, device=like.device)
    pose = every[layout.pose]
    kept = torch.cat([every[:RIGID], pose[: basis.count]])
    rest, betas = pose[basis.count :], every[layout.betas]
    wanted = torch.cat([kept, betas])
    matrix = hessian[:, wanted[:, None], wanted]
    slope = gradient[:, wanted]
    failed = torch.zeros(batch, dtype=torch.int32, device=like.device)
    if len(rest):
        own = hessian[:, rest[:, None], rest]
        diagonal = own.diagonal(dim1=-2, dim2=-1)
        diagonal += FLOOR * diagonal.amax(-1, keepdim=True).clamp_min(1e-12)
        across = hessian[:, rest[:, None], wanted]
        factor, failed = torch.linalg.cholesky_ex(own)
        right = torch.cat([across, gradient[:, rest, None]], -1)
        solved = across.mT @ torch.cholesky_solve(right, factor)
        matrix, slope = matrix - solved[..., :-1], slope - solved[..., -1]
    n = len(kept)
    rows, columns = torch.triu_indices(n, n, device=like.device)
    forward, mean = like.new_tensor(basis.forward), like.new_tensor(basis.mean)
    values = [
        place_of(model.size, hands),
        (hands.hand_pose.flatten(1) - mean) @ forward.mT,
        slope[:, :n],
        matrix[:, rows, columns],
        matrix[:, :n, n:].flatten(1),
    ]
    stored = torch.cat(values, 1)
    usable = (failed == 0) & stored.isfinite().all(-1) & found.cost.isfinite()
    return torch.where(usable[:, None], stored, torch.nan).to(torch.float32)


def unpacked_motion(stored: np.ndarray, components: int, num_betas: int) -> MotionInformation:
    """Stored numbers (M, `motion_entries`) as what they are, float64."""
    stored = stored.astype(np.float64)
    n, count = RIGID + components, len(stored)
    ends = np.cumsum([3, components, n, n * (n + 1) // 2])
    place, pose, gradient, triangle, across = np.split(stored, ends, axis=1)
    rows, columns = np.triu_indices(n)
    hessian = np.zeros((count, n, n))
    hessian[:, rows, columns] = hessian[:, columns, rows] = triangle
    return MotionInformation(place, pose, gradient, hessian, across.reshape(count, n, num_betas))
