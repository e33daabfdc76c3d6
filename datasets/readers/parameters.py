"""From the conventions of data sets to this project's: axes, orders, cameras.

The table of keypoint orders is `fitter.conventions.KEYPOINT_ORDERS`.
"""

from __future__ import annotations

import cv2
import numpy as np

OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0])
"""Turns positions in an OpenGL camera (y up, looking along -z) into the OpenCV camera's; its own
inverse."""


def project(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Where points are seen: ``(u, v, 1) ~ K (x, y, z)``.

    Args:
        points: (N, 3) metres, OpenCV camera; NaN where not known.
        K: (3, 3) pixels.

    Returns:
        (N, 2) pixels; NaN for a point that is not known or not in front of the camera.
    """
    depth = np.where(points[:, 2:] > 0, points[:, 2:], np.nan)
    return (points / depth) @ K[:2].T


def matrix_of_focal(fx: float, fy: float, cx: float, cy: float) -> np.ndarray:
    """(3, 3) float64 K of focal lengths and principal point, pixels."""
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def to_matrix(axis_angle: np.ndarray) -> np.ndarray:
    """(3, 3) rotation of an axis-angle vector (3,), radians."""
    return cv2.Rodrigues(np.asarray(axis_angle, np.float64).reshape(3))[0]


def to_axis_angle(matrix: np.ndarray) -> np.ndarray:
    """(3,) axis-angle vector, radians, of a rotation (3, 3)."""
    return cv2.Rodrigues(np.asarray(matrix, np.float64))[0][:, 0]


def moved_root(
    global_orient: np.ndarray,
    translation: np.ndarray,
    root: np.ndarray,
    motion: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """MANO's rotation and translation of a hand that is moved as a whole, from a world into a
    camera or from one camera's axes into another's.

    A hand turns about its root joint j0: ``x = R (x_model - j0) + j0 + t``. After the motion
    ``A x + b`` it has the rotation A R, and the translation ``A (j0 + t) + b - j0``.

    Args:
        global_orient: (3,) axis-angle R.
        translation: (3,) metres t.
        root: (3,) metres, j0 + t: the root joint before the motion.
        motion: A (3, 3), a rotation, and b (3,) metres.

    Returns:
        (3,) axis-angle and (3,) metres.
    """
    rotation, offset = motion
    orient = to_axis_angle(rotation @ to_matrix(global_orient))
    return orient, rotation @ root + offset - (root - translation)
