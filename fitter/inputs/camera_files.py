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
from xml.etree import ElementTree

import numpy as np
import yaml

from fitter.errors import InputError
from fitter.inputs.camera_matrices import Belongs, check_intrinsics
from fitter.inputs.colmap_cameras import colmap_cameras, is_colmap
from fitter.inputs.json_files import load_json
from fitter.inputs.lens_files import is_camera, lens_of, several_cameras
from fitter.inputs.numbers import as_numbers
from fitter.lens import Lens

_ASKED = 1000
"""Entries whose principal points are compared."""


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
        return _of_content(_xml(path, text), path)
    if ending in (".yaml", ".yml") or text.startswith("%YAML"):
        return _of_content(_yaml(path, text), path)
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
    """The content of a NumPy file as lists, as JSON would have it."""
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found.tolist()
        with found:
            arrays = {name: found[name].tolist() for name in found.files}
    except FileNotFoundError as error:
        raise InputError("intrinsics.neither", file=path) from error
    except Exception as error:  # damaged archives raise what zipfile, zlib and NumPy raise
        raise InputError("intrinsics.no_arrays", file=path, reason=str(error)) from error
    if len(arrays) == 1 and not is_camera(arrays):
        (only,) = arrays.values()
        if np.shape(only) != (3, 3) or "." not in next(iter(arrays)):  # no image's name
            return only
    return arrays


class _Loader(yaml.SafeLoader):
    """YAML as OpenCV writes it, too: its matrices are mappings with a tag."""


def _mapping(loader: yaml.SafeLoader, node: yaml.Node) -> object:
    assert isinstance(node, yaml.MappingNode)
    return loader.construct_mapping(node, deep=True)


for _tag in ("opencv-matrix", "opencv-nd-matrix"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _mapping)


def _yaml(path: Path, text: str) -> object:
    # OpenCV's first line, %YAML:1.0, is none of YAML's directives.
    text = re.sub(r"\A%YAML[^\n]*\n", "", text)
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "it cannot be parsed"
        where = "" if mark is None else f" in line {mark.line + 1}"
        raise InputError("lens.broken_file", file=path, reason=f"{reason}{where}") from error


def _xml(path: Path, text: str) -> object:
    if "<!" in re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL):  # entities can grow without end
        raise InputError("lens.broken_file", file=path, reason="a document type or an entity")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError("lens.broken_file", file=path, reason=str(error)) from error
    return {part.tag: _element(part) for part in root}


def _element(part: ElementTree.Element) -> object:
    """A value of OpenCV's XML: a mapping, a list of numbers, a number or a word."""
    if len(part):
        return {each.tag: _element(each) for each in part}
    words = (part.text or "").split()
    try:
        numbers = [float(word) if set(word) - set("0123456789+-") else int(word) for word in words]
    except ValueError:
        return part.text
    return numbers[0] if len(numbers) == 1 and part.tag != "data" else numbers
