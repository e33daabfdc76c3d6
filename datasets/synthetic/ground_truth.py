"""What a rendered image says: what each pixel shows, how deep, and which keypoints are visible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from datasets.keypoint_states import OCCLUDED, OUTSIDE, SELF_OCCLUDED, VISIBLE
from datasets.synthetic.poses import PoseModel
from datasets.synthetic.records import BACKGROUND, FOREARM, HAND, OTHER_HAND
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.raster import Fragments
from fitter.records import HandParams

CLEARANCE = 0.004
"""Metres of skin in front of a keypoint beyond its distance to the skin that still is its own."""
IN_FRONT = 0.002
"""Metres by which something else must be nearer than a keypoint to hide it."""


@dataclass(frozen=True)
class PixelTruth:
    """Of B images.

    Attributes:
        mask: (B, S, S) float32; parts: (B, S, S) uint8; depth: (B, S, S) float32, see
            `SyntheticBatch`.
        fine_parts, fine_depth: (B, F, F) the same of the finer image that was rendered; the depth
            is infinite where nothing is.
    """

    mask: Tensor
    parts: Tensor
    depth: Tensor
    fine_parts: Tensor
    fine_depth: Tensor


def truth_of_pixels(fragments: Fragments, part_of_face: Tensor, supersampling: int) -> PixelTruth:
    """Coverage, parts and depth of images `supersampling` times coarser than the fragments.

    `part_of_face` is (F,) uint8. The part of a pixel is the one that most of its samples show, of
    equally many the first.
    """
    index, ss = fragments.face_index, supersampling
    parts = torch.where(
        index >= 0, part_of_face[index.long().clamp_min(0)], part_of_face.new_tensor(BACKGROUND)
    )
    depth = torch.where(index >= 0, fragments.depth, torch.inf)
    batch, fine = parts.shape[:2]
    size = fine // ss

    def blocks(tensor: Tensor) -> Tensor:
        return tensor.view(batch, size, ss, size, ss).transpose(2, 3).flatten(3)

    samples = blocks(parts)
    counts = torch.stack(
        [(samples == part).sum(-1, dtype=torch.uint8) for part in range(OTHER_HAND + 1)], -1
    )
    nearest = blocks(depth).amin(-1)
    return PixelTruth(
        mask=counts[..., HAND].float() / (ss * ss),
        parts=counts.argmax(-1).to(torch.uint8),
        depth=torch.where(nearest.isfinite(), nearest, 0.0).float(),
        fine_parts=parts,
        fine_depth=depth,
    )


def keypoint_tolerance(model: PoseModel, template: np.ndarray) -> Tensor:
    """(21,) metres of flesh that may lie in front of each keypoint: at rest the distance to the
    nearest vertex of the template (V, 3), and more where the hand is turned sideways."""
    zero = torch.zeros(1, 3, dtype=torch.float64)
    still = HandParams(
        zero,
        zero.expand(model.marked.skeleton.rotations, 3)[None],
        torch.zeros(1, model.shapes).double(),
        zero,
    )
    _, keypoints = pose_keypoints(model.marked, still)
    nearest = torch.cdist(keypoints[0], torch.from_numpy(template)).amin(dim=1)
    return 1.6 * nearest + CLEARANCE


def keypoint_states(
    pixels: PixelTruth, depth: Tensor, positions: Tensor, tolerance: Tensor, supersampling: int
) -> Tensor:
    """What hides each keypoint.

    Args:
        pixels: of B images.
        depth: (B, 21) metres; positions: (B, 21, 2) pixels.
        tolerance: (21,) or (B, 21) metres, see `keypoint_tolerance`.
        supersampling: how much finer than a pixel the finer image is.

    Returns:
        (B, 21) uint8: VISIBLE, SELF_OCCLUDED, OCCLUDED or OUTSIDE.
    """
    fine = pixels.fine_depth.shape[1]
    place = (positions * supersampling).floor().long()
    inside = ((place >= 0) & (place < fine)).all(dim=-1)
    place = place.clamp(0, fine - 1)
    index = place[..., 1] * fine + place[..., 0]
    first = pixels.fine_depth.flatten(1).gather(1, index)
    part = pixels.fine_parts.flatten(1).gather(1, index)
    own = (part == HAND) | (part == FOREARM)
    state = torch.full_like(part, VISIBLE)
    state[own & (first < depth - tolerance)] = SELF_OCCLUDED
    state[~own & (first < depth - IN_FRONT)] = OCCLUDED
    state[~inside] = OUTSIDE
    return state.to(torch.uint8)
