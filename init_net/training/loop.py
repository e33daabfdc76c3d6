"""The training loop: step after step from batches that depend on their number alone.

    Task (network, batches, losses) -> `train` -> checkpoints, log -> `init_net.weights`

Whatever is random in a step is drawn from (seed, step), so that a checkpoint needs no state of a
generator, and a run that was killed goes on with the losses that it would have had.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from fitter.errors import UserError
from fitter.records import TensorBatch
from init_net.hand_model_id import HandModelId, current_hand_model, require_fitting
from init_net.training.checkpoints import (
    Checkpoint,
    find_checkpoint,
    last_good,
    load_checkpoint,
    require_same_run,
    save_checkpoint,
)
from init_net.training.config import TrainConfig
from init_net.training.log import VALIDATION, MetricsLog
from init_net.training.optimisation import WeightAverage, learning_rate, make_optimiser

_AHEAD = 3
"""Batches that each loader has ready or in hand."""

_PATIENCE = 20
"""Steps in a row whose gradients float16 cannot hold, after which it is not their scale: that is
halved by each of them, from 2^16."""


Samples = TypeVar("Samples", bound=TensorBatch)


class Task(Protocol[Samples]):
    """What is learned: a network, its batches and its losses.

    Attributes:
        network: on the device where it is trained.
    """

    network: nn.Module

    def batch(self, step: int) -> Samples:
        """CPU tensors of a training step.

        They depend on the seed and the step alone: a generator of their own, never a global one.
        Called from several threads at once, in any order of steps.
        """
        ...

    def losses(self, batch: Samples, step: int) -> dict[str, Tensor]:
        """Loss terms of a batch, on the network's device: name -> (B,), already weighted.

        The total is the sum of their means. Called under autocast; what the network drops at
        random may come from PyTorch's global generators, which are seeded for each step.
        """
        ...

    def validate(self) -> dict[str, float]:
        """Figures on held-out samples; the network is in eval mode, with averaged weights."""
        ...


class DivergedError(UserError):
    """A loss or its gradient is not finite."""


@dataclass(frozen=True)
class Watch:
    """Who watches a training run.

    Attributes:
        stop: asked before every step whether to stop.
        step: told the steps done and the total loss of the last one.
        validated: told the steps done and the figures of a validation.
    """

    stop: Callable[[], bool] = lambda: False
    step: Callable[[int, float], None] = lambda step, loss: None
    validated: Callable[[int, Mapping[str, float]], None] = lambda step, figures: None


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


@dataclass
class _State:
    """What changes from step to step; `skipped` are the last steps in a row that were left out."""

    task: Task[Any]
    config: TrainConfig
    optimiser: torch.optim.Optimizer
    average: WeightAverage
    scaler: torch.amp.GradScaler
    step: int = 0
    saved: int = 0
    validated: int = 0
    skipped: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    # That the run began with, whatever lies on the disk when a checkpoint is written.
    hand_model: HandModelId = field(default_factory=current_hand_model)

    @property
    def device(self) -> torch.device:
        return next(self.task.network.parameters()).device


def train(
    task: Task[Any], config: TrainConfig, folder: Path, watch: Watch | None = None
) -> TrainResult:
    """Train, from the last checkpoint in a folder where there is one.

    Args:
        task: what is learned; its network is left with the weights of the last step.
        config: of the run.
        folder: that holds nothing, or a run of the same configuration.
        watch: who watches.

    Raises:
        InputError: the folder holds another run or a damaged one, or the disk refuses.
        DivergedError: a loss or gradient is not finite; the last checkpoint is from before.
    """
    watch = watch or Watch()
    state = _begin(task, config)
    path = find_checkpoint(folder)
    if path is not None:
        _restore(state, path)
    first = state.step
    devices = [state.device] if state.device.type == "cuda" else []
    with torch.random.fork_rng(devices), MetricsLog(folder, state.step, state.validated) as log:
        was_stopped = _run(state, folder, watch, log)
    return TrainResult(state.step, first, was_stopped, state.figures)


def _run(state: _State, folder: Path, watch: Watch, log: MetricsLog) -> bool:
    """Do the steps that are left; whether it was stopped before the last one."""
    run, steps = state.config.run, state.config.optimiser.steps
    batches = _Batches(state.task, run.loaders, state.step, steps)
    written = time.monotonic()
    state.task.network.train()
    try:
        while True:
            # Before a validation, which may take longer than whoever stops the run will wait.
            was_stopped = state.step < steps and watch.stop()
            is_last = state.step == steps or was_stopped
            if not was_stopped and _is_due(state.step, run.validate_every, steps):
                _validate(state, watch, log)
            late = time.monotonic() - written >= 60 * run.checkpoint_minutes
            if (is_last or late) and state.saved != state.step:
                save_checkpoint(folder, _checkpoint(state))
                state.saved, written = state.step, time.monotonic()
            if is_last:
                return was_stopped
            total = _step(state, next(batches), folder)
            watch.step(state.step, total)
            if _is_due(state.step, run.log_every, steps):
                _write_means(state, log)
    finally:
        batches.close()


def _is_due(step: int, every: int, last: int) -> bool:
    return step > 0 and (step % every == 0 or step == last)


def _begin(task: Task[Any], config: TrainConfig) -> _State:
    half = config.run.precision == "float16"
    device = next(task.network.parameters()).device
    return _State(
        task=task,
        config=config,
        optimiser=make_optimiser(task.network, config.optimiser),
        average=WeightAverage(task.network, config.optimiser.ema_decay),
        scaler=torch.amp.GradScaler(device.type, enabled=half),
        hand_model=current_hand_model(getattr(config.network, "betas", 0)),
    )


def _step(state: _State, batch: TensorBatch, folder: Path) -> float:
    """One step of the optimiser; the total loss before it."""
    config, network, device = state.config, state.task.network, state.device
    rate = learning_rate(config.optimiser, state.step)
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    torch.manual_seed(_seed(config.run.seed, state.step))
    with _autocast(config, device):
        terms = state.task.losses(batch.to(device), state.step)
    means = {name: term.float().mean() for name, term in terms.items()}
    total = torch.stack(list(means.values())).sum()
    state.optimiser.zero_grad(set_to_none=True)
    state.scaler.scale(total).backward()
    state.scaler.unscale_(state.optimiser)
    longest = config.optimiser.clip_norm
    norm = nn.utils.clip_grad_norm_(network.parameters(), math.inf if longest is None else longest)
    # One transfer from the device for all: each would wait for it.
    values = torch.stack([*means.values(), total, norm.to(total.dtype)]).detach().tolist()
    found = dict(zip([*means, "total", "gradient"], values, strict=True))
    _require_finite(found, state, folder)
    state.scaler.step(state.optimiser)
    state.scaler.update()
    state.average.update_parameters(network)
    state.step += 1
    found["gradient"] = found["gradient"] if math.isfinite(found["gradient"]) else 0.0
    for name, value in found.items():
        state.sums[name] = state.sums.get(name, 0.0) + value
    return found["total"]


def _require_finite(found: Mapping[str, float], state: _State, folder: Path) -> None:
    # A gradient that float16 cannot hold makes the scaler leave out the step.
    is_left_out = state.scaler.is_enabled() and not math.isfinite(found["gradient"])
    state.skipped = state.skipped + 1 if is_left_out else 0
    for name, value in found.items():
        is_gradient = name == "gradient"
        if math.isfinite(value) or (is_gradient and is_left_out and state.skipped < _PATIENCE):
            continue
        often = is_gradient and is_left_out
        raise DivergedError(
            "training.diverged_often" if often else "training.diverged",
            step=state.step + 1,
            what="the gradient" if is_gradient else f"loss {name!r}",
            found="infinite" if math.isinf(value) else "not a number",
            count=_PATIENCE,
            kept=last_good(folder) + (f" (step {state.saved})" if find_checkpoint(folder) else ""),
        )


def _autocast(config: TrainConfig, device: torch.device) -> torch.autocast | nullcontext[None]:
    if config.run.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, config.run.precision))


def _seed(seed: int, step: int) -> int:
    """The seed of a step's global generators."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])


