"""Finding hands: 21 keypoints, side and weak depth of every hand in a picture.

`MediaPipeDetector` runs the palm detector and the hand landmark network inside the package
`mediapipe`, or those of a `.task` file with any release of it. What it adds to them:

Position
    MediaPipe's normalised landmarks times the image size put pixel centres at whole numbers:
    turning a picture by 180 degrees moves its landmarks by one pixel in x and y against
    ``size - position`` (measured 0.93 over real hands; 0 would be the other convention), and
    enlarging it twofold moves them as half a pixel predicts. So half a pixel is added.
Side
    The graphs inside the package name the side as seen in a mirror; it is swapped. With a task
    file MediaPipe names the true side.
Second look
    Each hand is looked at again in a mirrored square window around it, enlarged where the hand is
    small, by the landmark network alone, which the first look tells where to look, as from frame
    to frame of a video (with a task file by both networks); a third look replaces the first where
    the two disagree widely. Two looks are averaged, and how far they disagree is each keypoint's
    confidence: MediaPipe itself gives none for single landmarks.
Search
    Where the first look finds nothing, or only small hands, windows of the picture are searched.
Duplicates
    One hand found twice, under either side, is reported once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, Self

import cv2
import numpy as np

from fitter.detection.mediapipe_graph import HandGraph
from fitter.detection.mediapipe_task import TaskLandmarker
from fitter.detection.windows import LARGEST_LOOK, Window, search_windows, weak_depth
from fitter.errors import InputError
from fitter.records import HandObservation, ImageRecord

WINDOW_MARGIN = 2.0
"""Side of the second look's window over the hand's size: the landmark network takes a turned part
of it, which should not lie beyond it."""

WINDOW_PIXELS = 384
"""Side of the second look's window in its own pixels: the hand then fills about the 224 pixels that
the landmark network sees."""

FULL_DETAIL = 160.0
"""Size in pixels of a hand from which on more pixels add no detail to the landmark network."""

SMALL_HAND = 0.2
"""Share of the picture's longer side below which there may be more hands that the first look has
missed: the palm detector sees the picture at 192 pixels, and loses open hands from a share of 0.1
down, others earlier."""

DISAGREEMENT_SCALE = 0.05
"""Distance of two looks at a keypoint, as a share of hand size, that halves its confidence."""

SAME_HAND = 0.3
"""Mean distance of corresponding keypoints over hand size up to which two looks see one hand."""

DUPLICATE_ORDERED = 0.25
"""Mean distance of corresponding keypoints over hand size below which two finds are one hand."""

DUPLICATE_UNORDERED = 0.06
"""The same for the nearest keypoints whatever their names: one hand found as a left and as a right
one has its keypoints on the same pixels in another order. Two hands laid over each other at random
turns measure 0.10 and all but one in a hundred more than 0.07."""

UNCONFIRMED = 0.5
"""Factor on score and confidence of a hand that the second look does not find."""

DOUBT = 2.0
"""How much farther from all others a hand that the second look did not find has to lie to be taken
for another hand."""

OUTSIDE = 0.1
"""Factor on the confidence of keypoints outside the picture: the networks place them by habit, and
two looks agree about them without either having seen them."""


class Detector(Protocol):
    """Finds hands in pictures."""

    def detect(self, image: ImageRecord) -> list[HandObservation]:
        """Hands of one picture, the surest first; an empty list when there is none."""
        ...


class HandNetworks(Protocol):
    """A palm detector and a hand landmark network, as `HandGraph` and `TaskLandmarker` run them."""

    def look(self, pixels: np.ndarray) -> list[HandObservation]:
        """Every hand that they report in (H, W, 3) uint8 RGB, in its pixels."""
        ...

    def look_again(self, pixels: np.ndarray, hand: HandObservation) -> HandObservation | None:
        """A hand whose place in `pixels` is known roughly, with its score, or None."""
        ...

    def close(self) -> None:
        """Free the networks; a second call does nothing."""
        ...


class MediaPipeDetector:
    """MediaPipe's hand networks, with the additions this module names.

    Usable any number of times, from one thread at a time; close it, or use it in a ``with`` block,
    to free its networks. For standard error see `HandGraph`.
    """

    def __init__(
        self,
        max_hands: int = 2,
        min_score: float = 0.5,
        second_pass: bool = True,
        search: bool = True,
        task: Path | None = None,
    ) -> None:
        """Load the networks.

        Args:
            max_hands: most hands to report in a picture.
            min_score: in [0, 1]; least palm score, and least score of the landmark network that
                its window holds a hand.
            second_pass: look at every hand again, in a mirrored window, for less than half of what
                the first look costs, or with a task file as much. Without it every keypoint's
                confidence is the hand's score.
            search: search windows where the first look finds nothing or only small hands.
            task: file of MediaPipe's hand landmarker; None for the networks inside `mediapipe`.

        Raises:
            InputError: a number is out of range, `mediapipe` cannot be imported or carries no
                networks, or the task file cannot be used.
        """
        if max_hands < 1:
            raise InputError("detector.max_hands", file="max_hands", found=max_hands)
        if not 0.0 <= min_score <= 1.0:
            raise InputError("detector.min_score", file="min_score", found=min_score)
        self.max_hands = max_hands
        self.second_pass = second_pass
        self.search = search
        # A few more than asked for, so that duplicates do not take the places of hands.
        self._graph = _networks(task, max_hands + 2, min_score)

    def detect(self, image: ImageRecord) -> list[HandObservation]:
        """Find hands in one picture.

        Args:
            image: the picture; its K is not used.

        Returns:
            At most `max_hands` hands, those of the greatest score times mean confidence, in that
            order. `score` is the palm detector's (with a task file that of the hand's side), halved
            where the second look did not find the hand again.

        Raises:
            RuntimeError: the detector is closed.
        """
        picture = image.pixels
        hands = self._first_look(picture)
        if self.search and self._should_search(hands, picture):
            hands = self._search(picture, hands)
        hands = hands[: self.max_hands + 2]
        if self.second_pass:
            looks = [self._look_again(picture, hand) for hand in hands]
            confirmed = drop_duplicates([look for look, is_confirmed in looks if is_confirmed])
            doubtful = [look for look, is_confirmed in looks if not is_confirmed]
            hands = drop_duplicates(doubtful, confirmed, DOUBT)
        hands = sorted(hands, key=_sureness, reverse=True)[: self.max_hands]
        return [_distrust_outside(hand, picture.shape[1], picture.shape[0]) for hand in hands]

    def close(self) -> None:
        """Free the networks; a second call does nothing."""
        self._graph.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _first_look(self, picture: np.ndarray) -> list[HandObservation]:
        height, width = picture.shape[:2]
        shrink = min(1.0, LARGEST_LOOK / max(height, width))
        if shrink == 1.0:
            return drop_duplicates(self._graph.look(picture))
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        scale = np.array([width / size[0], height / size[1]])
        return drop_duplicates(
            [
                replace(
                    hand,
                    keypoints=hand.keypoints * scale,
                    relative_depth=weak_depth(hand)[0] * scale[0],
                )
                for hand in self._graph.look(small)
            ]
        )

    def _should_search(self, hands: list[HandObservation], picture: np.ndarray) -> bool:
        if not hands:
            return True
        smallest = min(hand_size(hand) for hand in hands)
        return len(hands) < self.max_hands and smallest < SMALL_HAND * max(picture.shape[:2])

    def _search(self, picture: np.ndarray, hands: list[HandObservation]) -> list[HandObservation]:
        """Add what windows show, coarse windows first, until there are hands enough."""
        enough = self.max_hands if hands else 1
        rounds = search_windows(picture.shape[1], picture.shape[0])
        # The first round looks for a hand that fills the picture: pointless beside small ones.
        for windows in rounds[1:] if hands else rounds:
            for window in windows:
                found = [window.to_image(hand) for hand in self._graph.look(window.pixels(picture))]
                # A window that cuts a hand shows a wrong one; its neighbour overlaps by half.
                hands = hands + [hand for hand in found if not window.cuts(hand, picture)]
            hands = drop_duplicates(hands)
            if len(hands) >= enough:
                break
        return hands

    def _look_again(
        self, picture: np.ndarray, hand: HandObservation
    ) -> tuple[HandObservation, bool]:
        """The hand after a second look, and whether that look found it."""
        second = self._look_around(picture, hand, True) or self._look_around(picture, hand, False)
        if second is None:
            doubted = hand.confidence * UNCONFIRMED
            return replace(hand, score=hand.score * UNCONFIRMED, confidence=doubted), False
        merged = _merge(hand, second, (1.0, _window_scale(hand)))
        if merged.confidence.mean() < 0.5:
            # The first look may have been a poor one, at a small hand: ask two looks at windows.
            third = self._look_around(picture, second, False)
            if third is not None:
                scales = (_window_scale(hand), _window_scale(second))
                merged = max(
                    merged, _merge(second, third, scales), key=lambda h: h.confidence.mean()
                )
        return merged, True

    def _look_around(
        self, picture: np.ndarray, hand: HandObservation, mirrored: bool
    ) -> HandObservation | None:
        """The same hand found in a window around it, if it is found there."""
        centre = 0.5 * (hand.box[:2] + hand.box[2:])
        size = WINDOW_PIXELS / _window_scale(hand)
        window = Window.at(centre, size, WINDOW_PIXELS, mirrored)
        found = self._graph.look_again(window.pixels(picture), window.from_image(hand))
        if found is None:
            return None
        found = window.to_image(found)
        return found if ordered_distance(hand, found) < SAME_HAND else None


def _networks(task: Path | None, hand_count: int, min_score: float) -> HandNetworks:
    if task is None:
        return HandGraph(hand_count, min_score)
    return TaskLandmarker(task, hand_count, min_score)


def _sureness(hand: HandObservation) -> float:
    """What decides which hands are kept: a hand is as sure as its keypoints are."""
    return hand.score * float(hand.confidence.mean())


def _window_scale(hand: HandObservation) -> float:
    """Pixels of the window around a hand per pixel of the picture."""
    return WINDOW_PIXELS / max(WINDOW_MARGIN * hand_size(hand), 16.0)


def hand_size(hand: HandObservation) -> float:
    """Longer side in pixels of the box around a hand's keypoints."""
    return float(max(hand.box[2:] - hand.box[:2]))


