"""The first stage of every fit: a hand model fitted to 21 keypoints and weak 3D cues.

observations -> `normalise` -> several starts -> Levenberg-Marquardt -> parameters in the camera.
Left hands are mirrored on the way in and mirrored back on the way out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import roma
import torch
from torch import Tensor
from torch.nn.functional import normalize

from fitter.camera import (
    SquareCrop,
    back_project,
    crop_intrinsics,
    mirror_intrinsics,
    mirror_points,
    to_crop,
)
from fitter.config import FitConfig
from fitter.conventions import BONES
from fitter.energies.keypoints import (
    KeypointTargets,
    bone_directions,
    relative_depth,
    reprojection,
)
from fitter.energies.priors import PoseSpace, anatomical_limits, pose_prior, shape_prior
from fitter.hand_models.kinematics import keypoints_with_jacobian
from fitter.hand_models.skinning import KeypointModel, pose_keypoints
from fitter.records import HandObservation, HandParams, TensorBatch
from fitter.solvers import LevenbergMarquardt, Linearization, SolverResult, levenberg_marquardt

_BOX_MARGIN = 1.2
"""Side of the square crop over the longer side of the keypoints' box."""


@dataclass(frozen=True)
class ObservationBatch(TensorBatch):
    """B observed hands as tensors.

    Attributes:
        keypoints: (B, 21, 2) pixels of the full image.
        confidence: (B, 21) in [0, 1].
        relative_depth: (B, 21) pixels, NaN where unknown.
        relative_xyz: (B, 21, 3) metres, NaN where unknown.
        intrinsics: (B, 3, 3) pixels of the full image.
        is_left: (B,) bool.
    """

    keypoints: Tensor
    confidence: Tensor
    relative_depth: Tensor
    relative_xyz: Tensor
    intrinsics: Tensor
    is_left: Tensor

    @classmethod
    def of(
        cls, hands: Sequence[HandObservation], intrinsics: Sequence[np.ndarray], like: Tensor
    ) -> ObservationBatch:
        """Stack observations of hands, each with its picture's K (3, 3), on `like`'s device."""

        def stack(arrays: list[np.ndarray]) -> Tensor:
            return torch.as_tensor(np.stack(arrays), dtype=like.dtype, device=like.device)

        unknown_depth, unknown_xyz = np.full(21, np.nan), np.full((21, 3), np.nan)
        return cls(
            keypoints=stack([hand.keypoints for hand in hands]),
            confidence=stack([hand.confidence for hand in hands]),
            relative_depth=stack(
                [
                    unknown_depth if hand.relative_depth is None else hand.relative_depth
                    for hand in hands
                ]
            ),
            relative_xyz=stack(
                [unknown_xyz if hand.relative_xyz is None else hand.relative_xyz for hand in hands]
            ),
            intrinsics=stack(list(intrinsics)),
            is_left=torch.tensor([hand.side == "left" for hand in hands], device=like.device),
        )


@dataclass(frozen=True)
class FitModel:
    """All that the stage needs of a hand model.

    Attributes:
        keypoints: the reduced right-hand model.
        pose_space: its anatomy and pose prior.
    """

    keypoints: KeypointModel
    pose_space: PoseSpace


@dataclass(frozen=True)
class KeypointProblem:
    """The objective of the stage over B hands; see `fitter.solvers.LeastSquaresProblem`."""

    model: FitModel
    targets: KeypointTargets
    config: FitConfig

    def linearize(self, params: HandParams) -> Linearization:
        """The weighted sum of all energies: the one place where weights are applied."""
        config, space = self.config, self.model.pose_space
        seen = keypoints_with_jacobian(self.model.keypoints, params)
        terms = [
            (
                config.keypoint_weight,
                reprojection(seen, self.targets, config.keypoint_scale),
            ),
            (
                config.relative_depth_weight,
                relative_depth(
                    seen, self.targets, config.relative_depth_scale, config.relative_depth_gain
                ),
            ),
            (
                config.bone_direction_weight,
                bone_directions(seen, self.targets, config.bone_direction_scale),
            ),
            (config.limit_weight, anatomical_limits(params, space)),
            (config.pose_prior_weight, pose_prior(params, space)),
            (config.shape_prior_weight, shape_prior(params)),
        ]
        return Linearization(
            cost=sum(weight * term.value for weight, term in terms),
            gradient=sum(weight * term.gradient for weight, term in terms),
            hessian=sum(weight * term.hessian for weight, term in terms),
        )

    def select(self, index: Tensor) -> KeypointProblem:
        """The problem of the hands at `index` alone."""
        return KeypointProblem(self.model, self.targets[index], self.config)


