"""The open hand: the model that ships with the project, built from CC0 data by `scripts/`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np

from fitter.hand_models.assets import read_safetensors
from fitter.hand_models.model_data import HandModelData
from fitter.hand_models.uv_layout import UvAtlas

_EXPECTED = "the open hand model (.safetensors)"
_ARRAYS = (
    "v_template",
    "faces",
    "shapedirs",
    "skin_weights",
    "joint_regressor",
    "tip_vertices",
    "hands_mean",
    "hands_components",
    "uv",
    "uv_faces",
)

_CHILD_ARRAYS = ("shapedirs", "mean", "covariance", "share")

KEYPOINTS_FILE = "open_hand_keypoints.json"
"""Written by `scripts/measure_keypoints.py`, which says how."""


@dataclass(frozen=True)
class ChildShapes:
    """How the open hand's shape goes on from adults to children.

    Attributes:
        shapedirs: (V, 3, C) float64, components that follow those of adults. They are 0 for an
            adult, and of unit variance about 0 among adults and `share` children.
        mean: (S + C,) coefficients of the mean child.
        covariance: (S + C, S + C) of children's coefficients.
        share: of people that are children, an assumption.
        sha256: hexadecimal digest of the file.
    """

    shapedirs: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    share: float
    sha256: str

    @property
    def count(self) -> int:
        """C."""
        return self.shapedirs.shape[2]


def load_child_shapes() -> ChildShapes:
    """The components for children shipped inside the package."""
    assets = resources.files("fitter.hand_models") / "assets"
    with resources.as_file(assets / "open_hand_children.safetensors") as path:
        arrays, digest = read_safetensors(
            path, "the open hand's components for children (.safetensors)", _CHILD_ARRAYS
        )
    exact = {name: array.astype(np.float64) for name, array in arrays.items()}
    return ChildShapes(
        exact["shapedirs"], exact["mean"], exact["covariance"], exact["share"].item(), digest
    )


def load_open_hand(keypoint_offsets: bool = True, children: bool = False) -> HandModelData:
    """The right open hand shipped inside the package.

    Its `sha256` covers all files of the model that are used.

    Args:
        keypoint_offsets: take the keypoints where detectors and people mark them; without it they
            are the joints and fingertip vertices themselves.
        children: with the shape components of `load_child_shapes` after those of adults. The model
            without them is the same with these coefficients at 0.
    """
    assets = resources.files("fitter.hand_models") / "assets"
    with resources.as_file(assets / "open_hand.safetensors") as path:
        data = read_open_hand(path)
    if children:
        further = load_child_shapes()
        data = replace(
            data,
            shapedirs=np.concatenate([data.shapedirs, further.shapedirs], 2),
            sha256=hashlib.sha256((data.sha256 + further.sha256).encode()).hexdigest(),
        )
    if not keypoint_offsets:
        return data
    content = (assets / KEYPOINTS_FILE).read_bytes()
    return replace(
        data,
        keypoint_offsets=np.array(json.loads(content)["offsets"], np.float64),
        sha256=hashlib.sha256(data.sha256.encode() + content).hexdigest(),
    )


def read_open_hand(path: Path) -> HandModelData:
    """Read a right open hand from a file in the shipped one's layout.

    Raises:
        InputError: the file is missing, is no safetensors file, or lacks an array.
    """
    arrays, digest = read_safetensors(path, _EXPECTED, _ARRAYS)

    def get(key: str, dtype: type) -> np.ndarray:
        return arrays[key].astype(dtype)

    return HandModelData(
        name="open_hand",
        side="right",
        v_template=get("v_template", np.float64),
        faces=get("faces", np.int64),
        shapedirs=get("shapedirs", np.float64),
        posedirs=None,
        skin_weights=get("skin_weights", np.float64),
        joint_regressor=get("joint_regressor", np.float64),
        tip_vertices=tuple(get("tip_vertices", np.int64).tolist()),
        hands_mean=get("hands_mean", np.float64),
        hands_components=get("hands_components", np.float64),
        layout=UvAtlas(get("uv", np.float64), get("uv_faces", np.int64)),
        sha256=digest,
    )
