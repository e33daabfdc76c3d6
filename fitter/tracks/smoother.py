"""What all other frames of a track say of a hand in one of them: a smoother in two directions.

A hand's coordinates x move with white acceleration in continuous time: ``x'' = w``, w of spectral
density q. So between frames any time apart the state (x, x') is Gaussian, with (Bar-Shalom, Li,
Kirubarajan, "Estimation with applications to tracking and navigation", 2001, eqs. 6.2.2-3, -4)

    F = | 1 t |    Q = q | t^3 / 3  t^2 / 2 |
        | 0 1 |          | t^2 / 2  t       |

Each frame's fit is a quadratic in x. The cost of the whole track is the sum of these and of the
motion, its normal equations are block tridiagonal, and passing beliefs forward and backward solves
them. What both directions predict of a frame, without the frame's own quadratic, is the message of
all others: the product of two Gaussians, the velocity marginalised. Backward in time the model is
the same with the velocity negated.

Nothing lags: a frame hears of the frames after it as of those before.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

START_STD = 30.0
"""Of coordinates and of their changes a second, before any frame is seen: more than they can be."""

ROUNDING = 1e-7
"""Of a Hessian's eigenvalues, over the largest one, as they are stored."""


class Belief(NamedTuple):
    """A Gaussian of n coordinates and their velocities.

    Attributes:
        mean: (2 n,).
        covariance: (2 n, 2 n).
    """

    mean: np.ndarray
    covariance: np.ndarray

    @property
    def coordinates(self) -> int:
        """n."""
        return len(self.mean) // 2


class Quadratic(NamedTuple):
    """What a frame says of n coordinates: the cost ``x H x / 2 - y x`` up to a constant.

    Attributes:
        information: (n, n) H, symmetric positive semi-definite.
        vector: (n,) y.
    """

    information: np.ndarray
    vector: np.ndarray


def started(place: np.ndarray) -> Belief:
    """Before any frame: anywhere around `place` (n,), at any speed."""
    mean = np.concatenate([place, np.zeros_like(place)])
    return Belief(mean, START_STD**2 * np.eye(len(mean)))


def predicted(belief: Belief, seconds: float, density: np.ndarray) -> Belief:
    """The belief some time later.

    Args:
        belief: of n coordinates.
        seconds: t, at least 0.
        density: (n,) q.
    """
    n, t = belief.coordinates, seconds
    position, velocity = belief.mean[:n], belief.mean[n:]
    a, b, c = belief.covariance[:n, :n], belief.covariance[:n, n:], belief.covariance[n:, n:]
    across = b + t * c + np.diag(density * (t**2 / 2))
    covariance = np.empty_like(belief.covariance)
    covariance[:n, :n] = a + t * (b + b.T) + t**2 * c + np.diag(density * (t**3 / 3))
    covariance[:n, n:], covariance[n:, :n] = across, across.T
    covariance[n:, n:] = c + np.diag(density * t)
    return Belief(np.concatenate([position + t * velocity, velocity]), covariance)


def updated(belief: Belief, seen: Quadratic) -> Belief:
    """The belief with what a frame says; one of no information changes nothing."""
    n = belief.coordinates
    columns = belief.covariance[:, :n]
    inner = np.eye(n) + seen.information @ columns[:n]
    gain = np.linalg.solve(inner.T, columns.T).T
    mean = belief.mean + gain @ (seen.vector - seen.information @ belief.mean[:n])
    covariance = belief.covariance - gain @ seen.information @ columns.T
    return Belief(mean, (covariance + covariance.T) / 2)


def reversed_in_time(belief: Belief) -> Belief:
    """The same with negated velocities."""
    sign = np.repeat([1.0, -1.0], belief.coordinates)
    return Belief(sign * belief.mean, sign[:, None] * belief.covariance * sign)


def message(before: Belief, after: Belief) -> tuple[np.ndarray, np.ndarray]:
    """What the frames before and those after say together of a frame between.

    Args:
        before: what the former predict.
        after: what the latter do, in the direction of time.

    Returns:
        (n,) mean and (n, n) inverse covariance of the coordinates.
    """
    n = before.coordinates
    gain = np.linalg.solve(before.covariance + after.covariance, before.covariance[:, :n]).T
    mean = before.mean[:n] + gain @ (after.mean - before.mean)
    covariance = before.covariance[:n, :n] - gain @ before.covariance[:, :n]
    information = np.linalg.inv((covariance + covariance.T) / 2)
    return mean, (information + information.T) / 2


def difference(
    seen: Quadratic, mean: np.ndarray, information: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far a frame is from the message of all others: (n,), and its (n, n) covariance where both
    are as sure as they say.

    Args:
        seen: what the frame says; where it says nothing it agrees, and is as open as `START_STD`.
        mean, information: of the message.
    """
    # Stored in single precision, a Hessian may have lost its least eigenvalues.
    values, axes = np.linalg.eigh(seen.information)
    values = values.clip(min=max(1 / START_STD**2, ROUNDING * values[-1]))
    own = (axes / values) @ axes.T
    error = own @ (seen.vector - seen.information @ mean)
    return error, own + np.linalg.inv(information)
