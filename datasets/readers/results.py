"""A result store of `fit-hands`: its valid hands as annotations, to train on (pseudo-labels).

Images without a valid hand, and those of blocks that are not finished, are left out. Of each hand:

    score             `FittedHand.score`: probability that it is a hand, fitted to below 10 mm
    predicted_error   `FittedHand.predicted_error_mm` in metres
    confidence        `FittedHand.keypoint_confidence`: the detected 2D keypoints'
    visible           `FittedHand.keypoint_visibility` of at least a half
    parameters        of the model that was fitted, whose name is in it
    keypoints_3d      as stored, in the definition that the run asked for
    keypoints_2d      their projection, with the hand's own focal length where that was fitted

K is the one that the store has; `AnnotatedHand.intrinsics` that of a hand whose focal length was
fitted. The images stay where they were: in the folder, the tar files or
at the address that the split is, or without one in the data set that the store tells of.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast, overload

import numpy as np

from datasets.annotations import (
    AnnotatedDefinition,
    AnnotatedHand,
    AnnotatedImages,
    Annotation,
    ModelParameters,
)
from datasets.readers.files import shard_index_folder
from fitter.errors import InputError
from fitter.inputs.annotated import DatasetFiles, DatasetHandle
from fitter.inputs.dataset_request import DatasetRequest
from fitter.inputs.escaped_names import path_of
from fitter.inputs.image_files import FilePart, ImageFile, MissingFile
from fitter.inputs.listing import ImageSource
from fitter.inputs.shards import ShardFiles
from fitter.inputs.taken_files import TakenFile
from fitter.inputs.through_lens import taken_through
from fitter.inputs.videos import local_image
from fitter.store.layout import Block
from fitter.store.optional_variables import LENS_VARIABLES
from fitter.store.reader import StoreReader
from fitter.store.rows import disassemble
from fitter.store.schema import HandRow, ImageRow
from fitter.store.variables import Variable

_READ = frozenset(
    (
        "image_width",
        "image_height",
        "intrinsics",
        "valid",
        "side",
        "box",
        "keypoint_confidence",
        "global_orient",
        "hand_pose",
        "betas",
        "transl",
        "keypoints_3d",
        "focal_scale",
        "keypoint_visibility",
        "predicted_error_mm",
        "score",
        *LENS_VARIABLES,
    )
)
"""Variables that annotations are made of."""

CHUNK = 256
"""Images that are read from the store at once."""
MOST_HELD = 32
"""Chunks that are remembered; the one not asked for longest is forgotten first."""
LOOKED_FOR = 64
"""Images of which one must be there."""


def open_results(folder: Path, split: str) -> ResultImages:
    """A result store, finished or not.

    Args:
        folder: of the store, such as "results.zarr".
        split: what was given to `fit-hands` for its images, a folder, tar files or an address;
            nothing where that was a data set.

    Raises:
        InputError: there is no store, it is damaged, or has no valid hand; or its images are not
            there, or the store does not say where they are.
    """
    store = StoreReader.open(Path(folder))
    place = store.dataset_place
    if split:
        # Where the members of tar files are is found once for all processes.
        source = ImageSource.of([split], shard_index_folder())
        files, root = source.files or _Folder(source.root), source.root
    elif place is not None:
        # Any reader's images: they need not be files.
        request = DatasetRequest(place["name"], place["split"])
        files = DatasetFiles.of(DatasetHandle.of(request, place["folder"]))
        root = Path(place["folder"])
    else:
        raise InputError("dataset.images_unknown", file=folder)
    return ResultImages(store, files, root, split)


class _Found(Protocol):
    """Where images are by their names, see `fitter.inputs.image_files.ImageFiles`."""

    def file_of(self, name: str) -> ImageFile: ...


@dataclass(frozen=True)
class _Folder:
    """Images that are files below a folder."""

    root: Path

    def file_of(self, name: str) -> ImageFile:
        return local_image(path_of(self.root, name))


@dataclass(frozen=True)
class _Members:
    """Where the images of a store are in tar files, so that any is found without an index.

    Attributes:
        shards: an image in each of the tar files.
        shard: (N,) int32 in which of them each image is, -1 for one that is in none.
        offsets, sizes: (N,) int64 bytes; times: (N,) float64 seconds since 1970.
    """

    shards: tuple[FilePart, ...]
    shard: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    times: np.ndarray

    @classmethod
    def of(cls, files: ShardFiles, names: Iterable[str]) -> _Members:
        """Look each name up once, in the store's order, which is that of the tar files."""
        shards: dict[str, tuple[int, FilePart]] = {}
        shard, where, times = array("i"), array("q"), array("d")
        for name in names:
            found = files.file_of(name)
            if isinstance(found, FilePart) and found.size is not None:
                number, _ = shards.setdefault(found.place, (len(shards), found))
                shard.append(number)
                where.extend((found.offset, found.size))
                times.append(found.changed)
            else:
                shard.append(-1)
                where.extend((0, 0))
                times.append(0.0)
        offsets, sizes = np.array(where, np.int64).reshape(-1, 2).T.copy()
        parts = tuple(part for _, part in shards.values())
        return cls(parts, np.array(shard, np.int32), offsets, sizes, np.array(times))

    def file(self, place: int, name: str) -> ImageFile:
        number = int(self.shard[place])
        if number < 0:
            return MissingFile(name)
        return replace(
            self.shards[number],
            name=name,
            offset=int(self.offsets[place]),
            size=int(self.sizes[place]),
            changed=float(self.times[place]),
            sidecar=None,  # K is the store's
        )


