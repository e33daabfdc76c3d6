"""MANO (Romero et al. 2017, "Embodied Hands"): reads the model file that a user has downloaded.

The file is `MANO_RIGHT.pkl` or `MANO_LEFT.pkl` of MANO v1.2, as published, with chumpy's wrappers,
or re-saved with plain arrays. chumpy is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fitter.conventions import FINGERTIP_VERTICES, PARENTS
from fitter.errors import InputError
from fitter.hand_models.array_checks import ArrayChecks
from fitter.hand_models.assets import read_pickle
from fitter.hand_models.model_data import HandModelData
from fitter.records import Side
from fitter.shapes import Pattern

_EXPECTED = "a MANO model (MANO_RIGHT.pkl or MANO_LEFT.pkl)"
_N_VERTICES = 778
_SHAPES: dict[str, Pattern] = {
    "v_template": ("V", 3),
    "f": ("F", 3),
    "shapedirs": ("V", 3, "S"),
    "posedirs": ("V", 3, 135),
    "weights": ("V", 16),
    "J_regressor": (16, "V"),
    "kintree_table": (2, 16),
    "hands_mean": (45,),
    "hands_components": (45, 45),
}
_INTEGERS = ("f", "kintree_table")


@dataclass(frozen=True)
class ManoOptions:
    """How to read a MANO file.

    Attributes:
        side: which hand the file holds; None: as its name says ("left" or "right" in any case)
            and its content shows (see `side_of`). A file whose name and content say different
            sides is refused; where one of them says nothing, the other tells.
        fingertips: a name of `fitter.conventions.FINGERTIP_VERTICES`; or five vertices, thumb to
            little, for another mesh stored in MANO's layout, which then may have any size.
        fix_left_shapedirs: undo the known fault of the published left hand, whose shape
            displacements carry the right hand's sign along x. Data sets annotated before the fault
            was known, such as DexYCB, need False. No effect on a right hand.
    """

    side: Side | None = None
    fingertips: str | tuple[int, ...] = "smplx"
    fix_left_shapedirs: bool = True


def load_mano(path: Path, options: ManoOptions = ManoOptions()) -> HandModelData:
    """Read a MANO model.

    Raises:
        InputError: the file is missing, not a pickle, unsafe, incomplete, or holds arrays that are
            not a MANO model; its side is unknown or its name says another than its content; or
            the fingertips' name is unknown.
    """
    content, digest = read_pickle(path, _EXPECTED)
    arrays = _checked(path, content, any_size=not isinstance(options.fingertips, str))
    shapedirs = arrays["shapedirs"]
    side = options.side or _side(path, arrays)
    if side == "left" and options.fix_left_shapedirs:
        shapedirs = shapedirs * np.array([-1.0, 1.0, 1.0])[:, None]
    return HandModelData(
        name="mano",
        side=side,
        v_template=arrays["v_template"],
        faces=arrays["f"].astype(np.int64),
        shapedirs=shapedirs,
        posedirs=arrays["posedirs"],
        skin_weights=arrays["weights"],
        joint_regressor=arrays["J_regressor"],
        tip_vertices=_fingertips(path, options, len(arrays["v_template"])),
        hands_mean=arrays["hands_mean"],
        hands_components=arrays["hands_components"],
        layout=None,
        sha256=digest,
    )


def _side(path: Path, arrays: Mapping[str, np.ndarray]) -> Side:
    """Which hand a file holds, by its name and by its content.

    Raises:
        InputError: neither shows it, or each says another.
    """
    named, shown = _side_of_name(path), side_of(arrays)
    if named is not None and shown is not None and named != shown:
        raise InputError("model.side_contradiction", file=path, named=named, shown=shown)
    side = named or shown
    if side is None:
        raise InputError("model.side_unknown", file=path)
    return side


def side_of(arrays: Mapping[str, np.ndarray]) -> Side | None:
    """Tell a left from a right hand by its mean pose.

    Fingers only bend toward the palm, so the mean pose tells on which side of the knuckles the palm
    is. Seen with the palm in front and the fingers up, a right hand's index finger is to
    the right of its little finger.

    Args:
        arrays: a MANO file's v_template, J_regressor and hands_mean.

    Returns:
        The side, or None where the mean pose does not bend the fingers.
    """
    joints = arrays["J_regressor"] @ arrays["v_template"]
    return side_of_bends(joints, arrays["hands_mean"].reshape(15, 3))


def side_of_bends(joints: np.ndarray, bends: np.ndarray) -> Side | None:
    """Tell a left from a right hand by the way its fingers bend.

    Args:
        joints: (16, 3) of the rest pose, MANO's order.
        bends: (15, 3) axis-angle of the mean pose, MANO's order.

    Returns:
        The side, or None where the pose does not bend the fingers.
    """
    index, middle, little = joints[1], joints[4], joints[7]
    forward, across = middle - joints[0], index - little
    # Turning about w moves what points forward along w x forward; the fingers without the thumb.
    palmward = np.cross(bends[:12].sum(axis=0), forward)
    handedness = float(np.linalg.det(np.stack([across, forward, palmward])))
    scale = np.linalg.norm(across) * np.linalg.norm(forward) ** 2
    if abs(handedness) <= 1e-3 * scale:
        return None
    return "right" if handedness > 0 else "left"


def _side_of_name(path: Path) -> Side | None:
    stem = path.stem.lower()
    sides: list[Side] = [side for side in ("left", "right") if side in stem]
    return sides[0] if len(sides) == 1 else None


def _fingertips(path: Path, options: ManoOptions, n_vertices: int) -> tuple[int, ...]:
    if not isinstance(options.fingertips, str):
        tips = tuple(options.fingertips)
        if len(tips) != 5 or not all(0 <= tip < n_vertices for tip in tips):
            raise InputError("model.tip_vertices", file=path, vertices=n_vertices, found=tips)
        return tips
    if options.fingertips not in FINGERTIP_VERTICES:
        raise InputError(
            "model.tip_convention",
            file=path,
            conventions=", ".join(FINGERTIP_VERTICES),
            found=options.fingertips,
        )
    return FINGERTIP_VERTICES[options.fingertips]


def _checked(path: Path, content: Mapping[str, Any], any_size: bool) -> dict[str, np.ndarray]:
    """The arrays of a MANO file: present, finite, consistent; floating-point ones as float64."""
    checks = ArrayChecks(path, _EXPECTED, {} if any_size else {"V": _N_VERTICES})
    checks.keys(content, _SHAPES)
    arrays = {}
    for key, pattern in _SHAPES.items():
        if key in _INTEGERS:
            arrays[key] = checks.array(key, content[key], pattern, "integers")
        else:
            arrays[key] = checks.array(key, content[key], pattern).astype(np.float64)
    _check_indices(path, arrays)
    return arrays


def _check_indices(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Faces must index vertices, and the skeleton must be MANO's."""
    n_vertices = len(arrays["v_template"])
    faces = arrays["f"]
    if faces.size == 0 or faces.min() < 0 or faces.max() >= n_vertices:
        raise InputError("model.face_indices", file=path, vertices=n_vertices)
    # The root's parent is stored as a huge unsigned number, which stands for -1.
    parents = (-1, *(int(parent) for parent in arrays["kintree_table"][0, 1:]))
    if parents != PARENTS:
        raise InputError("model.skeleton", file=path, expected=PARENTS, found=parents)
