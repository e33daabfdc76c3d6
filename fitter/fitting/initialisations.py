"""Initialisations of the fit to the keypoints: typical poses, placed rigidly on the image."""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.config.options import FitConfig
from fitter.fitting.fit_model import FitModel
from fitter.fitting.observations import rays_of, seen_keypoints
from fitter.records import HandParams, NormalisedHands
from fitter.rotations import roma


def propose_initialisations(
    model: FitModel, hands: NormalisedHands, config: FitConfig
) -> HandParams:
    """Rigidly place typical poses, the means of the prior's mixture, on the image.

    The keypoints are lifted to 3D with the detector's relative depth (or with that of the rest
    pose under scaled orthography where the detector gives none) and, for the second answer of a
    palm that is seen edge-on, with its negative. Each typical pose is then aligned to them, and the
    poses are ranked by what the alignment leaves over.

    Returns:
        (P * B) states, P = `config.num_initialisations` (at most two for each component). State
        ``p * B + b`` belongs to hand b. Half of them, the odd one included, take the first answer;
        a single one takes the better answer.
    """
    poses, rest = model.pose_space.means.unflatten(-1, (-1, 3)), model.rest_keypoints
    keypoints = hands.keypoints
    has_depth = (hands.depth_weight > 0).any(-1, keepdim=True)
    seen = seen_keypoints(hands.confidence).to(keypoints)
    depth = torch.where(
        has_depth, hands.relative_depth, _orthographic_depth(rest.mean(0), keypoints, seen)
    )
    # Axes (2 answers, K poses, B hands).
    lifted = _lift(keypoints, hands.intrinsics, torch.stack([depth, -depth]))[:, None]
    lifted = lifted.expand(-1, len(poses), -1, -1, -1)
    template = rest[None, :, None].expand_as(lifted)
    weights = seen.expand(*lifted.shape[:3], -1).flatten(0, 2)
    rotation, translation, scale = roma.rigid_points_registration(
        lifted.flatten(0, 2), template.flatten(0, 2), weights=weights, compute_scaling=True
    )
    aligned = scale[:, None, None] * (lifted.flatten(0, 2) @ rotation.mT) + translation[:, None]
    left_over = (weights * (aligned - template.flatten(0, 2)).square().sum(-1)).sum(-1)
    kept = _best_of_both(left_over.view(lifted.shape[:3]), config.num_initialisations)

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
    """(P * B) flat indices of the best entries of (2, K, B), see `propose_initialisations`."""
    poses = left_over.shape[1]
    flat = torch.arange(left_over.numel(), device=left_over.device).view(left_over.shape)
    if count == 1:
        best = left_over.flatten(0, 1).argmin(0, keepdim=True)
        return flat.flatten(0, 1).gather(0, best).flatten()
    ranked = flat.gather(1, left_over.argsort(dim=1, stable=True))
    second = min(count // 2, poses)
    first = min(count - second, poses)
    return torch.cat([ranked[0, :first], ranked[1, :second]]).flatten()


def _lift(keypoints: Tensor, intrinsics: Tensor, depth: Tensor) -> Tensor:
    """Keypoints (P, B, 21, 3) at distance one from the camera, of positions (B, 21, 2) with depths
    (P, B, 21) relative to the wrist, both in crop units."""
    rays = rays_of(intrinsics, keypoints)
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
