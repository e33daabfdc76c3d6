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
from fitter.rendering.overlay import write_image_overlay
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
        try:
            pixels = task.image.read()[0]
            if task.through is not None:
                pixels = task.through.pixels(pixels, task.image.label)
            write_image_overlay(task.path, pixels, task.hands, task.intrinsics, task.style)
        except InputError as error:
            return str(error)
        except Exception as error:
            log.exception("unexpected error in the overlay %s", task.path)
            unexpected = InputError(
                "worker.unexpected", kind=type(error).__name__, reason=str(error)
            )
            return str(unexpected)
        return ""
