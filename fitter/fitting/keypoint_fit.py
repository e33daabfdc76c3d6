"""The first stage of every fit: a hand model fitted to 21 keypoints and weak 3D cues.

hands -> several initialisations -> the best after a few iterations -> Levenberg-Marquardt

All hands are right hands: the engine mirrors left ones before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from fitter.config.options import FitConfig
from fitter.energies.inputs import KeypointInputs
from fitter.energies.keypoints import KeypointTargets
from fitter.energies.weighted import weighted_quadratic
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initialisations import propose_initialisations
from fitter.fitting.initializer import Prediction
from fitter.fitting.motion_information import motion_information
from fitter.fitting.network_prior import predicted_initialisations, with_network_prior
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.fitting.shape_information import shape_information, shapeless
from fitter.hand_models.hand_size import HandSize
from fitter.hand_models.known_shape import KnownShape
from fitter.hand_models.motion import HandMotion, PoseBasis, transl_at
from fitter.records import HandParams, NormalisedHands
from fitter.solvers import (
    LeastSquaresProblem,
    LevenbergMarquardt,
    Linearization,
    SolverResult,
    Status,
    levenberg_marquardt,
)


@dataclass(frozen=True)
class KeypointProblem:
    """The objective of the stage over B hands; a `LeastSquaresProblem`.

    Hands of a known size or shape, `targets.known`, are judged with the nearest such shape.
    """

    model: FitModel
    targets: KeypointTargets
    config: FitConfig

    def linearize(self, params: HandParams) -> Linearization:
        """Their weighted sum."""
        space, size, targets = self.model.pose_space, self.model.size, self.targets
        params = targets.known.sized(size, params)
        keypoints = self.model.kinematics(params)
        inputs = KeypointInputs(params, keypoints.points, targets, space, size, self.config)
        weights = targets.weights_of(self.config.energies)
        cost, *derivatives = weighted_quadratic(inputs, keypoints, weights)
        held = targets.known.restrict(size, params.betas, *derivatives)
        return Linearization(cost, *held)

    def select(self, index: Tensor) -> KeypointProblem:
        """The problem of the hands at `index` alone."""
        return KeypointProblem(self.model, self.targets[index], self.config)


@dataclass(frozen=True)
class KeypointFit(SolverResult[HandParams]):
    """`SolverResult` of B hands, and where each came from.

    Attributes:
        initialisation: (B,) int64, 0 for a typical pose placed on the keypoints, k for the k-th
            prediction, one more than there are predictions for where the other frames of a video
            have the hand, -1 for a hand that was not fitted.
    """

    initialisation: Tensor


def fit_keypoints(
    model: FitModel,
    hands: NormalisedHands,
    config: FitConfig,
    predictions: Sequence[Prediction] = (),
    from_keypoints: bool = True,
    known: KnownShape | None = None,
    motion: HandMotion | None = None,
) -> KeypointFit:
    """Fit B hands.

    Args:
        model: right-hand model on the hands' device and dtype.
        hands: B right hands with all that is known of them
            (`fitter.fitting.network_prior.with_network_prior`). One that is not usable takes no
            part and comes back as diverged, with NaN for its parameters and cost.
        config: weights, scales, budget and number of initialisations.
        predictions: what networks say of the same hands, the most trusted first. Each is one more
            initialisation.
        from_keypoints: also initialise from the keypoints alone; a hand without any prediction
            is initialised from them anyway.
        known: what is known of the hands' shapes, which the fit keeps to; None for
            `FitConfig.hand_size` everywhere.
        motion: where the other frames of a video expect the hands; None for nothing.

    Returns:
        Parameters in the full image's camera.
    """
    # Built outside: what is made in inference mode can never be differentiated through, and the
    # model is the caller's.
    _ = model.kinematics, model.rest_keypoints, model.size
    if known is None:
        known = KnownShape.nothing(hands.keypoints)
        if config.hand_size is not None:
            known = replace(known, size=torch.full_like(known.size, config.hand_size))
    # Not inference mode: roma makes a table in here that it keeps for whoever differentiates later.
    with torch.no_grad():
        knowledge = _Known(known, motion)
        result = _fit(model, hands, config, predictions, from_keypoints, knowledge)
    return result.map(torch.clone)


@dataclass(frozen=True)
class _Known:
    """What is known of hands beforehand."""

    shape: KnownShape
    motion: HandMotion | None


def keypoint_information(
    model: FitModel, hands: NormalisedHands, fitted: HandParams, config: FitConfig
) -> Tensor:
    """What the keypoints of B hands say of their shapes, see `fitter.fitting.shape_information`.

    Args:
        model, hands, config: as of `fit_keypoints`; all hands are usable.
        fitted: float64 parameters of the same hands.

    Returns:
        (B, E) float64.
    """
    problem = KeypointProblem(model, KeypointTargets.of(hands), shapeless(config))
    with torch.no_grad():
        return shape_information(problem.linearize(fitted), fitted.betas)


def keypoint_motion_information(
    model: FitModel,
    hands: NormalisedHands,
    fitted: HandParams,
    config: FitConfig,
    basis: PoseBasis,
) -> Tensor:
    """What the keypoints of B hands say of where they are, see
    `fitter.fitting.motion_information`; arguments as of `keypoint_information`."""
    problem = KeypointProblem(model, KeypointTargets.of(hands), shapeless(config))
    with torch.no_grad():
        return motion_information(problem.linearize(fitted), fitted, model, basis)


def fit_observations(
    model: FitModel,
    observed: ObservationBatch,
    config: FitConfig,
    predictions: Sequence[Prediction] = (),
    from_keypoints: bool = True,
) -> KeypointFit:
    """Fit B hands of either side as they were observed, without images; see `fit_keypoints`.

    Args:
        model: right-hand model.
        observed: in pixels of the full image.
        config: as of `fit_keypoints`.
        predictions: of the mirrored hands where these are left.
        from_keypoints: as of `fit_keypoints`.

    Returns:
        Parameters in the full image's camera. A left hand's are those of the mirrored model.
    """
    hands = normalise(observed).with_depth_gain(config.relative_depth_gain)
    hands = with_network_prior(hands, predictions, config)
    fit = fit_keypoints(model, hands, config, predictions, from_keypoints)
    return replace(fit, params=fit.params.mirrored_where(observed.is_left))


def _fit(
    model: FitModel,
    hands: NormalisedHands,
    config: FitConfig,
    predictions: Sequence[Prediction],
    from_keypoints: bool,
    knowledge: _Known,
) -> KeypointFit:
    index = hands.is_usable.nonzero().flatten()
    if len(index) == 0:
        return nothing_fitted(model, len(hands.is_usable))
    usable, predictions = hands[index], [prediction[index] for prediction in predictions]
    known, motion = knowledge.shape[index], knowledge.motion
    targets = KeypointTargets.of(usable, known, None if motion is None else motion[index])
    problem = KeypointProblem(model, targets, config)
    initialisations = _Initialisations.of(model, usable, config, predictions, from_keypoints)
    initialisations = initialisations.of_known(model.size, known)
    if motion is not None:
        initialisations = initialisations.with_expected(
            model, motion[index], known, len(predictions) + 1
        )
    best, source = initialisations.best(problem, config)
    options = LevenbergMarquardt(max_iterations=config.max_iterations)
    result = levenberg_marquardt(problem, best, options, model.manifold)
    params = known.sized(model.size, result.params)
    fitted = KeypointFit(params, result.cost, result.iterations, result.status, source)
    if len(index) == len(hands.is_usable):
        return fitted
    return nothing_fitted(model, len(hands.is_usable)).with_rows(index, fitted)


@dataclass(frozen=True)
class _Initialisations:
    """P initialisations of each of B hands: state p * B + b belongs to hand b; `source` (P, B) as
    `KeypointFit.initialisation`; one that is not to be tried has -1."""

    params: HandParams
    source: Tensor

    @classmethod
    def of(
        cls,
        model: FitModel,
        hands: NormalisedHands,
        config: FitConfig,
        predictions: Sequence[Prediction],
        from_keypoints: bool,
    ) -> _Initialisations:
        batch, device = len(hands.is_usable), hands.is_usable.device
        parts, sources = [], []
        known = torch.zeros(batch, dtype=torch.bool, device=device)
        for number, prediction in enumerate(predictions, 1):
            predicted = predicted_initialisations(
                model, hands, prediction, as_said=config.max_iterations == 0
            )
            parts.append(predicted)
            finite = predicted.transl.isfinite().all(-1)
            sources.append(torch.where(finite, number, -1)[None])
            known |= finite
        if from_keypoints or not bool(known.all()):
            typical = propose_initialisations(model, hands, config)
            count = len(typical.transl) // batch
            parts.append(typical)
            is_asked = torch.full_like(known, from_keypoints) | ~known
            sources.append(torch.where(is_asked, 0, -1).expand(count, -1))
        together = [
            torch.cat(values) for values in zip(*(vars(p).values() for p in parts), strict=True)
        ]
        return cls(HandParams(*together), torch.cat(sources))

    def of_known(self, size: HandSize, known: KnownShape) -> _Initialisations:
        """The same with what is known of the B hands' shapes."""
        count = len(self.source)
        repeated = known.map(lambda values: values.repeat(count, *[1] * (values.ndim - 1)))
        return replace(self, params=repeated.placed(size, self.params))

    def with_expected(
        self, model: FitModel, motion: HandMotion, known: KnownShape, number: int
    ) -> _Initialisations:
        """The same with one more: where other frames have the B hands, if they say anything."""
        first = self.params[: len(motion.place)]
        betas = known.held(model.size, first.betas)
        expected = HandParams(
            motion.rotation,
            motion.pose.unflatten(1, (-1, 3)),
            betas,
            transl_at(model.size, betas, motion.place),
        )
        says = (motion.information != 0).flatten(1).any(1)
        source = torch.where(says, number, -1)[None].to(self.source)
        pairs = zip(vars(self.params).values(), vars(expected).values(), strict=True)
        return _Initialisations(
            HandParams(*(torch.cat(pair) for pair in pairs)), torch.cat([self.source, source])
        )

    def best(self, problem: KeypointProblem, config: FitConfig) -> tuple[HandParams, Tensor]:
        """Run a few iterations from each; the one with the lowest cost, and (B,) its source.

        A hand of which one alone is tried keeps it as it is, whatever the others try.
        """
        count, batch = self.source.shape
        if count == 1:
            return self.params, self.source[0]
        asked = self.source >= 0
        several = (asked & (asked.sum(0) > 1)).flatten().nonzero().flatten()
        cost = self.params.transl.new_full((count * batch,), torch.inf)
        cost[asked.flatten()] = 0.0
        states = self.params
        if len(several):
            tried, found = few_iterations(problem.select(several % batch), states[several], config)
            states, cost = states.with_hands(several, tried), cost.index_copy(0, several, found)
        winner = cost.view(count, batch).argmin(0)
        flat = winner * batch + torch.arange(batch, device=winner.device)
        return states[flat], self.source.flatten()[flat]


