"""The textures of people's hands, in a group of the group `people` of a store: `people/textures`.

As `people` it is written beside its place and put there in one step, so that the folder is the
marker. Each texture is a chunk of its own: one is in memory at a time.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from fitter.errors import InputError
from fitter.records import HandKey, Side
from fitter.store.files import flush_all, refused_as
from fitter.store.schema import SIDES
from fitter.system.files import flush

TEXTURES = "textures"
"""The group's name in the group of people."""


@dataclass(frozen=True)
class PersonTexture:
    """The texture of one hand of one person.

    Attributes:
        colours: (T, T, 3) diffuse reflectance in linear RGB, row 0 at the top.
        weight: (T, T) how surely each texel was measured; 0 where its colour is filled in.
        images: how many it was made of.
    """

    colours: np.ndarray
    weight: np.ndarray
    images: int


def write_textures(
    path: Path, size: int, keys: Sequence[HandKey], textures: Iterable[PersonTexture]
) -> None:
    """Write the textures of people, one after the other; one writer at a time.

    Args:
        path: of the group; the folder that it is in exists.
        size: T, texels along a side.
        keys: whose hands.
        textures: of each, in the same order.

    Raises:
        InputError: the disk refuses.
    """
    with refused_as("output.cannot_write", path):
        unfinished = path.with_name(f".{path.name}.unfinished")
        _write(unfinished, size, keys, textures)
        flush_all(unfinished)
        unfinished.rename(path)
        flush(path.parent)


class StoredTextures:
    """Textures that `write_textures` has written, read when they are asked for."""

    def __init__(self, path: Path) -> None:
        """Take the group's folder; without one there is no texture."""
        self.path = path

    @cached_property
    def keys(self) -> list[HandKey]:
        """Whose hands have a texture.

        Raises:
            InputError: the group is damaged.
        """
        if not self.path.exists():
            return []
        persons, sides = self._read("person", slice(None)), self._read("side", slice(None))
        return [
            (str(person), cast(Side, SIDES[side]))
            for person, side in zip(persons, sides, strict=True)
        ]

    def of(self, key: HandKey) -> PersonTexture | None:
        """The texture of a hand, float32; None where it has none.

        Raises:
            InputError: the group is damaged.
        """
        if key not in self.keys:
            return None
        place = self.keys.index(key)
        colours = self._read("colours", place).astype(np.float32)
        return PersonTexture(colours, self._read("weight", place), int(self._read("images", place)))

    def _read(self, name: str, rows: slice | int) -> np.ndarray:
        import zarr

        try:
            group = zarr.open_group(self.path, mode="r")
            return np.asarray(cast(Any, group[name])[rows])
        except Exception as error:
            # What a cut file raises is up to the codec and is of many types.
            raise InputError(
                "store.damaged_variable", file=self.path, variable=name, reason=str(error)
            ) from error


def _write(
    path: Path, size: int, keys: Sequence[HandKey], textures: Iterable[PersonTexture]
) -> None:
    import zarr

    shutil.rmtree(path, ignore_errors=True)
    group = zarr.create_group(path, zarr_format=3)

    def create(name: str, dtype: Any, dims: Sequence[str], **attributes: Any) -> zarr.Array:
        lengths = {"group": len(keys), "rgb": 3}
        shape = tuple(lengths.get(dim, size) for dim in dims)
        chunks = (max(1, len(keys)) if len(dims) == 1 else 1, *shape[1:])
        return group.create_array(
            name,
            shape=shape,
            chunks=chunks,
            dtype=dtype,
            dimension_names=dims,
            fill_value="" if dtype is str else 0,
            attributes=attributes,
        )

    texels = ["group", "texel_row", "texel_column"]
    flags = {"flag_values": list(range(len(SIDES))), "flag_meanings": " ".join(SIDES)}
    person = create("person", str, ["group"], long_name="whose hand it is")
    side = create("side", np.uint8, ["group"], long_name="side of the hand", **flags)
    images = create(
        "images", np.int32, ["group"], units="1", long_name="images that it was made of"
    )
    colours = create(
        "colours", np.float16, [*texels, "rgb"], units="1",
        long_name="diffuse reflectance, linear RGB, row 0 at the top of the model's atlas",
    )  # fmt: skip
    weight = create(
        "weight", np.float32, texels, units="1",
        long_name="how surely a texel was measured, in images that show it straight on; 0 where it "
        "is filled in",
    )  # fmt: skip
    if keys:
        person[:] = np.array([name for name, _ in keys], dtype=object)
        side[:] = np.array([SIDES.index(which) for _, which in keys], np.uint8)
    made = []
    for place, texture in enumerate(textures):
        colours[place] = texture.colours.astype(np.float16)
        weight[place] = texture.weight.astype(np.float32)
        made.append(texture.images)
    if made:
        images[:] = np.array(made, np.int32)
    with warnings.catch_warnings():  # Zarr v3's text does not describe consolidated metadata yet
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(path)
