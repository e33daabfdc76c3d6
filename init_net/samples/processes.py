"""Several processes that make the shards of one folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from fitter.errors import LostError


def make_shards(
    folder: Path,
    make: Callable[[int], int],
    starts: Sequence[int],
    workers: int,
    progress: Callable[[int], None],
) -> None:
    """Make shards, each on its own.

    Args:
        folder: that they belong to, for the message.
        make: makes the shard whose first sample has a number, and returns its number of samples;
            it can be pickled.
        starts: numbers of the shards' first samples.
        workers: processes; with one it is done here.
        progress: told how many further samples are done.

    Raises:
        LostError: a process was lost. Whatever `make` raises, besides.
    """
    if workers <= 1:
        for start in starts:
            progress(make(start))
        return
    # A fresh interpreter each: a forked one would inherit the caller's threads and their locks.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            for future in as_completed([pool.submit(make, start) for start in starts]):
                progress(future.result())
        except BrokenProcessPool:
            raise LostError("samples.process_lost", file=folder) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
