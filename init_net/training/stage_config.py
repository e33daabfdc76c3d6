"""The options of one stage of a training run: what it trains, on what, and how fast."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from fitter.config.section import Section, mistake
from init_net.samples.config import BatchShare

Weight = Annotated[float, Field(ge=0)]

Schedule: TypeAlias = Literal["cosine", "linear", "steps"]
"""How the learning rate falls."""


class StageConfig(Section):
    """A stage: some parts of the network learn, some are frozen, some are not there at all.

    What is None is as the run has it (`OptimiserConfig`, `TrainConfig.losses`).
    """

    trains: list[str] | None = Field(
        None,
        min_length=1,
        description="parts of the network that learn; null for all that are there",
    )
    without: list[str] = Field(
        default_factory=list, description="parts that are left out; data pass by them"
    )
    epochs: float | None = Field(
        None, gt=0, description="how often each sample of its sources is learned from, on average"
    )
    steps: int | None = Field(None, ge=1, description="batches learned from, in place of epochs")
    learning_rate: float | None = Field(None, gt=0, description="at the end of the warm-up")
    schedule: Schedule | None = Field(
        None, description="how the learning rate falls, see `OptimiserConfig.schedule`"
    )
    decay_epochs: float | None = Field(None, gt=0, description="see `OptimiserConfig.decay_epochs`")
    decay_factor: float | None = Field(
        None, gt=0, le=1, description="see `OptimiserConfig.decay_factor`"
    )
    losses: dict[str, Weight] | None = Field(
        None, description="weights of the loss terms by name; those not given are the run's"
    )
    sources: dict[str, BatchShare] | None = Field(
        None,
        min_length=1,
        description="shares of every batch by the name of the source: data, further_data.0 and so "
        "on, or a name in datasets; those not named take no part, and those of share null share "
        "the rest by their numbers of samples. null: all, as the run has them",
    )

    @model_validator(mode="after")
    def _has_one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise mistake("training.stage_length")
        return self