def _write_means(state: _State, log: MetricsLog) -> None:
    run = state.config.run
    count = state.step % run.log_every or run.log_every
    means = {name: value / count for name, value in state.sums.items()}
    gradient = means.pop("gradient")
    log.write(
        state.step,
        {
            **{f"loss/{name}": value for name, value in means.items()},
            "gradient_norm": gradient,
            "learning_rate": state.optimiser.param_groups[0]["lr"],
        },
    )
    if state.scaler.is_enabled():
        log.tell_events(state.step, {"gradient_scale": state.scaler.get_scale()})
    state.sums = {}


def _validate(state: _State, watch: Watch, log: MetricsLog) -> None:
    if state.validated == state.step:
        return
    with state.average.applied(state.task.network), torch.no_grad():
        state.figures = state.task.validate()
    state.validated = state.step
    log.write(state.step, {f"{VALIDATION}{name}": v for name, v in state.figures.items()})
    watch.validated(state.step, state.figures)


def _checkpoint(state: _State) -> Checkpoint:
    return Checkpoint(
        config=state.config.resolved(),
        hand_model=state.hand_model,
        step=state.step,
        network=state.task.network.state_dict(),
        average=state.average.values(),
        updates=state.average.updates,
        validated=state.validated,
        optimiser=state.optimiser.state_dict(),
        scaler=state.scaler.state_dict(),
        sums=state.sums,
        figures=state.figures,
    )


def _restore(state: _State, path: Path) -> None:
    """Bring the state to that of a checkpoint."""
    found = load_checkpoint(path)
    require_same_run(path, found.config, state.config)
    for values in (found.network, found.average):
        require_fitting(path, state.task.network, values)
    state.task.network.load_state_dict(found.network)
    state.average.restore(found.average, found.updates)
    state.optimiser.load_state_dict(found.optimiser)
    if state.scaler.is_enabled() and found.scaler:
        state.scaler.load_state_dict(found.scaler)
    state.step = state.saved = found.step
    state.validated, state.sums, state.figures = found.validated, found.sums, found.figures


class _Batches(Iterator[TensorBatch]):
    """Batches in order, some steps ahead, prepared by threads: NumPy and PyTorch let them work."""

    def __init__(self, task: Task[Any], loaders: int, first: int, last: int) -> None:
        self._task, self._steps = task, iter(range(first, last))
        self._pool = ThreadPoolExecutor(loaders, "batches") if loaders else None
        self._waiting: deque[Future[TensorBatch]] = deque()
        for _ in range(_AHEAD * loaders):
            self._ask()

    def _ask(self) -> None:
        step = next(self._steps, None)
        if self._pool is not None and step is not None:
            self._waiting.append(self._pool.submit(self._task.batch, step))

    def __next__(self) -> TensorBatch:
        if self._pool is None:
            return self._task.batch(next(self._steps))
        self._ask()
        return self._waiting.popleft().result()

    def close(self) -> None:
        """Let the threads end; what they have in hand is dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
