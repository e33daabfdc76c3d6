"""NIMBLE's skin as a hand model to fit, with its keypoints in one of two definitions."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from fitter.conventions import JOINT_NAMES, MODEL_TO_KEYPOINTS
from fitter.errors import InputError
from fitter.hand_models.mano import ManoOptions, load_mano, side_of_bends
from fitter.hand_models.model_data import HandModelData, RestJoints
from fitter.hand_models.nimble.files import TEXTURE_FILE, NimbleGeometry, read_nimble
from fitter.hand_models.skeleton import NIMBLE_SKELETON
from fitter.hand_models.uv_layout import UvAtlas
from fitter.records import Side

_MANO_JOINTS = [NIMBLE_SKELETON.names.index(name) for name in JOINT_NAMES]
_MANO_ROWS = [NIMBLE_SKELETON.pose_names.index(name) for name in JOINT_NAMES[1:]]
_TIPS = range(4, 21, 4)
"""The five fingertips among the canonical keypoints."""


def load_nimble(
    folder: Path, mano: Path | None = None, options: ManoOptions | None = None
) -> HandModelData:
    """Read the skin of a NIMBLE model from its folder.

    Args:
        folder: with NIMBLE's files, see `nimble.files`.
        mano: the file of a MANO model, for keypoints by MANO's own regressor and fingertip vertices
            on the skin in MANO's vertices (Zhao, section 3.2); None: by NIMBLE's `jreg_mano`.
        options: how to read `mano`; None: `ManoOptions()`.

    Raises:
        InputError: a file is missing, unsafe, cut off or inconsistent, or the MANO model is of
            another side or of another number of vertices.
    """
    geometry = read_nimble(folder)
    data = replace(skin_data(geometry), appearance_file=folder / TEXTURE_FILE)
    if mano is None:
        return data
    mano_data = load_mano(mano, options or ManoOptions())
    regressor = mano_keypoint_regressor(geometry, mano_data, mano)
    if mano_data.side != data.side:
        raise InputError("nimble.mano_side", file=mano, expected=data.side, found=mano_data.side)
    return with_keypoints(data, regressor, mano_data.sha256)


def skin_data(geometry: NimbleGeometry) -> HandModelData:
    """NIMBLE's skin, keypoints by its own regressor. Its joints lie in its bones."""
    skin = geometry.skin
    joints, shapedirs = geometry.rest_joints
    regressor = geometry.keypoint_regressor
    return HandModelData(
        name="nimble",
        side=_side(geometry),
        v_template=geometry.vertices[skin],
        faces=geometry.skin_faces,
        shapedirs=geometry.shapedirs[skin],
        posedirs=geometry.posedirs[skin],
        skin_weights=geometry.skin_weights[skin],
        joint_regressor=None,
        tip_vertices=_tips(geometry, regressor),
        hands_mean=geometry.hands_mean,
        hands_components=geometry.hands_components,
        layout=UvAtlas(geometry.uv, geometry.uv_faces),
        sha256=geometry.sha256,
        skeleton=NIMBLE_SKELETON,
        keypoint_regressor=regressor,
        given_joints=RestJoints(joints, shapedirs),
    )


def mano_keypoint_regressor(
    geometry: NimbleGeometry, mano: HandModelData, file: Path
) -> np.ndarray:
    """(21, N) canonical keypoints on NIMBLE's skin by MANO's regressor and fingertip vertices.

    The skin's vertices are mapped to MANO's, from which 16 joints are regressed and five vertices
    taken for the tips (Zhao, section 3.2). All of it is linear, so it is one matrix.

    Raises:
        InputError: the model has not as many vertices as NIMBLE's map.
    """
    to_mano = geometry.mano_map
    if len(mano.v_template) != to_mano.shape[0]:
        raise InputError(
            "nimble.mano_vertices",
            file=file,
            expected=to_mano.shape[0],
            found=len(mano.v_template),
        )
    assert mano.joint_regressor is not None
    joints = (to_mano.T @ mano.joint_regressor.T).T
    tips = to_mano[list(mano.tip_vertices)].toarray()
    regressor = np.concatenate([joints, tips])[list(MODEL_TO_KEYPOINTS)]
    return regressor / regressor.sum(axis=1, keepdims=True)


def with_keypoints(data: HandModelData, regressor: np.ndarray, sha256: str) -> HandModelData:
    """The same model with another (21, V) regressor of keypoints, from a file of this digest."""
    digest = hashlib.sha256((data.sha256 + sha256).encode()).hexdigest()
    return replace(data, keypoint_regressor=regressor, sha256=digest)


def _tips(geometry: NimbleGeometry, regressor: np.ndarray) -> tuple[int, ...]:
    """The vertices of the surface nearest to the fingertips, thumb to little."""
    skin = geometry.vertices[geometry.skin]
    outside = np.flatnonzero(geometry.surface)
    tips = (regressor @ skin)[list(_TIPS)]
    distances = np.linalg.norm(skin[outside][None] - tips[:, None], axis=-1)
    return tuple(int(vertex) for vertex in outside[distances.argmin(axis=1)])


def _side(geometry: NimbleGeometry) -> Side:
    """As the mean pose bends the fingers; the published hand, where it does not, is a right one."""
    joints, _ = geometry.rest_joints
    bends = geometry.hands_mean.reshape(-1, 3)[_MANO_ROWS]
    return side_of_bends(joints[_MANO_JOINTS], bends) or "right"
