"""What an ideal detector says of hands whose parameters are known."""

from __future__ import annotations

from dataclasses import replace

import roma
import torch
from torch import Tensor

from fitter.camera import project
from fitter.config.options import FitConfig
from fitter.fitting.fit_model import FitModel
from fitter.fitting.observations import ObservationBatch, unknown_features
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.records import HandParams
from fitter.solvers.levenberg_marquardt import SolverResult

K = torch.tensor([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]], dtype=torch.float64)


# Priors that are weak beside data without noise, and no gain to correct for.
TRUSTING = FitConfig(
    relative_depth_gain=1.0,
    relative_depth_weight=0.1,
    bone_direction_weight=0.1,
    pose_prior_weight=1e-4,
    shape_prior_weight=1e-4,
    size_prior_weight=1e-4,
    num_initialisations=4,
    initialisation_iterations=5,
    max_iterations=80,
)


def keypoints_of(model: FitModel, params: HandParams) -> Tensor:
    return pose_keypoints(model.keypoints, params)[1]


def observe(points: Tensor, weak: bool = True) -> ObservationBatch:
    """What a detector without error says of right hands' keypoints (B, 21, 3)."""
    count = len(points)
    intrinsics = K.expand(count, 3, 3)
    image = project(points, intrinsics)
    box = (image.amin(1) + image.amax(1)) / 2
    ray = torch.cat([(box - K[:2, 2]) / 600, torch.ones(count, 1).double()], 1)
    view = torch.nn.functional.normalize(ray, dim=-1)
    distance = (points @ view[..., None])[..., 0]
    depth = 600 * (distance / distance[:, :1] - 1)
    # Camera axes of a camera that looks along `view`, by the shortest turn.
    z = torch.tensor([0.0, 0, 1], dtype=torch.float64).expand_as(view)
    axis = torch.nn.functional.normalize(torch.linalg.cross(z, view), dim=-1)
    turn = roma.rotvec_to_rotmat(axis * view[:, 2:].arccos())
    xyz = (points - points[:, :1]) @ turn
    return ObservationBatch(
        keypoints=image,
        confidence=torch.ones(count, 21, dtype=torch.float64),
        relative_depth=depth if weak else torch.full_like(depth, torch.nan),
        relative_xyz=xyz if weak else torch.full_like(xyz, torch.nan),
        intrinsics=intrinsics,
        features=unknown_features(count, points),
        is_left=torch.zeros(count, dtype=torch.bool),
    )


def mirrored(observed: ObservationBatch, width: float = 640.0) -> ObservationBatch:
    keypoints = observed.keypoints.clone()
    keypoints[..., 0] = width - keypoints[..., 0]
    intrinsics = observed.intrinsics.clone()
    intrinsics[:, 0, 2] = width - intrinsics[:, 0, 2]
    return replace(
        observed,
        keypoints=keypoints,
        intrinsics=intrinsics,
        relative_xyz=observed.relative_xyz * torch.tensor([-1.0, 1, 1]).double(),
        features=observed.features.flip(1),
        is_left=~observed.is_left,
    )


def fitted_keypoints(model: FitModel, result: SolverResult, is_left: Tensor) -> Tensor:
    points = keypoints_of(model, result.params.mirrored_where(is_left))
    return torch.where(is_left[:, None, None], points * torch.tensor([-1.0, 1, 1]), points)


def noisy(model: FitModel, hands: HandParams) -> ObservationBatch:
    observed = observe(keypoints_of(model, hands))
    generator = torch.Generator().manual_seed(9)

    def normal(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float64)

    return replace(
        observed,
        keypoints=observed.keypoints + 3 * normal(observed.keypoints),
        confidence=torch.rand(len(observed.confidence), 21, generator=generator).double(),
        relative_depth=observed.relative_depth + 10 * normal(observed.relative_depth),
        relative_xyz=observed.relative_xyz + 0.01 * normal(observed.relative_xyz),
        is_left=torch.arange(len(observed.confidence)) % 3 == 0,
    )
