"""The work of a run spread over a Ray cluster, or over the cores of one machine by Ray.

A Ray Data stream of numbers of pieces goes through pools of actors; an actor asks the feeder, which
lives beside the driver, for the piece of that number, and returns what became of it:

    numbers -> DetectAndFit -> driver                 where hands are fitted on CPUs
    numbers -> Look -> Fit on GPUs -> driver        where they are fitted on GPUs

The driver alone writes the store (`fitter.run.driver`), which the actors need not see. An actor
that dies
is replaced by Ray and its piece done again. The feeder counts how often a piece is asked for:
pictures of one that keeps killing its actors are given up
(`fitter.workers.local_executor.give_up`).

This is the one module that imports Ray, inside functions: it is an optional package, and reads its
environment when it is imported.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from fitter.cluster.head_watch import Address, HeadWatch, require_cluster
from fitter.cluster.job import Feeder, Job, gpus_per_fit
from fitter.config.options import Config
from fitter.engine import Engine
from fitter.errors import InputError, LostError
from fitter.fitting.detected_image import DetectedImage
from fitter.inputs.sources import Sources
from fitter.store.schema import ImageRow
from fitter.system.messages import KEPT
from fitter.system.stopping import StopRequest
from fitter.system.streams import said_to
from fitter.workers.batches import FittedBatch, Plan, cut
from fitter.workers.detection_pool import DetectionOptions, DetectionPool
from fitter.workers.execution_options import ExecutionOptions
from fitter.workers.local_executor import LocalExecutor

log = logging.getLogger(__name__)

_WAVE = 10_000
"""About so many pieces are in one stream: Ray keeps something of every one until its stream
ends."""

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",
    "RAY_worker_niceness": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "20",
}
"""No reports to anybody, no second progress bar, workers as important as the driver."""

_WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

_OBJECT_STORE = 1 << 30
"""Bytes of shared memory of a Ray of our own; what waits in it are crops and rows of a few pieces
for each worker."""


class DetectAndFit:
    """Looks at the pictures of a piece and fits their hands, on one thread.

    Everything heavy is made at the first piece, so that Ray need not know how to make it again.
    """

    def __init__(self, job: Job, feeder: Any) -> None:
        """An actor of the `job`, whose pieces the `feeder` knows."""
        self.job, self.feeder = job, feeder
        self._bench: LocalExecutor | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The row of a piece: its number, and what became of it."""

        def work(number: int) -> FittedBatch | None:
            import ray

            sources = ray.get(self.feeder.part.remote(number))
            if sources is None:
                return None
            if self._bench is None:
                self._bench = LocalExecutor(self.job.config, self.job.options, self.job.overlays)
                self._bench.__enter__()
            _, seen = next(self._bench.lookers.look([sources]))
            return self._bench.finish(sources, seen, ray.get(self.feeder.begin.remote(number)))

        return _row(int(batch["number"][0]), work)


class Look:
    """Looks at the pictures of a piece, for `Fit`."""

    def __init__(self, job: Job, feeder: Any) -> None:
        """An actor of the `job`, whose pieces the `feeder` knows."""
        self.job, self.feeder = job, feeder
        self._lookers: DetectionPool | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The row of a piece: its number, and its pictures with what was seen in them."""

        def work(number: int) -> tuple[Sources, list[DetectedImage]] | None:
            import ray

            sources = ray.get(self.feeder.part.remote(number))
            if sources is None:
                return None
            if self._lookers is None:
                self._lookers = DetectionPool(self.job.config, self.job.options)
                self._lookers.ready()
            return next(self._lookers.look([sources]))

        return _row(int(batch["number"][0]), work)


class Fit:
    """Fits the hands of a piece."""

    def __init__(self, job: Job, feeder: Any) -> None:
        """An actor of the `job`, whose pieces the `feeder` knows."""
        self.job, self.feeder = job, feeder
        self._bench: LocalExecutor | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The row of a piece: its number, and what became of it."""

        def work(number: int) -> FittedBatch | Exception | None:
            import ray

            found = ray.cloudpickle.loads(batch["value"][0])
            if found is None or isinstance(found, Exception):
                return found
            if self._bench is None:
                # It only draws with them: hands have been found by then.
                options = replace(self.job.options, detects=False)
                self._bench = LocalExecutor(self.job.config, options, self.job.overlays)
                self._bench.__enter__()
            return self._bench.finish(*found, ray.get(self.feeder.begin.remote(number)))

        return _row(int(batch["number"][0]), work)


