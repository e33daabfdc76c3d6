"""Overlays of a run: which are to be made, and processes that make them.

ImageRows -> `OverlayPool.submit` -> promises -> reasons of those that could not be made
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future

from fitter.inputs.sources import ImageTask
from fitter.meshes import HandMeshes
from fitter.rendering.overlay_folder import OverlayFolder
from fitter.rendering.overlay_hand import OverlayHand
from fitter.rendering.overlay_names import overlay_name
from fitter.rendering.overlay_style import OverlayStyle
from fitter.store.schema import ImageRow
from fitter.system.isolation import Lost
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
    shows_skin = style is not None and style.look == "appearance"
    found = []
    for hand in row.hands:
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

    def submit(self, tasks: Sequence[ImageTask], rows: Iterable[ImageRow]) -> Promises:
        """Have the overlays of fitted images rendered.

        Args:
            tasks: the images.
            rows: of each; nothing is rendered over failed ones.
        """
        return [
            (task.name, self._submit(task, row))
            for task, row in zip(tasks, rows, strict=True)
            if row.image_status != "failed"
        ]

    def close(self) -> None:
        """End all processes, whatever they do."""
        self._pool.close()

    def _submit(self, task: ImageTask, row: ImageRow) -> Future[str]:
        if row.intrinsics is None:
            raise ValueError(f"expected the K of {task.name}, which is fitted, found none")
        path, style = self._folder.path / overlay_name(task.name), self._folder.style
        hands = overlay_hands(self._meshes, row, style)
        overlay = OverlayTask(path, task.file, row.intrinsics, hands, style)
        return self._pool.submit("render", overlay)


def reasons(promises: Promises) -> list[tuple[str, str]]:
    """Wait for overlays: (name, reason) of every one that could not be rendered."""
    found = [(name, _outcome(promise.result)) for name, promise in promises]
    return [(name, reason) for name, reason in found if reason]


def _outcome(result: Callable[[], str]) -> str:
    try:
        return result()
    except Lost as lost:
        return f"the image {lost} while its overlay was rendered"
