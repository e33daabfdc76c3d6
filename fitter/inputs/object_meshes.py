"""Meshes of objects that hands hold or touch: closed, in metres, facing outward, or refused.

`read_object_mesh` reads what trimesh reads of one file: OBJ, PLY, STL, GLB and OFF. No other file
is looked at: materials and textures say nothing of where a surface is. Vertices in one place are
one vertex, since texture seams and STL write them several times. What misses or what is wrong is
said by the count of edges that show it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from fitter.contact.edges import edge_uses
from fitter.contact.records import ObjectMesh
from fitter.errors import InputError
from fitter.inputs.numbers import as_numbers, shortened

MESH_SUFFIXES = (".obj", ".ply", ".stl", ".glb", ".off")
"""Endings of files of meshes, in lower or upper case."""

MOST_FACES = 100_000
"""Of an object. Each takes memory and time to read. A CPU searches a tree of them; a GPU compares
every point of a hand with every one, in every iteration."""

LARGEST_EXTENT = 5.0
"""Metres; what is larger and held by a hand is in millimetres."""

LEAST_EXTENT = 1e-3
"""Metres; what is smaller is in another unit, or has been scaled twice."""

LARGEST_FILE = 1 << 29
"""Bytes. A file of `MOST_FACES` with every texture that a scanner writes is far below."""

SAME_PLACE = 1e-7
"""Metres within which vertices are one: below what the files' own digits tell apart."""

Closing = Literal["holes", "hull"]
"""How a mesh that is not closed becomes so: each hole by a fan over its own vertices, or all of it
by its convex hull."""


def read_object_mesh(path: Path, close: Closing | None = None) -> ObjectMesh:
    """A mesh from its file. A process reads it once for all images that show the object.

    Args:
        path: of the file.
        close: how it is closed, or None for the mesh as it is.

    Raises:
        InputError: there is no such file, it is of another kind, too large or damaged; or see
            `object_mesh`.
    """
    if path.suffix.lower() not in MESH_SUFFIXES:
        known = ", ".join(MESH_SUFFIXES)
        raise InputError("object.mesh_kind", file=path, known=known, found=path.suffix or "none")
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # no name of a file at all
        raise InputError("object.no_mesh", file=path, reason=_reason(error)) from error
    if not path.is_file():  # nor would a pipe ever end
        raise InputError("object.no_mesh", file=path, reason="no file")
    if found.st_size > LARGEST_FILE:
        raise InputError("object.mesh_bytes", file=path, most=LARGEST_FILE, found=found.st_size)
    return _read(path, found.st_size, found.st_mtime_ns, close)


@lru_cache(maxsize=64)
def _read(path: Path, size: int, time: int, close: Closing | None) -> ObjectMesh:
    """Of a file of this size and time of change."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError("object.no_mesh", file=path, reason=_reason(error)) from error
    kind = path.suffix.lower().removeprefix(".")
    # Before it is parsed: a million faces of text take ten seconds.
    said = _FACES_SAID[kind](content) if kind in _FACES_SAID else 0
    if said > MOST_FACES:
        raise InputError("object.mesh_faces", file=path, most=MOST_FACES, found=said)
    import trimesh  # takes a second, and most runs know no objects

    try:
        mesh = trimesh.load_mesh(
            io.BytesIO(content), file_type=kind, process=False, skip_materials=True
        )
        vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    except Exception as error:
        # A damaged file raises nearly anything, from wherever its parts are put together.
        raise InputError("object.mesh_unreadable", file=path, reason=_reason(error)) from error
    if len(faces) == 0:
        raise InputError("object.mesh_no_triangles", file=path)
    return object_mesh(vertices, faces, str(path), close)


def _reason(error: Exception) -> str:
    """What went wrong, in one line."""
    if isinstance(error, FileNotFoundError):
        return "no file there"
    said = error.strerror if isinstance(error, OSError) else None
    return " ".join((said or str(error)).split()) or type(error).__name__


def _ply_faces(content: bytes) -> int:
    said = re.search(rb"element face (\d+)", content[:4096])
    return 0 if said is None else int(said.group(1))


def _stl_faces(content: bytes) -> int:
    written = content.count(b"facet normal")
    return written or max(0, len(content) - 84) // 50


_FACES_SAID: dict[str, Callable[[bytes], int]] = {
    "obj": lambda content: content.count(b"\nf "),
    "ply": _ply_faces,
    "stl": _stl_faces,
}
"""By the kind of a file the least number of triangles that it can hold, without parsing it."""


def object_mesh(
    vertices: object, faces: object, where: str, close: Closing | None = None
) -> ObjectMesh:
    """Arrays from outside as a mesh.

    Vertices in one place become one, triangles without an area between three places go, and a mesh
    that is inside out is turned. Several closed parts may be one object.

    Args:
        vertices: what should be (V, 3) metres.
        faces: what should be (F, 3) whole numbers below V.
        where: what to name in messages; the name of the mesh.
        close: how it is closed, or None for the mesh as it is.

    Raises:
        InputError: they are no triangles, none or too many; a vertex is not finite; they are
            not in metres; or the mesh is not closed, its triangles face both ways, or it has no
            volume.
    """
    if close is not None and close not in get_args(Closing):
        known = ", ".join(get_args(Closing))
        raise InputError("object.close", file=where, known=known, found=shortened(close))
    points, corners = _arrays(vertices, faces, where)
    _check_unit(points[np.unique(corners)], where)
    points, corners = _merged(points, corners)
    if close == "hull":
        points, corners = _hull(points, where)
    elif close == "holes":
        corners = _filled(points, corners, where)
    _check_closed(corners, where)
    volume = _volume(points, corners)
    extent = float(np.ptp(points, axis=0).max())
    if abs(volume) <= 1e-9 * extent**3:
        raise InputError("object.mesh_flat", file=where)
    if volume < 0:
        corners = corners[:, ::-1]
    return ObjectMesh(where, points, np.ascontiguousarray(corners))


def _arrays(vertices: object, faces: object, where: str) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) float64 and (F, 3) int64, looked at as far as that is possible without their sense."""
    points, corners = as_numbers(vertices), as_numbers(faces)
    for what, found in (("vertices", points), ("triangles", corners)):
        if found is None or found.ndim != 2 or found.shape[1] != 3 or not len(found):
            shape = None if found is None else list(found.shape)
            raise InputError("object.mesh_empty", file=where, what=what, found=shape)
    assert points is not None and corners is not None
    if len(corners) > MOST_FACES:
        raise InputError("object.mesh_faces", file=where, most=MOST_FACES, found=len(corners))
    whole = corners.astype(np.int64)
    if (whole != corners).any() or whole.min() < 0 or whole.max() >= len(points):
        raise InputError("object.mesh_corners", file=where, count=len(points))
    used = points[np.unique(whole)]
    if not np.isfinite(used).all():
        bad = int((~np.isfinite(used).all(axis=1)).sum())
        raise InputError("object.mesh_not_finite", file=where, found=bad, count=len(used))
    return points, whole


