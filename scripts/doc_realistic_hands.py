"""The tables of `docs/realistic_hands.md`, from what `benchmarks/realistic_hands.py` has measured.

A result is a JSON file ``PART/ARM-STEPS-SEED.json``; a table has the means over the seeds that are
there, with their standard errors, and beside them what the paper prints.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import doc_results
import numpy as np
from doc_results import Results, cell, mean_and_error
from doc_table import table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "realistic_hands"

MULTI, SINGLE = "multi-stage", "single-stage"


def lengths(part: str, arm: str, folder: Path = RESULTS) -> list[int]:
    """Steps of which there are results of an arm; see `doc_results.lengths`."""
    return doc_results.lengths(folder / part, arm)


def results(part: str, arm: str, folder: Path = RESULTS, steps: int | None = None) -> Results:
    """Those of an arm, by what was measured; see `doc_results.results`."""
    return doc_results.results(folder / part, arm, steps)


def arms(folder: Path = RESULTS) -> str:
    """What was trained."""
    rows = []
    for arm in (SINGLE, MULTI):
        for length in lengths("hands", arm, folder):
            found = results("hands", arm, folder, length)
            stages = found[0]["training"]["stages"].items()
            steps = " + ".join(f"{stage['steps']} {name}" for name, stage in stages) or str(length)
            seeds = ", ".join(str(each["seed"]) for each in found)
            minutes = mean_and_error([e["training"]["cpu_seconds"] / 60 for e in found], 1)
            rows.append((arm, steps, seeds, minutes))
    return table(("arm", "steps", "seeds", "CPU minutes"), rows)


PRINTED_STAGES = {SINGLE: ("1.79", "1.16", "0.31", "0.49", "0.82", "0.92"),
                  MULTI: ("0.85", "0.78", "0.45", "0.66", "0.96", "0.97")}  # fmt: skip
"""Table 2 of the paper: MPVE (PA, cm), F@5 and F@15, each without and with keypoints."""

SHOWN = ("without", "with")


def training(folder: Path = RESULTS) -> str:
    """Table 2."""
    header = ["", *(f"{name} {kp}" for name in ("MPVE (PA) cm,", "F@5,", "F@15,")
                    for kp in ("no KP", "KP"))]  # fmt: skip
    rows: list[Sequence[str]] = []
    for arm, printed in PRINTED_STAGES.items():
        for length in lengths("hands", arm, folder):
            found = results("hands", arm, folder, length)
            figures = [
                cell(found, (shown, name), digits, scale)
                for name, digits, scale in (("mpvpe_mm", 2, 0.1), ("f_5", 3, 1.0), ("f_15", 3, 1.0))
                for shown in SHOWN
            ]
            rows.append((f"{arm}, {length:,} steps", *figures))
        rows.append((f"{arm}, the paper", *printed))
    return table(header, rows)


def curves(folder: Path = RESULTS) -> str:
    """Fig. 8 in numbers: the paper prints its curves alone."""
    header = ("", "AUC, aligned", "AUC, not aligned", "MPVE, not aligned, mm",
              "keypoints in the image, % of the crop")  # fmt: skip
    rows = []
    for arm in (MULTI, SINGLE):
        found = results("hands", arm, folder)
        for shown, name in zip(SHOWN, ("no keypoints", "keypoints"), strict=True):
            figures = (("aligned_curve_auc", 3), ("rooted_curve_auc", 3), ("rooted_mm", 1),
                       ("keypoints_2d", 2))  # fmt: skip
            cells = [cell(found, (shown, key), digits) for key, digits in figures]
            rows.append((f"{arm}, {name}", *cells))
    return table(header, rows)


ITERATIONS = (0, 3, 10, 15)
STARTS = {
    "network": "here, its own start and mask",
    "truth": "here, its own start and the true mask",
}

PRINTED_IOU = {
    "the paper, MP Hands": (0.677, 0.706, 0.735, 0.748),
    "the paper, PoseNet": (0.722, 0.758, 0.793, 0.806),
}
"""Fig. 9 of the paper, by the detector of its keypoints."""


def refinement(folder: Path = RESULTS) -> str:
    """Fig. 9."""
    found = results("refinement", MULTI, folder)
    header = ["IoU after iterations", *map(str, ITERATIONS), "gain of 15"]
    rows: list[Sequence[str]] = []
    for name, title in STARTS.items():
        values = [np.array([each[name]["iou"][str(k)] for k in ITERATIONS])
                  for each in found if name in each]  # fmt: skip
        each_gain = [row[-1] - row[0] for row in values]
        columns: Sequence[Any] = np.array(values).T if values else [[]] * len(ITERATIONS)
        rows.append((title, *(mean_and_error(column, 3) for column in columns),
                     mean_and_error(each_gain, 3)))  # fmt: skip
    for title, printed in PRINTED_IOU.items():
        gain = f"{printed[-1] - printed[0]:.3f}"
        rows.append((title, *(f"{value:.3f}" for value in printed), gain))
    return table(header, rows)


PRINTED_MASKS = {
    "HSV": ("0.18", "0.72"),
    "CNN": ("0.93", "0.99"),
    "UMA": ("0.93", "0.99"),
    "ours, decoder of the fifth stage": ("0.95", "0.99"),
}
"""Table 3 of the paper, its column of synthetic hands: IoU and accuracy."""

MASK_FIGURES = ("mask_iou", "pixel_accuracy")

UNTRAINED = {"HSV": "hsv", "HSV, RGB and YCbCr": "kolkur"}
"""Rows of masks that no network makes, the same for all seeds -> their names in results."""

TRAINED = {
    "ours, decoder of the fifth stage": "decoder",
    "ours, no keypoints": "decoder, no keypoints",
}


def masks(folder: Path = RESULTS) -> str:
    """Table 3."""
    header = ("", "Combined", "FreiHAND", "Synth: IoU here", "accuracy here", "IoU, the paper",
              "accuracy, the paper")  # fmt: skip
    found = results("masks", MULTI, folder)
    here = {
        **{title: _over_hands(found, name) for title, name in UNTRAINED.items()},
        "CNN": ("not rebuilt", "not rebuilt"),
        "UMA": ("not rebuilt", "not rebuilt"),
        **{
            title: tuple(cell(found, ("masks", name, key), 3) for key in MASK_FIGURES)
            for title, name in TRAINED.items()
        },
    }
    rows = [
        (title, "n/a", "n/a", *figures, *PRINTED_MASKS.get(title, ("", "")))
        for title, figures in here.items()
    ]
    return table(header, rows)


def _over_hands(found: Results, name: str) -> tuple[str, ...]:
    """Figures of masks that every result has alike, with their standard errors over the hands."""
    if not found:
        return ("n/a",) * len(MASK_FIGURES)
    one = found[0]["masks"][name]
    return tuple(f"{one[key]:.3f} ± {one[f'{key}_se']:.3f}" for key in MASK_FIGURES)


PRINTED_STEREO = {"mono": ("1.65", "0.352", "0.860"), "stereo": ("0.94", "0.578", "0.967")}
"""Table 4 of the paper: MPVE (PA, cm), F@5 and F@15."""


def stereo(folder: Path = RESULTS) -> str:
    """Table 4."""
    header = ("", "MPVE (PA) cm", "F@5 (PA)", "F@15 (PA)")
    found = results("stereo", "stereo", folder)
    rows: list[Sequence[str]] = []
    for name, printed in PRINTED_STEREO.items():
        figures = (("mpvpe_mm", 2, 0.1), ("f_5", 3, 1.0), ("f_15", 3, 1.0))
        here = [cell(found, (name, key), digits, scale) for key, digits, scale in figures]
        rows += [(f"{name}, here", *here), (f"{name}, the paper", *printed)]
    return table(header, rows)


PRINTED_SIZES = {
    "fusion, bottleneck": "2C / 8 = 128",
    "fusion, weights": "2C",
    "fusion, output": "C = 512",
    "X_base": "2048",
    "dense 1": "2048",
    "dense 2": "512",
    "outputs": "48 + 10 + 3",
    "mask": "of every pixel",
}
"""Widths that the paper prints (3.1)."""


def sizes(folder: Path = RESULTS) -> str:
    """The network as printed."""
    header = ("", "channels or numbers, here", "the paper")
    file = folder / "sizes" / "published.json"
    one = json.loads(file.read_text()) if file.exists() else {"shapes": {}}
    rows = []
    for name, printed in PRINTED_SIZES.items():
        shape = " x ".join(str(side) for side in one["shapes"].get(name, ())) or "n/a"
        rows.append((name, shape, printed))
    if file.exists():
        rows += [
            (f"parameters of {name}", f"{count:,}", "") for name, count in one["parts"].items()
        ]
        step = f"a step of {one['batch']} crops of {one['input_size']} pixels"
        rows.append((step, f"{one['cpu_seconds']:.1f} s of one core", "not printed"))
    return table(header, rows)


BLOCKS: dict[str, Callable[[], str]] = {
    f"realistic-hands-{make.__name__}": partial(make)
    for make in (arms, training, curves, refinement, masks, stereo, sizes)
}
"""Name in the markers of the page -> what writes the text between them."""
