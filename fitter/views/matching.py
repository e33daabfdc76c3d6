"""Which hands of different views are one hand: those whose lines of sight meet in a hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from fitter.conventions import HAND_SIZES
from fitter.fitting.detected_frame import DetectedFrame
from fitter.fitting.detected_image import DetectedImage
from fitter.records import HandObservation, Side
from fitter.rig import RigCamera
from fitter.views.triangulation import Sights, agreed_points, noise_of, triangulate

FARTHEST = 0.35
"""Root mean square distance of a hand's keypoints from the lines of sight of a view, in
`HAND_LENGTH`, beyond which two hands are two. A camera whose calibration is turned by 5 degrees
sees a hand at half a metre a quarter of its length beside its place."""

OTHER_SIDE = 0.25
"""What it adds to that distance if a detector takes one for a left and one for a right hand: it may
err, but then all else has to fit."""

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
    """

    frame: DetectedFrame
    usable: dict[int, list[int]]

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
        apart = np.array([[self._apart(group, view, k) for k in places] for group in groups])
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

    def _apart(self, group: Group, view: int, place: int) -> float:
        """How far a hand lies from a group, see `FARTHEST`; infinite for what can be no hand."""
        sights = self._sights({**group, view: place})
        if len(group) == 1:
            points = triangulate(sights)
            distance = sights.distances(points).max()
        else:
            points = agreed_points(sights.of(list(range(len(group)))))[0]
            distance = sights.distances(points)[-1]
        if not np.isfinite(distance) or not _has_size(points):
            return np.inf
        sides = {self._seen(each).side for each in {**group, view: place}.items()}
        return float(distance) + OTHER_SIDE * (len(sides) > 1)

    def hand(self, group: Group) -> ViewedHand:
        ordered = dict(sorted(group.items()))
        seen = [self._seen(each) for each in ordered.items()]
        if len(seen) == 1 or not all(_is_usable(hand) for hand in seen):
            unknown = np.full((21, 3), np.nan)
            return ViewedHand(ordered, seen[0].side, unknown, np.ones(len(seen)))
        votes = sum((hand.side_score - 0.5) * (1 if hand.side == "right" else -1) for hand in seen)
        side: Side = seen[0].side if votes == 0 else "right" if votes > 0 else "left"
        sights = self._sights(ordered)
        points, weights = agreed_points(sights)
        noise = noise_of(sights.distances(points), weights)
        return ViewedHand(ordered, side, points, weights, noise)

    def score(self, hand: ViewedHand) -> float:
        return sum(self._seen(each).score for each in hand.places.items())

    def _sights(self, group: Group) -> Sights:
        images = [self.frame.views[view] for view in group]
        known = [image for image in images if image is not None]
        cameras = [self.frame.rig.cameras[view] for view in group]
        return sights_of(cameras, known, [self._seen(each) for each in group.items()])

    def _seen(self, each: tuple[int, int]) -> HandObservation:
        image = self.frame.views[each[0]]
        assert image is not None  # it has hands
        return image.hands[each[1]]


def _has_size(points: np.ndarray) -> bool:
    """Whether keypoints (21, 3) may be those of a hand, by their length; unknown ones may."""
    length = float(np.linalg.norm(np.diff(points[list(_MIDDLE)], axis=0), axis=1).sum())
    return not np.isfinite(length) or HAND_SIZES[0] / 1.5 <= length <= HAND_SIZES[1] * 1.5


def as_of_side(hand: HandObservation, side: Side) -> HandObservation:
    """The same observation of a hand of that side."""
    return hand if hand.side == side else replace(hand, side=side, side_score=0.5)
