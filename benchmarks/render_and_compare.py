"""The experiments of S2HAND and of Zhao, on renders and with a compact encoder.

    python benchmarks/render_and_compare.py all --work work/render_and_compare
    python benchmarks/render_and_compare.py table4 fig4 --seeds 0 --work work/render_and_compare

table4    S2HAND, Table 4: what each loss gives
table5    S2HAND, Table 5: keypoints that a detector saw, and true ones
fig4      S2HAND, Fig. 4: how far keypoints in the image are off, of detector, 2D and 3D branch
zhao2     Zhao, Table 2: his pipeline beside S2HAND
zhao3     Zhao, Table 3: confidence of bones, of a detector's keypoints and of true ones
zhao45    Zhao, Tables 4 and 5: keypoints in 3D, as they are and normalised
zhao6     Zhao, Table 6: hand models
compared  what they left open: which pictures are compared
focal     what they left open: a focal length that is given or said
domain    pictures of another domain, without labels: errors before and after
sizes     the networks as printed: parts, codes, and the cost of a step
texture   crops, hands as they are drawn, and textures of what S2HAND's last row has learned

Samples are rendered ones that the detector has looked at (``train-hands s2hand --prepare-only``
makes them): the first 70 % are learned from, others are measured on. Every training and every
measurement is kept, a JSON file each in ``benchmarks/results/render_and_compare``: the same command
goes on after a stop, does what is missing, and makes the tables and figures of
``docs/render_and_compare.md`` of all that is there. Several may run at once: an arm that another
one trains is passed over.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from arms import (
    Asked,
    add_counts,
    described,
    held_out,
    measured,
    plan_options,
    plan_parser,
    trained,
    write_result,
)
from measuring import run_command, use_threads
from render_and_compare_arms import NIMBLE, Arm, ComparePlan, arm_of
from render_and_compare_domain import held_out_pictures
from render_and_compare_figures import keypoint_figures, summary
from render_and_compare_found import found_figures
from render_and_compare_pictures import TEXTURES, draw_textures
from render_and_compare_sizes import sizes

from init_net import load_network
from init_net.networks.autoencoder import HandAutoencoder
from init_net.networks.build import build_network
from init_net.training.autoencoder_evaluation import AutoencoderErrors

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))
from doc_render_and_compare import RESULTS, ROOT
from figure_render_and_compare import FIGURE, draw
from make_docs import filled

PAGE = ROOT / "docs" / "render_and_compare.md"

STEPS = 1_200
"""Of an arm."""

COMPARED = (
    "orientation",
    "compared-mask",
    "compared-depth",
    "compared-photometric",
    "compared-printed",
)

CONFIDENCE = ("zhao-found", "zhao-found-alike", "zhao-leading", "zhao-leading-confidence")

PARTS: Mapping[str, tuple[str, Sequence[str]]] = {
    "table4": ("hands", ("location", "orientation", "photometric", "consistency")),
    "table5": ("hands", ("weak-leading", "self-found")),
    "fig4": ("keypoints", ("orientation", "consistency", "estimator")),
    "zhao2": ("hands", ("self-found", "zhao-found")),
    "zhao3": ("hands", CONFIDENCE),
    "zhao45": ("hands", ("zhao-weak", "zhao-3d-norm", "zhao-3d")),
    "domain": ("domain", ("orientation", "adapted", "longer")),
    "compared": ("hands", COMPARED),
    "focal": ("hands", ("orientation", "focal")),
    "zhao6": ("joints", ("zhao-open", "zhao-nimble")),
}
"""Table or figure -> what is measured for it, and on which arms."""

THRICE = frozenset({"location", "orientation", "photometric", "weak-leading", "self-found"})
"""Arms that several seeds are asked of, unless others are named: they decide."""

OTHERS = ("sizes", "texture", "all", "page")
"""What else may be asked for; page makes the tables of what is there."""


def hands(network: HandAutoencoder, plan: ComparePlan) -> dict[str, Any]:
    """How far an arm's hands are off."""
    return summary(errors_of(network, plan))


def joints(network: HandAutoencoder, plan: ComparePlan) -> dict[str, Any]:
    """How far its joints and fingertips are off, which all hand models have."""
    crops = held_out(plan, network.config.input_size, network.config.margin)
    return summary(AutoencoderErrors.of(network, replace(crops, marks=False)))


def keypoints(network: HandAutoencoder, plan: ComparePlan) -> dict[str, Any]:
    """How far its keypoints in the image are off, and the detector's."""
    return keypoint_figures(errors_of(network, plan), network.config.input_size)


def domain(network: HandAutoencoder, plan: ComparePlan) -> dict[str, Any]:
    """How far its hands are off in the shifted domain."""
    crops = held_out_pictures(
        plan.domain, plan.held_out_pictures, network.config, plan.measured_sightings
    )
    return summary(AutoencoderErrors.of(network, crops))


