"""How good networks are on rendered samples that they have not learned from.

Lengths are millimetres; "PA" is after a similarity alignment of each hand (`fitter.metrics`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import roma
import torch
from torch import Tensor, nn

from fitter.hand_models import HandModel, load_hand_model
from fitter.ik import inverse_kinematics
from fitter.metrics import (
    auc,
    fscore,
    keypoint_2d_error,
    mask_iou,
    point_errors,
    procrustes_aligned,
)
from fitter.records import HandParams
from init_net.crop_samples import Cropper, CropSamples
from init_net.lifter_samples import SeenSamples
from init_net.losses import hand_points

_BATCH = 64


@torch.no_grad()
def lifter_figures(network: nn.Module, held_out: SeenSamples) -> dict[str, float]:
    """Of a `KeypointLifter` on hands that the detector found.

    Its joints, the mesh that inverse kinematics makes of them, and how many true coordinates lie
    within one spread of the said ones across and along the line of sight (0.68 for Gaussians).
    """
    device = next(network.parameters()).device
    model = load_hand_model(dtype=torch.float64)
    errors, meshes, covered = [], _Meshes(), []
    for rows in torch.arange(len(held_out)).split(_BATCH):
        hands, unit = held_out.samples[rows], held_out.metres[rows].numpy()[:, None, None]
        said = network(hands.inputs.to(device)).to("cpu")
        errors.append(_aligned_errors(said.joints.numpy() * unit, hands.joints.numpy() * unit))
        solved = inverse_kinematics(model.keypoint_model(), said.joints.double(), up_to_scale=True)
        meshes.add(model(solved).vertices, _posed(model, hands.rotations, hands.betas))
        within = (said.joints - hands.joints).abs() < said.spread[..., (0, 0, 1)]
        covered.append(within[:, 1:].float().mean(1))
    across_x, across_y, along = torch.cat(covered).mean(0).tolist()
    return {
        **_joint_figures(np.concatenate(errors)),
        **meshes.figures(),
        "within_spread_across": 0.5 * (across_x + across_y),
        "within_spread_along": along,
        "hands": float(len(held_out)),
    }


@torch.no_grad()
def crop_figures(
    network: nn.Module, held_out: Cropper, with_keypoints: bool = True
) -> dict[str, float]:
    """Of a `HandNet` on crops.

    Args:
        network: to be measured.
        held_out: of samples.
        with_keypoints: give it what the detector saw; else nothing but the picture.
    """
    device = next(network.parameters()).device
    model = load_hand_model(dtype=torch.float64)
    reduced = model.keypoint_model().to(torch.float32)
    errors, seen, meshes = [], [], _Meshes()
    for crops in _batches(held_out):
        inputs = crops.inputs
        if not with_keypoints:
            inputs = crops.with_confidence(torch.zeros_like(crops.confidence)).inputs
        hands = network(inputs.to(device)).to("cpu")
        found = hand_points(reduced, hands)
        errors.append(_aligned_errors(found.points.numpy(), crops.points.numpy()))
        seen.append(keypoint_2d_error(found.positions.numpy(), crops.positions.numpy()))
        meshes.add(
            _posed(model, hands.rotations, hands.betas),
            _posed(model, crops.rotations, crops.betas),
        )
    figures = {**_joint_figures(np.concatenate(errors)), **meshes.figures()}
    figures["keypoints_2d_px"] = float(np.concatenate(seen).mean() * held_out.size)
    return {**figures, "hands": float(len(held_out.samples))}


@torch.no_grad()
def mask_figures(
    network: nn.Module, held_out: Cropper, with_keypoints: bool = True
) -> dict[str, float]:
    """Of a `HandSegmentation` on crops; the arguments are those of `crop_figures`."""
    device = next(network.parameters()).device
    overlap, right = [], []
    for crops in _batches(held_out):
        inputs = crops.inputs
        if not with_keypoints:
            inputs = crops.with_confidence(torch.zeros_like(crops.confidence)).inputs
        found = (network(inputs.to(device)).cpu() > 0).numpy()
        true = (crops.mask > 0.5).numpy()
        overlap.append(mask_iou(found, true))
        right.append((found == true).mean((1, 2)))
    overlap = np.concatenate(overlap)
    return {
        "mask_iou": float(overlap.mean()),
        "mask_iou_median": float(np.median(overlap)),
        "pixel_accuracy": float(np.concatenate(right).mean()),
        "hands": float(len(overlap)),
    }


class _Meshes:
    """Collects the errors of meshes, which are too many to be kept."""

    def __init__(self) -> None:
        self._errors: list[np.ndarray] = []
        self._scores: list[np.ndarray] = []

    def add(self, found: Tensor, true: Tensor) -> None:
        """Meshes (B, V, 3), metres, anywhere."""
        aligned = procrustes_aligned(found.numpy(), true.numpy())
        self._errors.append(1000 * point_errors(aligned, true.numpy()).mean(-1))
        self._scores.append(fscore(aligned, true.numpy()))

    def figures(self) -> dict[str, float]:
        five, fifteen = np.concatenate(self._scores).mean(0).tolist()
        return {
            "pa_mpvpe_mm": float(np.concatenate(self._errors).mean()),
            "f_5": five,
            "f_15": fifteen,
        }


def _batches(cropper: Cropper) -> Iterator[CropSamples]:
    for rows in np.array_split(np.arange(len(cropper.samples)), -(-len(cropper.samples) // _BATCH)):
        yield cropper.crop(rows, (0,))


def _aligned_errors(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(B, 21) mm."""
    return 1000 * point_errors(procrustes_aligned(found, true), true)


def _joint_figures(errors: np.ndarray) -> dict[str, float]:
    return {"pa_mpjpe_mm": float(errors.mean()), "auc": auc(errors / 1000)}


def _posed(model: HandModel, rotations: Tensor, betas: Tensor) -> Tensor:
    """(B, V, 3) vertices, metres."""
    vectors = roma.rotmat_to_rotvec(rotations.double())
    place = vectors.new_zeros(len(vectors), 3)
    return model(HandParams(vectors[:, 0], vectors[:, 1:], betas.double(), place)).vertices
