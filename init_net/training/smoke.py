"""A training run in miniature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from init_net.networks.config import (
    AutoencoderConfig,
    JointVAEConfig,
    LifterConfig,
    NetworkConfig,
    StereoConfig,
)
from init_net.offer import SHIPPED
from init_net.samples.config import (
    DatasetConfig,
    PosedHandsConfig,
    SamplesConfig,
    StereoSamplesConfig,
)
from init_net.training.config import TrainConfig
from init_net.training.loss_weights import OF_PAIRS
from init_net.training.stage_config import StageConfig
from init_net.training.start import crop_size, start_crop_size

_STEPS = 6
"""Of a stage whose length is given in steps."""

_SAMPLES = 64
"""Of each rendered set that is learned from."""

_EPOCHS = 0.3
"""Of a stage whose length is given in epochs: five steps of so many samples."""


Rendered = TypeVar("Rendered", SamplesConfig, StereoSamplesConfig)


_BATCH = 4
"""Samples of a batch at most."""


def _short(stage: StageConfig, config: TrainConfig) -> StageConfig:
    """A stage whose learning rate falls over the same share of it, or over half of it where its
    warm-up needs the rest."""
    decay = stage.decay_epochs or config.optimiser.decay_epochs
    if stage.epochs is None:
        steps = min(stage.steps or _STEPS, _STEPS)
        return stage.model_copy(
            update={"steps": steps, "decay_epochs": _least(decay, _passes(steps // 2, config))}
        )
    most = _EPOCHS / 2 if config.optimiser.warmup_steps else _EPOCHS
    share = None if decay is None else decay * _EPOCHS / stage.epochs
    return stage.model_copy(update={"epochs": _EPOCHS, "decay_epochs": _least(share, most)})


def _least(decay: float | None, most: float) -> float | None:
    return None if decay is None else min(decay, most)


def _passes(steps: int, config: TrainConfig) -> float:
    """Passes over all samples that are over in so many steps at most."""
    return steps * _BATCH / (_SAMPLES * len(config.learned_from))


def _small(network: NetworkConfig) -> NetworkConfig:
    """A network that sees smaller crops."""
    if isinstance(network, StereoConfig):
        return network.model_copy(update={"mono": _small(network.mono)})
    if isinstance(network, LifterConfig | JointVAEConfig):
        return network
    size = min(network.input_size, 64)
    smaller: dict[str, object] = {"input_size": size}
    if isinstance(network, AutoencoderConfig) and network.estimator is not None:
        maps = network.estimator.map_size * size // network.input_size
        smaller["estimator"] = network.estimator.model_copy(update={"map_size": maps})
    return network.model_copy(update=smaller)


def _fitting(config: TrainConfig) -> NetworkConfig:
    """The small network, unless the weights that it is to begin with are of a larger one."""
    small = _small(config.network)
    if config.run.start is None or start_crop_size(config) in (None, crop_size(small)):
        return small
    return config.network


def missing_sources(config: TrainConfig) -> list[str]:
    """Names of the data sets to learn from, or to validate on, whose folders are not there."""
    named = (*config.datasets.items(), *config.validation_datasets.items())
    return list(dict.fromkeys(name for name, source in named if not Path(source.folder).exists()))


def missing_start(config: TrainConfig) -> str | None:
    """The file of weights that a run is to begin with, where it is not there: a smoke test learns
    nothing and begins with random ones."""
    start = config.run.start
    if start is None or start == SHIPPED or Path(start).exists():
        return None
    return start


def _without(config: TrainConfig, missing: Sequence[str]) -> TrainConfig:
    """A run in which the rendered `data` stand for data sets that are missing."""
    lost = {name: source for name, source in config.datasets.items() if name in missing}
    if not missing:
        return config

    def kept(sources: dict[str, float | None]) -> dict[str, float | None]:
        found = {name: share for name, share in sources.items() if name not in lost}
        taken = [sources[name] for name in sources if name in lost]
        if taken:
            shares = [*taken, found.get("data", 0.0)]
            found["data"] = None if None in shares else sum(share or 0.0 for share in shares)
        return found

    def done(stage: StageConfig) -> StageConfig:
        update: dict[str, object] = {}
        if stage.sources is not None:
            update["sources"] = kept(stage.sources)
        if stage.losses is not None:  # rendered samples show no pairs of hands
            update["losses"] = {k: 0.0 if k in OF_PAIRS else v for k, v in stage.losses.items()}
        return stage.model_copy(update=update)

    stages = {name: done(stage) for name, stage in config.stages.items()}
    is_counted = any(source.share != 0 for source in lost.values())
    return config.model_copy(
        update={
            **{
                option: {k: v for k, v in getattr(config, option).items() if k not in missing}
                for option in ("datasets", "validation_datasets")
            },
            "stages": stages,
            # What is left of every batch.
            **({"data": config.data.model_copy(update={"share": None})} if is_counted else {}),
        }
    )


def _few(samples: Rendered, count: int) -> Rendered:
    """Fewer and smaller renders, in a folder of their own."""
    return samples.model_copy(
        update={
            "folder": f"{samples.folder.rstrip('/')}-smoke",
            "count": min(samples.count, count),
            "size": min(samples.size, 112),
            "supersampling": 1,
        }
    )


def _fewer_hands(config: TrainConfig) -> PosedHandsConfig | None:
    """The same of hands without images."""
    if not isinstance(config.network, JointVAEConfig):
        return None
    return config.posed.model_copy(update={"count": _SAMPLES, "held_out": _SAMPLES})


def _fewer(source: DatasetConfig) -> DatasetConfig:
    """The same of a data set."""
    return source.model_copy(
        update={
            "samples": f"{source.samples_folder}-smoke",
            "count": min(source.count or 32, 32),
            "size": min(source.size, 112),
        }
    )


def smoke(config: TrainConfig, has_gpu: bool = False) -> TrainConfig:
    """The same run in miniature: everything is done once, nothing is learned.

    Samples go into folders of their own (``-smoke`` behind the name). Rendered samples stand for
    data sets that are not there, see `missing_sources`.

    Args:
        config: of the run.
        has_gpu: compute as the run does, on a GPU; else on the CPU and in single precision, since
            halves take a CPU many times as long.

    Raises:
        InputError: weights to begin with cannot be read.
    """
    config = _without(config, missing_sources(config))
    if missing_start(config) is not None:
        random = config.run.model_copy(update={"start": None, "start_parts": None})
        config = config.model_copy(update={"run": random})
    optimiser, held_out = config.optimiser, config.validation
    steps = min(optimiser.steps, 24)
    warmup = min(optimiser.warmup_steps, 1 if config.stages else steps // 4)
    return config.model_copy(
        update={
            "network": _fitting(config),
            "data": _few(config.data, _SAMPLES),
            "further_data": tuple(_few(samples, _SAMPLES) for samples in config.further_data),
            "posed_hands": _fewer_hands(config),
            "pairs": None if config.pairs is None else _few(config.pairs, _SAMPLES),
            **{
                option: {name: _fewer(source) for name, source in getattr(config, option).items()}
                for option in ("datasets", "validation_datasets")
            },
            # Two portions of one set have its size.
            "validation": _few(held_out, _SAMPLES // 2 if held_out.portion is None else _SAMPLES),
            "stages": {name: _short(stage, config) for name, stage in config.stages.items()},
            "optimiser": optimiser.model_copy(
                update={
                    "steps": steps,
                    "batch_size": min(optimiser.batch_size, _BATCH),
                    "warmup_steps": warmup,
                    "decay_epochs": _least(optimiser.decay_epochs, _passes(steps // 2, config)),
                }
            ),
            "run": config.run.model_copy(
                update={
                    "log_every": 4,
                    "validate_every": steps,
                    "checkpoint_minutes": 5.0,
                    **({} if has_gpu else {"device": "cpu", "precision": "float32"}),
                }
            ),
        }
    )
