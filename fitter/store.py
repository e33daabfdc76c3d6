"""The result store: one Zarr v3 folder that `xarray.open_zarr` reads, written block by block.

Every variable has the dimensions `image` or `image` x `hand`, with a fixed number of hand slots
per image, so each row's place is known before anything is computed. The image list and the
resolved configuration are fixed when the store is made.

A block is `block_size` consecutive images and exactly one chunk of every variable, because two
writers of one chunk lose each other's rows without an error. So there is one writer at a time
(`fitter.store_lock`), from `create` or `resume` to `close`; readers need no lock. The writer
writes the block's chunk of `image_status` last, in one atomic step and only after the other
chunks are on the disk: that chunk is the commit marker. A block without it reads as "pending"
and is computed again, whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from fitter.records import InputError
from fitter.rows import (
    IMAGE_STATUS,
    OPTIONAL_DIMENSIONS,
    VARIABLES,
    ImageRow,
    Variable,
    assemble,
    disassemble,
)
from fitter.store_layout import (
    FORMAT_VERSION,
    MARKER,
    StoreSpec,
    is_result_store,
    write_layout,
)
from fitter.store_lock import sole_writer

__all__ = ["Block", "ResultStore", "StoreSpec", "decode_flags"]


@dataclass(frozen=True)
class Block:
    """Images `start` to `stop` (exclusive), the block at place `index`."""

    index: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


class ResultStore:
    """A result store on disk; make one with `create`, `resume` or `open`.

    One that was created or resumed keeps other writers out until it is closed, by `close` or as a
    context manager.
    """

    def __init__(self, path: Path) -> None:
        """Open the store in `path`, which `_require_store` has accepted."""
        self.path = path
        self._lock = ExitStack()
        self._group = zarr.open_group(path, mode="r+", use_consolidated=False)
        self._arrays = {v: self._group[v.name] for v in VARIABLES if v.name in self._group}
        missing = [
            v.name
            for v in VARIABLES
            if v not in self._arrays and not set(v.dims) & set(OPTIONAL_DIMENSIONS)
        ]
        attributes = ("block_size", "configuration", "model", "versions")
        missing += [n for n in attributes if n not in self._group.attrs]
        missing += [n for n in ("image_name",) if n not in self._group]
        if missing:
            raise InputError(f"{path} is a damaged result store: it has lost {missing[0]}")
        self.block_size: int = self._group.attrs["block_size"]
        self.sizes: dict[str, int] = {}
        for array in self._arrays.values():
            self.sizes |= dict(zip(array.metadata.dimension_names, array.shape, strict=True))

    @classmethod
    def create(cls, path: Path, spec: StoreSpec, overwrite: bool = False) -> ResultStore:
        """Make a new, empty store; it appears at `path` complete or not at all.

        Args:
            path: the folder to make; its parent must exist.
            spec: what the store is for.
            overwrite: replace a result store that is already there.

        Raises:
            InputError: `path` is taken (by anything but a result store, even with `overwrite`),
                cannot be written, is being written by another run, or `spec` names no image or
                one image twice.
        """
        path = Path(path)
        _check_images(spec.images)
        _check_target(path, overwrite)
        # A link stays, and the store is made where it leads.
        path = path.resolve() if path.is_symlink() else path
        unfinished, replaced = _neighbours(path)
        with ExitStack() as lock:
            with _sentences(f"cannot write results to {path}"):
                lock.enter_context(sole_writer(path))
                # Another run may have made it since.
                _check_target(path, overwrite)
                _remove_neighbours(path)
                write_layout(unfinished, spec)
                _flush_all(unfinished)
                if is_result_store(path):
                    path.replace(replaced)
                unfinished.replace(path)
                _flush(path.parent)
                _remove_neighbours(path)
            store = cls(path)
            store._lock = lock.pop_all()
        return store

    @classmethod
    def resume(cls, path: Path, spec: StoreSpec) -> ResultStore:
        """Continue the store at `path`, or make it where there is none yet.

        What an interrupted run left of blocks it never committed is removed.

        Raises:
            InputError: the store is being written by another run, holds other images, or was
                started with another configuration, model, layout or software; the first
                difference is named.
        """
        path = Path(path)
        if not path.exists() or _is_empty_folder(path):
            return cls.create(path, spec)
        with ExitStack() as lock:
            with _sentences(f"cannot continue the results in {path}"):
                lock.enter_context(sole_writer(path))
            store = cls.open(path)
            store._require_same(spec)
            with _sentences(f"cannot continue the results in {path}"):
                _remove_neighbours(path)
                store._discard_uncommitted()
            store._lock = lock.pop_all()
        return store

    @classmethod
    def open(cls, path: Path) -> ResultStore:
        """Open a store to read it, finished or not.

        Raises:
            InputError: `path` holds no result store, or one of another format version.
        """
        path = Path(path)
        _require_store(path)
        return cls(path)

    def close(self) -> None:
        """Let other writers in; a second call does nothing."""
        self._lock.close()

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
        """The blocks without a commit marker, in order."""
        committed = self._committed()
        return [block for block in self.blocks() if block.index not in committed]

    def failed_images(self) -> int:
        """How many images of committed blocks failed."""
        status = self._group[MARKER][:]
        return int(np.count_nonzero(status == IMAGE_STATUS.index("failed")))

    def image_names(self) -> list[str]:
        """The names of all images, in order."""
        return list(self._group["image_name"][:])

    def write_block(self, block: Block, rows: Sequence[ImageRow]) -> None:
        """Write one block whole, then mark it committed.

        Args:
            block: one of `blocks()`.
            rows: one row per image of the block, in order.

        Raises:
            ValueError: the number of rows, or the content of one, does not fit the store.
            InputError: the disk refuses (full, read-only).
        """
        if len(rows) != len(block):
            raise ValueError(f"block {block.index} has {len(block)} images, got {len(rows)} rows")
        if any(row.image_status is None for row in rows):
            raise ValueError("every row needs an image_status")
        contents = {v: assemble(v, rows, self.sizes) for v in self._arrays}
        marker = next(v for v in contents if v.name == MARKER)
        with _sentences(f"cannot write results to {self.path}"):
            rest = [variable for variable in contents if variable is not marker]
            for variable in rest:
                self._arrays[variable][block.start : block.stop] = contents[variable]
            for variable in rest:
                self._flush_chunk(self._chunk_path(variable, block.index))
            self._commit(marker, block, contents[marker])

    def read_block(self, block: Block) -> list[ImageRow]:
        """The rows of a committed block, without vertices; numbers as they were rounded to be
        stored."""
        return disassemble(
            {
                variable: array[block.start : block.stop]
                for variable, array in self._arrays.items()
                if "vertex" not in variable.dims
            }
        )

    def dataset(self) -> xr.Dataset:
        """The store as a lazily read dataset; `decode_flags` turns its flags into text."""
        dataset = xr.open_zarr(self.path, consolidated=True, chunks=None)
        return dataset[[variable.name for variable in self._arrays]]

    def _commit(self, marker: Variable, block: Block, status: np.ndarray) -> None:
        """Put the marker's chunk in place: one byte per image, padded to a whole chunk."""
        target = self._chunk_path(marker, block.index)
        target.parent.mkdir(exist_ok=True)
        chunk = np.zeros(self.block_size, np.uint8)
        chunk[: len(status)] = status
        partial = target.with_name(f"{block.index}.partial")
        with partial.open("wb") as file:
            file.write(chunk.tobytes())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
        self._flush_chunk(target)

    def _flush_chunk(self, path: Path) -> None:
        """Force a chunk and the folders that lead to it onto the disk.

        A file is found again after a power cut only if its folder's entry for it was written too,
        and a block's folders are new. A chunk of nothing but fill values has no file.
        """
        if path.exists():
            _flush(path)
            for folder in path.relative_to(self.path).parents[:-1]:
                _flush(self.path / folder)

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
            committed = self._committed()
            folder = self.path / variable.name / "c"
            for entry in folder.iterdir() if folder.is_dir() else ():
                if entry.name.isdigit() and int(entry.name) in committed:
                    continue
                if entry.is_dir():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()

    def _require_same(self, spec: StoreSpec) -> None:
        stored = {key: _from_json(value) for key, value in self._group.attrs.items()}
        asked = {key: _from_json(value) for key, value in spec.attributes.items()}
        stored["sizes"], asked["sizes"] = self.sizes, spec.sizes
        names = self.image_names()
        stored["images"] = {str(i): name for i, name in enumerate(names)}
        asked["images"] = {str(i): name for i, name in enumerate(spec.images)}
        for key in ("images", "configuration", "model", "versions", "block_size", "sizes"):
            difference = _first_difference(stored[key], asked[key], key)
            if difference:
                raise InputError(
                    f"{self.path} cannot be resumed: {difference}; "
                    "use --overwrite to replace it, or another --out"
                )


