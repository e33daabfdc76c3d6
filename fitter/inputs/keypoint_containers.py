"""Which picture each part of a file of keypoints belongs to, told apart by the file's content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fitter.errors import InputError
from fitter.inputs.given_hands import whole_number
from fitter.inputs.mediapipe_hands import is_mediapipe

_NAMES = ("image", "image_name", "file_name", "filename", "image_path", "img_path", "img_name")
"""Where entries say which picture they are of."""

_ONE = ("people", "instance_info", "instances", "predictions", "hands", "keypoints")
"""What an object has that is about one picture."""

_FRAME_DIGITS = 8
"""Of a frame's number in its name, see `fitter.inputs.frame_names`."""


@dataclass(frozen=True)
class Contained:
    """What a file holds.

    Attributes:
        by_name: what it says of pictures, by their names, or None.
        by_index: the same by place in the listing, or None; one of the two is given.
        is_loose: the names may lack the folders before them, or be the numbers that COCO knows
            pictures by.
        is_single: it speaks of one picture, and does not say which.
    """

    by_name: Mapping[str, object] | None = None
    by_index: Mapping[int, object] | None = None
    is_loose: bool = False
    is_single: bool = False


def contained(content: object, path: Path) -> Contained:
    """What a JSON file holds.

    Raises:
        InputError: it is in no known layout.
    """
    if isinstance(content, Mapping):
        return _of_object(content, path)
    if not isinstance(content, list):
        raise InputError("keypoints.layout", file=path, found=type(content).__name__)
    if not content or not isinstance(content[0], Mapping):
        return Contained(by_index=dict(enumerate(content)))
    first = content[0]
    if "frame_id" in first:
        return Contained(by_name=frames_of(content, path), is_loose=True)
    if "image_id" in first:
        return Contained(by_name=_grouped(content, path), is_loose=True)
    if (key := next((key for key in _NAMES if isinstance(first.get(key), str)), None)) is not None:
        named = {str(entry.get(key)): entry for entry in content if isinstance(entry, Mapping)}
        return Contained(by_name=named, is_loose=True)
    if "keypoints" in first or "lefthand_kpts" in first:
        return Contained(by_index={0: content}, is_single=True)
    return Contained(by_index=dict(enumerate(content)))


def _of_object(content: Mapping[str, object], path: Path) -> Contained:
    images = content.get("images")
    if isinstance(images, list) and isinstance(content.get("annotations"), list):
        return Contained(by_name=_annotated(content, path), is_loose=True)
    if isinstance(images, list) and not is_mediapipe(content):
        return contained(images, path)
    listed = content.get("instance_info")
    first = listed[0] if isinstance(listed, list) and listed else None
    if isinstance(listed, list) and isinstance(first, Mapping) and "frame_id" in first:
        return Contained(by_name=frames_of(listed, path), is_loose=True)
    if any(key in content for key in _ONE) or is_mediapipe(content):
        return Contained(by_index={0: content}, is_single=True)
    return Contained(by_name=content)


def frames_of(listed: Sequence[object], path: Path) -> dict[str, object]:
    """What mmpose says of the frames of a video, by their numbers as in frames' names.

    mmpose counts them from 0 in ``--pred-out-dir`` of its inferencer, and from 1 in its demos.

    Raises:
        InputError: the number of a frame is none.
    """
    entries = [entry for entry in listed if isinstance(entry, Mapping) and "frame_id" in entry]
    numbers = [whole_number(entry["frame_id"], '"frame_id"', str(path)) for entry in entries]
    first = 1 if numbers and min(numbers) == 1 else 0
    return {
        f"{number - first:0{_FRAME_DIGITS}d}": entry.get("instances")
        for number, entry in zip(numbers, entries, strict=True)
    }


def _annotated(content: Mapping[str, object], path: Path) -> dict[str, object]:
    """COCO's annotations of each picture, with the picture's size."""
    images, annotations = content["images"], content["annotations"]
    assert isinstance(images, list) and isinstance(annotations, list)  # as was asked
    named: dict[str, dict[str, object]] = {}
    by_id: dict[str, list[object]] = {}
    for image in images:
        if not isinstance(image, Mapping) or not isinstance(image.get("file_name"), str):
            raise InputError("keypoints.coco_image", file=path)
        size = {key: image.get(key) for key in ("width", "height")}
        listed: list[object] = []
        named[str(image["file_name"])] = {"annotations": listed, **size}
        by_id[_identity(image.get("id"), '"id" of images', path)] = listed
    for annotation in annotations:
        told = annotation.get("image_id") if isinstance(annotation, Mapping) else None
        identity = _identity(told, '"image_id" of annotations', path)
        if identity in by_id:
            by_id[identity].append(annotation)
    return dict(named)


def _identity(value: object, what: str, path: Path) -> str:
    """A number or name of a picture as text, the same of 785, 785.0 and "785"."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InputError("keypoints.identity", file=path, what=what, found=value)
    return str(value)


def _grouped(results: Sequence[object], path: Path) -> dict[str, object]:
    """Results by the pictures that they name by `image_id`, a number or a name."""
    found: dict[str, list[object]] = {}
    for number, result in enumerate(results):
        if not isinstance(result, Mapping) or "image_id" not in result:
            raise InputError("keypoints.no_image_id", file=path, number=number)
        identity = _identity(result["image_id"], '"image_id" of results', path)
        found.setdefault(identity, []).append(result)
    return dict(found)


def loose_names(name: str) -> list[str]:
    """How a file may name a picture: as it is called, without folders, by the number it is."""
    pure = PurePosixPath(name)
    number = [str(int(pure.stem))] if pure.stem.isdecimal() else []
    return list(dict.fromkeys([name, pure.name, *number]))
