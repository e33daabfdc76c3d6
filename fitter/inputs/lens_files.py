"""A camera with its lens, as calibrations write it: OpenCV's, ROS's and Kalibr's, and our own JSON.

All are mappings from names to values once their file is read (`fitter.inputs.camera_files`):

- OpenCV's, by `cv2.FileStorage` or as arrays of an ``.npz``: ``camera_matrix`` (``cameraMatrix``,
  ``mtx``), ``distortion_coefficients`` (``dist``), ``image_width``, ``image_height``, and
  ``fisheye_model`` of 1 for a fisheye;
- ROS's ``camera_info``: the same and ``distortion_model``, or ``K``, ``D``, ``width``, ``height``;
- Kalibr's camchain: ``camera_model``, ``intrinsics`` of four numbers, ``distortion_model``,
  ``distortion_coeffs``, ``resolution``;
- ours: ``K``, ``distortion``, ``model`` ("pinhole" or "fisheye"), ``size``, as rig files have them;
- those whose parameters have a name each (`fitter.inputs.named_parameters`).

Calibrations put the centre of the top-left pixel at (0, 0): half a pixel is added to the principal
point of every matrix that has coefficients beside it, however they are called. Ours, ``K`` with
``distortion``, has it at (0.5, 0.5), and so has a matrix without coefficients, which is K as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from fitter.errors import InputError
from fitter.inputs.camera_matrices import check_intrinsics
from fitter.inputs.named_parameters import NAMES, named_camera
from fitter.inputs.numbers import as_numbers, shortened
from fitter.lens import COEFFICIENTS, Lens, LensModel

_MATRIX = ("k", "cameramatrix", "mtx", "intrinsicmatrix", "cammatrix", "intrinsics")
_DISTORTION = (
    "d",
    "distortion",
    "distortioncoefficients",
    "distortioncoeffs",
    "dist",
    "distcoeffs",
)
_WIDTH, _HEIGHT = ("imagewidth", "width"), ("imageheight", "height")
_SIZE = ("size", "imagesize", "resolution")
_MODEL = ("model", "distortionmodel", "lensmodel")
"""What files call these, in small letters and without underscores; the first that is there is
taken."""

MODELS: Mapping[str, LensModel] = {
    "pinhole": "pinhole",
    "plumb_bob": "pinhole",
    "rational_polynomial": "pinhole",
    "thin_prism": "pinhole",
    "radtan": "pinhole",
    "opencv": "pinhole",
    "none": "pinhole",
    "opencv_fisheye": "fisheye",
    "fisheye": "fisheye",
    "equidistant": "fisheye",
}
"""Names that files have for OpenCV's two models."""

_ZEROS_AND_MORE = 1e-12


def is_camera(content: Mapping[str, Any]) -> bool:
    """Whether a mapping says what a camera is, and is none from images' names to their K."""
    names = _plain(content)
    return any(name in names for name in (*_MATRIX, *NAMES, "cameramodel"))


def is_part(name: str) -> bool:
    """Whether K or the coefficients of a lens are called this in a mapping."""
    return any(each in (*_MATRIX, *_DISTORTION) for each in _plain({name: None}))


def several_cameras(content: Mapping[str, Any]) -> list[str]:
    """Names of the cameras of a camchain or of another mapping to cameras; none for others."""
    found = [
        name
        for name, said in content.items()
        if isinstance(said, Mapping)
        and is_camera(said)
        and re.fullmatch(r"cam(era)?_?\d+", str(name))
    ]
    return found if len(found) == len(content) else []


def lens_of(content: Mapping[str, Any], where: str) -> Lens:
    """The camera that a mapping says, checked.

    Args:
        content: see the module's text.
        where: what to name in messages.

    Raises:
        InputError: K is none (``intrinsics.*``), or a part of the lens is missing, unknown or not
            what it should be (``lens.*``).
    """
    content = named_camera(content, where)
    if "cameramodel" in _plain(content) and "intrinsics" in _plain(content):
        return _of_kalibr(content, where)
    matrix = check_intrinsics(_matrix(content, where), where)
    given = _first(content, _DISTORTION)
    coefficients = _coefficients(() if given is None else given, where)
    size = _size(content, where)
    said = _first(content, _MODEL)
    named = said if said is not None else _first(content, ("cameramodel",))
    model = _model(content, named, len(coefficients), where)
    _require_whole(content, size, where)
    if said is not None and size is None and "model" not in content:  # ROS's says both
        raise InputError("lens.no_size", file=where, expected="image_width and image_height")
    if given is not None and not _is_ours(content):
        matrix[:2, 2] += 0.5
    return checked_lens(Lens(matrix, model, coefficients, size), where)


def _is_ours(content: Mapping[str, Any]) -> bool:
    """Whether a lens is written as ours: ``K`` and ``distortion``, and nothing else for them."""
    names = [name for name in _plain(content) if name in (*_MATRIX, *_DISTORTION)]
    return len(names) == 2 and "K" in content and "distortion" in content


def _matrix(content: Mapping[str, Any], where: str) -> Any:
    """K of a camera, not checked: a matrix, or fx, fy, cx and cy."""
    given = _array(_first(content, _MATRIX), where)
    if given is None:
        raise InputError("lens.lacks", file=where, found="camera_matrix, K or intrinsics")
    numbers = as_numbers(given)
    if numbers is None or numbers.shape != (4,):
        return given
    fx, fy, cx, cy = numbers.tolist()
    return [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]


