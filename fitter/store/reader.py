"""Reading a result store: its images, blocks and rows, whether it is finished or not.

Nothing is written, so a store in a folder that may only be read can be read. A store that was made
before names changed is read under today's names, see `fitter.store.older`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from fitter.errors import InputError
from fitter.rig import Rig
from fitter.store.files import require_store
from fitter.store.image_names import FrameImages, ImageNames
from fitter.store.layout import Block, dimensions
from fitter.store.older import (
    ADDED_VARIABLES,
    FORMAT_VERSION,
    stored_name,
    with_todays_options,
)
from fitter.store.optional_variables import (
    LENS_VARIABLES,
    OPTIONAL_DIMENSIONS,
    PASS_VARIABLES,
    PEOPLE_VARIABLES,
    TRACK_VARIABLES,
)
from fitter.store.row_kinds import FRAMES, IMAGES, RowKind
from fitter.store.rows import disassemble, disassemble_frames
from fitter.store.variables import Variable

if TYPE_CHECKING:  # what only asks whether there is a store need not wait for Zarr
    import xarray as xr
    import zarr

_ATTRIBUTES = ("block_size", "configuration", "model", "versions")


class StoreReader:
    """A result store that is read; make one with `open`.

    Attributes:
        path: its folder.
        kind: what its rows are, images or frames.
        block_size: rows per block.
        sizes: length of every dimension.
    """

    _mode: Literal["r", "r+"] = "r"

    def __init__(self, path: Path) -> None:
        """Open the store in `path`, which `require_store` has accepted.

        Raises:
            InputError: the store is damaged.
        """
        self.path = path
        self._load()
        names = {v.name for v in self._arrays}
        missing = [
            v.name
            for v in self.kind.variables
            if v.name not in names
            and not set(v.dims) & set(OPTIONAL_DIMENSIONS)
            and v.name not in PEOPLE_VARIABLES | LENS_VARIABLES | TRACK_VARIABLES | PASS_VARIABLES
            and not (self._is_older and v.name in ADDED_VARIABLES)
        ]
        # The gathered metadata still tell of a variable whose folder is gone, and it would read as
        # nothing but fill values.
        missing += [
            v.name
            for v, array in self._arrays.items()
            if not (path / array.basename / "zarr.json").exists()
        ]
        rig = ("rig",) if self.kind is FRAMES else ()
        missing += [n for n in (*_ATTRIBUTES, *rig) if n not in self._group.attrs]
        if missing:
            raise InputError("store.lost", file=path, what=missing[0])
        self.block_size = cast(int, self._group.attrs["block_size"])

    @staticmethod
    def open(path: Path, kinds: Collection[RowKind] = (IMAGES,)) -> StoreReader:
        """Open a store to read it, finished or not.

        Args:
            path: its folder.
            kinds: what its rows may be.

        Raises:
            InputError: `path` holds no result store, one of a format that is not known, a
                damaged one, or one of rows of another kind.
        """
        path = Path(path)
        require_store(path)
        found = StoreReader(path)
        if found.kind not in kinds:
            code = "store.has_images" if found.kind is IMAGES else "store.has_frames"
            raise InputError(code, file=path)
        return found

    def _load(self) -> None:
        import zarr

        # The gathered metadata are what counts: a store that was being made longer when its writer
        # ended has some arrays longer than others.
        try:
            # Absolute, because the arrays may travel to a process that works elsewhere.
            self._group = zarr.open_group(
                self.path.absolute(), mode=self._mode, use_consolidated=True
            )
            self.kind = RowKind.of(self._group.attrs)
            self._names = cast("zarr.Array", self._group[self.kind.names])
            self._image_names = cast("zarr.Array", self._group["image_name"])
        except (KeyError, ValueError) as error:
            raise InputError("store.lost", file=self.path, what="image_name") from error
        self._place = self.path.stat()
        there = set(self._group.array_keys())
        named = [(v, stored_name(v.name, there)) for v in self.kind.variables]
        arrays: list[tuple[Variable, Any]] = [
            (v, self._group[name]) for v, name in named if name is not None
        ]
        self._arrays = {v.as_stored(array.attrs): array for v, array in arrays}
        self.sizes: dict[str, int] = {}
        for array in self._arrays.values():
            self.sizes |= dict(zip(dimensions(array), array.shape, strict=True))

    @property
    def _is_older(self) -> bool:
        return self._group.attrs.get("format_version") != FORMAT_VERSION

    @property
    def configuration(self) -> dict[str, Any]:
        """The resolved configuration of the run, under today's names of its options."""
        return with_todays_options(json.loads(cast(str, self._group.attrs["configuration"])))

    @property
    def model(self) -> dict[str, Any]:
        """What tells the hand model and all that shapes its fits from others: name, digests."""
        return json.loads(cast(str, self._group.attrs["model"]))

    @property
    def versions(self) -> dict[str, str]:
        """Package name to version, of everything that shaped the numbers."""
        return json.loads(cast(str, self._group.attrs["versions"]))

    @property
    def dataset_place(self) -> dict[str, str] | None:
        """Name, folder and split of the data set that the images are from, or None."""
        return json.loads(cast(str, self._group.attrs.get("dataset", "null")))

    @property
    def rig(self) -> Rig | None:
        """The cameras of a store of frames; None of images."""
        if self.kind is IMAGES:
            return None
        return Rig.of_json(json.loads(cast(str, self._group.attrs["rig"])))

    @property
    def names(self) -> ImageNames:
        """The names of all images or frames, in order."""
        return ImageNames(self._names)

    @property
    def frame_images(self) -> FrameImages:
        """Of a store of frames, the names of their images, in order."""
        return FrameImages(self._image_names)

    @property
    def variable_names(self) -> frozenset[str]:
        """The variables that the store has, under today's names."""
        return frozenset(variable.name for variable in self._arrays)

    @property
    def count(self) -> int:
        """Rows of the store, done or not."""
        return self.sizes[self.kind.item]

    def blocks(self) -> list[Block]:
        """Every block, in order."""
        size, total = self.block_size, self.count
        return [
            Block(index, start, min(start + size, total))
            for index, start in enumerate(range(0, total, size))
        ]

    @property
    def is_complete(self) -> bool:
        """Whether every block has a commit marker, whoever wrote it."""
        return len(self._committed()) == len(self.blocks())

    def pending_blocks(self) -> list[Block]:
        """The blocks without a commit marker, in order."""
        committed = self._committed()
        return [block for block in self.blocks() if block.index not in committed]

    def committed_blocks(self) -> list[Block]:
        """The blocks with a commit marker, in order, whoever wrote them."""
        committed = self._committed()
        return [block for block in self.blocks() if block.index in committed]

    def read(self, name: str, block: Block) -> np.ndarray:
        """The variable `name` of the rows of a block, (B, ...).

        Raises:
            InputError: its file is damaged.
        """
        return self._read(next(v for v in self._arrays if v.name == name), block)

    def read_block(
        self, block: Block, wanted: Callable[[Variable], bool] | None = None
    ) -> list[Any]:
        """The rows of a committed block; numbers as they were rounded to be stored.

        Args:
            block: one of `committed_blocks()`.
            wanted: which variables to read, `side` among them; by default all without vertices.

        Raises:
            InputError: one of its files is damaged.
        """
        arrays = self.read_arrays(block, wanted)
        return disassemble(arrays) if self.kind is IMAGES else disassemble_frames(arrays)

    def read_arrays(
        self, block: Block, wanted: Callable[[Variable], bool] | None = None
    ) -> dict[Variable, np.ndarray]:
        """What `read_block` makes rows of, for a caller that keeps many and asks for few.

        Returns:
            Variable -> (B, ...); `fitter.store.rows.disassemble` takes them, or a part of each.

        Raises:
            InputError: one of its files is damaged.
        """
        wanted = wanted or (lambda variable: "vertex" not in variable.dims)
        return {v: self._read(v, block) for v in self._arrays if wanted(v)}

    def dataset(self) -> xr.Dataset:
        """The store as a lazily read dataset; `decode_flags` turns its flags into text."""
        import xarray as xr

        dataset = xr.open_zarr(self.path, consolidated=True, chunks=None)
        dataset.attrs["configuration"] = json.dumps(self.configuration)
        stored = {array.basename: v.name for v, array in self._arrays.items()}
        return dataset[list(stored)].rename({a: b for a, b in stored.items() if a != b})

    def _read(self, variable: Variable, block: Block) -> np.ndarray:
        try:
            return self._arrays[variable][block.start : block.stop]
        except Exception as error:
            # What a cut file raises is up to the codec and is of many types.
            raise InputError(
                "store.damaged_variable",
                file=self.path,
                variable=variable.name,
                reason=str(error),
            ) from error

    def _committed(self) -> set[int]:
        folder = self.path / self.kind.marker / "c"
        if not folder.is_dir():
            return set()
        return {int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()}


def decode_flags(variable: xr.DataArray) -> xr.DataArray:
    """The texts of a flag variable (`side`, `image_status`, ...) in place of its codes."""
    texts = np.array(variable.attrs["flag_meanings"].split(), dtype=object)
    return variable.copy(data=texts[variable.values])
