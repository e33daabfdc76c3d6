"""How far hands are from the truth that one, two, four and eight calibrated cameras see.

    python benchmarks/views.py
    python benchmarks/views.py --degrees 0.1 0.5 1
    python benchmarks/views.py --rendered 200 --csv rendered.csv
    python benchmarks/views.py --matching 2 4 8 16

Hands are sampled at random and their keypoints off by 2 pixels in images of 640 x 480, cameras 0.35
to 0.6 m away. A pair stands side by side, 0.1 m apart, the least that a rig has here; four and
eight stand around the hand. With ``--degrees`` the calibration's rotations are off, but for the
first camera's. With ``--rendered`` hands are rendered by a dome of eight cameras, and what the
detector finds in some of their images goes through the whole fit: one camera, which is another one
from hand to hand, that and its nearest neighbour, four or all. ``--matching`` tells what it costs
to put hands of so many views together, two hands in each.

Errors are of the model's joints, in mm: where they lie in the rig's frame ("camera space": for one
view that is the camera's), and after alignment by a similarity (PA); +- is the standard error.
``--csv`` keeps a line a hand; what is in the file is not measured again, so that the command can be
stopped. A file is of one ``--set``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from measuring import (
    add_set,
    median_seconds,
    parser,
    positive,
    run_command,
    use_threads,
    write_json,
)
from rich.console import Console
from rich.table import Table
from views_data import SampledHands, frames_of, ring, stereo, turned, two_of
from views_figures import COLUMNS, SeenHand, SeenHands
from views_renders import RenderedHands

from fitter.config.options import load_config
from fitter.engine import Engine
from fitter.rig import Rig
from fitter.views.matching import match_hands

MISCALIBRATED = ("two, 0.1 m apart", "four around", "eight around")
"""Rigs whose calibration may be off: one of one camera has none."""

TOGETHER = 10
"""Rendered hands that are kept at once."""

MakeRig = Callable[[np.random.Generator], Rig]

RIGS: dict[str, MakeRig] = {
    "one": lambda rng: Rig(stereo(rng, 0.1).cameras[:1]),
    "two, 0.1 m apart": lambda rng: stereo(rng, 0.1),
    "four around": lambda rng: ring(rng, 4),
    "eight around": lambda rng: ring(rng, 8),
}


def sampled(given: argparse.Namespace, kept: SeenHands) -> Iterator[str]:
    """Fit sampled hands before each rig; the cases, one after the other."""
    engine = Engine(load_config(None, ["refine.stages={}", *given.set]))
    hands = SampledHands.of(engine.fit_model, given.count, given.seed)
    common = f"{given.count} sampled hands, {given.noise:g} px, seed {given.seed}"
    for off in given.degrees:
        for name, make in RIGS.items():
            if off and name not in MISCALIBRATED:
                continue
            case = f"{common}: {name}, {off:g} degrees off"
            if not kept.has(case, range(given.count)):
                rng = np.random.default_rng(given.seed)
                rigs = [make(rng) for _ in hands.sides]
                known = [turned(rig, off, rng) for rig in rigs]
                frames = frames_of(hands, rigs, given.noise, rng, known)
                truth = zip(hands.joints, hands.keypoints, strict=True)
                there = zip(frames, engine.fit_frames(frames), truth, strict=True)
                kept.add([SeenHand.of(case, k, *each) for k, each in enumerate(there)])
            yield case


def rendered(given: argparse.Namespace, kept: SeenHands) -> Iterator[str]:
    """Fit rendered hands that the detector finds; the cases, some hands at a time."""
    engine = Engine(load_config(None, given.set))
    hands = RenderedHands.of(given.seed, engine.config)
    common = f"rendered hands, seed {given.seed}"
    for first in range(0, given.rendered, TOGETHER):
        numbers = range(first, min(first + TOGETHER, given.rendered))
        names = list(hands.views(0))
        if all(kept.has(f"{common}: {name}", numbers) for name in names):
            continue
        scenes = [hands.scene(number) for number in numbers]
        for name in names:
            case = f"{common}: {name}"
            if kept.has(case, numbers):
                continue
            pairs = list(zip(numbers, scenes, strict=True))
            frames = [scene.seen_by(hands.views(number)[name]) for number, scene in pairs]
            there = zip(pairs, frames, engine.fit_frames(frames), strict=True)
            kept.add(
                [
                    SeenHand.of(case, number, frame, row, (scene.joints, scene.keypoints))
                    for (number, scene), frame, row in there
                ]
            )
        yield f"{common}, to number {numbers[-1]}"


def matching(given: argparse.Namespace) -> dict[int, float]:
    """Views -> milliseconds of the processor to put two hands of a frame together."""
    model = Engine(load_config(None, ["refine.stages={}", *given.set])).fit_model
    hands = SampledHands.of(model, 2, given.seed)
    figures = {}
    for views in given.matching:
        rng = np.random.default_rng(given.seed)
        frame = two_of(hands, ring(rng, views), given.noise, rng)
        assert [len(hand.places) for hand in match_hands(frame)] == [views, views]
        figures[views] = 1e3 * median_seconds(lambda: match_hands(frame), 5).cpu  # noqa: B023
    return figures


def _shown(console: Console, kept: SeenHands) -> dict[str, object]:
    table = Table(title="Hands that several cameras see")
    for column in ("case", *COLUMNS):
        table.add_column(column, justify="left" if column == "case" else "right")
    figures = dict(kept.figures())
    for case, errors in figures.items():
        table.add_row(case, *errors.cells())
    console.print(table)
    return {"errors": figures}


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--count", type=positive, default=200, help="sampled hands")
    options.add_argument("--seed", type=int, default=100, help="of hands and cameras")
    options.add_argument("--noise", type=float, default=2.0, help="of keypoints, pixels")
    options.add_argument(
        "--degrees", type=float, nargs="+", default=[0.0], help="rotations of calibrations are off"
    )
    options.add_argument("--rendered", type=positive, help="rendered hands instead")
    options.add_argument("--matching", type=positive, nargs="+", help="views to match instead")
    options.add_argument("--csv", type=Path, metavar="FILE", help="keep the hands here")
    add_set(options)
    given = options.parse_args()
    use_threads(given.threads)
    console = Console()
    if given.matching:
        costs = matching(given)
        for views, cost in costs.items():
            console.print(f"{views} views, 2 hands in each: {cost:.1f} ms")
        write_json(given.json, {"matching_ms": costs})
        return
    kept = SeenHands.read(given.csv)
    for said in (rendered if given.rendered else sampled)(given, kept):
        console.print(said)
    write_json(given.json, _shown(console, kept))


if __name__ == "__main__":
    run_command(main)
