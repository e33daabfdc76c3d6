"""Random right hands of any model: natural poses, likely shapes, seen from any side."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from datasets.poses import sample_hand_angles
from fitter.hand_models import HandModel
from fitter.hand_models.anatomy import anatomy_of, hand_pose_from_angles
from fitter.records import HandParams
from fitter.rotations import roma

FACING = 0.8
"""Probability that a hand is turned once more, any way at all, if its fingers point more than 49
degrees out of the image's plane: in most photographs they do not."""


class RandomHands:
    """Draws the parameters of hands; their poses are those of `datasets.poses.sampler`, as of the
    rendered samples."""

    def __init__(self, model: HandModel, shapes: int | None = None) -> None:
        """Prepare a model.

        Args:
            model: a right hand, its anatomy known.
            shapes: coefficients that are drawn; None for all that the model has.
        """
        skeleton, joints = model.skeleton, model.joint_template
        self._shapes = shapes or model.joint_shapedirs.shape[-1]
        self._axes = torch.from_numpy(anatomy_of(model.data).axes).float()
        self._rows = list(skeleton.finger_rows)
        middle = skeleton.names.index("middle_mcp")
        self._forward = normalize(joints[middle] - joints[0], dim=0).float().cpu()

    def draw(
        self, count: int, numpy_generator: np.random.Generator, generator: torch.Generator
    ) -> tuple[HandParams, Tensor]:
        """Draw hands about the origin.

        Args:
            count: number B.
            numpy_generator: decides about poses.
            generator: about shapes and sides.

        Returns:
            Their parameters, float32, and their rotations (B, 3, 3).
        """
        drawn_angles = torch.from_numpy(sample_hand_angles(numpy_generator, count)).float()
        angles = torch.zeros(count, len(self._axes), 3)
        angles[:, self._rows] = drawn_angles
        pose = hand_pose_from_angles(angles, self._axes)
        betas = torch.randn(count, self._shapes, generator=generator)
        betas = (0.85 * betas).clamp(-2, 2)
        # Two draws, the second for hands whose first points at the camera or away from it.
        draws = torch.randn(2, count, 4, generator=generator)
        drawn = roma.unitquat_to_rotmat(normalize(draws, dim=-1))
        away = (drawn @ self._forward)[..., 2].abs()
        again = (away[0] > 0.75) & (torch.rand(count, generator=generator) < FACING)
        rotation = torch.where(again[:, None, None], drawn[1], drawn[0])
        zero = torch.zeros(count, 3)
        return HandParams(roma.rotmat_to_rotvec(rotation), pose, betas, zero), rotation
