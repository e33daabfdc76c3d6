"""The trainings whose networks the tables of RealisticHands compare.

Each is a run of `train-hands` in a folder of its own: one that was killed goes on, one that is
whole is not done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from arms import RUN, WEIGHTS, Plan, Training
from measuring import BenchmarkError

from init_net.training.config import TrainConfig, load_train_config

EPOCHS = {"image": 120, "keypoint": 100, "fusion": 100, "finalize": 180}
"""Stages that regress hands, and how long each is (Seeber 4.1): steps have their proportions."""

MASKS = "segmentation"
"""The stage that comes last."""

MASK_SHARE = 0.2
"""Its steps, of those of all others together. The paper's 10 epochs beside 500 are of more samples
each: both of its data sets."""

COMPACT = (
    "network.encoder=mobilenetv3_small_050",
    "network.keypoint_dropout.all=0.0",
    "network.keypoint_dropout.single=0.0",
    "optimiser.batch_size=16",
    "optimiser.learning_rate=2.0e-3",
    "optimiser.warmup_steps=50",
    "optimiser.schedule=cosine",
    "optimiser.ema_decay=0.99",
    "augmentation.noise=0.0",
)
"""What all arms learn with: small batches, since the steps are few. No keypoints are taken away,
as the paper tells of none; of some hands the detector has seen none. Noise costs a third of a
batch."""


@dataclass(frozen=True, kw_only=True)
class HandsPlan(Plan):
    """What is learned from.

    Attributes:
        refined: of the hands that are measured, those that are refined.
        pairs: folder of rendered pairs; pair_count: how many of them there are.
    """

    refined: int
    pairs: Path
    pair_count: int


@dataclass(frozen=True)
class Arm(Training[HandsPlan]):
    """A training on single images; its steps are those of the stages that regress hands, all
    together."""

    def config(self, plan: HandsPlan) -> TrainConfig:
        """Of the run."""
        words = [*COMPACT, *plan.sources, *RUN, *plan.options]
        config = load_train_config(self.preset, words)
        lengths = stage_steps(list(config.stages), self.steps)
        stages = {
            name: stage.model_copy(update={**_LIKE_THE_RUN, "steps": steps})
            for (name, stage), steps in zip(config.stages.items(), lengths, strict=True)
        }
        return config.model_copy(
            update={
                "stages": stages,
                "run": config.run.model_copy(update={"seed": self.seed}),
                "optimiser": config.optimiser.model_copy(update={"steps": self.steps}),
            }
        )


@dataclass(frozen=True)
class StereoArm(Arm):
    """A training on pairs, which begins with the network of another arm.

    Attributes:
        mono: that arm.
    """

    mono: Arm

    @property
    def needed(self) -> tuple[Training[HandsPlan], ...]:
        """See `Arm.needed`."""
        return (*self.mono.needed, self)

    def config(self, plan: HandsPlan) -> TrainConfig:
        """Of the run; its stages are as long as the preset has them, in epochs."""
        encoder = COMPACT[0].replace("network.", "network.mono.")
        words = [
            encoder,
            f"pairs.folder={plan.pairs}",
            f"pairs.count={plan.pair_count}",
            f"run.start={plan.work / str(self.mono) / WEIGHTS}",
            *RUN,
            *plan.options,
        ]
        config = load_train_config(self.preset, words)
        run = config.run.model_copy(update={"seed": self.seed})
        return config.model_copy(update={"run": run})


_LIKE_THE_RUN = dict.fromkeys(
    ("epochs", "learning_rate", "schedule", "decay_epochs", "decay_factor")
)
"""Options of stages that the run's take the place of."""


def stage_steps(names: Sequence[str], total: int) -> list[int]:
    """How long stages are: those that regress hands add up to `total`.

    Raises:
        BenchmarkError: there is another stage than those that are printed.
    """
    unknown = set(names) - {*EPOCHS, MASKS}
    if unknown:
        raise BenchmarkError(f"expected stages {[*EPOCHS, MASKS]}, found {sorted(unknown)}, too")
    epochs = [EPOCHS.get(name, 0) for name in names]
    ends = np.rint(total * np.cumsum(epochs) / max(sum(epochs), 1)).astype(int)
    steps = np.diff(ends, prepend=0).tolist()
    masks = round(MASK_SHARE * total)
    return [masks if name == MASKS else count for name, count in zip(names, steps, strict=True)]
