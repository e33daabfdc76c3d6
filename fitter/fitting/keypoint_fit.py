"""The first stage of every fit: a hand model fitted to 21 keypoints and weak 3D cues.

observations -> `normalise` -> several starts -> Levenberg-Marquardt -> parameters in the camera.
Left hands are mirrored on the way in and mirrored back on the way out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fitter.config.options import FitConfig
from fitter.energies.keypoints import (
    KeypointTargets,
    bone_directions,
    relative_depth,
    reprojection,
)
from fitter.energies.priors import anatomical_limits, pose_prior, shape_prior
from fitter.energies.residuals import weighted_sum
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initialisations import propose_initialisations
from fitter.fitting.initializer import Prediction
from fitter.fitting.network_prior import predicted_initialisations, with_network_prior
from fitter.fitting.observations import ObservationBatch, normalise, usable
from fitter.hand_models.tangent import BETAS, POSE, HandManifold
from fitter.records import HandParams
from fitter.solvers import (
    LevenbergMarquardt,
    Linearization,
    SolverResult,
    Status,
    levenberg_marquardt,
)


@dataclass(frozen=True)
class KeypointProblem:
    """The objective of the stage over B hands; a `LeastSquaresProblem`."""

    model: FitModel
    targets: KeypointTargets
    config: FitConfig

    def linearize(self, params: HandParams) -> Linearization:
        """The weighted sum of all energies: the one place where weights are applied."""
        config, space, targets = self.config, self.model.pose_space, self.targets
        seen = self.model.kinematics(params)
        data = weighted_sum(
            [
                (
                    config.keypoint_weight,
                    reprojection(seen.points, targets, config.keypoint_scale),
                ),
                (
                    config.relative_depth_weight,
                    relative_depth(seen.points, targets, config.relative_depth_scale),
                ),
                (
                    config.bone_direction_weight,
                    bone_directions(seen.points, targets, config.bone_direction_scale),
                ),
            ]
        )
        gradient, hessian = seen.pull_back(data.gradient, data.hessian)

        limits, pose = anatomical_limits(params, space), pose_prior(params, space)
        shape = shape_prior(params)
        gradient[:, POSE].add_(limits.gradient, alpha=config.limit_weight)
        gradient[:, POSE].add_(pose.gradient, alpha=config.pose_prior_weight)
        gradient[:, BETAS].add_(shape.gradient, alpha=config.shape_prior_weight)
        by_pose = hessian[:, POSE, POSE].add_(pose.hessian, alpha=config.pose_prior_weight)
        joints = by_pose.unflatten(2, (15, 3)).unflatten(1, (15, 3)).diagonal(dim1=1, dim2=3)
        joints.add_(limits.hessian.permute(0, 2, 3, 1), alpha=config.limit_weight)
        by_betas = hessian[:, BETAS, BETAS].diagonal(dim1=1, dim2=2)
        by_betas.add_(shape.hessian, alpha=config.shape_prior_weight)
        cost = (
            data.value
            + config.limit_weight * limits.value
            + config.pose_prior_weight * pose.value
            + config.shape_prior_weight * shape.value
        )
        return Linearization(cost, gradient, hessian)

    def select(self, index: Tensor) -> KeypointProblem:
        """The problem of the hands at `index` alone."""
        return KeypointProblem(self.model, self.targets[index], self.config)


@dataclass(frozen=True)
class KeypointFit(SolverResult[HandParams]):
    """`SolverResult` of B hands, and where each came from.

    Attributes:
        start: (B,) int64, 0 for a typical pose placed on the keypoints, k for the k-th guess, -1
            for a hand that was not fitted.
    """

    start: Tensor


def fit_keypoints(
    model: FitModel,
    observed: ObservationBatch,
    config: FitConfig,
    guesses: Sequence[Prediction] = (),
    from_keypoints: bool = True,
) -> KeypointFit:
    """Fit B hands.

    Args:
        model: right-hand model on the observations' device and dtype.
        observed: B hands; a hand whose values are not finite, or whose keypoints lie within
            `LEAST_EXTENT`, takes no part and comes back as diverged, with NaN for its parameters
            and cost.
        config: weights, scales, budget and number of starts.
        guesses: what networks say of the same hands, the most trusted first. Each is one more
            start, and together they stand beside the detector's weak 3D.
        from_keypoints: also start where keypoints alone lead; a hand without any guess does so
            anyway.

    Returns:
        Parameters in the full picture's camera. A left hand's are those of the mirrored model.
    """
    # Built outside: what is made in inference mode can never be differentiated through, and the
    # model is the caller's.
    _ = model.kinematics, model.rest_keypoints
    # Not inference mode: roma makes a table in here that it keeps for whoever differentiates later.
    with torch.no_grad():
        result = _fit(model, observed, config, guesses, from_keypoints)
    return result.map(torch.clone)


def _fit(
    model: FitModel,
    observed: ObservationBatch,
    config: FitConfig,
    guesses: Sequence[Prediction],
    from_keypoints: bool,
) -> KeypointFit:
    index = usable(observed).nonzero().flatten()
    targets = normalise(observed[index], config.relative_depth_gain)
    finite = targets.finite()
    if not bool(finite.all()):
        index, targets = index[finite], targets[finite]
    if len(index) == 0:
        return _nothing_fitted(model, observed)
    guesses = [guess[index] for guess in guesses]
    targets = with_network_prior(targets, guesses, config)
    starts = _Starts.of(model, targets, config, guesses, from_keypoints)
    problem = KeypointProblem(model, targets, config)
    best, source = starts.best(problem, config)
    options = LevenbergMarquardt(max_iterations=config.max_iterations)
    result = levenberg_marquardt(problem, best, options, HandManifold())
    params = result.params.mirrored_where(observed.is_left[index])
    fitted = KeypointFit(params, result.cost, result.iterations, result.status, source)
    if len(index) == len(observed.is_left):
        return fitted
    return _nothing_fitted(model, observed).with_rows(index, fitted)


@dataclass(frozen=True)
class _Starts:
    """P starts of each of B hands: state p * B + b belongs to hand b; `source` (P, B) as
    `KeypointFit.start`; what is not to be tried is -1."""

    params: HandParams
    source: Tensor

    @classmethod
    def of(
        cls,
        model: FitModel,
        targets: KeypointTargets,
        config: FitConfig,
        guesses: Sequence[Prediction],
        from_keypoints: bool,
    ) -> _Starts:
        batch = len(targets.view)
        parts, sources = [], []
        known = torch.zeros(batch, dtype=torch.bool, device=targets.view.device)
        for number, guess in enumerate(guesses, 1):
            start = predicted_initialisations(model, targets, guess)
            parts.append(start)
            finite = start.transl.isfinite().all(-1)
            sources.append(torch.where(finite, number, -1)[None])
            known |= finite
        if from_keypoints or not bool(known.all()):
            typical = propose_initialisations(model, targets, config)
            count = len(typical.transl) // batch
            parts.append(typical)
            is_asked = torch.full_like(known, from_keypoints) | ~known
            sources.append(torch.where(is_asked, 0, -1).expand(count, -1))
        together = [
            torch.cat(values) for values in zip(*(vars(p).values() for p in parts), strict=True)
        ]
        return cls(HandParams(*together), torch.cat(sources))

    def best(self, problem: KeypointProblem, config: FitConfig) -> tuple[HandParams, Tensor]:
        """Run a few iterations from every start; each hand's best, and (B,) its source."""
        count, batch = self.source.shape
        if count == 1:
            return self.params, self.source[0]
        tried = (self.source.flatten() >= 0).nonzero().flatten()
        states, cost = self.params[tried], self.params.transl.new_full((count * batch,), torch.inf)
        problem = problem.select(tried % batch)
        if config.initialisation_iterations == 0:
            found = problem.linearize(states).cost
        else:
            options = LevenbergMarquardt(max_iterations=config.initialisation_iterations)
            result = levenberg_marquardt(problem, states, options, HandManifold())
            states, found = result.params, result.cost
        # A start that leads nowhere still is the hand's own, which one that was not tried is not.
        worst = torch.finfo(found.dtype).max
        cost[tried] = found.nan_to_num(nan=worst, posinf=worst)
        winner = cost.view(count, batch).argmin(0)
        flat = winner * batch + torch.arange(batch, device=winner.device)
        # Every hand has one start at least that was tried.
        place = torch.zeros_like(self.source.flatten())
        place[tried] = torch.arange(len(tried), device=tried.device)
        return states[place[flat]], self.source.flatten()[flat]


def _nothing_fitted(model: FitModel, observed: ObservationBatch) -> KeypointFit:
    """The result for B hands none of which can be fitted."""
    like = model.keypoints.joint_template
    batch, shapes = len(observed.is_left), model.keypoints.joint_shapedirs.shape[-1]
    count = torch.zeros(batch, dtype=torch.int64, device=like.device)

    def unknown(*shape: int) -> Tensor:
        return like.new_full((batch, *shape), torch.nan)

    params = HandParams(unknown(3), unknown(15, 3), unknown(shapes), unknown(3))
    diverged = count + int(Status.DIVERGED)
    return KeypointFit(params, unknown(), count, diverged, count - 1)
