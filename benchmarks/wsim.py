"""The experiments of WSIM 3D Hand (Yu et al. 2023), on renders and with a compact encoder.

    python benchmarks/wsim.py all --set data.sightings=1
    python benchmarks/wsim.py table1 --seeds 0 --set data.sightings=1

table1       Table 1: parametric, non-parametric, of joints alone, and integrated
table2       Table 2: hands that touch, before and after they are refined
table3       Table 3: without VAE, without self-distillation
table4       Table 4: random, no and estimated twist, of the same weights
taught       3.3: joints or vertices as supervision of the parameters
mask         4.6: masks as supervision
parameters   what they left open: the first norms of eq. 4 alone
gap          3.2: joints that a regressor finds on posed meshes, before and after the JointVAE
all, page    all of them; nothing: the page's tables are made of what is there

Pairs of hands are rendered by ``synth-hands --count 1200 --out data/wsim_touching --interaction
hands --size 256 --seed 4000``: the first 70 % of a random order are learned from, the others
measured. All other samples are rendered ones that the detector has looked at (``train-hands wsim
--prepare-only`` makes them, see docs/wsim.md): the first 70 % are learned from, others are measured
on. Every training and every measurement is kept, a JSON file each in ``benchmarks/results/wsim``:
the same command goes on after a stop, does what is missing, and, unless ``--results`` is another
folder, makes the tables of ``docs/wsim.md`` of all that is there. Several may run at once: an arm
that another one trains is passed over.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from arms import Asked, add_counts, described, held_out, measured, plan_options, plan_parser
from measuring import run_command, use_threads
from wsim_arms import NOISE, RECIPES, WsimPlan, arm_of

from datasets.readers import open_dataset
from init_net.networks.mesh_net import MeshNet
from init_net.samples.shards import ShardedSamples
from init_net.training.loss_weights import loss_weights
from init_net.training.mesh_evaluation import MeshErrors
from init_net.training.pair_evaluation import PairErrors
from init_net.training.sources import look_at, prepare
from init_net.training.touching_hands import HandPairs
from init_net.weights import load_network, read_info

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))
from doc_wsim import RESULTS, ROOT
from make_docs import filled

PAGE = ROOT / "docs" / "wsim.md"

STEPS = 1_200
"""Of an arm."""

TABLE_1 = (
    "spiral",
    "integrated",
    "parametric",
    "spiral-joints",
    "parametric-joints",
    "transformer",
    "integrated-transformer",
)
"""What decides comes first."""

TABLE_2 = tuple(name for name, recipe in RECIPES.items() if recipe.start is not None)
"""As printed, and at other rates and weights."""

PARTS: Mapping[str, tuple[str, Sequence[str]]] = {
    "gap": ("gap", ("joint_vae", "joint_vae-exact")),
    "table1": ("meshes", TABLE_1),
    "table2": ("touching", TABLE_2),
    "table3": ("meshes", ("integrated", "no-vae", "no-distillation")),
    "table4": ("twists", ("integrated",)),
    "taught": ("meshes", ("integrated", "taught-joints", "taught-vertices")),
    "mask": ("meshes", ("integrated", "mask")),
    "parameters": ("meshes", ("integrated", "first-norms")),
}
"""Table -> what is measured for it, and on which arms."""

THRICE = frozenset(
    {"parametric", "spiral", "spiral-joints", "integrated", "no-vae", "no-distillation"}
)
"""Arms that several seeds are asked of, unless others are named: they decide."""

TWISTS = ("random", "zero", "predicted")
"""Table 4."""


def meshes(weights: Path, plan: WsimPlan) -> dict[str, Any]:
    """How far an arm's hands are off, with the standard errors (``_se``) over hands."""
    return _summary(errors_of(mesh_network(weights), plan))


def twists(weights: Path, plan: WsimPlan) -> dict[str, Any]:
    """The same of each way to twist its bones."""
    network, found = mesh_network(weights), {}
    for twist in TWISTS:
        network.config = network.config.model_copy(update={"twist": twist})
        found[twist] = _summary(errors_of(network, plan))
    return found


