"""The tracks of hands of videos, in a group of the store: `tracks`; and what each frame is given of
them for the next pass, in a folder of the pass before it.

The group is written beside its place and put there in one step, as that of people is.
`xarray.open_zarr("results.zarr/tracks")` reads it.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from fitter.errors import InputError
from fitter.records import Side
from fitter.store.files import put_in_place, refused_as, unfinished_beside
from fitter.store.layout import PASSES
from fitter.store.schema import SIDES

TRACKS = "tracks"
"""The group's name in a store."""

HANDS = "tracked_hands"
"""Folder of a pass with what is said of each hand of its tracks."""

_FLAGS = {"flag_values": list(range(len(SIDES))), "flag_meanings": " ".join(SIDES)}


@dataclass(frozen=True)
class HandTrack:
    """One hand of a video.

    Attributes:
        video: its name.
        side: of the hand.
        side_score: mean probability of `side` over its frames, in [0.5, 1].
        first_frame, last_frame: their numbers in the video.
        frames: in which the hand was found.
        betas: (S,) shape coefficients that all of them share; NaN where no frame says anything of
            them.
        hand_size: metres, of this shape.
    """

    video: str
    side: Side
    side_score: float
    first_frame: int
    last_frame: int
    frames: int
    betas: np.ndarray
    hand_size: float


def write_tracks(
    path: Path, tracks: Sequence[HandTrack], num_betas: int, hands: TrackedFile
) -> None:
    """Write the group; one that is there already stays.

    Args:
        path: of the group; the folder that it is in exists.
        tracks: number k + 1 in the store is the k-th.
        num_betas: S, also where there is no track.
        hands: of the tracks, in a folder of the store.

    Raises:
        InputError: the disk refuses.
    """
    with refused_as("output.cannot_write", path):
        unfinished = unfinished_beside(path)
        place = hands.folder.relative_to(path.parent).as_posix()
        _write(unfinished, tracks, num_betas, place)
        put_in_place(unfinished, path)


def sweep_tracks(path: Path) -> None:
    """Remove what killed runs left of groups and folders that were never put in place."""
    for pattern in (path.name, HANDS, f"{PASSES}/*/.{HANDS}"):
        hidden = pattern if "/" in pattern else f".{pattern}"
        for folder in path.parent.glob(f"{hidden}.*.unfinished"):
            shutil.rmtree(folder)


def hands_of_tracks(path: Path) -> TrackedFile:
    """The hands of the group at `path`, gone when the last pass is done."""
    import zarr

    group = zarr.open_group(path, mode="r")
    return TrackedFile(path.parent / cast(str, group.attrs["hands"]))


def read_tracks(path: Path) -> list[HandTrack]:
    """What `write_tracks` has written.

    Raises:
        InputError: it is damaged.
    """
    import zarr

    names = ("video", "side", "side_score", "first_frame", "last_frame", "frames", "betas",
             "hand_size")  # fmt: skip
    try:
        group = zarr.open_group(path, mode="r")
        columns = [cast(Any, group[name])[:] for name in names]
        return [
            HandTrack(
                str(video), cast(Side, SIDES[side]), float(score), int(first), int(last),
                int(frames), betas, float(size),
            )
            for video, side, score, first, last, frames, betas, size in zip(*columns, strict=True)
        ]  # fmt: skip
    except Exception as error:
        # What a cut file raises is up to the codec and is of many types.
        raise InputError(
            "store.damaged_variable", file=path, variable=TRACKS, reason=str(error)
        ) from error


