"""What is said of an object in a picture: its mesh, and where it is in the picture's camera.

One object, in a file as in Python::

    {"mesh": "mug.obj", "rotation": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "translation": [0, 0, 0.5]}

``rotation`` is a 3x3 matrix R, in its place ``quaternion`` has [w, x, y, z]; ``translation`` is t
in metres: ``x_camera = R x_object + t``, with the axes of OpenCV's camera (x right, y down, z
forward). ``pose`` is the 4x4 matrix of both, in their place. ``"close": "holes"`` fills the holes
of a mesh that is not closed, ``"close": "hull"`` takes its convex hull. ``"hand": "left"`` or
``"right"`` says which hand is drawn to it, where it is not both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from fitter.contact.records import ObjectMesh, PosedObject
from fitter.errors import InputError
from fitter.inputs.numbers import as_numbers, shortened
from fitter.inputs.object_meshes import object_mesh, read_object_mesh
from fitter.records import IntrinsicsSource, Side

_KEYS = ("mesh", "rotation", "quaternion", "translation", "pose", "close", "hand")

_KNOWN_KEYS = (
    "mesh, rotation or quaternion with translation, pose in the place of these, close, hand"
)
"""The same for messages: which belong together."""

_MOST_OFF = 1e-3
"""By how much entries of R R^T may differ from those of 1: three digits are kept in some files."""

FARTHEST = 20.0
"""Metres from the camera to an object; what lies farther away is in millimetres."""


@dataclass(frozen=True)
class PosedIn:
    """The picture that objects are placed in.

    Attributes:
        name: for messages.
        size: (width, height) in pixels, upright.
        intrinsics: (3, 3) float64 K.
        intrinsics_source: where K came from.
    """

    name: str
    size: tuple[int, int]
    intrinsics: np.ndarray
    intrinsics_source: IntrinsicsSource


def posed_object(given: Any, where: str, folders: Sequence[Path] = (Path(),)) -> PosedObject:
    """An object as a user gave it, see the module.

    Args:
        given: a mapping, or a `PosedObject`, which is checked as well. In Python ``mesh`` may also
            be a `trimesh.Trimesh`, or a pair of vertices (V, 3) and faces (F, 3).
        where: what to name in messages.
        folders: that a relative path of a mesh is below, in the order in which they are tried.

    Raises:
        InputError: it is something else, lacks something, has it twice or has something unknown;
            its pose is none; or see `fitter.inputs.object_meshes`.
    """
    if isinstance(given, PosedObject):
        mesh = object_mesh(given.mesh.vertices, given.mesh.faces, f"{where}, {given.mesh.name}")
        mesh = ObjectMesh(given.mesh.name, mesh.vertices, mesh.faces)
        rotation = check_rotation(given.rotation, where)
        translation = check_translation(given.translation, where)
        return PosedObject(mesh, rotation, translation, _hand(given.hand, where))
    if not isinstance(given, Mapping):
        raise InputError("object.entry", file=where, found=type(given).__name__)
    unknown = [key for key in given if key not in _KEYS]
    if unknown:
        raise InputError("object.unknown_key", file=where, known=_KNOWN_KEYS, found=unknown[0])
    if "mesh" not in given:
        raise InputError("object.no_key", file=where, key="mesh")
    rotation, translation = _pose(given, where)
    hand = _hand(given.get("hand"), where)
    return PosedObject(_mesh(given, where, folders), rotation, translation, hand)


def mesh_path(given: str | Path, folders: Sequence[Path]) -> Path:
    """Where a mesh is: below the first of the folders that has it, else below the last."""
    paths = [folder / given for folder in folders]
    return next((path for path in paths if path.exists()), paths[-1])


def _mesh(given: Mapping[str, Any], where: str, folders: Sequence[Path]) -> ObjectMesh:
    mesh, close = given["mesh"], given.get("close")
    if isinstance(mesh, str | Path):
        path = mesh_path(mesh, folders)
        if not path.exists():
            looked = " or ".join(dict.fromkeys(str(folder / mesh) for folder in folders))
            raise InputError("object.mesh_missing", file=where, mesh=str(mesh), looked=looked)
        return read_object_mesh(path, close)
    if hasattr(mesh, "vertices") and hasattr(mesh, "faces"):
        mesh = (mesh.vertices, mesh.faces)
    if not isinstance(mesh, Sequence) or isinstance(mesh, bytes) or len(mesh) != 2:
        raise InputError("object.mesh", file=where, found=type(mesh).__name__)
    return object_mesh(mesh[0], mesh[1], f"{where}, mesh", close)


def _pose(given: Mapping[str, Any], where: str) -> tuple[np.ndarray, np.ndarray]:
    """R and t of an entry that says them once."""
    turned = [key for key in ("rotation", "quaternion", "pose") if key in given]
    if len(turned) > 1:
        raise InputError("object.two_poses", file=where, one=turned[0], other=turned[1])
    if not turned:
        raise InputError("object.no_key", file=where, key="rotation")
    if turned == ["pose"]:
        if "translation" in given:
            raise InputError("object.two_poses", file=where, one="pose", other="translation")
        return _matrix_pose(given["pose"], where)
    if "translation" not in given:
        raise InputError("object.no_key", file=where, key="translation")
    if turned == ["quaternion"]:
        rotation = _of_quaternion(given["quaternion"], where)
    else:
        rotation = check_rotation(given["rotation"], where)
    return rotation, check_translation(given["translation"], where)


def _hand(value: Any, where: str) -> Side | None:
    if value is None:
        return None
    if isinstance(value, str) and value in ("left", "right"):
        return cast("Side", value)
    raise InputError("object.hand", file=where, found=shortened(value))


def _matrix_pose(value: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    pose = as_numbers(value)
    if pose is None or pose.shape != (4, 4) or not np.array_equal(pose[3], [0, 0, 0, 1]):
        raise InputError("object.pose", file=where, found=shortened(value))
    return check_rotation(pose[:3, :3], where), check_translation(pose[:3, 3], where)


def check_rotation(value: Any, where: str) -> np.ndarray:
    """A value from outside as a rotation.

    Args:
        value: what should be (3, 3).
        where: what to name in messages.

    Returns:
        (3, 3) float64, the nearest rotation, since files keep few digits.

    Raises:
        InputError: it has another shape, is not finite, is scaled or sheared, or mirrors.
    """
    matrix = as_numbers(value)
    if matrix is None or matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise InputError("object.rotation_shape", file=where, found=shortened(value))
    off = float(np.abs(matrix @ matrix.T - np.eye(3)).max())
    if off > _MOST_OFF:
        raise InputError("object.rotation", file=where, found=off)
    if np.linalg.det(matrix) < 0:
        raise InputError("object.mirrored", file=where)
    left, _, right = np.linalg.svd(matrix)
    nearest: np.ndarray = left @ right
    return nearest


def _of_quaternion(value: Any, where: str) -> np.ndarray:
    numbers = as_numbers(value)
    length = 0.0 if numbers is None or numbers.shape != (4,) else float(np.linalg.norm(numbers))
    if numbers is None or not abs(length - 1) < _MOST_OFF:
        raise InputError("object.quaternion", file=where, found=shortened(value))
    from scipy.spatial.transform import Rotation

    w, x, y, z = numbers
    matrix: np.ndarray = Rotation.from_quat([x, y, z, w]).as_matrix()
    return matrix


def check_translation(value: Any, where: str) -> np.ndarray:
    """A value from outside as a translation (3,) float64, metres.

    Args:
        value: what should be three numbers.
        where: what to name in messages.

    Raises:
        InputError: it has another shape or is not finite.
    """
    metres = as_numbers(value)
    if metres is None or metres.shape != (3,) or not np.isfinite(metres).all():
        raise InputError("object.translation", file=where, found=shortened(value))
    return metres


def require_in(picture: PosedIn, objects: Sequence[PosedObject], where: str) -> None:
    """Refuse objects that the picture cannot show: their poses are another picture's.

    Args:
        picture: with its K.
        objects: of the picture.
        where: what to name in messages.

    Raises:
        InputError: K is a guess, in whose camera nobody can have placed anything; or an object
            is behind the camera, too far away, or wholly outside the picture.
    """
    require_camera(picture, objects, where)
    for posed in objects:
        fault = fault_in(picture, posed, where)
        if fault is not None:
            raise fault


def require_camera(picture: PosedIn, objects: Sequence[PosedObject], where: str) -> None:
    """Refuse objects in a picture whose K is a guess; arguments and errors as of `require_in`."""
    if objects and picture.intrinsics_source == "default":
        raise InputError("object.no_camera", file=where, image=picture.name)


def fault_in(picture: PosedIn, posed: PosedObject, where: str) -> InputError | None:
    """Why the picture cannot show an object, or None where it can; see `require_in`."""
    facts = {"file": where, "image": picture.name, "name": Path(posed.mesh.name).name}
    vertices = posed.vertices
    nearest = float(vertices[:, 2].min())
    if nearest <= 0:
        return InputError("object.behind", **facts, found=nearest)
    if nearest > FARTHEST:
        return InputError("object.far", **facts, most=FARTHEST, found=nearest)
    seen = (vertices @ picture.intrinsics.T)[:, :2] / vertices[:, 2:]
    low, high = seen.min(axis=0), seen.max(axis=0)
    width, height = picture.size
    if (high >= 0).all() and (low <= picture.size).all():
        return None
    columns, rows = (f"{a:.0f} to {b:.0f}" for a, b in zip(low, high, strict=True))
    return InputError(
        "object.outside", **facts, width=width, height=height, columns=columns, rows=rows
    )
