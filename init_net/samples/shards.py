"""Training samples on disk: right hands and what is true of them.

    data set = (seed, settings) -> `render_shards` ------------------------+
    annotated pictures -> `init_net.samples.conversion.convert_images` -> folder of shards
                                                                              -> `ShardedSamples`

A shard is a folder of plain ``.npy`` arrays, one for each field of `SAMPLE_FIELDS`, so that any
sample is read without reading its neighbours. It is written under another name and renamed when it
is whole; a run that was killed continues with the shards that are missing. Rendered sample i
depends on (seed, i) and the settings alone, not on how many shards or processes there are.
"""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Self

import numpy as np
import torch

from datasets.synthetic import SyntheticEngine, SyntheticSettings
from fitter.device import one_thread
from fitter.errors import InputError
from fitter.records import HandParams
from fitter.system.lock import WriterLock
from init_net.samples.manifest import (
    MANIFEST,
    SampleSource,
    Source,
    claim,
    read_manifest,
    refused,
    require_same,
)
from init_net.samples.processes import make_shards
from init_net.samples.rendered import TRUE_LABELS, stored, stored_keypoints

SHARD = 256
"""Samples in a shard, the last one of a data set excepted."""

_CHUNK = 32

LEFT_OUT = "left_out.txt"
"""File of a shard that says in a line each why hands are not usable, where some are not."""

HAND_FIELDS = ("global_orient", "hand_pose", "betas", "transl")
"""Fields of `HandParams`."""

SAMPLE_FIELDS: Mapping[str, tuple[str, str]] = {
    "image": ("uint8", "(S, S, 3) sRGB"),
    "mask": ("uint8", "(S, S) share of each pixel that shows the hand, in 255ths"),
    "keypoints_3d": ("float32", "(21, 3) metres, camera frame, the model's keypoints"),
    "keypoints_2d": ("float32", "(21, 2) pixels"),
    "keypoint_state": ("uint8", "(21,) VISIBLE ... OUTSIDE of `datasets.synthetic.records`"),
    "intrinsics": ("float32", "(3, 3) K in pixels"),
    "global_orient": ("float32", "(3,) axis-angle"),
    "hand_pose": ("float32", "(15, 3) axis-angle"),
    "betas": ("float32", "(S,) 10, and further ones where there are children"),
    "transl": ("float32", "(3,) metres"),
    "mode": ("int16", "row of `pose_modes()`"),
    "egocentric": ("bool", "the camera sits on the owner's head"),
}
"""Name -> dtype and meaning of what is stored of a sample. Of annotated hands, what is not known is
NaN, or `UNKNOWN`."""

UNKNOWN = 255
"""Value of ``keypoint_state`` where nobody says whether a keypoint can be seen."""

LABEL_FIELDS: Mapping[str, tuple[str, str]] = {
    "usable": ("bool", "it could be made; all else is 0 where not"),
    "has_mask": ("bool", "the mask is known"),
    "is_marks": ("bool", "keypoints are the detector's marks; else joints and fingertips"),
    "label_confidence": ("float32", "(21,) how sure whoever marked or fitted it was"),
    "label_score": ("float32", "probability that the label is right"),
    "picture_hash": ("uint64", "perceptual hash of the image"),
}
"""Further fields, of annotated hands and those rendered of another hand model; all is true of the
other rendered ones."""


