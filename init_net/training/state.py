"""What changes from step to step of a training run, and how one step changes it.

The optimiser is that of one stage and knows what it trains alone. As a stage ends the network takes
the averaged weights, and the average begins anew from them: what is frozen stays what it was bit
for bit, and a stage stands on the weights that were validated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fitter.errors import UserError
from fitter.records import TensorBatch
from init_net.hand_model_id import HandModelId, current_hand_model, posed_by, require_fitting
from init_net.training import freezing
from init_net.training.checkpoints import (
    Checkpoint,
    find_checkpoint,
    last_good,
    load_checkpoint,
    require_same_plan,
    require_same_run,
)
from init_net.training.config import TrainConfig
from init_net.training.optimisation import WeightAverage, make_optimiser
from init_net.training.plan import Stage
from init_net.training.ranks import Ranks
from init_net.training.task import Task

_PATIENCE = 20
"""Steps in a row whose gradients float16 cannot hold, after which it is not their scale: that is
halved by each of them, from 2^16."""


class DivergedError(UserError):
    """A loss or its gradient is not finite."""


@dataclass
class TrainState:
    """A run between two steps.

    Attributes:
        task, config: what is learned, and how.
        ranks: the processes that do the steps together.
        stage: that the optimiser and the average are of. The last step of a stage leaves it
            there until the next one is entered.
        step: steps done.
        saved, validated: steps done at the last checkpoint and validation.
        skipped: the last steps in a row that were left out.
        sums: loss term -> sum over the steps since the last line of the log.
        figures: of the last validation.
        losses: of the task, with the gradients of all ranks.
        stop: whether somebody has asked one of the ranks to stop, as all know after each step.
        hand_model: that the run began with, whatever lies on the disk when a checkpoint is written.
    """

    task: Task[Any]
    config: TrainConfig
    ranks: Ranks
    stage: Stage
    losses: nn.Module
    optimiser: torch.optim.Optimizer
    average: WeightAverage
    scaler: torch.amp.GradScaler
    hand_model: HandModelId
    step: int = 0
    saved: int = 0
    validated: int = 0
    skipped: int = 0
    stop: bool = False
    sums: dict[str, float] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    @classmethod
    def begin(cls, task: Task[Any], config: TrainConfig, stage: Stage, ranks: Ranks) -> TrainState:
        """A run in a stage of which nothing is done yet."""
        half = config.run.precision == "float16"
        task.network = ranks.synchronised(task.network, _device(task))
        freezing.enter(task.network, stage)
        return cls(
            task=task,
            config=config,
            ranks=ranks,
            stage=stage,
            losses=ranks.shared(task),
            optimiser=make_optimiser(task.network, config.optimiser),
            average=WeightAverage(task.network, config.optimiser.ema_decay),
            scaler=torch.amp.GradScaler(_device(task).type, enabled=half),
            hand_model=current_hand_model(*posed_by(config.network)),
        )

    @classmethod
    def restored(cls, task: Task[Any], config: TrainConfig, path: Path, ranks: Ranks) -> TrainState:
        """The state of a checkpoint.

        Raises:
            InputError: it is damaged, or of another run.
        """
        found = load_checkpoint(path)
        require_same_run(path, found.config, config)
        require_same_plan(path, found.plan, task.plan)
        # A stage of which all is done is left as the run goes on.
        state = cls.begin(task, config, task.plan.at(max(found.step - 1, 0)), ranks)
        for values in (found.network, found.average):
            require_fitting(path, task.network, values)
        task.network.load_state_dict(found.network)
        state.average.restore(found.average, found.updates)
        state.optimiser.load_state_dict(found.optimiser)
        if state.scaler.is_enabled() and found.scaler:
            state.scaler.load_state_dict(found.scaler)
        state.step = state.saved = found.step
        state.validated, state.sums, state.figures = found.validated, found.sums, found.figures
        return state

    @property
    def device(self) -> torch.device:
        """Of the network."""
        return _device(self.task)

    def enter(self, stage: Stage) -> None:
        """Go on to the next stage."""
        network, optimiser = self.task.network, self.config.optimiser
        network.load_state_dict(self.average.values())
        self.stage = stage
        freezing.enter(network, stage)
        self.losses = self.ranks.shared(self.task)
        self.optimiser = make_optimiser(network, optimiser)
        self.average = WeightAverage(network, optimiser.ema_decay)

    def advance(self, batch: TensorBatch, folder: Path, stop: bool = False) -> float:
        """One step of the optimiser; the total loss before it.

        Args:
            batch: this rank's part of it.
            folder: of the run, for messages.
            stop: whether this rank was asked to stop.

        Raises:
            DivergedError: a loss or the gradient is not finite.
        """
        config, network = self.config, self.task.network
        rate = self.stage.learning_rate(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        torch.manual_seed(_seed(config.run.seed, self.step, self.ranks.rank))
        with _autocast(config, self.device):
            terms = self.losses(batch.to(self.device), self.step)
        means = {name: term.float().mean() for name, term in terms.items()}
        total = torch.stack(list(means.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(total).backward()
        self.scaler.unscale_(self.optimiser)
        longest = config.optimiser.clip_norm
        norm = nn.utils.clip_grad_norm_(
            network.parameters(), math.inf if longest is None else longest
        )
        # One transfer from the device for all: each would wait for it.
        asked = torch.full_like(total, float(stop))
        said = torch.stack([*means.values(), total, norm.to(total.dtype), asked]).detach()
        *values, anybody = self.ranks.mean(said).tolist()
        self.stop = anybody > 0
        found = dict(zip([*means, "total", "gradient"], values, strict=True))
        self._require_finite(found, folder)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.average.update_parameters(network)
        self.step += 1
        found["gradient"] = found["gradient"] if math.isfinite(found["gradient"]) else 0.0
        for name, value in found.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        return found["total"]

    def _require_finite(self, found: Mapping[str, float], folder: Path) -> None:
        # A gradient that float16 cannot hold makes the scaler leave out the step.
        is_left_out = self.scaler.is_enabled() and not math.isfinite(found["gradient"])
        self.skipped = self.skipped + 1 if is_left_out else 0
        for name, value in found.items():
            is_gradient = name == "gradient"
            if math.isfinite(value) or (is_gradient and is_left_out and self.skipped < _PATIENCE):
                continue
            often = is_gradient and is_left_out
            kept = f" (step {self.saved})" if find_checkpoint(folder) else ""
            raise DivergedError(
                "training.diverged_often" if often else "training.diverged",
                step=self.step + 1,
                what="the gradient" if is_gradient else f"loss {name!r}",
                found="infinite" if math.isinf(value) else "not a number",
                count=_PATIENCE,
                kept=last_good(folder) + kept,
            )

    def means(self) -> dict[str, float]:
        """Mean losses and gradient of the steps since they were last asked for."""
        every = self.config.run.log_every
        count = min(self.step % every or every, self.step - self.stage.first)
        means = {name: value / count for name, value in self.sums.items()}
        self.sums = {}
        return means

    def checkpoint(self) -> Checkpoint:
        """All that is needed to go on."""
        return Checkpoint(
            config=self.config.resolved(),
            hand_model=self.hand_model,
            step=self.step,
            network=self.task.network.state_dict(),
            average=self.average.values(),
            updates=self.average.updates,
            validated=self.validated,
            optimiser=self.optimiser.state_dict(),
            scaler=self.scaler.state_dict(),
            sums=self.sums,
            figures=self.figures,
            plan={"stage": self.stage.name, "stages": self.task.plan.outline()},
        )


def _device(task: Task[Any]) -> torch.device:
    return next(task.network.parameters()).device


def _autocast(config: TrainConfig, device: torch.device) -> torch.autocast | nullcontext[None]:
    if config.run.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, config.run.precision))


def _seed(seed: int, step: int, rank: int) -> int:
    """The seed of a step's global generators; the first rank has that of a run of one process."""
    entropy = [seed, step, rank] if rank else [seed, step]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
