"""Images of some people's hands, known by their keypoints: small, and quickly fitted."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fitter.camera import project
from fitter.hand_models import HandModel, load_hand_model
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.records import HandParams
from tests.support.mano_files import random_params

K = np.array([[620.0, 0.0, 320.0], [0.0, 620.0, 240.0], [0.0, 0.0, 1.0]])
OPTIONS = (
    "--keypoints", "known.json", "--device", "cpu", "--intrinsics", "620,620,320,240",
    "--max-hands", "2", "--init", "keypoints", "--set", "refine.stages={}",
    "--set", "run.block_size=2", "--batch-size", "1", "-q",
)  # fmt: skip
"""What fits them, in the folder of `write_images`, in blocks of two images."""


def person_shape(seed: int) -> torch.Tensor:
    """(1, 10) coefficients of a person's hand."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 10, generator=generator, dtype=torch.float64).clamp(-2, 2)


def posed(model: HandModel, betas: torch.Tensor, seed: int) -> HandParams:
    """The hand of a shape (1, 10) in some pose, half a metre in front of the camera."""
    random = random_params(1, seed)
    place = torch.tensor([[0.0, 0.0, 0.5]], dtype=torch.float64)
    return HandParams(
        0.6 * random.global_orient, 0.3 * random.hand_pose, betas, 0.1 * random.transl + place
    )


def seen_keypoints(model: HandModel, params: HandParams, noise: float, seed: int) -> list:
    """(21, 2) pixels."""
    points = pose_keypoints(model.keypoint_model(), params)[1]
    pixels = project(points, torch.from_numpy(K)[None])[0].numpy()
    return (pixels + np.random.default_rng(seed).normal(0, noise, pixels.shape)).tolist()


def write_images(folder: Path, counts: dict[str, int], noise: float = 1.0) -> list[str]:
    """Images `in/anna_0.png` and so on, so many of each person, `known.json` and `people.csv`.

    Returns:
        The names.
    """
    model = load_hand_model("open_hand", dtype=torch.float64)
    (folder / "in").mkdir(parents=True)
    known, lines = {}, ["image,person"]
    for seed, (person, count) in enumerate(counts.items()):
        lines.append(f"{person}_*,{person}")
        for k in range(count):
            name = f"{person}_{k}.png"
            Image.new("RGB", (640, 480), (90, 90, 90)).save(folder / "in" / name)
            params = posed(model, person_shape(seed), 100 * seed + k)
            hands = [
                {"side": "right", "keypoints": seen_keypoints(model, params, noise, k)},
                {"side": "left", "keypoints": seen_keypoints(model, params, noise, 50 + k)},
            ]
            known[name] = hands[: 1 + k % 2]
    (folder / "known.json").write_text(json.dumps(known))
    (folder / "people.csv").write_text("\n".join(lines) + "\n")
    return sorted(known)


def mirrored_keypoints(keypoints: list) -> list:
    """The same of the mirrored image."""
    return [[2 * K[0, 2] - x, y] for x, y in keypoints]


def with_shape(params: HandParams, betas: torch.Tensor) -> HandParams:
    """Hands of another shape."""
    return replace(params, betas=betas)
