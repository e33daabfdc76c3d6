"""A training run in miniature."""

from __future__ import annotations

from typing import TypeVar

from init_net.networks.config import NetworkConfig, StereoConfig
from init_net.samples.config import DatasetConfig, SamplesConfig, StereoSamplesConfig
from init_net.training.config import TrainConfig
from init_net.training.stage_config import StageConfig

_STEPS = 6
"""Of a stage whose length is given in steps."""

_EPOCHS = 0.1
"""Of a stage whose length is given in epochs: five steps of the samples below."""


Rendered = TypeVar("Rendered", SamplesConfig, StereoSamplesConfig)


def _short(stage: StageConfig, config: TrainConfig) -> StageConfig:
    """A stage whose learning rate falls over the same share of it."""
    if stage.epochs is None:
        return stage.model_copy(update={"steps": min(stage.steps or _STEPS, _STEPS)})
    decay = stage.decay_epochs or config.optimiser.decay_epochs
    shorter = _EPOCHS / stage.epochs
    return stage.model_copy(
        update={
            "epochs": _EPOCHS,
            "decay_epochs": None if decay is None else decay * shorter,
        }
    )


def _small(network: NetworkConfig) -> NetworkConfig:
    """A network that sees smaller crops."""
    if isinstance(network, StereoConfig):
        return network.model_copy(update={"mono": _small(network.mono)})
    size = getattr(network, "input_size", None)
    return network if size is None else network.model_copy(update={"input_size": min(size, 64)})


def smoke(config: TrainConfig) -> TrainConfig:
    """The same run in miniature: everything is done once, nothing is learned.

    Samples go into folders of their own (``-smoke`` behind the name).
    """

    def few(samples: Rendered, count: int) -> Rendered:
        return samples.model_copy(
            update={
                "folder": f"{samples.folder.rstrip('/')}-smoke",
                "count": min(samples.count, count),
                "size": min(samples.size, 112),
                "supersampling": 1,
            }
        )

    def fewer(source: DatasetConfig) -> DatasetConfig:
        return source.model_copy(
            update={
                "samples": f"{source.samples_folder}-smoke",
                "count": min(source.count or 32, 32),
                "size": min(source.size, 112),
            }
        )

    optimiser, network = config.optimiser, config.network
    steps = min(optimiser.steps, 24)
    warmup = min(optimiser.warmup_steps, _STEPS // 3 if config.stages else steps // 4)
    return config.model_copy(
        update={
            "network": _small(network),
            "data": few(config.data, 192),
            "further_data": tuple(few(samples, 192) for samples in config.further_data),
            "pairs": None if config.pairs is None else few(config.pairs, 96),
            **{
                option: {name: fewer(source) for name, source in getattr(config, option).items()}
                for option in ("datasets", "validation_datasets")
            },
            "validation": few(config.validation, 64),
            "stages": {name: _short(stage, config) for name, stage in config.stages.items()},
            "optimiser": optimiser.model_copy(
                update={
                    "steps": steps,
                    "batch_size": min(optimiser.batch_size, 4),
                    "warmup_steps": warmup,
                }
            ),
            "run": config.run.model_copy(
                update={"log_every": 4, "validate_every": steps, "checkpoint_minutes": 5.0}
            ),
        }
    )
