"""Files of data sets: what has to be there, JSON lists read entry by entry, pickles, arrays.

Whatever is wrong with a file is one sentence that names it. An entry of a list is read when its
sample is asked for, so that a damaged one costs its own sample alone.
"""

from __future__ import annotations

import json
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fitter.errors import InputError
from fitter.hand_models.assets import read_pickle
from fitter.inputs.images import opened
from fitter.inputs.json_files import load_json

_CHUNK = 2**24
"""Bytes of a JSON list that are scanned at a time."""

_YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C where PyYAML was built with it; both read plain values only."""

_OPENS, _CLOSES = ord("["), ord("]")


def require_folder(path: Path, dataset: str) -> Path:
    """The folder, which is there.

    Args:
        path: of the folder.
        dataset: whose layout has it, for the message ("FreiHAND").

    Raises:
        InputError: `dataset.lacks`: it is not.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError("dataset.lacks", file=path, what="folder", dataset=dataset)
    return path


def require_file(path: Path, dataset: str) -> Path:
    """The file, which is there; see `require_folder`."""
    path = Path(path)
    if not path.is_file():
        raise InputError("dataset.lacks", file=path, what="file", dataset=dataset)
    return path


def read_json(path: Path, dataset: str) -> Any:
    """The value in a JSON file of a data set, read whole.

    Raises:
        InputError: there is no such file, it cannot be read, or it is no JSON.
    """
    return load_json(require_file(path, dataset), f"annotations of {dataset}")


def read_yaml(path: Path, dataset: str) -> dict[str, Any]:
    """The table in a YAML file of a data set; tags that would make objects are refused.

    Raises:
        InputError: there is no such file, it cannot be read, or it holds no table.
    """
    try:
        value = yaml.load(require_file(path, dataset).read_text(encoding="utf-8"), _YAML_LOADER)
    except OSError as error:
        raise InputError("dataset.unreadable", file=path, reason=error.strerror) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError("dataset.unreadable", file=path, reason=reason) from error
    if not isinstance(value, dict):
        raise InputError("dataset.no_table", file=path, found=type(value).__name__)
    return value


def read_pickled(path: Path, dataset: str, keys: type = str) -> dict[Any, Any]:
    """The dictionary in a pickle of a data set. Nothing that it asks to be run is run.

    Args:
        path: the file.
        dataset: whose it is, for messages.
        keys: type of the dictionary's keys.

    Raises:
        InputError: see `fitter.hand_models.assets.read_pickle`.
    """
    return read_pickle(path, f"annotations of {dataset} in a pickle", keys)[0]


