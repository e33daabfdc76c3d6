"""The parts of a hand model that may not be in each other."""

from __future__ import annotations

from fitter.contact import HandParts, closed
from fitter.hand_models.kinematics import on_moving_joints
from fitter.hand_models.skinning import HandModel


def hand_parts(model: HandModel) -> HandParts:
    """The parts of a model's mesh, its wrist closed, one for each bone that moves.

    Raises:
        InputError: `contact.not_manifold`, the mesh cannot be closed.
    """
    weights = on_moving_joints(model.skin_weights, model.skeleton, dim=1)
    faces = closed(model.faces, len(model.v_template))
    return HandParts.of(faces, model.v_template, weights, model.skeleton.moving.parents)
