"""What an evaluation may be asked for; light, so that a command can refuse it at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from fitter.errors import InputError


def parse_range(text: str) -> range:
    """``"0:75"`` -> images 0 to 74.

    Raises:
        InputError: `text` is no such range, or an empty one.
    """
    start, colon, stop = text.partition(":")
    if not (colon and start.isdecimal() and stop.isdecimal() and int(start) < int(stop)):
        raise InputError("evaluation.range", file="--range", found=text)
    return range(int(start), int(stop))


def check_ranges(ranges: Sequence[range], dataset: Path, count: int) -> None:
    """Make sure that ranges lie in a data set of `count` images.

    Raises:
        InputError: one does not.
    """
    for wanted in ranges:
        if wanted.stop > count:
            raise InputError(
                "evaluation.range_beyond",
                file="--range",
                start=wanted.start,
                stop=wanted.stop,
                dataset=dataset,
                count=count,
            )


def check_penalty(missing_as_mm: float | None) -> None:
    """Make sure that `--missing-as` is a length.

    Raises:
        InputError: it is negative or not finite.
    """
    if missing_as_mm is not None and not 0 <= missing_as_mm < math.inf:
        raise InputError("evaluation.missing_as", file="--missing-as", found=missing_as_mm)