class _Objective(LeastSquaresProblem[HandParams], Protocol):
    """One that knows its hand model."""

    @property
    def model(self) -> FitModel: ...


def few_iterations(
    problem: _Objective, states: HandParams, config: FitConfig
) -> tuple[HandParams, Tensor]:
    """States (N) after a few iterations, none where the fit itself has none, and their costs.

    A cost that is none is the largest number: one that leads nowhere still is the hand's own, which
    one that was not tried is not.
    """
    few = 0 if config.max_iterations == 0 else config.initialisation_iterations
    if few == 0:
        cost = problem.linearize(states).cost
    else:
        options = LevenbergMarquardt(max_iterations=few)
        result = levenberg_marquardt(problem, states, options, problem.model.manifold)
        states, cost = result.params, result.cost
    worst = torch.finfo(cost.dtype).max
    return states, cost.nan_to_num(nan=worst, posinf=worst)


def nothing_fitted(model: FitModel, batch: int) -> KeypointFit:
    """The result for as many hands none of which can be fitted."""
    like = model.keypoints.joint_template
    shapes = model.keypoints.joint_shapedirs.shape[-1]
    count = torch.zeros(batch, dtype=torch.int64, device=like.device)

    def unknown(*shape: int) -> Tensor:
        return like.new_full((batch, *shape), torch.nan)

    rotations = model.keypoints.skeleton.rotations
    params = HandParams(unknown(3), unknown(rotations, 3), unknown(shapes), unknown(3))
    diverged = count + int(Status.DIVERGED)
    return KeypointFit(params, unknown(), count, diverged, count - 1)