def fit_keypoints(model: FitModel, observed: ObservationBatch, config: FitConfig) -> SolverResult:
    """Fit B hands.

    Args:
        model: right-hand model on the observations' device and dtype.
        observed: B hands; a hand with values that are not finite comes back as diverged.
        config: weights, scales, budget and number of starts.

    Returns:
        Parameters in the full picture's camera. A left hand's are those of the mirrored model.
    """
    targets = normalise(observed)
    problem = KeypointProblem(model, targets, config)
    starts = propose_starts(model, targets, config)
    best = _best_start(problem, starts, config)
    result = levenberg_marquardt(
        problem, best, LevenbergMarquardt(max_iterations=config.max_iterations)
    )
    return replace(result, params=result.params.mirrored_where(observed.is_left))


def normalise(observed: ObservationBatch) -> KeypointTargets:
    """Mirror left hands and express everything in crop units; see `KeypointTargets`."""
    left = observed.is_left[:, None, None]
    # Mirrored about x = 0: where the picture's centre line lies does not matter to the crop.
    keypoints = torch.where(left, mirror_points(observed.keypoints, 0.0), observed.keypoints)
    intrinsics = torch.where(left, mirror_intrinsics(observed.intrinsics, 0.0), observed.intrinsics)
    flip = observed.relative_xyz.new_tensor([-1.0, 1.0, 1.0])
    xyz = torch.where(left, observed.relative_xyz * flip, observed.relative_xyz)

    crop = SquareCrop.around(keypoints, _BOX_MARGIN, output_size=1)
    intrinsics = crop_intrinsics(intrinsics, crop)
    middle = crop.centre.new_full((len(crop.centre), 1, 2), 0.5)
    view = normalize(_rays(intrinsics, middle)[:, 0], dim=-1)
    near, far = torch.tensor(BONES, device=xyz.device).T
    # The detector's axes are those of a camera that looks straight at the hand.
    bones = normalize(xyz[:, far] - xyz[:, near], dim=-1) @ _rotation_to(view).transpose(1, 2)
    depth = observed.relative_depth * crop.scale[:, None]
    return KeypointTargets(
        keypoints=to_crop(keypoints, crop),
        confidence=observed.confidence,
        intrinsics=intrinsics,
        view=view,
        relative_depth=depth.nan_to_num(),
        has_depth=depth.isfinite().all(-1).to(depth),
        bone_directions=bones.nan_to_num(),
        has_bones=bones.isfinite().flatten(1).all(-1).to(depth),
    )


def propose_starts(model: FitModel, targets: KeypointTargets, config: FitConfig) -> HandParams:
    """Rigidly place every pose of the prior's mixture on the picture, in both depth readings.

    The keypoints are lifted to 3D with the detector's relative depth (or with that of the rest
    pose under scaled orthography where the detector gives none) and, for the second answer of a
    palm that is seen edge-on, with its negative. Each typical pose is then aligned to them.

    Returns:
        (P * B) states, P = 2 K for a mixture of K components; state p * B + b belongs to hand b.
    """
    poses = model.pose_space.means.unflatten(-1, (15, 3))
    rest = _rest_keypoints(model.keypoints, poses)
    depth = torch.where(
        targets.has_depth[:, None] > 0,
        config.relative_depth_gain * targets.relative_depth,
        _orthographic_depth(rest.mean(0), targets.keypoints),
    )
    count, batch = len(poses), len(depth)
    signed = torch.stack([depth, -depth])[:, None].expand(2, count, -1, -1).flatten(0, 2)
    lifted = _lift(targets, signed.unflatten(0, (2 * count, batch)))
    template = rest.repeat(2, 1, 1)[:, None].expand(-1, batch, -1, -1)

    rotation, translation, _ = roma.rigid_points_registration(
        lifted.flatten(0, 1), template.flatten(0, 1), compute_scaling=True
    )
    # `lifted` lies at distance one: aligning it to the model in metres gives the true distance,
    # and the inverse of its rotation turns the model.
    rotation = rotation.transpose(1, 2)
    root = _rest_root(model.keypoints)
    moved = (rotation @ (root - translation)[..., None])[..., 0]
    zeros = rotation.new_zeros(2 * count * batch, model.keypoints.joint_shapedirs.shape[-1])
    return HandParams(
        global_orient=roma.rotmat_to_rotvec(rotation),
        hand_pose=poses.repeat(2, 1, 1)[:, None].expand(-1, batch, -1, -1).flatten(0, 1),
        betas=zeros,
        transl=moved - root,
    )


