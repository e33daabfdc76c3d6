"""How far networks are off on rendered crops: what Tables 2 and 4 and Figs. 8 and 9 of
RealisticHands are made of.

Everything is said of each hand by itself, so that it can be averaged, paired and resampled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from scipy.integrate import trapezoid
from torch import Tensor

from fitter.hand_models import HandModel, load_hand_model
from fitter.metrics import fscore, keypoint_2d_error, point_errors, procrustes_aligned
from init_net.posing import weak_projection
from init_net.records import CropInputs, RegressedHands
from init_net.samples.crop_samples import Cropper, CropSamples
from init_net.training.evaluation import posed_mesh, standard_error

THRESHOLDS = np.linspace(0.0, 0.05, 51)
"""Metres: where curves are kept. FreiHAND's range, 0 to 50 mm, in steps of 1 mm."""

BATCH = 50
"""Hands that are measured at once."""


@dataclass(frozen=True)
class HandFigures:
    """How far N hands are off.

    Attributes:
        mpvpe_mm: (N,) mean distance of the vertices after a similarity alignment ("PA").
        f_5, f_15: (N,) F-scores of the aligned vertices at 5 and at 15 mm.
        rooted_mm: (N,) mean distance of the vertices with the wrists on each other.
        keypoints_2d: (N,) mean distance of the keypoints in the image where the network's own
            camera sees them, hundredths of the side of the crop.
        aligned_curve, rooted_curve: (N, T) share of each hand's vertices that are off by at most
            each of `THRESHOLDS`, aligned and with the wrists on each other.
    """

    mpvpe_mm: np.ndarray
    f_5: np.ndarray
    f_15: np.ndarray
    rooted_mm: np.ndarray
    keypoints_2d: np.ndarray
    aligned_curve: np.ndarray
    rooted_curve: np.ndarray

    @classmethod
    def of(cls, found: np.ndarray, true: np.ndarray, keypoints_2d: np.ndarray) -> Self:
        """Compare meshes.

        Args:
            found: (N, V, 3) metres relative to the wrist keypoint.
            true: (N, V, 3) likewise.
            keypoints_2d: as the attribute.
        """
        aligned = procrustes_aligned(found, true)
        scores = fscore(aligned, true)
        errors, rooted = point_errors(aligned, true), point_errors(found, true)
        return cls(
            mpvpe_mm=1000 * errors.mean(1),
            f_5=scores[:, 0],
            f_15=scores[:, 1],
            rooted_mm=1000 * rooted.mean(1),
            keypoints_2d=keypoints_2d,
            aligned_curve=curves(errors),
            rooted_curve=curves(rooted),
        )

    @classmethod
    def together(cls, parts: Sequence[Self]) -> Self:
        """Those of several batches, in order."""
        columns = [[getattr(part, each.name) for part in parts] for each in fields(cls)]
        return cls(*(np.concatenate(column) for column in columns))

    def summary(self) -> dict[str, object]:
        """Means over the hands, their standard errors (``_se``), the areas under the mean curves
        (``_auc``), and the curves themselves; four digits."""
        said: dict[str, object] = {"hands": len(self.mpvpe_mm)}
        for each in fields(self):
            values = getattr(self, each.name)
            if values.ndim == 2:
                curve = values.mean(0)
                said[each.name] = [round(float(share), 4) for share in curve]
                said[f"{each.name}_auc"] = round(area(curve), 4)
            else:
                said[each.name] = round(float(values.mean()), 4)
                said[f"{each.name}_se"] = round(standard_error(values), 4)
        return said


def curves(errors: np.ndarray) -> np.ndarray:
    """Each hand's share of points within `THRESHOLDS`: (N, V) metres -> (N, T)."""
    order = np.sort(errors, axis=1)
    found = [np.searchsorted(row, THRESHOLDS, side="right") for row in order]
    return np.stack(found) / errors.shape[1]


def area(curve: np.ndarray) -> float:
    """Under a curve (T,) at `THRESHOLDS`, over their range, by the trapezoidal rule."""
    return float(trapezoid(curve, THRESHOLDS) / (THRESHOLDS[-1] - THRESHOLDS[0]))


Say = Callable[[CropInputs], RegressedHands]
"""What a network says of crops."""


def hand_figures(say: Say, held_out: Cropper, with_keypoints: bool) -> HandFigures:
    """Measure a network.

    Args:
        say: the network.
        held_out: cuts the crops, unvaried.
        with_keypoints: give it what the detector saw; else heatmaps are empty.
    """
    model = load_hand_model(dtype=torch.float64, children=True)
    parts = []
    for crops in batches(held_out):
        with torch.no_grad():
            hands = say(given(crops, with_keypoints))
        found, keypoints = rooted_mesh(model, hands)
        true, _ = rooted_mesh(model, crops.hands)
        seen = weak_projection(keypoints, hands.camera.double())
        distance = keypoint_2d_error(seen.numpy(), crops.positions.double().numpy())
        parts.append(HandFigures.of(found.numpy(), true.numpy(), 100 * distance))
    return HandFigures.together(parts)


def rooted_mesh(model: HandModel, hands: RegressedHands) -> tuple[Tensor, Tensor]:
    """Vertices (B, V, 3) and keypoints (B, 21, 3) of hands, float64 metres relative to the wrist
    keypoint, view frame."""
    mesh = posed_mesh(model, hands.rotations, hands.betas)
    wrist = mesh.keypoints[:, :1]
    return mesh.vertices - wrist, mesh.keypoints - wrist


def given(crops: CropSamples, with_keypoints: bool) -> CropInputs:
    """What a network is shown of crops."""
    if with_keypoints:
        return crops.inputs
    return crops.with_confidence(torch.zeros_like(crops.confidence)).inputs


def batches(cropper: Cropper) -> Iterator[CropSamples]:
    """All crops, in order."""
    count = len(cropper.samples)
    for first in range(0, count, BATCH):
        yield cropper.crop(range(first, min(first + BATCH, count)), (0,))
