"""Render `docs/detector.png`: what MediaPipe marks on the open hand, and how it errs.

python scripts/figure_detector.py SAMPLES [--count N]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch

mpl.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from detector_sightings import hand_pairs, read_sightings  # noqa: E402
from detector_tables import STATE_NAMES, VIEWS, position_errors, view_masks  # noqa: E402
from keypoint_forms import offset_points  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

from datasets.detector import (  # noqa: E402
    DetectorNoise,
    HandPairs,
    load_mediapipe_definition,
)
from datasets.detector.keypoint_definition import facing  # noqa: E402
from datasets.detector.noise import CONFIDENCE_EDGES  # noqa: E402
from datasets.detector.scatter import resampled  # noqa: E402
from fitter.conventions import MODEL_TO_KEYPOINTS  # noqa: E402
from fitter.hand_models import load_open_hand  # noqa: E402

ORDER = list(MODEL_TO_KEYPOINTS)
COLOURS = ("tab:green", "tab:orange", "tab:red")


def main() -> None:
    """Read, sample and render."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("samples", type=Path)
    parser.add_argument("--count", type=int, default=12288)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    sightings = read_sightings(arguments.samples, arguments.count)
    definition = load_mediapipe_definition(load_open_hand())
    pairs = hand_pairs(sightings, offset_points(sightings, definition.offsets[ORDER]))
    fakes = resampled(pairs, DetectorNoise.load())
    figure, axes = plt.subplots(2, 3, figsize=(13, 8), constrained_layout=True)
    draw_definition(axes[0, 0])
    draw_states(axes[0, 1], pairs, fakes)
    draw_confidence(axes[0, 2], pairs, fakes)
    draw_depth(axes[1, 0], pairs)
    draw_correlation(axes[1, 1], pairs, fakes)
    draw_hands(axes[1, 2], pairs, fakes)
    figure.savefig(ROOT / "docs" / "detector.png", dpi=85)


def draw_definition(axes: Axes) -> None:
    """Joints, and what the detector marks, on the hand at rest seen from the side of the palm."""
    data = load_open_hand(keypoint_offsets=False)
    definition = load_mediapipe_definition(data)
    tips = data.v_template[list(data.tip_vertices)]
    joints = np.concatenate([data.joint_regressor @ data.v_template, tips])
    marked = joints + definition.offsets
    # The open hand lies in its xz plane, the back of the hand toward +y.
    axes.scatter(*data.v_template[:, [0, 2]].T, s=1, c="0.85")
    for start, end in zip(joints, marked, strict=True):
        axes.plot(*np.stack([start, end])[:, [0, 2]].T, c="tab:blue", lw=1)
    axes.scatter(*joints[:, [0, 2]].T, s=14, c="0.4", label="joint or tip vertex")
    axes.scatter(*marked[:, [0, 2]].T, s=14, c="tab:blue", label="marked by MediaPipe")
    axes.set(title="Definition, at rest", aspect="equal", xticks=[], yticks=[])
    axes.legend(fontsize=8)


def draw_states(axes: Axes, pairs: HandPairs, fakes: HandPairs) -> None:
    """Share of keypoints beyond a distance, by what hides them."""
    states = pairs.states.numpy()
    share = np.linspace(1, 0.005, 200)
    for state, (name, colour) in enumerate(zip(STATE_NAMES, COLOURS, strict=True)):
        for source, style in ((pairs, "-"), (fakes, ":")):
            far = position_errors(source)[states == state]
            label = name if style == "-" else None
            axes.plot(np.quantile(far, 1 - share), share, style, c=colour, label=label)
    axes.set(title="Keypoints farther off (dotted: sampled)", yscale="log", xlim=(0, 50))
    axes.set(xlabel="2D error, % of hand size", ylabel="share")
    axes.legend(fontsize=8)


def draw_confidence(axes: Axes, pairs: HandPairs, fakes: HandPairs) -> None:
    """Median and 95 % of the 2D errors by confidence."""
    edges = np.array([0.0, *CONFIDENCE_EDGES, 1.0])
    middle = 0.5 * (edges[1:] + edges[:-1])
    for source, style in ((pairs, "-"), (fakes, ":")):
        classes = np.digitize(source.detected_confidence.numpy(), CONFIDENCE_EDGES)
        far = position_errors(source)
        values = np.array([np.quantile(far[classes == g], (0.5, 0.95)) for g in range(len(middle))])
        for column, name in enumerate(("median", "95 %")):
            label = name if style == "-" else None
            colour = f"C{column}"
            axes.plot(middle, values[:, column], style, marker="o", ms=3, c=colour, label=label)
    axes.set(title="Error by confidence (dotted: sampled)", yscale="log")
    axes.set(xlabel="confidence", ylabel="2D error, % of hand size")
    axes.legend(fontsize=8)


def draw_depth(axes: Axes, pairs: HandPairs) -> None:
    """The detector's relative depth for the true one: median and quartiles, by view."""
    side = facing(pairs.bones).numpy()
    true, seen = pairs.depth[:, 1:].numpy(), pairs.detected_depth[:, 1:].numpy()
    edges = np.linspace(-0.7, 0.7, 15)
    middle = 0.5 * (edges[1:] + edges[:-1])
    for colour, (name, mask) in zip(COLOURS, view_masks(side).items(), strict=True):
        bins = np.digitize(true[mask], edges) - 1
        values = seen[mask]
        filled = [i for i in range(len(middle)) if (bins == i).sum() > 100]
        levels = np.array([np.quantile(values[bins == i], (0.25, 0.5, 0.75)) for i in filled])
        axes.plot(middle[filled], levels[:, 1], c=colour, label=name)
        axes.fill_between(middle[filled], levels[:, 0], levels[:, 2], color=colour, alpha=0.2)
    axes.axline((0, 0), slope=1, c="0.7", lw=1)
    axes.set(title=f"Relative depth, seen from the {', the '.join(VIEWS)}")
    axes.set(xlabel="true, crop units", ylabel="detected, crop units")
    axes.legend(fontsize=8)


def draw_correlation(axes: Axes, pairs: HandPairs, fakes: HandPairs) -> None:
    """Rank correlation of the 42 coordinates: measured above the diagonal, sampled below."""
    both = []
    for source in (pairs, fakes):
        error = (source.detected_positions - source.positions).transpose(1, 2).flatten(1).numpy()
        both.append(np.corrcoef(error.argsort(0).argsort(0).T))
    shown = np.triu(both[0]) + np.tril(both[1], -1)
    axes.imshow(shown, cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set(title="Correlation (below: sampled)", xticks=[10, 31], yticks=[10, 31])
    axes.set(xticklabels=["x", "y"], yticklabels=["x", "y"])


def draw_hands(axes: Axes, pairs: HandPairs, fakes: HandPairs) -> None:
    """Mean error of a hand, and its mean confidence."""
    for source, style, name in ((pairs, "-", "measured"), (fakes, ":", "sampled")):
        mean = np.sort(position_errors(source).mean(1))
        axes.plot(mean, np.linspace(0, 1, len(mean)), style, c="tab:purple", label=name)
    axes.set(title="Hands up to a mean error", xlim=(0, 25))
    axes.set(xlabel="mean 2D error, % of hand size", ylabel="share")
    axes.legend(fontsize=8)


if __name__ == "__main__":
    main()
