"""Checkpoints of a training run: all that is needed to go on as if nothing had happened.

A checkpoint is written whole under another name, brought to the disk and renamed, so that a run
that is killed at any moment leaves the one before it or the new one. The one before is kept.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fitter.errors import InputError
from fitter.system.files import write_whole
from init_net.hand_model_id import HandModelId, posed_by, require_hand_model
from init_net.training.config import TrainConfig
from init_net.training.plan import Plan
from init_net.training.same_run import first_difference

MAGIC = "fit-hands training checkpoint"
LAYOUT = 1

CHECKPOINT = "checkpoint.pt"
PREVIOUS = "checkpoint-previous.pt"

_NUMBERS = ("step", "updates", "validated")
"""What of a checkpoint is a number; all else are dictionaries."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training run between two steps.

    Attributes:
        config: as `TrainConfig.resolved` gives it.
        hand_model: of the samples.
        step: steps done.
        network: name -> value, of the network's `state_dict`.
        average: the same of the moving average of its weights.
        updates: steps that are in the average.
        validated: steps done at the last validation, 0 before the first.
        optimiser: its `state_dict`.
        scaler: `state_dict` of the gradients' scaler, empty without one.
        sums: loss term -> sum over the steps since the last line of the log.
        figures: of the last validation, empty before the first.
        plan: ``stage``, the name of the one that the optimiser is of, and ``stages``, see
            `Plan.outline`; empty in a checkpoint from before there were stages.
    """

    config: dict[str, Any]
    hand_model: HandModelId
    step: int
    network: dict[str, Tensor]
    average: dict[str, Tensor]
    updates: int
    validated: int
    optimiser: dict[str, Any]
    scaler: dict[str, Any]
    sums: dict[str, float]
    figures: dict[str, float]
    plan: dict[str, Any]

    @property
    def planned(self) -> int | None:
        """Steps of the whole run; None where nobody said."""
        return int(self.plan["stages"][-1][1]) if self.plan else None


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a run's checkpoint and keep the one before.

    Raises:
        InputError: the disk refuses; the last checkpoint is kept.
    """
    content = io.BytesIO()
    # Into memory first: where the disk is full, PyTorch's own writer hides the reason.
    torch.save(
        {
            "magic": MAGIC,
            "layout": LAYOUT,
            **{field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)},
            "hand_model": asdict(checkpoint.hand_model),
        },
        content,
    )
    path = folder / CHECKPOINT
    fresh = folder / f"{CHECKPOINT}.new"
    try:
        write_whole(fresh, content.getbuffer())
        # A kill between the two leaves the previous one, which `find_checkpoint` knows.
        if path.exists():
            path.replace(folder / PREVIOUS)
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise InputError(
            "checkpoint.cannot_write",
            file=path,
            reason=error.strerror or str(error),
            kept=last_good(folder),
        ) from error


def find_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint of a run, None where there is none yet."""
    for name in (CHECKPOINT, PREVIOUS):
        if (folder / name).exists():
            return folder / name
    return None


def last_good(folder: Path) -> str:
    """Where a run's last good checkpoint is, in words."""
    path = find_checkpoint(folder)
    return "there is no checkpoint yet" if path is None else f"the last good checkpoint is {path}"


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, to the CPU.

    Raises:
        InputError: the file is missing, damaged, foreign, or of another layout or hand model.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError("checkpoint.missing", file=path) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError("checkpoint.cannot_read", file=path, reason=reason) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about foreign files, before they are refused
            # Weights alone: whatever else a foreign file might hold is not run.
            values = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a reader of foreign bytes may fail in any way
        raise InputError("checkpoint.damaged", file=path) from error
    if not isinstance(values, dict) or values.get("magic") != MAGIC:
        raise InputError("checkpoint.foreign", file=path)
    layout = values.get("layout")
    if layout != LAYOUT:
        raise InputError("checkpoint.other_layout", file=path, expected=LAYOUT, found=layout)
    values.setdefault("plan", {})
    names = [field.name for field in fields(Checkpoint)]
    hand_model = HandModelId.of(values.get("hand_model"))
    for name in names:
        if name not in values:
            raise InputError("checkpoint.no_part", file=path, part=name)
        kind = int if name in _NUMBERS else dict
        if not isinstance(values[name], kind):
            raise InputError("checkpoint.damaged_part", file=path, part=name)
    if hand_model is None:
        raise InputError("checkpoint.damaged_part", file=path, part="hand_model")
    require_hand_model(path, hand_model, *posed_by(values["config"].get("network")))
    return Checkpoint(**{**{n: values[n] for n in names}, "hand_model": hand_model})


def require_same_run(path: Path, found: Mapping[str, Any], config: TrainConfig) -> None:
    """Refuse to go on with a run of another configuration.

    Args:
        path: of the run or the checkpoint, for the message.
        found: its resolved configuration.
        config: the wanted one.

    Raises:
        InputError: they differ; the sentence names the first option that does.
    """
    difference = first_difference(config.resolved(), found)
    if difference is not None:
        name, wanted, there = difference
        raise InputError("training.other_run", file=path, option=name, expected=wanted, found=there)


def require_same_plan(path: Path, found: Mapping[str, Any], plan: Plan) -> None:
    """Refuse to go on where stages have other steps than they had, as when their samples are more.

    Args:
        path: of the checkpoint, for the message.
        found: its `Checkpoint.plan`.
        plan: of the run now.

    Raises:
        InputError: they differ; the sentence names the first stage that does.
    """
    if not found:
        return
    for wanted, there in zip_longest(plan.outline(), found.get("stages", []), fillvalue=None):
        if wanted != there:
            raise InputError("training.other_plan", file=path, expected=wanted, found=there)
