"""Files with cameras, for ``--intrinsics``: one of all images, or one of each.

JSON, YAML, XML of `cv2.FileStorage`, ``.npy``, ``.npz``, numbers as text, and COLMAP's
``cameras.txt``. What a camera is in them, and with which lens, `fitter.inputs.lens_files` says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fitter.errors import InputError
from fitter.inputs.camera_matrices import Belongs, check_intrinsics
from fitter.inputs.camera_values import (
    LARGEST_PART,
    Rows,
    array_values,
    xml_values,
    yaml_values,
)
from fitter.inputs.colmap_cameras import colmap_cameras, is_colmap
from fitter.inputs.json_files import load_json
from fitter.inputs.lens_files import is_camera, lens_of, several_cameras
from fitter.inputs.numbers import as_numbers
from fitter.lens import Lens

_ASKED = 1000
"""Entries whose principal points are compared."""

_MATRICES = ((9,), (3, 3), (3, 4), (4, 3), (4, 4))
"""Shapes of one matrix; others are of lists of them."""


@dataclass(frozen=True)
class CameraFile:
    """What a file says; one of the first three.

    Attributes:
        one: K, (3, 3) float64, or the camera with its lens, of all images.
        by_name: entries by the image's name, not checked.
        by_index: entries in the order of the sorted names, not checked.
        belongs: what the entries are given for.
    """

    one: np.ndarray | Lens | None = None
    by_name: Mapping[str, object] | None = None
    by_index: Mapping[int, object] | None = None
    belongs: Belongs = "camera"


def read_cameras(path: Path) -> CameraFile:
    """Read a file.

    Raises:
        InputError: there is none, it cannot be read, or it holds no cameras.
    """
    if path.is_dir():
        raise InputError("intrinsics.folder", file=path)
    ending = path.suffix.lower()
    if ending in (".npy", ".npz"):
        return _of_content(_arrays(path), path)
    if ending == ".json":
        return _of_content(load_json(path, "intrinsics", missing="intrinsics.neither"), path)
    text = _text(path)
    if is_colmap(text):
        found = colmap_cameras(path, text)
        if isinstance(found, Lens):
            return CameraFile(found)
        return CameraFile(by_name=found, belongs=_belongs(found))
    start = text.lstrip()[:1]
    if ending == ".xml" or start == "<":
        return _of_content(xml_values(path, text), path)
    if ending in (".yaml", ".yml") or text.startswith("%YAML"):
        return _of_content(yaml_values(path, text), path)
    if start == "{" or (start == "[" and "," in text):  # NumPy prints brackets without commas
        return _of_content(load_json(path, "intrinsics"), path)
    return CameraFile(_numbers(path, text))


def camera_of(value: object, where: str) -> np.ndarray | Lens:
    """K, or a camera with its lens, of an entry of a file.

    Raises:
        InputError: it is neither, see `check_intrinsics` and `lens_of`.
    """
    if isinstance(value, Lens):
        return value
    if isinstance(value, Mapping) and is_camera(value):
        return lens_of(value, where)
    return check_intrinsics(value, where)


def said_of(value: object) -> object:
    """An entry as JSON can hold it."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.as_json() if isinstance(value, Lens) else value


def _of_content(content: object, path: Path) -> CameraFile:
    """What a value that was read from a file says."""
    if isinstance(content, Mapping):
        cameras = several_cameras(content)
        if len(cameras) > 1:
            raise InputError("lens.several", file=path, found=", ".join(cameras))
        one = content[cameras[0]] if cameras else content
        if is_camera(one):
            return CameraFile(camera_of(one, str(path)))
        return CameraFile(by_name=content, belongs=_belongs(content))
    if isinstance(content, np.ndarray) and content.ndim:
        if content.shape in _MATRICES:
            return CameraFile(check_intrinsics(content, str(path)))
        rows = Rows(content)
        return CameraFile(by_index=rows, belongs=_belongs(rows))
    if not isinstance(content, list):
        raise InputError("intrinsics.layout", file=path, found=type(content).__name__)
    if _is_matrix(content):
        return CameraFile(check_intrinsics(content, str(path)))
    entries = dict(enumerate(content))
    return CameraFile(by_index=entries, belongs=_belongs(entries))


def _is_matrix(content: list[Any]) -> bool:
    """Whether a list is one matrix, and not a list of them: rows of numbers, or nine numbers."""
    if len(content) == 9:
        return all(isinstance(number, int | float) for number in content)
    rows = [row for row in content if isinstance(row, list) and len(row) in (3, 4)]
    return len(content) == len(rows) in (3, 4) and all(
        isinstance(number, int | float) for row in rows for number in row
    )


def _belongs(entries: Mapping[Any, object]) -> Belongs:
    """Whether entries are of one camera, or of crops: those have other principal points."""
    centres = set()
    for _, value in zip(range(_ASKED), entries.values(), strict=False):
        matrix = as_numbers(value.intrinsics if isinstance(value, Lens) else value)
        if matrix is not None and matrix.shape == (3, 3):
            centres.add((matrix[0, 2], matrix[1, 2]))
    if len(entries) == 1:
        return "image"
    return "camera" if len(centres) == 1 else "crops"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError("intrinsics.neither", file=path) from error
    except OSError as error:
        raise InputError("json.unreadable", file=path, reason=error.strerror) from error
    except UnicodeDecodeError as error:
        raise InputError("intrinsics.unknown_file", file=path) from error


def _numbers(path: Path, text: str) -> np.ndarray:
    """K of a text of numbers: nine row by row, or fx, fy, cx, cy."""
    words = re.split(r"[\s,;\[\]]+", text.strip(" \n\t\r[];,"))
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise InputError("intrinsics.unknown_file", file=path) from error
    if len(numbers) == 4:
        fx, fy, cx, cy = numbers
        return check_intrinsics([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], str(path))
    shapes = {9: (3, 3), 12: (3, 4), 16: (4, 4)}
    if len(numbers) not in shapes:
        raise InputError("intrinsics.nine_numbers", file=path, found=len(numbers))
    return check_intrinsics(np.reshape(numbers, shapes[len(numbers)]), str(path))


def _arrays(path: Path) -> object:
    """The content of a NumPy file; of an archive of one array, which is no camera, that one."""
    found = array_values(path)
    if isinstance(found, np.ndarray):
        return found if found.ndim else found.item()
    if is_camera(found):
        small = {name: each for name, each in found.items() if each.size <= LARGEST_PART}
        return found | {name: each.tolist() for name, each in small.items()}
    if len(found) == 1:
        (only,) = found.values()
        if only.shape != (3, 3) or "." not in next(iter(found)):  # no image's name
            return only if only.ndim else only.item()
    return found
