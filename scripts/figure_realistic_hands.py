"""The figure of docs/realistic_hands.md: shares of vertices within a distance, as in the paper's
Fig. 8.

python benchmarks/realistic_hands.py fig8 --work DIR
python scripts/figure_realistic_hands.py        # docs/images/realistic_hands_pck.png
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from doc_realistic_hands import MULTI, RESULTS, ROOT, SINGLE, results

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FIGURE = ROOT / "docs" / "images" / "realistic_hands_pck.png"

PANELS = {"aligned_curve": "aligned (PA)", "rooted_curve": "wrists on each other"}
COLOURS = {MULTI: "#b5523b", SINGLE: "#3b6fb5"}
LINES = {"with": "-", "without": "--"}
TITLES = {"with": "keypoints", "without": "no keypoints"}


def draw(file: Path = FIGURE, folder: Path = RESULTS) -> None:
    """Draw the mean curves of the seeds, with a band of their extremes.

    Args:
        file: where to.
        folder: of the results.
    """
    figure, axes = plt.subplots(1, len(PANELS), figsize=(8, 3), sharey=True)
    for axis, (name, title) in zip(axes, PANELS.items(), strict=True):
        for arm, colour in COLOURS.items():
            for shown, line in LINES.items():
                curves = np.array([each[shown][name] for each in results("hands", arm, folder)])
                if not len(curves):
                    continue
                at = np.linspace(0, 50, curves.shape[1])
                label = f"{arm}, {TITLES[shown]}"
                axis.plot(at, curves.mean(0), line, color=colour, lw=1.2, label=label)
                axis.fill_between(at, curves.min(0), curves.max(0), color=colour, alpha=0.12, lw=0)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("distance, mm", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.25)
        axis.set_xlim(0, 50)
        axis.set_ylim(0, 1)
    axes[0].set_ylabel("share of vertices", fontsize=8)
    axes[0].legend(fontsize=7, loc="lower right")
    figure.tight_layout()
    figure.savefig(file, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    draw()
