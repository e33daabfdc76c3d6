"""Batches in order, prepared ahead by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from fitter.records import TensorBatch
from init_net.training.task import WHOLE, Task

_AHEAD = 3
"""Batches that each loader has ready or in hand."""


class Batches(Iterator[TensorBatch]):
    """Those of a task, some steps ahead, also into the next stage: NumPy and PyTorch let threads
    work."""

    def __init__(self, task: Task[Any], loaders: int, first: int, rows: slice = WHOLE) -> None:
        """Begin to prepare them.

        Args:
            task: whose batches.
            loaders: threads, 0 for none.
            first: step whose batch comes first.
            rows: of each batch that are wanted.
        """
        self._task, self._steps = task, iter(range(first, task.plan.steps))
        self._rows = rows
        self._pool = ThreadPoolExecutor(loaders, "batches") if loaders else None
        self._waiting: deque[Future[TensorBatch]] = deque()
        for _ in range(_AHEAD * loaders):
            self._ask()

    def _ask(self) -> None:
        step = next(self._steps, None)
        if self._pool is not None and step is not None:
            self._waiting.append(self._pool.submit(self._prepared, step))

    def _prepared(self, step: int) -> TensorBatch:
        return self._task.batch(step, self._rows)

    def __next__(self) -> TensorBatch:
        if self._pool is None:
            return self._prepared(next(self._steps))
        self._ask()
        return self._waiting.popleft().result()

    def close(self) -> None:
        """Let the threads end; what they have in hand is dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
