"""Hands of several models whose parameters are known, for the tests of inverse kinematics."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from datasets.poses.sampler import sample_hand_angles
from fitter.hand_models import ManoOptions, load_hand_model
from fitter.hand_models.analytic_ik import twist_angles
from fitter.hand_models.anatomy import anatomy_of, hand_pose_from_angles
from fitter.hand_models.keypoint_model import KeypointModel
from fitter.hand_models.open_hand import load_open_hand
from fitter.hand_models.skinning import HandModel
from fitter.records import HandMesh, HandParams
from tests.support.mano_files import fabricate, write_plain

FIELDS = ("global_orient", "hand_pose", "betas", "transl")
MODELS = ("open_hand", "bare", "mano")
TIP_VERTICES = (15, 3, 6, 12, 9)


@dataclass(frozen=True)
class Case:
    """A model and random hands of it."""

    hand: HandModel
    model: KeypointModel
    params: HandParams
    mesh: HandMesh
    twist: Tensor

    @classmethod
    def of(cls, hand: HandModel, count: int = 100) -> Case:
        model, params = hand.keypoint_model(), random_hands(hand, count)
        return cls(hand, model, params, hand(params), twist_angles(model, params))

    def errors(self, found: HandParams) -> Tensor:
        """(B, V) vertex errors, mm."""
        return 1e3 * (self.hand(found).vertices - self.mesh.vertices).norm(dim=-1)


def random_hands(hand: HandModel, count: int) -> HandParams:
    rng = np.random.default_rng(3)
    angles = torch.as_tensor(sample_hand_angles(rng, count))
    return HandParams(
        global_orient=torch.as_tensor(Rotation.random(count, random_state=4).as_rotvec()),
        hand_pose=hand_pose_from_angles(angles, anatomy_of(hand.data).axes),
        betas=torch.as_tensor(rng.normal(size=(count, hand.shapedirs.shape[-1]))),
        transl=torch.as_tensor(rng.normal(scale=0.2, size=(count, 3))),
    )


def mano_layout(folder) -> HandModel:
    """A file in MANO's layout, with blend shapes, whose fingertips follow two bones each."""
    arrays = fabricate(seed=1)
    tips, joints = list(TIP_VERTICES), arrays["J"]
    arrays["J_regressor"][:, tips] = 0
    arrays["J_regressor"] /= arrays["J_regressor"].sum(1, keepdims=True)
    arrays["v_template"][tips] = joints[tips] + [-0.025, 0.004, 0.0]
    arrays["shapedirs"][tips] *= 0.3
    arrays["weights"][tips] = 0.9 * np.eye(16)[tips] + 0.1 * np.eye(16)[np.array(tips) - 1]
    path = write_plain(folder / "MANO_RIGHT.pkl", arrays)
    return load_hand_model(path, dtype=torch.float64, mano=ManoOptions(fingertips=TIP_VERTICES))


@cache
def known_hands(model: str) -> Case:
    """A hundred hands of "open_hand"; of "bare", the same hand, whose keypoints are its joints and
    fingertip vertices; or of "mano"."""
    if model == "mano":
        with tempfile.TemporaryDirectory() as folder:
            return Case.of(mano_layout(Path(folder)))
    data = load_open_hand(keypoint_offsets=model == "open_hand")
    return Case.of(HandModel(data, torch.float64))


def close(found: Tensor, expected: Tensor, atol: float) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


def rest_params() -> HandParams:
    zeros = torch.zeros(1, 17, 3, dtype=torch.float64)
    betas = torch.zeros(1, 10, dtype=torch.float64)
    return HandParams(zeros[:, 0].clone(), zeros[:, 1:16].clone(), betas, zeros[:, 16].clone())


def bones_at_rest(case: Case) -> Tensor:
    """(15, 3) from every joint but the last of a finger, whose row means nothing, to the next."""
    joints = case.model.joint_template
    return torch.diff(joints[1:], dim=0, append=joints[:1])