def ordered_distance(a: HandObservation, b: HandObservation) -> float:
    """Mean distance of corresponding keypoints as a share of the larger hand's size."""
    distance = np.linalg.norm(a.keypoints - b.keypoints, axis=1).mean()
    return float(distance / max(hand_size(a), hand_size(b), 1e-9))


def unordered_distance(a: HandObservation, b: HandObservation) -> float:
    """Mean distance of each keypoint to the other hand's nearest, both ways, over the larger size.

    It is the symmetric chamfer distance of the two sets.
    """
    distance = np.linalg.norm(a.keypoints[:, None] - b.keypoints[None], axis=2)
    nearest = 0.5 * (distance.min(axis=0).mean() + distance.min(axis=1).mean())
    return float(nearest / max(hand_size(a), hand_size(b), 1e-9))


def drop_duplicates(
    hands: Sequence[HandObservation],
    kept: Sequence[HandObservation] = (),
    strictness: float = 1.0,
) -> list[HandObservation]:
    """Hands best score first, without those that lie on the keypoints of a better one.

    Boxes and sides are not asked: two hands may share a box, and one hand may be found under both
    sides. Two true hands that overlap have keypoints in different places, and stay.

    Args:
        hands: in any order.
        kept: hands that stay whatever the others are.
        strictness: factor on `DUPLICATE_ORDERED` and `DUPLICATE_UNORDERED`.

    Returns:
        All kept hands; equal scores keep their order.
    """
    result = list(kept)
    for hand in sorted(hands, key=lambda hand: -hand.score):
        if not any(
            ordered_distance(hand, other) < strictness * DUPLICATE_ORDERED
            or unordered_distance(hand, other) < strictness * DUPLICATE_UNORDERED
            for other in result
        ):
            result.append(hand)
    return sorted(result, key=lambda hand: -hand.score)


