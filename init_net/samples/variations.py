"""How a rendered picture is varied before the detector sees it: as people turn, crop, darken and
compress theirs.

A variation moves pixels by a turn about the line of sight, a scale, a shift and perhaps a mirror;
`Placement` carries what was found back to the picture as it was rendered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fitter.detection.windows import other_side
from fitter.records import HandObservation

_TURN = 0.6
"""Radians, standard deviation of the turn; a third of the pictures is turned by any angle."""


@dataclass(frozen=True)
class Placement:
    """Where a picture's pixels went.

    Attributes:
        angle: radians by which the picture was turned, from x towards y.
        scale: factor on lengths.
        shift: (2,) pixels.
        mirrored: whether it was mirrored afterwards.
        size: side of the square picture, pixels.
    """

    angle: float
    scale: float
    shift: np.ndarray
    mirrored: bool
    size: int

    @property
    def matrix(self) -> np.ndarray:
        """(2, 3) affine map from the rendered picture's positions to the varied one's."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        turn = self.scale * np.array([[cosine, -sine], [sine, cosine]])
        middle = np.full(2, self.size / 2)
        moved = np.column_stack([turn, middle - turn @ middle + self.shift])
        if self.mirrored:
            moved = np.array([[-1.0, 0.0], [0.0, 1.0]]) @ moved
            moved[0, 2] += self.size
        return moved

    def pixels(self, image: np.ndarray) -> np.ndarray:
        """(S, S, 3) uint8: the picture moved, its border repeated."""
        matrix = self.matrix
        # OpenCV counts positions from the middle of the first pixel.
        matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
        if self.scale < 0.7:
            # What would be left out between four pixels is blurred first.
            image = cv2.GaussianBlur(image, (0, 0), 0.35 / self.scale)
        return cv2.warpAffine(
            image, matrix, image.shape[1::-1], flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip

    def points(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) positions of the rendered picture, in the varied one."""
        matrix = self.matrix
        return points @ matrix[:, :2].T + matrix[:, 2]

    def back(self, hand: HandObservation) -> HandObservation:
        """A hand found in the varied picture as it would be seen in the rendered one."""
        matrix = self.matrix
        inverse = np.linalg.inv(matrix[:, :2])
        assert hand.relative_depth is not None and hand.relative_xyz is not None
        across = hand.relative_xyz[:, :2] @ (inverse * self.scale).T
        features = hand.features
        if self.mirrored and features is not None:
            features = features[::-1]
        return replace(
            hand,
            keypoints=(hand.keypoints - matrix[:, 2]) @ inverse.T,
            relative_depth=hand.relative_depth / self.scale,
            relative_xyz=np.column_stack([across, hand.relative_xyz[:, 2]]),
            side=other_side(hand.side) if self.mirrored else hand.side,
            features=features,
        )


def identity(size: int) -> Placement:
    """The picture as it is."""
    return Placement(0.0, 1.0, np.zeros(2), False, size)


def sample_placement(rng: np.random.Generator, size: int) -> Placement:
    """A placement at random; scales are small more often than large, as hands in pictures are."""
    angle = rng.uniform(-np.pi, np.pi) if rng.random() < 1 / 3 else _TURN * rng.standard_normal()
    return Placement(
        angle=float(angle),
        scale=float(np.exp(rng.uniform(np.log(0.35), np.log(1.1)))),
        shift=size * 0.06 * rng.standard_normal(2),
        mirrored=bool(rng.random() < 0.5),
        size=size,
    )


def sample_look(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """A picture (S, S, 3) uint8 as another camera, light and file would have it.

    Each change comes in a share of the pictures alone, in this order: light, colour, grey, blur,
    noise, compression.
    """
    values: np.ndarray = image.astype(np.float32) / 255
    if rng.random() < 0.5:
        values = values ** np.float32(np.exp(0.35 * rng.standard_normal()))
    if rng.random() < 0.15:
        values = values * np.float32(rng.uniform(0.08, 0.6))
    elif rng.random() < 0.15:
        values = np.minimum(values * np.float32(rng.uniform(1.2, 2.5)), 1)
    if rng.random() < 0.4:
        values = values * rng.uniform(0.75, 1.25, 3).astype(np.float32)
    if rng.random() < 0.15:
        grey = values @ np.array([0.299, 0.587, 0.114], np.float32)
        values = np.repeat(grey[..., None], 3, axis=2)
    if rng.random() < 0.35:
        values = cv2.GaussianBlur(values, (0, 0), float(rng.uniform(0.4, 2.5)))
    if rng.random() < 0.35:
        noise = rng.standard_normal(values.shape, np.float32)
        values = values + np.float32(rng.uniform(0.005, 0.07)) * noise
    result: np.ndarray = (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(12, 90))]
        result = cv2.imdecode(cv2.imencode(".jpg", result, quality)[1], cv2.IMREAD_COLOR)
    return result