def _best_start(problem: KeypointProblem, starts: HandParams, config: FitConfig) -> HandParams:
    """Rank all starts by cost, run a few iterations from the best and keep each hand's best."""
    batch = problem.targets.keypoints.shape[0]
    count = starts.transl.shape[0] // batch
    hands = torch.arange(batch, device=starts.transl.device)
    cost = problem.select(hands.repeat(count)).linearize(starts).cost.unflatten(0, (count, batch))
    cost = cost.nan_to_num(nan=torch.inf)
    kept = cost.argsort(dim=0, stable=True)[: config.num_starts]
    chosen = starts[(kept * batch + hands).flatten()]
    if config.num_starts == 1 or config.start_iterations == 0:
        return chosen[hands]
    tried = levenberg_marquardt(
        problem.select(hands.repeat(len(kept))),
        chosen,
        LevenbergMarquardt(max_iterations=config.start_iterations),
    )
    winner = tried.cost.nan_to_num(nan=torch.inf).unflatten(0, (len(kept), batch)).argmin(0)
    return tried.params[winner * batch + hands]


def _rest_keypoints(model: KeypointModel, poses: Tensor) -> Tensor:
    """(P, 21, 3) keypoints of the mean hand in poses (P, 15, 3), untouched by camera motion."""
    zeros = poses.new_zeros(len(poses), 3)
    betas = poses.new_zeros(len(poses), model.joint_shapedirs.shape[-1])
    return pose_keypoints(model, HandParams(zeros, poses, betas, zeros))[1]


def _rest_root(model: KeypointModel) -> Tensor:
    return model.joint_template[0]


def _rays(intrinsics: Tensor, positions: Tensor) -> Tensor:
    """Points (B, N, 3) at depth one that project to positions (B, N, 2)."""
    return back_project(positions, torch.ones_like(positions[..., 0]), intrinsics)


def _lift(targets: KeypointTargets, depth: Tensor) -> Tensor:
    """Keypoints (P, B, 21, 3) at distance one from the camera, depth (P, B, 21) in crop units."""
    focal = targets.intrinsics[:, 0, 0, None]
    rays = _rays(targets.intrinsics, targets.keypoints)
    return rays * (1 + depth / focal).clamp_min(0.1)[..., None]


def _orthographic_depth(template: Tensor, keypoints: Tensor) -> Tensor:
    """Relative depth (B, 21), in the unit of `keypoints` (B, 21, 2), of a rigid template (21, 3)
    under scaled orthography (DeMenthon, Davis, "Model-based object pose in 25 lines of code",
    1995), up to the sign that orthography leaves open."""
    centred = template - template.mean(0)
    target = keypoints - keypoints.mean(1, keepdim=True)
    affine = (torch.linalg.pinv(centred) @ target).transpose(1, 2)
    u, s, vt = torch.linalg.svd(affine, full_matrices=False)
    scale = s.mean(-1)
    rows = u @ vt
    third = torch.linalg.cross(rows[:, 0], rows[:, 1])
    depth = scale[:, None] * (third @ centred.T)
    return depth - depth[:, :1]


def _rotation_to(direction: Tensor) -> Tensor:
    """(B, 3, 3) the shortest rotations that turn the z axis to unit vectors (B, 3)."""
    z = torch.zeros_like(direction)
    z[:, 2] = 1
    axis = torch.linalg.cross(z, direction)
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, direction[:, 2:])
    return roma.rotvec_to_rotmat(axis / sine.clamp_min(1e-12) * angle)
