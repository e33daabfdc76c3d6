"""The training loop: step after step from batches that depend on their number alone.

    Task (network, plan, batches, losses) -> `train` -> checkpoints, log -> `init_net.weights`

Whatever is random in a step is drawn from (seed, step), so that a checkpoint needs no state of a
generator, and a run that was killed in any of its stages goes on with the losses that it would have
had. As a stage ends there is a validation and a checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from init_net.training.batches import Batches
from init_net.training.checkpoints import find_checkpoint, save_checkpoint
from init_net.training.config import TrainConfig
from init_net.training.log import VALIDATION, MetricsLog
from init_net.training.plan import Stage
from init_net.training.ranks import Ranks
from init_net.training.state import DivergedError, TrainState
from init_net.training.task import Task

__all__ = ["DivergedError", "Task", "TrainResult", "Watch", "train"]


@dataclass(frozen=True)
class Watch:
    """Who watches a training run.

    Attributes:
        stop: asked before every step whether to stop.
        step: told the steps done and the total loss of the last one.
        validated: told the steps done and the figures of a validation.
        entered: told each stage that begins or goes on.
    """

    stop: Callable[[], bool] = lambda: False
    step: Callable[[int, float], None] = lambda step, loss: None
    validated: Callable[[int, Mapping[str, float]], None] = lambda step, figures: None
    entered: Callable[[Stage], None] = lambda stage: None


@dataclass(frozen=True)
class TrainResult:
    """How a training run ended.

    Attributes:
        step: steps done, all parts of the run together.
        first: steps that were done before this part.
        was_stopped: by `Watch.stop`, before the last step.
        figures: of the last validation.
    """

    step: int
    first: int
    was_stopped: bool
    figures: dict[str, float]


def train(
    task: Task[Any],
    config: TrainConfig,
    folder: Path,
    watch: Watch | None = None,
    ranks: Ranks | None = None,
) -> TrainResult:
    """Train, from the last checkpoint in a folder where there is one.

    Args:
        task: what is learned; its network is left with the weights of the last step.
        config: of the run.
        folder: that holds nothing, or a run of the same configuration.
        watch: who watches.
        ranks: the processes that train together and are in touch, see `Ranks.joined`, each of
            which calls this; None for this one alone.

    Raises:
        InputError: batches cannot be shared out among the ranks, the folder holds another run or a
            damaged one, or the disk refuses.
        DivergedError: a loss or gradient is not finite; the last checkpoint is from before.
    """
    watch, ranks = watch or Watch(), ranks or Ranks()
    ranks.require_even(config.optimiser.batch_size, task.plan.rows_together)
    path = find_checkpoint(folder)
    if path is None:
        state = TrainState.begin(task, config, task.plan.at(0), ranks)
    else:
        state = TrainState.restored(task, config, path, ranks)
    first = state.step
    devices = [state.device] if state.device.type == "cuda" else []
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices))
        log = None
        if ranks.is_first:
            log = stack.enter_context(MetricsLog(folder, state.step, state.validated))
        was_stopped = _run(state, folder, watch, log)
    return TrainResult(state.step, first, was_stopped, state.figures)


def _run(state: TrainState, folder: Path, watch: Watch, log: MetricsLog | None) -> bool:
    """Do the steps that are left; whether it was stopped before the last one. The log is that of
    the first rank, which alone writes and validates."""
    run, plan = state.config.run, state.task.plan
    rows = state.ranks.rows(state.config.optimiser.batch_size)
    batches = Batches(state.task, run.loaders, state.step, rows)
    is_alone = state.ranks.count == 1
    written = time.monotonic()
    watch.entered(state.stage)
    try:
        while True:
            # Before a validation, which may take longer than whoever stops the run will wait.
            asked = state.step < plan.steps and watch.stop()
            # Ranks stop together, when all know that one of them was asked.
            was_stopped = state.step < plan.steps and (asked if is_alone else state.stop)
            is_last = state.step == plan.steps or was_stopped
            if log is not None and not was_stopped and _is_due(state, run.validate_every):
                _validate(state, watch, log)
            late = time.monotonic() - written >= 60 * run.checkpoint_minutes
            ends = state.step == state.stage.end
            if (is_last or late or ends) and state.saved != state.step:
                if log is not None:
                    save_checkpoint(folder, state.checkpoint())
                state.saved, written = state.step, time.monotonic()
            if is_last:
                return was_stopped
            if ends:
                state.enter(plan.at(state.step))
                watch.entered(state.stage)
            total = state.advance(next(batches), folder, asked)
            watch.step(state.step, total)
            if _is_due(state, run.log_every):
                _write_means(state, log)
    finally:
        batches.close()


def _is_due(state: TrainState, every: int) -> bool:
    """Whether something is done every so many steps of the run, and as a stage ends."""
    return state.step > 0 and (state.step % every == 0 or state.step == state.stage.end)


def _named(state: TrainState) -> dict[str, str]:
    """What a line of the log says of its stage: nothing where there is none to tell apart."""
    return {"stage": state.stage.name} if state.task.plan.is_staged else {}


def _write_means(state: TrainState, log: MetricsLog | None) -> None:
    means = state.means()
    if log is None:
        return
    gradient = means.pop("gradient")
    log.write(
        state.step,
        {
            **{f"loss/{name}": value for name, value in means.items()},
            "gradient_norm": gradient,
            "learning_rate": state.optimiser.param_groups[0]["lr"],
        },
        _named(state),
    )
    if state.scaler.is_enabled():
        log.tell_events(state.step, {"gradient_scale": state.scaler.get_scale()})


def _validate(state: TrainState, watch: Watch, log: MetricsLog) -> None:
    if state.validated == state.step:
        return
    with state.average.applied(state.task.network), torch.no_grad():
        state.figures = state.task.validate(state.stage)
        picture = state.task.pictures(state.stage) if log.shows_pictures else None
    state.validated = state.step
    figures = {f"{VALIDATION}{name}": value for name, value in state.figures.items()}
    log.write(state.step, figures, _named(state))
    if picture is not None:
        log.show(state.step, f"{VALIDATION}truth_and_prediction", picture)
    watch.validated(state.step, state.figures)
