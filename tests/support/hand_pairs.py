"""A left and a right hand beside each other in one image, of which everything is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from fitter.records import HandParams, Side
from tests.support.known_hands import KnownHand, View, draw, known_hand, model

SIDES: tuple[Side, Side] = ("left", "right")
APART = 0.09
"""Metres of each hand from where a hand alone is: the left hand is to the left."""


@dataclass(frozen=True)
class HandPair:
    """Two hands.

    Attributes:
        hands: by side; their masks are of what can be seen.
        image: (H, W, 3) uint8; depth: (H, W) float32 metres, 0 beside the hands.
    """

    hands: dict[Side, KnownHand]
    image: np.ndarray
    depth: np.ndarray


def hand_pair(folder: Path, seed: int, view: View) -> HandPair:
    """Two hands in some poses; see `known_hand`."""
    left, right = (
        _moved(folder, known_hand(folder, 2 * seed + place, side, view), (2 * place - 1) * APART)
        for place, side in enumerate(SIDES)
    )
    left_depth, right_depth = (np.where(h.mask, h.depth, np.inf) for h in (left, right))
    is_left = left.mask & (left_depth < right_depth)
    is_right = right.mask & ~is_left
    depth = np.minimum(left_depth, right_depth)
    return HandPair(
        {"left": replace(left, mask=is_left), "right": replace(right, mask=is_right)},
        np.where(is_left[..., None], left.image, right.image),
        np.where(np.isfinite(depth), depth, 0).astype(np.float32),
    )


def _moved(folder: Path, hand: KnownHand, x: float) -> KnownHand:
    offset = np.array([x, 0.0, 0.0])
    old = hand.params
    params = HandParams(
        old.global_orient, old.hand_pose, old.betas, old.transl + torch.as_tensor(offset)
    )
    hand_model = model(folder, hand.side)
    vertices = hand_model(params).vertices
    image, mask, depth = draw(
        vertices, hand_model.faces, hand.view, np.random.default_rng(len(hand.side))
    )
    return replace(
        hand,
        params=params,
        joints=hand.joints + offset,
        keypoints=hand.keypoints + offset,
        regressed=hand.regressed + offset,
        vertices=vertices[0].numpy(),
        image=image,
        mask=mask,
        depth=depth,
    )
