"""Annotated hands as parameters that a hand model takes."""

from __future__ import annotations

import torch

from datasets.annotations import ManoAnnotation, ModelParameters
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from fitter.hand_models.skeleton import MANO_SKELETON
from fitter.hand_models.skinning import HandModel
from fitter.records import HandParams


def hand_params(mano: ManoAnnotation, model: HandModel) -> HandParams:
    """The parameters with which a MANO model poses an annotated hand.

    The vertices of `model` for them are the annotated hand's in the camera, once multiplied by
    `mano.scale` about the origin of the posed model where that is not 1.

    Args:
        mano: of the data set.
        model: MANO of the hand's side, read with `fix_left_shapedirs` as `mano.fixed_left` says.

    Returns:
        One hand, in the model's dtype: the pose relative to the flat hand, `transl` in metres.

    Raises:
        ValueError: the model has other joints than MANO's.
    """
    if model.skeleton != MANO_SKELETON:
        raise ValueError(f"expected MANO's joints, found those of {model.data.name}")

    def row(values: object) -> torch.Tensor:
        return torch.as_tensor(values).to(model.v_template)[None]

    pose = row(mano.hand_pose)
    if mano.pose_space == "pca":
        hand_pose = model.pose_from_pca(pose, flat_hand_mean=False)
    else:
        hand_pose = model.pose_from_full(pose, flat_hand_mean=mano.pose_space == "flat")
    transl = row(mano.translation)
    if mano.root_rotation is not None:
        # A hand turns about j0, which is to come to A j0.
        root = model.rest_joints(row(mano.betas))[:, 0]
        transl = transl + root @ row(mano.root_rotation)[0].T - root
    params = HandParams(row(mano.global_orient), hand_pose, row(mano.betas), transl)
    if mano.placed_keypoint is None:
        return params
    # Posed where its translation is the wanted place, the keypoint is off by what is subtracted.
    posed = KeypointDefinition.of(model, "mano").keypoints(params)
    return HandParams(
        params.global_orient,
        params.hand_pose,
        params.betas,
        transl + transl - posed[:, mano.placed_keypoint],
    )


def own_params(parameters: ModelParameters) -> HandParams:
    """One hand, float64, for the model that `parameters` names; a left hand's for its left one."""
    values = (
        parameters.global_orient,
        parameters.hand_pose,
        parameters.betas,
        parameters.translation,
    )
    return HandParams(*(torch.from_numpy(value)[None] for value in values))
