"""The result store: one Zarr v3 folder that `xarray.open_zarr` reads, written block by block.

Every variable has the dimensions `image` or `image` x `hand`, with a fixed number of hand slots
per image, so each row's place is known before anything is computed. The image list and the
resolved configuration are fixed when the store is made; later only images are added at its end.

A block is `block_size` consecutive images and exactly one shard of every variable, because two
writers of one shard lose each other's rows without an error. So each block has one writer at a
time (`fitter.system.lock`), from `create` or `resume` to `close`; readers need no lock. The writer
writes the block's file of `image_status` last, in one atomic step and only after the other
files are on the disk: that file is the commit marker. A block without it reads as "pending"
and is computed again, whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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
    require_store,
    sweep,
    sweep_metadata,
)
from fitter.store.image_names import ImageNames
from fitter.store.layout import (
    MARKER,
    Block,
    StoreSpec,
    consolidate,
    is_result_store,
    lengthen,
    write_layout,
)
from fitter.store.older import stored_name
from fitter.store.schema import (
    OPTIONAL_DIMENSIONS,
    VARIABLES,
    ImageRow,
    Variable,
    assemble,
    disassemble,
)
from fitter.system.files import flush, write_whole
from fitter.system.lock import WHOLE, Share, WriterLock

if TYPE_CHECKING:
    import xarray as xr
    import zarr

__all__ = ["Block", "ResultStore", "StoreSpec", "decode_flags"]


class ResultStore:
    """A result store on disk; make one with `create`, `resume` or `open`.

    One that was created or resumed keeps other writers out until it is closed, by `close` or as a
    context manager.
    """

    def __init__(self, path: Path, mode: Literal["r", "r+"] = "r") -> None:
        """Open the store in `path`, which `require_store` has accepted, to read or also to write
        it."""
        self.path = path
        self._mode: Literal["r", "r+"] = mode
        self.was_there = True
        """Whether it was there before it was opened to be written to."""
        self._lock: WriterLock | None = None
        self._load()
        attributes = ("block_size", "configuration", "model", "versions")
        names = {v.name for v in self._arrays}
        missing = [
            v.name
            for v in VARIABLES
            if v.name not in names and not set(v.dims) & set(OPTIONAL_DIMENSIONS)
        ]
        # The gathered metadata still tell of a variable whose folder is gone, and it would read as
        # nothing but fill values.
        stored = [array.basename for array in self._arrays.values()]
        missing += [name for name in stored if not (path / name / "zarr.json").exists()]
        missing += [n for n in attributes if n not in self._group.attrs]
        if missing:
            raise InputError("store.lost", file=path, what=missing[0])
        self.block_size: int = self._group.attrs["block_size"]

    def _load(self) -> None:
        import zarr

        # The gathered metadata are what counts: a store that was being made longer when its writer
        # ended has some arrays longer than others.
        try:
            # Absolute, because the arrays may travel to a process that works elsewhere.
            self._group = zarr.open_group(
                self.path.absolute(), mode=self._mode, use_consolidated=True
            )
            self._names = self._group["image_name"]
        except (KeyError, ValueError) as error:
            raise InputError("store.lost", file=self.path, what="image_name") from error
        self._place = self.path.stat()
        names = [(v, stored_name(v.name, self._group)) for v in VARIABLES]
        arrays = [(v, self._group[name]) for v, name in names if name is not None]
        self._arrays = {v.as_stored(array.attrs): array for v, array in arrays}
        self.sizes: dict[str, int] = {}
        for array in self._arrays.values():
            self.sizes |= dict(zip(array.metadata.dimension_names, array.shape, strict=True))

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
        store = cls(path, "r+")
        store.was_there = False
        return store

    @classmethod
    def resume(cls, path: Path, spec: StoreSpec, share: Share = WHOLE) -> ResultStore:
        """Continue the store at `path` with the images it has, or make it where there is none yet.

        What an interrupted run left of blocks it never committed is removed.

        Raises:
            InputError: the store is being written by another run, or was started with another
                configuration, model, layout or software (the first difference is named), or by a
                version that called its variables and options otherwise.
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
                store = cls(path, "r+")
                store._require_same(spec)
                if lock.alone:
                    remove_neighbours(path)
                    sweep_metadata(path)
                store._lock = lock
                store._discard_uncommitted()
            store._lock = lock
        return store

    def append(self, names: Sequence[str]) -> None:
        """Add images at the end; a last block that was not full is to be computed again.

        Args:
            names: of the images, each once and none of them in the store; they may lie on disk.

        Raises:
            InputError: the disk refuses, or the store's metadata are damaged.
        """
        count = self.sizes["image"]
        with refused_as("output.cannot_add", self.path):
            try:
                lengthen(self.path, names, count, self.block_size)
            except ValueError as error:
                raise InputError("store.damaged", file=self.path, reason=str(error)) from error
            # All of it is on the disk before the steps that make it count.
            flush_all(self.path / "image_name")
            for file in self.path.glob("*/zarr.json"):
                flush(file)
                flush(file.parent)
            if count % self.block_size:
                marker = next(v for v in self._arrays if v.name == MARKER)
                chunk = self._chunk_path(marker, count // self.block_size)
                if chunk.exists():
                    chunk.unlink()
                    flush(chunk.parent)
            consolidate(self.path)
            flush(self.path)
        self._load()

    @classmethod
    def open(cls, path: Path) -> ResultStore:
        """Open a store to read it, finished or not; also one that an earlier version made, whose
        variables have today's names here.

        Raises:
            InputError: `path` holds no result store, or one of a format that is not known.
        """
        path = Path(path)
        require_store(path)
        return cls(path)

    def settle(self) -> None:
        """Let runs with other shares in: all images are there."""
        self._lock.settle()
        # On the way another run may have been alone, and have added some.
        self._load()

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

    def blocks(self) -> list[Block]:
        """Every block, in order."""
        size, total = self.block_size, self.sizes["image"]
        return [
            Block(index, start, min(start + size, total))
            for index, start in enumerate(range(0, total, size))
        ]

    def pending_blocks(self) -> list[Block]:
        """The blocks without a commit marker, in order; of a share those in it."""
        committed = self._committed()
        share = WHOLE if self._lock is None else self._lock.share
        return [b for b in self.blocks() if b.index not in committed and share.has(b.index)]

    def committed_blocks(self) -> list[Block]:
        """The blocks with a commit marker, in order, whoever wrote them."""
        committed = self._committed()
        return [block for block in self.blocks() if block.index in committed]

    @property
    def names(self) -> ImageNames:
        """The names of all images, in order."""
        return ImageNames(self._names)

    def read(self, name: str, block: Block) -> np.ndarray:
        """The variable `name` of the images of a block, (B, ...).

        Raises:
            InputError: its file is damaged.
        """
        return self._read(self._group[stored_name(name, self._group) or name], block)

    def write_block(self, block: Block, rows: Sequence[ImageRow]) -> None:
        """Write one block whole, then mark it committed.

        Args:
            block: one of `blocks()`.
            rows: one row per image of the block, in order.

        Raises:
            ValueError: the number of rows, or the content of one, does not fit the store.
            InputError: the disk refuses (full, read-only), or the store is gone.
        """
        self._require_place()
        if len(rows) != len(block):
            raise ValueError(f"block {block.index} has {len(block)} images, got {len(rows)} rows")
        if any(row.image_status is None for row in rows):
            raise ValueError("every row needs an image_status")
        contents = {v: assemble(v, rows, self.sizes) for v in self._arrays}
        marker = next(v for v in contents if v.name == MARKER)
        with refused_as("output.cannot_write", self.path):
            rest = [variable for variable in contents if variable is not marker]
            for variable in rest:
                self._arrays[variable][block.start : block.stop] = contents[variable]
            for variable in rest:
                self._flush_chunk(self._chunk_path(variable, block.index))
            self._commit(marker, block, contents[marker])

    def read_block(self, block: Block) -> list[ImageRow]:
        """The rows of a committed block, without vertices; numbers as they were rounded to be
        stored.

        Raises:
            InputError: one of its files is damaged.
        """
        return disassemble(
            {
                variable: self._read(array, block)
                for variable, array in self._arrays.items()
                if "vertex" not in variable.dims
            }
        )

    @property
    def configuration(self) -> dict[str, Any]:
        """The resolved configuration of the run, as nested dictionaries."""
        return json.loads(self._group.attrs["configuration"])

    @property
    def model(self) -> dict[str, Any]:
        """What tells the hand model and all that shapes its fits from others: name, digests."""
        return json.loads(self._group.attrs["model"])

    def dataset(self) -> xr.Dataset:
        """The store as a lazily read dataset; `decode_flags` turns its flags into text."""
        import xarray as xr

        dataset = xr.open_zarr(self.path, consolidated=True, chunks=None)
        older = {array.basename: v.name for v, array in self._arrays.items()}
        return dataset[list(older)].rename({o: n for o, n in older.items() if o != n})

    def _read(self, array: zarr.Array, block: Block) -> np.ndarray:
        try:
            return array[block.start : block.stop]
        except Exception as error:
            # What a cut file raises is up to the codec and is of many types.
            raise InputError(
                "store.damaged_variable",
                file=self.path,
                variable=array.basename,
                reason=str(error),
            ) from error

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
        return self.path / variable.name / key

    def _committed(self) -> set[int]:
        folder = self.path / MARKER / "c"
        if not folder.is_dir():
            return set()
        return {int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()}

    def _discard_uncommitted(self) -> None:
        """Remove chunks and temporary files of blocks that were never committed."""
        # The markers last, and asked anew each time: no chunk may go whose block has a marker.
        for variable in sorted(self._arrays, key=lambda variable: variable.name == MARKER):
            sweep(self.path / variable.name / "c", self._committed(), self._lock.share.has)

    def _require_same(self, spec: StoreSpec) -> None:
        found = spec.difference_from(self._group.attrs.asdict(), self.sizes)
        if found is not None:
            code = "store.other_order" if found.is_order else "store.other_value"
            raise InputError(code, file=self.path, name=found.name, was=found.was, now=found.now)


def decode_flags(variable: xr.DataArray) -> xr.DataArray:
    """The texts of a flag variable (`side`, `image_status`, ...) in place of its codes."""
    texts = np.array(variable.attrs["flag_meanings"].split(), dtype=object)
    return variable.copy(data=texts[variable.values])
