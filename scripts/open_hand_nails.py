"""Find MakeHuman's modelled fingernails: plates that a crease divides from the finger's skin."""

from collections import defaultdict

import numpy as np
from open_hand_parts import unit

CREASE = np.deg2rad(8.0)
"""Edges more concave than this bound a nail."""
PLATE_CURVATURE = np.deg2rad(50.0)
"""Largest angle between a nail's faces and the nail's mean normal."""
SEED_SPAN = (0.55, 0.8)
"""Where, from the last joint to the tip, the middle of a nail is searched for."""


def nail_mask(
    vertices: np.ndarray,
    faces: np.ndarray,
    last_joints: np.ndarray,
    tips: np.ndarray,
    backs: np.ndarray,
) -> np.ndarray:
    """Share (V,) in 0 to 1 of the faces around each vertex that belong to a nail.

    Args:
        vertices: (V, 3) of the flat hand.
        faces: (F, 3).
        last_joints: (5, 3) joints before the tips.
        tips: (5, 3) fingertips in the same order.
        backs: (5, 3) unit directions out of the backs of the last segments, to about 30 degrees.
    """
    centres = vertices[faces].mean(1)
    first, second = (vertices[faces[:, k]] - vertices[faces[:, 0]] for k in (1, 2))
    normals = unit(np.cross(first, second))
    folds = _signed_folds(faces, centres, normals)
    nails: set[int] = set()
    for joint, tip, back in zip(last_joints, tips, backs, strict=True):
        length = np.linalg.norm(tip - joint)
        along = (tip - joint) / length
        offset = centres - joint
        place = offset @ along / length
        near = (place > SEED_SPAN[0]) & (place < SEED_SPAN[1])
        near &= np.linalg.norm(offset, axis=1) < 1.3 * length
        height = offset @ back - np.abs(offset @ np.cross(along, back))
        seed = int(np.where(near, height, -np.inf).argmax())
        plate = _flood(seed, folds, normals, normals[seed])
        nails |= _flood(seed, folds, normals, unit(normals[list(plate)].sum(0)))
    around = np.bincount(faces.ravel(), minlength=len(vertices))
    nail_faces = faces[sorted(nails)]
    return np.bincount(nail_faces.ravel(), minlength=len(vertices)) / around


def _signed_folds(
    faces: np.ndarray, centres: np.ndarray, normals: np.ndarray
) -> dict[int, list[tuple[int, float]]]:
    """Neighbours of every face and the angle of the edge between them, concave positive."""
    edges = defaultdict(list)
    for face, corners in enumerate(faces):
        for a, b in zip(corners, np.roll(corners, -1), strict=True):
            edges[min(a, b), max(a, b)].append(face)
    folds = defaultdict(list)
    for i, j in edges.values():
        angle = np.arccos(np.clip(normals[i] @ normals[j], -1, 1))
        angle *= np.sign(normals[i] @ (centres[j] - centres[i]))
        folds[i].append((j, angle))
        folds[j].append((i, angle))
    return folds


def _flood(
    seed: int, folds: dict[int, list[tuple[int, float]]], normals: np.ndarray, out: np.ndarray
) -> set[int]:
    """Faces that are reached from `seed` without crossing a crease or the plate's end."""
    seen, front = {seed}, [seed]
    while front:
        for face, angle in folds[front.pop()]:
            if face in seen or angle > CREASE or normals[face] @ out < np.cos(PLATE_CURVATURE):
                continue
            seen.add(face)
            front.append(face)
    return seen
