"""Zhao's regularisers against collisions, with training in the loop.

    python benchmarks/render_and_compare_regularisers.py nimble --nimble nimble/ --work work/weights
    python benchmarks/render_and_compare_regularisers.py open_hand --work work/weights

nimble      hands of a NIMBLE model, learned from renders of it
open_hand   the open hand, learned from renders of it
page        the figure and the table of docs/nimble.md, of all results that are there

Zhao (section 6) sees collisions of hands where the weights of w_pose and w_shape are small, and a
pipeline that hardly converges where they are large. Each arm learns from keypoints in 2D and the
directions of bones, as his weakly supervised pipeline does, but for the comparison with pictures,
which takes most of a step's time; w_pose and w_shape are one weight, which differs between arms. Of
the hands held out it is counted how many reach into themselves, and how far they are off.

``train-hands handnet --prepare-only --set data.hand_model=nimble/`` renders the samples. Every
training and every measurement is kept, and the same command goes on after a stop.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from arms import (
    RUN,
    Plan,
    Training,
    add_counts,
    alone,
    described,
    held_out,
    plan_options,
    plan_parser,
    trained,
    write_result,
)
from hand_collisions import Collisions
from measuring import BenchmarkError, run_command, use_threads

from fitter.hand_models import HandModel, Nimble
from fitter.records import HandParams
from init_net import load_network
from init_net.autoencoder_records import HandCode
from init_net.hand_model_id import network_hand_model
from init_net.networks.autoencoder import HandAutoencoder
from init_net.samples.crop_samples import Cropper
from init_net.training.autoencoder_evaluation import AutoencoderErrors, autoencoder_inputs
from init_net.training.config import TrainConfig, load_train_config
from init_net.training.evaluation import crop_batches
from init_net.training.loss_weights import AutoencoderWeights

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))
from doc_regularisers import FIGURE, MODELS, RESULTS, ROOT, WEIGHTS
from figure_regularisers import draw
from make_docs import filled

PAGE = ROOT / "docs" / "nimble.md"

COMPACT = (
    "network.encoder=mobilenetv3_small_050",
    "network.input_size=128",
    "network.appearance=none",
    "optimiser.batch_size=16",
    "optimiser.learning_rate=1.0e-3",
    "optimiser.warmup_steps=30",
    "optimiser.schedule=cosine",
    "optimiser.ema_decay=0.99",
    "augmentation.noise=0.0",
)
"""What all arms learn with."""

COMPARED = {"joints_2d": 5.0, "orientation": 1.0}
"""Losses besides the regularisers, and their weights, those of the preset."""

PRESETS = {"nimble": "zhao_nimble", "open_hand": "zhao"}
"""Hand model -> configuration in ``configs/train``."""

STEPS = 600


@dataclass(frozen=True, kw_only=True)
class WeightPlan(Plan):
    """What is learned from.

    Attributes:
        nimble: folder of a NIMBLE model; None where its arms are not asked for.
        start: weights that arms begin with, of their encoder; None for noise.
    """

    nimble: Path | None
    start: Path | None


@dataclass(frozen=True)
class Arm(Training[WeightPlan]):
    """A training with one weight.

    Attributes:
        model: "nimble" or "open_hand".
        weight: of both regularisers.
    """

    model: str
    weight: float

    def config(self, plan: WeightPlan) -> TrainConfig:
        """Of the run."""
        posed = ("network", "data", "validation")
        own = [f"{each}.hand_model={plan.nimble}" for each in posed if plan.nimble is not None]
        words = [*COMPACT, *own, *plan.sources, *RUN, *plan.options]
        said = load_train_config(self.preset, words).resolved()
        said["losses"] = dict.fromkeys(AutoencoderWeights.model_fields, 0.0) | COMPARED | {
            "pose_l2": self.weight, "shape_l2": self.weight,
        }  # fmt: skip
        said["stages"] = {"whole": {"steps": self.steps}}
        said["run"] |= {"seed": self.seed}
        if plan.start is not None:
            said["run"] |= {"start": str(plan.start), "start_parts": {"encoder": "encoder"}}
        return TrainConfig.model_validate_json(json.dumps(said))


def wanted(models: Sequence[str], steps: int, seeds: Sequence[int]) -> Iterator[Arm]:
    """The arms: the largest and the smallest weight first, all of a seed before the next."""
    ends = sorted(WEIGHTS, key=lambda weight: -abs(WEIGHTS.index(weight) - (len(WEIGHTS) - 1) / 2))
    for seed in seeds:
        for model in models:
            for weight in ends:
                yield Arm(f"{model}-{weight:g}", PRESETS[model], steps, seed, model, weight)


def measured(arm: Arm, plan: WeightPlan, results: Path) -> bool:
    """Train and measure an arm where that is not done yet; whether it is done now.

    It is not where somebody else trains the arm.
    """
    file = results / f"{arm}.json"
    if file.exists():
        return True
    with alone(arm, plan) as is_free:
        if not is_free:
            return False
        model = None if plan.nimble is None else str(plan.nimble)
        network = load_network(trained(arm, plan), "cpu", "autoencoder", model)
        assert isinstance(network, HandAutoencoder)
        said = {"model": arm.model, "weight": arm.weight, "steps": arm.steps, "seed": arm.seed}
        said |= figures(network, plan)
        training = described(arm, plan)
        # Not where its files lie.
        training["network"]["hand_model"] = arm.model
        write_result(file, {**said, "training": training})
    print(file, file=sys.stderr)
    return True


@torch.no_grad()
def figures(network: HandAutoencoder, plan: WeightPlan) -> dict[str, Any]:
    """Errors and collisions on the hands held out, and how far coefficients are from the mean."""
    crops = held_out(plan, network.config.input_size, network.config.margin)
    errors = AutoencoderErrors.of(network, crops).figures()
    codes = said_codes(network, crops)
    model = network_hand_model(network.config.hand_model, network.config.betas)
    params = posed(model, codes)
    layer = None if plan.nimble is None else Nimble.load(plan.nimble, textures=False)
    return {
        "hands": len(params.betas),
        "pa_mpjpe_mm": errors["pa_mpjpe_mm"],
        "keypoints_2d_px": errors["keypoints_2d_px"],
        "pose_rms": float(codes.pose.square().mean().sqrt()),
        "shape_rms": float(codes.betas.square().mean().sqrt()),
        **Collisions.of(model, params, layer).figures(),
    }


def said_codes(network: HandAutoencoder, crops: Cropper) -> HandCode:
    """What a network says of crops."""
    codes = []
    for batch in crop_batches(crops):
        code = network(autoencoder_inputs(batch)).code
        assert code is not None  # no part is left out
        codes.append(vars(code))
    joined = {
        name: None if value is None else torch.cat([code[name] for code in codes])
        for name, value in codes[0].items()
    }
    return HandCode(**joined)


def posed(model: HandModel, codes: HandCode) -> HandParams:
    """The hands of codes, at the origin."""
    pose = model.pose_from_pca(codes.pose, flat_hand_mean=False)
    return HandParams(codes.global_orient, pose, codes.betas, torch.zeros_like(codes.transl))


def write_page() -> None:
    """The figure and the table of the page, of all results that are there."""
    draw(FIGURE)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def options() -> argparse.ArgumentParser:
    """The command line."""
    said = plan_parser(
        "Zhao's regularisers against collisions, with training in the loop.",
        [*MODELS, "page"],
        RESULTS,
    )
    said.add_argument("--nimble", type=Path, metavar="DIR", help="a NIMBLE model")
    said.add_argument("--start", type=Path, metavar="FILE",
                      help="whose encoder all arms begin with (default: noise)")  # fmt: skip
    add_counts(said, ("--steps", STEPS, "of each arm"))
    return said


def main(words: Sequence[str] | None = None) -> None:
    given = options().parse_args(words)
    use_threads(given.threads)
    if "nimble" in given.parts and given.nimble is None:
        raise BenchmarkError("expected --nimble DIR for the arms of NIMBLE, found none.")
    for model in [model for model in MODELS if model in given.parts]:
        plan = WeightPlan(
            **plan_options(given),
            nimble=given.nimble.absolute() if model == "nimble" else None,
            start=None if given.start is None else given.start.absolute(),
        )
        for arm in wanted([model], given.steps, given.seeds or [0]):
            measured(arm, plan, given.results)
    if given.results == RESULTS:
        write_page()


if __name__ == "__main__":
    run_command(main)
