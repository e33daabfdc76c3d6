"""Windows in which hands are searched that the whole picture does not show well enough."""

from __future__ import annotations

import numpy as np

from fitter.detection.windows import Window

MOST_WINDOWS = 100
"""Rounds of the search with more windows than this are left out: in a picture that is a strip, its
shorter side says nothing about the size of hands, and the windows would be without number."""


def search_windows(width: int, height: int) -> list[list[Window]]:
    """Rounds of windows to search in a picture of this size.

    First the picture with a border as wide as half of it, for a hand that fills it; then squares as
    high as its shorter side and squares half as high, both overlapping by half, for hands that are
    small in it.
    """
    longer, shorter = max(width, height), min(width, height)
    rounds = [[Window(np.array([width + 1, height + 1]) / 2, 2.0 * longer)]]
    for size in (shorter, shorter / 2):
        columns, rows = _centres(width, size), _centres(height, size)
        if len(columns) * len(rows) <= MOST_WINDOWS:
            rounds.append([Window(np.array([x, y]), size) for y in rows for x in columns])
    return rounds


def _centres(length: float, size: float) -> np.ndarray:
    """Centres of intervals of `size` that cover [0, length] and overlap by at least half; half a
    pixel further, as those of `Window.whole`."""
    count = int(np.ceil(2.0 * (length - size) / size - 1e-9)) + 1
    ends = (size / 2, length - size / 2) if count > 1 else (length / 2, length / 2)
    return np.linspace(*ends, max(count, 1)) + 0.5
