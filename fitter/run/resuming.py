"""A store that was there is taken up again: what is new, what has changed, what was done."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import cast

import numpy as np

from fitter.errors import InputError
from fitter.inputs.frame_sources import FrameSources, FrameTask, RunSources, Task
from fitter.inputs.image_task import ImageTask
from fitter.inputs.names import NameList, new_names
from fitter.rig import FrameNames
from fitter.run.inputs import RunInputs
from fitter.run.summary import Summary
from fitter.store.frame_schema import FRAME_STATUS, VIEW_STATUS
from fitter.store.layout import Block
from fitter.store.result_store import ResultStore
from fitter.store.row_kinds import IMAGES
from fitter.store.schema import IMAGE_STATUS
from fitter.system.messages import count

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
    if isinstance(given, FrameSources):
        return _take_up_frames(store, given, inputs, summary)
    with NameList(new_names(inputs.listing, store.names)) as new:
        _require_relatives(store, inputs.listing, new)
        if len(new) and given.ordered is not None:
            raise InputError("run.list_order", file=given.ordered, count=len(new))
        if len(new) and is_fixed:
            raise InputError("run.new_beside_people", file=store.path, count=len(new))
        # All that may be refused, before anything is changed.
        adds = len(new) > 0 and store.is_alone
        given.check(_Joined(store.names, new) if adds else store.names)
        _take_up_names(store, changed_images(rows, given.of_store(store.names)), new, summary)
    if len(store.blocks()) > MANY_BLOCKS:
        summary.notes.append(
            f"the store has {len(store.blocks()):,} blocks of {store.block_size} images, each some "
            "40 files: another --out would be laid out in larger ones"
        )
    count_done(rows, summary)


def _take_up_frames(
    store: ResultStore, given: FrameSources, inputs: RunInputs, summary: Summary
) -> None:
    """`take_up` of frames, whose images are those that they had when they came into the store."""
    with (
        NameList(FrameNames.of_text(text).name for text in inputs.listing) as listed,
        NameList(new_names(listed, store.names)) as new,
        NameList(_frames_called(inputs.listing, new)) as texts,
    ):
        _require_relatives(store, listed, new)
        given.check(inputs.listing)
        known = given.of_store(store.names, store.frame_images)
        _take_up_names(store, changed_images(store, known), texts, summary)
        # Of the texts that the store has not, those of frames that it knows by their names.
        unknown = sum(1 for _ in new_names(inputs.listing, _texts(store)))
        later = unknown - (len(new) - summary.added)
    if later:
        summary.notes.append(
            f"{count(later, 'frame')} of the store have other images now than when they were "
            "listed; they keep those that they had"
        )
    count_done(store, summary)


def _frames_called(texts: Iterable[str], names: Iterable[str]) -> Iterator[str]:
    """Those of the sorted texts of `FrameNames` that are of the frames with these sorted names."""
    wanted = iter(names)
    name = next(wanted, None)
    for text in texts:
        if name is not None and FrameNames.of_text(text).name == name:
            yield text
            name = next(wanted, None)


def _texts(store: ResultStore) -> Iterator[str]:
    """The texts of `FrameNames` of a store's frames."""
    for block in store.blocks():
        part = slice(block.start, block.stop)
        pairs = zip(store.names[part], store.frame_images[part], strict=True)
        yield from (FrameNames(name, images).text for name, images in pairs)


def _take_up_names(
    store: ResultStore, changes: Iterable[ChangedImage], new: NameList, summary: Summary
) -> None:
    """Add what is new, if what has changed allows it."""
    before, adds = len(store.names), len(new) > 0 and store.is_alone
    # A last block that is not full is done again with what is added.
    again = before - before % store.block_size if adds else before
    for change in changes:
        if change.place < again:
            summary.changed.add(f"{'gone' if change.is_gone else 'changed'} {change.name}")
        elif change.is_gone and not change.has_failed:
            raise InputError("run.image_would_be_lost", file=store.path, name=change.name)
    if adds:
        store.append(cast("Sequence[str]", new))  # gone through in order, once
        summary.added = len(new)
    elif len(new):
        summary.left += len(new)


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
    statuses = _statuses(store)
    for block in store.committed_blocks():
        summary.done_before += len(block)
        for name, failed in statuses.items():
            summary.failed_before += int((store.read(name, block) == failed).sum())
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


def _statuses(store: ResultStore) -> dict[str, int]:
    """The variables that say what failed, and the code by which they do."""
    if store.kind is IMAGES:
        return {"image_status": IMAGE_STATUS.index("failed")}
    codes = {"frame_status": FRAME_STATUS, "view_status": VIEW_STATUS}
    return {name: texts.index("failed") for name, texts in codes.items()}


def changed_images(store: ResultStore, sources: RunSources) -> Iterator[ChangedImage]:
    """Images whose files have another size or time of change than when they were fitted.

    Args:
        store: of which committed blocks are read, one at a time.
        sources: all images or frames of the store.

    Raises:
        InputError: another K, mask or other keypoints are given for an image than it was fitted
            with, so that the store would become one of two runs.
    """
    for block in store.committed_blocks():
        for task, place, (size, changed, digest, has_failed) in _stamped(store, block, sources):
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
                yield ChangedImage(place, task.name, now.file is None, has_failed)


_Stamp = tuple[int, float, int, bool]
"""What was stored of an image: size and time of its file, digest of its inputs, whether it failed.
"""


def _stamped(
    store: ResultStore, block: Block, sources: RunSources
) -> Iterator[tuple[ImageTask, int, _Stamp]]:
    """The images of a block, each with the place of its row."""
    status, failed = list(_statuses(store).items())[-1]
    names = ("file_size", "file_time", "inputs_digest", status)
    columns = [store.read(name, block) for name in names]
    tasks: Sequence[Task] = sources.tasks(block.start, block.stop)
    for row, task in enumerate(tasks):
        images: list[tuple[ImageTask, tuple[int, ...]]] = [(i, (row,)) for i in task.images]
        if isinstance(task, FrameTask):
            images = [(i, (row, v)) for v, i in enumerate(task.views) if i is not None]
        for image, place in images:
            size, changed, digest, code = (column[place] for column in columns)
            yield image, task.place, (size, changed, digest, code == failed)
