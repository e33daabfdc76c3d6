"""The table of `docs/nimble.md` that `benchmarks/render_and_compare_regularisers.py` measures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from doc_table import table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "regularisers"
FIGURE = ROOT / "docs" / "images" / "regularisers.png"

WEIGHTS = (0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Of w_pose and w_shape: none, and decades around those of the preset."""

MODELS = {"nimble": "NIMBLE's layout", "open_hand": "open hand"}


def results(model: str, folder: Path = RESULTS) -> Sequence[Mapping[str, Any]]:
    """Of the longest arms of a hand model that are done, from the smallest weight."""
    found = [json.loads(file.read_text()) for file in folder.glob(f"{model}-*.json")]
    longest = max((each["steps"] for each in found), default=0)
    alike = [each for each in found if each["steps"] == longest]
    return sorted(alike, key=lambda each: (each["weight"], each["seed"]))


def regularisers(folder: Path = RESULTS) -> str:
    """Collisions and errors by the weight of the regularisers."""
    header = ("hand model", "steps", "w_pose = w_shape", "PA error, mm", "error in the image, px",
              "fingers in fingers or palm, % of hands", "by, mm", "skin in muscles, % of hands",
              "vertices a hand", "by, mm", "rms of pose, shape coefficients")  # fmt: skip
    rows = []
    for model, title in MODELS.items():
        for each in results(model, folder):
            rows.append((title, str(each["steps"]), f"{each['weight']:g}", *_cells(each)))
    return table(header, rows)


def _cells(each: Mapping[str, Any]) -> tuple[str, ...]:
    """Figures of an arm; "none" of muscles where there are none."""
    muscles = ("none",) * 3
    if "muscles_share" in each:
        muscles = (
            f"{100 * each['muscles_share']:.0f}",
            f"{each['muscles_vertices']:.1f}",
            f"{each['muscles_mm']:.1f}",
        )
    return (
        f"{each['pa_mpjpe_mm']:.1f}",
        f"{each['keypoints_2d_px']:.1f}",
        f"{100 * each['fingers_share']:.0f}",
        f"{each['fingers_mm']:.1f}",
        *muscles,
        f"{each['pose_rms']:.2f}, {each['shape_rms']:.2f}",
    )


BLOCKS = {"regularisers": regularisers}
"""Name in the markers of a page -> what writes the text between them."""
