"""Fit how much too sure relative places are: `python scripts/fit_relative_place.py`.

From the pairs that ``benchmarks/touching_hands.py`` kept of its choosing seeds (below 1000), those
that were fitted together. Prints `fitter.interaction.relative_place.UNDERSTATED`: along x, y and z
the factor on Laplace's standard deviations with which half of the errors are within 0.674
deviations, as of a normal distribution; and what share of the errors is within one and two of the
deviations then, where that would be 0.68 and 0.95.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from touching_hands import errors_in_std  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "touching_hands"
CHOOSING = 1000
"""Seeds below are for choosing."""


def rows_of(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """What is told of each pair that was fitted together, `relative_place_std` as Laplace's
    approximation has it."""
    found = []
    for path in paths:
        kept = json.loads(path.read_text(encoding="utf-8"))
        asked = kept["asked"]
        if asked["seed"] >= CHOOSING or asked["camera"] != "known":
            continue
        for pair in kept["pairs"]:
            row = pair.get("together", {})
            if row.get("relative_place_std") is not None:
                bare = np.array(row["relative_place_std"]) / asked["understated"]
                found.append(row | {"relative_place_std": bare.tolist()})
    return found


def fitted(rows: Sequence[dict[str, Any]]) -> tuple[float, ...]:
    """The factors, two digits."""
    errors = errors_in_std(rows)
    if errors is None:
        raise ValueError("no pair was fitted together")
    return tuple(float(f"{error:.2g}") for error in errors)


def main() -> None:
    """Print the factors and how they do."""
    rows = rows_of(sorted(RESULTS.glob("*.json")))
    factors = fitted(rows)
    print(f"UNDERSTATED = {factors}  # of {len(rows)} pairs")
    share = np.array([
        np.abs(row["relative_place_xyz"]) / (np.array(factors) * row["relative_place_std"])
        for row in rows
    ])  # fmt: skip
    for most in (1, 2):
        print(f"within {most}: {(share <= most).mean(0).round(2).tolist()}")


if __name__ == "__main__":
    main()
