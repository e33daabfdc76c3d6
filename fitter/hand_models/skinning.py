"""The skinning core: one differentiable layer that poses every hand model.

The function is SMPL's (Loper et al. 2015, "SMPL: A Skinned Multi-Person Linear Model", eqs. 2-10),
with the skeleton and pose space of the model, MANO's (Romero et al. 2017, "Embodied Hands",
eqs. 1-3) or another:

    T(beta, theta) = T_bar + B_S(beta) + B_P(theta)                 template and blend shapes
    W(T, J, theta, w)_i = sum_k w_ki G'_k(theta, J(beta)) T_i       linear blend skinning

where G_k is the product of the rigid transforms from the root to joint k and G'_k is G_k with the
rest pose's transform removed.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fitter.hand_models.keypoint_model import (
    Chain,
    KeypointModel,
    RegressedKeypoints,
    displacement,
    local_rotations,
    marked_keypoints,
    pose_points,
)
from fitter.hand_models.model_data import HandModelData
from fitter.hand_models.skeleton import MANO_SKELETON, Skeleton
from fitter.records import HandMesh, HandParams
from fitter.shapes import check_shapes


class HandModel(torch.nn.Module):
    """A differentiable hand: parameters in, mesh out, batch first.

    The model's arrays are buffers that follow `Module.to` but stay out of `state_dict`, so that a
    checkpoint of a network that contains a hand never carries a licensed model.

    Attributes:
        data: the model as read, float64.
        faces: (F, 3) int64.
        v_template, shapedirs, posedirs, skin_weights, hands_mean, hands_components: as in
            `HandModelData`, in the module's dtype.
        joint_template: (J, 3) rest joints of the mean shape, metres.
        joint_shapedirs: (J, 3, S).
        tip_vertices: (5,) int64, thumb to little.
        keypoint_offsets: (21, 3) metres, see `HandModelData`; zeros where that has None.
        keypoint_regressor: (21, V) see `HandModelData`, or None.
    """

    faces: Tensor
    v_template: Tensor
    shapedirs: Tensor
    posedirs: Tensor | None
    skin_weights: Tensor
    hands_mean: Tensor
    hands_components: Tensor
    joint_template: Tensor
    joint_shapedirs: Tensor
    tip_vertices: Tensor
    keypoint_offsets: Tensor
    keypoint_regressor: Tensor | None

    def __init__(self, data: HandModelData, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        if data.keypoint_regressor is None and data.skeleton != MANO_SKELETON:
            raise ValueError("a skeleton other than MANO's needs a keypoint_regressor")
        self.data = data
        # Joints are linear in the shape, so they are regressed here, once (SMPL eq. 10).
        joints, offsets = data.rest_joints, data.keypoint_offsets
        floating = {
            "v_template": data.v_template,
            "shapedirs": data.shapedirs,
            "posedirs": data.posedirs,
            "skin_weights": data.skin_weights,
            "hands_mean": data.hands_mean,
            "hands_components": data.hands_components,
            "joint_template": joints.template,
            "joint_shapedirs": joints.shapedirs,
            "keypoint_offsets": np.zeros((21, 3)) if offsets is None else offsets,
            "keypoint_regressor": data.keypoint_regressor,
        }
        for name, array in floating.items():
            value = None if array is None else torch.as_tensor(array, dtype=dtype).contiguous()
            self.register_buffer(name, value, persistent=False)
        for name, indices in {"faces": data.faces, "tip_vertices": data.tip_vertices}.items():
            self.register_buffer(
                name, torch.tensor(np.asarray(indices, np.int64)), persistent=False
            )

    @property
    def skeleton(self) -> Skeleton:
        """The tree of the model's J joints, R of which rotate beside the root."""
        return self.data.skeleton

    def forward(self, params: HandParams) -> HandMesh:
        """Pose the hand.

        Args:
            params: B hands; `betas` may have fewer components than the model, the rest are zero.

        Returns:
            Vertices, joints and keypoints in metres; differentiable in every field of `params`,
            also at zero rotation.

        Raises:
            InputError: `betas` has more components than the model.
            ValueError: another field of `params` has the wrong shape.
        """
        check_shapes(
            global_orient=(params.global_orient, ("B", 3)),
            hand_pose=(params.hand_pose, ("B", self.skeleton.rotations, 3)),
            betas=(params.betas, ("B", "S")),
            transl=(params.transl, ("B", 3)),
        )
        rest_joints = self.rest_joints(params.betas)
        chain = Chain.of(rest_joints, local_rotations(params), self.skeleton)
        vertices = pose_points(
            self.v_template + displacement(self.shapedirs, params.betas),
            self.posedirs,
            self.skin_weights,
            chain,
        )
        transl = params.transl[:, None]
        vertices, joints = vertices + transl, chain.joints + transl
        if self.keypoint_regressor is not None:
            return HandMesh(vertices, joints, self.keypoint_regressor @ vertices)
        tips = vertices.index_select(1, self.tip_vertices)
        keypoints = marked_keypoints(joints, tips, chain, self.keypoint_offsets)
        return HandMesh(vertices, joints, keypoints)

    def rest_joints(self, betas: Tensor) -> Tensor:
        """(B, J, 3) joints of the rest pose in metres, for shapes (B, S) (SMPL eq. 10)."""
        return self.joint_template + displacement(self.joint_shapedirs, betas)

    def pose_from_pca(self, coefficients: Tensor, flat_hand_mean: bool) -> Tensor:
        """`HandParams.hand_pose` (B, R, 3) of coefficients (B, n) in the model's pose space.

        The first n components are used, n = 1..N. With `flat_hand_mean` zero is the template,
        without it zero is the mean pose.
        """
        components = self.hands_components[: coefficients.shape[1]]
        return self.pose_from_full(coefficients @ components, flat_hand_mean)

    def pose_from_full(self, pose: Tensor, flat_hand_mean: bool) -> Tensor:
        """`HandParams.hand_pose` (B, R, 3) of a data set's axis-angle pose (B, 3 R).

        With `flat_hand_mean` the pose is relative to the template, as ours is; without it, to the
        mean pose, which is added here.

        Raises:
            ValueError: the pose is not one of this model's R joints.
        """
        check_shapes(pose=(pose, ("B", 3 * self.skeleton.rotations)))
        return (pose if flat_hand_mean else pose + self.hands_mean).unflatten(1, (-1, 3))

    def keypoint_model(self) -> KeypointModel:
        """The part of this model that joints and keypoints depend on (shares no memory)."""
        tips = self.tip_vertices
        return KeypointModel(
            joint_template=self.joint_template.clone(),
            joint_shapedirs=self.joint_shapedirs.clone(),
            tip_template=self.v_template[tips],
            tip_shapedirs=self.shapedirs[tips],
            tip_weights=self.skin_weights[tips],
            tip_posedirs=None if self.posedirs is None else self.posedirs[tips],
            keypoint_offsets=self.keypoint_offsets.clone(),
            skeleton=self.skeleton,
            regressed=self._regressed_keypoints(),
        )

    def _regressed_keypoints(self) -> RegressedKeypoints | None:
        """The keypoints that are combinations of vertices, multiplied out in double precision."""
        if self.data.keypoint_regressor is None:
            return None
        data, like = self.data, self.v_template
        # c_kv w_vj of keypoints k, vertices v and joints j; few of a regressor's rows are dense.
        regressor, weights = torch.tensor(data.keypoint_regressor), torch.tensor(data.skin_weights)
        shares = (regressor[:, None] * weights.T).flatten(0, 1)

        def shared(array: np.ndarray) -> Tensor:
            """(V, ...) -> (21, J, ...)."""
            product = shares @ torch.tensor(array).flatten(1)
            return product.view(len(regressor), -1, *array.shape[1:]).to(like)

        return RegressedKeypoints(
            weights=(regressor @ weights).to(like),
            template=shared(data.v_template),
            shapedirs=shared(data.shapedirs),
            posedirs=None if data.posedirs is None else shared(data.posedirs),
        )

    def mirrored(self) -> HandModel:
        """The model of the other hand, same dtype and device.

        ``model.mirrored()(params.mirrored())`` is ``model(params)`` with x negated.
        """
        model = HandModel(self.data.mirrored(), self.v_template.dtype)
        return model.to(self.v_template.device)
