"""The first stage of every fit: a hand model fitted to 21 keypoints and weak 3D cues.

observations -> `normalise` -> several starts -> Levenberg-Marquardt -> parameters in the camera.
Left hands are mirrored on the way in and mirrored back on the way out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

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
from fitter.energies.keypoints import (
    KeypointTargets,
    bone_directions,
    relative_depth,
    reprojection,
)
from fitter.energies.priors import PoseSpace, anatomical_limits, pose_prior, shape_prior
from fitter.energies.residuals import weighted_sum
from fitter.hand_models.kinematics import BETAS, POSE, KeypointKinematics, in_canonical_order
from fitter.hand_models.skinning import KeypointModel, pose_keypoints
from fitter.records import HandObservation, HandParams, TensorBatch
from fitter.solvers import (
    LevenbergMarquardt,
    Linearization,
    SolverResult,
    Status,
    levenberg_marquardt,
)

LEAST_EXTENT = 4.0
"""Longer side in pixels of the keypoints' box below which there is no hand to be seen."""

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

    @cached_property
    def kinematics(self) -> KeypointKinematics:
        """The model in the form that is fast to differentiate."""
        return KeypointKinematics.of(self.keypoints)

    @cached_property
    def rest_keypoints(self) -> Tensor:
        """(K, 21, 3) keypoints of the mean hand in the typical poses, the wrist unturned."""
        poses = self.pose_space.means.unflatten(-1, (15, 3))
        still = poses.new_zeros(len(poses), 3)
        betas = poses.new_zeros(len(poses), self.keypoints.joint_shapedirs.shape[-1])
        return pose_keypoints(self.keypoints, HandParams(still, poses, betas, still))[1]


@dataclass(frozen=True)
class KeypointProblem:
    """The objective of the stage over B hands; see `fitter.solvers.LeastSquaresProblem`."""

    model: FitModel
    targets: KeypointTargets
    config: FitConfig

    def linearize(self, params: HandParams) -> Linearization:
        """The weighted sum of all energies: the one place where weights are applied."""
        config, space, targets = self.config, self.model.pose_space, self.targets
        seen = self.model.kinematics(params)
        depth_scale, depth_gain = config.relative_depth_scale, config.relative_depth_gain
        data = weighted_sum(
            [
                (
                    config.keypoint_weight,
                    reprojection(seen.points, targets, config.keypoint_scale),
                ),
                (
                    config.relative_depth_weight,
                    relative_depth(seen.points, targets, depth_scale, depth_gain),
                ),
                (
                    config.bone_direction_weight,
                    bone_directions(seen.points, targets, config.bone_direction_scale),
                ),
            ]
        )
        gradient, hessian = seen.pull_back(data.gradient, data.hessian)

        limits, pose = anatomical_limits(params, space), pose_prior(params, space)
        shape = shape_prior(params)
        gradient[:, POSE].add_(limits.gradient, alpha=config.limit_weight)
        gradient[:, POSE].add_(pose.gradient, alpha=config.pose_prior_weight)
        gradient[:, BETAS].add_(shape.gradient, alpha=config.shape_prior_weight)
        by_pose = hessian[:, POSE, POSE].add_(pose.hessian, alpha=config.pose_prior_weight)
        joints = by_pose.unflatten(2, (15, 3)).unflatten(1, (15, 3)).diagonal(dim1=1, dim2=3)
        joints.add_(limits.hessian.permute(0, 2, 3, 1), alpha=config.limit_weight)
        by_betas = hessian[:, BETAS, BETAS].diagonal(dim1=1, dim2=2)
        by_betas.add_(shape.hessian, alpha=config.shape_prior_weight)
        cost = (
            data.value
            + config.limit_weight * limits.value
            + config.pose_prior_weight * pose.value
            + config.shape_prior_weight * shape.value
        )
        return Linearization(cost, gradient, hessian)

    def select(self, index: Tensor) -> KeypointProblem:
        """The problem of the hands at `index` alone."""
        return KeypointProblem(self.model, self.targets[index], self.config)


def fit_keypoints(model: FitModel, observed: ObservationBatch, config: FitConfig) -> SolverResult:
    """Fit B hands.

    Args:
        model: right-hand model on the observations' device and dtype.
        observed: B hands; a hand whose values are not finite, or whose keypoints lie within
            `LEAST_EXTENT`, takes no part and comes back as diverged, with NaN for its parameters
            and cost.
        config: weights, scales, budget and number of starts.

    Returns:
        Parameters in the full picture's camera. A left hand's are those of the mirrored model.
    """
    # Built outside: what is made in inference mode can never be differentiated through, and the
    # model is the caller's.
    _ = model.kinematics, model.rest_keypoints
    # Not inference mode: roma makes a table in here that it keeps for whoever differentiates later.
    with torch.no_grad():
        result = _fit(model, observed, config)
    return result.map(torch.clone)


