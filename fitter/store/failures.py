"""What went wrong in a run, as a table that any program reads."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fitter.store.files import refused_as
from fitter.store.frame_schema import FRAME_STATUS, VIEW_STATUS
from fitter.store.layout import Block
from fitter.store.reader import StoreReader
from fitter.store.row_kinds import IMAGES
from fitter.store.schema import HAND_VARIABLES, IMAGE_STATUS
from fitter.system.files import whole_file

HEADER = ("image", "hand", "what", "reason")
FRAME_HEADER = ("frame", "view", "hand", "what", "reason")


def failures(store: StoreReader) -> Iterator[tuple[str, ...]]:
    """Every failure in the committed blocks, whichever run had it.

    Args:
        store: of images, of which one block at a time is read.

    Yields:
        Name of the image, slot of the hand or an empty text, what it is ("image", "fit", or
        "quality" of a hand that was fitted and refused), and the reason.
    """
    failed = IMAGE_STATUS.index("failed")
    for block in store.committed_blocks():
        status, errors = store.read("image_status", block), store.read("image_error", block)
        lost = _lost_hands(store, block)
        names = store.names[block.start : block.stop]
        for i, name in enumerate(names):
            if status[i] == failed:
                yield name, "", "image", str(errors[i])
            yield from ((name, *hand) for hand in lost.get(i, ()))


def frame_failures(store: StoreReader) -> Iterator[tuple[str, ...]]:
    """The same of a store of frames.

    Yields:
        Name of the frame; of the camera, or an empty text; slot of the hand, or an empty text; what
        it is ("frame", "view", "fit" or "quality"), and the reason.
    """
    assert store.rig is not None
    cameras = store.rig.names
    for block in store.committed_blocks():
        lost = _lost_hands(store, block)
        frames, views = store.read("frame_status", block), store.read("view_status", block)
        reasons = store.read("frame_error", block), store.read("view_error", block)
        for i, name in enumerate(store.names[block.start : block.stop]):
            if frames[i] == FRAME_STATUS.index("failed"):
                yield name, "", "", "frame", str(reasons[0][i])
            for view in np.flatnonzero(views[i] == VIEW_STATUS.index("failed")):
                yield name, cameras[view], "", "view", str(reasons[1][i, view])
            yield from ((name, "", *hand) for hand in lost.get(i, ()))


def _lost_hands(store: StoreReader, block: Block) -> dict[int, list[tuple[str, str, str]]]:
    """Hands of a block that are not valid, by row: slot, what it is, the reason."""
    empty = next(v for v in HAND_VARIABLES if v.name == "side").fill
    lost = (store.read("side", block) != empty) & ~store.read("valid", block)
    if not lost.any():
        return {}
    scores, reasons = store.read("score", block), store.read("fit_error", block)
    found: dict[int, list[tuple[str, str, str]]] = {}
    for i, hand in np.argwhere(lost):
        what = "fit" if np.isnan(scores[i, hand]) else "quality"
        found.setdefault(int(i), []).append((str(hand), what, str(reasons[i, hand])))
    return found


def write_failures(store: StoreReader, path: Path, incomplete: Sequence[str] = ()) -> int:
    """Write all failures to a CSV file, which is there with its header alone where there is none.

    Args:
        store: finished or not.
        path: the file, replaced in one step.
        incomplete: a sentence for each file of images, such as a video, that could not be read or
            breaks off; a row of kind "file" that belongs to no image.

    Returns:
        The number of failures.

    Raises:
        InputError: the file cannot be written, or the store is damaged.
    """
    count = 0
    partial = path.with_name(f".{path.name}.partial")
    with (
        refused_as("output.cannot_write", path),
        # Written anew by every run: it need not outlive a power cut.
        whole_file(path, durable=False, partial=partial),
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        table = csv.writer(file)
        is_of_images = store.kind is IMAGES
        table.writerow(HEADER if is_of_images else FRAME_HEADER)
        for failure in failures(store) if is_of_images else frame_failures(store):
            table.writerow(failure)
            count += 1
        for reason in incomplete:
            table.writerow((*[""] * (2 if is_of_images else 3), "file", reason))
            count += 1
    return count
