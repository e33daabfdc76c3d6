"""Numba kernel: which vertices of a hand are inside another part of it.

Numba compiles a kernel again when its own file changed. After a change of `fitter.contact.kernels`
delete the `.nbi` files in `__pycache__`.
"""

from __future__ import annotations

import numpy as np

from fitter.contact.kernels import (
    box_tree,
    column_of,
    crossing,
    direction_to,
    grid_columns,
    nearest_face,
)
from fitter.numba_kernels import compile_kernel


@compile_kernel
def fill_self(
    vertices: np.ndarray,
    faces: np.ndarray,
    skin: int,
    bone: np.ndarray,
    counted: np.ndarray,
    found: tuple,
) -> None:
    """Where a hand's vertices (V, 3) are in other parts of it, see `fitter.contact.parts`.

    `faces` are `skin` ones of the hand and then lids; `bone` (V,) and `counted` are as there, and
    `found` as in `fill_nearest`.
    """
    face, weights, normal = found
    low, per_metre, start, item = grid_columns(vertices, faces)
    inside = np.zeros(len(vertices), np.bool_)
    for v in range(len(vertices)):
        if bone[v] < 0:
            continue
        cell = column_of(vertices[v], low, per_metre)
        winding = 0
        for place in range(start[cell], start[cell + 1]):
            if counted[bone[v], item[place]]:
                winding += crossing(vertices[v], vertices, faces[item[place]])
        inside[v] = winding > 0
    if not inside.any():
        return
    tree, guess = box_tree(vertices, faces[:skin]), -1
    stack = (np.empty(64, np.int64), np.empty(64))
    for v in range(len(vertices)):
        if not inside[v]:
            continue
        place, second, third = nearest_face(
            vertices[v], tree, counted[bone[v]], np.inf, guess, stack
        )
        if place < 0:
            continue
        guess, f = place, tree[0][place]
        face[v] = f
        weights[v, 0], weights[v, 1], weights[v, 2] = 1.0 - second - third, second, third
        direction_to(vertices[v], vertices, faces[f], weights[v], True, normal[v])
