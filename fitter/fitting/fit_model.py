"""A hand model in the form that the keypoint fit needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from fitter.energies.priors import PoseSpace
from fitter.hand_models.hand_size import HandSize
from fitter.hand_models.keypoint_jacobian import KeypointKinematics
from fitter.hand_models.keypoint_model import KeypointModel, pose_keypoints
from fitter.hand_models.tangent import HandManifold
from fitter.records import HandParams


@dataclass(frozen=True)
class FitModel:
    """All that the stage needs of a hand model.

    Attributes:
        keypoints: the reduced right-hand model.
        pose_space: its anatomy and pose prior.
    """

    keypoints: KeypointModel
    pose_space: PoseSpace

    @cached_property
    def kinematics(self) -> KeypointKinematics:
        """The model in the form that is fast to differentiate."""
        return KeypointKinematics.of(self.keypoints)

    @property
    def manifold(self) -> HandManifold:
        """The space of its parameters."""
        return HandManifold(self.keypoints.skeleton.rotations)

    @cached_property
    def size(self) -> HandSize:
        """The model's size as a function of its shape."""
        return HandSize.of(self.keypoints)

    @cached_property
    def rest_keypoints(self) -> Tensor:
        """(K, 21, 3) keypoints of the mean hand in the typical poses, the wrist unturned."""
        poses = self.pose_space.means.unflatten(-1, (-1, 3))
        still = poses.new_zeros(len(poses), 3)
        betas = poses.new_zeros(len(poses), self.keypoints.joint_shapedirs.shape[-1])
        return pose_keypoints(self.keypoints, HandParams(still, poses, betas, still))[1]
