"""Which stage each step of a run belongs to: made once, of the configuration and the samples.

    TrainConfig, items of each source -> `make_plan` -> `Plan` -> `Plan.at` a step -> `Stage`

A run without stages has one, of the whole network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fitter.errors import InputError
from init_net.samples.hand_pairs import HANDS
from init_net.training.config import TrainConfig
from init_net.training.loss_weights import OF_PAIRS, loss_weights
from init_net.training.optimisation import LearningRate
from init_net.training.stage_config import StageConfig

WHOLE_RUN = "training"
"""Name of the only stage of a run without stages."""


@dataclass(frozen=True)
class Stage:
    """Steps that learn the same parts from the same sources.

    Attributes:
        name: as the configuration has it.
        number: of the stage, 0 for the first.
        first: the first of its steps, counted through the run.
        steps: their number.
        trains: parts of the network that learn; None for all that there are.
        without: parts that are left out.
        losses: weight of every loss of the network, by name.
        shares: of each of `TrainConfig.learned_from` in a batch, see `Mixture`; 0 for those that
            take no part.
        rate: the learning rate, by the steps of the stage alone.
    """

    name: str
    number: int
    first: int
    steps: int
    trains: frozenset[str] | None
    without: frozenset[str]
    losses: Mapping[str, float]
    shares: tuple[float | None, ...]
    rate: LearningRate

    @property
    def end(self) -> int:
        """Steps done when it is."""
        return self.first + self.steps

    def learning_rate(self, step: int) -> float:
        """Of a step, counted through the run."""
        return self.rate.at(step - self.first)


@dataclass(frozen=True)
class Plan:
    """The stages of a run, at least one, in order."""

    stages: tuple[Stage, ...]

    @property
    def steps(self) -> int:
        """Of all stages."""
        return self.stages[-1].end

    @property
    def is_staged(self) -> bool:
        """Whether the configuration has named stages."""
        return self.stages[0].name != WHOLE_RUN

    @property
    def rows_together(self) -> int:
        """Rows of a batch that one process has to have together: the hands of a pair."""
        losses = (stage.losses.get(name, 0) for stage in self.stages for name in OF_PAIRS)
        return HANDS if any(weight > 0 for weight in losses) else 1

    def at(self, step: int) -> Stage:
        """The stage that a step belongs to; the last one for steps beyond the run."""
        return next((stage for stage in self.stages if step < stage.end), self.stages[-1])

    def outline(self) -> list[list[str | int]]:
        """Name and last step of every stage: what a checkpoint keeps."""
        return [[stage.name, stage.end] for stage in self.stages]


@dataclass(frozen=True)
class Supply:
    """What batches are drawn from.

    Attributes:
        items: of each of `TrainConfig.learned_from`, in its order.
        drawn: of them in every batch; others of a batch are made up.
    """

    items: Sequence[int]
    drawn: int


def make_plan(config: TrainConfig, supply: Supply) -> Plan:
    """Resolve the stages of a run.

    An epoch of a stage is as many steps as draw as many items as its sources have.

    Raises:
        InputError: a stage has a loss that the network has not, or none that counts, is over
            before its warm-up is, or its learning rate falls linearly over more steps than that
            leaves.
    """
    optimiser = config.optimiser
    wanted = config.stages or {WHOLE_RUN: StageConfig(steps=optimiser.steps)}
    stages: list[Stage] = []
    for number, (name, given) in enumerate(wanted.items()):
        shares = config.shares_of(given)
        per_source = dict(zip(config.learned_from, supply.items, strict=True))
        epoch = sum(per_source[source] for source in shares) / supply.drawn
        steps = given.steps or max(1, math.ceil(round((given.epochs or 0) * epoch, 6)))
        if config.stages and steps <= optimiser.warmup_steps:
            raise InputError(
                "training.long_warmup",
                file=f"stages.{name}",
                warmup=optimiser.warmup_steps,
                found=steps,
            )
        rate = LearningRate.of(optimiser, given, steps, epoch)
        _require_decay(f"stages.{name}" if config.stages else "optimiser", rate)
        stages.append(
            Stage(
                name=name,
                number=number,
                first=stages[-1].end if stages else 0,
                steps=steps,
                trains=None if given.trains is None else frozenset(given.trains),
                without=frozenset(given.without),
                losses=loss_weights(config, name if config.stages else None),
                shares=tuple(shares.get(source, 0.0) for source in config.learned_from),
                rate=rate,
            )
        )
    return Plan(tuple(stages))


def _require_decay(where: str, rate: LearningRate) -> None:
    """Refuse a linear decay that does not begin at the rate that the warm-up ends at."""
    # A stage of whole epochs is rounded up to whole steps, which is no fault of its decay.
    if rate.schedule == "linear" and rate.warmup + rate.decay > rate.steps + 1e-6:
        raise InputError(
            "training.long_decay",
            file=where,
            warmup=rate.warmup,
            decay=round(rate.decay, 1),
            found=rate.steps,
        )
