"""Writes RHD's layout as github.com/lmb-freiburg/hand3d reads it: ``create_binary_db.py`` and
``data/BinaryDbReader.py``; depth as the data set's own ``view_samples.py`` does."""

import pickle
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.hand_pairs import SIDES, HandPair, hand_pair
from tests.support.known_hands import View

NUMBERS = (0, 1, 4)
"""Of the samples; in the last the left hand cannot be seen."""
DEPTH_STEP = 5 / 65535


def write_rhd(folder: Path, models: Path, split: str = "training") -> dict[int, HandPair]:
    """A split; number of a sample -> the hands in it."""
    view = View((320, 320), 400, 0.65)
    for kind in ("color", "mask", "depth"):
        (folder / split / kind).mkdir(parents=True)
    pairs, samples = {}, {}
    for number in NUMBERS:
        pair = pairs[number] = hand_pair(models, number, view)
        samples[number] = sample(pair, hidden=number == NUMBERS[-1])
        parts = np.zeros((320, 320), np.uint8)
        parts[200:, :100] = 1  # the person
        rows = np.arange(320)[:, None]
        parts = np.where(pair.hands["left"].mask, 2 + rows % 16, parts)
        parts = np.where(pair.hands["right"].mask, 18 + rows % 16, parts).astype(np.uint8)
        steps = np.round(pair.depth / DEPTH_STEP).astype(int)
        depth = np.stack([steps // 256, steps % 256, 0 * steps], -1).astype(np.uint8)
        for kind, pixels in (("color", pair.image), ("mask", parts), ("depth", depth)):
            Image.fromarray(pixels).save(folder / split / kind / f"{number:05d}.png")
    write_annotations(folder, split, samples)
    return pairs


def write_annotations(folder: Path, split: str, samples: dict) -> None:
    (folder / split / f"anno_{split}.pickle").write_bytes(pickle.dumps(samples, 2))


def sample(pair: HandPair, hidden: bool) -> dict[str, np.ndarray]:
    """Left hand first; the wrist, then each finger from tip to base."""
    points = []
    for side in SIDES:
        keypoints = pair.hands[side].keypoints
        fingers = keypoints[1:].reshape(5, 4, 3)[:, ::-1]
        points += [keypoints[:1], fingers.reshape(20, 3)]
    xyz = np.concatenate(points)
    K = pair.hands["right"].view.intrinsics
    uvw = xyz @ K.T
    visible = np.ones(42)
    visible[7] = 0
    visible[:21] *= not hidden
    uv_vis = np.column_stack([uvw[:, :2] / uvw[:, 2:], visible])
    return {"uv_vis": uv_vis, "xyz": xyz.astype(np.float32), "K": K.astype(np.float32)}
