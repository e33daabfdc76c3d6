"""How much room a hand's motion is given: as much as its own frames ask, at any rate of them.

White acceleration of one density fits no hand: signing holds still, then moves as fast as it can.
So the density follows the track: it is what the accelerations around a frame tell of it. And where
the frames beside one lie farther from what all others say of them than both leave open, what is
said of that one counts for as much less: the motion there is none that the model expects. A frame
by itself is not asked, so that one that a detector got wrong does not make room for its error.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fitter.hand_models.motion import PLACE, RIGID, ROTATION
from fitter.tracks.smoother import Quadratic, difference

GROUPS = (ROTATION, PLACE, slice(RIGID, None))
"""Coordinates whose motion changes together; those of the pose may be none."""

WINDOW = 0.2
"""Seconds before and after a frame over which it is measured how fast the motion changes; at the
least the frames beside it count."""

LONGEST_STEP = 1.0
"""Seconds between frames of which that can be said."""

BESIDE = (1.0, 0.3)
"""How much the nearest frame on each side of one is asked how much room it needs, and the next one:
the nearest may be wrong."""

USUAL = (6.0, 4.0, 5.0)
"""Root mean square accelerations at `USUAL_RATE`, a second squared, of the rotation (radians), the
place and a component of the pose, at which the densities are as they are given."""

USUAL_RATE = 25.0
"""Frames a second."""

LEAST, MOST = 0.1, 4.0
"""Bounds of the factor of the densities' roots."""
# LEAST and BESIDE were chosen on a real video, all others on a rendered one.


def acceleration(times: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(3,) of the groups in the middle of three frames, root mean square over their coordinates and
    as it would be at `USUAL_RATE`; NaN across gaps.

    Divided differences of white acceleration of density q have the variance ``4 q / (3 t)`` over
    the time t from the first to the third frame: the slower the rate, the smaller they are.

    Args:
        times: (3,) seconds.
        places: (3, n) coordinates.
    """
    before, after = np.diff(times)
    if max(before, after) > LONGEST_STEP or min(before, after) <= 0:
        return np.full(len(GROUPS), np.nan)
    whole = before + after
    change = 2 * ((places[2] - places[1]) / after - (places[1] - places[0]) / before) / whole
    squares = np.square(change) * (whole * USUAL_RATE / 2)
    return np.sqrt([squares[group].mean() if squares[group].size else 0.0 for group in GROUPS])


def motion_change(times: np.ndarray, accelerations: np.ndarray) -> np.ndarray:
    """(m, 3) factors of the roots of the densities around each frame of a track.

    Args:
        times: (m,) seconds, in order.
        accelerations: (m, 3) of `acceleration`, NaN where none is known.
    """
    known = np.isfinite(accelerations).all(1)
    columns = np.column_stack([np.square(accelerations), known])
    sums = np.cumsum(np.where(known[:, None], columns, 0.0), axis=0)
    sums = np.concatenate([np.zeros((1, sums.shape[1])), sums])
    every = np.arange(len(times))
    first = np.minimum(np.searchsorted(times, times - WINDOW, "left"), (every - 1).clip(0))
    last = np.maximum(np.searchsorted(times, times + WINDOW, "right"), every + 2)
    total = sums[last.clip(max=len(times))] - sums[first]
    mean = np.sqrt(total[:, :3] / total[:, 3:].clip(1))
    return np.where(total[:, 3:] > 0, mean / np.array(USUAL), 1.0).clip(LEAST, MOST)


class Surprise(NamedTuple):
    """How far a frame is from the message of all others: means over coordinates of the squared
    difference in units of what both leave open, 1 where they are as sure as they say.

    Attributes:
        whole: of all coordinates.
        groups: (3,) of each group by itself.
    """

    whole: float
    groups: np.ndarray


def surprise(seen: Quadratic, mean: np.ndarray, information: np.ndarray) -> Surprise:
    """How far a frame is from a message.

    Args:
        seen: what the frame says of n coordinates.
        mean, information: (n,) and (n, n) of the message.
    """
    error, covariance = difference(seen, mean, information)

    def of(group: slice) -> float:
        own = error[group]
        return float(own @ np.linalg.solve(covariance[group, group], own)) / max(own.size, 1)

    return Surprise(of(slice(None)), np.array([of(group) for group in GROUPS]))


def room(times: np.ndarray, surprises: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(m, 3) factors, at least 1, of the covariance of what is said to each frame of a track: the
    mean surprise of the frames beside it, by how much is believed of them.

    Args:
        times: (m,) seconds, in order.
        surprises: (m, 3) of `surprise`, NaN of frames that say nothing.
        weights: (m,) positive, how much is believed of each frame.
    """
    seen = np.isfinite(surprises).all(1)
    places = np.flatnonzero(seen)
    before = np.cumsum(seen) - seen  # how many are seen before each
    total, count = np.zeros_like(surprises), np.zeros((len(times), 1))
    for step, share in enumerate(BESIDE):
        for rank in (before - 1 - step, before + seen + step):
            inside = np.flatnonzero((rank >= 0) & (rank < len(places)))
            other = places[rank[inside]]
            near = np.abs(times[other] - times[inside]) <= LONGEST_STEP
            inside, other = inside[near], other[near]
            weight = share * weights[other, None]
            total[inside] += weight * surprises[other]
            count[inside] += weight
    mean = np.divide(total, count, out=np.ones_like(total), where=count > 0)
    return mean.clip(min=1.0)


def widened(information: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """(n, n) inverse covariance of a message whose groups' covariances grow by `factors` (3,)."""
    scale = 1 / np.sqrt(by_coordinate(factors, len(information)))
    return scale[:, None] * information * scale


def by_coordinate(values: np.ndarray, coordinates: int) -> np.ndarray:
    """(n,) of each coordinate the value of its group, of (3,)."""
    return np.repeat(values, [3, 3, coordinates - RIGID])
