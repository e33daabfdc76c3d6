"""NIMBLE's files (Li et al. 2022, "NIMBLE: A Non-rigid Hand Model with Bones and Muscles").

A folder holds what its users download: NIMBLE_DICT_9137.pkl (vertices and all that moves them),
NIMBLE_MANO_VREG.pkl (where MANO's vertices lie on the skin), NIMBLE_TEX_FUV.pkl (texture
coordinates) and NIMBLE_TEX_DICT.pkl (textures, see `nimble.textures`). The published sizes are
3,345 vertices of bones, 5,635 of muscles and 5,990 of skin, in this order; any that fit together
are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from fitter.conventions import NIMBLE_FILES
from fitter.errors import InputError
from fitter.hand_models.array_checks import ArrayChecks
from fitter.hand_models.assets import read_pickle
from fitter.hand_models.nimble.face_uv import read_face_uv
from fitter.hand_models.nimble.keypoint_order import canonical_regressor
from fitter.hand_models.nimble.smoothing import smoothing_weights
from fitter.hand_models.skeleton import NIMBLE_SKELETON
from fitter.shapes import Pattern

DICT_FILE, VREG_FILE, FUV_FILE, TEXTURE_FILE = NIMBLE_FILES
SHAPE_COMPONENTS, POSE_COMPONENTS, TEXTURE_COMPONENTS = 20, 30, 10
"""That are used, of those in the files: as many as NIMBLE's paper and its public layer use."""

_JOINTS, _ANGLES = NIMBLE_SKELETON.count, 3 * NIMBLE_SKELETON.rotations
_EXPECTED = f"NIMBLE's geometry ({DICT_FILE})"
_SHAPES: dict[str, Pattern] = {
    "vert": ("V", 3),
    "all_sw": ("V", _JOINTS),
    "all_pbs": ("V", 3, 3 * _ANGLES),
    "jreg_bone": (_JOINTS, "bones"),
    "jreg_mano": (21, "skin"),
    "shape_basis": ("shapes", "3 V"),
    "shape_pm_std": ("shapes",),
    "shape_pm_mean": ("shapes",),
    "pose_basis": ("poses", _ANGLES),
    "pose_mean": (_ANGLES,),
    "pose_pm_std": ("poses",),
    "pose_pm_mean": ("poses",),
    "skin_v_gd": ("skin", "skin"),
}
_FACES = {"bone_f": "bones", "muscle_f": "muscles", "skin_f": "skin"}
_COUNTS = ("bone_v_sep", "skin_v_sep")
_SHARES = ("all_sw", "jreg_bone", "jreg_mano")
"""Arrays whose rows sum to 1, or what they make would not move with the hand."""
_SHARE_ROUNDING = 1e-3
"""By how much such a sum may be off, and a weight be below 0."""
_MASK = "skin_v_surface_mask"
_TIPS = 5
_LENGTH = (0.1, 0.35)
"""Metres, least and largest, along the longest side of a hand's box."""