class ResultImages(AnnotatedImages):
    """The images of a store with valid hands; make it with `open_results`.

    `root` is the folder of the images, if they are files below one. Reading in order is fast; by
    chance each image costs a chunk, some 20 ms, unless all fit into those that are remembered.
    """

    dataset = "store"

    def __init__(self, store: StoreReader, files: _Found, root: Path, split: str) -> None:
        """Find the images in `store` that have valid hands.

        Args:
            store: of the hands.
            files: where its images are by their names.
            root: their folder; split: what the user called them.
        """
        self.root = root
        self.split = split
        self.definition = cast(
            AnnotatedDefinition,
            store.configuration.get("output", {}).get("keypoint_definition", "mediapipe"),
        )
        self._chunks = _Chunks(store)
        places = list(_places_with_hands(store))
        if not places:
            raise InputError("dataset.no_valid_hand", file=store.path)
        self.names: _Names = _Names(self._chunks, np.concatenate(places))
        self._files = _Members.of(files, self.names) if isinstance(files, ShardFiles) else files
        if not any(self.file(place).stamp() for place in range(min(LOOKED_FOR, len(self)))):
            raise InputError(
                "dataset.images_elsewhere",
                file=split or root,
                store=store.path,
                image=self.names[0],
            )

    def file(self, place: int) -> ImageFile:
        """See `AnnotatedImages`."""
        name = self.names[place]
        files = self._files
        file = files.file(place, name) if isinstance(files, _Members) else files.file_of(name)
        row, _ = self._chunks.row(int(self.names.places[place]))
        size = (row.image_width, row.image_height)
        through = taken_through(row.lens, row.intrinsics, size)
        return file if through is None else TakenFile(file, through)

    def annotation(self, place: int) -> Annotation:
        """See `AnnotatedImages`."""
        row, name = self._chunks.row(int(self.names.places[place]))
        assert row.intrinsics is not None
        size = None
        if row.image_width is not None and row.image_height is not None:
            size = (int(row.image_width), int(row.image_height))
        hands = tuple(
            _annotated(hand, row.intrinsics, self._chunks.model) for hand in row.hands if hand.valid
        )
        return Annotation(name, row.intrinsics, hands, size=size)


