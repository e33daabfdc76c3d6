"""Fit what is expected of hands that several views see: `python scripts/fit_viewed_error.py`.

From the lines that ``benchmarks/views.py`` wrote of hands of two views and more: rendered ones that
the detector found, and sampled ones before true calibrations, of both those with even numbers;
every case counts alike. Prints the numbers of `fitter.quality.several_views.VIEWED_ERROR` by
maximum likelihood of its log-logistic distribution, and how they do on the other hands and before
calibrations that are off: by case, medians of what their best view alone expects, of what is
expected and of the errors, and the share of the errors within a factor 1.5 of what is expected.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from views_figures import SeenHand, SeenHands  # noqa: E402

from fitter.quality.several_views import ViewedError  # noqa: E402

RESULTS = [
    ROOT / "benchmarks" / "results" / "views" / name for name in ("rendered.csv", "sampled.csv")
]


Columns = dict[str, np.ndarray]


def several(hands: Sequence[SeenHand]) -> Columns:
    """Of the hands of which at least two views count."""
    kept = [hand for hand in hands if hand.agreeing > 1 and np.isfinite(hand.noise)]
    names = ("number", "keypoints_mm", "alone_mm", "noise", "agreeing")
    return {name: np.array([getattr(hand, name) for hand in kept], float) for name in names}


def cases_of(paths: Sequence[Path]) -> dict[str, Columns]:
    """Case -> columns, of all that have hands of several views."""
    found = {}
    for path in paths:
        for case, hands in SeenHands.read(path).cases.items():
            columns = several(list(hands.values()))
            if len(columns["noise"]):
                found[case] = columns
    return found


def is_learned(name: str) -> bool:
    """Whether hands of a case are learned from: its calibration is true."""
    return "degrees off" not in name or name.endswith(", 0 degrees off")


def half(case: Columns, rest: int) -> Columns:
    """The hands whose numbers leave this rest by two."""
    chosen = case["number"] % 2 == rest
    return {name: values[chosen] for name, values in case.items()}


def fitted(cases: Sequence[Columns]) -> ViewedError:
    """By maximum likelihood, each case with the same weight."""
    joined = {name: np.concatenate([case[name] for case in cases]) for name in cases[0]}
    weight = np.concatenate([np.full(len(case["noise"]), 1 / len(case["noise"])) for case in cases])
    error = np.log(joined["keypoints_mm"])

    def cost(numbers: np.ndarray) -> float:
        model = _of(numbers)
        known = model.error_mm(joined["alone_mm"], joined["noise"], joined["agreeing"])
        z = (error - np.log(known)) / model.spread
        return float(weight @ (z + 2 * np.logaddexp(0, -z) + numbers[4]))

    found = minimize(cost, [0.0, 1.0, 0.0, 0.0, -1.0], method="BFGS").x
    return _of(found)


def _of(numbers: np.ndarray) -> ViewedError:
    """Of a, b, c, d and the logarithm of the spread."""
    a, b, c, d, spread = numbers.tolist()
    return ViewedError(a, b, c, d, math.exp(spread))


def reported(name: str, case: Columns, model: ViewedError) -> str:
    """A line."""
    expected = model.error_mm(case["alone_mm"], case["noise"], case["agreeing"])
    off = np.abs(np.log(case["keypoints_mm"] / expected))
    alone, known, true = (np.median(x) for x in (case["alone_mm"], expected, case["keypoints_mm"]))
    return (
        f"{name}: {len(off)} hands, best view alone {alone:.2f}, expected {known:.2f}, "
        f"error {true:.2f} mm, within a factor 1.5: {np.mean(off <= np.log(1.5)):.0%}"
    )


def main() -> None:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("files", type=Path, nargs="*", default=RESULTS, help="of the benchmark")
    given = options.parse_args()
    cases = cases_of(given.files)
    model = fitted([half(case, 0) for name, case in cases.items() if is_learned(name)])
    print(", ".join(f"{name} {value:.3f}" for name, value in vars(model).items()))
    for name, case in cases.items():
        print(reported(name, half(case, 1) if is_learned(name) else case, model))


if __name__ == "__main__":
    main()
