"""InterHand2.6M's JSON files, hundreds of megabytes each, as arrays.

What they mean is said in `datasets.readers.interhand`. What is wrong with one image, camera or
frame is kept as the error that its samples raise.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from datasets.readers.files import member, numbers
from datasets.readers.json_stream import opened_json
from datasets.readers.names import PackedNames
from datasets.readers.parameters import matrix_of_focal
from fitter.errors import InputError
from fitter.inputs.camera_matrices import check_intrinsics

DATASET = "InterHand2.6M"
SIDES = ("right", "left")
_MILLIMETRE = 1e-3
_AT_ONCE = 4096
"""Annotations that are checked together, which is several times as fast as one by one."""
_MANO = {"pose": 48, "shape": 10, "trans": 3}


@dataclass(frozen=True)
class Camera:
    """A camera of a capture: ``x_cam = R (x_world - position)``.

    Attributes:
        K: (3, 3) pixels.
        rotation: (3, 3) R.
        position: (3,) metres in the world.
    """

    K: np.ndarray
    rotation: np.ndarray
    position: np.ndarray


@dataclass(frozen=True)
class Rows:
    """Arrays of one shape by key.

    Attributes:
        path: of the file.
        rows: key -> row.
        values: (R, ...) float32.
        refused: key -> why there is no row.
    """

    path: Path
    rows: Mapping[tuple[str, ...], int]
    values: np.ndarray
    refused: Mapping[tuple[str, ...], InputError]

    def get(self, *key: str) -> np.ndarray | None:
        """(...) float64, or None where the file has none.

        Raises:
            InputError: what the file has is damaged.
        """
        if key in self.refused:
            raise self.refused[key].about()
        row = self.rows.get(key)
        return None if row is None else self.values[row].astype(np.float64)


@dataclass(frozen=True)
class Views:
    """What is said of each of N images.

    Attributes:
        path: of the file.
        words: names of captures, sequences and cameras.
        places: (N, 6) int64: capture, sequence and camera as rows of `words`, the frame's number,
            width and height.
        boxes: (N, 4) float32 x, y, width, height, pixels.
        valid: (N, 42) bool, whether a joint is annotated.
        refused: place -> why an image cannot be used.
    """

    path: Path
    words: Sequence[str]
    places: np.ndarray
    boxes: np.ndarray
    valid: np.ndarray
    refused: Mapping[int, InputError]


def read_cameras(path: Path) -> dict[tuple[str, str], Camera | InputError]:
    """(capture, camera) -> the camera, or why it cannot be used.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    cameras: dict[tuple[str, str], Camera | InputError] = {}
    with opened_json(path, DATASET) as stream:
        for capture in stream.members():
            table = stream.value()
            for name in member(table, "campos", path):
                try:
                    cameras[capture, name] = _camera(table, capture, name, path)
                except InputError as error:
                    cameras[capture, name] = error
    return cameras


def _camera(table: object, capture: str, name: str, path: Path) -> Camera:
    where = f"of camera {name} in capture {capture}"

    def of(key: str, *shape: int) -> np.ndarray:
        return numbers(member(member(table, key, path), name, path), shape, path, f"{key} {where}")

    K = matrix_of_focal(*of("focal", 2), *of("princpt", 2))
    position = of("campos", 3) * _MILLIMETRE
    return Camera(check_intrinsics(K, f"{path}, {where}"), of("camrot", 3, 3), position)


def read_frames(path: Path) -> Rows:
    """(capture, frame) -> (42, 3) metres in the world, the data set's order; a joint that is not
    annotated may be no number.

    Raises:
        InputError: there is no such file, or it is no JSON of captures and frames.
    """
    found = _Growing()
    for capture, frame, value in _frame_values(path):
        with found.added((capture, frame)):
            where = f"world_coord of frame {frame} in capture {capture}"
            joints = numbers(member(value, "world_coord", path), (42, 3), path, where, finite=False)
            found.values.extend((joints * _MILLIMETRE).ravel())
    return found.rows_of(path, (42, 3))


def read_mano(path: Path) -> Rows:
    """(capture, frame, side) -> (61,): 48 of the pose, 10 of the shape, 3 metres; in the world.

    Raises:
        InputError: there is no such file, or it is no JSON of captures and frames.
    """
    found = _Growing()
    for capture, frame, value in _frame_values(path):
        for side in SIDES:
            given = value.get(side) if isinstance(value, dict) else None
            if given is None:  # the hand was not fitted
                continue
            with found.added((capture, frame, side)):
                where = f"of the {side} hand of frame {frame} in capture {capture}"
                for key, length in _MANO.items():
                    values = numbers(member(given, key, path), (length,), path, f"{key} {where}")
                    found.values.extend(values)
    return found.rows_of(path, (sum(_MANO.values()),))


def _frame_values(path: Path) -> Iterator[tuple[str, str, Any]]:
    """Capture, frame and value of each frame of a file."""
    with opened_json(path, DATASET) as stream:
        for capture in stream.members():
            for frame in stream.members():
                yield capture, frame, stream.value()


