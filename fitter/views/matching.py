"""Which hands of different views are one hand: those whose lines of sight meet in a hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy.optimize import linear_sum_assignment

from fitter.conventions import HAND_SIZES
from fitter.fitting.detected_frame import DetectedFrame
from fitter.fitting.detected_image import DetectedImage
from fitter.records import HandObservation, Side
from fitter.rig import RigCamera
from fitter.views.triangulation import (
    DISAGREEMENT,
    HAND_LENGTH,
    LinesOfSight,
    Sights,
    agreed_points,
    in_parts,
    noise_of,
)

FARTHEST = 0.35
"""Root mean square distance of a hand's keypoints from the lines of sight of a view, in
`HAND_LENGTH`, beyond which two hands are two. A camera whose calibration is turned by 5 degrees
sees a hand at half a metre a quarter of its length beside its place. # not published"""

OTHER_SIDE = 0.25
"""What it adds to that distance if a detector takes one for a left and one for a right hand: it may
err, but then all else has to fit. # not published"""

LEAST_SHARED = 6
"""Keypoints that two views both have to see to be known for one hand. # not published"""

_MIDDLE = (0, 9, 10, 11, 12)
"""Keypoints from the wrist to the middle fingertip, the path of `HAND_SIZES`."""


@dataclass(frozen=True)
class ViewedHand:
    """One hand of a frame.

    Attributes:
        places: view -> place of the hand among those found in the view, views ascending.
        side: that most views see, by their confidence in it.
        points: (21, 3) metres, the rig's frame, where the lines of sight meet; NaN where fewer than
            two views see a keypoint.
        weights: of the views of `places`, in their order, by how they agree on `points`.
        noise: of the keypoints, by how far views disagree, see `noise_of`; NaN for one view.
    """

    places: dict[int, int]
    side: Side
    points: np.ndarray
    weights: np.ndarray
    noise: float = float("nan")


def sights_of(
    cameras: Sequence[RigCamera], images: Sequence[DetectedImage], hands: Sequence[HandObservation]
) -> Sights:
    """What cameras see of one hand each."""
    positions = []
    for image, hand in zip(images, hands, strict=True):
        assert image.intrinsics is not None  # it has hands
        pixels = np.concatenate([hand.keypoints, np.ones((21, 1))], 1)
        positions.append((pixels @ np.linalg.inv(image.intrinsics).T)[:, :2])
    return Sights(
        positions=np.stack(positions),
        confidence=np.stack([hand.confidence for hand in hands]),
        rotation=np.stack([camera.rotation for camera in cameras]),
        translation=np.stack([camera.translation for camera in cameras]),
    )


def match_hands(frame: DetectedFrame) -> list[ViewedHand]:
    """The hands of a frame, those that most views see first, then those of the greatest scores.

    Groups of hands grow: the two views that fit best begin, then the next view's hands are
    assigned to the groups there are, each at most to one, so that what lies apart from its group
    is least in all (Hungarian method); a hand that lies farther off than `FARTHEST` from every
    group begins its own. A hand that only one view has stays a hand of one view.
    """
    usable = {
        view: [k for k, hand in enumerate(image.hands) if _is_usable(hand)]
        for view, image in enumerate(frame.views)
        if image is not None
    }
    matcher = _Matcher(frame, {view: places for view, places in usable.items() if places})
    groups = matcher.groups()
    for view, image in enumerate(frame.views):
        # One that cannot be fitted is said to be there.
        for place in range(0 if image is None else len(image.hands)):
            if place not in usable[view]:
                groups.append({view: place})
    hands = [matcher.hand(group) for group in groups]
    return sorted(hands, key=lambda hand: (-len(hand.places), -matcher.score(hand)))


def _is_usable(hand: HandObservation) -> bool:
    return bool(np.isfinite(hand.keypoints).all() and np.isfinite(hand.confidence).all())


Group = dict[int, int]


