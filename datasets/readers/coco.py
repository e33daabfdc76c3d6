"""COCO-WholeBody's hands (Jin et al., "Whole-Body Human Pose Estimation in the Wild", ECCV 2020).

    annotations/coco_wholebody_SPLIT_v1.0.json  SPLIT2017/%012d.jpg

The JSON file may lie beside ``annotations`` instead of in it, the images in ``images``. Of each
person's annotation the reader takes ``lefthand_kpts`` and ``righthand_kpts`` (x, y, v of 21
keypoints in canonical order, pixels from the image's corner), ``*_box`` (x, y, width, height) and
``*_valid``: see github.com/jin-s13/COCO-WholeBody, ``data_format.md``. A keypoint whose v is 0 was
not marked. Other values do not say whether it can be seen: beside COCO's 1 and 2 there are scores
of the networks whose marks people corrected (its issue 5). Images without a valid hand are left
out. There is no camera and nothing in 3D.

The file of ``train``, a gigabyte, is read once, at opening, and kept as arrays.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.annotations import AnnotatedDefinition, AnnotatedHand, AnnotatedImages, Annotation
from datasets.readers.files import member, numbers, require_file, require_folder
from datasets.readers.json_stream import opened_json
from datasets.readers.names import PackedNames
from fitter.errors import InputError
from fitter.records import Side

_DATASET = "COCO-WholeBody"
_SIDES: tuple[Side, Side] = ("left", "right")
_LARGEST_NUMBER = np.iinfo(np.int64).max
"""Of an image."""


@dataclass(frozen=True)
class Coco(AnnotatedImages):
    """A split of COCO-WholeBody. Build it with `open_coco`.

    Attributes:
        sizes: (N, 2) int32 width and height of the images.
        starts: (N + 1,) int64, where each image's hands start among all.
        sides: (H,) int8 places in left, right; keypoints: (H, 21, 3) float32 x, y, v;
            boxes: (H, 4) float32 x, y, width, height.
        refused: place -> why an image cannot be used.
    """

    root: Path
    split: str
    names: PackedNames
    sizes: np.ndarray
    starts: np.ndarray
    sides: np.ndarray
    keypoints: np.ndarray
    boxes: np.ndarray
    refused: Mapping[int, InputError]
    dataset: str = "coco"
    definition: AnnotatedDefinition = "coco"
    has_intrinsics: bool = False

    def annotation(self, place: int) -> Annotation:
        """See `AnnotatedImages.annotation`."""
        if place in self.refused:
            raise self.refused[place].about()
        width, height = self.sizes[place].tolist()
        rows = range(self.starts[place], self.starts[place + 1])
        hands = tuple(self._hand(row) for row in rows)
        return Annotation(self.names[place], None, hands, size=(width, height))

    def _hand(self, row: int) -> AnnotatedHand:
        marks = self.keypoints[row].astype(np.float64)
        corner, extent = np.split(self.boxes[row].astype(np.float64), 2)
        return AnnotatedHand(
            side=_SIDES[self.sides[row]],
            keypoints_2d=np.where(marks[:, 2:] > 0, marks[:, :2], np.nan),
            keypoints_3d=np.full((21, 3), np.nan),
            box=np.concatenate([corner, corner + extent]),
        )


def open_coco(root: Path, split: str) -> Coco:
    """Open a split.

    Args:
        root: folder that holds ``annotations`` and the images.
        split: "val" or "train".

    Raises:
        InputError: the folder, its images or its annotations are missing, or the annotations are
            no JSON of images and annotations, or have no valid hand.
    """
    root = require_folder(root, _DATASET)
    images = Path("images") if (root / "images" / f"{split}2017").is_dir() else Path()
    images = images / f"{split}2017"
    require_folder(root / images, _DATASET)
    name = f"coco_wholebody_{split}_v1.0.json"
    path = root / name if (root / name).is_file() else root / "annotations" / name
    content = _Content(require_file(path, _DATASET))
    content.read()
    return _assembled(root, split, images, content)


class _Content:
    """What is kept of the file while it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.images: dict[int, tuple[str, int, int]] = {}
        self.image_of = array("q")
        self.sides = array("b")
        self.values = array("f")
        self.refused: dict[int, InputError] = {}

    def read(self) -> None:
        with opened_json(self.path, _DATASET) as stream:
            for key in stream.members():
                if key not in ("images", "annotations"):
                    stream.value()
                    continue
                add = self._add_image if key == "images" else self._add_person
                for number in stream.elements():
                    add(stream.value(), number)

    def _add_image(self, image: Any, number: int) -> None:
        try:
            width, height = np.array([int(image[key]) for key in ("width", "height")], np.int32)
            name = str(image["file_name"])
            self.images[int(image["id"])] = (name, int(width), int(height))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(
                "dataset.bad_entry", file=self.path, list="images", number=number, reason=str(error)
            ) from error

    def _add_person(self, person: object, number: int) -> None:
        path, what = self.path, f"of annotation {number}"
        image = int(numbers(member(person, "image_id", path), (), path, f"image_id {what}"))
        if abs(image) > _LARGEST_NUMBER:
            expected = f"at most {_LARGEST_NUMBER}"
            key = f"image_id {what}"
            raise InputError("dataset.values", file=path, key=key, expected=expected, found=image)
        for place, side in enumerate(_SIDES):
            try:
                if not member(person, f"{side}hand_valid", path):
                    continue
                key = f"{side}hand_kpts"
                marks = numbers(member(person, key, path), (63,), path, f"{key} {what}")
                key = f"{side}hand_box"
                box = numbers(member(person, key, path), (4,), path, f"{key} {what}")
            except InputError as error:
                self.refused[image] = error
                continue
            self.image_of.append(image)
            self.sides.append(place)
            self.values.extend(marks)
            self.values.extend(box)


def _assembled(root: Path, split: str, images: Path, content: _Content) -> Coco:
    """Hands in the order of their images, which is the file's."""
    with_hands = {*content.image_of, *content.refused}
    chosen = [number for number in content.images if number in with_hands]
    if not chosen:
        raise InputError("dataset.no_valid_hand", file=content.path)
    places = {number: place for place, number in enumerate(chosen)}
    # Persons in images that the file does not list come behind all others.
    owners = np.array([places.get(number, len(chosen)) for number in content.image_of], np.int64)
    order = np.argsort(owners, kind="stable")
    values = np.array(content.values, np.float32).reshape(-1, 67)[order]
    listed = [content.images[number] for number in chosen]
    return Coco(
        root=root,
        split=split,
        names=PackedNames.of((images / name).as_posix() for name, _, _ in listed),
        sizes=np.array([size for _, *size in listed], np.int32).reshape(-1, 2),
        starts=np.searchsorted(owners[order], np.arange(len(chosen) + 1)),
        sides=np.array(content.sides, np.int8)[order],
        keypoints=values[:, :63].reshape(-1, 21, 3),
        boxes=values[:, 63:],
        refused={places[n]: error for n, error in content.refused.items() if n in places},
    )
