"""The trainings whose networks the tables of S2HAND and of Zhao compare.

All arms begin with the same encoder (`render_and_compare_start`), see the same samples as often,
and differ in what `RECIPES` says of them. Neither paper publishes weights of its losses; those here
are the presets' but for those of limits and of the pose, which were chosen on the first half of the
hands held out: what learns as shortly as an arm bends hands out of shape with less.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from arms import RUN, WEIGHTS, Plan, Training
from render_and_compare_domain import pictures
from render_and_compare_found import found_pictures
from render_and_compare_start import start_file

from init_net.networks.config import AutoencoderConfig
from init_net.samples.sightings import FOUND
from init_net.training.config import TrainConfig, load_train_config
from init_net.training.loss_weights import AutoencoderWeights

BATCH, RATE = 16, 1e-3
FIRST = 0.6
"""Share of the steps in which the branches learn apart: 90 epochs of 150 (S2HAND 4.2)."""

SLOWER = 0.25
"""Learning rate of the steps in which they learn together, over that of the first (S2HAND 4.2)."""

COMPACT = (
    "network.encoder=mobilenetv3_small_050",
    "network.input_size=128",
    "network.rotation=6d",
    f"optimiser.batch_size={BATCH}",
    f"optimiser.learning_rate={RATE}",
    "optimiser.warmup_steps=30",
    "optimiser.schedule=cosine",
    "optimiser.ema_decay=0.99",
    "augmentation.noise=0.0",
)
"""What all arms learn with."""

LOCATION = {"location": 10.0}
REGULAR = {"shape": 0.02, "scale": 1.0, "limits": 30.0}
ORIENTATION = {"orientation": 1.0}
PHOTO = {"pixel": 0.02, "ssim": 0.1, "texture": 1.0}
ESTIMATOR = {"estimator": 10.0}
CONSISTENCY = {"consistency": 10.0}
"""Weights of S2HAND's losses (not published)."""

ZHAO = {
    "joints_2d": 5.0,
    "orientation": 1.0,
    "pose_l2": 2.0,
    "shape_l2": 0.02,
    "appearance_l2": 0.005,
}
DRAWN = {"rgb": 0.1, "image_silhouette": 0.1}
JOINTS_3D = {"joints_3d": 10.0}
JOINTS_3D_NORM = {"joints_3d_norm": 0.1}
MODELS = {**JOINTS_3D_NORM, "pose_l2": 0.02, "shape_l2": 0.02}
"""Weights of Zhao's (not published); those of his Table 6."""

BRANCH_2D = {"stacks": 1, "channels": 32}
"""The 2D branch of all arms that have one: small, as their encoder is."""

NIMBLE = "zhao_nimble"
"""The preset of arms that pose NIMBLE's hand."""

DETECTED = {"keypoints": "detected", "confidence": True}
ANNOTATED = {"keypoints": "annotated", "confidence": False}


@dataclass(frozen=True)
class Recipe:
    """What an arm is told.

    Attributes:
        preset: in ``configs/train``.
        losses: weights of those that count.
        together: of those that count in the last steps alone.
        network, supervision: options that are not the preset's.
        only: the part that learns, all others are left out; None for all.
        times: how often its steps are those of the other arms.
        branch: the arm whose 2D branch it begins with.
        start: the arm that it goes on from; None for the encoder alone.
        of: what it learns from: all samples for training; their "leading" ones; these as pictures
            in which the detector "found" what it found, right or wrong; pictures of another domain.
    """

    preset: str
    losses: Mapping[str, float]
    together: Mapping[str, float] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    supervision: Mapping[str, Any] = field(default_factory=lambda: DETECTED)
    only: str | None = None
    times: int = 1
    branch: str | None = None
    start: str | None = None
    of: Literal["all", "leading", "found", "domain"] = "all"