@dataclass(frozen=True)
class NimbleGeometry:
    """NIMBLE's arrays: B vertices of bones, M of muscles, N of skin, V = B + M + N in this order.

    Floating-point arrays are float64, lengths metres, whatever the file's unit. S shape and P pose
    components of unit variance. The frame is the file's.

    Attributes:
        vertices: (V, 3) of the rest pose with mean shape.
        shapedirs: (V, 3, S) displacement for each unit of a shape coefficient.
        posedirs: (V, 3, 171) displacement for each unit of an element of R_k - I, row-major,
            k in the order of `NIMBLE_SKELETON.rotating`.
        skin_weights: (V, 25) weight of each joint on each vertex.
        bone_regressor: (25, B) rest joints as combinations of the shaped bones' vertices.
        keypoint_regressor: (21, N) canonical keypoints as combinations of the skin's vertices.
        hands_mean: (57,) mean pose, axis-angle, relative to the rest pose.
        hands_components: (P, 57) pose space, a row for each unit of a coefficient.
        bone_faces, muscle_faces, skin_faces: (F, 3) int64, vertices counted within the part,
            counter-clockwise seen from outside.
        surface: (N,) bool, the vertices of the skin that are seen from outside.
        smoothing: (N, N), see `smoothing_weights`.
        mano_map: (778, N) MANO's vertices as combinations of the skin's.
        uv: (T, 2) texture coordinates; uv_faces: (F, 3) rows of them for `skin_faces`.
        sha256: of the files that these were read from.
    """

    vertices: np.ndarray
    shapedirs: np.ndarray
    posedirs: np.ndarray
    skin_weights: np.ndarray
    bone_regressor: np.ndarray
    keypoint_regressor: np.ndarray
    hands_mean: np.ndarray
    hands_components: np.ndarray
    bone_faces: np.ndarray
    muscle_faces: np.ndarray
    skin_faces: np.ndarray
    surface: np.ndarray
    smoothing: scipy.sparse.csr_matrix
    mano_map: scipy.sparse.csr_matrix
    uv: np.ndarray
    uv_faces: np.ndarray
    sha256: str

    @property
    def bones(self) -> slice:
        """Rows of the bones' vertices."""
        return slice(0, self.bone_regressor.shape[1])

    @property
    def muscles(self) -> slice:
        """Rows of the muscles' vertices."""
        return slice(self.bones.stop, len(self.vertices) - len(self.surface))

    @property
    def skin(self) -> slice:
        """Rows of the skin's vertices."""
        return slice(self.muscles.stop, len(self.vertices))

    @cached_property
    def rest_joints(self) -> tuple[np.ndarray, np.ndarray]:
        """(25, 3) metres of the mean shape, and (25, 3, S) their displacement by it."""
        joints = self.bone_regressor @ self.vertices[self.bones]
        return joints, np.einsum("jv,vcs->jcs", self.bone_regressor, self.shapedirs[self.bones])


def read_nimble(folder: Path) -> NimbleGeometry:
    """Read NIMBLE's geometry from its folder. The textures are read by `read_textures`.

    Raises:
        InputError: a file is missing, unsafe or cut off; an array is missing, of another shape, or
            not finite; indices, units, weights or the order of keypoints make no sense.
    """
    path = folder / DICT_FILE
    content, digest = read_pickle(path, _EXPECTED)
    checks = ArrayChecks(path, _EXPECTED, squeeze=True)
    checks.keys(content, [*_COUNTS, *_SHAPES, *_FACES, _MASK])
    arrays = _arrays(checks, content)
    scale = _metres(checks, arrays["vert"][_first_of_skin(checks) :])
    faces = {key: _faces(checks, content[key], key) for key in _FACES}
    uv, uv_faces, uv_digest = read_face_uv(folder / FUV_FILE, faces["skin_f"], checks.sizes["skin"])
    mano_map, mano_digest = read_mano_map(folder / VREG_FILE, faces["skin_f"], checks.sizes["skin"])
    vertices, shapedirs = _shape_space(arrays, checks.sizes["V"], scale)
    first = {"bone_f": 0, "muscle_f": checks.sizes["bones"], "skin_f": _first_of_skin(checks)}
    inward = {key: _winds_inward(vertices[first[key] :], faces[key]) for key in _FACES}
    outward = {key: _turned(f, inward[key]) for key, f in faces.items()}
    regressor = _keypoints(checks, arrays, vertices)
    components = arrays["pose_basis"][:POSE_COMPONENTS]
    means, stds = arrays["pose_pm_mean"][:POSE_COMPONENTS], arrays["pose_pm_std"][:POSE_COMPONENTS]
    return NimbleGeometry(
        vertices=vertices,
        shapedirs=shapedirs,
        posedirs=arrays["all_pbs"] * scale,
        skin_weights=arrays["all_sw"],
        bone_regressor=arrays["jreg_bone"],
        keypoint_regressor=regressor,
        hands_mean=arrays["pose_mean"] + means @ components,
        hands_components=components * stds[:, None],
        bone_faces=outward["bone_f"],
        muscle_faces=outward["muscle_f"],
        skin_faces=outward["skin_f"],
        surface=_surface(checks, content[_MASK]),
        smoothing=smoothing_weights(arrays["skin_v_gd"], millimetres=scale < 1),
        mano_map=mano_map,
        uv=uv,
        uv_faces=_turned(uv_faces, inward["skin_f"]),
        sha256=hashlib.sha256((digest + uv_digest + mano_digest).encode()).hexdigest(),
    )


