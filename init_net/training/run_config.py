"""How a training run goes: the optimiser's options, and how and where the work is done."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fitter.config.section import Section
from init_net.training.stage_config import Schedule

Momentum = Annotated[float, Field(ge=0, lt=1)]


class OptimiserConfig(Section):
    """AdamW, its learning rate, and the average of the weights that is shipped.

    Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019; without decay it is
    Adam of Kingma & Ba, ICLR 2015. The cosine is that of Loshchilov & Hutter, "SGDR", ICLR 2017,
    eq. 5, without restarts.
    """

    steps: int = Field(20_000, ge=1, description="batches learned from, where there are no stages")
    batch_size: int = Field(64, ge=1, description="samples of a batch")
    learning_rate: float = Field(1e-3, gt=0, description="at the end of the warm-up")
    warmup_steps: int = Field(
        500, ge=0, description="over which the rate rises linearly from 0, in each stage"
    )
    schedule: Schedule = Field(
        "cosine",
        description="how the rate falls after the warm-up: along half a cosine; linear: it is "
        "constant, and falls to 0 over the last decay_epochs; steps: it is multiplied by "
        "decay_factor every decay_epochs",
    )
    decay_epochs: float | None = Field(
        None, gt=0, description="passes over the samples, of the schedules linear and steps"
    )
    decay_factor: float = Field(0.5, gt=0, le=1, description="of the schedule steps")
    final_fraction: float = Field(
        0.01, ge=0, le=1, description="of the rate that the cosine ends at"
    )
    betas: tuple[Momentum, Momentum] = Field(
        (0.9, 0.999),
        strict=False,  # YAML knows lists alone
        description="decay of the gradient's averages, of first and second order",
    )
    weight_decay: float = Field(
        0.01,
        ge=0,
        description="of matrices and filters; biases and normalisation have none. 0 for Adam",
    )
    clip_norm: float | None = Field(
        1.0, gt=0, description="longest gradient of all weights together; null for any"
    )
    ema_decay: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="of the exponential moving average of the weights, which is validated and "
        "exported",
    )


class TrainRunConfig(Section):
    """How and where the work is done."""

    seed: int = Field(0, ge=0, description="of the first weights, the batches and the augmentation")
    start: str | None = Field(
        None,
        min_length=1,
        description="weights that the network begins with: a file of safetensors, or shipped; null "
        "for random ones",
    )
    start_parts: dict[str, str] | None = Field(
        None,
        min_length=1,
        description="part of the network -> part of the network in start that it begins with; all "
        "others are random. null: the whole network begins with start, which is one of its kind",
    )
    threads: int = Field(
        0, ge=0, description="that PyTorch computes on, 0 for its own choice; shows in last digits"
    )
    loaders: int = Field(
        1, ge=0, description="threads that prepare batches ahead, 0 for none; changes no result"
    )
    device: Literal["cpu", "cuda", "auto"] = Field(
        "auto", description="where the network is; auto takes a GPU where there is one"
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="of the products in the network; weights stay in float32"
    )
    log_every: int = Field(50, ge=1, description="steps whose mean losses make a line of the log")
    validate_every: int = Field(1_000, ge=1, description="steps between validations")
    checkpoint_minutes: float = Field(
        5.0, ge=0, description="between checkpoints; 0 for one after every step"
    )
