"""Overlays of a run: which are to be made, and processes that make them.

rows -> `OverlayPool.submit` -> promises -> reasons of those that could not be made
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

from fitter.inputs.frame_names import video_of
from fitter.inputs.frame_sources import FrameTask, Task
from fitter.inputs.image_task import ImageTask
from fitter.inputs.through_lens import ThroughLens, taken_through
from fitter.meshes import HandMeshes
from fitter.records import IntrinsicsSource
from fitter.rendering.overlay_folder import OverlayFolder
from fitter.rendering.overlay_hand import OverlayHand
from fitter.rendering.overlay_names import overlay_name
from fitter.rendering.overlay_style import OverlayStyle
from fitter.store.frame_schema import FrameRow
from fitter.store.row_kinds import Row
from fitter.store.schema import HandRow, ImageRow
from fitter.system.isolation import Lost
from fitter.views.camera_hands import hands_in_view
from fitter.workers.detection_pool import DetectionOptions
from fitter.workers.overlay_renderer import OverlayRenderer, OverlayTask
from fitter.workers.process_pool import ProcessPool

Promises = list[tuple[str, Future[str]]]
"""For each overlay the image's name, and a promise of why it could not be made or of an empty
text."""


def overlay_hands(
    meshes: HandMeshes, row: ImageRow, style: OverlayStyle | None = None
) -> list[OverlayHand]:
    """What an overlay shows of an image's fitted hands.

    Args:
        meshes: poses the model that the hands were fitted with.
        row: of the image.
        style: of the overlay; None is `OverlayStyle()`.
    """
    return _shown(meshes, row.hands, style)


class _Picture(NamedTuple):
    """An image over which hands are rendered, in its camera's frame."""

    image: ImageTask
    intrinsics: np.ndarray | None
    hands: Sequence[HandRow]
    through: ThroughLens | None = None
    intrinsics_source: IntrinsicsSource | None = "given"


def _pictures(task: Task, row: Row) -> Iterator[_Picture]:
    """The images of a task that were read."""
    if isinstance(task, FrameTask):
        assert isinstance(row, FrameRow)
        for number, (image, view) in enumerate(zip(task.views, row.views, strict=True)):
            if image is not None and view.view_status in ("ok", "no_hand"):
                yield _Picture(image, view.intrinsics, hands_in_view(row, number, task.rig))
    elif row.status != "failed":
        assert isinstance(row, ImageRow)
        size = (row.image_width, row.image_height)
        through = taken_through(row.lens, row.intrinsics, size)
        yield _Picture(task, row.intrinsics, row.hands, through, row.intrinsics_source)


def _shown(
    meshes: HandMeshes, hands: Sequence[HandRow], style: OverlayStyle | None
) -> list[OverlayHand]:
    shows_skin = style is not None and style.look == "appearance"
    found = []
    for hand in hands:
        if hand.valid and hand.side is not None:
            vertices = meshes.vertices(hand)
            skin = meshes.skin(hand, vertices) if shows_skin else None
            found.append(OverlayHand.of(hand, vertices, meshes.faces(hand.side), skin))
    return found


class OverlayPool:
    """Processes that render overlays into a folder, beside the ones that detect."""

    def __init__(
        self, folder: OverlayFolder, meshes: HandMeshes, count: int, options: DetectionOptions
    ) -> None:
        """Start the processes.

        Args:
            folder: of all overlays, and their style.
            meshes: poses the model that is fitted.
            count: of processes.
            options: of the processes that detect: seconds that one image may take, and what each
                process does before its first.
        """
        self._folder, self._meshes = folder, meshes
        self._pool = ProcessPool(OverlayRenderer, (options.prepare,), count, options.timeout)

    @property
    def lost(self) -> int:
        """Times that a process was lost so far."""
        return self._pool.lost

    def submit(self, tasks: Sequence[Task], rows: Iterable[Row]) -> Promises:
        """Have the overlays of fitted images rendered, of frames of a rig those of each view; those
        of videos are the affair of `frames`.

        Args:
            tasks: the images or frames.
            rows: of each; nothing is rendered over failed images.
        """
        return [
            (picture.image.name, self._submit(picture))
            for task, row in zip(tasks, rows, strict=True)
            for picture in _pictures(task, row)
            if video_of(picture.image.name) is None
        ]

    def frames(self, tasks: Sequence[Task], rows: Iterable[Row]) -> list[Future[np.ndarray | str]]:
        """Have the overlays of frames of videos rendered, and given back.

        Args:
            tasks: the frames.
            rows: of each; nothing is rendered over failed frames.

        Returns:
            For each frame that has not failed a promise of (H, W, 3) uint8 RGB, or of why it could
            not be rendered.
        """
        return [
            self._submit(picture, "pixels")
            for task, row in zip(tasks, rows, strict=True)
            for picture in _pictures(task, row)
        ]

    def close(self) -> None:
        """End all processes, whatever they do."""
        self._pool.close()

    def _submit(self, picture: _Picture, what: str = "render") -> Future[Any]:
        name, matrix, source = picture.image.name, picture.intrinsics, picture.intrinsics_source
        if matrix is None or source is None:
            raise ValueError(f"expected the K of {name}, which is fitted, found none")
        path, style = self._folder.path / overlay_name(name), self._folder.style
        hands = _shown(self._meshes, picture.hands, style)
        overlay = OverlayTask(path, picture.image, matrix, source, hands, style, picture.through)
        return self._pool.submit(what, overlay)


def reasons(promises: Promises) -> list[tuple[str, str]]:
    """Wait for overlays: (name, reason) of every one that could not be rendered."""
    found = [(name, _outcome(promise.result)) for name, promise in promises]
    return [(name, reason) for name, reason in found if reason]


def _outcome(result: Callable[[], str]) -> str:
    try:
        return result()
    except Lost as lost:
        return f"the image {lost} while its overlay was rendered"
