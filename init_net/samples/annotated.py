"""One annotated hand as a training sample: a right hand in a square image, with what is known.

picture and annotation -> square around the hand -> image, mask, K and keypoints of the square; a
left hand's are those of the mirrored picture. What the annotation does not say is NaN.
"""

from __future__ import annotations

import numpy as np
import torch

from datasets.annotations import AnnotatedDefinition, AnnotatedHand, AnnotatedImage
from datasets.keypoint_states import OCCLUDED, VISIBLE
from fitter.camera import (
    SquareCrop,
    crop_intrinsics,
    crop_pixels,
    mirror_intrinsics,
    mirror_points,
    to_crop,
)
from fitter.errors import InputError
from fitter.records import HandParams
from init_net.samples.rendered import shape_count
from init_net.samples.shards import HAND_FIELDS, UNKNOWN

AROUND = 2.0
"""Side of the square over the longer side of the keypoints' box, about that of rendered samples:
crops that are cut from it may grow, turn and move."""

FEWEST = 4
"""Keypoints in the image that say where a hand is."""

OWN_MODEL = "open_hand"
"""Hand model whose parameters networks learn."""


def hand_sample(
    image: AnnotatedImage, number: int, definition: AnnotatedDefinition, size: int
) -> dict[str, np.ndarray]:
    """The fields of a sample that are of one hand, see `init_net.samples.shards`.

    Args:
        image: with its annotation.
        number: of the hand in it.
        definition: of its keypoints.
        size: pixels of the sample's side.

    Raises:
        InputError: the annotation does not say which side the hand is of, or where it is.
    """
    hand = image.annotation.hands[number]
    where = f"{image.annotation.name}, hand {number}"
    if hand.side is None:
        raise InputError("samples.no_side", file=where)
    known = np.isfinite(hand.keypoints_2d).all(1)
    if known.sum() < FEWEST:
        raise InputError("samples.no_place", file=where, expected=FEWEST, found=int(known.sum()))
    square = SquareCrop.around(torch.from_numpy(hand.keypoints_2d[known])[None], AROUND, size)
    positions = to_crop(torch.from_numpy(hand.keypoints_2d)[None], square)
    # The focal length of a pseudo-label may have been fitted with it.
    K = image.annotation.intrinsics if hand.intrinsics is None else hand.intrinsics
    matrix = torch.full((1, 3, 3), torch.nan, dtype=torch.float64)
    if K is not None:
        matrix = crop_intrinsics(torch.from_numpy(K)[None].double(), square)
    mask = None if image.masks is None else image.masks[number]
    pictures = [crop_pixels(image.pixels, square)[0], _cut_mask(mask, square)]
    points = hand.keypoints_3d
    is_left = hand.side == "left"
    if is_left:
        positions, matrix = mirror_points(positions, size), mirror_intrinsics(matrix, size)
        pictures = [np.ascontiguousarray(picture[:, ::-1]) for picture in pictures]
        points = points * [-1.0, 1.0, 1.0]
    parameters = _parameters(hand, is_left)
    is_posed = all(np.isfinite(value).all() for value in parameters.values())
    return {
        "image": pictures[0],
        "mask": pictures[1],
        "keypoints_3d": points,
        "keypoints_2d": positions[0].numpy(),
        "keypoint_state": _states(hand),
        "intrinsics": matrix[0].numpy(),
        **parameters,
        "mode": np.array(-1),
        "egocentric": np.array(False),
        "usable": np.array(True),
        "has_mask": np.array(mask is not None),
        # What is posed from parameters has the keypoints of either definition.
        "is_marks": np.array(is_posed or definition == "mediapipe"),
        "label_confidence": np.ones(21) if hand.confidence is None else hand.confidence,
        "label_score": np.array(1.0 if hand.score is None else hand.score),
        "picture_hash": picture_hash(pictures[0]),
    }


def _cut_mask(mask: np.ndarray | None, square: SquareCrop) -> np.ndarray:
    """(S, S) uint8 of a mask (H, W), 255 on the hand; zeros where it is not known."""
    if mask is None:
        return np.zeros((square.output_size, square.output_size), np.uint8)
    return crop_pixels(mask.astype(np.uint8) * 255, square)[0]


def _states(hand: AnnotatedHand) -> np.ndarray:
    if hand.visible is None:
        return np.full(21, UNKNOWN)
    return np.where(hand.visible, VISIBLE, OCCLUDED)


def _parameters(hand: AnnotatedHand, is_left: bool) -> dict[str, np.ndarray]:
    """`HAND_FIELDS` of the right hand; NaN where they are not of `OWN_MODEL`."""
    betas = np.full(shape_count(), np.nan)
    found = hand.parameters
    if found is None or found.model != OWN_MODEL or len(found.betas) > len(betas):
        nothing = (np.full(3, np.nan), np.full((15, 3), np.nan), betas, np.full(3, np.nan))
        return dict(zip(HAND_FIELDS, nothing, strict=True))
    betas[:] = 0
    betas[: len(found.betas)] = found.betas
    values = (found.global_orient, found.hand_pose, betas, found.translation)
    params = HandParams(*(torch.from_numpy(np.asarray(value))[None] for value in values))
    if is_left:
        params = params.mirrored()
    return {name: getattr(params, name)[0].numpy() for name in HAND_FIELDS}


def picture_hash(image: np.ndarray) -> np.ndarray:
    """() uint64, the perceptual hash of an image (H, W, 3) uint8: 64 signs of low frequencies of
    its cosine transform against their median. Pictures that look alike differ in few bits."""
    import imagehash
    from PIL import Image

    bits = imagehash.phash(Image.fromarray(image)).hash
    return np.packbits(bits.reshape(-1)).view(">u8").astype(np.uint64)[0]
