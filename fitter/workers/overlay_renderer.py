"""Overlays of fitted hands and known objects over their images, to be rendered in a process of its
own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fitter.errors import InputError
from fitter.inputs.image_task import ImageTask
from fitter.inputs.object_poses import PosedIn
from fitter.inputs.through_lens import ThroughLens
from fitter.records import IntrinsicsSource
from fitter.rendering.overlay import render_overlay, write_image_overlay
from fitter.rendering.overlay_hand import OverlayHand, OverlayObject
from fitter.rendering.overlay_style import OverlayStyle

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OverlayTask:
    """One overlay to render.

    Attributes:
        path: the file to make.
        image: the photograph, and what is given for it.
        intrinsics: (3, 3) float64 K in pixels of the photograph without distortion.
        intrinsics_source: where K came from.
        hands: what to render over it, with the objects that are known of it.
        style: how.
        through: the lens that took the photograph, where it distorts: the overlay is over the
            photograph without distortion.
    """

    path: Path
    image: ImageTask
    intrinsics: np.ndarray
    intrinsics_source: IntrinsicsSource
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
        objects = _objects(task, pixels)
        write_image_overlay(task.path, pixels, task.hands, task.intrinsics, task.style, objects)
        return pixels

    def _render(self, task: OverlayTask) -> np.ndarray:
        pixels = _photograph(task)
        objects = _objects(task, pixels)
        return render_overlay(pixels, task.hands, task.intrinsics, task.style, objects)


def _photograph(task: OverlayTask) -> np.ndarray:
    """(H, W, 3) uint8 RGB, without distortion."""
    file = task.image.file
    pixels = file.read()[0]
    return pixels if task.through is None else task.through.pixels(pixels, file.label)


def _objects(task: OverlayTask, pixels: np.ndarray) -> list[OverlayObject]:
    """The objects that are known of the photograph without distortion."""
    size = (pixels.shape[1], pixels.shape[0])
    shown = PosedIn(task.image.name, size, task.intrinsics, task.intrinsics_source)
    return [OverlayObject.of(known) for known in task.image.objects_in(shown)]


def _told(task: OverlayTask, do: Callable[[OverlayTask], np.ndarray]) -> np.ndarray | str:
    """What is done with a task, or why it cannot be done."""
    try:
        return do(task)
    except InputError as error:
        return str(error)
    except Exception as error:
        log.exception("unexpected error in the overlay %s", task.path)
        return str(InputError("worker.unexpected", kind=type(error).__name__, reason=str(error)))
