"""Two hands that touch, fitted alone and together: rendered pairs, the real detector in the loop.

    python benchmarks/touching_hands.py --count 300 --json benchmarks/results/touching_hands.json

Each pair is rendered and found once and fitted both ways, some pairs at once. They are kept in the
JSON file as they come: the same command goes on where it was stopped, and other options are
refused. Most of the time goes into making pairs; with --kept they are made once for all options.
Seeds below 1000 are for choosing; --seed 5200 is for what is reported.

relative place
    of both wrists' joints to each other, mm off; in parentheses along the camera's z alone.
MPJPE, MPJPE of the pair, PA
    of all joints of both hands: in the camera, relative to the first wrist, each hand aligned by a
    similarity.
MPVPE
    of all vertices, each hand relative to its own wrist.
M-PD
    deepest vertex of either hand in the other, exact. Beside it stands that of the pairs that were
    fitted together: others have a hand that is found in the other's place, or is taken for none.
swapped fingers
    fingertips that are drawn to a tip of the other hand instead of to their own.
phantoms in groups
    finds that are neither hand of the pair and yet push one.
missed
    pairs of which the detector did not find both hands; they are in no other column.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from measuring import (
    BenchmarkError,
    add_set,
    parser,
    positive,
    run_command,
    use_threads,
    write_json,
)
from rich.console import Console
from rich.table import Table
from touching_hands_data import (
    BothWays,
    FoundPair,
    RenderedPairs,
    matched,
    measured,
    penetration,
)

from fitter.config.options import load_config
from fitter.interaction.relative_place import UNDERSTATED
from fitter.store.schema import ImageRow

WAYS = ("alone", "together")
COLUMNS = {
    "relative_place": "relative place",
    "mpjpe": "MPJPE",
    "mpjpe_of_pair": "MPJPE of the pair",
    "pa": "PA",
    "mpvpe": "MPVPE",
    "penetration": "M-PD",
}


def main() -> None:
    """Measure what is not measured yet, and print the table."""
    options = _options()
    use_threads(options.threads)
    asked = {
        "seed": options.seed,
        "understated": list(UNDERSTATED),
        "set": options.set,
        "camera": "guessed" if options.guess_camera else "known",
    }
    pairs = _kept(options.json, asked)
    if len(pairs) < options.count:
        engine = BothWays(load_config(None, options.set))
        known = not options.guess_camera
        source = RenderedPairs(options.seed, engine.config, known, options.kept)
        for numbers in batched(range(len(pairs), options.count), options.batch):
            pairs += _measured(numbers, [source.pair(number) for number in numbers], engine)
            _keep(options.json, asked, pairs)
        parts = source.watch.parts | engine.watch.parts
        print({name: round(part.cpu, 1) for name, part in parts.items()}, "s of processor time")
    _print(pairs[: options.count])


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--count", type=positive, default=20, help="pairs (default: 20)")
    options.add_argument("--seed", type=int, default=5200, help="of the pairs (default: 5200)")
    options.add_argument(
        "--batch", type=positive, default=8, help="pairs that are fitted at once (default: 8)"
    )
    options.add_argument(
        "--kept", type=Path, metavar="FOLDER", help="where rendered pairs are kept and read from"
    )
    options.add_argument("--guess-camera", action="store_true", help="K is not known")
    add_set(options)
    return options.parse_args()


def _measured(
    numbers: Sequence[int], pairs: Sequence[FoundPair], engine: BothWays
) -> list[dict[str, Any]]:
    """What is measured of some pairs, which are fitted at once."""
    rows = engine.both([pair.detected for pair in pairs])
    return [
        {"number": number, **_one(pair, {way: rows[way][place] for way in WAYS}, engine)}
        for place, (number, pair) in enumerate(zip(numbers, pairs, strict=True))
    ]


def _one(pair: FoundPair, rows: dict[str, ImageRow], engine: BothWays) -> dict[str, Any]:
    """What is measured of a pair."""
    true = pair.seen.hands
    of = matched(true, pair.detected)
    found: dict[str, Any] = {
        "kind": pair.seen.kind,
        "found": [number is not None for number in of],
        "phantoms": len(pair.detected.hands) - sum(number is not None for number in of),
        "phantoms_in_groups": sum(
            bool(hand.touch_group) for k, hand in enumerate(rows["together"].hands) if k not in of
        ),
        "true_penetration": penetration(
            [hand.vertices for hand in true], [hand.side for hand in true], engine
        ),
    }
    if None in of:
        return found
    numbers = [number for number in of if number is not None]
    seen = [pair.detected.hands[number].side for number in numbers]
    found["wrong_sides"] = sum(side != hand.side for side, hand in zip(seen, true, strict=True))
    for way, row in rows.items():
        hands = [row.hands[number] for number in numbers]
        if any(hand.has_failed for hand in hands):
            return found | {"failed": way}
        found["taken_for_none"] = sum(not hand.valid for hand in hands)
        found[way] = measured(true, hands, engine)
    return found


def _kept(path: Path | None, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Pairs that were measured before.

    Raises:
        BenchmarkError: by other options.
    """
    if path is None or not path.exists():
        return []
    before = json.loads(path.read_text(encoding="utf-8"))
    if before["asked"] != asked:
        raise BenchmarkError(f"{path}: expected {asked}, found {before['asked']}")
    kept: list[dict[str, Any]] = before["pairs"]
    return kept


