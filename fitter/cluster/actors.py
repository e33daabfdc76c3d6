"""The actors of a Ray cluster: each takes the number of a batch and returns what became of it.

Everything heavy is made at the first batch, so that Ray need not know how to make it again.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fitter.cluster.job import Job
from fitter.errors import UserError
from fitter.workers.batches import FittedBatch
from fitter.workers.detection_pool import DetectedBatch, DetectionPool
from fitter.workers.local_executor import ExecutorFiles, LocalExecutor


class DetectAndFit:
    """Detects the images of a batch and fits their hands, on one thread."""

    def __init__(self, job: Job, feeder: Any) -> None:
        """An actor of the `job`, whose batches the `feeder`, a Ray actor, knows."""
        self.job, self.feeder = job, feeder
        self._executor: LocalExecutor | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The row of a batch: its number, and what became of it."""

        def work(number: int) -> FittedBatch | None:
            import ray

            tasks = ray.get(self.feeder.tasks.remote(number))
            if tasks is None:
                return None
            if self._executor is None:
                self._executor = _executor(self.job)
            _, detected = next(self._executor.detection.detect([tasks]))
            return self._executor.finish(tasks, detected, ray.get(self.feeder.begin.remote(number)))

        return _row(int(batch["number"][0]), work)


class Detect:
    """Detects the images of a batch, for `Fit`."""

    def __init__(self, job: Job, feeder: Any) -> None:
        """An actor of the `job`, whose batches the `feeder`, a Ray actor, knows."""
        self.job, self.feeder = job, feeder
        self._pool: DetectionPool | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The row of a batch: its number, and its images with what was detected in them."""

        def work(number: int) -> DetectedBatch | None:
            import ray

            tasks = ray.get(self.feeder.tasks.remote(number))
            if tasks is None:
                return None
            if self._pool is None:
                self._pool = DetectionPool(self.job.config, self.job.options)
                self._pool.ready()
            return next(self._pool.detect([tasks]))

        return _row(int(batch["number"][0]), work)


class Fit:
    """Fits the hands of a batch."""

    def __init__(self, job: Job, feeder: Any) -> None:
        """An actor of the `job`, whose batches the `feeder`, a Ray actor, knows."""
        self.job, self.feeder = job, feeder
        self._executor: LocalExecutor | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The row of a batch: its number, and what became of it."""

        def work(number: int) -> FittedBatch | Exception | None:
            import ray

            found = ray.cloudpickle.loads(batch["value"][0])
            if found is None or isinstance(found, Exception):
                return found
            if self._executor is None:
                # Hands have been found by then.
                options = replace(self.job.options, detects=False)
                self._executor = _executor(replace(self.job, options=options))
            tasks, detected = found
            return self._executor.finish(tasks, detected, ray.get(self.feeder.begin.remote(number)))

        return _row(int(batch["number"][0]), work)


def _executor(job: Job) -> LocalExecutor:
    """An executor for as long as its actor lives."""
    return LocalExecutor(job.config, job.options, ExecutorFiles(job.overlays)).__enter__()


def _row(number: int, work: Callable[[int], Any]) -> dict[str, Any]:
    """A row of the stream; what goes wrong travels in it, since Ray keeps no exception's type."""
    import ray

    try:
        value = work(number)
    except UserError as error:
        value = error
    except ray.exceptions.RayError:  # what Ray itself has lost is Ray's to tell
        raise
    except Exception:  # raised again by the driver, with this traceback
        value = RuntimeError(traceback.format_exc())
    return {"number": [number], "value": [ray.cloudpickle.dumps(value)]}
