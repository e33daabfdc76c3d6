"""The figure of docs/appearance.md: what weak and strong regularisers do to the stages of colours.

python benchmarks/appearance.py --count 24 --sweep --json sweep.json
python scripts/figure_appearance_sweep.py sweep.json     # docs/images/appearance_sweep.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FIGURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "appearance_sweep.png"

PANELS = {
    "psnr": "PSNR, dB",
    "pa_vertex_mm": "aligned vertex error, mm",
    "folded": "folded faces, %",
    "colliding": "colliding surface, %",
}


def main() -> None:
    """Draw the figure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("sweep", type=Path, help="JSON of benchmarks/appearance.py --sweep")
    rows = json.loads(options.parse_args().sweep.read_text())["rows"]
    start = rows[0]["mean"]
    swept = [row for row in rows if row["name"].startswith("weights x ")]
    factors = [float(row["name"].rsplit(" ", 1)[1]) for row in swept]
    figure, axes = plt.subplots(1, len(PANELS), figsize=(11, 2.4))
    for axis, (key, title) in zip(axes, PANELS.items(), strict=True):
        axis.semilogx(factors, [row["mean"][key] for row in swept], "o-", color="#b5523b", ms=3)
        axis.axhline(start[key], color="#666666", lw=0.8, ls="--")
        axis.axvline(1.0, color="#cccccc", lw=0.8)
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.set_xlabel("weights of the regularisers, times", fontsize=7)
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=90)


if __name__ == "__main__":
    main()