def batched(numbers: range, size: int) -> Iterator[range]:
    """Numbers, some at once."""
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


def _keep(path: Path | None, asked: dict[str, Any], pairs: Sequence[dict[str, Any]]) -> None:
    if path is None:
        return
    part = path.with_suffix(".part")
    write_json(part, {"asked": asked, "figures": figures(pairs), "pairs": pairs})
    part.replace(path)


def figures(pairs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the table shows: mean and median of every column, and counts."""
    whole = [pair for pair in pairs if "together" in pair]
    told: dict[str, Any] = {
        "pairs": len(pairs),
        "both_found": sum(all(pair["found"]) for pair in pairs),
        "one_missed": sum(sum(pair["found"]) == 1 for pair in pairs),
        "both_missed": sum(not any(pair["found"]) for pair in pairs),
        "failed": sum("failed" in pair for pair in pairs),
        "phantoms": sum(pair["phantoms"] for pair in pairs),
        "phantoms_in_groups": sum(pair.get("phantoms_in_groups", 0) for pair in pairs),
        "wrong_sides": sum(pair.get("wrong_sides", 0) for pair in pairs),
        "taken_for_none": sum(pair.get("taken_for_none", 0) for pair in pairs),
    }
    if not whole:
        return told
    told["true_penetration"] = float(np.mean([pair["true_penetration"] for pair in whole]))
    for way in WAYS:
        rows = [pair[way] for pair in whole]
        told[way] = {
            name: {
                "mean": float(np.mean([row[name] for row in rows])),
                "median": float(np.median([row[name] for row in rows])),
            }
            for name in COLUMNS
        }
        depth = np.abs([row["relative_place_xyz"][2] for row in rows])
        told[way]["relative_depth"] = {
            "mean": float(depth.mean()),
            "median": float(np.median(depth)),
        }
        told[way]["swapped_fingers"] = sum(row["swapped_fingers"] for row in rows)
        told[way]["swapped_hands"] = sum(row["swapped_fingers"] > 0 for row in rows)
    joint = [pair for pair in whole if pair["together"]["status"] == "joint"]
    told["fitted_together"] = len(joint)
    if joint:
        told["penetration_of_those"] = {
            way: float(np.mean([pair[way]["penetration"] for pair in joint])) for way in WAYS
        }
        told["error_in_std"] = errors_in_std([pair["together"] for pair in joint])
    return told


def errors_in_std(rows: Sequence[dict[str, Any]]) -> list[float] | None:
    """Errors of relative places along x, y and z in units of the standard deviations told, 1 where
    these are right: the median over that of a normal distribution, of which half is within 0.674
    deviations; None without any."""
    known = [row for row in rows if row["relative_place_std"] is not None]
    if not known:
        return None
    share = [
        np.abs(row["relative_place_xyz"]) / np.maximum(row["relative_place_std"], 1e-6)
        for row in known
    ]
    within: list[float] = (np.median(share, axis=0) / NormalDist().inv_cdf(0.75)).tolist()
    return within


def _print(pairs: Sequence[dict[str, Any]]) -> None:
    told = figures(pairs)
    table = Table("", *COLUMNS.values(), "swapped fingers")
    for way in WAYS:
        if way not in told:
            continue
        cells = [
            f"{told[way][name]['mean']:.1f} / {told[way][name]['median']:.1f}" for name in COLUMNS
        ]
        depth = told[way]["relative_depth"]
        cells[0] += f" ({depth['mean']:.1f} / {depth['median']:.1f})"
        table.add_row(way, *cells, str(told[way]["swapped_fingers"]))
    console = Console(width=160)
    console.print(table)
    counts = {name: value for name, value in told.items() if name not in WAYS}
    console.print("mean / median, mm;", counts)


if __name__ == "__main__":
    run_command(main)