def _fit(model: FitModel, observed: ObservationBatch, config: FitConfig) -> SolverResult:
    usable = _usable(observed).nonzero().flatten()
    targets = normalise(observed[usable])
    finite = targets.finite()
    if not bool(finite.all()):
        usable, targets = usable[finite], targets[finite]
    if len(usable) == 0:
        return _nothing_fitted(model, observed)
    problem = KeypointProblem(model, targets, config)
    best = _best_start(problem, propose_starts(model, targets, config), config)
    result = levenberg_marquardt(
        problem, best, LevenbergMarquardt(max_iterations=config.max_iterations)
    )
    result = replace(result, params=result.params.mirrored_where(observed.is_left[usable]))
    if len(usable) == len(observed.is_left):
        return result
    return _nothing_fitted(model, observed).with_hands(usable, result)


def normalise(observed: ObservationBatch) -> KeypointTargets:
    """Mirror left hands and express everything in crop units; see `KeypointTargets`."""
    left = observed.is_left[:, None, None]
    # Mirrored about x = 0: where the picture's centre line lies does not matter to the crop.
    keypoints = torch.where(left, mirror_points(observed.keypoints, 0.0), observed.keypoints)
    intrinsics = torch.where(left, mirror_intrinsics(observed.intrinsics, 0.0), observed.intrinsics)
    flip = observed.relative_xyz.new_tensor([-1.0, 1.0, 1.0])
    xyz = torch.where(left, observed.relative_xyz * flip, observed.relative_xyz)

    crop = SquareCrop.around(_seen_only(keypoints, observed.confidence), _BOX_MARGIN, 1)
    intrinsics = crop_intrinsics(intrinsics, crop)
    middle = crop.centre.new_full((len(crop.centre), 1, 2), 0.5)
    view = normalize(_rays(intrinsics, middle)[:, 0], dim=-1)
    return KeypointTargets.of(
        keypoints=to_crop(keypoints, crop),
        confidence=observed.confidence,
        cameras=(intrinsics, view),
        relative_depth=observed.relative_depth * crop.scale[:, None],
        # The detector's axes are those of a camera that looks straight at the hand.
        relative_xyz=xyz @ _rotation_to(view).mT,
    )


