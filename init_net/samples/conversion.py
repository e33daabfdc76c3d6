"""Annotated pictures as training samples: converted once into the shards that renders are in.

    reader (`datasets.readers`) -> `convert_images` -> folder of shards -> `ShardedSamples`

Every annotated hand is a sample, in the order of pictures and of hands in them. One that cannot be
made, because a picture is damaged or an annotation says too little, is marked as not usable, and a
line in its shard's `LEFT_OUT` says why; the others are used.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from datasets.annotations import AnnotatedImage, AnnotatedImages
from datasets.readers import open_dataset
from fitter.errors import InputError
from fitter.system.files import write_whole
from init_net.samples.annotated import hand_sample
from init_net.samples.manifest import MANIFEST, refused, require_same
from init_net.samples.rendered import shape_count
from init_net.samples.shards import (
    LABEL_FIELDS,
    LEFT_OUT,
    SAMPLE_FIELDS,
    SHARD,
    fill_shards,
    load_array,
    shard_name,
    write_arrays,
)

STARTS = "hands.npy"
"""File of (P + 1,) int64: the number of the first hand of each picture, and of all."""

_OF_PLACES = ("images", "store")
"""Readers whose split is a place on this machine."""

_PROBES = 64
"""Annotations that tell one state of a data set from another."""


@dataclass(frozen=True)
class AnnotatedSource:
    """Which annotated pictures.

    Attributes:
        dataset: name of their reader; folder, split: see `datasets.readers.open_dataset`.
        size: pixels of a sample's side.
        pictures: leading ones; None for all.
        samples: folder where their samples are kept.
    """

    dataset: str
    folder: Path
    split: str | None
    size: int
    pictures: int | None
    samples: Path

    @cached_property
    def images(self) -> AnnotatedImages:
        """The pictures; not pickled with the rest.

        Raises:
            InputError: they are not what they should be.
        """
        return open_dataset(self.dataset, self.folder, self.split)

    @cached_property
    def starts(self) -> np.ndarray:
        """(P + 1,) int64, see `STARTS`: those that are kept, continued where pictures are wanted
        that they lack. A picture whose annotation is damaged counts as one hand."""
        total = len(self.images)
        wanted = total if self.pictures is None else min(self.pictures, total)
        kept = self._kept()[: wanted + 1]
        counts = [_hands_of(self.images, place) for place in range(len(kept) - 1, wanted)]
        return np.concatenate([kept, kept[-1] + np.cumsum(counts, dtype=np.int64)])

    def _kept(self) -> np.ndarray:
        if not (self.samples / MANIFEST).exists() or not (self.samples / STARTS).exists():
            return np.zeros(1, np.int64)
        require_same(self.samples, self)
        return np.asarray(load_array(self.samples / STARTS, "int64"))

    @property
    def count(self) -> int:
        """See `init_net.samples.manifest.Source`."""
        return int(self.starts[-1])

    @property
    def scenes(self) -> np.ndarray:
        """(N,) int64, of every sample what its picture shows, see `AnnotatedImages.scene`."""
        pictures = [self.images.scene(place) for place in range(len(self.starts) - 1)]
        return np.repeat(np.array(pictures, np.int64), np.diff(self.starts))

    def description(self) -> dict[str, Any]:
        """See `init_net.samples.manifest.Source`."""
        return {
            "seed": 0,
            "size": self.size,
            "dataset": self.dataset,
            "split": None if self.dataset in _OF_PLACES else self.split,
            "annotations": self._digest,
        }

    @cached_property
    def _digest(self) -> str:
        """Of some of the annotations: those of another data set, or of another fit, differ."""
        images, said = self.images, sha256()
        if images.is_detected:
            # Any folder of somebody's: pictures may be put between those that are there.
            for name in images.names:
                said.update(name.encode() + b"\0")
        probes = range(min(_PROBES, len(images)))
        for place in probes:
            said.update(images.names[place].encode())
            for hand in _annotated(images, place):
                points = np.nan_to_num(np.hstack([hand.keypoints_2d, hand.keypoints_3d]))
                said.update(np.ascontiguousarray(points.round(6)).tobytes())
        return said.hexdigest()[:16]

    def __getstate__(self) -> dict[str, Any]:
        # A process opens the pictures itself; `starts` are computed once.
        state = dict(self.__dict__)
        state.pop("images", None)
        return state


def convert_images(
    source: AnnotatedSource,
    workers: int = 1,
    progress: Callable[[int], None] = lambda count: None,
) -> list[str]:
    """Make the samples that are missing of annotated pictures.

    Args:
        source: the pictures.
        workers: processes.
        progress: told how many further samples are on disk.

    Returns:
        Why hands are not usable, a sentence each.

    Raises:
        InputError: there is no hand, the data set is not what it should be, or the folder of the
            samples holds others, is in use or cannot be written.
        LostError: a process was lost.
    """
    if source.count == 0:
        raise InputError("samples.no_annotated", file=source.folder)
    fill_shards(source.samples, source, partial(_convert_shard, source), workers, progress)
    file = source.samples / STARTS
    if not file.exists() or len(load_array(file, "int64")) < len(source.starts):
        content = io.BytesIO()
        np.save(content, source.starts)
        try:
            write_whole(file, content.getvalue())
        except OSError as error:
            raise refused(source.samples, error) from error
    return [line for path in _left_out(source) for line in path.read_text("utf-8").splitlines()]


def _left_out(source: AnnotatedSource) -> Iterator[Path]:
    for start in range(0, source.count, SHARD):
        path = source.samples / shard_name(start) / LEFT_OUT
        if path.exists():
            yield path


def _hands_of(images: AnnotatedImages, place: int) -> int:
    try:
        return len(images.annotation(place).hands)
    except InputError:
        return 1


def _annotated(images: AnnotatedImages, place: int) -> tuple[Any, ...]:
    try:
        return images.annotation(place).hands
    except InputError:
        return ()


@lru_cache(maxsize=1)
def _opened(dataset: str, folder: Path, split: str | None) -> AnnotatedImages:
    """Kept, since a process makes many shards."""
    return open_dataset(dataset, folder, split)


def _convert_shard(source: AnnotatedSource, start: int) -> int:
    """Make one shard and return its number of samples."""
    images = _opened(source.dataset, source.folder, source.split)
    stop = min(start + SHARD, source.count)
    rows: list[dict[str, np.ndarray]] = []
    problems: list[str] = []
    held: tuple[int, AnnotatedImage | InputError] | None = None
    for number in range(start, stop):
        place = int(np.searchsorted(source.starts, number, side="right")) - 1
        if held is None or held[0] != place:
            held = place, _read(images, place)
        try:
            if isinstance(held[1], InputError):
                raise held[1]
            hand = number - int(source.starts[place])
            rows.append(hand_sample(held[1], hand, images.definition, source.size))
        except InputError as error:
            problems.append(" ".join(str(error).split()))
            rows.append(_nothing(source.size))
    arrays = {
        # Each by itself: next to a row of floating-point zeros a hash would lose its last bits.
        name: np.stack([row[name].astype(dtype) for row in rows])
        for name, (dtype, _) in {**SAMPLE_FIELDS, **LABEL_FIELDS}.items()
    }
    try:
        text = "".join(f"{line}\n" for line in problems)
        write_arrays(source.samples / shard_name(start), arrays, text)
    except OSError as error:
        raise refused(source.samples, error) from error
    return stop - start


def _read(images: AnnotatedImages, place: int) -> AnnotatedImage | InputError:
    try:
        return images[place]
    except InputError as error:
        return error


def _nothing(size: int) -> dict[str, np.ndarray]:
    """A sample that is not usable."""
    shapes: dict[str, tuple[int, ...]] = {
        "image": (size, size, 3),
        "mask": (size, size),
        "keypoints_3d": (21, 3),
        "keypoints_2d": (21, 2),
        "keypoint_state": (21,),
        "intrinsics": (3, 3),
        "global_orient": (3,),
        "hand_pose": (15, 3),
        "betas": (shape_count(),),
        "transl": (3,),
        "label_confidence": (21,),
    }
    return {name: np.zeros(shapes.get(name, ())) for name in (*SAMPLE_FIELDS, *LABEL_FIELDS)}
