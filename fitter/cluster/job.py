"""What is asked of a Ray cluster, and what its actors have to know."""

from __future__ import annotations

from dataclasses import dataclass

from fitter.config.options import Config
from fitter.errors import InputError
from fitter.inputs.frame_sources import Task
from fitter.rendering.overlay_folder import OverlayFolder
from fitter.workers.batches import Plan, split
from fitter.workers.detection_pool import DetectionOptions
from fitter.workers.execution_options import ExecutionOptions


@dataclass(frozen=True)
class Job:
    """What an actor has to know.

    Attributes:
        config: of the run, with the device of the actors that fit.
        options: how images are detected.
        overlays: folder to render overlays into, and their style, or None.
    """

    config: Config
    options: DetectionOptions
    overlays: OverlayFolder | None


def gpus_per_fit(config: Config, execution: ExecutionOptions, gpus: float) -> float:
    """GPUs of each actor that fits, 0 for fits on CPUs.

    Args:
        config: of the run.
        execution: what was asked for.
        gpus: that the cluster has.

    Raises:
        InputError: the cluster lacks what is asked for, or the options contradict each other.
    """
    asked = execution.gpus_per_worker
    if asked is None:
        asked = 1.0 if gpus and config.run.device != "cpu" else 0.0
    if not asked and config.run.device == "cuda":
        asked = 1.0
    if asked and config.run.device == "cpu":
        raise InputError("ray.device_contradiction", file="--gpus-per-worker")
    if asked > gpus:
        raise InputError("ray.too_few_gpus", file="--gpus-per-worker", asked=asked, found=gpus)
    return asked


class Feeder:
    """Knows the batches of a run by their numbers, and counts how often each is begun to be fitted.

    Batches are numbered in the order of the blocks, of which only the last may be shorter.
    """

    def __init__(self, plan: Plan) -> None:
        """What there is to be done."""
        self._plan = plan
        self._per_block = -(-len(plan.blocks[0]) // plan.length)
        self._fitted: dict[int, int] = {}
        self._begun: set[int] = set()
        self._stopped = False

    def tasks(self, number: int) -> list[Task] | None:
        """What is in the batch of this number; None if it is not to be done any more."""
        block, place = divmod(number, self._per_block)
        if self._stopped and block not in self._begun:
            return None
        self._begun.add(block)
        return self._plan.tasks(split(self._plan.blocks[block], self._plan.length)[place])

    def begin(self, number: int) -> int:
        """The batch of this number is going to be fitted; the how many-th time."""
        times = self._fitted[number] = self._fitted.get(number, 0) + 1
        return times

    def end(self, number: int) -> None:
        """The batch of this number needs not be counted any longer."""
        self._fitted.pop(number, None)

    def stop(self) -> list[int]:
        """Begin no further block; the places, among those of the plan, of those begun."""
        self._stopped = True
        return sorted(self._begun)
