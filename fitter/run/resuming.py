"""A store that was there is taken up again: what is new, what has changed, what was done."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import cast

import numpy as np

from fitter.errors import InputError
from fitter.inputs.names import NameList, new_names
from fitter.inputs.sources import Sources
from fitter.run.inputs import RunInputs
from fitter.run.summary import Summary
from fitter.store.result_store import ResultStore
from fitter.store.schema import IMAGE_STATUS

log = logging.getLogger(__name__)

MANY_BLOCKS = 20_000
"""Blocks from which on a store has millions of files."""


def take_up(
    store: ResultStore, rows: ResultStore, inputs: RunInputs, summary: Summary, is_fixed: bool
) -> None:
    """Add new images to a store, and count what is done in it.

    Args:
        store: held to be written to.
        rows: those of the pass that is to be continued; `store` itself where there is one pass.
        inputs: the images that there are now, and what is known about them.
        summary: of the run; gets what was added, has changed, and was done before.
        is_fixed: whether images share something that was made without those that are new.

    Raises:
        InputError: these are the images of another store; what is given for them is not what
            they were fitted with, or belongs to others; or images are gone whose results
            could not be kept. Nothing was changed.
    """
    given = inputs.given
    with NameList(new_names(inputs.listing, store.names)) as new:
        _require_relatives(store, inputs.listing, new)
        if len(new) and given.ordered is not None:
            raise InputError("run.list_order", file=given.ordered, count=len(new))
        if len(new) and is_fixed:
            raise InputError("run.new_beside_people", file=store.path, count=len(new))
        before, adds = len(store.names), len(new) > 0 and store.is_alone
        # All that may be refused, before anything is changed.
        given.check(_Joined(store.names, new) if adds else store.names)
        # A last block that is not full is done again with the images that are added.
        again = before - before % store.block_size if adds else before
        for change in changed_images(rows, replace(given, names=store.names)):
            if change.place < again:
                summary.changed.add(f"{'gone' if change.is_gone else 'changed'} {change.name}")
            elif change.is_gone and not change.has_failed:
                raise InputError("run.image_would_be_lost", file=store.path, name=change.name)
        if adds:
            store.append(cast("Sequence[str]", new))  # gone through in order, once
            summary.added = len(new)
        elif len(new):
            summary.left += len(new)
    if len(store.blocks()) > MANY_BLOCKS:
        summary.notes.append(
            f"the store has {len(store.blocks()):,} blocks of {store.block_size} images, each some "
            "40 files: another --out would be laid out in larger ones"
        )
    count_done(rows, summary)


def _require_relatives(store: ResultStore, listing: NameList, new: NameList) -> None:
    """Refuse images none of which the store knows: the same ones named from elsewhere, perhaps.

    Raises:
        InputError: they are all new to a store that has others.
    """
    if len(new) == len(listing):
        raise InputError(
            "run.other_images",
            file=store.path,
            expected=store.names[0],
            found=next(iter(listing)),
        )


def count_done(store: ResultStore, summary: Summary) -> None:
    """Count what the committed blocks of a store hold."""
    failed = IMAGE_STATUS.index("failed")
    for block in store.committed_blocks():
        summary.done_before += len(block)
        summary.failed_before += int((store.read("image_status", block) == failed).sum())
        lost = (store.read("side", block) != 0) & ~store.read("valid", block)
        summary.fits_failed_before += int((lost & np.isnan(store.read("score", block))).sum())


@dataclass(frozen=True)
class _Joined:
    """Names of a store and further ones, to be gone through without being in memory."""

    first: Collection[str]
    second: NameList

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __iter__(self) -> Iterator[str]:
        return chain(self.first, self.second)


@dataclass(frozen=True)
class ChangedImage:
    """An image whose file is another than the one that was fitted.

    Attributes:
        place: in the store.
        name: of the image.
        is_gone: whether there is no file any more.
        has_failed: whether there is no result that could be lost.
    """

    place: int
    name: str
    is_gone: bool
    has_failed: bool


def changed_images(store: ResultStore, sources: Sources) -> Iterator[ChangedImage]:
    """Images whose files have another size or time of change than when they were fitted.

    Args:
        store: of which committed blocks are read, one at a time.
        sources: all images of the store.

    Raises:
        InputError: another K, mask or other keypoints are given for an image than it was fitted
            with, so that the store would become one of two runs.
    """
    failed = IMAGE_STATUS.index("failed")
    names = ("file_size", "file_time", "inputs_digest", "image_status")
    for block in store.committed_blocks():
        columns = (store.read(name, block) for name in names)
        rows = zip(*columns, strict=True)
        tasks = sources.tasks(block.start, block.stop)
        for task, (size, changed, digest, status) in zip(tasks, rows, strict=True):
            now = task.stamps()
            if now.inputs_digest != digest:
                raise InputError(
                    "run.other_inputs",
                    file=store.path,
                    name=task.name,
                    options=", ".join(sources.options),
                )
            before = None if np.isnan(changed) else (size, changed)
            if now.file != before:
                yield ChangedImage(task.place, task.name, now.file is None, status == failed)