def numbers(
    value: object, shape: tuple[int, ...], file: Path, what: str, finite: bool = True
) -> np.ndarray:
    """An array from outside.

    Args:
        value: what should be finite numbers of that shape; lists within lists, or an array.
        shape: expected; -1 for an axis of any length.
        file: to name in messages.
        what: the array's name in the file.
        finite: whether NaN and infinity are refused; False where a row is checked when its sample
            is asked for.

    Returns:
        `shape` float64; null is NaN.

    Raises:
        InputError: `dataset.values`: it is something else; `dataset.not_finite`.
    """
    expected = "x".join("n" if size < 0 else str(size) for size in shape)
    expected = f"{expected} numbers" if shape else "a number"
    try:
        array = np.array(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        found = "something else"
        raise InputError(
            "dataset.values", file=file, key=what, expected=expected, found=found
        ) from error
    matches = array.ndim == len(shape) and all(
        wanted in (-1, size) for wanted, size in zip(shape, array.shape, strict=True)
    )
    if not matches:
        found = "x".join(map(str, array.shape)) or "a single one"
        raise InputError("dataset.values", file=file, key=what, expected=expected, found=found)
    if finite and not np.isfinite(array).all():
        raise InputError("dataset.not_finite", file=file, key=what)
    return array


def member(table: object, key: object, file: Path) -> Any:
    """What a table from outside holds under a key.

    Raises:
        InputError: `dataset.no_key`: nothing, or it is no table.
    """
    if not isinstance(table, dict) or key not in table:
        raise InputError("dataset.no_key", file=file, key=key)
    return table[key]


def read_raw_image(path: Path) -> np.ndarray:
    """The values of an image as stored: masks, depth, labels.

    Returns:
        (H, W) or (H, W, C) of the file's own type; colours in the order R, G, B, labels of a
        palette as numbers.

    Raises:
        InputError: as `fitter.inputs.images.read_image`.
    """
    with opened(path) as image:
        image.load()
        return np.array(image)


def read_layer(path: Path, dimensions: int, what: str) -> np.ndarray:
    """The values of an image that has to be grey, or in colours.

    Args:
        path: of the image.
        dimensions: 2 for (H, W), 3 for (H, W, C).
        what: is wanted of the image, for messages.

    Raises:
        InputError: as `read_raw_image`; or `dataset.values`: it is the other kind of image.
    """
    values = read_raw_image(path)
    if values.ndim != dimensions:
        found = "x".join(map(str, values.shape))
        expected = "HxWx3"[: 2 * dimensions - 1]
        raise InputError("dataset.values", file=path, key=what, expected=expected, found=found)
    return values


def shard_index_folder() -> Path | None:
    """Where indices of shards are kept for every process of the user; None where nothing can be
    written."""
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "fit-hands" / "shards"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def require_size(size: int, most: int, file: Path) -> None:
    """Refuse what would fill the memory before it is unpacked.

    Args:
        size: bytes that it takes unpacked.
        most: bytes that it may take.
        file: to name in messages.

    Raises:
        InputError: `dataset.too_large`.
    """
    if size > most:
        raise InputError("dataset.too_large", file=file, expected=most, found=size)


@dataclass(frozen=True)
class JsonRows:
    """A JSON list of numbers or of lists of them, such as ``training_verts.json`` with its 76
    million: only the places of its entries are held.

    Attributes:
        path: of the file.
        starts, ends: (N,) int64 bytes of the file between which each entry stands.
    """

    path: Path
    starts: np.ndarray
    ends: np.ndarray

    @staticmethod
    def open(path: Path, dataset: str) -> JsonRows:
        """Find the entries, going through the file once.

        Raises:
            InputError: there is no such file, it cannot be read, or it is no whole list.
        """
        path = require_file(path, dataset)
        try:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as m:
                brackets = _brackets(m)
                if brackets.depth != 0:
                    raise InputError("dataset.cut_list", file=path, found=len(brackets.ends))
                if brackets.lists != 1 or m[: brackets.first].strip() or m[brackets.last :].strip():
                    raise InputError("dataset.no_list", file=path)
                starts, ends = _entries(m, brackets)
        except OSError as error:
            raise InputError("dataset.unreadable", file=path, reason=error.strerror) from error
        except ValueError as error:  # of an empty file
            raise InputError("dataset.no_list", file=path) from error
        return JsonRows(path, starts, ends)

    def __len__(self) -> int:
        return len(self.starts)

    def row(self, place: int, shape: tuple[int, ...], image: str) -> np.ndarray:
        """Entry `place` as `shape` float64.

        Args:
            place: of the entry.
            shape: as for `numbers`.
            image: whose entry it is, for messages.

        Raises:
            InputError: there is no such entry, or it is not finite numbers of that shape.
        """
        if place >= len(self):
            raise InputError("dataset.no_entry", file=self.path, found=len(self), image=image)
        try:
            with self.path.open("rb") as file:
                file.seek(int(self.starts[place]))
                value = json.loads(file.read(int(self.ends[place] - self.starts[place])))
        except OSError as error:
            raise InputError("dataset.unreadable", file=self.path, reason=error.strerror) from error
        except (ValueError, RecursionError) as error:
            raise InputError(
                "dataset.unreadable", file=self.path, reason=f"entry {place} is no JSON"
            ) from error
        return numbers(value, shape, self.path, f"entry {place}")


@dataclass(frozen=True)
class _Brackets:
    """Of a JSON list: bytes where the list starts and ends, where the lists in it do, how many
    lists are closed that are in no other, and how many brackets stay open."""

    first: int
    last: int
    starts: np.ndarray
    ends: np.ndarray
    lists: int
    depth: int


def _brackets(content: mmap.mmap) -> _Brackets:
    starts, ends = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    depth, first, last, lists = 0, -1, -1, 0
    for offset in range(0, len(content), _CHUNK):
        characters = np.frombuffer(content[offset : offset + _CHUNK], np.uint8)
        places = np.flatnonzero((characters == _OPENS) | (characters == _CLOSES))
        if not len(places):
            continue
        opens = characters[places] == _OPENS
        depths = depth + np.cumsum(np.where(opens, 1, -1))
        starts.append(offset + places[opens & (depths == 2)])
        ends.append(offset + places[~opens & (depths == 1)] + 1)
        lists += int(np.count_nonzero(~opens & (depths == 0)))
        first = offset + int(places[0]) if first < 0 else first
        depth, last = int(depths[-1]), offset + int(places[-1]) + 1
    return _Brackets(first, last, np.concatenate(starts), np.concatenate(ends), lists, depth)


def _entries(content: mmap.mmap, brackets: _Brackets) -> tuple[np.ndarray, np.ndarray]:
    """Bytes where the entries of a list start and end, those between the lists in it included: a
    null must not move the entries behind it."""
    starts, ends = [], []
    gap = brackets.first + 1
    following = [*brackets.starts.tolist(), brackets.last - 1]
    for start, end in zip(following, [*brackets.ends.tolist(), -1], strict=True):
        # Between two lists stands a comma, and whatever else is there is an entry of its own.
        parts = content[gap:start].split(b",")
        for part in parts:
            if part.strip():
                starts.append(gap)
                ends.append(gap + len(part))
            gap += len(part) + 1
        if end >= 0:
            starts.append(start)
            ends.append(end)
            gap = end
    return np.array(starts, np.int64), np.array(ends, np.int64)