def _row(number: int, work: Callable[[int], Any]) -> dict[str, Any]:
    """A row of the stream; what goes wrong travels in it, since Ray keeps no exception's type."""
    import ray

    try:
        value = work(number)
    except (InputError, LostError) as error:
        value = error
    except ray.exceptions.RayError:  # what Ray itself has lost is Ray's to tell
        raise
    except Exception:  # raised again by the driver, with this traceback
        value = RuntimeError(traceback.format_exc())
    return {"number": [number], "value": [ray.cloudpickle.dumps(value)]}


class RayWorkers:
    """A Ray cluster as `fitter.run.driver.Workers`; use it in a ``with`` block.

    Attributes:
        engine: the model on this machine's CPU.
        device: where the cluster fits, "cpu" or "cuda".
    """

    def __init__(
        self,
        config: Config,
        spread: ExecutionOptions,
        detects: bool,
        places: tuple[Path | None, Path],
    ) -> None:
        """Start Ray, or join a cluster.

        Args:
            config: of the run.
            spread: over what the work is spread.
            detects: whether hands are to be found, and not given.
            places: folder of overlays or None, and a file for what Ray's own processes say.

        Raises:
            InputError: Ray is not installed, there is no such cluster, it lacks what is asked for,
                or the model cannot be used.
        """
        overlays, said = places
        self._stack = ExitStack()
        self._bench: LocalExecutor | None = None
        with ExitStack() as undo:
            undo.callback(self._stack.close)
            _start_ray(spread, said, self._stack)
            cpus, gpus = _resources()
            self._gpus = gpus_per_fit(config, spread, gpus)
            self.device = "cuda" if self._gpus else "cpu"
            self._is_local = spread.ray == "local"
            self._fits = int(gpus / self._gpus) if self._gpus else 0
            # A cluster may grow while it works, and its machines come one by one.
            self._looks = spread.workers or (int(cpus) if self._is_local else None)
            run = config.run.model_copy(update={"device": self.device})
            options = DetectionOptions(detects, 1, spread.timeout)
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

    def process(self, plan: Plan, stop: StopRequest) -> Iterator[FittedBatch]:
        """See `fitter.workers.local_executor.LocalExecutor.process`; pieces come in the order in
        which they are done.

        Raises:
            InputError: what an actor needs cannot be used.
            LostError: Ray failed.
        """
        if not plan.blocks:
            return
        import ray

        if not self._is_local:
            plan = replace(plan, sources=plan.sources.absolute())

        numbers = sum(len(cut(block, plan.length)) for block in plan.blocks)
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        missing = {block.start: len(block) for block in plan.blocks}
        # A new one would know the same, but for the counts.
        lasting = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
        feeder = ray.remote(Feeder).options(**lasting, scheduling_strategy=here).remote(plan)
        try:
            per_block = len(cut(plan.blocks[0], plan.length))
            step = max(1, _WAVE // per_block) * per_block
            for first in range(0, numbers, step):
                wave = range(first, min(first + step, numbers))
                yield from self._wave(wave, (plan, missing), feeder, stop)
                if stop.asked:
                    return
        except ray.exceptions.RayError as error:
            raise LostError(f"Ray failed ({_first_line(error)}); {KEPT}") from error

    def draw(self, sources: Sources, rows: Sequence[ImageRow]) -> list[tuple[str, str]]:
        """See `fitter.workers.local_executor.LocalExecutor.draw`; done on this machine."""
        if self._bench is None:
            bench = LocalExecutor(self._here, self._job.options, self._job.overlays)
            self._bench = self._stack.enter_context(bench)
        return self._bench.draw(sources, rows)

    def begin_anew(self) -> None:
        """See `LocalExecutor.begin_anew`; here attempts are counted for one run alone."""

    def _wave(
        self, numbers: range, work: tuple[Plan, dict[int, int]], feeder: Any, stop: StopRequest
    ) -> Iterator[FittedBatch]:
        """Pieces of these numbers; `work`: the plan, and images missing by the start of blocks."""
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
            # One piece in flight: more would wait behind one actor while others have none.
            sizes = {"min_size": 1, "max_size": None} if size is None else {"size": size}
            return ray.data.ActorPoolStrategy(**sizes, max_tasks_in_flight_per_actor=1)

        rest = {
            "fn_constructor_args": (self._job, feeder),
            "batch_size": 1,
            "runtime_env": {"env_vars": _WORKER_ENVIRONMENT},
        }
        items = [{"number": number} for number in numbers]
        stream = ray.data.from_items(items, override_num_blocks=len(items))
        if not self._gpus:
            return stream.map_batches(DetectAndFit, compute=pool(self._looks), num_cpus=1, **rest)
        stream = stream.map_batches(Look, compute=pool(self._looks), num_cpus=1, **rest)
        return stream.map_batches(
            Fit, compute=pool(self._fits), num_cpus=0, num_gpus=self._gpus, **rest
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _count_off(missing: dict[int, int], plan: Plan, done: FittedBatch) -> None:
    """Take a piece off what is missing of its block; a whole block is not in it any more."""
    block = plan.block_of(done.start).start
    missing[block] -= len(done.rows)
    if not missing[block]:
        del missing[block]


def _resources() -> tuple[float, float]:
    """CPUs and GPUs of the cluster."""
    import ray

    found = ray.cluster_resources()
    return found.get("CPU", 1.0), found.get("GPU", 0.0)


def _start_ray(spread: ExecutionOptions, said: Path, stack: ExitStack) -> None:
    """Start Ray or join a cluster, quietly; `stack` ends it."""
    os.environ.update({k: v for k, v in _ENVIRONMENT.items() if k not in os.environ})
    is_local = spread.ray == "local"
    if is_local:  # nobody else is in this Ray; without it, it writes a key to the home folder
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError(
            f"--ray: expected the package ray[data], found: {error}; install fit-hands[ray]"
        ) from error
    logging.getLogger("ray").setLevel(logging.CRITICAL + 1)
    data = logging.getLogger("ray.data")
    for handler in [h for h in data.handlers if type(h) is logging.StreamHandler]:
        data.removeHandler(handler)
    stack.enter_context(said_to(said))
    options: dict[str, Any] = {}
    if is_local:
        cpus = spread.workers or os.cpu_count() or 1
        options = {
            "num_cpus": cpus,
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE,
        }
    else:
        require_cluster(spread.ray)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(
            address=spread.ray,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            **options,
        )
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise LostError(f"Ray did not start ({_first_line(error)}); {KEPT}") from error
    stack.callback(ray.shutdown)
    for number, handler in handlers.items():  # Ray has put one of its own in place of SIGTERM's
        signal.signal(number, handler)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    stack.enter_context(HeadWatch(_addresses(), lambda: _farewell(sys.stderr)))


def _addresses() -> list[Address]:
    """Where Ray's head, and its process on this machine, listen."""
    import ray

    host, port = ray.get_runtime_context().gcs_address.rsplit(":", 1)
    addresses: list[Address] = [(host, int(port))]
    with contextlib.suppress(AttributeError):  # not part of what Ray promises
        addresses.append(ray._private.worker._global_node.raylet_socket_name)
    return addresses


def _farewell(terminal: Any) -> None:
    """Say that Ray is gone, and end what is left of a Ray of our own."""
    import ray

    print(f"\nfit-hands: Ray's head is gone; {KEPT}", file=terminal, flush=True)
    with contextlib.suppress(Exception):  # empty for a cluster that is not ours
        for infos in ray._private.worker._global_node.all_processes.values():
            for info in infos:
                info.process.kill()
