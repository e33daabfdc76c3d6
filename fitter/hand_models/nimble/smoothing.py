"""How a displacement of one skin vertex is passed on to those near it along the skin."""

from __future__ import annotations

import numpy as np
import scipy.sparse

REACH, DECAY = 0.030, 0.050
"""Metres along the skin: no weight beyond the one, and a factor of 1 / e for each of the other;
30 and 50 mm in the public layer."""

_ROWS = 1024
"""Rows of the table of distances that are worked on at once."""


def smoothing_weights(distances: np.ndarray, millimetres: bool) -> scipy.sparse.csr_matrix:
    """Weights of a mean over the vertices within `REACH` along the skin, by exp(-d / DECAY).

    Each row sums to 1, and a vertex counts in its own mean. (The public layer divides columns where
    it means rows, by the root of the sum of squares where a mean needs the sum, and takes the zeros
    of the diagonal for "no path", so that a vertex has no part in its own mean: its sums are up to
    20 times the displacements they should average.)

    Args:
        distances: (V, V) along the skin; 0 off the diagonal stands for "no path".
        millimetres: their unit; else metres.

    Returns:
        (V, V) float32.
    """
    scale = 1e-3 if millimetres else 1.0
    blocks = []
    for start in range(0, len(distances), _ROWS):
        block = distances[start : start + _ROWS].astype(np.float32) * np.float32(scale)
        own = np.arange(len(block))
        near = (block > 0) & (block <= REACH)
        near[own, start + own] = True
        block[own, start + own] = 0
        weights = np.where(near, np.exp(-block / np.float32(DECAY)), np.float32(0))
        blocks.append(scipy.sparse.csr_matrix(weights / weights.sum(axis=1, keepdims=True)))
    return scipy.sparse.vstack(blocks, format="csr")
