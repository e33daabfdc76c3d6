"""Finding hands: 21 keypoints, side and weak depth of every hand in a picture.

`HandDetector` looks with a `Backend`: MediaPipe's networks run by us, or the package `mediapipe`.
What it adds to them:

Position
    MediaPipe's normalised landmarks times the image size put pixel centres at whole numbers:
    turning a picture by 180 degrees moves its landmarks by one pixel in x and y against
    ``size - position`` (measured 0.93 over real hands; 0 would be the other convention), and
    enlarging it twofold moves them as half a pixel predicts. So half a pixel is added.
Side
    The graphs inside the package name the side as seen in a mirror; it is swapped. With a task
    file MediaPipe names the true side.
Second look
    Each hand is looked at again in a mirrored window around it by the landmark network alone, which
    the first look tells where to look, as from frame to frame of a video (with a task file by both
    networks); a third look replaces the first where the two disagree widely. Two looks are
    averaged, and how far they disagree is each keypoint's confidence: MediaPipe itself gives none
    for single landmarks.
Search
    Where the whole picture shows nothing, or only small hands, windows of it are searched, see
    `fitter.detection.search`.
Appearance
    Grey and dark pictures are changed for the networks; where nothing is found, overexposed and
    red-blue swapped ones, too, see `fitter.detection.appearance`.
Duplicates
    One hand found twice, under either side, is reported once: by the find whose two looks agree
    best. The palm network's score says nothing of the landmarks: it was greatest for the one find
    of eight that had an edge-on hand's fingers in reverse.
Score
    The palm's, times the least probability of any look that there is a hand. Only after the second
    look hands of too small a score are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

from fitter.detection.appearance import other_appearances, seen_by_networks
from fitter.detection.backend import Backend, load_backend
from fitter.detection.hand_windows import hand_filling
from fitter.detection.looks import FULL_DETAIL, distrust_outside, doubted, merge_looks
from fitter.detection.same_hand import (
    drop_duplicates,
    hand_size,
    ordered_distance,
    rivals_of,
)
from fitter.detection.search import PLANS, SearchName
from fitter.detection.windows import Picture, Window
from fitter.errors import InputError
from fitter.records import HandObservation, ImageRecord

SAME_HAND = 0.3
"""Mean distance of corresponding keypoints over hand size up to which two looks see one hand."""

DOUBT = 2.0
"""How much farther from all others a hand that the second look did not find has to lie to be taken
for another hand."""

LEAST_FIRST_SCORE = 0.3
"""Least palm score, and least probability of a look that there is a hand, of whatever is looked at
a second time: small hands score low at first, and the second look tells them from other things."""

AGREEMENT = 0.5
"""Mean confidence of the keypoints below which two looks are followed by a third."""


SURE = 0.7
"""Palm score times probability of the first look, of a guess the probability squared, from which on
a find may end the search. Hands of real crops are above 0.9, a third of those in renders below 0.7;
what is found in the backgrounds of hands of 40 pixels is below 0.6."""

RIVALS = 3
"""Further finds of one hand, of different windows, that are looked at again."""


class Detector(Protocol):
    """Finds hands in pictures."""

    def detect(self, image: ImageRecord) -> list[HandObservation]:
        """Hands of one picture, the surest first; an empty list when there is none."""
        ...


@dataclass(frozen=True)
class DetectorOptions:
    """What a caller may choose about a `HandDetector`.

    Attributes:
        max_hands: most hands to report in a picture; None for all.
        min_score: in [0, 1]; least score of a hand after the second look.
        second_pass: look at every hand again, in a mirrored window. Without it every keypoint's
            confidence is the hand's score.
        search: "fast" searches a few windows where the whole picture shows no hand; "standard"
            all windows that may show hands smaller than those found; "thorough" all windows.

    Raises:
        InputError: a number is out of range.
    """

    max_hands: int | None = None
    min_score: float = 0.3
    second_pass: bool = True
    search: SearchName = "standard"

    def __post_init__(self) -> None:
        if self.max_hands is not None and self.max_hands < 1:
            raise InputError("detector.max_hands", file="max_hands", found=self.max_hands)
        if not 0.0 <= self.min_score <= 1.0:
            raise InputError("detector.min_score", file="min_score", found=self.min_score)


class HandDetector:
    """A `Detector` of any backend, with the additions this module names.

    Usable any number of times, from one thread at a time; close it, or use it in a ``with`` block,
    to free its networks.
    """

    def __init__(
        self, options: DetectorOptions | None = None, backend: Backend | None = None
    ) -> None:
        """Take a backend, or load the one that ships.

        Args:
            options: None for `DetectorOptions()`.
            backend: closed with the detector; None for MediaPipe's networks run by us.

        Raises:
            InputError: weights cannot be read.
        """
        self.options = options or DetectorOptions()
        self._backend = backend or load_backend("builtin", first_score(self.options.min_score))
        self._is_closed = False

    def detect(self, image: ImageRecord) -> list[HandObservation]:
        """Find hands in one picture.

        Args:
            image: the picture; its K is not used.

        Returns:
            At most `max_hands` hands, those of the greatest score times mean confidence, in that
            order. `score` is the palm detector's (with a task file that of the hand's side) times
            `presence`, and half of it where the second look did not find the hand again.

        Raises:
            RuntimeError: the detector is closed.
        """
        if self._is_closed:
            raise RuntimeError("a closed detector was asked for hands")
        hands = self._hands(Picture(seen_by_networks(image.pixels)))
        if self.options.search != "fast":
            for pixels in other_appearances(image.pixels):
                if not _has_sure(hands):
                    others = self._hands(Picture(pixels))
                    hands = others if _has_sure(others) else hands
        height, width = image.pixels.shape[:2]
        return [distrust_outside(hand, width, height) for hand in hands]

    def sided(self, image: ImageRecord, hand: HandObservation) -> HandObservation | None:
        """Which hand one is whose place is known.

        Args:
            image: the picture.
            hand: in it; of its side nothing is known.

        Returns:
            The hand with the side that two looks at it, one of them in a mirror, agree on or the
            surer one sees, and with its probability; None where neither sees a hand.

        Raises:
            RuntimeError: the detector is closed.
        """
        if self._is_closed:
            raise RuntimeError("a closed detector was asked for hands")
        picture = Picture(seen_by_networks(image.pixels))
        looks = [self._backend.follow(picture, [hand], mirrored)[0] for mirrored in (False, True)]
        right = [
            look.side_score if look.side == "right" else 1.0 - look.side_score
            for look in looks
            if look is not None
        ]
        if not right:
            return None
        share = sum(right) / len(right)
        return replace(
            hand, side="right" if share >= 0.5 else "left", side_score=max(share, 1.0 - share)
        )

    def close(self) -> None:
        """Free the networks; a second call does nothing."""
        self._is_closed = True
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hands(self, picture: Picture) -> list[HandObservation]:
        """The surest hands of a picture, after all looks."""
        most = self.options.max_hands
        hands, finds = self._search(picture)
        if most is not None:
            # A few more than asked for, so that duplicates do not take the places of hands.
            hands = hands[: most + 2]
        if self.options.second_pass:
            hands = self._confirmed(picture, [*hands, *rivals_of(hands, finds, RIVALS)])
        hands = [_with_presence(hand) for hand in hands]
        hands = [hand for hand in hands if hand.score >= self.options.min_score]
        return sorted(hands, key=_sureness, reverse=True)[:most]

    def _search(self, picture: Picture) -> tuple[list[HandObservation], list[HandObservation]]:
        """What the rounds of the search show at first look, until there are hands enough; the
        hands, and all finds, several of one hand among them."""
        plan, most = PLANS[self.options.search], self.options.max_hands
        height, width = picture.pixels.shape[:2]
        hands: list[HandObservation] = []
        finds: list[HandObservation] = []
        for part in plan.rounds(width, height):
            sure = [hand for hand in hands if _ends_search(hand)]
            if most is not None and len(sure) >= most:
                break
            if plan.wants(part, sure, max(width, height)):
                look = self._guessed if part.is_guess else self._backend.find
                found = look(picture, part.windows)
                finds += [hand for each in found for hand in each]
                hands = drop_duplicates(finds)
        return hands, finds

    def _guessed(self, picture: Picture, windows: Sequence[Window]) -> list[list[HandObservation]]:
        """What is seen in windows in which nobody has found a hand, each looked at once more around
        what was seen in it."""
        hands = [hand_filling(window) for window in windows]
        for _ in range(2):
            looks = self._backend.follow(picture, hands, mirrored=False)
            hands = [look for look in looks if look is not None]
        return [
            [hand if hand.presence is None else replace(hand, score=hand.presence)]
            for hand in hands
        ]

    def _confirmed(
        self, picture: Picture, hands: Sequence[HandObservation]
    ) -> list[HandObservation]:
        """The hands after a second look; those that it does not find are doubted."""
        second = self._again(picture, hands, mirrored=True)
        lost = [i for i, look in enumerate(second) if look is None]
        upright = self._again(picture, [hands[i] for i in lost], mirrored=False)
        for i, look in zip(lost, upright, strict=True):
            second[i] = look
        seen = [(a, b) for a, b in zip(hands, second, strict=True) if b is not None]
        confirmed = drop_duplicates(self._merged(picture, seen), rank=_agreement)
        doubtful = [doubted(a) for a, b in zip(hands, second, strict=True) if b is None]
        return drop_duplicates(doubtful, confirmed, DOUBT)

    def _merged(
        self, picture: Picture, looks: Sequence[tuple[HandObservation, HandObservation]]
    ) -> list[HandObservation]:
        """Two looks at each hand as one; the first may have been a poor one, at a small hand, so
        where they disagree two looks at windows are asked."""
        whole = 1.0
        merged = [merge_looks(a, b, (whole, _detail(a))) for a, b in looks]
        poor = [i for i, hand in enumerate(merged) if hand.confidence.mean() < AGREEMENT]
        third = self._again(picture, [looks[i][1] for i in poor], mirrored=False)
        for i, look in zip(poor, third, strict=True):
            if look is not None:
                first, second = looks[i]
                both = merge_looks(second, look, (_detail(first), _detail(second)))
                merged[i] = max(merged[i], both, key=lambda hand: hand.confidence.mean())
        return merged

    def _again(
        self, picture: Picture, hands: Sequence[HandObservation], mirrored: bool
    ) -> list[HandObservation | None]:
        """The same hands found in windows around them, where they are found there."""
        return [
            look if look is not None and ordered_distance(hand, look) < SAME_HAND else None
            for hand, look in zip(
                hands, self._backend.follow(picture, hands, mirrored), strict=True
            )
        ]


def first_score(min_score: float) -> float:
    """The least score of a first look for a backend whose hands need `min_score` in the end."""
    return min(min_score, LEAST_FIRST_SCORE)


def _with_presence(hand: HandObservation) -> HandObservation:
    """The hand with the score that it has after its last look."""
    return hand if hand.presence is None else replace(hand, score=hand.score * hand.presence)


def _agreement(hand: HandObservation) -> float:
    """How well two looks at a hand agree."""
    return float(hand.confidence.mean())


def _ends_search(hand: HandObservation) -> bool:
    """Whether a first look is so sure that there need be no other hand."""
    return hand.score * (1.0 if hand.presence is None else hand.presence) >= SURE


def _has_sure(hands: Sequence[HandObservation]) -> bool:
    return not all(hand.is_doubtful for hand in hands)


def _sureness(hand: HandObservation) -> float:
    """What decides which hands are kept: a hand is as sure as its keypoints are."""
    return hand.score * float(hand.confidence.mean())


def _detail(hand: HandObservation) -> float:
    """Pixels of the window around a hand per pixel of the picture, so that it shows all detail."""
    return FULL_DETAIL / max(hand_size(hand), 1.0)
