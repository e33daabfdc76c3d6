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
    Where the first look finds nothing, or only small hands, windows of the picture are searched.
Duplicates
    One hand found twice, under either side, is reported once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from fitter.detection.backend import Backend, load_backend
from fitter.detection.looks import FULL_DETAIL, distrust_outside, doubted, merge_looks
from fitter.detection.same_hand import drop_duplicates, hand_size, ordered_distance
from fitter.detection.search import search_windows
from fitter.detection.windows import Picture, Window
from fitter.errors import InputError
from fitter.records import HandObservation, ImageRecord

SMALL_HAND = 0.2
"""Share of the picture's longer side below which there may be more hands that the first look has
missed: the palm detector sees the picture at 192 pixels, and loses open hands from a share of 0.1
down, others earlier."""

SAME_HAND = 0.3
"""Mean distance of corresponding keypoints over hand size up to which two looks see one hand."""

DOUBT = 2.0
"""How much farther from all others a hand that the second look did not find has to lie to be taken
for another hand."""

AGREEMENT = 0.5
"""Mean confidence of the keypoints below which two looks are followed by a third."""


class Detector(Protocol):
    """Finds hands in pictures."""

    def detect(self, image: ImageRecord) -> list[HandObservation]:
        """Hands of one picture, the surest first; an empty list when there is none."""
        ...


@dataclass(frozen=True)
class DetectorOptions:
    """What a caller may choose about a `HandDetector`.

    Attributes:
        max_hands: most hands to report in a picture.
        min_score: in [0, 1]; least palm score, and least probability of the landmark network that
            its window shows a hand.
        second_pass: look at every hand again, in a mirrored window. Without it every keypoint's
            confidence is the hand's score.
        search: search windows where the first look finds nothing or only small hands.

    Raises:
        InputError: a number is out of range.
    """

    max_hands: int = 2
    min_score: float = 0.5
    second_pass: bool = True
    search: bool = True

    def __post_init__(self) -> None:
        if self.max_hands < 1:
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
        self._backend = backend or load_backend("builtin", self.options.min_score)
        self._is_closed = False

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
        if self._is_closed:
            raise RuntimeError("a closed detector was asked for hands")
        picture, most = Picture(image.pixels), self.options.max_hands
        (found,) = self._backend.find(picture, [Window.whole(picture.pixels)])
        hands = drop_duplicates(found)
        if self.options.search and self._should_search(hands, picture):
            hands = self._search(picture, hands)
        # A few more than asked for, so that duplicates do not take the places of hands.
        hands = hands[: most + 2]
        if self.options.second_pass:
            hands = self._confirmed(picture, hands)
        hands = sorted(hands, key=_sureness, reverse=True)[:most]
        height, width = picture.pixels.shape[:2]
        return [distrust_outside(hand, width, height) for hand in hands]

    def close(self) -> None:
        """Free the networks; a second call does nothing."""
        self._is_closed = True
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _should_search(self, hands: list[HandObservation], picture: Picture) -> bool:
        if not hands:
            return True
        smallest = min(hand_size(hand) for hand in hands)
        return len(hands) < self.options.max_hands and smallest < SMALL_HAND * max(
            picture.pixels.shape[:2]
        )

    def _search(self, picture: Picture, hands: list[HandObservation]) -> list[HandObservation]:
        """Add what windows show, coarse windows first, until there are hands enough."""
        enough = self.options.max_hands if hands else 1
        height, width = picture.pixels.shape[:2]
        rounds = search_windows(width, height)
        # The first round looks for a hand that fills the picture: pointless beside small ones.
        for windows in rounds[1:] if hands else rounds:
            for window, found in zip(windows, self._backend.find(picture, windows), strict=True):
                # A window that cuts a hand shows a wrong one; its neighbour overlaps by half.
                hands = hands + [hand for hand in found if not window.cuts(hand, picture.pixels)]
            hands = drop_duplicates(hands)
            if len(hands) >= enough:
                break
        return hands

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
        confirmed = drop_duplicates(self._merged(picture, seen))
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


def _sureness(hand: HandObservation) -> float:
    """What decides which hands are kept: a hand is as sure as its keypoints are."""
    return hand.score * float(hand.confidence.mean())


def _detail(hand: HandObservation) -> float:
    """Pixels of the window around a hand per pixel of the picture, so that it shows all detail."""
    return FULL_DETAIL / max(hand_size(hand), 1.0)