def touching(weights: Path, plan: WsimPlan) -> dict[str, Any]:
    """How far hands that touch are off, and how deep they are in each other."""
    source = plan.pairs(is_learned=False)
    prepare(source)
    look_at(source, source.sightings)
    errors = PairErrors.of(mesh_network(weights), HandPairs.of({"touching": source}))
    scatter = {f"{name}_se": value for name, value in errors.standard_errors().items()}
    return {name: round(value, 4) for name, value in {**errors.figures(), **scatter}.items()}


def gap(weights: Path, plan: WsimPlan) -> dict[str, Any]:
    """What a JointVAE's own validation has measured."""
    return {name: round(value, 4) for name, value in read_info(weights).figures.items()}


MEASURES: Mapping[str, Callable[[Path, WsimPlan], dict[str, Any]]] = {
    "meshes": meshes,
    "twists": twists,
    "touching": touching,
    "gap": gap,
}
"""What is measured -> how."""


def errors_of(network: MeshNet, plan: WsimPlan) -> MeshErrors:
    """On the hands held out, labelled at joints and fingertips."""
    crops = held_out(plan, network.config.input_size, network.config.margin)
    return MeshErrors.of(network, replace(crops, marks=False))


def mesh_network(weights: Path) -> MeshNet:
    """The network of an arm."""
    network = load_network(weights, torch.device("cpu"), "mesh_net")
    assert isinstance(network, MeshNet)
    return network


def _summary(errors: MeshErrors) -> dict[str, Any]:
    scatter = {f"{name}_se": value for name, value in errors.standard_errors().items()}
    return {name: round(value, 4) for name, value in {**errors.figures(), **scatter}.items()}


ASKED = Asked(PARTS, THRICE, arm_of)


def result_of(measure: str, arm: Any, plan: WsimPlan, weights: Path) -> dict[str, Any]:
    """What is said of an arm's weights."""
    said = MEASURES[measure](weights, plan)
    recipe = RECIPES.get(arm.name)
    training = described(arm, plan)
    if recipe is None:  # a JointVAE learns from hands that are posed, by how much they scatter
        unseen = ("samples", "augmentation")
        training = {name: each for name, each in training.items() if name not in unseen}
        losses = loss_weights(arm.config(plan))
        return {**said, "training": {**training, "losses": losses, "noise": NOISE[arm.name]}}
    return {**said, "parametric": recipe.parametric, "training": training}


def write_page() -> None:
    """The tables of the page, of all results that are there."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def options() -> argparse.ArgumentParser:
    """The command line."""
    said = plan_parser(
        __doc__,
        [*PARTS, "all", "page"],
        RESULTS,
    )
    said.add_argument("--touching", type=Path, default=Path("data/wsim_touching"), metavar="DIR",
                      help="pairs of hands (default: data/wsim_touching)")  # fmt: skip
    add_counts(said, ("--steps", STEPS, "of each arm"))
    return said


def require_sources(plan: WsimPlan, measures: Collection[str]) -> None:
    """Refuse what cannot be measured before anything is trained.

    Raises:
        InputError: samples or pairs are not there, or too few.
    """
    if set(measures) - {"gap"}:  # hands without images
        ShardedSamples(plan.samples, plan.count)
        ShardedSamples(plan.validation)
    if "touching" in measures:
        open_dataset("synthetic", plan.touching)


def main(words: Sequence[str] | None = None) -> None:
    given = options().parse_args(words)
    use_threads(given.threads)
    plan = WsimPlan(**plan_options(given), touching=given.touching.absolute())
    parts = [part for part in PARTS if part in given.parts or "all" in given.parts]
    asked = ASKED.arms(parts, given.steps, given.seeds or [0, 1, 2], not given.seeds)
    files = {(measure, arm): given.results / measure / f"{arm}.json" for measure, arm in asked}
    missing = {each: file for each, file in files.items() if not file.exists()}
    require_sources(plan, {measure for measure, _ in missing})
    for (measure, arm), file in missing.items():
        measured(file, arm, plan, partial(result_of, measure, arm, plan))
    if not missing:
        print(f"nothing left to measure in {given.results}", file=sys.stderr)
    if given.results == RESULTS:
        write_page()
        print(PAGE, file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
