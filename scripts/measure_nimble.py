"""Measure NIMBLE on a folder of its files: `python scripts/measure_nimble.py DIR`.

Prints a table in Markdown: the time and memory of a hand, how deep the skin is in the muscles in
random poses before and after it is moved out, and, where DIR has a MANO_RIGHT.pkl of the same hand
(as `scripts/build_nimble_fixture.py` writes one), how far three definitions of the keypoints are from
MANO's own in the same poses.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from datasets.poses import sample_hand_angles
from fitter.conventions import KEYPOINT_NAMES
from fitter.hand_models import HandModel, anatomy_of, load_hand_model
from fitter.hand_models.mano import load_mano
from fitter.hand_models.nimble import Nimble, load_nimble
from fitter.hand_models.nimble.keypoint_order import KEYPOINT_JOINTS
from fitter.metrics.points import procrustes_errors
from fitter.records import HandParams

HANDS, BATCH = 64, 8
SEED = 0


def main() -> None:
    """Print the tables of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--hands", type=int, default=HANDS, help=f"poses (default {HANDS})")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with torch.inference_mode():
        print_times(options.folder)
        print_collisions(options.folder, options.hands)
        if (options.folder / "MANO_RIGHT.pkl").exists():
            print_keypoints(options.folder, options.hands)
