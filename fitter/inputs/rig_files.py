"""Rig files: where the cameras of a run with several views stand, and where their images are.

JSON, lengths in metres, pixels of the images as they are on disk::

    {"cameras": [
        {"name": "left", "K": [[600, 0, 320], [0, 600, 240], [0, 0, 1]],
         "R": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "t": [0, 0, 0],
         "distortion": [-0.1, 0.01, 0, 0, 0], "size": [640, 480], "images": "left"},
        ...
    ]}

``x_cam = R x_rig + t`` with camera axes x right, y down, z forward, as OpenCV and its calibration
have them; ``distortion`` are OpenCV's coefficients, of a fisheye's
where ``model`` is "fisheye"; an image without distortion has the same K and size, so that it shows
only the middle of what a fisheye does. ``images`` is a folder or a pattern below the
folder of all images, see `fitter.inputs.frames`; without it it is the folder of the camera's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fitter.errors import InputError
from fitter.inputs.camera_matrices import check_intrinsics
from fitter.inputs.json_files import load_json
from fitter.inputs.lens_sizes import LEAST_SEEN
from fitter.inputs.numbers import as_numbers, shortened
from fitter.inputs.undistortion import share_that_is_seen
from fitter.lens import COEFFICIENTS, is_straight
from fitter.rig import Rig, RigCamera

NEEDED = ("name", "K", "R", "t")
OPTIONAL = ("distortion", "model", "size", "images")
LARGEST_SKEW = 1e-3
"""Most by which an entry of R R^T may differ from the identity's: digits that were left out when a
rotation was written down are no error, a matrix in other units or a product with a scale is one."""

_ROUNDING = 1e-12
"""A rotation that is off by less is taken as it is."""

FARTHEST_APART = 20.0
"""Metres between two cameras that see the same hands: in millimetres, pairs that are two
centimetres apart are farther."""


@dataclass(frozen=True)
class RigFile:
    """What a rig file says.

    Attributes:
        path: of the file.
        rig: its cameras.
        images: folder or pattern of each camera's images, below the folder of all images.
    """

    path: Path
    rig: Rig
    images: tuple[str, ...]

    @staticmethod
    def open(path: Path) -> RigFile:
        """Read and check a file.

        Raises:
            InputError: it is no JSON, or not what this module's text says; see the codes
                ``rig.*`` and ``intrinsics.*``.
        """
        path = Path(path)
        content = load_json(path, "the cameras of a rig")
        rig, cameras = _rig_of(content, path)
        images = tuple(
            _place(said.get("images", name), f"{path}, camera {name!r}")
            for name, (_, said) in zip(rig.names, cameras, strict=True)
        )
        placed = [
            name for name, (_, said) in zip(rig.names, cameras, strict=True) if "images" in said
        ]
        if placed and len(placed) < len(rig):
            lacking = next(name for name in rig.names if name not in placed)
            raise InputError("rig.some_placed", file=path, camera=lacking, other=placed[0])
        _require_places(rig, images, path)
        return RigFile(path, rig, images)


def check_rig(given: Any) -> Rig:
    """A rig that the Python door was given: a `Rig`, the path of a file, or what stands in one, of
    which places of images are not asked.

    Raises:
        InputError: it is none of these, one of its cameras is none, or see `RigFile.open`.
    """
    if isinstance(given, str | Path):
        return RigFile.open(Path(given)).rig
    if isinstance(given, Mapping):
        return _rig_of(dict(given), "rig")[0]
    if not isinstance(given, Rig):
        raise InputError("rig.kind", file="rig", found=type(given).__name__)
    if not given.cameras:
        raise InputError("rig.no_camera", file="rig", found=0)
    for number, camera in enumerate(given.cameras):
        if not isinstance(camera, RigCamera):
            where = f"rig, camera {number}"
            raise InputError("rig.camera_kind", file=where, found=type(camera).__name__)
    said = [_said(camera) for camera in given.cameras]
    rig = Rig(tuple(_camera(each, f"rig, {_title(each, n)}") for n, each in enumerate(said)))
    _require_names(rig, "rig")
    _require_near(rig, "rig")
    return rig


def _said(camera: RigCamera) -> dict[str, Any]:
    """A camera of a `Rig` in the names of a file, its values as they are."""
    found = {
        "name": camera.name,
        "K": camera.intrinsics,
        "R": camera.rotation,
        "t": camera.translation,
        "distortion": camera.distortion,
        "model": camera.model,
    }
    return found | {"size": camera.size}


def _rig_of(content: object, where: object) -> tuple[Rig, list[tuple[int, dict[str, Any]]]]:
    """The rig that the content of a file is, and what it says of each camera, with its number."""
    cameras = _cameras(content, where)
    rig = Rig(tuple(_camera(said, f"{where}, {_title(said, n)}") for n, said in cameras))
    _require_names(rig, where)
    _require_near(rig, where)
    return rig, cameras


def _cameras(content: object, path: object) -> list[tuple[int, dict[str, Any]]]:
    """The file's cameras with their numbers."""
    if not isinstance(content, dict) or not isinstance(content.get("cameras"), list):
        found = type(content).__name__ if not isinstance(content, dict) else ", ".join(content)
        raise InputError("rig.layout", file=path, found=found or "nothing")
    _require_known(content, ("cameras",), str(path))
    if not content["cameras"]:
        raise InputError("rig.no_camera", file=path, found=0)
    for number, said in enumerate(content["cameras"]):
        if not isinstance(said, dict):
            where = f"{path}, camera {number}"
            raise InputError("rig.camera", file=where, found=type(said).__name__)
    return list(enumerate(content["cameras"]))


