"""The work of a run spread over a Ray cluster, or over the cores of one machine by Ray.

A Ray Data stream of numbers of batches goes through pools of actors; an actor asks the feeder,
which lives beside the driver, for the batch of that number, and returns what became of it:

    numbers -> DetectAndFit -> driver               where hands are fitted on CPUs
    numbers -> Detect -> Fit on GPUs -> driver      where they are fitted on GPUs

The driver alone writes the store (`fitter.run.work`), which the actors need not see. An actor that
dies is replaced by Ray and its batch done again. The feeder counts how often a batch is asked for:
images of one that keeps killing its actors are tried one by one
(`fitter.workers.isolated_fit.fit_warily`).

Only this package imports Ray, inside functions: it is an optional package, and reads its
environment when it is imported.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from fitter.cluster.actors import Detect, DetectAndFit, Fit
from fitter.cluster.job import Feeder, Job, gpus_per_fit
from fitter.cluster.ray_start import first_line, resources, start_ray
from fitter.config.options import Config
from fitter.engine import Engine
from fitter.errors import LostError
from fitter.inputs.frame_sources import Task
from fitter.rendering.overlay_folder import OverlayFolder
from fitter.store.row_kinds import Row
from fitter.system.stopping import StopRequest
from fitter.workers.batches import FittedBatch, Plan, Seen, split
from fitter.workers.detection_pool import DetectionOptions
from fitter.workers.execution_options import ExecutionOptions
from fitter.workers.local_executor import ExecutorFiles, LocalExecutor

log = logging.getLogger(__name__)

_WAVE = 10_000
"""About so many batches are in one stream: Ray keeps something of every one until its stream
ends."""

_WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True)
class RayPlaces:
    """Where a run on Ray writes, beside the store.

    Attributes:
        overlays: folder to render overlays into, and their style, or None.
        said: file for what Ray's own processes say.
    """

    overlays: OverlayFolder | None
    said: Path


class RayWorkers:
    """A Ray cluster as `fitter.run.work.Workers`; use it in a ``with`` block.

    Attributes:
        engine: the model on this machine's CPU.
        device: where the cluster fits, "cpu" or "cuda".
    """

    def __init__(
        self,
        config: Config,
        execution: ExecutionOptions,
        detection: DetectionOptions,
        places: RayPlaces,
    ) -> None:
        """Start Ray, or join a cluster.

        Args:
            config: of the run.
            execution: over what the work is execution.
            detection: how images are detected; each actor has one process that does.
            places: where to write.

        Raises:
            InputError: Ray is not installed, there is no such cluster, it lacks what is asked for,
                or the model cannot be used.
        """
        overlays = places.overlays
        self._stack = ExitStack()
        self._executor: LocalExecutor | None = None
        with ExitStack() as undo:
            undo.callback(self._stack.close)
            start_ray(execution, places.said, self._stack)
            cpus, gpus = resources()
            self._gpus = gpus_per_fit(config, execution, gpus)
            self.device = "cuda" if self._gpus else "cpu"
            self._is_local = execution.ray == "local"
            self._fitters = int(gpus / self._gpus) if self._gpus else 0
            # A cluster may grow while it works, and its machines come one by one.
            self._detectors = execution.workers or (int(cpus) if self._is_local else None)
            run = config.run.model_copy(update={"device": self.device})
            options = replace(detection, workers=1)
            there = config.model_copy(update={"run": run})
            if not self._is_local:  # its actors work in other folders
                overlays = overlays and overlays.absolute()
                there = there.with_absolute_paths()
            self._job = Job(there, options, overlays)
            on_cpu = config.run.model_copy(update={"device": "cpu"})
            self._here = config.model_copy(update={"run": on_cpu})
            self.engine = Engine(self._here)
            log.info("a cluster with %g CPUs and %g GPUs", cpus, gpus)
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def process(
        self, plan: Plan, stop: StopRequest, seen: Seen | None = None
    ) -> Iterator[FittedBatch]:
        """See `fitter.workers.local_executor.LocalExecutor.process`; batches come in the order in
        which they are done, and `seen` is not told of images.

        Raises:
            InputError: what an actor needs cannot be used.
            LostError: Ray failed.
        """
        if not plan.blocks:
            return
        import ray

        if not self._is_local:
            plan = replace(plan, sources=plan.sources.absolute())

        numbers = sum(len(split(block, plan.length)) for block in plan.blocks)
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        missing = {block.start: len(block) for block in plan.blocks}
        # A new one would know the same, but for the counts.
        lasting = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
        feeder = ray.remote(Feeder).options(**lasting, scheduling_strategy=here).remote(plan)
        try:
            per_block = len(split(plan.blocks[0], plan.length))
            step = max(1, _WAVE // per_block) * per_block
            for first in range(0, numbers, step):
                wave = range(first, min(first + step, numbers))
                yield from self._wave(wave, (plan, missing), feeder, stop)
                if stop.asked:
                    return
        except ray.exceptions.RayError as error:
            raise LostError("ray.failed", reason=first_line(error)) from error

    def render(self, tasks: Sequence[Task], rows: Sequence[Row]) -> list[tuple[str, str]]:
        """See `fitter.workers.local_executor.LocalExecutor.render`; done on this machine."""
        return self._local().render(tasks, rows)

    def overlay_frames(
        self, tasks: Sequence[Task], rows: Sequence[Row]
    ) -> list[Future[np.ndarray | str]]:
        """See `LocalExecutor.overlay_frames`; done on this machine, like the video."""
        return self._local().overlay_frames(tasks, rows)

    def _local(self) -> LocalExecutor:
        """What renders on this machine, made when it is first asked for."""
        if self._executor is None:
            executor = LocalExecutor(
                self._here, self._job.options, ExecutorFiles(self._job.overlays)
            )
            self._executor = self._stack.enter_context(executor)
        return self._executor

    def begin_anew(self) -> None:
        """See `LocalExecutor.begin_anew`; here attempts are counted for one run alone."""

    def _wave(
        self, numbers: range, work: tuple[Plan, dict[int, int]], feeder: Any, stop: StopRequest
    ) -> Iterator[FittedBatch]:
        """Batches of these numbers; `work`: the plan, and images missing by the start of blocks."""
        import ray

        plan, missing = work
        wanted: set[int] | None = None
        stream = self._stream(numbers, feeder)
        rows = iter(stream.iter_batches(batch_size=None, prefetch_batches=0, batch_format="numpy"))
        with contextlib.closing(rows):
            for batch in rows:
                for number, value in zip(batch["number"], batch["value"], strict=True):
                    done = ray.cloudpickle.loads(value)
                    if isinstance(done, Exception):
                        raise done
                    if done is not None:
                        feeder.end.remote(int(number))
                        yield done
                        _count_off(missing, plan, done)
                if stop.asked and wanted is None:
                    begun = ray.get(feeder.stop.remote())
                    wanted = {plan.blocks[place].start for place in begun}
                if wanted is not None and not wanted & missing.keys():
                    return

    def _stream(self, numbers: range, feeder: Any) -> Any:
        import ray.data

        def pool(size: int | None) -> Any:
            # One batch in flight: more would wait behind one actor while others have none.
            sizes = {"min_size": 1, "max_size": None} if size is None else {"size": size}
            return ray.data.ActorPoolStrategy(**sizes, max_tasks_in_flight_per_actor=1)

        rest: dict[str, Any] = {
            "fn_constructor_args": (self._job, feeder),
            "batch_size": 1,
            "runtime_env": {"env_vars": _WORKER_ENVIRONMENT},
        }
        items = [{"number": number} for number in numbers]
        stream: ray.data.Dataset = ray.data.from_items(items, override_num_blocks=len(items))
        if not self._gpus:
            return stream.map_batches(
                DetectAndFit, compute=pool(self._detectors), num_cpus=1, **rest
            )
        stream = stream.map_batches(Detect, compute=pool(self._detectors), num_cpus=1, **rest)
        return stream.map_batches(
            Fit, compute=pool(self._fitters), num_cpus=0, num_gpus=self._gpus, **rest
        )


def _count_off(missing: dict[int, int], plan: Plan, done: FittedBatch) -> None:
    """Take a batch off what is missing of its block; a whole block is not in it any more."""
    block = plan.block_of(done.start).start
    missing[block] -= len(done.rows)
    if not missing[block]:
        del missing[block]
