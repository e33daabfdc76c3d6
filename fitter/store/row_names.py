"""The names of a store's rows as variables: those of images, or of frames and the images in them.

Written some blocks at a time, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fitter.rig import FrameNames, Rig
from fitter.store.row_kinds import IMAGES, RIG_VARIABLES, RowKind

if TYPE_CHECKING:  # what only asks whether there is a store need not wait for Zarr
    import zarr


def create_names(group: zarr.Group, rig: Rig | None, rows: int, block_size: int) -> None:
    """Make the variables with names of rows and of what is in them, and of frames their rig's.

    Args:
        group: of the store.
        rig: whose frames the rows are; None where they are images.
        rows: how many there are.
        block_size: of the store.
    """
    below = "path relative to the input folder"
    meant = {"image_name": (["image"], below)}
    if rig is not None:
        meant = {
            "frame_name": (["frame"], "what the names of the frame's images have in common"),
            "image_name": (["frame", "view"], f"{below}; empty where there is no image"),
        }
    for name, (dims, long_name) in meant.items():
        rest = () if rig is None or len(dims) == 1 else (len(rig),)
        group.create_array(
            name,
            shape=(rows, *rest),
            chunks=(block_size, *rest),
            dtype=str,
            dimension_names=dims,
            fill_value="",
            attributes={"long_name": long_name},
        )
    if rig is None:
        return
    cameras = rig.cameras
    values = (
        [camera.intrinsics for camera in cameras],
        [camera.rotation for camera in cameras],
        [camera.translation for camera in cameras],
    )
    for variable, value in zip(RIG_VARIABLES, values, strict=True):
        array = group.create_array(
            variable.name,
            data=np.stack(value),
            dimension_names=(*variable.outer, *variable.dims),
            attributes=variable.attributes,
        )
        assert array.shape[0] == len(cameras)


def write_names(
    group: zarr.Group, kind: RowKind, names: Iterable[str], start: int, block_size: int
) -> None:
    """Write names from place `start` on, some blocks at a time, whatever their number."""
    names = iter(names)
    # Up to the end of a block first, then whole ones: a chunk that is written twice costs twice.
    room = block_size - start % block_size
    while some := list(islice(names, room)):
        here = slice(start, start + len(some))
        for name, values in _columns(kind, some).items():
            cast("zarr.Array", group[name])[here] = np.array(values, dtype=object)
        start += len(some)
        room = block_size


def _columns(kind: RowKind, names: list[str]) -> dict[str, list[Any]]:
    """What is written of the names of rows, by variable."""
    if kind is IMAGES:
        return {"image_name": names}
    found = [FrameNames.of_text(text) for text in names]
    return {
        "frame_name": [frame.name for frame in found],
        "image_name": [list(frame.images) for frame in found],
    }
