"""How good networks are on rendered samples that they have not learned from.

Lengths are millimetres; "PA" is after a similarity alignment of each hand (`fitter.metrics`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor, nn

from fitter.hand_models import (
    HandModel,
    KeypointDefinition,
    inverse_kinematics,
    load_hand_model,
)
from fitter.metrics import (
    auc,
    fscore,
    keypoint_2d_error,
    mask_iou,
    point_errors,
    procrustes_aligned,
)
from fitter.records import HandMesh, HandParams
from fitter.rotations import roma
from init_net.networks.parts import NOTHING
from init_net.posing import labelled_points
from init_net.records import CropInputs
from init_net.samples.crop_samples import Cropper, CropSamples
from init_net.samples.detected_samples import DetectedSamples
from init_net.samples.lifter_samples import LifterSamples

if TYPE_CHECKING:
    from init_net.networks.handnet import HandNet
    from init_net.networks.segmentation import HandSegmentation

_BATCH = 64


@dataclass(frozen=True)
class HandErrors:
    """How far N hands are off, each by itself, after a similarity alignment.

    Attributes:
        keypoints: (N, 21) distance of each keypoint, mm; the hand is aligned by its keypoints.
        vertices: (N,) mean distance of the mesh's vertices, mm; aligned by its vertices.
        f_scores: (N, 2) F-score of the aligned mesh at 5 and at 15 mm.
    """

    keypoints: np.ndarray
    vertices: np.ndarray
    f_scores: np.ndarray

    @classmethod
    def of(
        cls,
        keypoints: Tensor,
        true_keypoints: Tensor,
        vertices: Tensor | None,
        true_vertices: Tensor | None,
    ) -> Self:
        """Compare hands.

        Args:
            keypoints: (N, 21, 3) keypoints as found, any unit and frame.
            true_keypoints: (N, 21, 3) metres.
            vertices: (N, V, 3) as found, of whichever unit and frame; None without a mesh, whose
                figures are NaN.
            true_vertices: (N, V, 3) metres; None where they are not known, likewise.
        """
        errors = _aligned_errors(keypoints.numpy(), true_keypoints.numpy())
        if vertices is None or true_vertices is None:
            return cls(errors, np.full(len(errors), np.nan), np.full((len(errors), 2), np.nan))
        true = true_vertices.numpy()
        aligned = procrustes_aligned(vertices.numpy(), true)
        return cls(errors, 1000 * point_errors(aligned, true).mean(-1), fscore(aligned, true))

    @classmethod
    def together(cls, parts: Sequence[Self]) -> Self:
        """Those of several batches, in order."""
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*(np.concatenate(values) for values in columns))

    def __getitem__(self, index: np.ndarray) -> HandErrors:
        """Those of the hands at an index, or in a mask."""
        return HandErrors(self.keypoints[index], self.vertices[index], self.f_scores[index])

    def figures(self) -> dict[str, float]:
        """Means over the hands; NaN where a hand has no finite value, and nothing of meshes where
        no hand has one."""
        five, fifteen = self.f_scores.mean(0).tolist()
        figures = {"pa_mpjpe_mm": float(self.keypoints.mean()), "auc": auc(self.keypoints / 1000)}
        if np.isnan(self.vertices).all():
            return figures
        return {
            **figures,
            "pa_mpvpe_mm": float(self.vertices.mean()),
            "f_5": five,
            "f_15": fifteen,
        }

    def standard_errors(self) -> dict[str, float]:
        """By how much means over other hands of the same kind would scatter."""
        return {
            "pa_mpjpe_mm": standard_error(self.keypoints.mean(1)),
            "pa_mpvpe_mm": standard_error(self.vertices),
        }


def standard_error(values: np.ndarray) -> float:
    """Of the mean of independent values (N,): NaN for a single one."""
    if len(values) < 2:
        return float("nan")
    return float(values.std(ddof=1) / len(values) ** 0.5)


def weighted_iou(estimate: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Intersection over union of masks where they count.

    Args:
        estimate: (N, S, S) bool.
        truth: (N, S, S) bool.
        weight: (N, S, S) in [0, 1], how far each pixel counts.

    Returns:
        (N,) in [0, 1]; 1 where both masks are empty as far as pixels count, as `mask_iou` has it.
    """
    union = (weight * (estimate | truth)).sum((1, 2))
    overlap = (weight * (estimate & truth)).sum((1, 2))
    return np.divide(overlap, union, out=np.ones(len(union)), where=union > 0)


@torch.no_grad()
def lifter_figures(
    network: nn.Module, held_out: DetectedSamples, absent: frozenset[str] = frozenset()
) -> dict[str, float]:
    """Of a `HandLifter` on hands that the detector found.

    Its keypoints, the mesh that inverse kinematics makes of them, and how many true coordinates lie
    within one std of the said ones across and along the line of sight (0.68 for Gaussians).

    Args:
        network: to be measured.
        held_out: hands.
        absent: parts of the network that are left out.
    """
    device = next(network.parameters()).device
    model = load_hand_model(dtype=torch.float64)
    whole = load_hand_model(dtype=torch.float64, children=True)
    errors, covered = [], []
    complete = held_out.samples.keypoints.isfinite().all(dim=(1, 2)).nonzero()[:, 0]
    for rows in complete.split(_BATCH):
        hands = held_out.samples[rows]
        unit = hands.metres[:, None, None]
        said = network(hands.inputs.to(device), absent).to("cpu")
        solved = inverse_kinematics(
            model.keypoint_model(), said.keypoints.double(), up_to_scale=True
        )
        true = _true_vertices(whole, hands)
        keypoints, true_keypoints = said.keypoints * unit, hands.keypoints * unit
        errors.append(HandErrors.of(keypoints, true_keypoints, model(solved).vertices, true))
        within = (said.keypoints - hands.keypoints).abs() < said.std[..., (0, 0, 1)]
        covered.append(within[:, 1:].float().mean(1))
    across_x, across_y, along = torch.cat(covered).mean(0).tolist()
    return {
        **HandErrors.together(errors).figures(),
        "within_std_across": 0.5 * (across_x + across_y),
        "within_std_along": along,
        "hands": float(len(complete)),
    }


