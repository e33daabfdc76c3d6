"""What went wrong in a run, as a table that any program reads."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fitter.store.files import refused_as
from fitter.store.reader import StoreReader
from fitter.store.schema import HAND_VARIABLES, IMAGE_STATUS
from fitter.system.files import whole_file

HEADER = ("image", "hand", "what", "reason")


def failures(store: StoreReader) -> Iterator[tuple[str, str, str, str]]:
    """Every failure in the committed blocks, whichever run had it.

    Args:
        store: of which one block at a time is read.

    Yields:
        Name of the image, slot of the hand or an empty text, what it is ("image", "fit", or
        "quality" of a hand that was fitted and refused), and the reason.
    """
    failed = IMAGE_STATUS.index("failed")
    empty = next(v for v in HAND_VARIABLES if v.name == "side").fill
    for block in store.committed_blocks():
        status = store.read("image_status", block)
        lost = (store.read("side", block) != empty) & ~store.read("valid", block)
        if not (status == failed).any() and not lost.any():
            continue
        names = store.names[block.start : block.stop]
        errors, fit_errors = store.read("image_error", block), store.read("fit_error", block)
        scores = store.read("score", block)
        for i, name in enumerate(names):
            if status[i] == failed:
                yield name, "", "image", str(errors[i])
            for hand in lost[i].nonzero()[0]:
                what = "fit" if np.isnan(scores[i, hand]) else "quality"
                yield name, str(hand), what, str(fit_errors[i, hand])


def write_failures(store: StoreReader, path: Path) -> int:
    """Write all failures to a CSV file, which is there with its header alone where there is none.

    Args:
        store: finished or not.
        path: the file, replaced in one step.

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
        table.writerow(HEADER)
        for failure in failures(store):
            table.writerow(failure)
            count += 1
    return count
