"""Seeber et al.'s own experiments, on renders and with a compact encoder.

    python benchmarks/realistic_hands.py all --work work/realistic_hands
    python benchmarks/realistic_hands.py table2 fig8 --seeds 0 --work work/realistic_hands
    python benchmarks/realistic_hands.py all --steps 9600 --work work/realistic_hands

table2  single-stage or multi-stage training, with and without keypoints
fig8    shares of vertices within a distance, with and without keypoints, aligned and not
fig9    IoU of the projected mesh after iterations of the refinement, from the network's own start
        and its own mask
table3  masks by the colour of skin and by the decoder of the fifth stage
table4  one view and two
sizes   the network as printed: parts, shapes, and the cost of a step

Samples are rendered ones that the detector has looked at (``train-hands handnet --prepare-only``
makes them): the first 70 % are learned from, the others are measured on. Every training and every
measurement is kept, a JSON file each in ``benchmarks/results/realistic_hands``: the same command
goes on after a stop, does what is missing, and makes the tables and the figure of
``docs/realistic_hands.md`` of all that is there. Several may run at once: an arm that another one
trains is passed over.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from arms import (
    add_counts,
    described,
    held_out,
    measured,
    plan_options,
    plan_parser,
    write_result,
)
from measuring import run_command, use_threads
from realistic_hands_arms import Arm, HandsPlan, StereoArm
from realistic_hands_figures import hand_figures
from realistic_hands_masks import mask_figures
from realistic_hands_refinement import refinement_figures
from realistic_hands_sizes import sizes
from realistic_hands_stereo import stereo_figures

from init_net import load_network
from init_net.networks.handnet import HandNet
from init_net.networks.stereo import StereoHandNet

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))
from doc_realistic_hands import MULTI, RESULTS, ROOT, SINGLE
from figure_realistic_hands import FIGURE, draw
from make_docs import filled

PAGE = ROOT / "docs" / "realistic_hands.md"

STEREO = "stereo"

PRESETS = {MULTI: "handnet_stages", SINGLE: "handnet", STEREO: "stereo"}
"""Of the arms, in ``configs/train``."""

PARTS: Mapping[str, tuple[str, Sequence[str]]] = {
    "table2": ("hands", (SINGLE, MULTI)),
    "fig8": ("hands", (MULTI, SINGLE)),
    "fig9": ("refinement", (MULTI,)),
    "table3": ("masks", (MULTI,)),
    "table4": ("stereo", (STEREO,)),
}
"""Table or figure -> what is measured for it, and on which arms."""


TRAINED_FOR = ("hands", "stereo")
"""Measures whose results say how the arm was trained, once for each."""

STEPS = 2_400
"""Of an arm: five minutes of one core, where nothing else is done on it."""

OTHERS = ("sizes", "all", "page")
"""What else may be asked for; page makes the tables of what is there."""


def hands(network: HandNet, plan: HandsPlan) -> dict[str, Any]:
    """How far an arm's hands are off, with and without keypoints."""
    crops = held_out(plan, network.config.input_size, network.config.margin)
    return {
        shown: hand_figures(network.regress, crops, shown == "with").summary()
        for shown in ("with", "without")
    }


def masks(network: HandNet, plan: HandsPlan) -> dict[str, Any]:
    """How good its masks are, and those of colours."""
    crops = held_out(plan, network.config.input_size, network.config.margin)
    return {"hands": len(crops.samples), "masks": mask_figures(network.segment, crops)}


def refinement(network: HandNet, plan: HandsPlan) -> dict[str, Any]:
    """How well its mesh covers the hand after iterations of the refinement."""
    crops = held_out(plan, network.config.input_size, network.config.margin)
    few = np.arange(min(plan.refined, len(crops.samples)))
    return refinement_figures(network, crops.samples.subset(few))


def stereo(network: StereoHandNet, plan: HandsPlan) -> dict[str, Any]:
    """How far hands are off of the right view alone, and of both, on the pairs held out."""
    return stereo_figures(network, plan.pairs, plan.pair_count, plan.held_out)


MEASURES: Mapping[str, Callable[[Any, HandsPlan], dict[str, Any]]] = {
    "hands": hands,
    "masks": masks,
    "refinement": refinement,
    "stereo": stereo,
}
"""What is measured -> how."""


def measured_sizes(results: Path) -> None:
    """The network as printed, where that is not done yet."""
    file = results / "sizes" / "published.json"
    if not file.exists():
        write_result(file, sizes(batch=4, repeats=2))


def wanted(parts: Sequence[str], steps: int, seeds: Sequence[int]) -> list[tuple[str, Arm]]:
    """What is measured on which arm: the first seed of all of them before the second of any."""
    said = (
        (measure, arm_of(name, steps, seed))
        for seed in seeds
        for measure, names in map(PARTS.__getitem__, parts)
        for name in names
    )
    return list(dict.fromkeys(said))


def arm_of(name: str, steps: int, seed: int) -> Arm:
    """The arm of a name; one on pairs begins with the arm in stages that has so many steps."""
    if name == STEREO:
        return StereoArm(name, PRESETS[name], steps, seed, arm_of(MULTI, steps, seed))
    return Arm(name, PRESETS[name], steps, seed)


def result_of(measure: str, arm: Arm, plan: HandsPlan, weights: Path) -> dict[str, Any]:
    """What is said of an arm's weights."""
    said = MEASURES[measure](load_network(weights, torch.device("cpu")), plan)
    return said | ({"training": described(arm, plan)} if measure in TRAINED_FOR else {})


def write_page() -> None:
    """The figure and the tables of the page, of all results that are there."""
    draw(FIGURE)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def options() -> argparse.ArgumentParser:
    """The command line."""
    said = plan_parser(
        "Seeber et al.'s own experiments, on renders and with a compact encoder.",
        [*PARTS, *OTHERS],
        RESULTS,
    )
    said.add_argument("--pairs", type=Path, default=Path("data/stereo"), metavar="DIR",
                      help="rendered pairs (default: data/stereo)")  # fmt: skip
    add_counts(
        said,
        ("--steps", STEPS, "of the stages that regress hands, all together"),
        ("--refined", 200, "hands measured that are refined"),
        ("--pair-count", 2_000, "pairs"),
    )
    return said


def main(words: Sequence[str] | None = None) -> None:
    given = options().parse_args(words)
    use_threads(given.threads)
    plan = HandsPlan(
        **plan_options(given),
        refined=given.refined,
        pairs=given.pairs.absolute(),
        pair_count=given.pair_count,
    )
    parts = [part for part in PARTS if part in given.parts or "all" in given.parts]
    if "sizes" in given.parts or "all" in given.parts:
        measured_sizes(given.results)
    for measure, arm in wanted(parts, given.steps, given.seeds or [0, 1, 2]):
        file = given.results / measure / f"{arm}.json"
        measured(file, arm, plan, partial(result_of, measure, arm, plan))
    if given.results == RESULTS:
        write_page()


if __name__ == "__main__":
    run_command(main)
