"""Measure where on the open hand the detector puts its 21 keypoints.

    python scripts/measure_keypoints.py [--count 400]

The detector marks what people mark: a knuckle is where the skin shows it, not where the bones turn,
and the base of the thumb lies well in front of the joint that moves it. So the detector is run on
rendered hands whose geometry is known, and for each keypoint the offset from the model's joint (or
fingertip vertex), fixed to its bone, is found that explains its detections best: iteratively
reweighted least squares with a Cauchy loss over all pictures. No photograph enters.

Writes `fitter/hand_models/assets/open_hand_keypoints.json`. The same versions of the packages give
the same numbers up to rounding.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from build_examples import PosedHand, intrinsics, render
from example_geometry import ArmStyle
from example_recipes import (
    CHECKED,
    GREEN,
    LIGHTS,
    MUSTARD,
    SHIRT,
    STRIPED,
    SWEATER,
    TONES,
    HandRecipe,
    PictureRecipe,
)
from PIL import Image
from scipy.spatial.transform import Rotation

from datasets.pose_sampler import sample_hand_angles
from fitter.conventions import KEYPOINT_NAMES, MODEL_TO_KEYPOINTS
from fitter.detect import MediaPipeDetector
from fitter.hand_models import HandModel
from fitter.hand_models.anatomy import anatomy_of, hand_pose_from_angles
from fitter.hand_models.open_hand import KEYPOINTS_FILE, load_open_hand
from fitter.hand_models.skinning import HandModelData
from fitter.records import HandObservation, HandParams, ImageRecord

SEED = 20260
CLOTHS = (CHECKED, GREEN, MUSTARD, SHIRT, STRIPED, SWEATER)
THEMES = ("bookshelf", "window", "garden", "kitchen", "desk", "lamps")
OUTLIER = 0.04
"""Distance over hand size at which a detection counts half: the Cauchy loss's scale."""
WRONG_HAND = 0.25
"""Mean distance over hand size from which on the detector saw something else."""
ROUNDS = 30
ASSET = Path(__file__).resolve().parents[1] / "fitter/hand_models/assets" / KEYPOINTS_FILE


@dataclass(frozen=True)
class Sighting:
    """One rendered hand and what the detector made of it.

    Attributes:
        points: (21, 3) joints and tips, camera frame, metres, order [16 joints, 5 tips].
        turns: (21, 3, 3) rotations of their bones, model to camera.
        detected: (21, 2) pixels, the same order.
        depth: (21,) pixels, the detector's relative depth, the same order.
        xyz: (21, 3) metres, the detector's weak 3D keypoints, the same order.
        confidence: (21,), the same order.
    """

    points: np.ndarray
    turns: np.ndarray
    detected: np.ndarray
    depth: np.ndarray
    xyz: np.ndarray
    confidence: np.ndarray


def bare_hand() -> HandModelData:
    """The open hand with its joints and tips for keypoints."""
    return load_open_hand(keypoint_offsets=False)


