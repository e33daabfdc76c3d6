"""The open hand: the model that ships with the project, built from CC0 data by `scripts/`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np

from fitter.hand_models.assets import read_safetensors
from fitter.hand_models.model_data import HandModelData

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

KEYPOINTS_FILE = "open_hand_keypoints.json"
"""Written by `scripts/measure_keypoints.py`, which says how."""


def load_open_hand(keypoint_offsets: bool = True) -> HandModelData:
    """The right open hand shipped inside the package.

    Its `sha256` covers both files of the model.

    Args:
        keypoint_offsets: take the keypoints where detectors and people mark them; without it they
            are the joints and fingertip vertices themselves.
    """
    assets = resources.files("fitter.hand_models") / "assets"
    with resources.as_file(assets / "open_hand.safetensors") as path:
        data = read_open_hand(path)
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
        uv=get("uv", np.float64),
        uv_faces=get("uv_faces", np.int64),
        sha256=digest,
    )
