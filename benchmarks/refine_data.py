"""The images of `benchmarks/refine.py`: hands whose mesh, mask and camera are known.

python benchmarks/refine_data.py --out scenes/dev --first-seed 10000 --count 100    # for tuning
python benchmarks/refine_data.py --out scenes/test --first-seed 20000 --count 200   # held out

A scene that is there is kept, so the command may be stopped and run again. `observe` says what a
fit may see of a scene.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from measuring import BenchmarkError, run_command

from fitter.camera import project
from fitter.hand_models import load_hand_model
from fitter.records import HandObservation, HandParams
from fitter.system.files import write_whole

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))
from synthetic_scenes import Scene, render_scene

KEYPOINT_NOISE = 5.6
"""Standard deviation in pixels of each coordinate of the keypoints, in an image of 256 pixels."""
MASK_RADIUS = 3
"""Largest radius in pixels by which the mask is eroded or dilated."""
PUNCHED = 0.05
"""Share of the mask's pixels that is taken out again."""

_ARRAYS = (
    "image",
    "intrinsics",
    "vertices",
    "joints",
    "keypoints",
    "hand_mask",
    "arm_mask",
    "covered",
)


@dataclass(frozen=True)
class Observation:
    """All that a fit sees of a scene.

    Attributes:
        image: (256, 256, 3) uint8 RGB.
        intrinsics: (3, 3) float64 K, pixels.
        hand: the noisy 21 keypoints, confidence 1, a right hand, no cue of depth.
        mask: (256, 256) bool, eroded or dilated and with holes.
    """

    image: np.ndarray
    intrinsics: np.ndarray
    hand: HandObservation
    mask: np.ndarray


def observe(scene: Scene) -> Observation:
    """What a fit sees; depends on the scene's seed alone.

    Keypoints are the true ones with independent Gaussian noise; the mask is the hand's true one,
    eroded or dilated by a disc of an integer radius from 0 to `MASK_RADIUS`, with `PUNCHED` of its
    pixels taken out in discs.
    """
    generator = np.random.default_rng([scene.seed, 2])
    points = torch.from_numpy(scene.keypoints)[None]
    pixels = project(points, torch.from_numpy(scene.intrinsics)[None])[0].numpy()
    noisy = pixels + generator.normal(0, KEYPOINT_NOISE, pixels.shape)
    mask = punched(resized(scene.hand_mask, generator), generator)
    hand = HandObservation(noisy, np.ones(21), "right", side_score=1.0, score=1.0)
    return Observation(scene.image, scene.intrinsics, hand, mask)


def resized(mask: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The mask (H, W) bool, eroded or dilated by a disc of 0 to `MASK_RADIUS` pixels."""
    radius = int(generator.integers(0, MASK_RADIUS + 1))
    grow = bool(generator.random() < 0.5)
    step = np.arange(-radius, radius + 1)
    disc = (step[:, None] ** 2 + step**2 <= radius**2).astype(np.uint8)
    change = cv2.dilate if grow else cv2.erode
    # Outside the image counts as not the hand.
    return change(mask.astype(np.uint8), disc, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0


def punched(mask: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The mask (H, W) bool without `PUNCHED` of its pixels, rounded: discs that may overlap."""
    remaining = mask.copy()
    to_remove = round(PUNCHED * int(mask.sum()))
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    while to_remove > 0:
        rows, columns = np.nonzero(mask)
        chosen = generator.integers(len(rows))
        distance = (y - rows[chosen]) ** 2 + (x - columns[chosen]) ** 2
        hit = np.flatnonzero(remaining & (distance <= generator.uniform(2, 9) ** 2))
        # The last disc shrinks to what is left to remove.
        hit = hit[np.argsort(distance.ravel()[hit], kind="stable")][:to_remove]
        remaining.ravel()[hit] = False
        to_remove -= len(hit)
    return remaining


def scene_path(folder: Path, seed: int) -> Path:
    return folder / f"scene_{seed:06d}.npz"


def save_scene(folder: Path, scene: Scene) -> None:
    """Write a scene as a whole or not at all."""
    path = scene_path(folder, scene.seed)
    arrays = {name: getattr(scene, name) for name in _ARRAYS}
    params = {name: tensor.numpy() for name, tensor in vars(scene.params).items()}
    write_whole(
        path,
        lambda file: np.savez_compressed(file, seed=scene.seed, **arrays, **params),
        durable=False,
    )


def load_scene(path: Path) -> Scene:
    with np.load(path) as file:
        names = ("global_orient", "hand_pose", "betas", "transl")
        params = HandParams(*(torch.from_numpy(file[name]) for name in names))
        arrays = {name: file[name] for name in _ARRAYS}
        return Scene(seed=int(file["seed"]), params=params, **arrays)


def load_scenes(folder: Path, count: int | None = None) -> list[Scene]:
    """The scenes of a folder in the order of their seeds, the first `count` of them.

    Raises:
        BenchmarkError: there is none, or fewer than `count`.
    """
    paths: Sequence[Path] = sorted(folder.glob("scene_*.npz"))
    if not paths or (count is not None and len(paths) < count):
        raise BenchmarkError(
            f"{folder}: expected {count or 'some'} scenes written by benchmarks/refine_data.py, "
            f"found {len(paths)}."
        )
    return [load_scene(path) for path in paths[:count]]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, required=True, metavar="DIR")
    options.add_argument("--first-seed", type=int, required=True)
    options.add_argument("--count", type=int, required=True)
    arguments = options.parse_args()
    torch.set_num_threads(1)  # one process a core is faster than threads on so small arrays
    arguments.out.mkdir(parents=True, exist_ok=True)
    model = load_hand_model("open_hand", dtype=torch.float64)
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.count):
        if not scene_path(arguments.out, seed).exists():
            save_scene(arguments.out, render_scene(model, seed))


if __name__ == "__main__":
    run_command(main)
