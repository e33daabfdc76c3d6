"""Small pictures of fitted hands: cut from the photographs, or drawn alone."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image

from fitter.rendering.overlay import render_overlay
from fitter.rendering.overlay_hand import OverlayHand
from fitter.rendering.overlay_scene import projected
from fitter.rendering.overlay_style import OverlayStyle
from fitter.rendering.overlay_views import GROUND

_MARGIN = 1.3
"""Side of the square that is cut out over the longer side of what is around the hand."""

_SMALLEST = 16
"""Pixels of the photograph below which nothing is magnified further."""

_QUALITY = 60
"""Of WebP, 0 to 100: 2 to 3 kB for 128 pixels."""

_BEYOND = 128
"""Grey beyond the photograph."""


@dataclass(frozen=True)
class Window:
    """A square of an image.

    Attributes:
        x, y: its left and upper side, pixels.
        side: its length, pixels.
    """

    x: int
    y: int
    side: int

    @classmethod
    def around(cls, points: np.ndarray, image_size: tuple[int, int]) -> Window:
        """The square around points.

        Args:
            points: (N, 2+) pixels; those that are not finite do not count.
            image_size: (width, height); the square is no larger than its longer side, whatever the
                points: a hand at the camera projects to anywhere.
        """
        finite = points[np.isfinite(points).all(axis=-1), :2]
        size = np.array(image_size, np.float64)
        # Far outside nothing is to be seen, and what is nearest to the image counts.
        inside = np.clip(finite, -size, 2 * size) if len(finite) else np.array([[0, 0], size])
        low, high = inside.min(0), inside.max(0)
        side = int(np.clip(_MARGIN * (high - low).max(), _SMALLEST, size.max()))
        x, y = np.round((low + high - side) / 2).astype(int)
        return cls(int(x), int(y), side)

    def cut(self, pixels: np.ndarray, size: int) -> np.ndarray:
        """(size, size, 3) uint8 of the window, grey where it reaches beyond `pixels` (H, W, 3)."""
        height, width = pixels.shape[:2]
        found = np.full((self.side, self.side, 3), _BEYOND, np.uint8)
        x0, y0 = max(self.x, 0), max(self.y, 0)
        x1, y1 = min(self.x + self.side, width), min(self.y + self.side, height)
        if x0 < x1 and y0 < y1:
            found[y0 - self.y : y1 - self.y, x0 - self.x : x1 - self.x] = pixels[y0:y1, x0:x1]
        method = cv2.INTER_AREA if self.side > size else cv2.INTER_CUBIC
        return cv2.resize(found, (size, size), interpolation=method)

    def intrinsics(self, whole: np.ndarray, size: int) -> np.ndarray:
        """(3, 3) K of the cut that is `size` pixels wide, of the image's K `whole`."""
        scale = size / self.side
        moved = np.array([[1.0, 0, -self.x], [0, 1.0, -self.y], [0, 0, 1.0]]) @ whole
        return np.diag([scale, scale, 1.0]) @ moved

    def points(self, points: np.ndarray, size: int) -> np.ndarray:
        """Points (N, 2) of the image in pixels of the cut."""
        return (points - [self.x, self.y]) * (size / self.side)


@dataclass(frozen=True)
class Thumbnails:
    """Makes thumbnails of one size and style, as bytes of WebP.

    Attributes:
        size: height, pixels.
        style: of the hands in them.
    """

    size: int
    style: OverlayStyle

    @property
    def ratio(self) -> float:
        """Width of a thumbnail over its height."""
        return 1 + len(self.style.views) + (self.style.look == "side-by-side")

    def of_hand(
        self,
        hand: OverlayHand,
        intrinsics: np.ndarray,
        image_size: tuple[int, int],
        pixels: np.ndarray | None,
    ) -> bytes:
        """A fitted hand.

        Args:
            hand: to be drawn.
            intrinsics: (3, 3) K of the image.
            image_size: (width, height) of the image.
            pixels: (height, width, 3) uint8 RGB of it; None draws the hand on plain ground.
        """
        window = Window.around(projected(hand, intrinsics), image_size)
        style = self._quiet()
        if pixels is None:
            ground = np.full((self.size, self.size, 3), GROUND, np.uint8)
            style = replace(style, opacity=1.0)
        else:
            ground = window.cut(pixels, self.size)
        if hand.keypoints is not None:
            hand = replace(hand, keypoints=window.points(hand.keypoints, self.size))
        camera = window.intrinsics(intrinsics, self.size)
        return _webp(render_overlay(ground, [hand], camera, style))

    def of_box(self, box: np.ndarray, pixels: np.ndarray) -> bytes:
        """The photograph (H, W, 3) around a box (4,) x0, y0, x1, y1, such as of a hand whose fit
        failed."""
        window = Window.around(box.reshape(2, 2), (pixels.shape[1], pixels.shape[0]))
        return _webp(window.cut(pixels, self.size))

    def of_image(self, pixels: np.ndarray) -> bytes:
        """The whole photograph (H, W, 3)."""
        image = Image.fromarray(pixels)
        image.thumbnail((round(self.ratio * self.size), self.size))
        return _webp(np.asarray(image))

    def _quiet(self) -> OverlayStyle:
        """The style, without skeleton and caption where it does not ask for them."""
        style = self.style
        return replace(style, skeleton=bool(style.skeleton), captions=bool(style.captions))


def _webp(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=_QUALITY, method=3)
    return buffer.getvalue()
