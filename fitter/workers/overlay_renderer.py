"""Overlays of fitted hands over their images, to be rendered in a process of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fitter.errors import InputError
from fitter.inputs.image_files import ImageFile
from fitter.inputs.through_lens import ThroughLens
from fitter.rendering.overlay import render_overlay, write_image_overlay
from fitter.rendering.overlay_hand import OverlayHand
from fitter.rendering.overlay_style import OverlayStyle

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OverlayTask:
    """One overlay to render.

    Attributes:
        path: the file to make.
        image: where the photograph is.
        intrinsics: (3, 3) float64 K in pixels of the photograph without distortion.
        hands: what to render over it.
        style: how.
        through: the lens that took the photograph, where it distorts: the overlay is over the
            photograph without distortion.
    """

    path: Path
    image: ImageFile
    intrinsics: np.ndarray
    hands: Sequence[OverlayHand]
    style: OverlayStyle
    through: ThroughLens | None = None


class OverlayRenderer:
    """Renders overlays; what goes wrong with one is told, and loses no result."""

    def __init__(self, prepare: Callable[[], object] | None = None) -> None:
        """Do what comes before the first overlay, so that its time is its own.

        Args:
            prepare: see `fitter.inputs.image_files.ImageFiles.prepare`.
        """
        if prepare is not None:
            prepare()

    def render(self, task: OverlayTask) -> str:
        """See `fitter.rendering.overlay.write_image_overlay`.

        Returns:
            Why it could not be rendered, or an empty text.
        """
        said = _told(task, self._write)
        return said if isinstance(said, str) else ""

    def pixels(self, task: OverlayTask) -> np.ndarray | str:
        """See `fitter.rendering.overlay.render_overlay`.

        Returns:
            (H, W, 3) uint8 RGB, or why it could not be rendered.
        """
        return _told(task, self._render)

    def _write(self, task: OverlayTask) -> np.ndarray:
        pixels = _photograph(task)
        write_image_overlay(task.path, pixels, task.hands, task.intrinsics, task.style)
        return pixels

    def _render(self, task: OverlayTask) -> np.ndarray:
        return render_overlay(_photograph(task), task.hands, task.intrinsics, task.style)


def _photograph(task: OverlayTask) -> np.ndarray:
    """(H, W, 3) uint8 RGB, without distortion."""
    pixels = task.image.read()[0]
    return pixels if task.through is None else task.through.pixels(pixels, task.image.label)


def _told(task: OverlayTask, do: Callable[[OverlayTask], np.ndarray]) -> np.ndarray | str:
    """What is done with a task, or why it cannot be done."""
    try:
        return do(task)
    except InputError as error:
        return str(error)
    except Exception as error:
        log.exception("unexpected error in the overlay %s", task.path)
        return str(InputError("worker.unexpected", kind=type(error).__name__, reason=str(error)))
