"""The readable twin of `nimble.collision`: one hand, NumPy, by solid angles and plain loops."""

from __future__ import annotations

import numpy as np

from fitter.hand_models.nimble.collision import CLEARANCE, OWN_SHARE


def winding_numbers(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """How many times closed meshes go around points: the sum of the faces' signed solid angles over
    4 pi (Jacobson et al. 2013, "Robust inside-outside segmentation using generalized winding
    numbers", eq. 5; the angle is that of Van Oosterom and Strackee 1983).

    Args:
        points: (P, 3); vertices: (M, 3); faces: (G, 3).

    Returns:
        (P,) 0 outside, 1 inside one mesh, 2 inside two.
    """
    windings = np.empty(len(points))
    for number, point in enumerate(points):
        a, b, c = (vertices[faces[:, corner]] - point for corner in range(3))
        la, lb, lc = (np.linalg.norm(side, axis=1) for side in (a, b, c))
        numerator = np.einsum("fc,fc->f", a, np.cross(b, c))
        denominator = la * lb * lc + (
            np.einsum("fc,fc->f", a, b) * lc
            + np.einsum("fc,fc->f", b, c) * la
            + np.einsum("fc,fc->f", c, a) * lb
        )
        windings[number] = 2 * np.arctan2(numerator, denominator).sum() / (4 * np.pi)
    return windings


def exit_depth(
    origin: np.ndarray, direction: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> float | None:
    """Distance along a unit direction at which a ray has left closed meshes; None if it never does.

    Every crossing is tried, the nearest first: it is the end if no mesh is around a point just
    beyond it.
    """
    distances = []
    for corners in vertices[faces]:
        hit = _crossing(origin, direction, corners)
        if hit is not None:
            distances.append(hit)
    for distance in sorted(distances):
        beyond = origin + (distance + 1e-7) * direction
        if winding_numbers(beyond[None], vertices, faces)[0] < 0.5:
            return distance
    return None


def separated(
    skin: np.ndarray,
    normals: np.ndarray,
    muscles: np.ndarray,
    muscle_faces: np.ndarray,
    smoothing: np.ndarray,
    surface: np.ndarray,
) -> np.ndarray:
    """(N, 3) skin (N, 3) moved out of muscles, see `collision.separate`."""
    step = np.zeros_like(skin)
    inside = winding_numbers(skin, muscles, muscle_faces) > 0.5
    for vertex in np.flatnonzero(inside & surface):
        depth = exit_depth(skin[vertex], normals[vertex], muscles, muscle_faces)
        if depth is not None:
            step[vertex] = (depth + CLEARANCE) * normals[vertex]
    return skin + OWN_SHARE * step + (1 - OWN_SHARE) * smoothing @ step


def _crossing(origin: np.ndarray, direction: np.ndarray, corners: np.ndarray) -> float | None:
    """Where a ray meets a triangle (3, 3): the distance, or None."""
    columns = np.stack([direction, corners[0] - corners[1], corners[0] - corners[2]], axis=1)
    if abs(np.linalg.det(columns)) < 1e-20:
        return None
    distance, first, second = np.linalg.solve(columns, corners[0] - origin)
    met = first >= 0 and second >= 0 and first + second <= 1 and distance > 0
    return float(distance) if met else None
