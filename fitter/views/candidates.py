"""Where joint fits may begin: poses that single views or all of them together suggest, in the rig's
frame and at the place where lines of sight meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fitter.config.options import FitConfig
from fitter.fitting.fit_model import FitModel
from fitter.fitting.initialisations import propose_initialisations
from fitter.fitting.initializer import Prediction
from fitter.fitting.network_prior import predicted_initialisations
from fitter.hand_models import inverse_kinematics, pose_keypoints
from fitter.hand_models.known_shape import KnownShape
from fitter.records import HandParams, NormalisedHands
from fitter.rotations import roma
from fitter.views.rows import RigRows, RootJoint, to_rig

_LEAST_KNOWN = 6
"""Triangulated keypoints that place the others. # not published"""


@dataclass(frozen=True)
class Candidates:
    """C states of B hands; every hand has at least one.

    Attributes:
        params: in the rig's frame.
        hand: (C,) int64 whose.
        source: (C,) int64 see `fitter.fitting.keypoint_fit.KeypointFit.initialisation`.
    """

    params: HandParams
    hand: Tensor
    source: Tensor

    @classmethod
    def of(cls, parts: Sequence[tuple[HandParams, Tensor, int]]) -> Candidates:
        """Together, each part with whose they are and one source."""
        params = zip(*(vars(part).values() for part, _, _ in parts), strict=True)
        return cls(
            HandParams(*(torch.cat(values) for values in params)),
            torch.cat([hand for _, hand, _ in parts]),
            torch.cat([torch.full_like(hand, source) for _, hand, source in parts]),
        )


@dataclass(frozen=True)
class CandidateSource:
    """What candidates are made of.

    Attributes:
        model: right-hand model.
        rows: N rows of B hands, mirrored where these are left ones.
        seen: what was seen in them, all usable.
        config: how many typical poses.
        known: of the B hands' shapes.
        points: (B, 21, 3) metres, the rig's frame, where lines of sight meet; NaN where they do
            not.
    """

    model: FitModel
    rows: RigRows
    seen: NormalisedHands
    config: FitConfig
    known: KnownShape
    points: Tensor

    def candidates(self, predictions: Sequence[Prediction], from_keypoints: bool) -> Candidates:
        """The pose of the triangulated keypoints by inverse kinematics, the networks' of each view,
        and typical poses placed on the keypoints of each view, if asked or for want of others.

        A fit without iterations begins where networks say, with the hands as they pose them; then
        the pose of the triangulated keypoints, too, is for want of others.

        Args:
            predictions: what networks say of the rows, the most trusted first.
            from_keypoints: also typical poses of hands that have others.
        """
        rows, as_said = self.rows, self.config.max_iterations == 0
        whole = completed(self.model.keypoints.rest_keypoints()[0], self.points)
        met = inverse_kinematics(self.model.keypoints, whole)
        every = torch.arange(rows.count, device=rows.hand.device)
        found = [(self.known.sized(self.model.size, met), every, 0)]
        any_yet = met.transl.isfinite().all(-1)
        any_said = torch.zeros_like(any_yet)
        for number, prediction in enumerate(predictions, 1):
            said = predicted_initialisations(self.model, self.seen, prediction, as_said)
            there = self._placed(said, torch.arange(len(rows), device=rows.hand.device))
            found.append((there, rows.hand, number))
            finite = there.transl.isfinite().all(-1)
            any_said = any_said | (rows.sum(finite.long()) > 0)
        any_yet = any_yet | any_said
        if from_keypoints or not bool(any_yet.all()):
            asked = torch.full_like(any_yet, from_keypoints) | ~any_yet
            place = asked[rows.hand].nonzero().flatten()
            typical = propose_initialisations(self.model, self.seen[place], self.config)
            repeated = place.repeat(len(typical.transl) // len(place))
            found.append((self._placed(typical, repeated), rows.hand[repeated], 0))
        # A hand that nothing leads anywhere keeps its typical poses, to be diverged.
        kept = [params.transl.isfinite().all(-1) | ~any_yet[hand] for params, hand, _ in found]
        if as_said and not from_keypoints:
            kept[0] &= ~any_said
        return Candidates.of(
            [(p[k], hand[k], source) for (p, hand, source), k in zip(found, kept, strict=True)]
        )

    def _placed(self, hands: HandParams, place: Tensor) -> HandParams:
        """Hands (C) in the cameras of rows (C,), as hands of known shapes in the rig's frame, moved
        so that the middle of their keypoints is that of the triangulated ones, where known."""
        rows, keypoints = self.rows, self.model.keypoints
        of = rows.hand[place]
        hands = self.known[of].placed(self.model.size, hands)
        root = RootJoint.of(keypoints)
        there = to_rig(hands, rows.rotation[place], rows.translation[place], root)
        points = self.points[of]
        known = points.isfinite().all(-1, keepdim=True)
        apart = torch.where(known, points - pose_keypoints(keypoints, there)[1], 0.0).sum(1)
        return replace(there, transl=there.transl + apart / known.sum(1).clamp_min(1))


def completed(rest: Tensor, points: Tensor) -> Tensor:
    """Keypoints (B, 21, 3) of which unknown ones, NaN, lie where a hand at rest has them that is
    laid onto the others by a similarity; all NaN where fewer than `_LEAST_KNOWN` are known.

    Args:
        rest: (21, 3) metres, of the mean shape.
        points: metres.
    """
    known = points.isfinite().all(-1)
    placed = torch.where(known[..., None], points, 0.0)
    own, weights = rest.expand_as(placed), known.to(points)
    enough = known.sum(1) >= _LEAST_KNOWN
    # What is too little is computed as a hand at rest.
    weights = torch.where(enough[:, None], weights, 1.0)
    placed = torch.where(enough[:, None, None], placed, own)
    turn, moved, scale = roma.rigid_points_registration(own, placed, weights, compute_scaling=True)
    laid = scale[:, None, None] * own @ turn.mT + moved[:, None]
    whole = torch.where(known[..., None], points, laid)
    return torch.where(enough[:, None, None], whole, torch.nan)