def _write(path: Path, tracks: Sequence[HandTrack], num_betas: int, hands: str) -> None:
    import zarr

    group = zarr.create_group(path, zarr_format=3, attributes={"hands": hands})

    def put(name: str, values: list[Any], dtype: Any, long_name: str, **attributes: Any) -> None:
        array = np.array(values, dtype=dtype)
        if name == "betas":
            array = array.reshape(-1, num_betas)
        stored = group.create_array(
            name,
            shape=array.shape,
            chunks=(max(1, len(array)), *array.shape[1:]),
            dtype=str if array.dtype == object else array.dtype,
            dimension_names=["track", "shape_component"][: array.ndim],
            fill_value="" if array.dtype == object else 0,
            attributes={"long_name": long_name} | attributes,
        )
        if len(array):
            stored[:] = array

    put("video", [t.video for t in tracks], object, "the video that shows the hand")
    sides = [SIDES.index(t.side) for t in tracks]
    put("side", sides, np.uint8, "side of the hand", **_FLAGS)
    score = "mean probability of side over the track's frames, in [0.5, 1]"
    put("side_score", [t.side_score for t in tracks], np.float32, score, units="1")
    first, last = "number of the first frame", "number of the last frame"
    put("first_frame", [t.first_frame for t in tracks], np.int64, first, units="1")
    put("last_frame", [t.last_frame for t in tracks], np.int64, last, units="1")
    found = "frames in which the hand was found"
    put("frames", [t.frames for t in tracks], np.int64, found, units="1")
    shape = "shape coefficients that all frames share"
    put("betas", [t.betas for t in tracks], np.float64, shape, units="1")
    size = "length from the wrist's joint along the bones to the middle fingertip"
    put("hand_size", [t.hand_size for t in tracks], np.float32, size, units="m")
    with warnings.catch_warnings():  # Zarr v3's text does not describe consolidated metadata yet
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(path)


@dataclass(frozen=True)
class TrackedHands:
    """Consecutive hands of tracks, in the order of images and slots; n = 6 + K.

    Attributes:
        image, slot, track: (M,) int64; tracks from 1 on.
        filled: (M,) bool, of hands that were not found.
        mean: (M, n) float64, see `fitter.records.ExpectedMotion`; NaN of one of which other frames
            say nothing.
        information: (M, n, n) float64.
    """

    image: np.ndarray
    slot: np.ndarray
    track: np.ndarray
    filled: np.ndarray
    mean: np.ndarray
    information: np.ndarray


class TrackedFile:
    """The hands of all tracks, in a folder of arrays; memory holds what is asked for."""

    def __init__(self, folder: Path) -> None:
        """Those in `folder`."""
        self.folder = folder

    @classmethod
    def make(
        cls,
        folder: Path,
        places: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
        coordinates: int,
    ) -> TrackedFile:
        """Lay out a folder of which nothing is said yet.

        Args:
            folder: which is made.
            places: `image`, `slot`, `track` and `filled` of `TrackedHands`, of all of them.
            coordinates: n.
        """
        folder.mkdir()
        for name, values in zip(("image", "slot", "track", "filled"), places, strict=True):
            np.save(folder / f"{name}.npy", values)
        count, half = len(places[0]), coordinates * (coordinates + 1) // 2
        for name, width, dtype in (("mean", coordinates, "f8"), ("information", half, "f4")):
            np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (count, width))
        return cls(folder)

    def put(self, start: int, mean: np.ndarray, information: np.ndarray) -> None:
        """Say what is expected of the hands from place `start` on: (M, n) and (M, n, n)."""
        upper = np.triu_indices(mean.shape[1])
        for name, values in (("mean", mean), ("information", information[:, upper[0], upper[1]])):
            # Opened anew each time, so that no more of it stays in memory than is written.
            array = np.load(self.folder / f"{name}.npy", mmap_mode="r+")
            array[start : start + len(values)] = values
            array.flush()

    def of_images(self, start: int, stop: int) -> TrackedHands:
        """The hands of the images from place `start` to `stop` (exclusive).

        Raises:
            InputError: a file is damaged.
        """
        try:
            image = self._array("image")
            part = slice(*np.searchsorted(image, [start, stop]).tolist())
            columns = {
                name: np.array(self._array(name)[part])
                for name in ("image", "slot", "track", "filled", "mean", "information")
            }
        except (OSError, ValueError, EOFError) as error:
            raise InputError(
                "store.damaged_variable", file=self.folder, variable=TRACKS, reason=str(error)
            ) from error
        n = columns["mean"].shape[1]
        upper = np.triu_indices(n)
        triangle = columns["information"].astype(np.float64)
        matrix = np.zeros((len(triangle), n, n))
        matrix[:, upper[0], upper[1]] = matrix[:, upper[1], upper[0]] = triangle
        return TrackedHands(**columns | {"information": matrix})

    def _array(self, name: str) -> np.ndarray:
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")
