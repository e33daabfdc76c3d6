"""Runs of fit-hands in processes of their own, which may be killed at a moment of their work.

They are forked from a process that has imported what a run needs and has done nothing else, so that
each costs its work and no imports.
"""

import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

_IMPORTED = (
    "fitter.commands.fit_hands",
    "fitter.groups.people",
    "fitter.run.driver",
    "fitter.run.work",
    "fitter.workers.local_executor",
    "fitter.store.people",
    "tests.support.forked_runs",
)


class Kill(NamedTuple):
    """When a run is killed: at the `times`-th call of what "module:name" names."""

    place: str
    times: int


@cache
def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_IMPORTED))
    return context


def start(folder: Path, words: list[str], kill: Kill | None = None) -> BaseProcess:
    """Start ``fit-hands words`` in a folder."""
    process = _context().Process(target=_run, args=(folder, words, kill))
    process.start()
    return process


def status_of(process: BaseProcess) -> int | None:
    """How it ended: its exit status, or minus the signal that ended it."""
    process.join()
    return process.exitcode


def _run(folder: Path, words: list[str], kill: Kill | None) -> None:
    os.chdir(folder)
    if kill is not None:
        module, _, name = kill.place.partition(":")
        owner: Any = importlib.import_module(module)
        *path, last = name.split(".")
        for part in path:
            owner = getattr(owner, part)
        setattr(owner, last, _killing(getattr(owner, last), kill.times))
    from fitter.commands.fit_hands import fit_hands

    fit_hands(words)


def _killing(function: Callable[..., Any], times: int) -> Callable[..., Any]:
    """The function, whose `times`-th call ends the process."""
    calls = 0

    def wrapped(*arguments: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == times:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **more)

    return wrapped