@dataclass(frozen=True)
class _Chunk:
    """Consecutive images of a store.

    Attributes:
        start: place of the first.
        names: of all.
        arrays: what annotations are made of, by variable.
    """

    start: int
    names: Sequence[str]
    arrays: Mapping[Variable, np.ndarray]

    def row(self, place: int) -> tuple[ImageRow, str]:
        """The row and the name of an image of the store."""
        own = place - self.start
        (row,) = disassemble({v: a[own : own + 1] for v, a in self.arrays.items()})
        return row, self.names[own]


class _Chunks:
    """Images of a store, read a chunk at a time; the last ones are remembered."""

    def __init__(self, store: StoreReader) -> None:
        self._path = store.path
        self.model: str = store.model["name"]
        self._begin(store)

    def _begin(self, store: StoreReader) -> None:
        self.store = store
        self._held: OrderedDict[int, _Chunk] = OrderedDict()

    def __getstate__(self) -> tuple[Path, str]:
        return self._path, self.model

    def __setstate__(self, state: tuple[Path, str]) -> None:
        self._path, self.model = state
        self._begin(StoreReader.open(self._path))

    def row(self, place: int) -> tuple[ImageRow, str]:
        """The row and the name of an image of the store."""
        return self._chunk_of(place).row(place)

    def name(self, place: int) -> str:
        """The name of an image of the store."""
        chunk = self._chunk_of(place)
        return chunk.names[place - chunk.start]

    def _chunk_of(self, place: int) -> _Chunk:
        number, size = place // self.store.block_size, self.store.block_size
        start = number * size + place % size // CHUNK * CHUNK
        if start not in self._held:
            stop = min(start + CHUNK, (number + 1) * size, self.store.sizes["image"])
            arrays = self.store.read_arrays(Block(number, start, stop), _is_read)
            self._held[start] = _Chunk(start, self.store.names[start:stop], arrays)
            while len(self._held) > MOST_HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(start)
        return self._held[start]


class _Names(Sequence[str]):
    """Names of the images at some places of a store, (N,) int64."""

    def __init__(self, chunks: _Chunks, places: np.ndarray) -> None:
        self._chunks = chunks
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[str]:
        names = self._chunks.store.names
        return (names[int(place)] for place in self.places)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...

    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return _Names(self._chunks, self.places[place])
        return self._chunks.name(int(self.places[place]))


def _is_read(variable: Variable) -> bool:
    return variable.name in _READ


def _places_with_hands(store: StoreReader) -> Iterator[np.ndarray]:
    """Of each finished block, the places of its images with a valid hand."""
    for block in store.committed_blocks():
        found = np.flatnonzero(store.read("valid", block).any(axis=1))
        if len(found):
            yield block.start + found


def _annotated(hand: HandRow, K: np.ndarray, model: str) -> AnnotatedHand:
    points = _float64(hand.keypoints_3d)
    scale = 1.0 if hand.focal_scale is None else float(hand.focal_scale)
    own = K * np.array([[scale, scale, 1.0], [scale, scale, 1.0], [1.0, 1.0, 1.0]])
    image = points @ own.T
    parameters = ModelParameters(
        model, *map(_float64, (hand.global_orient, hand.hand_pose, hand.betas, hand.transl))
    )
    visibility, error = hand.keypoint_visibility, hand.predicted_error_mm
    return AnnotatedHand(
        side=hand.side,
        keypoints_2d=image[:, :2] / image[:, 2:],
        keypoints_3d=points,
        visible=None if visibility is None else visibility >= 0.5,
        box=None if hand.box is None else _float64(hand.box),
        parameters=parameters,
        confidence=_float64(hand.keypoint_confidence),
        score=None if hand.score is None else float(hand.score),
        predicted_error=None if error is None else float(error) / 1000,
        intrinsics=None if scale == 1.0 else own,
    )


def _float64(value: Any) -> np.ndarray:
    return np.asarray(value, dtype=np.float64)
