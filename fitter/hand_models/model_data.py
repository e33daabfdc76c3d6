"""A hand model's arrays as its file describes them, before they are tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fitter.conventions import MIRROR_AXIS_ANGLE
from fitter.hand_models.skeleton import MANO_SKELETON, Skeleton
from fitter.hand_models.uv_layout import UvLayout, mirrored_layout
from fitter.records import Side

_MIRROR_POSITION = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class RestJoints:
    """Joints of the rest pose of a model with J joints and S shape components, float64.

    Attributes:
        template: (J, 3) metres, of the mean shape.
        shapedirs: (J, 3, S) metres, displacement for each unit of a shape coefficient.
    """

    template: np.ndarray
    shapedirs: np.ndarray


@dataclass(frozen=True)
class HandModelData:
    """A hand model as its file describes it. V vertices, F faces, S shape components, J joints of
    which R beside the root rotate, see `skeleton`; 16 and 15 by MANO's definition.

    Floating-point arrays are float64, index arrays int64, lengths metres, angles radians.

    Attributes:
        name: "open_hand", "mano" or "nimble".
        side: which hand the arrays describe.
        v_template: (V, 3) vertices of the rest pose with mean shape.
        faces: (F, 3) vertex indices, counter-clockwise seen from outside.
        shapedirs: (V, 3, S) displacement for each unit of a shape coefficient.
        posedirs: (V, 3, 9 R) displacement for each unit of an element of R_k - I, k = 1..R,
            row-major; None for plain linear blend skinning.
        skin_weights: (V, J) weight of each joint on each vertex.
        joint_regressor: (J, V) rest joints as linear combinations of shaped vertices; None where
            `given_joints` says where they are.
        tip_vertices: vertices taken for the tips of thumb, index, middle, ring, little.
        hands_mean: (3 R,) axis-angle mean pose, relative to the template.
        hands_components: (N, 3 R) pose space, one component in each row, axis-angle.
        layout: texture coordinates, or None where the file has none; `load_hand_model` then gives
            some that are made when they are first asked for (`fitter.hand_models.uv_atlas`).
        sha256: hexadecimal digest of the file the model was read from.
        keypoint_offsets: (21, 3) in the rest frame, order [16 joints, 5 tips]: where the keypoints
            lie that people and detectors mark, relative to the joints and tip vertices, fixed to
            the bones `KEYPOINT_BONES`; None where they coincide, as by MANO's definition.
        skeleton: the tree of its joints.
        keypoint_regressor: (21, V) the keypoints, canonical order, as linear combinations of POSED
            vertices, each row of sum 1; None for those of joints, `tip_vertices` and
            `keypoint_offsets`, which make no keypoints where it is given.
        given_joints: the rest joints of a model whose joints are no combination of its skin's
            vertices, such as NIMBLE's, which lie in its bones; else None.
        appearance_file: the file of the model's own textures, as NIMBLE has one; else None.
    """

    name: str
    side: Side
    v_template: np.ndarray
    faces: np.ndarray
    shapedirs: np.ndarray
    posedirs: np.ndarray | None
    skin_weights: np.ndarray
    joint_regressor: np.ndarray | None
    tip_vertices: tuple[int, ...]
    hands_mean: np.ndarray
    hands_components: np.ndarray
    layout: UvLayout | None
    sha256: str
    keypoint_offsets: np.ndarray | None = None
    skeleton: Skeleton = MANO_SKELETON
    keypoint_regressor: np.ndarray | None = None
    given_joints: RestJoints | None = None
    appearance_file: Path | None = None

    @property
    def rest_joints(self) -> RestJoints:
        """Where the joints rest and how they follow the shape (SMPL eq. 10).

        Raises:
            ValueError: there is not exactly one of `joint_regressor` and `given_joints`.
        """
        regressor, given = self.joint_regressor, self.given_joints
        if given is not None and regressor is None:
            return given
        if given is not None or regressor is None:
            raise ValueError("expected joint_regressor or given_joints, and not both")
        shapedirs = np.einsum("jv,vcs->jcs", regressor, self.shapedirs)
        return RestJoints(regressor @ self.v_template, shapedirs)

    @property
    def uv(self) -> np.ndarray | None:
        """(T, 2) texture coordinates, u to the right and v up, or None.

        Raises:
            InputError: they are to be made, and the joints say nothing of palm and back
                (`model.no_anatomy`).
        """
        return None if self.layout is None else self.layout.uv

    @property
    def uv_faces(self) -> np.ndarray | None:
        """(F, 3) int64 indices into `uv`, or None; raises as `uv` does."""
        return None if self.layout is None else self.layout.faces

    @property
    def identity(self) -> dict[str, str]:
        """What tells the model from others, for the store."""
        return {"name": self.name, "sha256": self.sha256}

    def mirrored(self) -> HandModelData:
        """The model of the other hand: x negated, winding flipped, pose spaces mirrored."""
        rotations = self.skeleton.rotations
        axis_angle = np.tile(MIRROR_AXIS_ANGLE, rotations)
        # A rotation R mirrors to M R M with M = diag(-1, 1, 1), so element (a, b) of R - I, which
        # drives a pose blend shape, changes sign by M_aa M_bb.
        feature = np.tile(np.outer(_MIRROR_POSITION, _MIRROR_POSITION).ravel(), rotations)
        posedirs = self.posedirs
        if posedirs is not None:
            posedirs = posedirs * _MIRROR_POSITION[:, None] * feature
        joints = self.given_joints
        if joints is not None:
            joints = RestJoints(
                joints.template * _MIRROR_POSITION, joints.shapedirs * _MIRROR_POSITION[:, None]
            )
        return replace(
            self,
            side="left" if self.side == "right" else "right",
            v_template=self.v_template * _MIRROR_POSITION,
            faces=np.ascontiguousarray(self.faces[:, ::-1]),
            shapedirs=self.shapedirs * _MIRROR_POSITION[:, None],
            posedirs=posedirs,
            hands_mean=self.hands_mean * axis_angle,
            hands_components=self.hands_components * axis_angle,
            layout=None if self.layout is None else mirrored_layout(self.layout),
            keypoint_offsets=None
            if self.keypoint_offsets is None
            else self.keypoint_offsets * _MIRROR_POSITION,
            given_joints=joints,
        )
