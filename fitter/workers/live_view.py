"""A window that shows what a camera sees with the hands fitted to it, in a process of its own.

A window system that refuses ends the process that asks it, and finding hands takes longer than a
camera's frame: so the window shows the newest frame whenever it is done with the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fitter.config.options import Config
from fitter.engine import Engine
from fitter.inputs.camera_exif import CameraExif
from fitter.inputs.image_files import ImageFile
from fitter.inputs.image_task import ImageTask
from fitter.inputs.intrinsics import Intrinsics
from fitter.rendering.overlay import render_overlay
from fitter.rendering.overlay_style import OverlayStyle
from fitter.workers.image_detector import ImageDetector
from fitter.workers.overlays import overlay_hands

_TITLE = "fit-hands: q ends the recording"

_ENDING_KEYS = (ord("q"), 27)
"""q and Escape."""


@dataclass(frozen=True)
class SeenPixels(ImageFile):
    """A frame of a camera, in memory.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
    """

    pixels: np.ndarray

    @property
    def label(self) -> str:
        """What it is called."""
        return "camera"

    def read(self) -> tuple[np.ndarray, CameraExif]:
        """See `ImageFile`."""
        return self.pixels, CameraExif()

    def stamp(self) -> None:
        """None: there is no file."""
        return None


class LiveView:
    """Fits one frame after the other and shows it."""

    def __init__(self, config: Config, intrinsics: Intrinsics, style: OverlayStyle) -> None:
        """Load what fits, and open a window.

        Args:
            config: of the run.
            intrinsics: how to come by K.
            style: of the overlays.
        """
        import cv2

        cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL)
        self._intrinsics, self._style = intrinsics, style
        self._detector = ImageDetector(config, detects=True)
        self._engine = Engine(config)

    def show(self, pixels: np.ndarray) -> bool:
        """Show a frame with its hands.

        Args:
            pixels: (H, W, 3) uint8 RGB.

        Returns:
            Whether to go on: False when a key was pressed that ends it, or the window was closed.
        """
        import cv2

        cv2.imshow(_TITLE, self.overlay(pixels)[..., ::-1])
        pressed = cv2.waitKey(1) & 0xFF
        is_open = cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) >= 1
        return bool(is_open and pressed not in _ENDING_KEYS)

    def overlay(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB: a frame with the hands fitted to it."""
        task = ImageTask(0, "camera", SeenPixels(pixels), self._intrinsics)
        rows: Sequence = self._engine.fit([self._detector.detect(task)])
        if rows[0].intrinsics is None:  # it failed
            return pixels
        hands = overlay_hands(self._engine.meshes, rows[0], self._style)
        return render_overlay(pixels, hands, rows[0].intrinsics, self._style)
