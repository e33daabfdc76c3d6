"""A small store's layout and rows drawn from the image's number, so that stores can be compared."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from fitter.lens import Lens
from fitter.store.layout import StoreSpec
from fitter.store.result_store import Block, ResultStore
from fitter.store.schema import HandRow, ImageRow
from tests.support.paths import ROOT

SPEC = StoreSpec(
    images=[f"day {i // 4}/händ_{i}.jpg" for i in range(11)],
    max_hands=2,
    block_size=4,
    num_betas=10,
    has_people=True,
    has_tracks=True,
    detects=True,
    is_pass=True,
    optional_sizes={
        "shape_information_entry": 5,
        "motion_information_entry": 7,
        "vertex": 6,
        "offset_vertex": 6,
        "colour_vertex": 6,
        "appearance_component": 3,
        "light_coefficient": 11,
        "texel_row": 4,
        "texel_column": 4,
        "lens_coefficient": 14,
    },
    config={"fit": {"max_iterations": 30, "num_initialisations": 4}, "run": {"seed": 0}},
    model={"name": "open_hand", "sha256": "ab", "sides": "right"},
    versions={"torch": "2.13.0"},
)

MANY = replace(
    SPEC,
    images=[f"día {i // 100}/{i:05d}.jpg" for i in range(1100)],
    block_size=512,
    optional_sizes={},
)
"""A layout of two full blocks and one of 76 images."""


LENS = Lens(
    np.diag([300.0, 310.0, 1.0]), "fisheye", np.array([0.1, 0.0, -0.01, 0.0]), (640, 480), 0.5
)
"""Of one image in five."""


def fake_hand(seed: int, side="right") -> HandRow:
    rng = np.random.default_rng(seed)
    return HandRow(
        valid=True,
        person=f"person {seed % 3}",
        shape_information=rng.random(5),
        track=seed % 4,
        filled=seed % 5 == 1,
        motion_information=rng.random(7),
        side=side,
        detection_score=rng.random(),
        box=rng.random(4),
        keypoints_2d_detected=rng.random((21, 2)),
        hand_pose=rng.random((15, 3)),
        betas=rng.random(10),
        keypoints_3d=rng.random((21, 3)),
        vertices=rng.random((6, 3)),
        vertex_offsets=rng.random((6, 3)),
        vertex_colours=rng.random((6, 3)),
        appearance=rng.random(3),
        lighting=rng.random(11),
        texture=rng.random((4, 4, 3)).astype(np.float16),
        fit_status="converged",
        iterations=seed,
        hand_size=0.15 + 0.05 * rng.random(),
        hand_size_source="fitted",
        keypoint_visibility=rng.random(21),
        predicted_error_mm=10 * rng.random(),
        touch_group=1,
        interaction_status="joint",
        relative_place=rng.random(3),
        relative_place_std=rng.random(3),
        penetration_depth=0.01 * rng.random(),
        object_gap=0.01 * rng.random(),
    )


def fake_row(i: int) -> ImageRow:
    if i % 5 == 3:
        return ImageRow(image_status="failed", image_error=f"cannot read é {i}")
    if i % 5 == 4:
        return ImageRow(image_status="no_hand", image_width=640, image_height=480)
    hands = (fake_hand(i), fake_hand(i + 100, "left"))[: 1 + i % 2]
    row = ImageRow(
        image_status="ok",
        intrinsics=np.eye(3),
        intrinsics_source="exif",
        intrinsics_note=f"EXIF: 35 mm equivalent of {i} mm",
        hands=hands,
        hands_beyond=i,
        hands_left_out=i,
        time=i / 30,
        detections=f"[{i}]",
    )
    return row.with_lens(LENS) if i % 5 == 0 else row


def fill(store: ResultStore, blocks: list[Block] | None = None) -> None:
    for block in store.pending_blocks() if blocks is None else blocks:
        store.write_block(block, [fake_row(i) for i in range(block.start, block.stop)])


def contents(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }


def start(program: str, *arguments: object) -> subprocess.Popen:
    """A process of Python with its standard input and output at hand."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
