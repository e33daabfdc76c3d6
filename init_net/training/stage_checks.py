"""What is refused of a run's stages before anything is rendered or learned."""

from __future__ import annotations

from fitter.errors import InputError
from init_net.training.config import TrainConfig, unshared
from init_net.training.freezing import require_parts
from init_net.training.loss_weights import loss_weights
from init_net.training.stage_config import StageConfig


def require_stages(config: TrainConfig) -> None:
    """Refuse stages that cannot be done.

    Raises:
        InputError: a stage has sources that there are not, or shares that do not add up; its
            learning rate decays over longer than it lasts, or it is over before the warm-up is; or
            see `require_parts` and `loss_weights`.
    """
    for name, stage in config.stages.items():
        _require_sources(config, name, stage)
    for name, stage in (config.stages or {"": StageConfig(steps=config.optimiser.steps)}).items():
        _require_lengths(config, f"stages.{name}" if name else "optimiser", stage)
    require_parts(config)
    for name in config.stages:
        loss_weights(config, name)


def _require_sources(config: TrainConfig, name: str, stage: StageConfig) -> None:
    if stage.sources is None:
        return
    for source in stage.sources:
        if source not in config.sources:
            known = ", ".join(config.sources)
            raise InputError(
                "training.unknown_source",
                file=f"stages.{name}.sources",
                source=source,
                known=known,
            )
    problem = unshared([share for share in stage.sources.values() if share != 0])
    if problem is not None:
        raise InputError("training.stage_shares", file=f"stages.{name}.sources", expected=problem)


def _require_lengths(config: TrainConfig, where: str, stage: StageConfig) -> None:
    optimiser = config.optimiser
    schedule = stage.schedule or optimiser.schedule
    decay = stage.decay_epochs or optimiser.decay_epochs
    if decay is None and schedule != "cosine":
        raise InputError("training.no_decay", file=where, schedule=schedule)
    warmup = optimiser.warmup_steps
    if config.stages and stage.steps is not None and stage.steps <= warmup:
        raise InputError("training.long_warmup", file=where, warmup=warmup, found=stage.steps)
