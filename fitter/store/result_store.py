"""The result store: one Zarr v3 folder that `xarray.open_zarr` reads, written block by block.

Every variable has the dimensions `image` or `image` x `hand`, with a fixed number of hand slots
per image, so each row's place is known before anything is computed; in a store of frames `frame`
takes the place of `image`, and there is `view`. The list of rows and the resolved configuration are
fixed when the store is made; later only rows are added at its end.

A block is `block_size` consecutive rows and exactly one shard of every variable, because two
writers of one shard lose each other's rows without an error. So each block has one writer at a
time (`fitter.system.lock`), from `create` or `resume` to `close`; readers need no lock. The writer
writes the block's file of `image_status` last, in one atomic step and only after the other
files are on the disk: that file is the commit marker. A block without it reads as "pending"
and is computed again, whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from fitter.errors import InputError
from fitter.store.files import (
    OnFailure,
    check_target,
    flush_all,
    is_empty_folder,
    neighbours,
    refused_as,
    remove_neighbours,
    require_resumable,
    sweep,
    sweep_metadata,
)
from fitter.store.image_names import RestOfNames, SizedNames
from fitter.store.layout import (
    PASSES,
    Block,
    StoreSpec,
    consolidate,
    is_result_store,
    lengthen,
    pass_folder,
    write_dataset_place,
    write_layout,
)
from fitter.store.reader import StoreReader, decode_flags
from fitter.store.row_kinds import Row
from fitter.store.rows import assemble
from fitter.store.variables import Variable
from fitter.system.files import flush, write_whole
from fitter.system.lock import WHOLE, Share, WriterLock

__all__ = ["Block", "ResultStore", "StoreReader", "StoreSpec", "decode_flags"]


_FINISHED = "passes.finished"
"""What `PASSES` is called while it is removed."""

_PEOPLE = "configuration.inputs.people"
_PEOPLE_OPTIONS = {
    "one person": "--same-hand",
    "given for each image": "--people FILE",
    "absent": "neither --same-hand nor --people",
}
"""What the user types for the values of `_PEOPLE`."""


class ResultStore(StoreReader):
    """A result store that is written to; make one with `create` or `resume`.

    It keeps other writers out until it is closed, by `close` or as a context manager. `open` gives
    a `StoreReader`.
    """

    _mode = "r+"

    def __init__(self, path: Path) -> None:
        """Open the store in `path`, which `require_store` has accepted."""
        super().__init__(path)
        self.was_there = True
        """Whether it was there before it was opened to be written to."""
        self._lock: WriterLock | None = None
        self.passes: list[ResultStore] = []
        """The rows of the passes before the last one; empty when that is done."""

    @classmethod
    def create(
        cls, path: Path, spec: StoreSpec, overwrite: bool = False, share: Share = WHOLE
    ) -> ResultStore:
        """Make a new, empty store; it appears at `path` complete or not at all.

        Args:
            path: the folder to make; its parent must exist.
            spec: what the store is for.
            overwrite: replace a result store that is already there.
            share: what will be written to it.

        Raises:
            InputError: `path` is taken (by anything but a result store, even with `overwrite`),
                cannot be written, is being written by another run, or `spec` names no image.
        """
        path = Path(path)
        check_target(path, overwrite)
        with refused_as("output.cannot_write", path), OnFailure() as undo:
            lock = WriterLock(path, share)
            undo.callback(lock.release)
            if not lock.alone:
                raise InputError("run.busy", file=path)
            store = cls._make(path, spec, overwrite)
            lock.settle()
            store._lock = lock
            store._open_passes(spec)
        return store

    @classmethod
    def _make(cls, path: Path, spec: StoreSpec, overwrite: bool) -> ResultStore:
        if not len(spec.images):
            raise InputError("store.no_image")
        # Another run may have made it since it was asked.
        check_target(path, overwrite)
        # A link stays, and the store is made where it leads.
        path = path.resolve() if path.is_symlink() else path
        unfinished, replaced = neighbours(path)
        remove_neighbours(path)
        write_layout(unfinished, spec)
        flush_all(unfinished)
        if is_result_store(path):
            path.replace(replaced)
        unfinished.replace(path)
        flush(path.parent)
        remove_neighbours(path)
        store = cls(path)
        store.was_there = False
        return store

    @classmethod
    def resume(cls, path: Path, spec: StoreSpec, share: Share = WHOLE) -> ResultStore:
        """Continue the store at `path` with the images it has, or make it where there is none yet.

        What an interrupted run left of blocks it never committed is removed.

        Raises:
            InputError: the store is being written by another run, or was started with another
                configuration, model, layout or software; the first difference is named.
        """
        path = Path(path)
        if not path.parent.is_dir():
            check_target(path, False)
        with refused_as("output.cannot_continue", path), OnFailure() as undo:
            lock = WriterLock(path, share)
            undo.callback(lock.release)
            if not path.exists() or is_empty_folder(path):
                if not lock.alone:
                    raise InputError("store.gone", file=path)
                store = cls._make(path, spec, overwrite=False)
            else:
                require_resumable(path)
                store = cls(path)
                store._require_same(spec)
                if lock.alone:
                    remove_neighbours(path)
                    sweep_metadata(path)
                store._lock = lock
                store._discard_uncommitted()
                store._move_dataset(spec.dataset)
            store._lock = lock
            store._open_passes(spec)
        return store

    def _open_passes(self, spec: StoreSpec) -> None:
        """Open the rows of the passes before the last one, as long as they are there.

        Raises:
            InputError: they are missing, although the last pass is not done.
        """
        if self.is_alone and (folder := self.path / _FINISHED).exists():
            shutil.rmtree(folder)
        if spec.pass_sizes and not (self.path / PASSES).exists() and not self.is_complete:
            raise InputError("store.lost", file=self.path, what=PASSES)
        for number, rows in enumerate(spec.pass_specs, 1):
            path = pass_folder(self.path, number)
            if not (self.path / PASSES).exists():
                return
            store = type(self)(path)
            store._lock = self._lock
            store._require_same(rows)
            if self.is_alone:
                sweep_metadata(path)
            store._discard_uncommitted()
            if self.is_alone and store.count < self.count:
                # The run that added them ended in between.
                store.append(RestOfNames(self.names, store.count))
            self.passes.append(store)

    def finish_passes(self) -> None:
        """Remove what was computed before the last pass, when that is done."""
        self.passes = []
        with suppress(FileNotFoundError):  # another share has done it
            (self.path / PASSES).replace(self.path / _FINISHED)
            shutil.rmtree(self.path / _FINISHED)

    def _move_dataset(self, place: Mapping[str, str]) -> None:
        """Have the store tell of the folder that the images of its data set are read from now."""
        if not self.is_alone or not place or place == self.dataset_place:
            return
        write_dataset_place(self.path, place)
        flush(self.path)
        self._load()

    def append(self, names: SizedNames) -> None:
        """Add rows at the end; a last block that was not full is to be computed again.

        Args:
            names: of the images or frames, as of `StoreSpec.images`, each once and none of them in
                the store; they may lie on disk.

        Raises:
            InputError: the disk refuses, or the store's metadata are damaged.
        """
        count = self.count
        with refused_as("output.cannot_add", self.path):
            try:
                lengthen(self.path, names, count, self.block_size)
            except ValueError as error:
                raise InputError("store.damaged", file=self.path, reason=str(error)) from error
            # All of it is on the disk before the steps that make it count.
            for name in {self.kind.names, "image_name"}:
                flush_all(self.path / name)
            for file in self.path.glob("*/zarr.json"):
                flush(file)
                flush(file.parent)
            if count % self.block_size:
                marker = next(v for v in self._arrays if v.name == self.kind.marker)
                chunk = self._chunk_path(marker, count // self.block_size)
                if chunk.exists():
                    chunk.unlink()
                    flush(chunk.parent)
            consolidate(self.path)
            flush(self.path)
        self._load()
        for rows in self.passes:
            rows.append(RestOfNames(self.names, count))

    def settle(self) -> None:
        """Let runs with other shares in: all images are there."""
        if self._lock is not None:
            self._lock.settle()
        # On the way another run may have been alone, and have added some.
        for store in (self, *self.passes):
            store._load()

    @property
    def is_alone(self) -> bool:
        """Whether nobody else writes, so that images may be added."""
        return self._lock is not None and self._lock.alone

    def close(self) -> None:
        """Let other writers in; a second call does nothing."""
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> ResultStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def pending_blocks(self) -> list[Block]:
        """The blocks without a commit marker, in order; of a share those in it."""
        share = WHOLE if self._lock is None else self._lock.share
        return [block for block in super().pending_blocks() if share.has(block.index)]

    def write_block(self, block: Block, rows: Sequence[Row]) -> None:
        """Write one block whole, then mark it committed.

        Args:
            block: one of `blocks()`.
            rows: one row per image or frame of the block, in order.

        Raises:
            ValueError: the number of rows, or the content of one, does not fit the store.
            InputError: the disk refuses (full, read-only), or the store is gone.
        """
        self._require_place()
        if len(rows) != len(block):
            raise ValueError(
                f"block {block.index} has {len(block)} {self.kind.item}s, got {len(rows)} rows"
            )
        if any(row.status is None for row in rows):
            raise ValueError(f"every row needs its {self.kind.marker}")
        contents = {v: assemble(v, rows, self.sizes) for v in self._arrays}
        marker = next(v for v in contents if v.name == self.kind.marker)
        with refused_as("output.cannot_write", self.path):
            rest = [variable for variable in contents if variable is not marker]
            for variable in rest:
                self._arrays[variable][block.start : block.stop] = contents[variable]
            for variable in rest:
                self._flush_chunk(self._chunk_path(variable, block.index))
            self._commit(marker, block, contents[marker])

    def _require_place(self) -> None:
        """Zarr would make the folders of a store that is gone anew, and fill them for nobody."""
        try:
            there = os.path.samestat(self.path.stat(), self._place)
        except OSError:
            there = False
        if not there or not (self.path / "zarr.json").exists():
            raise InputError("store.replaced", file=self.path)

    def _commit(self, marker: Variable, block: Block, status: np.ndarray) -> None:
        """Put the marker's chunk in place: one byte per image, padded to a whole chunk."""
        target = self._chunk_path(marker, block.index)
        target.parent.mkdir(exist_ok=True)
        chunk = np.zeros(self.block_size, np.uint8)
        chunk[: len(status)] = status
        write_whole(target, chunk.tobytes())
        self._flush_chunk(target)

    def _flush_chunk(self, path: Path) -> None:
        """Force a chunk and the folders that lead to it onto the disk.

        A file is found again after a power cut only if its folder's entry for it was written too,
        and a block's folders are new. A chunk of nothing but fill values has no file.
        """
        if path.exists():
            flush(path)
            for folder in path.relative_to(self.path).parents[:-1]:
                flush(self.path / folder)

    def _chunk_path(self, variable: Variable, index: int) -> Path:
        array = self._arrays[variable]
        key = array.metadata.encode_chunk_key((index, *(0,) * (array.ndim - 1)))
        return self.path / array.basename / key

    def _discard_uncommitted(self) -> None:
        """Remove chunks and temporary files of blocks that were never committed."""
        assert self._lock is not None
        # The markers last, and asked anew each time: no chunk may go whose block has a marker.
        for variable in sorted(
            self._arrays, key=lambda variable: variable.name == self.kind.marker
        ):
            sweep(self.path / variable.name / "c", self._committed(), self._lock.share.has)

    def _require_same(self, spec: StoreSpec) -> None:
        if self.kind is not spec.kind:
            was, now = self.kind.name, spec.kind.name
            raise InputError("store.other_rows", file=self.path, was=was, now=now)
        difference = spec.difference_from(self._group.attrs.asdict(), self.sizes)
        if difference is not None:
            code = "store.other_order" if difference.is_order else "store.other_value"
            name, was, now = difference.name, difference.was, difference.now
            if name == _PEOPLE:
                was, now = _PEOPLE_OPTIONS[was], _PEOPLE_OPTIONS[now]
                raise InputError("store.other_people", file=self.path, was=was, now=now)
            raise InputError(code, file=self.path, name=name, was=was, now=now)