def _title(said: Mapping[str, Any], number: int) -> str:
    name = said.get("name")
    return f"camera {name!r}" if isinstance(name, str) and name else f"camera {number}"


def _require_known(said: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in said:
        if key not in known:
            raise InputError("rig.unknown_key", file=where, expected=", ".join(known), found=key)


def _require_names(rig: Rig, where: object) -> None:
    for place, name in enumerate(rig.names):
        if name in rig.names[:place]:
            raise InputError("rig.twice", file=where, camera=name)


def _require_near(rig: Rig, where: object) -> None:
    """Refuse cameras that can hardly see the same hands: lengths in other units than metres."""
    centres = np.stack([camera.centre for camera in rig.cameras])
    apart = np.linalg.norm(centres[:, None] - centres, axis=-1)
    one, other = np.unravel_index(apart.argmax(), apart.shape)
    if apart[one, other] > FARTHEST_APART:
        raise InputError(
            "rig.far",
            file=where,
            one=rig.names[one],
            other=rig.names[other],
            most=FARTHEST_APART,
            found=float(apart[one, other]),
        )


def _require_places(rig: Rig, images: Sequence[str], where: object) -> None:
    """Refuse one place of images for two cameras."""
    for number, place in enumerate(images):
        first = list(map(PurePosixPath, images)).index(PurePosixPath(place))
        if first < number:
            raise InputError(
                "rig.same_images",
                file=where,
                one=rig.names[first],
                other=rig.names[number],
                found=place,
            )


def _camera(said: Mapping[str, Any], where: str) -> RigCamera:
    """One camera, checked."""
    _require_known(said, (*NEEDED, *OPTIONAL), where)
    for key in NEEDED:
        if key not in said:
            raise InputError("rig.lacks", file=where, expected=", ".join(NEEDED), found=key)
    name = said["name"]
    if not isinstance(name, str) or not name or not name.isprintable():
        raise InputError("rig.name", file=where, found=repr(name))
    rotation = _numbers(said["R"], (3, 3), f"{where}, R")
    rotation = _nearest_rotation(rotation, f"{where}, R")
    distortion = _numbers(_flat(said.get("distortion", [])), (None,), f"{where}, distortion")
    model = said.get("model", "pinhole")
    if model not in COEFFICIENTS:
        expected = ", ".join(COEFFICIENTS)
        raise InputError("lens.model", file=f"{where}, model", expected=expected, found=model)
    lengths = COEFFICIENTS[model]
    if len(distortion) not in lengths:
        expected = " or ".join(filter(None, [", ".join(map(str, lengths[:-1])), str(lengths[-1])]))
        raise InputError(
            "rig.distortion", file=f"{where}, distortion", expected=expected, found=len(distortion)
        )
    camera = RigCamera(
        name=name,
        intrinsics=check_intrinsics(said["K"], f"{where}, K"),
        rotation=rotation,
        translation=_numbers(_flat(said["t"]), (3,), f"{where}, t"),
        distortion=distortion,
        size=None if said.get("size") is None else _size(said["size"], f"{where}, size"),
        model=model,
    )
    if camera.size is not None:
        require_lens(camera, camera.size, f"{where}, distortion")
    return camera


def require_lens(camera: RigCamera, size: tuple[int, int], where: str) -> None:
    """Refuse a lens whose model shows less than half of the image.

    Args:
        camera: of a rig.
        size: (width, height) of its images.
        where: what to name in the message.

    Raises:
        InputError: it does (`rig.lens`).
    """
    if is_straight(camera):
        return
    share = share_that_is_seen(camera, size)
    least = LEAST_SEEN[camera.model]
    if share < least:
        raise InputError("rig.lens", file=where, least=least, found=share)


def _flat(given: Any) -> Any:
    """A row (1, N) or a column (N, 1), as `cv2.calibrateCamera` and `cv2.stereoCalibrate` give
    coefficients and translations, as N numbers; all else as it is."""
    try:
        shape = np.shape(given)
    except ValueError:
        return given
    return np.ravel(given) if len(shape) == 2 and 1 in shape else given


def _numbers(given: object, shape: tuple[int | None, ...], where: str) -> np.ndarray:
    """Finite numbers of a shape, None for any length."""
    expected = "a list of" if shape == (None,) else " x ".join(map(str, shape))
    found = as_numbers(given)
    if found is None:
        raise InputError("rig.no_numbers", file=where, expected=expected, found=shortened(given))
    fits = found.ndim == len(shape) and all(
        wanted is None or wanted == size for wanted, size in zip(shape, found.shape, strict=True)
    )
    if not fits:
        sizes = " x ".join(map(str, found.shape)) or "a single number"
        raise InputError("rig.shape", file=where, expected=expected, found=sizes)
    if not np.isfinite(found).all():
        raise InputError("rig.not_finite", file=where)
    return found


def _nearest_rotation(matrix: np.ndarray, where: str) -> np.ndarray:
    """The rotation (3, 3) that a matrix is but for digits that were left out: the nearest one, so
    that points, hands and derivatives are turned alike however they are."""
    off = float(np.abs(matrix @ matrix.T - np.eye(3)).max())
    if off > LARGEST_SKEW:
        raise InputError("rig.no_rotation", file=where, most=LARGEST_SKEW, found=off)
    if np.linalg.det(matrix) < 0:
        raise InputError("rig.reflection", file=where)
    if off < _ROUNDING:
        return matrix
    left, _, right = np.linalg.svd(matrix)
    return np.asarray(left @ right)


def _size(given: object, where: str) -> tuple[int, int]:
    sides = tuple(given) if isinstance(given, list | tuple) else ()
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise InputError("rig.size", file=where, found=repr(given))
    return sides


def _place(given: object, where: str) -> str:
    """A folder or pattern below the folder of images."""
    if not isinstance(given, str) or not given:
        raise InputError("rig.images", file=where, found=repr(given))
    path = PurePosixPath(given)
    if path.is_absolute() or ".." in path.parts:
        raise InputError("rig.outside", file=where, found=given)
    if given.count("{frame}") > 1:
        raise InputError("rig.two_fields", file=where, found=given)
    return given