@dataclass(frozen=True)
class _Matcher:
    """Attributes:
    frame: whose hands are matched.
    usable: view -> places of its hands that have lines of sight; no view without.
    known: see `_met`.
    """

    frame: DetectedFrame
    usable: dict[int, list[int]]
    known: dict[tuple[int, ...], tuple[np.ndarray, bool]] = field(default_factory=dict)

    def groups(self) -> list[Group]:
        waiting = sorted(self.usable)
        if len(waiting) < 2:
            return [{view: place} for view in waiting for place in self.usable[view]]
        groups = self._begun(waiting)
        waiting = [view for view in waiting if not any(view in group for group in groups)]
        while waiting:
            found = [(*self._assigned(groups, view), view) for view in waiting]
            _, grown, view = min(found, key=lambda each: each[0])
            groups = grown
            waiting.remove(view)
        return groups

    def _begun(self, views: list[int]) -> list[Group]:
        """The groups of the two views that fit best."""
        tried = []
        for i, first in enumerate(views):
            alone = [{first: place} for place in self.usable[first]]
            tried += [self._assigned(alone, second) for second in views[i + 1 :]]
        return min(tried, key=lambda each: each[0])[1]

    def _assigned(self, groups: list[Group], view: int) -> tuple[float, list[Group]]:
        """Groups with the hands of one more view, and the mean of what they lie apart, a hand
        without a group counted as `FARTHEST`."""
        places = self.usable[view]
        apart = np.stack([self._apart(group, view) for group in groups])
        rows, columns = linear_sum_assignment(np.minimum(apart, FARTHEST))
        grown, taken = [dict(group) for group in groups], set()
        for row, column in zip(rows, columns, strict=True):
            if apart[row, column] < FARTHEST:
                grown[row][view] = places[column]
                taken.add(column)
        grown += [{view: place} for k, place in enumerate(places) if k not in taken]
        cost = np.minimum(apart, FARTHEST)[rows, columns].sum()
        alone = max(len(places), len(groups)) - len(rows)
        return float(cost + FARTHEST * alone) / max(len(places), len(groups)), grown

    def _apart(self, group: Group, view: int) -> np.ndarray:
        """(K,) how far the hands of a view lie from a group, see `FARTHEST`; infinite for what can
        be no hand, or shares too few keypoints to tell."""
        own = [self.every.place[each] for each in group.items()]
        new = [self.every.place[view, place] for place in self.usable[view]]
        if len(own) == 1:
            apart = self._pairs[own[0], new]
        else:
            points, has_size = self._met(tuple(own))
            sights = self.every.sights.of(new)
            few = sights.shared(points) < LEAST_SHARED
            apart = np.where(few | (not has_size), np.inf, sights.distances(points))
        sides = self.every.sides
        other = np.array([{sides[k] for k in own} != {sides[k]} for k in new])
        return np.asarray(apart + OTHER_SIDE * other)

    @cached_property
    def every(self) -> _Hands:
        """All usable hands."""
        return _Hands.of(self.frame, self.usable)

    @cached_property
    def _pairs(self) -> np.ndarray:
        """(M, M) how far each two of all hands lie apart, without regard to their sides."""
        every = self.every
        apart = np.full((len(every.sides),) * 2, np.inf)
        views = np.array([view for view, _ in every.place])
        pairs = np.argwhere(views[:, None] < views)
        lines = LinesOfSight.of(every.sights)
        for part in in_parts(pairs):
            points, sights = lines.meet(part), every.sights.of(part)
            distances = sights.distances(points)
            noise = np.sqrt(np.square(distances).sum(1))
            may_be = _has_size(points, _spread(lines, part, noise))
            may_be &= (sights.shared(points) >= LEAST_SHARED).all(1)
            found = np.where(may_be, distances.max(1), np.inf)
            apart[part[:, 0], part[:, 1]] = apart[part[:, 1], part[:, 0]] = found
        return apart

    def _met(self, own: tuple[int, ...]) -> tuple[np.ndarray, bool]:
        """(21, 3) where the lines of sight of some of the hands meet, and whether it may be a hand;
        once for each group, whatever is tried beside it."""
        if own not in self.known:
            sights = self.every.sights.of(own)
            points, weights = agreed_points(sights)
            lines = LinesOfSight.of(sights.weighted(weights))
            noise = np.array([noise_of(sights, points, weights)])
            spread = _spread(lines, np.arange(len(own))[None], noise)
            self.known[own] = points, bool(_has_size(points[None], spread)[0])
        return self.known[own]

    def hand(self, group: Group) -> ViewedHand:
        ordered = dict(sorted(group.items()))
        seen = [self._seen(each) for each in ordered.items()]
        if len(seen) == 1:
            unknown = np.full((21, 3), np.nan)
            return ViewedHand(ordered, seen[0].side, unknown, np.ones(1))
        votes = sum((hand.side_score - 0.5) * (1 if hand.side == "right" else -1) for hand in seen)
        side: Side = seen[0].side if votes == 0 else "right" if votes > 0 else "left"
        sights = self.every.sights.of([self.every.place[each] for each in ordered.items()])
        points, weights = agreed_points(sights)
        return ViewedHand(ordered, side, points, weights, noise_of(sights, points, weights))

    def score(self, hand: ViewedHand) -> float:
        return sum(self._seen(each).score for each in hand.places.items())

    def _seen(self, each: tuple[int, int]) -> HandObservation:
        image = self.frame.views[each[0]]
        assert image is not None  # it has hands
        return image.hands[each[1]]


