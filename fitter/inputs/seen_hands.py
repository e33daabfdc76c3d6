"""Annotated hands in place of detected ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fitter.errors import InputError
from fitter.inputs.given_hands import hand_observation
from fitter.inputs.seen_images import SeenHand
from fitter.records import HandObservation


def observations(hands: Sequence[SeenHand], where: str) -> list[HandObservation]:
    """Annotated hands in place of detected ones, without those that have no keypoint in the image.

    Args:
        hands: of an image.
        where: what to name in messages.

    Raises:
        InputError: a hand has no side, or its keypoints are no pixels.
    """
    return [
        _observation(hand, f"{where}, hand {number}")
        for number, hand in enumerate(hands)
        if is_marked(hand)
    ]


def is_marked(hand: SeenHand) -> bool:
    """Whether any keypoint of a hand has a place in the image."""
    return bool(_marked(hand).any())


def _marked(hand: SeenHand) -> np.ndarray:
    """(21,) whether a keypoint has a place in the image."""
    return np.isfinite(np.asarray(hand.keypoints_2d)).all(axis=-1)


def _observation(hand: SeenHand, where: str) -> HandObservation:
    """An annotated hand in place of a detected one; keypoints that are not marked count nothing."""
    if hand.side is None:
        raise InputError("dataset.no_side", file=where)
    marked = _marked(hand)
    sure = np.ones(21) if hand.confidence is None else np.nan_to_num(hand.confidence)
    weight = marked * sure
    positions = np.where(marked[:, None], hand.keypoints_2d, 0.0)
    return hand_observation(np.column_stack([positions, weight]), hand.side, where)
