"""Rendered pairs on disk: one hand of a headset's owner as its two cameras saw it.

    data set = (seed, settings) -> `render_stereo_shards` -> folder -> `StereoShards`

What each camera saw is a folder of shards of its own, ``left`` and ``right``, as `ShardedSamples`
reads them: in the frame of that camera, so that whatever learns from single images learns from
either. Beside them are shards of `PAIR_FIELDS`. Of a shard they are written last, so that a run
that was killed goes on with the pairs that are missing. Pair i depends on (seed, i) and the
settings alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Self

import numpy as np

from datasets.synthetic.rig_scenes import RigEngine, RigScenes
from datasets.synthetic.rig_shapes import stereo_rig
from fitter.device import one_thread
from fitter.errors import InputError
from fitter.rig import Rig
from init_net.samples.manifest import OneViewSource, StereoSource, claim, read_manifest, refused
from init_net.samples.rendered import stored
from init_net.samples.selection import PAIRS, in_portion
from init_net.samples.shards import (
    SHARD,
    ShardedSamples,
    chunks,
    engine_of,
    fill_shards,
    is_done,
    load_array,
    locked,
    shard_name,
    write_arrays,
    write_samples,
)
from init_net.samples.sightings import look_at_shards

CAMERAS = ("left", "right")
"""Of a pair, in the order of the rig."""

PAIR_FIELDS: Mapping[str, tuple[str, str]] = {
    "mode": ("int16", "row of `pose_modes()`"),
    "rotation": ("float64", "(3, 3) from the left camera's frame to the right one's"),
    "translation": ("float64", "(3,) metres: x_right = R x_left + t"),
}
"""Name -> dtype and meaning of what is stored of a pair besides what each camera saw."""

_FULL = (1280, 1280)
"""Pixels of the cameras' images, which the samples are cut out of as they are rendered."""


def render_stereo_shards(
    folder: Path,
    source: StereoSource,
    workers: int = 1,
    progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Render what is missing of a data set of pairs; see `render_shards`.

    Args:
        folder: of the data set; made where it is missing.
        source: what to render. A folder that holds the same with fewer pairs grows.
        workers: processes.
        progress: told how many further pairs are on disk.

    Raises:
        InputError, LostError: see `render_shards`.
    """
    if not is_done(folder, source):
        _claim_all(folder, source)
    fill_shards(folder, source, partial(_render_shard, folder, source), workers, progress)


def _claim_all(folder: Path, source: StereoSource) -> None:
    try:
        lock = locked(folder)
    except OSError as error:
        raise refused(folder, error) from error
    try:
        claim(folder, source)
        for camera in CAMERAS:
            (folder / camera).mkdir(exist_ok=True)
            claim(folder / camera, OneViewSource(source, camera))
    except OSError as error:
        raise refused(folder, error) from error
    finally:
        lock.release()


def _render_shard(folder: Path, source: StereoSource, start: int) -> int:
    """Render one shard and return its number of pairs."""
    stop = min(start + SHARD, source.count)
    sides: tuple[list, list] = [], []
    between = []
    with one_thread():
        engine = _rig_engine(source)
        for numbers in chunks(start, stop):
            scenes = engine.sample(source.seed, numbers)
            for parts, batch in zip(sides, engine.render(scenes), strict=True):
                parts.append(stored(batch))
            between.append(_between(scenes))
    arrays = {
        name: np.concatenate([part[name] for part in between]).astype(dtype, copy=False)
        for name, (dtype, _) in PAIR_FIELDS.items()
    }
    try:
        for camera, parts in zip(CAMERAS, sides, strict=True):
            write_samples(folder / camera / shard_name(start), parts)
        write_arrays(folder / shard_name(start), arrays)
    except OSError as error:
        raise refused(folder, error) from error
    return stop - start


@lru_cache(maxsize=1)
def _rig_engine(source: StereoSource) -> RigEngine:
    """Kept, see `engine_of`."""
    least, most = source.baselines

    def pair(generator: np.random.Generator) -> Rig:
        return stereo_rig(float(generator.uniform(least, most)), _FULL)

    engine = engine_of(source.size, source.supersampling, source.settings)
    return RigEngine(engine, pair, crops=True)


def _between(scenes: RigScenes) -> dict[str, np.ndarray]:
    """`PAIR_FIELDS` of scenes."""
    pairs = [rig.cameras for rig in scenes.rigs]
    rotation = np.stack([right.rotation @ left.rotation.T for left, right in pairs])
    shift = [
        right.translation - turn @ left.translation
        for turn, (left, right) in zip(rotation, pairs, strict=True)
    ]
    return {
        "mode": scenes.specs.mode.numpy(),
        "rotation": rotation,
        "translation": np.stack(shift),
    }


class StereoShards:
    """The pairs of a folder, in order.

    Attributes:
        folder: theirs.
        left, right: what each camera saw, N samples in its frame.
        rotation: (N, 3, 3) float64; translation: (N, 3) float64 metres, see `PAIR_FIELDS`.
        seed: of the folder.
    """

    def __init__(self, folder: Path, count: int | None = None) -> None:
        """Open a folder.

        Args:
            folder: that `render_stereo_shards` wrote.
            count: leading pairs to use; None for all that are on disk.

        Raises:
            InputError: there is no data set of pairs, a damaged one, or one of fewer pairs.
        """
        self.folder = folder
        self.seed: int = read_manifest(folder)["seed"]
        parts: list[dict[str, np.ndarray]] = []
        total = 0
        while (path := folder / shard_name(total)).is_dir():
            parts.append(
                {name: load_array(path / f"{name}.npy", kind) for name, (kind, _) in _PLACES}
            )
            total += len(parts[-1]["rotation"])
        if total == 0:
            raise InputError("samples.none", file=folder)
        if count is not None and total < count:
            raise InputError("samples.too_few", file=folder, expected=count, found=total)
        count = total if count is None else count
        self.left, self.right = (ShardedSamples(folder / camera, count) for camera in CAMERAS)
        self.rotation, self.translation = (
            np.concatenate([part[name] for part in parts])[:count] for name, _ in _PLACES
        )

    def __len__(self) -> int:
        return len(self.rotation)

    def parted(self, portion: tuple[float, float]) -> tuple[Self, Self]:
        """The pairs in a portion (`in_portion`), each a scene of its own, and all others."""
        inside = in_portion(np.arange(len(self)), portion, PAIRS)
        return self.subset(np.flatnonzero(inside)), self.subset(np.flatnonzero(~inside))

    def subset(self, chosen: np.ndarray) -> Self:
        """The pairs at places `chosen` (M,), in that order."""
        part = copy.copy(self)
        part.left, part.right = self.left.subset(chosen), self.right.subset(chosen)
        part.rotation, part.translation = self.rotation[chosen], self.translation[chosen]
        return part


_PLACES = [(name, PAIR_FIELDS[name]) for name in ("rotation", "translation")]


def look_at_pairs(
    pairs: StereoShards, workers: int = 1, progress: Callable[[int], None] = lambda count: None
) -> None:
    """Have the detector look at each image of pairs as it was rendered, where nobody has.

    Args:
        pairs: all of a folder, no `subset`.
        workers: processes.
        progress: told how many further images are done.

    Raises:
        InputError, LostError: see `look_at_shards`.
    """
    for samples in (pairs.left, pairs.right):
        look_at_shards(samples, 1, workers, progress)
