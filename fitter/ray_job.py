"""What is asked of a Ray cluster, and what its actors have to know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fitter.config import Config
from fitter.lookers import LookOptions
from fitter.records import InputError
from fitter.run_store import Spread


@dataclass(frozen=True)
class Job:
    """What an actor has to know.

    Attributes:
        config: of the run, with the device of the actors that fit.
        options: how pictures are looked at.
        overlays: folder to draw overlays into, or None.
    """

    config: Config
    options: LookOptions
    overlays: Path | None


def gpus_per_fit(config: Config, spread: Spread, gpus: float) -> float:
    """GPUs of each actor that fits, 0 for fits on CPUs.

    Args:
        config: of the run.
        spread: what was asked for.
        gpus: that the cluster has.

    Raises:
        InputError: the cluster lacks what is asked for, or the options contradict each other.
    """
    asked = spread.gpus_per_worker
    if asked is None:
        asked = 1.0 if gpus and config.run.device != "cpu" else 0.0
    if not asked and config.run.device == "cuda":
        asked = 1.0
    if asked and config.run.device == "cpu":
        raise InputError("--gpus-per-worker: expected 0 beside --device cpu, found more")
    if asked > gpus:
        raise InputError(
            f"--gpus-per-worker: expected a cluster with {asked:g} GPUs at least, found {gpus:g}"
        )
    return asked