def read_mano_map(
    path: Path, skin_faces: np.ndarray, vertices: int
) -> tuple[scipy.sparse.csr_matrix, str]:
    """Where MANO's vertices lie on NIMBLE's skin.

    The file says so R times over (20), in faces and barycentric coordinates; the mean of these is
    one linear map.

    Args:
        path: NIMBLE_MANO_VREG.pkl.
        skin_faces: (F, 3) as in the file of the geometry, whatever their winding.
        vertices: N, of the skin.

    Returns:
        (M, N) float64, M of MANO's vertices (778), and the file's SHA-256.

    Raises:
        InputError: the file is missing, unsafe or cut off, or its arrays do not fit.
    """
    expected = f"NIMBLE's map to MANO's vertices ({VREG_FILE})"
    content, digest = read_pickle(path, expected)
    checks = ArrayChecks(path, expected)
    keys = ("lmk_faces_idx", "lmk_bary_coords")
    checks.keys(content, keys)
    # Lists of equal arrays are told from arrays nowhere in public code.
    index, bary = (
        np.stack(value) if isinstance(value, list) and value and _equal_arrays(value) else value
        for value in (content[key] for key in keys)
    )
    index = checks.array(keys[0], index, ("R", "M"), "integers").astype(np.int64)
    bary = checks.array(keys[1], bary, ("R", "M", 3)).astype(np.float64)
    _check_indices(checks, keys[0], index, len(skin_faces))
    bary = _shares(checks, keys[1], bary)
    repeats, count = index.shape
    rows = np.broadcast_to(np.arange(count)[:, None], bary.shape)
    entries = (bary.ravel() / repeats, (rows.ravel(), skin_faces[index].ravel()))
    return scipy.sparse.coo_matrix(entries, shape=(count, vertices)).tocsr(), digest


def _equal_arrays(values: list[Any]) -> bool:
    return all(isinstance(v, np.ndarray) and v.shape == values[0].shape for v in values)


def _as_numbers(value: Any) -> Any:
    """A mask as numbers; anything else as it is."""
    is_mask = isinstance(value, np.ndarray) and value.dtype.kind == "b"
    return value.astype(np.uint8) if is_mask else value


