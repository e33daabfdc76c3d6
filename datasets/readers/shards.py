"""Tar files of images with a JSON file beside each, as `webdataset` and `tar` make them.

    000.tar: a/0001.jpg  a/0001.json  a/0001.mask.png  a/0002.jpg  ...

An image's files share its key, the name up to the first dot. The JSON file is a table, of which
all may be left out but what the use of it needs:

    K           3x3 numbers (also nine, four as fx, fy, cx, cy, or a table of these four)
    hands       a list of tables: side ("left", "right" or null), keypoints_2d (21 x 2 pixels),
                keypoints_3d (21 x 3 metres in the camera), visible (21 times true or false),
                confidence (21 numbers in [0, 1]), box (x0, y0, x1, y1), is_root_relative; in
                keypoints null stands for a number that is not known
    definition  of the keypoints, one of `datasets.annotations.AnnotatedDefinition`, without it
                "openpose"; the first readable one is that of all, and an image of another is
                damaged
    size        width and height that it was annotated for
    sequence, frame

``.mask.png`` has k where the k-th of `hands` is, and 0 elsewhere. Conventions are this project's:
OpenCV's camera, keypoints in canonical order, the first pixel's centre at (0.5, 0.5).

The shards are where `fit-hands` finds them, see `fitter.inputs.shards`: a folder of them, or one or
several by a pattern, on this machine or at addresses. Of a shard that breaks off the whole samples
are used; `broken` has a sentence for it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from datasets.annotations import (
    AnnotatedDefinition,
    AnnotatedHand,
    AnnotatedImages,
    Annotation,
)
from datasets.readers.files import numbers, require_size, shard_index_folder
from datasets.readers.names import PackedNames
from fitter.errors import InputError
from fitter.inputs.addresses import is_address, read_part
from fitter.inputs.image_content import ImageBytes
from fitter.inputs.image_files import FilePart, ImageFile
from fitter.inputs.images import opened
from fitter.inputs.shards import (
    SHARD_SUFFIX,
    image_members,
    is_shard,
    members_beside,
    shard_files,
    shard_places,
)
from fitter.inputs.sidecars import intrinsics_said
from fitter.inputs.tar_index import tar_index

log = logging.getLogger(__name__)

_ENDINGS = (".json", ".mask.png")
"""Of the files beside an image."""

_MOST_BYTES = 2**24
"""Of a JSON file, thousands of times what a hand takes."""

_DEFINITION: AnnotatedDefinition = "openpose"
"""Of keypoints of which nothing else is said."""


@dataclass(frozen=True)
class ShardImages(AnnotatedImages):
    """Images in tar files. Build it with `open_shards`.

    Attributes:
        places: of the shards.
        shard: (N,) int32 in which of them each image is.
        parts: (N, 3, 2) int64 offset and size of the image, its JSON file and its mask in the
            shard; -1 for what there is none of.
        times: (N,) float64 of each image's last change, seconds since 1970, see `TarIndex.time_of`.
    """

    root: Path
    split: str
    names: PackedNames
    places: tuple[str, ...]
    shard: np.ndarray
    parts: np.ndarray
    times: np.ndarray
    broken: tuple[str, ...] = ()
    definition: AnnotatedDefinition = _DEFINITION
    has_intrinsics: bool = True
    dataset: str = "shards"

    def annotation(self, place: int) -> Annotation:
        """See `AnnotatedImages.annotation`."""
        where = Path(f"{self.names[place]}: .json beside it")
        said = self._said(place)
        size = said.get("size")
        _require_definition(said, (self.definition,), where)
        hands = said.get("hands", [])
        if not isinstance(hands, list):
            raise InputError("dataset.no_list", file=f"{where}, hands")
        return Annotation(
            self.names[place],
            intrinsics_said(said, str(where)),
            tuple(_hand(hand, Path(f"{where}, hand {k}")) for k, hand in enumerate(hands)),
            sequence=None if said.get("sequence") is None else str(said["sequence"]),
            frame=None if said.get("frame") is None else _whole(said["frame"], where),
            size=None if size is None else _size(size, where),
        )

    def masks(self, place: int) -> np.ndarray | None:
        """See `AnnotatedImages.masks`."""
        name = f"{self.names[place]}: .mask.png beside it"
        content = self._read(place, 2, name)
        if content is None:
            return None
        with opened(ImageBytes(name, content)) as image:
            image.load()
            labels = np.array(image)
        count = len(self.annotation(place).hands)
        if labels.ndim != 2:
            found = "colours"
            raise InputError(
                "dataset.values", file=name, key="the mask", expected="labels", found=found
            )
        return np.stack([labels == number for number in range(1, count + 1)]) if count else None

    def file(self, place: int) -> ImageFile:
        """See `AnnotatedImages.file`."""
        offset, size = self.parts[place, 0].tolist()
        shard, time = self.places[self.shard[place]], float(self.times[place])
        return FilePart(shard, self.names[place], offset, size, time)

    def _said(self, place: int) -> Mapping[str, Any]:
        """The table beside an image.

        Raises:
            InputError: there is none, or it is no table.
        """
        name = self.names[place]
        where = f"{name}: .json beside it"
        content = self._read(place, 1, where)
        if content is None:
            raise InputError("dataset.no_annotation", file=name, image=name)
        require_size(len(content), _MOST_BYTES, Path(where))
        try:
            said = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise InputError(
                "json.invalid", file=where, content="an annotation", reason=str(error)
            ) from error
        if not isinstance(said, dict):
            raise InputError("dataset.no_table", file=where, found=type(said).__name__)
        return said

    def _read(self, place: int, part: int, name: str) -> bytes | None:
        offset, size = self.parts[place, part].tolist()
        if offset < 0:
            return None
        return read_part(self.places[self.shard[place]], offset, size, name)


def open_shards(root: Path | str, split: str) -> ShardImages:
    """Open tar files of annotated images.

    Where their members are is kept in the user's cache folder, so that the next process need not go
    through them.

    Args:
        root: a folder of shards, a shard or a pattern such as ``shards/{000..004}.tar``; a path or
            an address.
        split: folder in a folder of shards, or nothing.

    Raises:
        InputError: there are no shards, none of them has an image, or one cannot be read; or no
            image has a whole annotation, or the first that has names no known definition.
    """
    text = str(root)
    if not is_shard(text) or (not is_address(text) and Path(text).is_dir()):
        folder = "/".join(part for part in (text.rstrip("/"), split) if part)
        text = f"{folder}/*{SHARD_SUFFIX}"
    index_folder = shard_index_folder()
    names: list[str] = []
    shard: list[int] = []
    parts: list[list[tuple[int, int]]] = []
    times: list[float] = []
    broken = []
    files = shard_files(shard_places([text]), index_folder)
    for number, (prefix, place) in enumerate(files.places.items()):
        index = tar_index(place, index_folder)
        if index.broken:
            log.info("%s", index.broken)
            broken.append(index.broken)
        for name in sorted(image_members(index)):
            names.append(f"{prefix}/{name}")
            shard.append(number)
            found = [index.members[name], *members_beside(index, name, _ENDINGS)]
            parts.append([(-1, -1) if m is None else (m.offset, m.size) for m in found])
            times.append(index.time_of(name))
    if not names:
        if broken:
            raise InputError("shard.none_whole", reason=broken[0])
        raise InputError("list.no_match", file=text, endings="images in tar files")
    images = ShardImages(
        Path(root),
        split,
        PackedNames.of(names),
        tuple(files.places.values()),
        np.array(shard, np.int32),
        np.array(parts, np.int64),
        np.array(times, np.float64),
        tuple(broken),
    )
    return _with_first_said(images)


def _with_first_said(images: ShardImages) -> ShardImages:
    """With what the first image that has a whole annotation says for all.

    Raises:
        InputError: what the first image raises, where none has one; or `dataset.values`: the
            definition is none.
    """
    first_error: InputError | None = None
    for place, name in enumerate(images.names):
        try:
            said = images._said(place)
            definition = said.get("definition", _DEFINITION)
            chosen = replace(images, definition=definition)
            has_intrinsics = chosen.annotation(place).intrinsics is not None
        except InputError as error:
            first_error = first_error or error
            continue
        _require_definition(said, get_args(AnnotatedDefinition), Path(f"{name}: .json beside it"))
        return replace(chosen, has_intrinsics=has_intrinsics)
    assert first_error is not None  # there is an image
    raise first_error


def _require_definition(said: Mapping[str, Any], known: Sequence[str], where: Path) -> None:
    """Raises InputError: the definition that is said is none of those `known`."""
    definition = said.get("definition", _DEFINITION)
    if definition not in known:
        raise InputError(
            "dataset.values",
            file=where,
            key="definition",
            expected=f"one of {', '.join(known)}" if len(known) > 1 else known[0],
            found=definition,
        )


def _hand(said: object, where: Path) -> AnnotatedHand:
    if not isinstance(said, dict):
        raise InputError("dataset.no_table", file=where, found=type(said).__name__)
    side = said.get("side")
    if side not in ("left", "right", None):
        raise InputError("keypoints.side", file=where, found=side)
    visible, box = _known(said, "visible", (21,), where), _known(said, "box", (4,), where)
    return AnnotatedHand(
        side=side,
        keypoints_2d=_keypoints(said.get("keypoints_2d"), 2, where),
        keypoints_3d=_keypoints(said.get("keypoints_3d"), 3, where),
        visible=None if visible is None else visible > 0,
        box=box,
        is_root_relative=said.get("is_root_relative") is True,
        confidence=_known(said, "confidence", (21,), where),
    )


def _known(
    said: Mapping[str, Any], key: str, shape: tuple[int, ...], where: Path
) -> np.ndarray | None:
    return None if said.get(key) is None else numbers(said[key], shape, where, key)


def _keypoints(value: object, size: int, where: Path) -> np.ndarray:
    """(21, `size`) float64, NaN for null."""
    if value is None:
        return np.full((21, size), np.nan)
    key = f"keypoints_{size}d"
    rows = value if isinstance(value, list) else [value]
    filled = [
        [0.0 if number is None else number for number in row]
        if isinstance(row, list)
        else ([0.0] * size if row is None else row)
        for row in rows
    ]
    found = numbers(filled, (21, size), where, key)
    for row, given in zip(found, rows, strict=True):
        if given is None:
            row[:] = np.nan
        else:
            row[[number is None for number in given]] = np.nan
    return found


def _whole(value: object, where: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(
            "dataset.values", file=where, key="frame", expected="a whole number", found=repr(value)
        )
    return value


def _size(value: object, where: Path) -> tuple[int, int]:
    width, height = numbers(value, (2,), where, "size")
    return int(width), int(height)
