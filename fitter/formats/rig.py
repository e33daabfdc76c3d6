"""A hand as animation programs take it: the mesh of the rest pose, a skeleton, and its pose.

The rest mesh is the fitted one without its pose, so that linear blend skinning (SMPL eq. 2) of it
gives the fitted vertices back. Whatever else moved them is carried into the rest pose: offsets that
were fitted, and the pose blend shapes of MANO and NIMBLE, which are baked in as they are at the
fitted pose. In another pose those stay as they were at the fitted one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from fitter.hand_models.model_data import HandModelData
from fitter.hand_models.skeleton import Skeleton
from fitter.store.schema import HandRow

_LEAST_STRETCH = 1e-3
"""Singular value of a vertex's blended rotation below which it cannot be undone. Between bones that
are rotated against each other by nearly 180 degrees the blend shrinks a vertex's surroundings to
a line; what would have to grow by more than 1,000 across it stays out of the rest mesh."""


@dataclass(frozen=True)
class Rig:
    """A skeleton with J joints, the mesh of V vertices around it at rest, and one pose of it.

    Attributes:
        skeleton: the tree of joints.
        rest_vertices: (V, 3) float64 metres, the frame of the hand model.
        rest_joints: (J, 3) float64 metres, the same frame.
        rotations: (J, 3, 3) float64 of each joint relative to its parent, the root's relative to
            the camera; the identity at rest.
        transl: (3,) metres, added to all; the hand turns about its root joint.
        weights: (V, J) float64 skin weights that sum to 1.
    """

    skeleton: Skeleton
    rest_vertices: np.ndarray
    rest_joints: np.ndarray
    rotations: np.ndarray
    transl: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, data: HandModelData, row: HandRow, vertices: np.ndarray) -> Rig:
        """The rig of a fitted hand.

        Args:
            data: the model of the hand's side.
            row: its parameters.
            vertices: (V, 3) of the fitted mesh, metres, camera frame.
        """
        assert row.betas is not None and row.transl is not None
        betas = row.betas.astype(np.float64)
        shaped = data.v_template + data.shapedirs[:, :, : len(betas)] @ betas
        resting = data.rest_joints
        weights = data.skin_weights / data.skin_weights.sum(axis=1, keepdims=True)
        rig = cls(
            skeleton=data.skeleton,
            rest_vertices=shaped,
            rest_joints=resting.template + resting.shapedirs[:, :, : len(betas)] @ betas,
            rotations=local_rotations(data.skeleton, row),
            transl=row.transl.astype(np.float64),
            weights=weights,
        )
        return rig._through(vertices)

    def posed(self) -> np.ndarray:
        """(V, 3) metres, camera frame: what a viewer shows."""
        transforms = self._blended()
        rotated = (transforms[..., :3] @ self.rest_vertices[..., None])[..., 0]
        return rotated + transforms[..., 3] + self.transl

    def world(self) -> tuple[np.ndarray, np.ndarray]:
        """(J, 3, 3) rotations and (J, 3) joints in the camera's axes, without `transl`."""
        rotations, joints = self.rotations.copy(), self.rest_joints.copy()
        for joint, parent in enumerate(self.skeleton.parents):
            if parent >= 0:
                bone = self.rest_joints[joint] - self.rest_joints[parent]
                joints[joint] = joints[parent] + rotations[parent] @ bone
                rotations[joint] = rotations[parent] @ self.rotations[joint]
        return rotations, joints

    def _blended(self) -> np.ndarray:
        """(V, 3, 4) the rigid motion of each vertex's bones, blended by its weights."""
        rotations, joints = self.world()
        shifts = joints - (rotations @ self.rest_joints[..., None])[..., 0]
        motions = np.concatenate([rotations, shifts[..., None]], axis=-1)
        return np.einsum("vj,jab->vab", self.weights, motions)

    def _through(self, vertices: np.ndarray) -> Rig:
        """The rig whose posed vertices are these."""
        missing = vertices.astype(np.float64) - self.posed()
        undone = np.linalg.pinv(self._blended()[..., :3], rcond=_LEAST_STRETCH)
        moved = self.rest_vertices + (undone @ missing[..., None])[..., 0]
        return Rig(
            self.skeleton, moved, self.rest_joints, self.rotations, self.transl, self.weights
        )


def local_rotations(skeleton: Skeleton, row: HandRow) -> np.ndarray:
    """(J, 3, 3); joints that do not rotate keep the identity."""
    assert row.global_orient is not None and row.hand_pose is not None
    rotations = np.tile(np.eye(3), (skeleton.count, 1, 1))
    vectors = np.concatenate([row.global_orient[None], row.hand_pose]).astype(np.float64)
    rotations[[0, *skeleton.rotating]] = Rotation.from_rotvec(vectors).as_matrix()
    return rotations