def _check_unit(points: np.ndarray, where: str) -> None:
    extent = float(np.ptp(points, axis=0).max())
    if extent > LARGEST_EXTENT:
        raise InputError(
            "object.mesh_large", file=where, most=LARGEST_EXTENT, found=extent, metres=extent / 1000
        )
    if extent < LEAST_EXTENT:
        raise InputError("object.mesh_small", file=where, least=LEAST_EXTENT, found=extent)


def _merged(points: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Without the vertices that no triangle has, with one for each place, and without triangles
    that have two corners in one place."""
    used, corners = np.unique(corners, return_inverse=True)
    points, corners = points[used], corners.reshape(-1, 3)
    places = np.round(points / SAME_PLACE).astype(np.int64)
    _, first, place = np.unique(places, axis=0, return_index=True, return_inverse=True)
    corners = place.reshape(-1)[corners]
    a, b, c = corners.T
    return points[first], corners[(a != b) & (b != c) & (c != a)]


def _filled(points: np.ndarray, corners: np.ndarray, where: str) -> np.ndarray:
    """With each hole closed by a fan."""
    import torch  # which who reads meshes as they are does without

    from fitter.contact.topology import closed

    try:
        return closed(torch.from_numpy(corners), len(points)).numpy()
    except InputError as error:
        raise InputError("object.mesh_holes", file=where) from error


def _hull(points: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """The convex hull, whose triangles all face outward."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(points)
    except QhullError as error:
        raise InputError("object.mesh_flat", file=where) from error
    used = hull.vertices
    number = np.full(len(points), -1)
    number[used] = np.arange(len(used))
    corners = number[hull.simplices]
    kept = points[used]
    a, b, c = kept[corners].transpose(1, 0, 2)
    outward = (np.cross(b - a, c - a) * hull.equations[:, :3]).sum(axis=1) > 0
    return kept, np.where(outward[:, None], corners, corners[:, ::-1])


def _check_closed(corners: np.ndarray, where: str) -> None:
    """Refuse edges that not two triangles share, and neighbours that face opposite ways."""
    uses, balance = edge_uses(corners)
    is_open = uses % 2 == 1
    if is_open.any():
        raise InputError("object.mesh_open", file=where, found=int(is_open.sum()), count=len(uses))
    turned = int((balance != 0).sum())
    if turned:
        raise InputError("object.mesh_turned", file=where, found=turned, count=len(uses))


def _volume(points: np.ndarray, corners: np.ndarray) -> float:
    """Cubic metres, negative where the triangles face inward (divergence theorem)."""
    a, b, c = (points - points.mean(axis=0))[corners].transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)
