"""What a detector saw of B hands, as tensors, and the same in the units of the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
from fitter.conventions import BONES
from fitter.detection.networks.shapes import FEATURES
from fitter.records import HandObservation, NormalisedHands, TensorBatch

LEAST_EXTENT = 4.0
"""Longer side in pixels of the keypoints' box below which there is no hand to be seen."""

_BOX_MARGIN = 1.2
"""Side of the square crop over the longer side of the keypoints' box."""

_ENDS = tuple(list(ends) for ends in zip(*BONES, strict=True))
"""Keypoints at the palm's and the tip's side of each bone."""


@dataclass(frozen=True)
class ObservationBatch(TensorBatch):
    """B observed hands as tensors.

    Attributes:
        keypoints: (B, 21, 2) pixels of the full image.
        confidence: (B, 21) in [0, 1].
        relative_depth: (B, 21) pixels, NaN where unknown.
        relative_xyz: (B, 21, 3) metres, NaN where unknown.
        intrinsics: (B, 3, 3) pixels of the full image.
        features: (B, 2, F) float32, see `HandObservation.features`, NaN where unknown.
        is_left: (B,) bool.
    """

    keypoints: Tensor
    confidence: Tensor
    relative_depth: Tensor
    relative_xyz: Tensor
    intrinsics: Tensor
    features: Tensor
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
            features=_stacked_features(hands, like),
            is_left=torch.tensor([hand.side == "left" for hand in hands], device=like.device),
        )


def unknown_features(batch: int, like: Tensor) -> Tensor:
    """(B, 2, F) float32 NaN, for hands that no landmark network of ours has seen."""
    return torch.full((batch, 2, FEATURES), torch.nan, dtype=torch.float32, device=like.device)


def _stacked_features(hands: Sequence[HandObservation], like: Tensor) -> Tensor:
    features = unknown_features(len(hands), like)
    for i, hand in enumerate(hands):
        if hand.features is not None:
            features[i] = torch.from_numpy(hand.features)
    return features


def normalise(observed: ObservationBatch) -> NormalisedHands:
    """Mirror left hands and express everything in crop units; see `NormalisedHands`.

    Args:
        observed: B hands. One whose values are not finite or whose keypoints lie within
            `LEAST_EXTENT` is not usable.
    """
    index = usable(observed).nonzero().flatten()
    seen = observed[index]
    left = seen.is_left[:, None, None]
    # Mirrored about x = 0: where the image's centre line lies does not matter to the crop.
    flip = seen.relative_xyz.new_tensor([-1.0, 1.0, 1.0])
    xyz = torch.where(left, seen.relative_xyz * flip, seen.relative_xyz)
    hands = normalise_right(
        keypoints=torch.where(left, mirror_points(seen.keypoints, 0.0), seen.keypoints),
        confidence=seen.confidence,
        intrinsics=torch.where(left, mirror_intrinsics(seen.intrinsics, 0.0), seen.intrinsics),
        relative_depth=seen.relative_depth,
        bone_directions=normalize(bones_of(xyz), dim=-1),
        # In the mirrored picture the look at its mirror image is that at the picture itself.
        features=torch.where(left, seen.features.flip(1), seen.features),
    )
    if len(index) == len(observed.is_left) and bool(hands.is_usable.all()):
        return hands
    index, hands = index[hands.is_usable], hands[hands.is_usable]
    return _unusable(observed).with_hands(index, hands)


def normalise_right(
    keypoints: Tensor,
    confidence: Tensor,
    intrinsics: Tensor,
    relative_depth: Tensor,
    bone_directions: Tensor,
    features: Tensor,
) -> NormalisedHands:
    """Express what is known of right hands in crop units.

    Args:
        keypoints: (B, 21, 2) pixels or any other unit of `intrinsics`.
        confidence: (B, 21) in [0, 1].
        intrinsics: (B, 3, 3).
        relative_depth: (B, 21) in the unit of `keypoints`; a hand with any that is not finite has
            none.
        bone_directions: (B, 20, 3) unit vectors in the axes of a camera that looks straight at the
            hand, as a detector gives them; a hand with any that is not finite has none.
        features: (B, 2, F) see `NormalisedHands`.
    """
    crop = SquareCrop.around(seen_only(keypoints, confidence), _BOX_MARGIN, 1)
    intrinsics = crop_intrinsics(intrinsics, crop)
    middle = crop.centre.new_full((len(crop.centre), 1, 2), 0.5)
    view_direction = normalize(rays_of(intrinsics, middle)[:, 0], dim=-1)
    depth = relative_depth * crop.scale[:, None]
    has_depth = depth.isfinite().all(-1, keepdim=True)
    bones = bone_directions @ rotation_to(view_direction).mT
    has_bones = bones.isfinite().flatten(1).all(-1, keepdim=True)
    palm, tip = _ENDS
    hands = NormalisedHands(
        keypoints=to_crop(keypoints, crop),
        confidence=confidence,
        intrinsics=intrinsics,
        view_direction=view_direction,
        relative_depth=depth.nan_to_num(),
        depth_weight=confidence[:, 1:] * has_depth,
        bone_directions=bones.nan_to_num(),
        # The product of the confidences of both ends, as in S2HAND (Chen et al. 2021) eq. 4.
        bone_weight=confidence[:, palm] * confidence[:, tip] * has_bones,
        features=features,
        is_usable=has_depth.new_ones(len(keypoints)),
    )
    free = ("features", "is_usable")
    values = (value.flatten(1) for name, value in vars(hands).items() if name not in free)
    finite = torch.stack([value.isfinite().all(-1) for value in values]).all(0)
    return replace(hands, is_usable=finite)


def bones_of(points: Tensor) -> Tensor:
    """(B, 20, 3) vectors from palm to tip of the `BONES` of keypoints (B, 21, 3)."""
    palm, tip = _ENDS
    return points[:, tip] - points[:, palm]


def ends_sum(values: Tensor) -> Tensor:
    """(B, 20) sums over the two ends of each of `BONES` of what keypoints (B, 21) have."""
    palm, tip = _ENDS
    return values[:, tip] + values[:, palm]


def _unusable(observed: ObservationBatch) -> NormalisedHands:
    """What stands for B hands of which nothing can be used."""
    like, batch = observed.keypoints, len(observed.keypoints)

    def unknown(*shape: int) -> Tensor:
        return like.new_full((batch, *shape), torch.nan)

    return NormalisedHands(
        keypoints=unknown(21, 2),
        confidence=unknown(21),
        intrinsics=unknown(3, 3),
        view_direction=unknown(3),
        relative_depth=unknown(21),
        depth_weight=unknown(20),
        bone_directions=unknown(20, 3),
        bone_weight=unknown(20),
        features=unknown_features(batch, like),
        is_usable=torch.zeros(batch, dtype=torch.bool, device=like.device),
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
