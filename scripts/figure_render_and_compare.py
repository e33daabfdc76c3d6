"""The figure of docs/render_and_compare.md: shares of keypoints in the image within a distance, as
in S2HAND's Fig. 4.

python benchmarks/render_and_compare.py fig4 --work DIR
python scripts/figure_render_and_compare.py     # docs/images/render_and_compare_keypoints.png
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from doc_render_and_compare import RESULTS, ROOT, SETS
from doc_results import results

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FIGURE = ROOT / "docs" / "images" / "render_and_compare_keypoints.png"

LINES = {
    "detected": ("#555555", ":"),
    "estimated, apart": ("#3b6fb5", "--"),
    "projected, apart": ("#b5523b", "--"),
    "estimated": ("#3b6fb5", "-"),
    "projected": ("#b5523b", "-"),
}
"""Colour and line of every set."""


def draw(file: Path = FIGURE, folder: Path = RESULTS) -> None:
    """Draw the mean curves of the seeds.

    Args:
        file: where to.
        folder: of the results.
    """
    figure, axis = plt.subplots(figsize=(6, 3.6))
    for name, (colour, line) in LINES.items():
        arm, title = SETS[name]
        kind = name.partition(",")[0]
        found = results(folder / "keypoints", arm)
        if not found:
            continue
        curve = np.mean([each[kind]["curve"] for each in found], 0)
        mean = np.mean([each[kind]["px"] for each in found])
        at = np.linspace(0, 30, len(curve))
        axis.plot(at, curve, line, color=colour, lw=1.4, label=f"{title}: {mean:.1f} px")
    axis.set_xlabel("distance from the true keypoint, pixels of a crop of 224", fontsize=8)
    axis.set_ylabel("share of keypoints", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.25)
    axis.set_xlim(0, 30)
    axis.set_ylim(0, 1)
    handles, _ = axis.get_legend_handles_labels()
    if handles:
        axis.legend(fontsize=7, loc="lower right")
    figure.tight_layout()
    figure.savefig(file, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    draw()