def _merge(
    first: HandObservation, second: HandObservation, scales: tuple[float, float]
) -> HandObservation:
    """Average two looks at one hand, each weighted by the detail it had.

    The confidence of keypoint k is ``1 / (1 + (d_k / (DISAGREEMENT_SCALE s))^2)`` with d_k the
    distance of the two looks at it and s the hand's size.

    Args:
        first: one look.
        second: another look.
        scales: for each look, pixels of what it looked at per pixel of the picture.
    """
    size = hand_size(first)
    details = np.minimum(1.0, np.array(scales) * size / FULL_DETAIL)
    share = float(details[0] / details.sum())

    def mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return share * a + (1.0 - share) * b

    gap = np.linalg.norm(first.keypoints - second.keypoints, axis=1)
    right = [
        hand.side_score if hand.side == "right" else 1.0 - hand.side_score
        for hand in (first, second)
    ]
    right_mean = share * right[0] + (1.0 - share) * right[1]
    (depth, xyz), (second_depth, second_xyz) = weak_depth(first), weak_depth(second)
    return HandObservation(
        keypoints=mean(first.keypoints, second.keypoints),
        confidence=1.0 / (1.0 + (gap / (DISAGREEMENT_SCALE * size)) ** 2),
        side="right" if right_mean >= 0.5 else "left",
        side_score=max(right_mean, 1.0 - right_mean),
        score=max(first.score, second.score),
        relative_depth=mean(depth, second_depth),
        relative_xyz=mean(xyz - xyz[0], second_xyz - second_xyz[0]),
    )


def _distrust_outside(hand: HandObservation, width: int, height: int) -> HandObservation:
    inside = ((hand.keypoints >= 0) & (hand.keypoints <= [width, height])).all(axis=1)
    return replace(hand, confidence=np.where(inside, 1.0, OUTSIDE) * hand.confidence)