def render_shards(
    folder: Path,
    source: SampleSource,
    workers: int = 1,
    progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Render what is missing of a data set.

    Args:
        folder: of the data set; made where it is missing.
        source: what to render. A folder that holds the same with fewer samples grows.
        workers: processes.
        progress: told how many further samples are on disk.

    Raises:
        InputError: the folder holds another data set, one that something else has made and that is
            to grow, or is in use, or cannot be written.
        LostError: a process was lost.
    """
    fill_shards(folder, source, partial(_render_shard, folder, source), workers, progress)


def fill_shards(
    folder: Path,
    source: Source,
    make: Callable[[int], int],
    workers: int,
    progress: Callable[[int], None],
) -> None:
    """Make what is missing of a folder's samples.

    Args:
        folder: made where it is missing.
        source: what the samples are.
        make: makes the shard whose first sample has a number and returns its number of samples; it
            can be pickled.
        workers: processes.
        progress: told how many further samples are on disk.

    Raises:
        InputError, LostError: see `render_shards`.
    """
    try:
        # What is whole is only read: by several at once, or where nobody may write.
        lock = None if is_done(folder, source) else locked(folder)
    except OSError as error:
        raise refused(folder, error) from error
    if lock is None:
        progress(source.count)
        return
    try:
        claim(folder, source)
        missing = _missing(folder, source)
        progress(source.count - sum(min(SHARD, source.count - start) for start in missing))
        make_shards(folder, make, missing, workers, progress)
    finally:
        lock.release()


def is_done(folder: Path, source: Source) -> bool:
    """Whether all shards of a folder are there, so that it is only to be read.

    Raises:
        InputError: it holds another data set, or a damaged one.
    """
    if not (folder / MANIFEST).exists():
        return False
    require_same(folder, source)
    return not _missing(folder, source)


def locked(folder: Path) -> WriterLock:
    """The lock of a folder, which is made where it is missing.

    Raises:
        InputError: somebody else writes there. OSError: it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return WriterLock(folder)


def _missing(folder: Path, source: Source) -> list[int]:
    """Numbers of the first samples of shards that are not there, or not whole."""
    starts = range(0, source.count, SHARD)
    return [start for start in starts if not _is_whole(folder, source, start)]


class ShardedSamples:
    """The samples of a folder, in order, read as they are asked for.

    Attributes:
        folder: theirs.
        size: of their images, pixels.
        seed: of the folder.
        chosen: (N,) places in the folder of those that are read, see `subset`; None for all.
    """

    chosen: np.ndarray | None = None

    def __init__(self, folder: Path, count: int | None = None) -> None:
        """Open a folder.

        Args:
            folder: that `render_shards` wrote.
            count: leading samples to use; None for all that are on disk.

        Raises:
            InputError: there is no data set, a damaged one, or one of fewer samples.
        """
        self.folder = folder
        manifest = read_manifest(folder)
        self.size: int = manifest["size"]
        self.seed: int = manifest["seed"]
        self._arrays: list[dict[str, np.ndarray]] = []
        total = 0
        while (path := folder / shard_name(total)).is_dir():
            self._arrays.append(_open_shard(path))
            total += len(self._arrays[-1]["mode"])
        if total == 0:
            raise InputError("samples.none", file=folder)
        if count is not None and total < count:
            raise InputError("samples.too_few", file=folder, expected=count, found=total)
        self._count = total if count is None else count

    def subset(self, chosen: np.ndarray) -> Self:
        """Those at places `chosen` (N,), in that order."""
        part = copy.copy(self)
        part.chosen = chosen if self.chosen is None else self.chosen[chosen]
        part._count = len(chosen)
        return part

    @property
    def sets(self) -> Sequence[ShardedSamples]:
        """The sets that these are, one after the other, each in a folder of its own."""
        return (self,)

    def __len__(self) -> int:
        return self._count

    def read(self, indices: Iterable[int], names: Sequence[str]) -> dict[str, np.ndarray]:
        """Fields of samples, stacked in the order of `indices`.

        Args:
            indices: of the samples.
            names: of `SAMPLE_FIELDS` and `LABEL_FIELDS`.
        """
        numbers = [int(i) for i in indices]
        if self.chosen is not None:
            numbers = self.chosen[numbers].tolist()
        where = [divmod(number, SHARD) for number in numbers]
        return {name: np.stack([self._value(name, *at) for at in where]) for name in names}

    def _value(self, name: str, shard: int, row: int) -> np.ndarray:
        arrays = self._arrays[shard]
        return arrays[name][row] if name in arrays else TRUE_LABELS[name]

    def column(self, name: str) -> np.ndarray:
        """One field of all samples."""
        if name not in self._arrays[0]:
            return np.stack([TRUE_LABELS[name]] * self._count)
        whole = np.concatenate([shard[name] for shard in self._arrays])
        return whole[: self._count] if self.chosen is None else whole[self.chosen]


def true_hands(rows: Mapping[str, np.ndarray]) -> HandParams:
    """The parameters of samples, `HAND_FIELDS` of which were read, float64.

    What a data set stores of keypoints is where the model had them when it was rendered; posing the
    model says where it has them now.
    """
    return HandParams(*(torch.from_numpy(rows[name]).double() for name in HAND_FIELDS))


def shard_name(start: int) -> str:
    """The name of the shard whose first sample has this number."""
    return f"shard-{start:09d}"


def _is_whole(folder: Path, source: Source, start: int) -> bool:
    path = folder / shard_name(start)
    if not path.is_dir():
        return False
    # The last shard of a smaller data set is rendered again where there is to be more of it.
    return len(load_array(path / "mode.npy", "int16")) >= min(SHARD, source.count - start)


def _open_shard(path: Path) -> dict[str, np.ndarray]:
    arrays = {}
    count = len(load_array(path / "mode.npy", "int16"))
    fields = dict(SAMPLE_FIELDS)
    if (path / "usable.npy").exists():
        fields |= LABEL_FIELDS
    for name, (dtype, _) in fields.items():
        file = path / f"{name}.npy"
        array = load_array(file, dtype)
        if len(array) != count:
            raise InputError("samples.too_few", file=file, expected=count, found=len(array))
        # Small ones are read at once: opening each again for a sample costs more than they do.
        arrays[name] = array if array.nbytes > 1 << 20 else np.array(array)
    return arrays


def load_array(file: Path, dtype: str) -> np.ndarray:
    """An array of a shard, mapped into memory.

    Args:
        file: of the array.
        dtype: that it is to have.

    Raises:
        InputError: it is missing, damaged, cut off, or of another dtype.
    """
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError("samples.bad_array", file=file, reason=str(error)) from error
    if array.dtype != dtype or array.ndim == 0:
        raise InputError("samples.other_type", file=file, expected=dtype, found=str(array.dtype))
    return array


def _render_shard(folder: Path, source: SampleSource, start: int) -> int:
    """Render one shard and return its number of samples."""
    stop = min(start + SHARD, source.count)
    with one_thread():
        engine = engine_of(source.size, source.supersampling, source.settings)
        batches = (engine.batch(source.seed, each) for each in chunks(start, stop))
        is_own = source.settings.model is None
        parts = [stored(batch) if is_own else stored_keypoints(batch) for batch in batches]
    try:
        write_samples(folder / shard_name(start), parts)
    except OSError as error:
        raise refused(folder, error) from error
    return stop - start


def write_samples(path: Path, parts: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Write a shard of parts that `stored` or `stored_keypoints` gave, see `write_arrays`."""
    fields = {**SAMPLE_FIELDS, **LABEL_FIELDS}
    arrays = {
        name: np.concatenate([part[name] for part in parts]).astype(dtype, copy=False)
        for name, (dtype, _) in fields.items()
        if name in parts[0]
    }
    write_arrays(path, arrays)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], problems: str = "") -> None:
    """Write a shard's arrays under another name, and give it its own when it is whole.

    Args:
        path: of the shard.
        arrays: name -> array.
        problems: lines of what could not be made of it, for `LEFT_OUT`; empty for nothing.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    # Left by a process that was killed; containers give the same numbers again.
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        for name, array in arrays.items():
            np.save(partial / f"{name}.npy", array)
        if problems:
            (partial / LEFT_OUT).write_text(problems, encoding="utf-8")
        if path.exists():
            shutil.rmtree(path)
        partial.rename(path)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def chunks(start: int, stop: int) -> Iterator[range]:
    """Samples that are rendered at once."""
    for first in range(start, stop, _CHUNK):
        yield range(first, min(first + _CHUNK, stop))


@lru_cache(maxsize=1)
def engine_of(size: int, supersampling: int, settings: SyntheticSettings) -> SyntheticEngine:
    """Kept, since a process renders many shards and loading an engine takes seconds."""
    return SyntheticEngine(size, settings, supersampling=supersampling)