def s2hand(
    *losses: Mapping[str, float],
    is_drawn: bool = False,
    estimator: bool = False,
    **options: Any,
) -> Recipe:
    """S2HAND's network, as far as it takes part: E_loc, E_regu, and further losses."""
    network = {
        "appearance": "vertex_colours" if is_drawn else "none",
        "estimator": BRANCH_2D if estimator else None,
        **options.pop("network", {}),
    }
    merged = {
        name: weight for each in (LOCATION, REGULAR, *losses) for name, weight in each.items()
    }
    return Recipe("s2hand", merged, network=network, **options)


def zhao(*losses: Mapping[str, float], **options: Any) -> Recipe:
    """Zhao's network, with his photometric loss and further losses."""
    merged = {name: weight for each in (ZHAO, *losses) for name, weight in each.items()}
    network = {"appearance": "components", **options.pop("network", {})}
    return Recipe("zhao", merged, network=network, **options)


BOTH = {"estimator": True, "together": CONSISTENCY, "branch": "estimator"}

RECIPES: Mapping[str, Recipe] = {
    # S2HAND, Tables 4 and 5, Fig. 4
    "location": s2hand(),
    "orientation": s2hand(ORIENTATION),
    "consistency": s2hand(ORIENTATION, ESTIMATOR, **BOTH),
    "photometric": s2hand(ORIENTATION, ESTIMATOR, PHOTO, is_drawn=True, **BOTH),
    "weak-leading": s2hand(ORIENTATION, PHOTO, is_drawn=True, supervision=ANNOTATED, of="leading"),
    "self-found": s2hand(ORIENTATION, PHOTO, is_drawn=True, of="found"),
    "estimator": Recipe(
        "s2hand",
        ESTIMATOR,
        network={"appearance": "none", "estimator": BRANCH_2D},
        only="estimator",
        times=2,
    ),
    # Zhao, Tables 2 to 6
    "zhao-weak": zhao(DRAWN, supervision=ANNOTATED),
    "zhao-leading": zhao(DRAWN, supervision=ANNOTATED, of="leading"),
    "zhao-leading-confidence": zhao(
        DRAWN, supervision={**ANNOTATED, "bone_confidence": True}, of="leading"
    ),
    "zhao-found": zhao(DRAWN, of="found"),
    "zhao-found-alike": zhao(DRAWN, supervision={**DETECTED, "bone_confidence": False}, of="found"),
    "zhao-3d": zhao(DRAWN, JOINTS_3D, supervision=ANNOTATED),
    "zhao-3d-norm": zhao(DRAWN, JOINTS_3D_NORM, supervision=ANNOTATED),
    "zhao-open": Recipe("zhao", MODELS, network={"appearance": "none"}),
    "zhao-nimble": Recipe(NIMBLE, MODELS, network={"appearance": "none"}),
    # What they left open
    "compared-photometric": s2hand(ORIENTATION, PHOTO, is_drawn=True),
    "compared-mask": s2hand(ORIENTATION, {"mask": 0.3}),
    "compared-depth": s2hand(ORIENTATION, {"depth": 5.0}),
    "compared-printed": s2hand(ORIENTATION, {**DRAWN, "texture": 1.0}, is_drawn=True),
    "focal": s2hand(ORIENTATION, network={"focal": "predicted"}),
    # The shifted domain
    "adapted": s2hand(ORIENTATION, start="orientation", of="domain"),
    "longer": s2hand(ORIENTATION, start="orientation"),
}
"""Arm -> what it is told."""


@dataclass(frozen=True, kw_only=True)
class ComparePlan(Plan):
    """What is learned from.

    Attributes:
        domain: folder of the shifted domain, see `render_and_compare_domain`.
        pictures: of it, that are learned from without labels.
        held_out_pictures: of it, that are measured.
        leading: samples that arms of few samples learn from.
        nimble: folder of a NIMBLE model; None where its arm is not asked for.
    """

    domain: Path
    pictures: int
    held_out_pictures: int
    leading: int
    nimble: Path | None

    @property
    def measured_sightings(self) -> Sequence[int]:
        """See `Plan.measured_sightings`: where the detector was told, the truth told it."""
        return (FOUND,)


