"""What an evaluation may be asked for; light, so that a command can refuse it at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datasets.evaluation.published import PUBLISHED
from fitter.errors import InputError


@dataclass(frozen=True)
class EvaluationOptions:
    """How hands are compared.

    Attributes:
        match: how hands of an image are paired, see `datasets.evaluation.matching`; None for
            "best" on FreiHAND and "place" elsewhere.
        missing_as_mm: millimetres that every point of a hand that was not found is charged in the
            figures in millimetres and the AUC, or None to average over the found hands alone.
            Pixels, F-scores, masks, edges, normals and the detector's figures are never charged.
        definition: score keypoints in this definition; None for that of the store.
        mano: the user's MANO file: annotated MANO parameters are posed with it, and predicted
            vertices have its faces; or None.
        ranges: ranges of image numbers to report apart, besides the whole.
        resamples: of the bootstrap; 0 for no confidence intervals.
        seed: of the bootstrap.
        model: the folder of the NIMBLE model that the data set's hands were rendered or fitted
            with, to pose their parameters with; or None.
    """

    match: Literal["best", "place"] | None = None
    missing_as_mm: float | None = None
    definition: str | None = None
    mano: Path | None = None
    ranges: Sequence[range] = ()
    resamples: int = 0
    seed: int = 0
    model: Path | None = None


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


def check_table(name: str) -> None:
    """Make sure that there is such a table of a paper.

    Raises:
        InputError: there is none.
    """
    if name not in PUBLISHED:
        known = ", ".join(PUBLISHED)
        raise InputError("evaluation.table", file="--table", known=known, found=name)
