"""What stands beside an image in a shard: its K, as the users of webdataset put it there.

``key.json``
    An object with ``K``, ``intrinsics`` or ``camera_matrix``; or a 3x3 matrix alone.
``key.txt``
    Four numbers fx, fy, cx, cy, or the nine of a matrix row by row, with commas or blanks between.

A matrix may be 3x3, or nine numbers, or four; an object ``{"fx", "fy", "cx", "cy"}`` counts too. A
file with none of them, such as a caption, says nothing of K.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fitter.errors import InputError
from fitter.inputs.addresses import read_part
from fitter.inputs.camera_matrices import check_intrinsics
from fitter.inputs.json_files import json_fault

SIDECAR_SUFFIXES = (".json", ".txt")
"""Endings of what may hold K, in the order in which they are looked for."""

LARGEST_SIDECAR = 1 << 24
"""Bytes of what may hold K; K with its image's annotations is some kilobytes."""

_NAMES = ("K", "intrinsics", "camera_matrix")


@dataclass(frozen=True)
class Sidecar:
    """Where in a tar file the file beside an image is.

    Attributes:
        suffix: one of `SIDECAR_SUFFIXES`.
        offset: of its first byte.
        size: bytes.
        digest: of its content, as the tar file's index has it.
    """

    suffix: str
    offset: int
    size: int
    digest: str

    def intrinsics(self, place: str, image: str) -> np.ndarray | None:
        """K, (3, 3) float64, or None where the file says nothing of it.

        Args:
            place: of the tar file.
            image: what the image is called in messages.

        Raises:
            InputError: it cannot be read, is too large or no JSON, or what should be K is none.
        """
        where = f"{image}: {self.suffix} beside it"
        content = read_part(place, self.offset, self.size, where, LARGEST_SIDECAR)
        return sidecar_intrinsics(content, self.suffix, where)


def sidecar_intrinsics(content: bytes, suffix: str, where: str) -> np.ndarray | None:
    """K, (3, 3) float64 in pixels, from the content of a file beside an image, see the module.

    Args:
        content: of the file.
        suffix: one of `SIDECAR_SUFFIXES`.
        where: what to name in messages.

    Raises:
        InputError: it is no JSON, or what should be K is none.
    """
    if suffix == ".txt":
        numbers = _numbers(content)
        return None if numbers is None else _matrix(numbers, where)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = json_fault(error)
        raise InputError("json.invalid", file=where, content="K", reason=reason) from error
    return intrinsics_said(value, where)


def intrinsics_said(value: object, where: str) -> np.ndarray | None:
    """K, (3, 3) float64 in pixels, from what a JSON file holds; None where it says nothing of it.

    Args:
        value: of the file.
        where: what to name in messages.

    Raises:
        InputError: what should be K is none.
    """
    if isinstance(value, Mapping):
        name = next((name for name in _NAMES if name in value), None)
        return None if name is None else _matrix(value[name], where)
    is_matrix = (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(row, list) and len(row) == 3 for row in value)
    )
    return _matrix(value, where) if is_matrix else None


def _numbers(content: bytes) -> list[float] | None:
    """The four or nine numbers of a text, None for any other text."""
    try:
        parts = re.split(r"[\s,]+", content.decode("utf-8").strip())
        numbers = [float(part) for part in parts]
    except ValueError:
        return None
    return numbers if len(numbers) in (4, 9) else None


def _matrix(value: object, where: str) -> np.ndarray:
    if isinstance(value, Mapping) and {"fx", "fy", "cx", "cy"} <= set(value):
        value = [value[name] for name in ("fx", "fy", "cx", "cy")]
    if isinstance(value, list) and len(value) == 4:
        fx, fy, cx, cy = value
        value = [[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]
    elif isinstance(value, list) and len(value) == 9:
        value = [value[0:3], value[3:6], value[6:9]]
    return check_intrinsics(value, where)
