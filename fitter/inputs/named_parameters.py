"""Cameras whose parameters have a name each, said as `fitter.inputs.lens_files` reads cameras.

- NeRF's ``transforms.json`` (instant-ngp, nerfstudio): ``fl_x``, ``fl_y``, ``cx``, ``cy``, ``w``,
  ``h``, ``k1`` ..., ``p1``, ``p2``, and ``camera_model`` or ``is_fisheye``. The centre of the
  top-left pixel is (0.5, 0.5), as COLMAP has it, whose cameras these are;
- camodocal's and VINS's files: ``model_type`` of KANNALA_BRANDT or PINHOLE, and
  ``projection_parameters``. The centre of the top-left pixel is (0, 0), as OpenCV has it;
- ``fx``, ``fy``, ``cx``, ``cy``: K.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fitter.errors import InputError

NAMES = ("fx", "flx", "cameraanglex", "projectionparameters")
"""Any of these makes a mapping a camera, in small letters and without underscores."""

_NERF_MODELS = {
    "SIMPLE_PINHOLE": "pinhole",
    "PINHOLE": "pinhole",
    "PERSPECTIVE": "pinhole",
    "SIMPLE_RADIAL": "pinhole",
    "RADIAL": "pinhole",
    "OPENCV": "pinhole",
    "OPENCV_FISHEYE": "fisheye",
}
_NERF_COEFFICIENTS = {
    "pinhole": ("k1", "k2", "p1", "p2", "k3"),
    "fisheye": ("k1", "k2", "k3", "k4"),
}
_ALL_COEFFICIENTS = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")

_KANNALA = (("mu", "mv", "u0", "v0"), ("k2", "k3", "k4", "k5"))
"""Kannala and Brandt's parameters (PAMI 2006, equation 6 with k1 of 1): K's, and the four that
OpenCV's fisheye calls k1 to k4."""

_PINHOLE = (("fx", "fy", "cx", "cy"), ("k1", "k2", "p1", "p2"))


def named_camera(content: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """A camera with K, distortion, model and size as one value each.

    Args:
        content: a camera whose parameters have a name each; any other is returned as it is.
        where: what to name in messages.

    Raises:
        InputError: a parameter is missing (``lens.lacks``), the model is not known
            (``lens.model``), or parameters are there that it has not.
    """
    plain = {str(name).lower().replace("_", ""): value for name, value in content.items()}
    if "flx" in plain or "cameraanglex" in plain:
        return _of_nerf(content, where)
    if "projectionparameters" in plain:
        return _of_camodocal(content, where)
    if "fx" not in plain:
        return content
    apart = [name for name in _ALL_COEFFICIENTS if name in plain]
    if apart:  # whose order, model and pixels these are of is not said
        raise InputError("lens.apart", file=where, found=", ".join(apart))
    rest = {name: value for name, value in content.items() if str(name).lower() not in _PINHOLE[0]}
    return {"camera_matrix": _matrix(plain, _PINHOLE[0], where), **rest}


def _of_nerf(content: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    frames = content.get("frames")
    own = [frame for frame in frames if _has_own(frame)] if isinstance(frames, list) else []
    if own:
        raise InputError("lens.several", file=where, found=f"one of each of {len(own)} frames")
    matrix = _matrix(content, ("fl_x", "fl_y", "cx", "cy"), where)
    said = content.get("camera_model")
    if said is None:
        said = "OPENCV_FISHEYE" if content.get("is_fisheye") is True else "OPENCV"
    model = _NERF_MODELS.get(str(said).upper())
    if model is None:
        raise InputError("lens.model", file=where, expected=", ".join(_NERF_MODELS), found=said)
    if content.get("is_fisheye", model == "fisheye") != (model == "fisheye"):
        found = f"{said} with is_fisheye {content['is_fisheye']}"
        raise InputError("lens.model", file=where, expected=", ".join(_NERF_MODELS), found=found)
    names = _NERF_COEFFICIENTS[model]
    other = [name for name in _ALL_COEFFICIENTS if name not in names and content.get(name)]
    if other:
        facts = {"model": model, "expected": ", ".join(names), "found": ", ".join(other)}
        raise InputError("lens.other_coefficients", file=where, **facts)
    coefficients = [content.get(name, 0.0) for name in names]
    size = {} if "w" not in content else {"size": [content["w"], content.get("h")]}
    return {"K": matrix, "distortion": coefficients, "model": model, **size}


def _has_own(frame: object) -> bool:
    return isinstance(frame, Mapping) and any(name in frame for name in ("fl_x", "camera_angle_x"))


def _of_camodocal(content: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    if "model_type" not in content:
        raise InputError("lens.lacks", file=where, found="model_type")
    projection = _parameters(content, "projection_parameters", where)
    if content["model_type"] == "KANNALA_BRANDT":
        model, (names, terms), distortion = "fisheye", _KANNALA, projection
    elif content["model_type"] == "PINHOLE":
        model, (names, terms) = "pinhole", _PINHOLE
        distortion = _parameters(content, "distortion_parameters", where)
    else:
        facts = {"expected": "KANNALA_BRANDT, PINHOLE", "found": content["model_type"]}
        raise InputError("lens.model", file=where, **facts)
    return {
        "camera_matrix": _matrix(projection, names, where),
        "distortion_coefficients": [_parameter(distortion, name, where) for name in terms],
        "distortion_model": model,
        **{name: content[name] for name in ("image_width", "image_height") if name in content},
    }


def _parameters(content: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    found = content.get(name)
    if not isinstance(found, Mapping):
        raise InputError("lens.lacks", file=where, found=name)
    return found


def _matrix(content: Mapping[str, Any], names: Sequence[str], where: str) -> list[list[Any]]:
    """K of the parameters fx, fy, cx and cy of these names."""
    fx, fy, cx, cy = (_parameter(content, name, where) for name in names)
    return [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]


def _parameter(content: Mapping[str, Any], name: str, where: str) -> Any:
    if content.get(name) is None:
        raise InputError("lens.lacks", file=where, found=name)
    return content[name]
