"""NIMBLE's texture coordinates, which come as lines of a Wavefront OBJ file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fitter.errors import InputError
from fitter.hand_models.assets import read_pickled_lines

_EXPECTED = "NIMBLE's texture coordinates (lines `vt u v` and `f v/vt v/vt v/vt`)"


def read_face_uv(
    path: Path, skin_faces: np.ndarray, vertices: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """Read texture coordinates and their rows at the corners of the skin's faces.

    Args:
        path: NIMBLE_TEX_FUV.pkl.
        skin_faces: (F, 3) vertices of the faces, in the order wanted.
        vertices: number of the skin's vertices.

    Returns:
        (T, 2) float64 coordinates, v upwards as in OBJ; (F, 3) int64 rows of them, in the order of
        `skin_faces` and of its corners; and the file's SHA-256.

    Raises:
        InputError: the file is missing, unsafe or cut off; a line cannot be read; an index is out
            of range; or its faces are others than the skin's.
    """
    lines, digest = read_pickled_lines(path, _EXPECTED)
    coordinates, faces, rows = _parsed(path, lines)
    for array, indices, count in (("v", faces, vertices), ("vt", rows, len(coordinates))):
        if indices.size and not 0 <= indices.min() <= indices.max() < count:
            found = int(indices.max()) if indices.min() >= 0 else int(indices.min())
            raise InputError("nimble.indices", file=path, array=array, count=count, found=found)
    return coordinates, _aligned(path, skin_faces, faces, rows), digest


def _parsed(path: Path, lines: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(T, 2) coordinates, (F, 3) vertices and (F, 3) rows of coordinates, both from 0 on."""
    coordinates: list[list[float]] = []
    corners: list[list[list[int]]] = []
    for line in lines:
        kind, *fields = line.split() or ["#"]
        try:
            if kind == "vt":
                coordinates.append([float(field) for field in fields[:2]])
            elif kind == "f":
                corners.append([_corner(field) for field in fields])
            # Numbers too large for the table would be found when all lines are read.
            np.asarray(corners[-1:], np.int64)
        except (ValueError, OverflowError):
            raise _bad_line(path, line) from None
        if (kind == "vt" and len(coordinates[-1]) != 2) or (kind == "f" and len(corners[-1]) != 3):
            raise _bad_line(path, line)
    uv = np.array(coordinates, np.float64).reshape(-1, 2)
    if not np.isfinite(uv).all():
        raise InputError(
            "model.array_not_finite", file=path, array="vt", count=int((~np.isfinite(uv)).sum())
        )
    table = np.array(corners, np.int64).reshape(-1, 3, 2) - 1
    return uv, table[..., 0], table[..., 1]


def _corner(field: str) -> list[int]:
    vertex, coordinate, *_normal = field.split("/")
    return [int(vertex), int(coordinate)]


def _bad_line(path: Path, line: str) -> InputError:
    return InputError("nimble.uv_line", file=path, expected=_EXPECTED, found=line[:60])


def _aligned(path: Path, skin_faces: np.ndarray, faces: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Bring rows of coordinates in the order of the skin's faces and corners."""

    def refuse(found: str) -> InputError:
        count = len(skin_faces)
        return InputError(
            "nimble.uv_faces", file=path, expected=_EXPECTED, faces=count, found=found
        )

    if len(faces) != len(skin_faces):
        raise refuse(f"{len(faces)}")
    if np.array_equal(faces, skin_faces):
        return rows
    wanted, there = _Sorted(skin_faces), _Sorted(faces)
    differing = np.flatnonzero((wanted.faces != there.faces).any(axis=1))
    if differing.size:
        first = wanted.faces[differing[0]].tolist()
        raise refuse(f"others: none with the vertices {first}")
    aligned = np.empty_like(rows)
    aligned[wanted.order[:, None], wanted.corners] = rows[there.order[:, None], there.corners]
    return aligned


class _Sorted:
    """Faces (F, 3) by their vertices: `faces` with corners and rows in rising order; the face each
    row comes from, `order` (F,), and its corners, `corners` (F, 3)."""

    def __init__(self, faces: np.ndarray) -> None:
        corners = np.argsort(faces, axis=1, kind="stable")
        rising = np.take_along_axis(faces, corners, axis=1)
        self.order = np.lexsort(rising.T[::-1])
        self.faces, self.corners = rising[self.order], corners[self.order]


def uv_lines(uv: np.ndarray, faces: np.ndarray, uv_faces: np.ndarray) -> Iterator[str]:
    """The lines that `read_face_uv` reads, as NIMBLE's file has them, with a line break each."""
    for u, v in uv.tolist():
        yield f"vt {u:.6f} {v:.6f}\n"
    for corners in np.stack([faces, uv_faces], axis=-1).tolist():
        yield "f " + " ".join(f"{v + 1}/{t + 1}/{v + 1}" for v, t in corners) + "\n"
