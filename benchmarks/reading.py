"""One reader at work in a process that loads nothing else: what `readers.py` starts.

The task comes pickled through the standard input, the figures leave as JSON; so memory is that of
the reader, not of PyTorch, which made the data set.
"""

from __future__ import annotations

import gc
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from processes import memory_of

from datasets.annotations import AnnotatedImages
from datasets.readers.iteration import DamagedSample, GuardedSamples, annotation_alone, usable_of

NOTED_EVERY = 1000
WARM_UP = 200
"""Samples before memory is noted for the first time."""


@dataclass(frozen=True)
class Reading:
    """How one reader went through its samples.

    Attributes:
        samples: how many.
        per_second, cpu_ms: of them in a second, and processor time of each, without workers'.
        rss_before, rss_most, rss_after: resident bytes of the process, workers not counted.
        growth: `rss_most` over `rss_before`.
    """

    samples: int
    per_second: float
    cpu_ms: float
    rss_before: int
    rss_most: int
    rss_after: int
    growth: float


@dataclass(frozen=True)
class Task:
    """What is measured: samples of a data set, whole or annotations alone, round after round.

    Attributes:
        images, places: the data set and its samples.
        count: how many are read.
        whole: with pixels, masks and depth.
        workers: of torch's DataLoader.
    """

    images: AnnotatedImages
    places: Sequence[int]
    count: int
    whole: bool
    workers: int

    def read(self, count: int) -> Iterator[Any]:
        """That many samples."""
        places = list(islice(cycle(self.places), count))
        options: dict[str, Any] = {} if self.whole else {"read": annotation_alone}
        samples = GuardedSamples(self.images, places=places, **options)
        return usable_of(samples, _refuse, self.workers)

    def apart(self) -> Reading:
        """`measure` in a new process."""
        done = subprocess.run(
            [sys.executable, __file__], input=pickle.dumps(self), capture_output=True
        )
        if done.returncode:
            raise RuntimeError(done.stderr.decode())
        return Reading(**json.loads(done.stdout))


def _refuse(sample: DamagedSample) -> None:
    raise RuntimeError(f"expected whole fixtures, found a damaged sample ({sample.sentence})")


def _rss() -> int:
    found = memory_of(os.getpid())
    assert found is not None, "a process may ask for its own memory"
    return found.rss


def measure(task: Task) -> Reading:
    """Read the samples in this process."""
    for _ in task.read(WARM_UP):
        pass
    gc.collect()
    before = most = _rss()
    started, cpu = time.perf_counter(), time.process_time()
    for number, _ in enumerate(task.read(task.count), 1):
        if number % NOTED_EVERY == 0:
            most = max(most, _rss())
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    gc.collect()
    after = _rss()
    return Reading(
        samples=task.count,
        per_second=task.count / seconds,
        cpu_ms=1000 * cpu / task.count,
        rss_before=before,
        rss_most=max(most, after),
        rss_after=after,
        growth=max(most, after) / before,
    )


if __name__ == "__main__":
    sys.path.insert(1, str(Path(__file__).resolve().parents[1]))
    json.dump(asdict(measure(pickle.load(sys.stdin.buffer))), sys.stdout)