def errors_of(network: HandAutoencoder, plan: ComparePlan) -> AutoencoderErrors:
    """On the hands held out."""
    crops = held_out(plan, network.config.input_size, network.config.margin)
    return AutoencoderErrors.of(network, crops)


MEASURES: Mapping[str, Callable[[HandAutoencoder, ComparePlan], dict[str, Any]]] = {
    "hands": hands,
    "joints": joints,
    "keypoints": keypoints,
    "domain": domain,
}
"""What is measured -> how."""


ASKED = Asked(PARTS, THRICE, arm_of)


def result_of(measure: str, arm: Arm, plan: ComparePlan, weights: Path) -> dict[str, Any]:
    """What is said of an arm's weights."""
    model = str(plan.nimble) if arm.recipe.preset == NIMBLE else None
    said = MEASURES[measure](autoencoder(weights, model), plan)
    training = described(arm, plan)
    # Not where its files lie.
    training["network"]["hand_model"] = "open_hand" if model is None else "nimble"
    return {**said, "training": training}


def autoencoder(weights: Path, model: str | None = None) -> HandAutoencoder:
    """The network of an arm; `model` is the folder of the hand model that it poses."""
    network = load_network(weights, torch.device("cpu"), "autoencoder", model)
    assert isinstance(network, HandAutoencoder)
    return network


def measured_mean(plan: ComparePlan, results: Path) -> None:
    """A network that has learned nothing, where that is not done yet: it says the mean hand."""
    for measure in ("hands", "joints"):
        file = results / "mean" / f"{measure}-0-0.json"
        if not file.exists():
            network = build_network(arm_of("location", 1, 0).network(plan), 0)
            assert isinstance(network, HandAutoencoder)
            said = {"arm": measure, "steps": 0, "seed": 0}
            write_result(file, {**said, **MEASURES[measure](network.eval(), plan)})


def measured_found(plan: ComparePlan, results: Path) -> None:
    """What the detector found in pictures of the leading samples, where that is not done yet."""
    file = results / "found" / f"{plan.leading}.json"
    if not file.exists():
        write_result(file, found_figures(plan, plan.leading))


def measured_sizes(plan: ComparePlan, results: Path) -> None:
    """The networks as printed, where that is not done yet."""
    for preset in ("s2hand_published", "zhao_published"):
        file = results / "sizes" / f"{preset}.json"
        if not file.exists():
            write_result(file, sizes(preset, plan, batch=4, repeats=3))


def write_page() -> None:
    """The figure and the tables of the page, of all results that are there."""
    draw(FIGURE)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def options() -> argparse.ArgumentParser:
    """The command line."""
    said = plan_parser(
        "The experiments of S2HAND and of Zhao, on renders and with a compact encoder.",
        [*PARTS, *OTHERS],
        RESULTS,
    )
    said.add_argument("--domain", type=Path, default=Path("data/domain"), metavar="DIR",
                      help="pictures of another domain (default: data/domain)")  # fmt: skip
    said.add_argument("--nimble", type=Path, metavar="DIR",
                      help="a NIMBLE model (default: its arm is left out)")  # fmt: skip
    add_counts(
        said,
        ("--steps", STEPS, "of each arm"),
        ("--pictures", 800, "of the other domain, without labels"),
        ("--leading", 4_096, "samples for arms that learn from what the detector finds unaided"),
        ("--held-out-pictures", 600, "of the other domain, with their truth"),
    )
    return said


def main(words: Sequence[str] | None = None) -> None:
    given = options().parse_args(words)
    use_threads(given.threads)
    plan = ComparePlan(
        **plan_options(given),
        domain=given.domain.absolute(),
        pictures=given.pictures,
        held_out_pictures=given.held_out_pictures,
        leading=given.leading,
        nimble=None if given.nimble is None else given.nimble.absolute(),
    )
    parts = [part for part in PARTS if part in given.parts or "all" in given.parts]
    seeds = given.seeds or [0, 1, 2]
    for measure, arm in ASKED.arms(parts, given.steps, seeds, not given.seeds):
        if arm.recipe.preset == NIMBLE and plan.nimble is None:
            print(f"{arm}: expected --nimble DIR, left out", file=sys.stderr)
            continue
        file = given.results / measure / f"{arm}.json"
        measured(file, arm, plan, partial(result_of, measure, arm, plan))
    if {"table4", "zhao6", "all"} & {*given.parts}:
        measured_mean(plan, given.results)
    if {"table5", "zhao2", "zhao3", "all"} & {*given.parts}:
        measured_found(plan, given.results)
    if {"sizes", "all"} & {*given.parts}:
        measured_sizes(plan, given.results)
    if {"texture", "all"} & {*given.parts}:
        arm = arm_of("photometric", given.steps, seeds[0])
        draw_textures(autoencoder(trained(arm, plan)), plan, TEXTURES)
    if given.results == RESULTS:
        write_page()


if __name__ == "__main__":
    run_command(main)
