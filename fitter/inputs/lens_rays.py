"""Between positions on a lens's images and the rays that arrive there, by OpenCV's two models.

A ray is (x, y) where it crosses the plane at distance 1 before the camera. OpenCV is loaded where
it is needed, because a refusal of what is given beside the images needs it not.

The models' polynomials may turn round: beyond some angle a ray that is farther from the axis comes
out nearer to it, and the image would be shown a second time. What is beyond is not seen.
"""

from __future__ import annotations

import math

import numpy as np

from fitter.lens import HasLens

_ITERATIONS, _PRECISION = 100, 1e-10
"""When the search for a ray ends."""

_MISSED = 0.05
"""Pixels by which a position may be missed when the ray that was found for it is distorted."""

WIDEST_ANGLE = math.radians(80.0)
"""Angle with the axis, radians, up to which rays of a fisheye are taken. A camera without
distortion shows nothing at 90 degrees, and at 80 every pixel of the fisheye is stretched 33-fold
along the way from the middle."""


def rays_of(camera: HasLens, points: np.ndarray) -> np.ndarray:
    """The rays (N, 2) that arrive at positions (N, 2) pixels of a camera's image; NaN where none
    of its lens's model does."""
    import cv2

    until = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _ITERATIONS, _PRECISION)
    matrix, lens = camera.intrinsics, camera.distortion
    given = points.reshape(-1, 1, 2).astype(np.float64)
    if camera.model == "fisheye":
        found = cv2.fisheye.undistortPoints(given, matrix, lens, criteria=until)
    else:
        found = cv2.undistortPointsIter(given, matrix, lens, np.eye(3), np.eye(3), until)
    rays = found.reshape(-1, 2)
    radius = np.linalg.norm(rays, axis=-1)
    good = np.isfinite(rays).all(-1) & (radius < reach(camera))
    # OpenCV returns something where its search does not end: it is one that comes back.
    again = distorted(camera, np.where(good[:, None], rays, 0.0))
    good &= np.linalg.norm(again - given[:, 0], axis=-1) < _MISSED
    return np.where(good[:, None], rays, np.nan)


def distorted(camera: HasLens, rays: np.ndarray) -> np.ndarray:
    """Where rays (N, 2) arrive, (N, 2) pixels of the camera's image; to be asked within `reach`."""
    import cv2

    matrix, lens, none = camera.intrinsics, camera.distortion, np.zeros(3)
    if camera.model == "fisheye":
        flat = rays.reshape(-1, 1, 2).astype(np.float64)
        return cv2.fisheye.distortPoints(flat, matrix, lens).reshape(-1, 2)
    ahead = np.column_stack([rays, np.ones(len(rays))]).astype(np.float64)
    return cv2.projectPoints(ahead, none, none, matrix, lens)[0].reshape(-1, 2)


def reach(camera: HasLens) -> float:
    """Length of the longest ray that a camera's lens shows once and that is taken; may be
    infinite for a pinhole."""
    if camera.model == "fisheye":
        return math.tan(min(largest_angle(camera.distortion), WIDEST_ANGLE))
    return largest_radius(camera.distortion)


def largest_radius(distortion: np.ndarray) -> float:
    """Tangent of the angle with the axis up to which a pinhole's radial polynomials grow; infinity
    where they do not turn round.

    OpenCV has r (1 + k1 s + k2 s^2 + k3 s^3) / (1 + k4 s + k5 s^2 + k6 s^3) with s = r^2.

    Args:
        distortion: (D,) OpenCV's coefficients.
    """
    k = np.zeros(14)
    k[: len(distortion)] = distortion
    above = np.polynomial.Polynomial([1.0, k[0], k[1], k[4]])
    below = np.polynomial.Polynomial([1.0, k[5], k[6], k[7]])
    s = np.polynomial.Polynomial([0.0, 1.0])
    # The numerator of the derivative after r.
    slope = above * below + 2 * s * (above.deriv() * below - above * below.deriv())
    return math.sqrt(min(_first_root(slope), _first_root(below)))


def largest_angle(distortion: np.ndarray) -> float:
    """Angle with the axis, radians, up to which a fisheye's polynomial grows; infinity where it
    does not turn round.

    OpenCV has a (1 + k1 s + k2 s^2 + k3 s^3 + k4 s^4) with s = a^2 of the angle a.

    Args:
        distortion: (4,) OpenCV's coefficients.
    """
    slope = np.polynomial.Polynomial([1.0, *(np.array([3.0, 5.0, 7.0, 9.0]) * distortion)])
    return math.sqrt(_first_root(slope))


def _first_root(polynomial: np.polynomial.Polynomial) -> float:
    """The least positive real root; infinity without any."""
    roots = polynomial.trim(1e-15).roots()
    ends = roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)]
    return float(ends.min()) if len(ends) else math.inf