@dataclass(frozen=True)
class Arm(Training[ComparePlan]):
    """A training of either paper's network."""

    @property
    def recipe(self) -> Recipe:
        """What it is told."""
        return RECIPES[self.name]

    @property
    def needed(self) -> tuple[Training[ComparePlan], ...]:
        """See `Training.needed`; an arm's own length is in its steps."""
        earlier = self.recipe.start or self.recipe.branch
        if earlier is None:
            return (self,)
        steps = self.steps // self.recipe.times
        return (*arm_of(earlier, steps, self.seed).needed, self)

    def config(self, plan: ComparePlan) -> TrainConfig:
        """Of the run."""
        recipe, said = self.recipe, self._preset(plan).resolved()
        said["network"] = self.network(plan).model_dump(mode="json")
        said["supervision"] = {**(said["supervision"] or {}), **recipe.supervision}
        said["losses"] = dict.fromkeys(AutoencoderWeights.model_fields, 0.0) | recipe.losses
        said["stages"] = self._stages()
        said["optimiser"]["steps"] = self.steps
        said["run"] |= {"seed": self.seed, **self._start(plan)}
        said["data"] |= self._rendered(plan)
        said["datasets"] = self._pictures(plan)
        return TrainConfig.model_validate_json(json.dumps(said))

    def network(self, plan: ComparePlan) -> AutoencoderConfig:
        """What learns."""
        preset = self._preset(plan).network.model_dump()
        own = {} if self.recipe.preset != NIMBLE else {"hand_model": str(plan.nimble)}
        return AutoencoderConfig.model_validate({**preset, **own, **self.recipe.network})

    def _rendered(self, plan: ComparePlan) -> dict[str, Any]:
        """How many rendered samples it learns from, and how often."""
        if self.recipe.of == "leading":
            return {"count": plan.leading}
        return {} if self.recipe.of == "all" else {"share": 0.0}

    def _pictures(self, plan: ComparePlan) -> dict[str, Any]:
        """Those that it learns from, by the name of the source."""
        if self.recipe.of == "found":
            return {"found": found_pictures(plan, plan.leading)}
        if self.recipe.of == "domain":
            return {"pictures": pictures(plan.domain, plan.pictures)}
        return {}

    def _preset(self, plan: ComparePlan) -> TrainConfig:
        words = [*COMPACT, *plan.sources, *RUN, *plan.options]
        return load_train_config(self.recipe.preset, words)

    def _stages(self) -> dict[str, Any]:
        """Apart, then together; arms of one branch have the same."""
        first = round(FIRST * self.steps)
        shared: dict[str, Any] = {}
        if self.recipe.only is not None:
            shared = {"trains": [self.recipe.only], "without": ["encoder", "geometry", "texture"]}
        return {
            "apart": {"steps": first, **shared},
            "together": {
                "steps": self.steps - first,
                "learning_rate": SLOWER * RATE,
                "losses": dict(self.recipe.together) or None,
                **shared,
            },
        }

    def _start(self, plan: ComparePlan) -> dict[str, Any]:
        """Where its weights come from."""
        if self.recipe.only is not None:
            return {}
        *earlier, _ = self.needed
        before = plan.work / str(earlier[-1]) / WEIGHTS if earlier else None
        if self.recipe.start is not None:
            return {"start": str(before)}
        parts = {"encoder": "encoder"}
        if before is not None:
            parts["estimator"] = "estimator"
        return {"start": str(start_file(plan, self.network(plan), before)), "start_parts": parts}


def arm_of(name: str, steps: int, seed: int) -> Arm:
    """The arm of a name, of as many steps as its recipe has in the place of `steps`."""
    recipe = RECIPES[name]
    return Arm(name, recipe.preset, recipe.times * steps, seed)