@dataclass(frozen=True)
class _Hands:
    """All hands of a frame that have lines of sight.

    Attributes:
        place: (view, place in the view) -> row of `sights`.
        sights: M rows.
        sides: of each.
    """

    place: dict[tuple[int, int], int]
    sights: Sights
    sides: list[Side]

    @classmethod
    def of(cls, frame: DetectedFrame, usable: dict[int, list[int]]) -> _Hands:
        every = [(view, place) for view, places in usable.items() for place in places]
        images = [image for view, _ in every if (image := frame.views[view]) is not None]
        hands = [image.hands[k] for image, (_, k) in zip(images, every, strict=True)]
        cameras = [frame.rig.cameras[view] for view, _ in every]
        place = {each: row for row, each in enumerate(every)}
        return cls(place, sights_of(cameras, images, hands), [hand.side for hand in hands])


def _spread(lines: LinesOfSight, views: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """(Q, 21) square metres: variances of where lines of sight of views (Q, K) meet, all three
    coordinates together, for keypoints of the noise (Q,) in `HAND_LENGTH`, at most that with which
    views still agree."""
    bounded = np.nan_to_num(noise, nan=0.0, posinf=np.inf).clip(max=DISAGREEMENT / 2)
    return np.asarray(lines.variance(views) * np.square(bounded * HAND_LENGTH)[:, None])


def _has_size(points: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """(Q,) bool: whether keypoints (Q, 21, 3) may be those of a hand, by their length; unknown ones
    may.

    Errors make what they scatter longer: of each bone only what is beyond two standard deviations
    (their squares are the sums of the `spread` (Q, 21) of both ends) is too long.
    """
    path = list(_MIDDLE)
    squared = np.square(np.diff(points[:, path], axis=1)).sum(-1)
    error = spread[:, path[1:]] + spread[:, path[:-1]]
    length = np.sqrt(squared).sum(1)
    surely = np.sqrt(np.maximum(squared - 4 * error, 0.0)).sum(1)
    fits = (length >= HAND_SIZES[0] / 1.5) & (surely <= HAND_SIZES[1] * 1.5)
    return np.asarray(~np.isfinite(length) | fits)


def as_of_side(hand: HandObservation, side: Side) -> HandObservation:
    """The same observation of a hand of that side."""
    return hand if hand.side == side else replace(hand, side=side, side_score=0.5)
