"""One hand from what the landmark network says of a window, and the window that a hand calls for.

The steps and their constants are those of MediaPipe's graph (Zhang et al. 2020, "MediaPipe Hands:
On-device Real-time Hand Tracking").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fitter.detection.networks.runtime import LandmarkValues
from fitter.detection.networks.shapes import LANDMARK_PIXELS
from fitter.detection.palms import upright_angle
from fitter.detection.windows import Window
from fitter.records import HandObservation

DEPTH_UNIT = 0.4
"""Pixels of the window of which the network's depth says how many."""

STEADY = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
"""Keypoints that the window follows: the palm and the first joints, which bend little."""

_ENLARGED, _FORWARD = 2.0, 0.1
"""Side of the window over the longer side of the turned box around `STEADY`, and how far its centre
lies toward the fingers, over the box's height."""


def hands_of(values: LandmarkValues, windows: Sequence[Window]) -> list[HandObservation]:
    """What the network says of N windows, in the picture's pixels and axes.

    Args:
        values: of the images of these windows.
        windows: as they were cut.

    Returns:
        A hand each, whether or not the window shows one. `score` and every keypoint's confidence
        are the probability that it does.
    """
    return [
        window.to_picture(_hand(values, i, window), LANDMARK_PIXELS)
        for i, window in enumerate(windows)
    ]


def _hand(values: LandmarkValues, i: int, window: Window) -> HandObservation:
    landmarks = values.landmarks[i].astype(np.float64)
    presence = float(values.presence[i])
    right = float(values.handedness[i])
    return HandObservation(
        keypoints=landmarks[:, :2],
        confidence=np.full(21, presence),
        side="right" if right >= 0.5 else "left",
        side_score=max(right, 1.0 - right),
        score=presence,
        relative_depth=(landmarks[:, 2] - landmarks[0, 2]) / DEPTH_UNIT,
        relative_xyz=values.world[i].astype(np.float64),
        features=_features(values.features[i], window.mirrored),
        presence=presence,
    )


def _features(features: np.ndarray, mirrored: bool) -> np.ndarray:
    """(2, F) see `HandObservation.features`."""
    both = np.full((2, len(features)), np.nan, dtype=np.float32)
    both[int(mirrored)] = features
    return both


def hand_window(hand: HandObservation, mirrored: bool) -> Window:
    """The window around a hand whose keypoints are known roughly: fingers up, palm in the middle.

    Args:
        hand: in the picture.
        mirrored: whether the network is to see it mirrored.
    """
    points = hand.keypoints
    angle = upright_angle(_palm_direction(points))
    cosine, sine = np.cos(angle), np.sin(angle)
    axes = np.array([[cosine, -sine], [sine, cosine]])
    box = points[list(STEADY)]
    middle = 0.5 * (box.min(axis=0) + box.max(axis=0))
    turned = (box - middle) @ axes
    low, high = turned.min(axis=0), turned.max(axis=0)
    size = high - low
    centre = 0.5 * (low + high) - [0.0, _FORWARD * size[1]]
    return Window(axes @ centre + middle, _ENLARGED * float(max(size.max(), 1.0)), angle, mirrored)


def _palm_direction(points: np.ndarray) -> np.ndarray:
    """(2,) from the wrist to the first joints: those of index and ring finger count half as much as
    the middle finger's."""
    beside = 0.5 * (points[5] + points[13])
    return 0.5 * (beside + points[9]) - points[0]


def hand_filling(window: Window) -> HandObservation:
    """A hand, drawn with a ruler, whose `hand_window` is the given one.

    Shown to a network that looks again where a hand is known to be, it asks whether there is one:
    nothing of it but its window counts.

    Args:
        window: in the picture; not mirrored.
    """
    spread = np.deg2rad([-40.0, -20.0, 0.0, 15.0, 30.0])[:, None] * np.ones(4)
    reach = np.linspace(0.4, 1.0, 4)
    fingers = np.stack([reach * np.sin(spread), -reach * np.cos(spread)], axis=-1)
    points = np.concatenate([np.zeros((1, 2)), fingers.reshape(20, 2)])
    nothing = np.zeros(21)
    hand = HandObservation(points, np.ones(21), "right", 0.5, 1.0, nothing, np.zeros((21, 3)))
    own = hand_window(replace(hand, keypoints=100 * points), mirrored=False)
    keypoints = window.points_to_picture(own.points_from_picture(100 * points, 1), 1)
    return replace(hand, keypoints=keypoints)
