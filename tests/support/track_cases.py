"""A small video of two hands that move smoothly, known by their keypoints, and quickly fitted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fitter.camera import project
from fitter.hand_models import load_hand_model
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.inputs.frame_names import frame_name
from fitter.records import HandParams
from tests.support.people_cases import K, person_shape, posed
from tests.support.video_files import H264, write_video

VIDEO, FRAMES = "wave.mp4", 12
GONE = (5, 6)
"""Frames in which the left hand is not found."""
WRONG = 3
"""The frame in which the right hand is said to be a left one."""

OPTIONS = (
    "--keypoints", "known.json", "--device", "cpu", "--intrinsics", "620,620,320,240",
    "--max-hands", "2", "--init", "keypoints", "--set", "refine.stages={}",
    "--set", "run.block_size=4", "--batch-size", "1", "-q",
)  # fmt: skip
"""What fits it, in the folder of `write_hands_video`, in blocks of four frames."""


def hands_at(frame: int) -> list[HandParams]:
    """The right and the left hand of a frame, as right hands."""
    model, share = load_hand_model("open_hand", dtype=torch.float64), frame / FRAMES
    found = []
    for seed, side in ((3, -1.0), (4, 1.0)):
        hand = posed(model, person_shape(seed), seed)
        turn = torch.tensor([[0.3 * share, 0.2 * share, 0.0]], dtype=torch.float64)
        move = torch.tensor([[side * 0.12 + 0.02 * share, 0.0, 0.1 * share]], dtype=torch.float64)
        found.append(
            replace(
                hand,
                global_orient=hand.global_orient + turn,
                hand_pose=hand.hand_pose * (1 - 0.3 * share),
                transl=hand.transl + move,
            )
        )
    return found


def seen(hand: HandParams, left: bool, noise: float, seed: int) -> list:
    """(21, 2) pixels of a hand; a left one is the mirror image."""
    model = load_hand_model("open_hand", dtype=torch.float64)
    points = pose_keypoints(model.keypoint_model(), hand)[1]
    if left:
        points = points * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    pixels = project(points, torch.from_numpy(K)[None])[0].numpy()
    return (pixels + np.random.default_rng(seed).normal(0, noise, pixels.shape)).tolist()


def write_hands_video(folder: Path, noise: float = 1.5) -> None:
    """`in/wave.mp4` of grey pictures, and `known.json`."""
    write_video(folder / "in" / VIDEO, [np.full((480, 640, 3), 90, np.uint8)] * FRAMES, H264)
    known = {}
    for frame in range(FRAMES):
        right, left = hands_at(frame)
        side = "left" if frame == WRONG else "right"
        hands = [{"side": side, "keypoints": seen(right, False, noise, frame)}]
        if frame not in GONE:
            hands.append({"side": "left", "keypoints": seen(left, True, noise, 100 + frame)})
        known[frame_name(VIDEO, frame)] = hands
    (folder / "known.json").write_text(json.dumps(known))