def propose_starts(model: FitModel, targets: KeypointTargets, config: FitConfig) -> HandParams:
    """Rigidly place typical poses, the means of the prior's mixture, on the picture.

    The keypoints are lifted to 3D with the detector's relative depth (or with that of the rest
    pose under scaled orthography where the detector gives none) and, for the second answer of a
    palm that is seen edge-on, with its negative. Each typical pose is then aligned to them, and the
    poses are ranked by what the alignment leaves over.

    Returns:
        (P * B) states, P = `config.num_starts` (at most two for each component); state p * B + b
        belongs to hand b. Half of them, the odd one included, take the first answer; a single start
        takes the better one.
    """
    poses, rest = model.pose_space.means.unflatten(-1, (15, 3)), model.rest_keypoints
    keypoints = in_canonical_order(targets.keypoints)
    has_depth = (targets.depth_mass > 0).flatten(1).any(-1, keepdim=True)
    seen = _seen(in_canonical_order(targets.keypoint_mass)).to(keypoints)
    depth = torch.where(
        has_depth,
        config.relative_depth_gain * in_canonical_order(targets.relative_depth),
        _orthographic_depth(rest.mean(0), keypoints, seen),
    )
    # Axes (2 answers, K poses, B hands).
    lifted = _lift(keypoints, targets.intrinsics, torch.stack([depth, -depth]))[:, None]
    lifted = lifted.expand(-1, len(poses), -1, -1, -1)
    template = rest[None, :, None].expand_as(lifted)
    weights = seen.expand(*lifted.shape[:3], -1).flatten(0, 2)
    rotation, translation, scale = roma.rigid_points_registration(
        lifted.flatten(0, 2), template.flatten(0, 2), weights=weights, compute_scaling=True
    )
    aligned = scale[:, None, None] * (lifted.flatten(0, 2) @ rotation.mT) + translation[:, None]
    left_over = (weights * (aligned - template.flatten(0, 2)).square().sum(-1)).sum(-1)
    kept = _best_of_both(left_over.view(lifted.shape[:3]), config.num_starts)

    # `lifted` lies at distance one: aligning it to the model in metres gives the true distance,
    # and the inverse of its rotation turns the model.
    rotation, translation = rotation[kept].mT, translation[kept]
    root = model.keypoints.joint_template[0]
    moved = (rotation @ (root - translation)[..., None])[..., 0]
    return HandParams(
        global_orient=roma.rotmat_to_rotvec(rotation),
        hand_pose=poses[kept // len(depth) % len(poses)],
        betas=root.new_zeros(len(kept), model.keypoints.joint_shapedirs.shape[-1]),
        transl=moved - root,
    )


def _best_of_both(left_over: Tensor, count: int) -> Tensor:
    """(P * B) flat indices of the best entries of (2, K, B), see `propose_starts`."""
    poses = left_over.shape[1]
    flat = torch.arange(left_over.numel(), device=left_over.device).view(left_over.shape)
    if count == 1:
        best = left_over.flatten(0, 1).argmin(0, keepdim=True)
        return flat.flatten(0, 1).gather(0, best).flatten()
    ranked = flat.gather(1, left_over.argsort(dim=1, stable=True))
    second = min(count // 2, poses)
    first = min(count - second, poses)
    return torch.cat([ranked[0, :first], ranked[1, :second]]).flatten()


def _best_start(problem: KeypointProblem, starts: HandParams, config: FitConfig) -> HandParams:
    """Run a few iterations from every start and keep each hand's best."""
    batch = len(problem.targets.view)
    count = len(starts.transl) // batch
    if count == 1:
        return starts
    hands = torch.arange(batch, device=starts.transl.device)
    problem = problem.select(hands.repeat(count))
    if config.start_iterations == 0:
        tried, cost = starts, problem.linearize(starts).cost
    else:
        options = LevenbergMarquardt(max_iterations=config.start_iterations)
        result = levenberg_marquardt(problem, starts, options)
        tried, cost = result.params, result.cost
    winner = cost.nan_to_num(nan=torch.inf).view(count, batch).argmin(0)
    return tried[winner * batch + hands]


def _seen(confidence: Tensor) -> Tensor:
    """(B, 21) bool: keypoints that count; all of a hand of which none was seen."""
    seen = confidence > 0
    return seen | ~seen.any(-1, keepdim=True)


def _seen_only(keypoints: Tensor, confidence: Tensor) -> Tensor:
    """(B, 21, 2) keypoints with the unseen ones moved onto a seen one, where they span no box."""
    seen = _seen(confidence)
    first = keypoints.gather(1, seen.int().argmax(1)[:, None, None].expand(-1, 1, 2))
    return torch.where(seen[..., None], keypoints, first)


def _usable(observed: ObservationBatch) -> Tensor:
    """(B,) bool: finite where values are needed, NaN at the most where they are not, and with
    keypoints and a camera that are not degenerate."""
    needed = (observed.keypoints, observed.confidence, observed.intrinsics)
    seen = _seen_only(observed.keypoints, observed.confidence)
    extent = seen.amax(1) - seen.amin(1)
    determinant = torch.linalg.det(observed.intrinsics)
    weak = (observed.relative_depth, observed.relative_xyz)
    return torch.stack(
        [x.isfinite().flatten(1).all(-1) for x in needed]
        + [~x.isinf().flatten(1).any(-1) for x in weak]
        + [extent.amax(-1) >= LEAST_EXTENT, determinant > 0]
    ).all(0)


def _nothing_fitted(model: FitModel, observed: ObservationBatch) -> SolverResult:
    """The result for B hands none of which can be fitted."""
    like = model.keypoints.joint_template
    batch, shapes = len(observed.is_left), model.keypoints.joint_shapedirs.shape[-1]
    count = torch.zeros(batch, dtype=torch.int64, device=like.device)

    def unknown(*shape: int) -> Tensor:
        return like.new_full((batch, *shape), torch.nan)

    params = HandParams(unknown(3), unknown(15, 3), unknown(shapes), unknown(3))
    return SolverResult(params, unknown(), count, count + int(Status.DIVERGED))


def _rays(intrinsics: Tensor, positions: Tensor) -> Tensor:
    """Points (B, N, 3) at depth one that project to positions (B, N, 2)."""
    return back_project(positions, torch.ones_like(positions[..., 0]), intrinsics)


def _lift(keypoints: Tensor, intrinsics: Tensor, depth: Tensor) -> Tensor:
    """Keypoints (P, B, 21, 3) at distance one from the camera, of positions (B, 21, 2) with depths
    (P, B, 21) relative to the wrist, both in crop units."""
    rays = _rays(intrinsics, keypoints)
    return rays * (1 + depth / intrinsics[:, 0, 0, None]).clamp_min(0.1)[..., None]


def _orthographic_depth(template: Tensor, keypoints: Tensor, weights: Tensor) -> Tensor:
    """Relative depth (B, 21), in the unit of `keypoints` (B, 21, 2), of a rigid template (21, 3)
    under scaled orthography (DeMenthon, Davis, "Model-based object pose in 25 lines of code",
    1995), up to the sign that orthography leaves open; `weights` (B, 21) are 0 or 1."""
    weights = weights[..., None]
    count = weights.sum(1, keepdim=True)
    centred = template - (weights * template).sum(1, keepdim=True) / count
    target = keypoints - (weights * keypoints).sum(1, keepdim=True) / count
    affine = (torch.linalg.pinv(weights * centred) @ (weights * target)).mT
    u, s, vt = torch.linalg.svd(affine, full_matrices=False)
    rows = u @ vt
    third = torch.linalg.cross(rows[:, 0], rows[:, 1])
    depth = s.mean(-1, keepdim=True) * (centred @ third[..., None])[..., 0]
    return depth - depth[:, :1]


def _rotation_to(direction: Tensor) -> Tensor:
    """(B, 3, 3) the shortest rotations that turn the z axis to unit vectors (B, 3)."""
    z = torch.zeros_like(direction)
    z[:, 2] = 1
    axis = torch.linalg.cross(z, direction)
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, direction[:, 2:])
    return roma.rotvec_to_rotmat(axis / sine.clamp_min(1e-12) * angle)
