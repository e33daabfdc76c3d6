"""Pairs of views at random, and what a hand looks like to both cameras of a true one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fitter.hand_models import load_hand_model
from fitter.rotations import roma
from init_net.posing import regressed_keypoints
from init_net.records import CropInputs, RegressedHands, StereoGeometry, StereoPredictions

B = 3


def keypoint_model():
    """Of the open hand, float64."""
    return load_hand_model(dtype=torch.float64, children=True).keypoint_model()


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=draws(seed), dtype=torch.float64)


def rand(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=draws(seed), dtype=torch.float64)


def hands(seed: int, count: int = B, turn: float = 0.5) -> RegressedHands:
    """B hands at random whose joints turn by about so many radians, some 0.4 m away."""
    scale = 4 + rand(seed + 1, count, 1)
    return RegressedHands(
        rotations=roma.rotvec_to_rotmat(turn * randn(seed, count, 16, 3)),
        betas=0.5 * randn(seed + 2, count, 10),
        camera=torch.cat([scale, 0.1 * randn(seed + 3, count, 2)], 1),
    )


def geometry(seed: int, count: int = B) -> StereoGeometry:
    """B rigs of two cameras, some 0.1 m apart, that look at much the same place."""
    return StereoGeometry(
        rotation=roma.rotvec_to_rotmat(0.2 * randn(seed, count, 3)),
        translation=0.1 * randn(seed + 1, count, 3),
        left_focal=1.8 + rand(seed + 2, count),
        right_focal=1.8 + rand(seed + 3, count),
    )


def no_rig(count: int = B, focal: float = 2.0) -> StereoGeometry:
    """Two cameras in one place: no turn, no baseline."""
    return StereoGeometry(
        rotation=torch.eye(3, dtype=torch.float64).repeat(count, 1, 1),
        translation=torch.zeros(count, 3, dtype=torch.float64),
        left_focal=torch.full((count,), focal, dtype=torch.float64),
        right_focal=torch.full((count,), focal, dtype=torch.float64),
    )


def said(right: RegressedHands, left: RegressedHands, weights: Tensor) -> StereoPredictions:
    """As a network says them."""
    poses = [roma.rotmat_to_rotvec(hands.rotations).flatten(1) for hands in (right, left)]
    return StereoPredictions(right, left, *poses, weights)


def predictions(seed: int, count: int = B) -> StereoPredictions:
    """What a network might say of B pairs: both views much the same."""
    right = hands(seed, count)
    left = RegressedHands(
        rotations=right.rotations @ roma.rotvec_to_rotmat(0.1 * randn(seed + 9, count, 16, 3)),
        betas=right.betas + 0.1 * randn(seed + 8, count, 10),
        camera=right.camera * (1 + 0.1 * randn(seed + 7, count, 3)),
    )
    return said(right, left, rand(seed + 6, count, 48))


def true_predictions(seed: int, count: int = B) -> tuple[StereoPredictions, StereoGeometry]:
    """What two networks say that are right, of hands that both cameras see as if from afar."""
    pairs, right = geometry(seed, count), hands(seed + 20, count)
    back = pairs.rotation.mT
    left_rotations = torch.cat([back[:, None] @ right.rotations[:, :1], right.rotations[:, 1:]], 1)
    left = RegressedHands(left_rotations, right.betas, right.camera)
    middle = [regressed_keypoints(keypoint_model(), each).mean(1) for each in (right, left)]
    scale, place = right.camera[:, :1], right.camera[:, 1:]
    depth = pairs.right_focal[:, None] / scale
    centre = torch.cat([middle[0][:, :2] + place / scale, depth], 1)
    seen = (back @ (centre - pairs.translation)[..., None])[..., 0]
    scale = pairs.left_focal[:, None] / seen[:, 2:]
    camera = torch.cat([scale, scale * (seen - middle[1])[:, :2]], 1)
    left = RegressedHands(left_rotations, right.betas, camera)
    return said(right, left, rand(seed + 30, count, 48)), pairs


def mirrored_hands(hands: RegressedHands) -> RegressedHands:
    """Seen in a mirror across x: the same numbers as of a hand of the other side."""
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0])).to(hands.betas)
    camera = hands.camera * torch.tensor([1.0, -1.0, 1.0]).to(hands.betas)
    return RegressedHands(mirror @ hands.rotations @ mirror, hands.betas, camera)


def crops(seed: int, count: int, size: int) -> CropInputs:
    """Crops that show nothing, with keypoints anywhere."""
    generator = draws(seed)
    return CropInputs(
        image=torch.rand(count, 3, size, size, generator=generator),
        keypoints=size * torch.rand(count, 21, 2, generator=generator),
        confidence=torch.ones(count, 21),
    )


def lively(mono: nn.Module, inputs: CropInputs) -> nn.Module:
    """A HandNet whose answers differ from crop to crop, which those of random weights hardly do:
    its normalisation is that of crops, and its dense layers are larger."""
    with torch.no_grad():
        for module in mono.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        mono(inputs)
        for layer in mono.head:
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(1.5)
    return mono.eval()
