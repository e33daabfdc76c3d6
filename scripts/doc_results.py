"""Results of benchmarks that train networks, as cells of tables.

A result is a JSON file ``ARM-STEPS-SEED.json`` in a folder for what was measured; a cell has the
mean over the seeds that are there, with its standard error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Results = Sequence[Mapping[str, Any]]


def lengths(folder: Path, arm: str) -> list[int]:
    """Of an arm, in steps, of which there are results; from the shortest.

    Args:
        folder: of what was measured.
        arm: its name.
    """
    return sorted({each["steps"] for each in _read(folder, arm)})


def results(folder: Path, arm: str, steps: int | None = None) -> Results:
    """Those of an arm, by seed.

    Args:
        folder: of what was measured.
        arm: its name.
        steps: of the training; None for the longest.
    """
    found = _read(folder, arm)
    wanted = max((each["steps"] for each in found), default=0) if steps is None else steps
    alike = [each for each in found if each["steps"] == wanted]
    return sorted(alike, key=lambda each: each["seed"])


def _read(folder: Path, arm: str) -> Results:
    said = [json.loads(file.read_text()) for file in folder.glob(f"{arm}-*-*.json")]
    return [each for each in said if each["arm"] == arm]


def mean_and_error(values: Sequence[float], digits: int) -> str:
    """Of seeds: their mean, with its standard error where there are several; "n/a" for none."""
    if not len(values):
        return "n/a"
    shown = f"{np.mean(values):.{digits}f}"
    if len(values) == 1:
        return shown
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return f"{shown} ± {error:.{digits}f}"


def cell(found: Results, keys: Sequence[str], digits: int, scale: float = 1.0) -> str:
    """A figure of results, by the keys that lead to it."""
    values = []
    for each in found:
        value: Any = each
        for key in keys:
            value = value[key]
        values.append(scale * value)
    return mean_and_error(values, digits)
