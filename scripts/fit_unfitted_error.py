"""Fit what is expected of hands that nothing was fitted to: `python scripts/fit_unfitted_error.py`.

From ``benchmarks/results/quality/unfitted.csv``: rendered hands as networks say them, and as
keypoints alone place the mean hand, without iterations and stages. Prints the numbers of
`fitter.quality.unfitted.UNFITTED_ERROR` by maximum likelihood of its log-logistic distribution on
the even scenes, every way that ships counting alike, and how they do on the odd ones and on all
hands of other networks: by way, medians of residual, error and what is expected of it, the share
below the bound of the score, and the mean score.

With WORK_DIR, that of `scripts/build_quality.py` with its rendered scenes, the hands are measured
anew before; `--weights s2hand=FILE` or `zhao=FILE` measures those of another network, too.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import expit

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from quality_hands import HAND, Bench, MeasuredHands  # noqa: E402
from quality_scenes import PART, read_scenes, scene_file  # noqa: E402

from fitter.quality.features import FEATURES  # noqa: E402
from fitter.quality.model import GOOD_MM  # noqa: E402
from fitter.quality.unfitted import UnfittedError  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "quality" / "unfitted.csv"

WAYS: dict[str, tuple[str, ...]] = {
    "lifter": (),
    "handnet": ("init.lifter=null", "init.handnet=shipped"),
    "keypoints": ("init.source=keypoints",),
}
"""Where a hand begins, and stays: at what the networks that ship say, or as keypoints alone place
the mean hand."""

Columns = dict[str, np.ndarray]
"""``scene`` (N,), ``residual`` (N,) in sizes of a hand, ``error_mm`` (N,)."""

NAMES = ("scene", "residual", "error_mm")


def measured(folder: Path, options: Sequence[str], seed: int, count: int) -> Columns:
    """The hands of scenes as they begin."""
    bench = Bench(["fit.max_iterations=0", "refine.stages={}", *options], ["default"])
    parts: list[MeasuredHands] = []
    for start in range(0, count, PART):
        scenes = read_scenes(scene_file(folder / "scenes", seed, start))
        parts.extend(bench.measure(scenes, {"default": 1}, start))
    hands = MeasuredHands.joined(parts)
    hands = hands[hands.kind == HAND]
    residual = hands.features[:, FEATURES.index("residual")]
    return dict(zip(NAMES, (hands.scene, residual, hands.error_mm), strict=True))


def written(file: Path, ways: Mapping[str, Columns]) -> None:
    """A line for each hand, digits that are known."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as stream:
        lines = csv.writer(stream, lineterminator="\n")
        lines.writerow(["way", *NAMES])
        for way, columns in ways.items():
            for scene, residual, error in zip(*(columns[n] for n in NAMES), strict=True):
                lines.writerow([way, int(scene), f"{residual:.5f}", f"{error:.3f}"])


def read(file: Path = RESULTS) -> dict[str, Columns]:
    """Way -> columns."""
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {
        way: {name: np.array([float(r[name]) for r in rows if r["way"] == way]) for name in NAMES}
        for way in dict.fromkeys(row["way"] for row in rows)
    }


def half(way: Columns, rest: int) -> Columns:
    """The hands of the scenes whose numbers leave this rest by two."""
    chosen = way["scene"] % 2 == rest
    return {name: values[chosen] for name, values in way.items()}


def fitted(ways: Sequence[Columns]) -> UnfittedError:
    """By maximum likelihood, each way with the same weight."""
    weight = np.concatenate([np.full(len(way["scene"]), 1 / len(way["scene"])) for way in ways])
    residual = np.concatenate([way["residual"] for way in ways])
    error = np.log(np.concatenate([way["error_mm"] for way in ways]))

    def cost(numbers: np.ndarray) -> float:
        model = _of(numbers)
        z = (error - np.log(model.error_mm(residual))) / model.spread
        return float(weight @ (z + 2 * np.logaddexp(0, -z) + numbers[2]))

    return _of(minimize(cost, [3.0, 0.5, -1.0], method="BFGS").x)


def _of(numbers: np.ndarray) -> UnfittedError:
    """Of a, b and the logarithm of the spread."""
    constant, residual, spread = numbers.tolist()
    return UnfittedError(constant, residual, math.exp(spread))


def reported(name: str, way: Columns, model: UnfittedError) -> str:
    """A line; the score is that of what is surely a hand."""
    expected = model.error_mm(way["residual"])
    good = expit((np.log(GOOD_MM) - np.log(expected)) / model.spread)
    residual, error, known = (np.median(x) for x in (way["residual"], way["error_mm"], expected))
    return (
        f"{name}: {len(expected)} hands, residual {residual:.3f}, error {error:.2f}, expected "
        f"{known:.2f} mm, below {GOOD_MM:g} mm {np.mean(way['error_mm'] < GOOD_MM):.2f}, mean "
        f"score {np.mean(good):.2f}"
    )


def main() -> None:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("work", type=Path, nargs="?", metavar="WORK_DIR")
    options.add_argument("--seed", type=int, default=5000, help="of the scenes")
    options.add_argument("--count", type=int, default=2 * PART, help="of them")
    options.add_argument("--weights", action="append", default=[], metavar="NAME=FILE")
    given = options.parse_args()
    if given.work is not None:
        torch.set_num_threads(1)
        others = {each.partition("=")[0]: each for each in given.weights}
        ways = WAYS | {n: (f"init.networks={n}", f"init.{each}") for n, each in others.items()}
        written(
            RESULTS,
            {
                name: measured(given.work, way, given.seed, given.count)
                for name, way in ways.items()
            },
        )
    hands = read()
    model = fitted([half(hands[name], 0) for name in WAYS])
    print(", ".join(f"{name} {value:.3f}" for name, value in vars(model).items()))
    for name, way in hands.items():
        print(reported(name, half(way, 1) if name in WAYS else way, model))


if __name__ == "__main__":
    main()