def sample_params(model: HandModel, generator: np.random.Generator) -> HandParams:
    """One random right hand that fills about half of the picture's height."""
    angles = torch.from_numpy(sample_hand_angles(generator, 1))
    pose = hand_pose_from_angles(angles, torch.from_numpy(anatomy_of(model.data).axes))
    betas = torch.from_numpy(np.clip(generator.normal(0, 1, (1, 10)), -2, 2))
    # Fingers up, palm or back to the camera, then turned away at random.
    upright = np.stack([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    back = 180.0 * generator.integers(2)
    yaw, pitch, roll = generator.normal(0, (30, 25, 45))
    turn = Rotation.from_euler("yxz", [back + yaw, pitch, roll], degrees=True)
    orient = (turn * Rotation.from_matrix(upright)).as_rotvec()
    zero = torch.zeros(1, 3, dtype=torch.float64)
    params = HandParams(torch.from_numpy(orient)[None], pose, betas, zero)
    points = model(params).keypoints[0].numpy()
    depth = generator.uniform(0.38, 0.6)
    target = np.array([*generator.uniform(-0.04, 0.04, 2), 1.0]) * [1, 1, depth]
    middle = 0.5 * (points.min(0) + points.max(0))
    return HandParams(params.global_orient, pose, betas, torch.from_numpy(target - middle)[None])


def picture_of(model: HandModel, params: HandParams, seed: int) -> np.ndarray:
    """(H, W, 3) uint8 picture of the hand with random skin, clothes, light and surroundings."""
    generator = np.random.default_rng([SEED, seed, 1])

    def choose(options: tuple) -> object:
        return options[generator.integers(len(options))]

    arm = ArmStyle(generator.uniform(-0.2, 0.2), generator.uniform(-0.1, 0.1), 0.035, 0.004)
    hand = HandRecipe(
        "right",
        ((0.0, 0.0, 0.0),) * 4,
        (0.0,) * 5,
        (0.0,) * 3,
        (0.0,) * 3,
        choose(tuple(TONES.values())),
        arm,
        choose(CLOTHS),
    )
    light = choose(tuple(LIGHTS.values()))
    recipe = PictureRecipe("measured", SEED + seed, (hand,), choose(THEMES), light)
    return np.asarray(Image.open(io.BytesIO(render(model, recipe, [PosedHand(hand, params)]))))


def look(seeds: list[int]) -> list[Sighting | None]:
    """Render and detect; None where the detector missed the hand."""
    torch.set_num_threads(1)
    model = HandModel(bare_hand(), torch.float64)
    sightings = []
    with MediaPipeDetector(max_hands=1) as detector:
        for seed in seeds:
            params = sample_params(model, np.random.default_rng([SEED, seed, 0]))
            pixels = picture_of(model, params, seed)
            image = ImageRecord(f"{seed}", Path(f"{seed}"), pixels, intrinsics(), "given")
            found = detector.detect(image)
            sightings.append(_sighting(model, params, found[0]) if found else None)
    return sightings


def _sighting(model: HandModel, params: HandParams, hand: HandObservation) -> Sighting | None:
    order = np.argsort(MODEL_TO_KEYPOINTS)
    points = model(params).keypoints[0].numpy()[order]
    # A unit offset along each axis shows the rotation of every point's bone.
    turns = []
    for axis in np.eye(3):
        shifted = HandModel(
            replace(model.data, keypoint_offsets=np.tile(axis, (21, 1))), torch.float64
        )
        turns.append(shifted(params).keypoints[0].numpy()[order] - points)
    image = points @ intrinsics().T
    error = np.linalg.norm(image[:, :2] / image[:, 2:] - hand.keypoints[order], axis=-1)
    if hand.side != "right" or error.mean() > WRONG_HAND * np.ptp(hand.keypoints, axis=0).max():
        return None
    return Sighting(
        points,
        np.stack(turns, -1),
        hand.keypoints[order],
        hand.relative_depth[order],
        hand.relative_xyz[order],
        hand.confidence[order],
    )


def solve_offsets(sightings: list[Sighting]) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (21, 3) in metres, and the median distance (21,) that they leave, in pixels."""
    points = np.stack([s.points for s in sightings])
    turns = np.stack([s.turns for s in sightings])
    detected = np.stack([s.detected for s in sightings])
    size = np.ptp(detected, axis=1).max(-1)[:, None]
    K = intrinsics()
    offsets = np.zeros((21, 3))
    for _ in range(ROUNDS):
        x = points + np.einsum("nkij,kj->nki", turns, offsets)
        z = x[..., 2:]
        residual = x[..., :2] / z * [K[0, 0], K[1, 1]] + K[:2, 2] - detected
        slope = np.concatenate(
            [np.broadcast_to(np.eye(2), (*x.shape[:2], 2, 2)), -(x[..., :2] / z)[..., None]], -1
        )
        jacobian = K[0, 0] * (slope / z[..., None]) @ turns
        distance = np.linalg.norm(residual, axis=-1)
        weight = 1 / (1 + (distance / (OUTLIER * size)) ** 2) / size**2
        normal = np.einsum("nk,nkri,nkrj->kij", weight, jacobian, jacobian)
        right = np.einsum("nk,nkri,nkr->ki", weight, jacobian, residual)
        offsets = offsets - np.linalg.solve(normal, right[..., None])[..., 0]
    return offsets, np.median(distance, axis=0)


def main() -> None:
    """Measure and write the asset."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=400, help="pictures to render")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sightings", type=Path, help="keep what was seen in this .npz")
    arguments = parser.parse_args()
    chunks = [list(range(i, arguments.count, 20)) for i in range(20)]
    with ProcessPoolExecutor(arguments.workers) as pool:
        looked = [sighting for chunk in pool.map(look, chunks) for sighting in chunk]
    sightings = [sighting for sighting in looked if sighting is not None]
    if arguments.sightings is not None:
        columns = [asdict(sighting) for sighting in sightings]
        stacked = {name: np.stack([column[name] for column in columns]) for name in columns[0]}
        np.savez_compressed(arguments.sightings, **stacked)
    offsets, distances = solve_offsets(sightings)
    zero = solve_offsets_distance(sightings)
    names = [KEYPOINT_NAMES[MODEL_TO_KEYPOINTS.index(i)] for i in range(21)]
    for name, offset, before, after in zip(names, offsets, zero, distances, strict=True):
        print(f"{name:12s} {np.round(offset * 1000, 1)} mm   {before:.1f} -> {after:.1f} px")
    halves = [solve_offsets(sightings[i::2])[0] for i in (0, 1)]
    spread = np.linalg.norm(halves[0] - halves[1], axis=-1)
    print(
        f"found {len(sightings)} of {arguments.count}; "
        f"two halves differ by {spread.mean() * 1000:.2f} mm"
    )
    content = {
        "about": "Where MediaPipe's hand landmarks lie on the open hand, relative to its joints "
        "and fingertip vertices, metres in the rest frame, fixed to the bone; measured on renders "
        "by scripts/measure_keypoints.py.",
        "order": names,
        "pictures": len(sightings),
        "v_template_sha256": hashlib.sha256(bare_hand().v_template.tobytes()).hexdigest(),
        "offsets": np.round(offsets, 5).tolist(),
    }
    ASSET.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def solve_offsets_distance(sightings: list[Sighting]) -> np.ndarray:
    """(21,) median distance in pixels of the detections from the bare joints."""
    K = intrinsics()
    images = np.stack([s.points for s in sightings]) @ K.T
    detected = np.stack([s.detected for s in sightings])
    return np.median(np.linalg.norm(images[..., :2] / images[..., 2:] - detected, axis=-1), axis=0)


if __name__ == "__main__":
    main()
