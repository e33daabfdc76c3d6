"""Writes FreiHAND's layout: names, shapes and units are those of the public loader,
github.com/lmb-freiburg/freihand, ``utils/fh_utils.py`` and ``utils/model.py``."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.known_hands import KnownHand, View, known_hand

VERSIONS = 4
"""How often a training sample is shown: gs, hom, sample, auto."""


def write_freihand(folder: Path, models: Path, count: int = 3) -> list[KnownHand]:
    """Both splits with the same hands; the evaluation has neither masks nor parameters.

    Args:
        folder: of the data set.
        models: for MANO's files.
        count: of the samples.
    """
    # One focal length for both axes, as the public code's weak perspective takes.
    views = [View((224, 224), 470 + seed, aspect=1.0) for seed in range(count)]
    hands = [known_hand(models, seed, view=view) for seed, view in enumerate(views)]
    for split, versions, lists in (
        ("training", VERSIONS, ("K", "xyz", "scale", "mano", "verts")),
        ("evaluation", 1, ("K", "xyz", "scale")),
    ):
        (folder / split / "rgb").mkdir(parents=True)
        for version in range(versions):
            for number, hand in enumerate(hands):
                pixels = _with_other_background(hand, version)
                name = f"{count * version + number:08d}.jpg"
                Image.fromarray(pixels).save(folder / split / "rgb" / name, quality=95)
        for kind in lists:
            values = [entry(hand, kind) for hand in hands]
            (folder / f"{split}_{kind}.json").write_text(json.dumps(values))
    (folder / "training" / "mask").mkdir()
    for number, hand in enumerate(hands):
        mask = np.repeat(255 * hand.mask[..., None].astype(np.uint8), 3, 2)
        Image.fromarray(mask).save(folder / "training" / "mask" / f"{number:08d}.jpg", quality=90)
    return hands


def entry(hand: KnownHand, kind: str) -> object:
    """A hand's entry in one of the lists."""
    if kind == "K":
        return hand.view.intrinsics.tolist()
    if kind == "xyz":
        return hand.regressed.tolist()
    if kind == "verts":
        return hand.vertices.tolist()
    if kind == "scale":
        return float(np.linalg.norm(hand.regressed[9] - hand.regressed[10]))
    # MANO: 48 angles relative to the mean pose, 10 betas, and keypoint 9 under weak perspective:
    # the joint of the chain, which is not the one that the list of keypoints has.
    K = hand.view.intrinsics
    focal, root = 0.5 * (K[0, 0] + K[1, 1]), hand.keypoints[9]
    scale = focal / root[2]
    position = scale * root[:2] + K[:2, 2]
    pose = np.concatenate([hand.flat("global_orient"), hand.pose_from_mean])
    return [[*pose, *hand.flat("betas"), *position, scale]]


def _with_other_background(hand: KnownHand, version: int) -> np.ndarray:
    pixels = hand.image.copy()
    pixels[~hand.mask] = np.roll(pixels[~hand.mask], version, axis=-1)
    return pixels
