"""Hands fitted to the keypoints that all of their views see.

rows -> candidates (triangulated, networks' of each view, typical poses) -> the best after a few
iterations -> Levenberg-Marquardt over all rows -> weights of the views -> again from there
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fitter.config.options import FitConfig
from fitter.energies.keypoints import KeypointTargets
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initializer import Prediction
from fitter.fitting.keypoint_fit import KeypointFit, KeypointProblem, few_iterations, nothing_fitted
from fitter.fitting.observations import rays_of, seen_keypoints
from fitter.hand_models import pose_keypoints
from fitter.hand_models.known_shape import KnownShape
from fitter.records import HandParams, NormalisedHands
from fitter.solvers import LevenbergMarquardt, levenberg_marquardt
from fitter.views.candidates import Candidates, CandidateSource
from fitter.views.joint_problem import JointProblem
from fitter.views.rows import RigRows, RootJoint
from fitter.views.triangulation import HAND_LENGTH, agreement

_REWEIGHTED = 2
"""How often views are weighed anew by what is left between them and the fitted hand.
# not published"""


@dataclass(frozen=True)
class JointFit:
    """B hands fitted to N rows.

    Attributes:
        hands: of B hands in the rig's frame. `initialisation` is 0 for a pose found from keypoints,
            triangulated or typical, k for the k-th network's, in whatever view.
        weight: (N,) of the rows, see `agreement`; 0 of one that was not usable.
    """

    hands: KeypointFit
    weight: Tensor


def fit_rows(
    model: FitModel,
    rows: RigRows,
    seen: NormalisedHands,
    config: FitConfig,
    predictions: Sequence[Prediction],
    from_keypoints: bool,
    known: KnownShape,
    points: Tensor,
) -> JointFit:
    """Fit B hands to what N rows see of them.

    Args:
        model: right-hand model on the hands' device and dtype.
        rows: their cameras, with the weights to begin with; those of left hands mirrored.
        seen: the N rows as right hands, with all that is known of them
            (`fitter.fitting.network_prior.with_network_prior`). One that is not usable takes no
            part; a hand without a usable row comes back as diverged.
        config: weights, scales, budget.
        predictions: what networks say of the rows, the most trusted first.
        from_keypoints: also begin at typical poses placed on the keypoints of each view; a hand
            without any prediction begins there anyway.
        known: of the B hands' shapes, which the fit keeps to.
        points: (B, 21, 3) metres, the rig's frame, keypoints where their lines of sight meet; NaN
            where they do not.
    """
    _ = model.kinematics, model.rest_keypoints, model.size
    with torch.no_grad():
        place = seen.is_usable.nonzero().flatten()
        nothing = nothing_fitted(model, rows.count)
        if len(place) == 0:
            return JointFit(nothing, torch.zeros_like(rows.weight))
        own, fitted = rows.of_rows(place)
        part = _Fit(model, own, seen[place], config, known[fitted])
        said = [prediction[place] for prediction in predictions]
        found, weight = part.fit(said, from_keypoints, points[fitted])
        hands = nothing.with_rows(fitted, found)
        return JointFit(hands, torch.zeros_like(rows.weight).index_copy(0, place, weight))


@dataclass(frozen=True)
class _Fit:
    """B hands of which every row is usable."""

    model: FitModel
    rows: RigRows
    seen: NormalisedHands
    config: FitConfig
    known: KnownShape

    def fit(
        self, predictions: Sequence[Prediction], from_keypoints: bool, points: Tensor
    ) -> tuple[KeypointFit, Tensor]:
        """The fit, and the weights (N,) with which it was made."""
        config, model = self.config, self.model
        alone = KeypointProblem(model, KeypointTargets.of(self.seen), without_priors(config))
        problem = JointProblem(model, self.rows, alone, config.energies, self.known)
        source = CandidateSource(model, self.rows, self.seen, config, self.known, points)
        best, begun = self._best(problem, source.candidates(predictions, from_keypoints))
        options = LevenbergMarquardt(max_iterations=config.max_iterations)
        result = levenberg_marquardt(problem, best, options, model.manifold)
        weight = self.rows.weight
        iterations = result.iterations
        for _ in range(_REWEIGHTED):
            changed = self.weights_by(result.params)
            moved = (changed - weight).abs() > 0.05
            again = self.rows.sum(moved.long()).nonzero().flatten()
            if len(again) == 0:
                break
            # The others keep the weights with which they were fitted.
            refitted = torch.zeros(self.rows.count, dtype=torch.bool, device=moved.device)
            weight = torch.where(
                refitted.index_fill(0, again, True)[self.rows.hand], changed, weight
            )
            part = problem.weighted(weight).select(again)
            after = levenberg_marquardt(part, result.params[again], options, model.manifold)
            result = result.with_rows(again, after)
            iterations = iterations.index_add(0, again, after.iterations)
        params = self.known.sized(model.size, result.params)
        return KeypointFit(params, result.cost, iterations, result.status, begun), weight

    def weights_by(self, params: HandParams) -> Tensor:
        """(N,) weights of the rows by what is left between them and hands in the rig's frame."""
        apart = self.distances(params).cpu().numpy()
        hand = self.rows.hand.cpu().numpy()
        found = apart.copy()
        for number in range(self.rows.count):
            own = hand == number
            found[own] = agreement(apart[own])
        return torch.as_tensor(found).to(self.rows.weight)

    def distances(self, params: HandParams) -> Tensor:
        """(N,) root mean square distance of the keypoints from the lines of sight on which they
        were detected, weighted by confidence, in `HAND_LENGTH`; infinite behind the camera."""
        seen = self.rows.in_views(params, RootJoint.of(self.model.keypoints))
        points = pose_keypoints(self.model.keypoints, seen)[1]
        rays = rays_of(self.seen.intrinsics, self.seen.keypoints)
        apart = points - points[..., 2:] * rays
        mass = self.seen.confidence * seen_keypoints(self.seen.confidence)
        squared = torch.where(mass > 0, mass * apart.square().sum(-1), 0.0).sum(-1)
        distance = (squared / mass.sum(-1).clamp_min(1e-9)).sqrt() / HAND_LENGTH
        return torch.where((points[..., 2] > 0).all(-1), distance, torch.inf)

    def _best(self, problem: JointProblem, candidates: Candidates) -> tuple[HandParams, Tensor]:
        """The candidate of the lowest cost of each hand after a few iterations, and its source."""
        tried = problem.select(candidates.hand)
        states, cost = few_iterations(tried, candidates.params, self.config)
        order = cost.argsort(stable=True)
        order = order[candidates.hand[order].argsort(stable=True)]
        hand = candidates.hand[order]
        first = torch.ones_like(hand, dtype=torch.bool)
        first[1:] = hand[1:] != hand[:-1]
        best = order[first.nonzero().flatten()]
        return states[best], candidates.source[best]


def without_priors(config: FitConfig) -> FitConfig:
    """The options of the keypoint fit without what is known of hands in general."""
    names = ("limit_weight", "pose_prior_weight", "shape_prior_weight", "size_prior_weight")
    return config.model_copy(update=dict.fromkeys(names, 0.0))