def decode_flags(variable: xr.DataArray) -> xr.DataArray:
    """The texts of a flag variable (`side`, `image_status`, ...) in place of its codes."""
    texts = np.array(variable.attrs["flag_meanings"].split(), dtype=object)
    return variable.copy(data=texts[variable.values])


def _neighbours(path: Path) -> tuple[Path, Path]:
    """Where a new store is made, and where the one it replaces waits for removal.

    Both stand beside the target, so that they are moved within one file system.
    """
    return path.with_name(f".{path.name}.unfinished"), path.with_name(f".{path.name}.replaced")


def _remove_neighbours(path: Path) -> None:
    for folder in _neighbours(path):
        if folder.exists():
            shutil.rmtree(folder)


def _check_images(images: Sequence[str]) -> None:
    if not images:
        raise InputError("there is no image to make results for")
    seen: set[str] = set()
    for name in images:
        if name in seen:
            raise InputError(f"image {name!r} is listed twice; every image needs its own name")
        seen.add(name)


def _check_target(path: Path, overwrite: bool) -> None:
    if path.name in ("", ".."):
        raise InputError(f"cannot write results to {path}: give them a folder of their own")
    if not path.parent.is_dir():
        raise InputError(f"cannot write results to {path}: there is no folder {path.parent}")
    if not path.exists() or _is_empty_folder(path):
        return
    if not is_result_store(path):
        raise InputError(f"{path} exists and is no result store, so it is left alone")
    if not overwrite:
        raise InputError(
            f"{path} already holds results: use --resume to continue it "
            "or --overwrite to replace it"
        )


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _require_store(path: Path) -> None:
    if not path.exists():
        raise InputError(f"there is no result store {path}")
    if not is_result_store(path):
        raise InputError(f"{path} is no result store (expected a Zarr folder made by fit-hands)")
    attributes = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]
    found = attributes.get("format_version")
    if found != FORMAT_VERSION:
        raise InputError(f"{path} has format version {found}, this program reads {FORMAT_VERSION}")


def _first_difference(stored: Any, asked: Any, name: str) -> str | None:
    """Where two JSON-like values first differ, as a clause, or None where they do not."""
    if isinstance(stored, Mapping) and isinstance(asked, Mapping):
        if name == "images" and len(stored) != len(asked):
            return f"it was started for {len(stored)} images, now there are {len(asked)}"
        for key in sorted({*stored, *asked}):
            difference = _first_difference(
                stored.get(key, "absent"), asked.get(key, "absent"), f"{name}.{key}"
            )
            if difference:
                return difference
        # Of its parts in order, such as the stages, which follow on one another.
        if name.startswith("configuration") and [*stored] != [*asked]:
            return f"{name} had the order {', '.join(stored)} and has {', '.join(asked)} now"
        return None
    if stored == asked:
        return None
    return f"{name} was {stored!r} when it was started and is {asked!r} now"


def _from_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value.startswith("{") else value


def _flush(path: Path) -> None:
    """Force a file, or a folder's list of entries, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _flush_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        _flush(path)


@contextmanager
def _sentences(what: str) -> Iterator[None]:
    """Turn what the operating system refuses into one sentence."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{what}: {error.strerror or error}") from error
