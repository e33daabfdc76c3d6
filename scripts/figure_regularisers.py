"""The figure of docs/nimble.md: collisions and errors by the weight of Zhao's regularisers.

python benchmarks/render_and_compare_regularisers.py nimble --nimble DIR --work DIR
python scripts/figure_regularisers.py        # docs/images/regularisers.png
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from doc_regularisers import FIGURE, MODELS, RESULTS, WEIGHTS, results

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {"nimble": "#b5523b", "open_hand": "#3b6fb5"}
PANELS = {
    "pa_mpjpe_mm": ("PA error, mm", 1.0),
    "fingers_share": ("fingers in fingers or palm, % of hands", 100.0),
    "muscles_share": ("skin in muscles, % of hands", 100.0),
}


def draw(file: Path = FIGURE, folder: Path = RESULTS) -> None:
    """Draw the means over the seeds that are there.

    Args:
        file: where to.
        folder: of the results.
    """
    figure, axes = plt.subplots(1, len(PANELS), figsize=(9, 2.8))
    for axis, (name, (title, scale)) in zip(axes, PANELS.items(), strict=True):
        for model, colour in COLOURS.items():
            found = [each for each in results(model, folder) if name in each]
            places = sorted({WEIGHTS.index(each["weight"]) for each in found})
            means = [
                scale * np.mean([each[name] for each in found if each["weight"] == WEIGHTS[place]])
                for place in places
            ]
            if places:
                axis.plot(places, means, "o-", color=colour, lw=1.2, ms=3.5, label=MODELS[model])
        axis.set_title(title, fontsize=9)
        axis.set_xticks(range(len(WEIGHTS)), [f"{weight:g}" for weight in WEIGHTS])
        axis.set_xlabel("w_pose = w_shape", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.25)
        axis.set_ylim(bottom=0)
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    draw()