def checked_lens(lens: Lens, where: str) -> Lens:
    """A lens with numbers that OpenCV's model of its name takes.

    Raises:
        InputError: it has another number of coefficients, or skew beside distortion, which OpenCV
            does not model.
    """
    lengths = COEFFICIENTS[lens.model]
    if len(lens.distortion) not in lengths:
        expected = " or ".join(filter(None, [", ".join(map(str, lengths[:-1])), str(lengths[-1])]))
        facts = {"model": lens.model, "expected": expected, "found": len(lens.distortion)}
        raise InputError("lens.coefficients", file=where, **facts)
    if not lens.is_straight and abs(lens.intrinsics[0, 1]) > _ZEROS_AND_MORE:
        raise InputError("lens.skew", file=where, found=lens.intrinsics[0, 1].item())
    return lens


def _of_kalibr(content: Mapping[str, Any], where: str) -> Lens:
    kind = str(content.get("camera_model"))
    if kind != "pinhole":
        raise InputError("lens.model", file=where, expected="pinhole", found=kind)
    numbers = as_numbers(content.get("intrinsics"))
    if numbers is None or numbers.shape != (4,):
        found = shortened(content.get("intrinsics"))
        raise InputError("lens.four_numbers", file=where, found=found)
    fx, fy, cx, cy = numbers.tolist()
    matrix = check_intrinsics([[fx, 0, cx + 0.5], [0, fy, cy + 0.5], [0, 0, 1]], where)
    for name in ("distortion_model", "distortion_coeffs", "resolution"):
        if name not in content:
            raise InputError("lens.lacks", file=where, found=name)
    coefficients = _coefficients(content["distortion_coeffs"], where)
    model = _model(content, content["distortion_model"], len(coefficients), where)
    return checked_lens(Lens(matrix, model, coefficients, _size(content, where)), where)


def _model(content: Mapping[str, Any], said: Any, count: int, where: str) -> LensModel:
    """Which of OpenCV's models coefficients are of."""
    flag = _first(content, ("fisheyemodel", "fisheye"))
    if said is None and flag is not None:
        return "fisheye" if flag in (1, True, "1", "true") else "pinhole"
    if said is None:
        if count == 4 and not _is_ours(content):
            # calibrateCamera gives 5 and more, fisheye.calibrate always 4.
            raise InputError("lens.which_model", file=where, found=count)
        return "pinhole"
    found = MODELS.get(str(said).strip().lower() or "none")
    if found is None:
        raise InputError("lens.model", file=where, expected=_known_models(), found=said)
    return found


def _require_whole(content: Mapping[str, Any], size: tuple[int, int] | None, where: str) -> None:
    """Refuse ROS's K of whole images where those that are taken are binned or parts of them.

    A region of zeros is the whole image (sensor_msgs/CameraInfo), and so is one of its size."""
    for name in ("binning_x", "binning_y"):
        if content.get(name, 0) not in (0, 1):
            raise InputError("lens.binned", file=where, name=name, found=content[name])
    part = content.get("roi")
    if not isinstance(part, Mapping):
        return
    region = [part.get(name, 0) for name in ("x_offset", "y_offset", "width", "height")]
    if any(region) and (size is None or region != [0, 0, *size]):
        found = shortened(dict(part))
        raise InputError("lens.binned", file=where, name="roi", found=found)


def _coefficients(given: Any, where: str) -> np.ndarray:
    """(D,) finite numbers."""
    found = as_numbers(_array(given, where))
    if found is None:
        raise InputError("lens.no_numbers", file=where, found=shortened(given))
    if not np.isfinite(found).all():
        raise InputError("lens.not_finite", file=where)
    return found.ravel()


def _array(given: Any, where: str) -> Any:
    """What ``rows``, ``cols`` and ``data`` say, as nested lists; all else as it is."""
    if not isinstance(given, Mapping):
        return given
    values = given.get("data")
    rows, columns = given.get("rows"), given.get("cols")
    sides = (rows, columns) if isinstance(rows, int) and isinstance(columns, int) else (0, 0)
    if isinstance(values, list) and len(values) == sides[0] * sides[1] > 0:
        return np.array(values, object).reshape(sides).tolist()
    found = f"{len(values)} numbers" if isinstance(values, list) else shortened(values)
    raise InputError("lens.broken_matrix", file=where, rows=rows, columns=columns, found=found)


def _size(content: Mapping[str, Any], where: str) -> tuple[int, int] | None:
    """(width, height), or None where nothing is said of it."""
    given = _first(content, _SIZE)
    if given is None:
        given = [_first(content, _WIDTH), _first(content, _HEIGHT)]
        if given == [None, None]:
            return None
    found = as_numbers(given)
    if found is None or found.size != 2 or not (found > 0).all() or (found % 1).any():
        raise InputError("lens.size", file=where, found=shortened(given))
    width, height = found.ravel().tolist()
    return round(width), round(height)


def _known_models() -> str:
    return ", ".join(name for name in MODELS if name != "none")


def _plain(content: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key).lower().replace("_", ""): value for key, value in content.items()}


def _first(content: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    plain = _plain(content)
    return next((plain[name] for name in names if name in plain), None)