@dataclass
class _Growing:
    """Rows of a file that is being read."""

    rows: dict[tuple[str, ...], int] = field(default_factory=dict)
    values: array[float] = field(default_factory=lambda: array("f"))
    refused: dict[tuple[str, ...], InputError] = field(default_factory=dict)

    @contextmanager
    def added(self, key: tuple[str, ...]) -> Iterator[None]:
        """The block extends `values` by the row of a key; what it raises refuses the key."""
        before = len(self.values)
        try:
            yield
            self.rows[key] = len(self.rows)
        except InputError as error:
            del self.values[before:]
            self.refused[key] = error

    def rows_of(self, path: Path, shape: tuple[int, ...]) -> Rows:
        values = np.array(self.values, np.float32).reshape(-1, *shape)
        return Rows(path, self.rows, values, self.refused)


def read_views(path: Path, split: str) -> tuple[PackedNames, Views]:
    """The names of the images relative to the data set's folder, and what is said of them.

    Raises:
        InputError: there is no such file, or it is no JSON with images.
    """
    images, annotations = _Images(path), _Annotations(path)
    adding = {"images": images.add, "annotations": annotations.add}
    with opened_json(path, DATASET) as stream:
        for key in stream.members():
            if key not in adding:
                stream.value()
                continue
            for number in stream.elements():
                adding[key](stream.value(), number)
    if not images.names:
        raise InputError("dataset.empty", file=path)
    names = PackedNames.of(f"images/{split}/{name}" for name in images.names)
    return names, _joined(images, annotations)


class _Images:
    """The list of images."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []
        self.words: dict[str, int] = {}
        self.places = array("q")
        self.by_id: dict[int, int] = {}

    def add(self, image: Any, number: int) -> None:
        """Add an image; one without its name or its keys refuses the whole file."""
        try:
            self.by_id[image["id"]] = len(self.names)
            kinds = [str(image[kind]) for kind in ("capture", "seq_name", "camera")]
            self.places.extend(self.words.setdefault(word, len(self.words)) for word in kinds)
            self.places.extend(int(image[key]) for key in ("frame_idx", "width", "height"))
            self.names.append(str(image["file_name"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(
                "dataset.bad_entry", file=self.path, list="images", number=number, reason=str(error)
            ) from error


class _Annotations:
    """The list of annotations, checked many at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pending: list[tuple[int, Any]] = []
        self.images: list[np.ndarray] = []
        self.boxes: list[np.ndarray] = []
        self.valid: list[np.ndarray] = []
        self.refused: dict[int, InputError] = {}

    def add(self, annotation: object, number: int) -> None:
        """Add an annotation; a damaged one costs its image, if it says which that is."""
        image, what = member(annotation, "image_id", self.path), f"image_id of annotation {number}"
        if not isinstance(image, int):
            raise InputError("dataset.no_key", file=self.path, key=what)
        most = np.iinfo(np.int64).max
        if abs(image) > most:
            expected = f"at most {most}"
            raise InputError(
                "dataset.values", file=self.path, key=what, expected=expected, found=image
            )
        self.pending.append((number, annotation))
        if len(self.pending) == _AT_ONCE:
            self.check()

    def check(self) -> None:
        """Check those that were added last: all, and where something is wrong one by one."""
        pending, self.pending = self.pending, []
        try:
            self._keep(pending, "of some annotation")
        except InputError:
            for number, annotation in pending:
                try:
                    self._keep([(number, annotation)], f"of annotation {number}")
                except InputError as error:
                    self.refused[annotation["image_id"]] = error

    def _keep(self, pending: Sequence[tuple[int, Any]], what: str) -> None:
        path, count = self.path, len(pending)

        def table(key: str, *shape: int) -> np.ndarray:
            given = [member(annotation, key, path) for _, annotation in pending]
            try:
                # What is valid may be a list of 42, or of 42 lists of one.
                rows: object = np.array(given, np.float64).reshape(count, *shape)
            except (ValueError, TypeError, OverflowError):
                rows = given
            return numbers(rows, (count, *shape), path, f"{key} {what}")

        boxes, valid = table("bbox", 4), table("joint_valid", 42)
        self.boxes.append(boxes.astype(np.float32))
        self.valid.append(valid > 0)
        self.images.append(np.array([a["image_id"] for _, a in pending], np.int64))


def _joined(images: _Images, annotations: _Annotations) -> Views:
    annotations.check()
    count, path = len(images.names), images.path
    boxes, valid = np.zeros((count, 4), np.float32), np.zeros((count, 42), bool)
    annotated = np.zeros(count, np.int64)
    parts = zip(annotations.images, annotations.boxes, annotations.valid, strict=True)
    for numbers_of_images, given_boxes, given_valid in parts:
        found = [images.by_id.get(number, -1) for number in numbers_of_images.tolist()]
        places = np.array(found, np.int64)
        known = places >= 0
        boxes[places[known]] = given_boxes[known]
        valid[places[known]] = given_valid[known]
        np.add.at(annotated, places[known], 1)
    refused = {
        images.by_id[number]: error
        for number, error in annotations.refused.items()
        if number in images.by_id
    }
    for place in np.flatnonzero(annotated != 1).tolist():
        name, several = images.names[place], int(annotated[place])
        error = (
            InputError("dataset.two_annotations", file=path, image=name, found=several)
            if several
            else InputError("dataset.no_annotation", file=path, image=name)
        )
        refused.setdefault(place, error)
    table = np.array(images.places, np.int64).reshape(count, 6)
    return Views(path, list(images.words), table, boxes, valid, refused)
