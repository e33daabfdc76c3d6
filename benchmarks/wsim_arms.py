"""The trainings whose networks the tables of WSIM 3D Hand (Yu et al. 2023) compare.

All arms begin with the same encoder (`render_and_compare_start`) and, where they have one, the same
JointVAE, which learns first; they see the same samples as often, and differ in what `RECIPES` says
of them. Weights of losses are the printed lambdas; those that the paper does not print are 100, as
lambda_4 and lambda_5.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from arms import RUN, TRAINED_SHARE, WEIGHTS, Plan, Training
from render_and_compare_start import encoder_names, started
from safetensors.torch import load_file

from fitter.system.lock import WriterLock
from init_net.model_card import WeightsInfo
from init_net.networks.build import build_network
from init_net.networks.config import MeshNetConfig
from init_net.networks.mesh_net import MeshNet
from init_net.samples.config import DatasetConfig
from init_net.training.config import TrainConfig, load_train_config
from init_net.training.loss_weights import MeshWeights
from init_net.weights import load_network, save_weights

BATCH, RATE = 16, 1e-3

VAE = "joint_vae"
"""The arm whose JointVAE all others begin with."""

VAE_STEPS = 6_000

COMPACT = (
    "network.encoder=mobilenetv3_small_050",
    "network.input_size=128",
    f"optimiser.batch_size={BATCH}",
    f"optimiser.learning_rate={RATE}",
    "optimiser.warmup_steps=30",
    "optimiser.schedule=cosine",
    "optimiser.ema_decay=0.99",
    "augmentation.noise=0.0",
)
"""What all arms learn with."""

ENCODED = {"camera": 10.0}
JOINTS = {"joints_regressed": 100.0}
VERTICES = {"vertices": 100.0}
L_JOINT = {**JOINTS, "joints_refined": 100.0, "joints_agreement": 100.0, "kl": 0.1}
PARAMETERS = {"shape": 10.0, "twist": 10.0}
DISTILLED = {"self_distillation": 100.0}
"""Yu eq. 3, 4 and 7 with the printed lambdas, see `MeshWeights`."""

PRINTED = {**ENCODED, **L_JOINT, **PARAMETERS, **DISTILLED}
"""Yu eq. 8."""

TRANSFORMER = {"decoder": "transformer", "channels": [64, 64, 32, 32]}


@dataclass(frozen=True)
class Recipe:
    """What an arm is told.

    Attributes:
        losses: weights of those that count.
        network: options that are not the preset's.
        parametric: its hand is the parametric mesh; else the non-parametric one alone is measured.
        has_vae: a JointVAE refines its joints.
        start: the arm that it goes on from, on pairs of hands that touch; None for the encoder and
            the JointVAE.
        rate: learning rate, of an arm that goes on.
    """

    losses: Mapping[str, float]
    network: Mapping[str, Any] = field(default_factory=dict)
    parametric: bool = True
    has_vae: bool = True
    start: str | None = None
    rate: float = RATE


def alone(*losses: Mapping[str, float], **network: Any) -> Recipe:
    """A decoder by itself, of meshes that no hand model corrects."""
    merged = {name: weight for each in (ENCODED, *losses) for name, weight in each.items()}
    return Recipe(merged, network, parametric=False, has_vae=False)


def without(*names: str, **more: float) -> dict[str, float]:
    """Eq. 8 without some of its losses, and with others."""
    return {**{n: w for n, w in PRINTED.items() if n not in names}, **more}


RECIPES: Mapping[str, Recipe] = {
    # Table 1
    "parametric": alone(JOINTS, VERTICES, decoder="parametric"),
    "parametric-joints": alone(JOINTS, decoder="parametric"),
    "spiral": alone(JOINTS, VERTICES),
    "spiral-joints": alone(JOINTS),
    "transformer": alone(JOINTS, VERTICES, **TRANSFORMER),
    "integrated": Recipe(PRINTED),
    "integrated-transformer": Recipe(PRINTED, TRANSFORMER),
    # Table 3
    "no-vae": Recipe(without("joints_refined", "joints_agreement", "kl"), has_vae=False),
    "no-distillation": Recipe(without("self_distillation")),
    # 3.3, joints or vertices supervise the parameters; 4.6, masks
    "taught-joints": Recipe(without(parametric_joints=100.0)),
    "taught-vertices": Recipe(without(parametric_vertices=100.0)),
    "mask": Recipe(without(mask=10.0)),
    # Table 2: the pipeline on pairs, then refined (3.4, 4.2: 1e-6), and what is not printed
    "touching": Recipe(PRINTED, start="integrated", rate=3e-4),
    "refined": Recipe(without(penetration=10.0), start="touching", rate=1e-6),
    "refined-1e-4": Recipe(without(penetration=10.0), start="touching", rate=1e-4),
    "refined-weighed": Recipe(without(penetration=30.0), start="touching", rate=1e-4),
    "refined-heavy": Recipe(without(penetration=100.0), start="touching", rate=1e-4),
    "longer": Recipe(PRINTED, start="touching", rate=1e-4),
    # What eq. 4 leaves out, see `regularised_parameters`
    "first-norms": Recipe(without("shape", "twist", shape_error=10.0, twist_error=10.0)),
}
"""Arm -> what it is told."""

NOISE = {VAE: 0.003, "joint_vae-exact": 0.0}
"""JointVAEs -> scatter of the joints that they learn from, metres."""


@dataclass(frozen=True, kw_only=True)
class WsimPlan(Plan):
    """What is learned from.

    Attributes:
        touching: folder of pairs of hands (``synth-hands --interaction hands``).
    """

    touching: Path

    def pairs(self, is_learned: bool) -> DatasetConfig:
        """Those that are learned from, or those that are measured."""
        return DatasetConfig(
            dataset="synthetic",
            folder=str(self.touching),
            samples=str(self.work.absolute() / "touching"),
            portion=(0.0, TRAINED_SHARE) if is_learned else (TRAINED_SHARE, 1.0),
            sightings=1,
        )


@dataclass(frozen=True)
class VAEArm(Training[WsimPlan]):
    """A training of the JointVAE by itself."""

    def config(self, plan: WsimPlan) -> TrainConfig:
        """Of the run."""
        words = [
            *(word for word in RUN if not word.startswith("run.loaders")),
            f"optimiser.steps={self.steps}",
            f"posed_hands.noise={NOISE[self.name]}",
            f"run.seed={self.seed}",
        ]
        return load_train_config(self.preset, words)


@dataclass(frozen=True)
class Arm(Training[WsimPlan]):
    """A training of a `MeshNet`."""

    @property
    def recipe(self) -> Recipe:
        """What it is told."""
        return RECIPES[self.name]

    @property
    def needed(self) -> tuple[Training[WsimPlan], ...]:
        """See `Training.needed`."""
        if self.recipe.start is not None:
            return (*arm_of(self.recipe.start, self.steps, self.seed).needed, self)
        return (vae_arm(VAE), self) if self.recipe.has_vae else (self,)

    def config(self, plan: WsimPlan) -> TrainConfig:
        """Of the run."""
        words = [*COMPACT, *plan.sources, *RUN, *plan.options]
        said = load_train_config(self.preset, words).resolved()
        recipe = self.recipe
        said["network"] |= dict(recipe.network)
        parts = {"encoder": "encoder"}
        learns = ["encoder", "decoder", "parameters", "camera"]
        if recipe.has_vae:
            parts["vae"] = "vae"
        else:
            said["network"]["vae"] = None
        said["losses"] = dict.fromkeys(MeshWeights.model_fields, 0.0) | recipe.losses
        said["stages"] = {"integrated": {"steps": self.steps, "trains": learns}}
        said["optimiser"]["steps"] = self.steps
        said["run"]["seed"] = self.seed
        if recipe.start is None:
            network = MeshNetConfig.model_validate(said["network"])
            start = start_file(plan, network, recipe.has_vae)
            said["run"] |= {"start": str(start), "start_parts": parts}
        else:
            before = plan.work / str(arm_of(recipe.start, self.steps, self.seed)) / WEIGHTS
            said["run"] |= {"start": str(before), "start_parts": None}
            said["optimiser"]["learning_rate"] = recipe.rate
            said["data"]["share"] = 0.0
            said["datasets"] = {"touching": plan.pairs(is_learned=True).model_dump(mode="json")}
        return TrainConfig.model_validate_json(json.dumps(said))


def arm_of(name: str, steps: int, seed: int) -> Training[WsimPlan]:
    """The arm of a name."""
    if name in NOISE:
        return vae_arm(name)
    return Arm(name, "wsim", steps, seed)


def vae_arm(name: str) -> VAEArm:
    """One for all seeds of the others, which begin with the same one."""
    return VAEArm(name, "joint_vae", VAE_STEPS, 0)


def start_file(plan: Plan, network: MeshNetConfig, has_vae: bool) -> Path:
    """Weights that a network begins with, made where they are not there: of an encoder that has
    learned, and of a JointVAE. Everything else in the file is noise.

    Args:
        plan: what is learned from, and where it is kept.
        network: its options.
        has_vae: it has a JointVAE, whose arm is trained.

    Raises:
        InputError: another process is at it.
    """
    plan.work.mkdir(parents=True, exist_ok=True)
    file = plan.work / f"start{'-vae' if has_vae else ''}.safetensors"
    lock = WriterLock(plan.work / "start.arm")
    try:
        if not file.exists():
            sizes = (network.input_size, network.margin)
            learned = plan.work / "encoder.safetensors"
            started(network.encoder, plan.samples, plan.trained, sizes, learned)
            vae = plan.work / str(vae_arm(VAE)) / WEIGHTS if has_vae else None
            _write(file, network, learned, vae)
    finally:
        lock.release()
    return file


def _write(file: Path, config: MeshNetConfig, learned: Path, vae: Path | None) -> None:
    """Put an encoder that has learned, and a JointVAE, into a network of noise."""
    config = config.model_copy(update={"decoder": "parametric"})
    network = cast("MeshNet", build_network(config, 0))
    part, weights = network.parts["encoder"], load_file(learned)
    # The same modules in the same order, under other names; what follows has not learned.
    names = encoder_names(config.encoder)
    pairs = zip(list(part.state_dict())[: len(names)], names, strict=True)
    part.load_state_dict({one: weights[other] for one, other in pairs}, strict=False)
    if vae is not None:
        network.parts["vae"].load_state_dict(load_network(vae).state_dict())
    save_weights(file, network, WeightsInfo(config, "benchmarks/wsim.py", 0, data={}, figures={}))