def _arrays(checks: ArrayChecks, content: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Parts and arrays, checked; float64, but for the large table of distances."""
    vert = checks.array("vert", content["vert"], _SHAPES["vert"])
    bone, skin = (_count(checks, key, content[key]) for key in _COUNTS)
    if not 0 < bone < skin < len(vert):
        raise InputError("nimble.parts", file=checks.file, vertices=len(vert), bone=bone, skin=skin)
    checks.sizes.update(
        {"bones": bone, "muscles": skin - bone, "skin": len(vert) - skin, "3 V": 3 * len(vert)}
    )
    arrays = {key: checks.array(key, content[key], pattern) for key, pattern in _SHAPES.items()}
    for key in ("shape_pm_std", "pose_pm_std"):
        check_deviations(checks.file, key, arrays[key])
    exact = {k: array.astype(np.float64) for k, array in arrays.items() if k != "skin_v_gd"}
    for key in _SHARES:
        exact[key] = _shares(checks, key, exact[key])
    least = float(exact["all_sw"].min())
    if least < -_SHARE_ROUNDING:
        raise InputError("nimble.negative", file=checks.file, array="all_sw", found=least)
    return exact | {"skin_v_gd": arrays["skin_v_gd"]}


def check_deviations(file: Path, array: str, deviations: np.ndarray) -> None:
    """Check that there are standard deviations, and all of them above 0.

    Raises:
        InputError: they are not.
    """
    if not deviations.size:
        raise InputError("nimble.empty", file=file, array=array)
    if deviations.min() <= 0:
        found = float(deviations.min())
        raise InputError("nimble.deviation", file=file, array=array, found=found)


def _shares(checks: ArrayChecks, key: str, rows: np.ndarray) -> np.ndarray:
    """Rows (..., N) of which each sums to 1 but for rounding, made to do so exactly."""
    if not rows.size:
        raise InputError("nimble.empty", file=checks.file, array=key)
    sums = rows.sum(axis=-1, keepdims=True)
    worst = float(sums.flat[np.abs(sums - 1).argmax()])
    if abs(worst - 1) > _SHARE_ROUNDING:
        raise InputError("nimble.shares", file=checks.file, array=key, found=worst)
    return rows / sums


def _surface(checks: ArrayChecks, value: Any) -> np.ndarray:
    """(N,) bool of the mask; among its vertices are the five fingertips."""
    surface = checks.array(_MASK, _as_numbers(value), ("skin",)) > 0.5
    if surface.sum() < _TIPS:
        found = int(surface.sum())
        raise InputError("nimble.surface", file=checks.file, array=_MASK, least=_TIPS, found=found)
    return surface


def _count(checks: ArrayChecks, key: str, value: Any) -> int:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(
            "model.array_type",
            file=checks.file,
            numbers="one integer",
            array=key,
            found=type(value).__name__,
        )
    return value


def _first_of_skin(checks: ArrayChecks) -> int:
    return checks.sizes["bones"] + checks.sizes["muscles"]


def _metres(checks: ArrayChecks, skin: np.ndarray) -> float:
    """What one unit of the file is in metres, by the size of its hand."""
    extent = float(np.ptp(skin, axis=0).max())
    for scale in (1.0, 1e-3):
        if _LENGTH[0] <= extent * scale <= _LENGTH[1]:
            return scale
    raise InputError("nimble.units", file=checks.file, expected=checks.expected, extent=extent)


def _faces(checks: ArrayChecks, value: Any, key: str) -> np.ndarray:
    """(F, 3) int64 vertices of a part; public code keeps them as floating-point numbers too."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        # What is not finite equals its rounded self, and is no integer.
        whole = np.isfinite(value).all() and (value == value.round()).all()
        value = value.astype(np.int64) if whole else value
    faces = checks.array(key, value, (f"faces of {key}", 3), "integers").astype(np.int64)
    _check_indices(checks, key, faces, checks.sizes[_FACES[key]])
    return faces


def _check_indices(checks: ArrayChecks, key: str, indices: np.ndarray, count: int) -> None:
    if indices.size == 0 or indices.min() < 0 or indices.max() >= count:
        found = (
            "none"
            if not indices.size
            else int(indices.min() if indices.min() < 0 else indices.max())
        )
        raise InputError("nimble.indices", file=checks.file, array=key, count=count, found=found)


def _winds_inward(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) bool: the faces of connected pieces that enclose a negative volume."""
    start, end = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
    graph = scipy.sparse.coo_array((np.ones(len(start)), (start, end)), (len(vertices),) * 2)
    piece = connected_components(graph, directed=False)[1][faces[:, 0]]
    return np.bincount(piece, _volumes(vertices, faces))[piece] < 0


def _volumes(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) six times the signed volumes of the tetrahedra of faces and the vertices' mean, which
    sum to that of a closed mesh."""
    a, b, c = (vertices[faces[:, corner]] - vertices.mean(axis=0) for corner in range(3))
    return np.einsum("fc,fc->f", a, np.cross(b, c))


def _turned(faces: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Faces (F, 3), the `chosen` (F,) ones wound the other way round."""
    return np.where(chosen[:, None], faces[:, ::-1], faces)


def _shape_space(
    arrays: Mapping[str, np.ndarray], count: int, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) vertices of the mean shape and (V, 3, S) displacements of unit variance, metres.

    The file's coefficients have a mean and a deviation: real = x * std + mean.
    """
    basis = arrays["shape_basis"][:SHAPE_COMPONENTS] * scale
    mean = arrays["shape_pm_mean"][:SHAPE_COMPONENTS] @ basis
    vertices = arrays["vert"] * scale + mean.reshape(count, 3)
    unit = basis * arrays["shape_pm_std"][:SHAPE_COMPONENTS, None]
    return vertices, np.ascontiguousarray(unit.reshape(-1, count, 3).transpose(1, 2, 0))


def _keypoints(
    checks: ArrayChecks, arrays: Mapping[str, np.ndarray], vertices: np.ndarray
) -> np.ndarray:
    """(21, N) regressor in canonical order."""
    skin = vertices[_first_of_skin(checks) :]
    joints = arrays["jreg_bone"] @ vertices[: checks.sizes["bones"]]
    return canonical_regressor(checks.file, arrays["jreg_mano"], skin, joints)
