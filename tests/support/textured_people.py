"""Renders of one person's textured hands, known by their keypoints."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fitter.camera import project
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.records import HandParams
from tests.support.people_cases import person_shape, posed
from tests.support.textured_hands import SIZE, camera, chequered, model, shoot

OPTIONS = (
    "--same-hand", "--keypoints", "known.json", "--device", "cpu",
    "--intrinsics", f"700,700,{SIZE // 2},{SIZE // 2}", "--max-hands", "1",
    "--init", "keypoints", "--set", "refine.stages={}", "--set", "run.block_size=4",
    "--batch-size", "2", "--set", "people.textures=true", "--set", "people.texture_size=64", "-q",
)  # fmt: skip
"""What fits the images of `write_renders` and makes textures, in their folder."""


def write_renders(folder: Path, rights: int, lefts: int) -> list[str]:
    """Images `in/right_0.png` and so on of one shape and texture, and `known.json`.

    Returns:
        The names.
    """
    (folder / "in").mkdir(parents=True)
    texture, known = chequered(64), {}
    for seed in range(rights + lefts):
        side = "right" if seed < rights else "left"
        random = posed(model(), person_shape(3), seed)
        # Poses of hands, which a fit follows: what is tested is the texture.
        params = _centred(replace(random, hand_pose=0.3 * random.hand_pose))
        shot = shoot(texture, model()(params).vertices[0].numpy(), side)
        points = pose_keypoints(model().keypoint_model(), params)[1]
        if side == "left":
            points = points * points.new_tensor([-1, 1, 1])
        pixels = project(points, torch.from_numpy(camera())[None])[0]
        name = f"{side}_{seed}.png"
        Image.fromarray(shot.pixels).save(folder / "in" / name)
        known[name] = [{"side": side, "keypoints": pixels.tolist()}]
    (folder / "known.json").write_text(json.dumps(known))
    return sorted(known)


def _centred(params: HandParams) -> HandParams:
    """The hand in the middle of the image, 0.6 m away."""
    vertices = model()(params).vertices[0]
    middle = 0.5 * (vertices.amin(0) + vertices.amax(0))
    goal = torch.tensor([0.0, 0.0, 0.6], dtype=torch.float64)
    return replace(params, transl=params.transl + goal - middle)


def likeness(found: np.ndarray, true: np.ndarray, plain: np.ndarray) -> float:
    """How far the brightness of colours (N, 3) differs from that of a plain skin as it should:
    correlation of the logarithms."""
    seen, wanted = (np.log(colours / plain).mean(1) for colours in (found, true))
    return float(np.corrcoef(seen, wanted)[0, 1])
