"""What a detector saw of B hands, as tensors, and the same in the units of the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from fitter.camera import (
    SquareCrop,
    back_project,
    crop_intrinsics,
    mirror_intrinsics,
    mirror_points,
    rotation_to,
    to_crop,
)
from fitter.energies.keypoints import KeypointTargets
from fitter.records import HandObservation, TensorBatch

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


def normalise(observed: ObservationBatch, depth_gain: float = 1.0) -> KeypointTargets:
    """Mirror left hands and express everything in crop units; see `KeypointTargets`.

    Args:
        observed: B hands.
        depth_gain: true depth per unit of the detector's, `FitConfig.relative_depth_gain`.
    """
    left = observed.is_left[:, None, None]
    # Mirrored about x = 0: where the picture's centre line lies does not matter to the crop.
    keypoints = torch.where(left, mirror_points(observed.keypoints, 0.0), observed.keypoints)
    intrinsics = torch.where(left, mirror_intrinsics(observed.intrinsics, 0.0), observed.intrinsics)
    flip = observed.relative_xyz.new_tensor([-1.0, 1.0, 1.0])
    xyz = torch.where(left, observed.relative_xyz * flip, observed.relative_xyz)

    crop = SquareCrop.around(seen_only(keypoints, observed.confidence), _BOX_MARGIN, 1)
    intrinsics = crop_intrinsics(intrinsics, crop)
    middle = crop.centre.new_full((len(crop.centre), 1, 2), 0.5)
    view = normalize(rays_of(intrinsics, middle)[:, 0], dim=-1)
    return KeypointTargets.of(
        keypoints=to_crop(keypoints, crop),
        confidence=observed.confidence,
        cameras=(intrinsics, view),
        relative_depth=depth_gain * observed.relative_depth * crop.scale[:, None],
        # The detector's axes are those of a camera that looks straight at the hand.
        relative_xyz=xyz @ rotation_to(view).mT,
    )


def seen_keypoints(confidence: Tensor) -> Tensor:
    """(B, 21) bool: keypoints that count; all of a hand of which none was seen."""
    seen = confidence > 0
    return seen | ~seen.any(-1, keepdim=True)


def seen_only(keypoints: Tensor, confidence: Tensor) -> Tensor:
    """(B, 21, 2) keypoints with the unseen ones moved onto a seen one, where they span no box."""
    seen = seen_keypoints(confidence)
    first = keypoints.gather(1, seen.int().argmax(1)[:, None, None].expand(-1, 1, 2))
    return torch.where(seen[..., None], keypoints, first)


def usable(observed: ObservationBatch) -> Tensor:
    """(B,) bool: finite where values are needed, NaN at the most where they are not, and with
    keypoints and a camera that are not degenerate."""
    needed = (observed.keypoints, observed.confidence, observed.intrinsics)
    seen = seen_only(observed.keypoints, observed.confidence)
    extent = seen.amax(1) - seen.amin(1)
    determinant = torch.linalg.det(observed.intrinsics)
    weak = (observed.relative_depth, observed.relative_xyz)
    return torch.stack(
        [x.isfinite().flatten(1).all(-1) for x in needed]
        + [~x.isinf().flatten(1).any(-1) for x in weak]
        + [extent.amax(-1) >= LEAST_EXTENT, determinant > 0]
    ).all(0)


def rays_of(intrinsics: Tensor, positions: Tensor) -> Tensor:
    """Points (B, N, 3) at depth one that project to positions (B, N, 2)."""
    return back_project(positions, torch.ones_like(positions[..., 0]), intrinsics)
