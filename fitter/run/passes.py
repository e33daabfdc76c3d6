"""The passes of a run over its images: where their rows are, and what one gives the next.

Without shared values there is one, and its rows are the store's. With them all passes but the last
have rows in stores of their own, `passes/1` and so on, and the values that are made of them lie
beside those rows; those of the last but one in the store itself, where readers find them. A pass is
done when its values are there, which is in one step. So a run that is continued knows where it was,
and computes nothing anew but the unfinished blocks of one pass.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fitter.groups.sharing import Sharing
from fitter.inputs.frame_sources import RunSources
from fitter.inputs.sources import Sources
from fitter.store.kept_detections import KeptDetections
from fitter.store.result_store import ResultStore
from fitter.system.stopping import StopRequest

log = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two questions whether other shares have done their part."""


@dataclass(frozen=True)
class Pass:
    """One pass over all images.

    Attributes:
        number: from 1 on.
        of: how many there are.
        rows: where its rows are.
        shared: the folder of the values that are made of them; None after the last pass.
        given: the folder of the values that it is given; None before the first.
        before: the folder of the rows of the pass before; None before the first, and when they are
            gone because all is done.
    """

    number: int
    of: int
    rows: ResultStore
    shared: Path | None
    given: Path | None
    before: Path | None = None

    @property
    def is_last(self) -> bool:
        """Whether its rows are the results."""
        return self.shared is None

    @property
    def is_shared(self) -> bool:
        """Whether the values that come after it are there."""
        return self.shared is not None and self.shared.exists()

    @property
    def is_over(self) -> bool:
        """Whether other shares have ended the last pass, so that its rows are gone."""
        return self.shared is not None and not self.rows.path.exists()

    @property
    def title(self) -> str:
        """What to call it."""
        return "fitting" if self.of == 1 else f"pass {self.number} of {self.of}"


def passes_of(store: ResultStore, sharing: Sharing[Any] | None) -> list[Pass]:
    """The passes of a run that are not done yet, in order; the last one is always among them.

    Args:
        store: of the run.
        sharing: what its images share, or None.
    """
    if sharing is None:
        return [Pass(1, 1, store, None, None)]
    of = sharing.passes
    last = store.path / sharing.name
    places = [rows.path / sharing.name for rows in store.passes[:-1]] + [last]
    if not store.passes:  # they are gone when all is done
        return [Pass(of, of, store, None, last)]
    found, given, before = [], None, None
    for number, (rows, place) in enumerate(zip(store.passes, places, strict=True), 1):
        found.append(Pass(number, of, rows, place, given, before))
        given, before = place, rows.path
    found.append(Pass(of, of, store, None, given, before))
    done = sum(each.is_shared for each in found)
    return found[done:]


def sources_for(now: Pass, sources: RunSources, sharing: Sharing[Any] | None) -> RunSources:
    """The images or frames with what the passes before have found.

    Raises:
        InputError: the shared values are damaged.
    """
    if not isinstance(sources, Sources):
        return sources  # frames share nothing
    sources = replace(sources, is_final=now.is_last)
    if sharing is None:
        return sources
    if now.before is not None:
        sources = replace(sources, kept=KeptDetections(now.before.absolute()))
    if now.given is None:
        return sharing.asked(sources)
    return sharing.given(sources, sharing.read(now.given))


def untracked(sources: RunSources) -> RunSources:
    """The same for whoever renders: rows are all it needs, and what passes gave each other is gone
    with them."""
    return replace(sources, tracks=None, kept=None) if isinstance(sources, Sources) else sources


def share(now: Pass, sharing: Sharing[Any]) -> None:
    """Make the shared values of a complete pass, and write them, unless another share has.

    Raises:
        InputError: rows are damaged, or the disk refuses.
    """
    assert now.shared is not None  # the last pass gives nothing
    if now.rows.is_alone:
        sharing.sweep(now.shared)
    if now.is_shared or now.is_over:
        return
    log.info("%s is complete: making what its images share", now.title)
    values = sharing.share(now.rows)
    if not now.is_over:
        sharing.write(now.shared, values)


def wait_for_others(now: Pass, stop: StopRequest, tell: Callable[[str], None]) -> bool:
    """Wait until other shares have done their part of a pass.

    Args:
        now: the pass.
        stop: ends the waiting when it is asked.
        tell: says that it waits, once.

    Returns:
        Whether the pass is complete.
    """
    told = False
    while not (now.is_shared or now.is_over or now.rows.is_complete):
        if stop.asked:
            return False
        if not told:
            tell(f"{now.title} is done here; waiting for the other shares")
            told = True
        time.sleep(PAUSE)
    return True


@contextmanager
def stoppable(tell: Callable[[str], None]) -> Iterator[StopRequest]:
    """A request to stop that the first Ctrl-C makes."""
    stop = StopRequest(
        lambda: tell(
            "stopping when the blocks in flight are written; press Ctrl-C again to stop at once"
        )
    )
    with stop:
        yield stop
