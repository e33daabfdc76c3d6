"""The package `mediapipe` as a `Backend`: its own graphs, or a `.task` file with any release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from fitter.detection.same_hand import hand_size
from fitter.detection.windows import Picture, Window
from fitter.records import HandObservation

LOOK_PIXELS = (256, 1280)
"""Least and largest side in pixels of the image of a window in which hands are looked for."""

FOLLOW_MARGIN = 2.0
"""Side of the window around a known hand over the hand's size: the landmark network takes a turned
part of it, which should not lie beyond it."""

FOLLOW_PIXELS = 384
"""Side of that window in its own pixels: the hand then fills about the 224 pixels that the landmark
network sees."""

_LEAST_WINDOW = 16.0


class HandGraphs(Protocol):
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


class MediaPipeBackend:
    """A `Backend` of MediaPipe's graphs, one window after another."""

    def __init__(self, graphs: HandGraphs) -> None:
        self._graphs = graphs

    @classmethod
    def load(cls, task: Path | None, hand_count: int, min_score: float) -> MediaPipeBackend:
        """Load the package's graphs.

        Args:
            task: file of MediaPipe's hand landmarker; None for the networks inside `mediapipe`.
            hand_count: most hands to report of a window.
            min_score: see `fitter.detection.backend.load_backend`.

        Raises:
            InputError: `mediapipe` cannot be imported or carries no networks, or the task file
                cannot be used.
        """
        if task is None:
            from fitter.detection.mediapipe_graph import HandGraph

            return cls(HandGraph(hand_count, min_score))
        from fitter.detection.mediapipe_task import TaskLandmarker

        return cls(TaskLandmarker(task, hand_count, min_score))

    def find(self, picture: Picture, windows: Sequence[Window]) -> list[list[HandObservation]]:
        """See `Backend.find`."""
        return [self._find(picture, window) for window in windows]

    def _find(self, picture: Picture, window: Window) -> list[HandObservation]:
        pixels = int(np.clip(round(window.size), *LOOK_PIXELS))
        (image,) = picture.cut([window], pixels)
        return [_to_picture(window, hand, pixels) for hand in self._graphs.look(image)]

    def follow(
        self, picture: Picture, hands: Sequence[HandObservation], mirrored: bool
    ) -> list[HandObservation | None]:
        """See `Backend.follow`."""
        return [self._follow(picture, hand, mirrored) for hand in hands]

    def _follow(
        self, picture: Picture, hand: HandObservation, mirrored: bool
    ) -> HandObservation | None:
        centre = 0.5 * (hand.box[:2] + hand.box[2:])
        size = max(FOLLOW_MARGIN * hand_size(hand), _LEAST_WINDOW)
        window = Window(centre, size, mirrored=mirrored)
        (image,) = picture.cut([window], FOLLOW_PIXELS)
        known = window.from_picture(hand, FOLLOW_PIXELS)
        known = replace(known, keypoints=known.keypoints + 0.5)
        found = self._graphs.look_again(image, known)
        return None if found is None else _to_picture(window, found, FOLLOW_PIXELS)

    def close(self) -> None:
        """Free the graphs; a second call does nothing."""
        self._graphs.close()


def _to_picture(window: Window, hand: HandObservation, pixels: int) -> HandObservation:
    """A hand of a window's image, whose first pixel covers [0, 1], in the picture's pixels."""
    return window.to_picture(replace(hand, keypoints=hand.keypoints - 0.5), pixels)
