"""Drawn hands, and a stand-in for the networks that reads them.

Drawn hands are 21 discs, each of its own grey level, that a stand-in for the networks reads back
from whatever pixels it is given: every window, enlargement and mirror image is thereby checked to
a fraction of a pixel. The stand-in sees what the networks see, large hands only.
"""

from pathlib import Path

import cv2
import numpy as np

from fitter.detection.detector import DetectorOptions, HandDetector
from fitter.detection.mediapipe_backend import MediaPipeBackend
from fitter.records import HandObservation, ImageRecord

SEES_FROM = 0.15
"""Share of the picture's longer side from which on the stand-in finds a hand."""


def shape(scale, wrist=(0.0, 0.0)):
    """An open right hand, back to the camera, fingers up: (21, 2) pixels."""
    points = [(0.0, 0.0)]
    for finger in range(5):
        angle = np.radians(-145 + 25 * finger)
        reach = (0.35, 0.55, 0.68, 0.82) if finger == 0 else (0.6, 0.75, 0.88, 1.0)
        points += [(r * np.cos(angle), r * np.sin(angle)) for r in reach]
    return scale * np.array(points) + np.array(wrist)


def draw(picture, keypoints, side="right", radius=None):
    """Paint the discs; the channel tells the side: red for right, green for left."""
    radius = radius or 0.035 * np.ptp(keypoints, axis=0).max()
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]] + 0.5
    for k, (u, v) in enumerate(keypoints):
        disc = (x - u) ** 2 + (y - v) ** 2 <= radius**2
        picture[disc] = 0
        picture[disc, 0 if side == "right" else 1] = 45 + 10 * k


def expected_xyz(keypoints):
    """(21, 3) metres that the stand-in makes of positions: the hand is 0.2 m wide."""
    metres = 0.2 * (keypoints - keypoints[0]) / np.ptp(keypoints[:, 0])
    return np.column_stack([metres, 0.001 * np.arange(21)])


class DrawnHands:
    """Stands in for the networks: reads at most one hand of either side from the discs."""

    looks = 0
    blur = 0.0

    def __init__(self):
        self.closed = False

    def look(self, pixels):
        if self.closed:
            raise RuntimeError("closed")
        type(self).looks += 1
        mirrored = self._is_mirrored(pixels)
        hands = [self._read(pixels, side, mirrored) for side in ("right", "left")]
        return [hand for hand in hands if hand is not None]

    def look_again(self, pixels, hand):
        found = self.look(pixels)
        return min(
            found, key=lambda other: np.abs(other.keypoints - hand.keypoints).sum(), default=None
        )

    def close(self):
        self.closed = True

    @staticmethod
    def _is_mirrored(pixels):
        """A blue wedge, wide at its left end, tells which way round the picture is."""
        blue = (pixels[..., 2] > 200).sum(axis=0)
        columns = np.nonzero(blue)[0]
        return columns.size > 3 and blue[columns[0] : columns[-1] + 1][-1] > blue[columns[0]]

    def _read(self, pixels, side, mirrored):
        channel = pixels[..., 0 if side == "right" else 1].astype(int)
        other = pixels[..., 1 if side == "right" else 0].astype(int)
        # Only where a disc is even: its blurred rim has the levels of other discs.
        level = pixels[..., 0 if side == "right" else 1]
        even = cv2.dilate(level, np.ones((3, 3))) - cv2.erode(level, np.ones((3, 3))) <= 2
        positions = []
        for k in range(21):
            rows, columns = np.nonzero(even & (np.abs(channel - 45 - 10 * k) <= 2) & (other < 3))
            if rows.size < 3:
                return None
            positions.append((columns.mean() + 0.5, rows.mean() + 0.5))
        keypoints = np.array(positions)
        if np.ptp(keypoints, axis=0).max() < SEES_FROM * max(pixels.shape[:2]):
            return None
        xyz = expected_xyz(keypoints)
        if mirrored:
            side = "left" if side == "right" else "right"
        return HandObservation(
            keypoints=keypoints + self.blur * (-1 if mirrored else 1),
            confidence=np.full(21, 0.9),
            side=side,
            side_score=0.95,
            score=0.9,
            relative_depth=0.5 * (keypoints[:, 1] - keypoints[0, 1]),
            relative_xyz=xyz,
        )


def drawn_detector(graphs=None, **options):
    """A detector that reads drawn hands."""
    return HandDetector(DetectorOptions(**options), MediaPipeBackend(graphs or DrawnHands()))


def record(pixels):
    return ImageRecord("a.png", Path("a.png"), pixels, np.eye(3), "default")


def canvas(width, height):
    return np.zeros((height, width, 3), dtype=np.uint8)


def wedge(picture, keypoints):
    """The mark that says which way round; right beside the hand, so that windows contain it."""
    (left, _), (right, bottom) = keypoints.min(axis=0), keypoints.max(axis=0)
    columns = np.arange(int(left), int(right))
    for column in columns:
        height = int(0.2 * (right - left) * (1 - (column - left) / (right - left))) + 1
        picture[int(bottom) + 12 : int(bottom) + 12 + height, column] = (0, 0, 255)


def observed(keypoints, score, side="right"):
    return HandObservation(
        keypoints, np.ones(21), side, 0.9, score, np.zeros(21), np.zeros((21, 3))
    )
