"""The samples of a run are made before it begins, and somebody is told how far that is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from rich.console import Console

from fitter.run.progress import ProgressLine, say
from init_net.samples.config import SamplesConfig
from init_net.samples.shards import LEFT_OUT, is_done
from init_net.training.config import StoredConfig, TrainConfig
from init_net.training.sources import (
    find_hands,
    folder_of,
    look_at,
    looks_at,
    pictures_to_search,
    prepare,
    require_full_batches,
    sample_count,
)


def prepare_all(config: TrainConfig, console: Console) -> None:
    """Make what is missing of the samples of a run, and have the detector look at them.

    Those that are learned from come first, of which there may be too few.

    Args:
        config: of the run.
        console: to tell how far it is, and what cannot be learned from.

    Raises:
        InputError, LostError: see `prepare`, `find_hands`, `look_at` and `require_full_batches`.
    """
    for samples in config.stored.values():
        _prepare(samples, looks_at(config, samples), console)
    require_full_batches(config)
    for name, held_out in config.held_out_sets.items():
        if isinstance(held_out, SamplesConfig) and not is_done(
            folder_of(held_out), held_out.source
        ):
            say(
                console,
                f"before the first step {held_out.count:,} samples are rendered to validate on; "
                f"--set {name}.count=N renders fewer",
            )
        _prepare(held_out, looks_at(config, held_out), console)


def _prepare(source: StoredConfig, looks: int, console: Console) -> None:
    """Make what is missing of a source of samples, and look at what nobody has looked at."""
    with ExitStack() as stack:

        def told(title: str, total: int, unit: str = "samples") -> Callable[[int], None]:
            """Takes how many further ones are done."""
            stack.close()  # the line before
            # The first that is told is what was there before.
            line = stack.enter_context(ProgressLine(console, title, total, None, unit))
            done = 0

            def tell(count: int) -> None:
                nonlocal done
                done += count
                line.show(done)

            return tell

        pictures = pictures_to_search(source)
        if pictures is not None:
            found = find_hands(source, told("looking for hands", pictures, "images"))
            say(console, f"hands in pictures: {found}")
        folder, total = folder_of(source), sample_count(source)
        problems = prepare(source, told(f"making samples in {folder}", total))
        look_at(source, looks, told(f"looking at {folder}", total))
    if problems:
        say(
            console,
            f"{folder}: {len(problems)} of {total} hands cannot be learned from, the first because "
            f"{problems[0]}; {folder}/shard-*/{LEFT_OUT} name all",
        )
