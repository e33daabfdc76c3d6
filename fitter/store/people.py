"""What the images of each hand share, in a group of the store: `people`.

It is written beside its place and put there in one step, so that the folder is the marker: it is
there whole or not at all. `xarray.open_zarr("results.zarr/people")` reads it.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from fitter.errors import InputError
from fitter.records import HandKey, SharedHand, Side
from fitter.store.files import put_in_place, refused_as, unfinished_beside
from fitter.store.schema import SIDES

PEOPLE = "people"
"""The group's name in a store."""


@dataclass(frozen=True)
class PersonHand:
    """One hand of one person.

    Attributes:
        shared: what its images share.
        images: how many say something of it.
    """

    shared: SharedHand
    images: int


def write_people(path: Path, hands: Mapping[HandKey, PersonHand], num_betas: int) -> None:
    """Write what the images of each hand share; a group that is there already stays.

    Args:
        path: of the group; the folder that it is in exists.
        hands: by person and side, in the order in which they are stored.
        num_betas: S, also where there is no hand.

    Raises:
        InputError: the disk refuses.
    """
    with refused_as("output.cannot_write", path):
        unfinished = unfinished_beside(path)
        _write(unfinished, hands, num_betas)
        put_in_place(unfinished, path)


def sweep_people(path: Path) -> None:
    """Remove what killed runs left of a group that was never put in place."""
    for folder in path.parent.glob(f".{path.name}.*.unfinished"):
        shutil.rmtree(folder)


def read_people(path: Path) -> dict[HandKey, PersonHand]:
    """What `write_people` has written.

    Args:
        path: of the group.

    Raises:
        InputError: it is damaged.
    """
    import zarr

    try:
        group = zarr.open_group(path, mode="r")
        arrays = {name: cast(Any, group[name])[:] for name in group.array_keys()}
        offsets = arrays.get("offsets", [None] * len(arrays["person"]))
        columns = (arrays[name] for name in ("person", "side", "images", "betas"))
        return {
            (str(person), cast(Side, SIDES[side])): PersonHand(
                SharedHand(betas, moved), int(images)
            )
            for person, side, images, betas, moved in zip(*columns, offsets, strict=True)
        }
    except Exception as error:
        # What a cut file raises is up to the codec and is of many types.
        raise InputError(
            "store.damaged_variable", file=path, variable=PEOPLE, reason=str(error)
        ) from error


def _write(path: Path, hands: Mapping[HandKey, PersonHand], num_betas: int) -> None:
    import zarr

    group = zarr.create_group(path, zarr_format=3)
    values = list(hands.values())
    betas = np.array([hand.shared.betas for hand in values]).reshape(-1, num_betas)
    flags = {"flag_values": list(range(len(SIDES))), "flag_meanings": " ".join(SIDES)}

    def put(name: str, array: np.ndarray, dims: list[str], **attributes: Any) -> None:
        stored = group.create_array(
            name,
            shape=array.shape,
            chunks=(max(1, len(array)) if array.ndim < 3 else 1, *array.shape[1:]),
            dtype=str if array.dtype == object else array.dtype,
            dimension_names=dims,
            fill_value="" if array.dtype == object else 0,
            attributes=attributes,
        )
        if len(array):
            stored[:] = array

    persons = np.array([person for person, _ in hands], dtype=object)
    sides = np.array([SIDES.index(side) for _, side in hands], np.uint8)
    put("person", persons, ["group"], long_name="whose hand it is")
    put("side", sides, ["group"], long_name="side of the hand", **flags)
    images = np.array([hand.images for hand in values], np.int32)
    put("images", images, ["group"], long_name="images that say something of it", units="1")
    put(
        "betas", betas, ["group", "shape_component"], units="1",
        long_name="shape coefficients that all of them share",
    )  # fmt: skip
    if values and values[0].shared.offsets is not None:
        offsets = np.array([hand.shared.offsets for hand in values], np.float32)
        put(
            "offsets", offsets, ["group", "offset_vertex", "xyz"], units="m",
            frame="rest pose of the right-hand model",
            long_name="offsets of the vertices that all of them share",
        )  # fmt: skip
    with warnings.catch_warnings():  # Zarr v3's text does not describe consolidated metadata yet
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(path)
