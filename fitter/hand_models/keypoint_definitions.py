"""What the 21 keypoints are that a user gets: of a fitted hand, in the definition he asks for.

A detector's marks are no joints: MediaPipe puts the wrist 13 mm toward the fingers and the tips
short of the fingers' ends. The fit compares its own keypoints with the marks; what is stored as
`keypoints_3d` may be something else.

    mediapipe   what the fit compares with the detector's marks: joints and fingertip vertices with
                the model's keypoint offsets, where it has some (the open hand has, MANO has none)
    mano        the posed joints, and the fingertip vertices of smplx
    openpose    the same: what public code takes for OpenPose's keypoints on MANO
    freihand    the joint regressor applied to the posed vertices, and FreiHAND's fingertip vertices
    ho3d        the posed joints, and HO-3D's fingertip vertices

Vertices are those of `fitter.conventions.FINGERTIP_VERTICES`, which are MANO's. Another mesh has no
such numbers, and nothing says which of its vertices corresponds to which of MANO's: there its own
fingertip vertices stand for all of them. A model whose keypoints are combinations of its vertices
(`HandModelData.keypoint_regressor`) has these keypoints in every definition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from fitter.conventions import (
    FINGERTIP_VERTICES,
    MODEL_TO_KEYPOINTS,
    KeypointDefinitionName,
)
from fitter.hand_models.keypoint_model import KeypointModel, pose_keypoints
from fitter.hand_models.skinning import HandModel
from fitter.records import HandParams

_TIPS = {"mano": "smplx", "openpose": "smplx", "freihand": "freihand", "ho3d": "ho3d"}
"""The rows of `FINGERTIP_VERTICES`."""

_MANO_VERTICES = 778


@dataclass(frozen=True)
class KeypointDefinition:
    """A definition of keypoints on one right-hand model.

    Attributes:
        name: of the definition.
        reduced: the joints and fingertips that it is made of.
        mesh: the model where joints are regressed from its posed vertices, else None.
        regressor: (16, V) of those joints, or None.
    """

    name: KeypointDefinitionName
    reduced: KeypointModel
    mesh: HandModel | None = None
    regressor: Tensor | None = None

    @classmethod
    def of(cls, model: HandModel, name: KeypointDefinitionName) -> Self:
        """A definition on a model, on its device and in its dtype."""
        reduced = model.keypoint_model()
        if name == "mediapipe" or reduced.regressed is not None:
            return cls(name, reduced)
        tips = fingertips(model, name)
        posedirs = model.posedirs
        reduced = replace(
            reduced,
            tip_template=model.v_template[tips],
            tip_shapedirs=model.shapedirs[tips],
            tip_weights=model.skin_weights[tips],
            tip_posedirs=None if posedirs is None else posedirs[tips],
            keypoint_offsets=torch.zeros_like(reduced.keypoint_offsets),
        )
        if name != "freihand":
            return cls(name, reduced)
        # A model without one has a regressor of keypoints, and is done above.
        assert model.data.joint_regressor is not None
        regressor = torch.as_tensor(model.data.joint_regressor).to(model.v_template)
        return cls(name, reduced, model, regressor)

    def keypoints(self, params: HandParams) -> Tensor:
        """(B, 21, 3) keypoints of right hands in canonical order, metres, in the frame that
        `params` put them in."""
        if self.mesh is None or self.regressor is None:
            return pose_keypoints(self.reduced, params)[1]
        return self.keypoints_of(self.mesh(params).vertices)

    def keypoints_of(self, vertices: Tensor) -> Tensor:
        """(B, 21, 3) of posed vertices (B, V, 3) of either side, in a definition that is made of
        them alone: "freihand" on a model with a joint regressor."""
        assert self.mesh is not None and self.regressor is not None
        tips = vertices[:, fingertips(self.mesh, self.name)]
        points = torch.cat([self.regressor @ vertices, tips], dim=1)
        return points[:, list(MODEL_TO_KEYPOINTS)]


def fingertips(model: HandModel, name: KeypointDefinitionName) -> Tensor:
    """(5,) int64 vertices of a model that are a definition's fingertips, from the thumb on."""
    tips = model.tip_vertices
    if name == "mediapipe" or len(model.v_template) != _MANO_VERTICES:
        return tips
    return torch.tensor(FINGERTIP_VERTICES[_TIPS[name]], device=tips.device)
