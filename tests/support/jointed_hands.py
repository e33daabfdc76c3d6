"""A hand with NIMBLE's joints, made of the open hand: for what must hold for any skeleton.

It has the layout of NIMBLE's files and nothing of their numbers: 25 joints that are no combination
of its skin's vertices, keypoints that are regressed from its posed skin, pose blend shapes, 20
shape components, 30 pose components.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from datasets.poses.sampler import sample_hand_angles
from fitter.conventions import FINGERS, JOINT_NAMES, MODEL_TO_KEYPOINTS
from fitter.hand_models.anatomy import anatomy_of, hand_pose_from_angles
from fitter.hand_models.model_data import HandModelData, RestJoints
from fitter.hand_models.open_hand import load_open_hand
from fitter.hand_models.skeleton import NIMBLE_SKELETON
from fitter.hand_models.skinning import HandModel
from fitter.records import HandParams

SHAPES, POSES = 20, 30
NAMES = NIMBLE_SKELETON.names


@cache
def jointed_data(posedirs: bool = True) -> HandModelData:
    """The right hand; without pose blend shapes where they are not wanted."""
    rng, skin = np.random.default_rng(5), load_open_hand(keypoint_offsets=False)
    shapedirs = _shapedirs(skin, rng)
    joints = _joints(skin, shapedirs)
    rotations = NIMBLE_SKELETON.rotations
    tips = np.eye(len(skin.v_template))[list(skin.tip_vertices)]
    assert skin.joint_regressor is not None
    # The asset's rows sum to one in single precision.
    rows = skin.joint_regressor / skin.joint_regressor.sum(1, keepdims=True)
    regressor = np.concatenate([rows, tips])
    basis, _ = np.linalg.qr(rng.normal(size=(3 * rotations, POSES)))
    bent = rng.normal(scale=3e-4, size=(len(skin.v_template), 3, 9 * rotations))
    return HandModelData(
        name="nimble",
        side="right",
        v_template=skin.v_template,
        faces=skin.faces,
        shapedirs=shapedirs,
        posedirs=bent if posedirs else None,
        skin_weights=_weights(skin, joints.template),
        joint_regressor=None,
        tip_vertices=skin.tip_vertices,
        hands_mean=rng.normal(scale=0.1, size=3 * rotations),
        hands_components=basis.T.copy(),
        layout=skin.layout,
        sha256="0" * 64,
        skeleton=NIMBLE_SKELETON,
        keypoint_regressor=regressor[list(MODEL_TO_KEYPOINTS)],
        given_joints=joints,
    )


@cache
def jointed_hand(posedirs: bool = True) -> HandModel:
    """The same as a model, float64."""
    return HandModel(jointed_data(posedirs), torch.float64)


def random_params(count: int, angle: float = 0.3, seed: int = 0) -> HandParams:
    """Any hands, also such as no hand can take: angles in radians."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator, dtype=torch.float64)

    pose = angle * normal(NIMBLE_SKELETON.rotations, 3)
    return HandParams(normal(3), pose, normal(SHAPES), 0.1 * normal(3))


def possible_pose(count: int, metacarpals: float = 0.0, seed: int = 0) -> Tensor:
    """(B, 19, 3) poses of the prior; `metacarpals` in [0, 1] is how far they bend."""
    rng, anatomy = np.random.default_rng(seed), anatomy_of(jointed_data())
    share = metacarpals * rng.uniform(size=anatomy.lower.shape)
    angles = np.repeat((share * anatomy.upper)[None], count, 0)
    angles[:, list(NIMBLE_SKELETON.finger_rows)] = sample_hand_angles(rng, count)
    return hand_pose_from_angles(torch.as_tensor(angles), anatomy.axes)


def _shapedirs(skin: HandModelData, rng: np.random.Generator) -> np.ndarray:
    """(V, 3, 20): the open hand's, then linear maps of the template, by 2 % of it."""
    own = skin.shapedirs[..., : SHAPES // 2]
    maps = rng.normal(scale=0.02, size=(SHAPES - own.shape[2], 3, 3))
    return np.concatenate([own, np.einsum("sij,vj->vis", maps, skin.v_template)], 2)


def _joints(skin: HandModelData, shapedirs: np.ndarray) -> RestJoints:
    """MANO's joints, the tips' vertices, and bases of metacarpals a fifth of the way from the wrist
    to the knuckles, two millimetres deeper."""
    assert skin.joint_regressor is not None
    points = np.concatenate([skin.v_template[..., None], shapedirs], 2)
    known = dict(
        zip(JOINT_NAMES, np.einsum("jv,vcs->jcs", skin.joint_regressor, points), strict=True)
    )
    known |= {f"{f}_tip": points[v] for f, v in zip(FINGERS, skin.tip_vertices, strict=True)}
    for finger in FINGERS[1:]:
        base = 0.8 * known["wrist"] + 0.2 * known[f"{finger}_mcp"]
        base[:, 0] += [0.0, 0.002, 0.001]
        known[f"{finger}_cmc"] = base
    stacked = np.stack([known[name] for name in NAMES])
    return RestJoints(stacked[..., 0], stacked[..., 1:])


def _weights(skin: HandModelData, joints: np.ndarray) -> np.ndarray:
    """(V, 25): MANO's, of the wrist's a part to the nearest metacarpals, of the last joints' a part
    to the tips, which are as rigid as they."""
    weights = np.zeros((len(skin.v_template), len(NAMES)))
    for column, name in enumerate(JOINT_NAMES):
        weights[:, NAMES.index(name)] = skin.skin_weights[:, column]
    for finger in FINGERS:
        last = NAMES.index(f"{finger}_ip" if finger == "thumb" else f"{finger}_dip")
        weights[:, NAMES.index(f"{finger}_tip")] = 0.3 * weights[:, last]
        weights[:, last] *= 0.7
    bases = [NAMES.index(f"{finger}_cmc") for finger in FINGERS[1:]]
    middles = np.stack([0.5 * (joints[base] + joints[base + 1]) for base in bases])
    distance = np.linalg.norm(skin.v_template[:, None] - middles, axis=-1)
    share = np.exp(-0.5 * (distance / 0.015) ** 2)
    share = share / (share.sum(1, keepdims=True) + 0.5)
    weights[:, bases] = weights[:, :1] * share
    weights[:, 0] *= 1 - share.sum(1)
    return weights / weights.sum(1, keepdims=True)
