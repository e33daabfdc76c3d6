"""Known objects in the hands of `tests.support.refine_scenes`."""

from __future__ import annotations

import numpy as np
import trimesh

from fitter.contact import ObjectMesh, PosedObject
from fitter.energies.known_objects import KnownObjects
from fitter.refinement.scene import SceneModel


def ball_at(place: tuple[float, float, float], radius: float = 0.02) -> PosedObject:
    """A ball."""
    mesh = trimesh.creation.icosphere(2, radius)
    known = ObjectMesh("ball", np.array(mesh.vertices), np.array(mesh.faces, np.int64))
    return PosedObject(known, np.eye(3), np.array(place))


def balls_in(model: SceneModel, count: int) -> KnownObjects:
    """A ball in the middle of each hand."""
    things = [[ball_at((0.005 * k, 0.0, 0.5))] for k in range(count)]
    return KnownObjects.of(things, [False] * count, model.closed_faces)
