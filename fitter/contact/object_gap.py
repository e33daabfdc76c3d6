"""How far a hand is from the objects beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fitter.contact.distance import signed_distance
from fitter.contact.records import PosedObject, Surface


def object_gap(vertices: np.ndarray, faces: Tensor, objects: Sequence[PosedObject]) -> float:
    """Between a hand and the nearest of some objects, measured from the vertices of either.

    Args:
        vertices: (V, 3) metres, of the hand, in the frame of the objects.
        faces: (F, 3) int64 of the hand, closed, on the CPU.
        objects: closed, at least one.

    Returns:
        Metres; negative where they are in each other, by how much their deepest vertex is.

    Raises:
        InputError: `contact.open`, a mesh has an open edge.
    """
    hand = Surface(torch.from_numpy(np.asarray(vertices, np.float64))[None], faces)
    gaps = []
    for posed in objects:
        thing = Surface(torch.from_numpy(posed.vertices)[None], torch.from_numpy(posed.mesh.faces))
        for one, other in ((hand, thing), (thing, hand)):
            gaps.append(signed_distance(one.vertices, other).distance.amin())
    return float(torch.stack(gaps).amin())