@dataclass(frozen=True)
class CropErrors:
    """How far a `HandNet` is off on N crops whose keypoints are all known in 3D.

    Attributes:
        aligned: after a similarity alignment of each hand.
        rooted: (N, 21) mm, with the wrists on each other.
        positions: (N, 21) pixels of the crop.
    """

    aligned: HandErrors
    rooted: np.ndarray
    positions: np.ndarray

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        network: HandNet,
        held_out: Cropper,
        with_keypoints: bool = True,
        absent: frozenset[str] = NOTHING,
    ) -> Self:
        """Measure a network; the arguments are those of `crop_figures`."""
        device = next(network.parameters()).device
        model = load_hand_model(dtype=torch.float64, children=True)
        marks, joints = (
            each.to(torch.float32)
            for each in (model.keypoint_model(), KeypointDefinition.of(model, "mano").reduced)
        )
        errors, seen, rooted = [], [], []
        for whole in crop_batches(held_out):
            crops = whole[whole.points.isfinite().all(dim=(1, 2))]
            hands = network.regress(_given(crops, with_keypoints).to(device), absent).to("cpu")
            found = labelled_points(marks, joints, hands, crops.is_marks)
            mesh = posed_mesh(model, hands.rotations, hands.betas).vertices
            true = _true_vertices(model, crops)
            errors.append(HandErrors.of(found.points, crops.points, mesh, true))
            rooted.append(1000 * point_errors(found.points.numpy(), crops.points.numpy()))
            seen.append(keypoint_2d_error(found.positions.numpy(), crops.positions.numpy()))
        return cls(
            HandErrors.together(errors),
            np.concatenate(rooted),
            held_out.size * np.concatenate(seen),
        )


def crop_figures(
    network: HandNet,
    held_out: Cropper,
    with_keypoints: bool = True,
    absent: frozenset[str] = NOTHING,
) -> dict[str, float]:
    """Of a `HandNet` on crops whose keypoints are all known in 3D.

    ``mpjpe_mm`` is the distance of keypoints with the wrists on each other.

    Args:
        network: to be measured.
        held_out: of samples.
        with_keypoints: give it what the detector saw; else nothing but the image.
        absent: parts of the network that it is to do without; the head is there anyway.
    """
    errors = CropErrors.of(network, held_out, with_keypoints, absent)
    return {
        **errors.aligned.figures(),
        "mpjpe_mm": float(errors.rooted.mean()),
        "keypoints_2d_px": float(errors.positions.mean()),
        "hands": float(len(errors.rooted)),
    }


def _given(crops: CropSamples, with_keypoints: bool) -> CropInputs:
    if with_keypoints:
        return crops.inputs
    return crops.with_confidence(torch.zeros_like(crops.confidence)).inputs


@torch.no_grad()
def mask_figures(
    network: HandNet | HandSegmentation,
    held_out: Cropper,
    with_keypoints: bool = True,
    absent: frozenset[str] = NOTHING,
) -> dict[str, float]:
    """Of the masks of crops whose masks are known; nothing where none is. The arguments are those
    of `crop_figures`."""
    if not held_out.samples.column("has_mask").any():
        return {}
    device = next(network.parameters()).device
    overlap, right = [], []
    for whole in crop_batches(held_out):
        crops = whole[whole.has_mask]
        logits = network.segment(_given(crops, with_keypoints).to(device), absent)
        found = (logits.cpu() > 0).numpy()
        true = (crops.mask > 0.5).numpy()
        overlap.append(mask_iou(found, true))
        right.append((found == true).mean((1, 2)))
    every = np.concatenate(overlap)
    return {
        "mask_iou": float(every.mean()),
        "mask_iou_median": float(np.median(every)),
        "pixel_accuracy": float(np.concatenate(right).mean()),
        "hands": float(len(every)),
    }


def _true_vertices(model: HandModel, hands: CropSamples | LifterSamples) -> Tensor | None:
    """(B, V, 3) of true hands, None where the parameters of one are not known."""
    if not (hands.rotations.isfinite().all() and hands.betas.isfinite().all()):
        return None
    return posed_mesh(model, hands.rotations, hands.betas).vertices


def posed_mesh(model: HandModel, rotations: Tensor, betas: Tensor) -> HandMesh:
    """Hands as networks say them.

    Args:
        model: of a right hand, float64.
        rotations: (B, 16, 3, 3), see `RegressedHands`.
        betas: (B, S).

    Returns:
        Their meshes in the frame of the wrist's rotation, at `transl` zero, float64.
    """
    vectors = roma.rotmat_to_rotvec(rotations.double())
    place = vectors.new_zeros(len(vectors), 3)
    return model(HandParams(vectors[:, 0], vectors[:, 1:], betas.double(), place))


def crop_batches(cropper: Cropper) -> Iterator[CropSamples]:
    """All crops of a cropper, in order and some at a time."""
    for rows in np.array_split(np.arange(len(cropper.samples)), -(-len(cropper.samples) // _BATCH)):
        yield cropper.crop(rows, (0,))


def _aligned_errors(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(B, 21) mm."""
    return 1000 * point_errors(procrustes_aligned(found, true), true)
