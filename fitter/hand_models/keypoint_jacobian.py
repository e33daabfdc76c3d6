"""The 21 keypoints of a posed hand together with their analytic Jacobian, finger by finger.

The Levenberg-Marquardt solver needs d(keypoints)/d(parameters) at every iteration. The readable
twin of this module is `skinning.pose_keypoints`; the tests hold the two together.

Every keypoint k is a sum over bones b of vectors that are fixed to the bones,

    x_k = root + sum_b R_b t_kb,    t_kb affine in the shape coefficients,

the root bone's R_0 included (the chain of SMPL eqs. 3-4 and linear blend skinning, multiplied out).
A rotation of joint j with axis a moves x_k by ``a x (sum of R_b t_kb over the bones below j)``.
Where the model has pose blend shapes t_kb also is affine in the elements of its joints' R - I.

The tangent vector is that of `fitter.hand_models.tangent`. The skeleton is `Skeleton.moving`,
M = R + 1 joints all of which rotate.

Finger layout: axes (5, 5) list the five fingers in MANO's order (index, middle, little, ring,
thumb) and on each the wrist and its four keypoints from palm to tip. In a model with MANO's
skeleton a finger's keypoints depend on the 6 + S common columns and on the C - 6 - S pose columns
of that finger alone, 9 of the 45, unless they also follow other fingers (blend shapes, weights);
then, and with any other skeleton, C = D.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from fitter.conventions import MODEL_TO_KEYPOINTS
from fitter.hand_models.keypoint_model import (
    KEYPOINT_BONES,
    KeypointModel,
    RegressedKeypoints,
)
from fitter.hand_models.kinematics import on_moving_joints, world_rotations
from fitter.hand_models.skeleton import MANO_SKELETON, Skeleton
from fitter.hand_models.tangent import (
    GLOBAL,
    TRANSL,
    TangentLayout,
    descendants,
    exp_and_left_jacobian,
    skew,
)
from fitter.records import HandParams

_BASES = tuple(MODEL_TO_KEYPOINTS.index(3 * finger + 1) for finger in range(5))
FINGER_KEYPOINTS = tuple((0, *range(base, base + 4)) for base in _BASES)
"""(5, 5) canonical keypoint at each place of the finger layout; the wrist is on every finger."""

_FINGERS = tuple((base - 1) // 4 for base in _BASES)
"""(5,) canonical finger, thumb to little, at each row of the finger layout."""

_FINGER_BONES = tuple((0, *range(3 * finger + 1, 3 * finger + 4)) for finger in range(5))
_FINGER_TIPS = tuple(keypoints[4] for keypoints in FINGER_KEYPOINTS)
"""(5,) canonical keypoint of the tip at each row of the finger layout."""


def by_finger(keypoints: Tensor) -> Tensor:
    """(B, 21, ...) in canonical order -> (B, 5, 5, ...) in the finger layout."""
    # Slices: an index would be copied to the device in every call, and the host wait for it.
    fingers = keypoints[:, 1:].unflatten(1, (5, 4))
    fingers = torch.stack([fingers[:, finger] for finger in _FINGERS], 1)
    wrist = keypoints[:, None, :1].expand_as(fingers[:, :, :1])
    return torch.cat([wrist, fingers], 2)


def bones_by_finger(bones: Tensor) -> Tensor:
    """(B, 20, ...) in the order of `BONES` -> (B, 5, 4, ...) in the finger layout."""
    fingers = bones.unflatten(1, (5, 4))
    return torch.stack([fingers[:, finger] for finger in _FINGERS], 1)


def in_canonical_order(keypoints: Tensor) -> Tensor:
    """(B, 5, 5, ...) in the finger layout -> (B, 21, ...) in canonical order."""
    rows = [keypoints[:, _FINGERS.index(finger), 1:] for finger in range(5)]
    return torch.cat([keypoints[:, 0, :1], *rows], 1)


class KeypointJacobian(NamedTuple):
    """Keypoints of B hands and how they move, in the finger layout.

    Attributes:
        points: (B, 5, 5, 3) metres, the camera's frame.
        jacobian: (B, 5, 5, 3, C) derivatives by the common columns, then by the pose columns.
        layout: of the tangent vector.
    """

    points: Tensor
    jacobian: Tensor
    layout: TangentLayout

    @property
    def common(self) -> int:
        """6 + S, the number of common columns."""
        return self.layout.common

    def pull_back(self, gradient: Tensor, hessian: Tensor) -> tuple[Tensor, Tensor]:
        """Convert derivatives by the points into derivatives by the tangent vector (chain rule).

        Args:
            gradient: (B, 5, 5, 3) of a cost that is a sum over fingers.
            hessian: (B, 5, 5, 3, 5, 3) its Gauss-Newton Hessian, a finger at a time.

        Returns:
            (B, D) gradient and (B, D, D) Gauss-Newton Hessian.
        """
        jacobian = self.jacobian.flatten(2, 3)
        weighed = hessian.flatten(4).flatten(2, 3) @ jacobian
        n, batch = self.common, len(gradient)
        if jacobian.shape[-1] == self.layout.size:
            rows = jacobian.flatten(1, 2)
            return (gradient.flatten(1)[:, None] @ rows)[:, 0], rows.mT @ weighed.flatten(1, 2)

        slopes = (gradient.flatten(2)[:, :, None] @ jacobian)[:, :, 0]
        blocks = jacobian.mT @ weighed
        full = gradient.new_zeros(batch, self.layout.size, self.layout.size)
        full[:, :n, :n] = blocks[..., :n, :n].sum(1)
        full[:, n:, :n] = blocks[..., n:, :n].flatten(1, 2)
        full[:, :n, n:] = full[:, n:, :n].mT
        pose = full[:, n:, n:].unflatten(2, (5, 9)).unflatten(1, (5, 9))
        pose.diagonal(dim1=1, dim2=3).copy_(blocks[..., n:, n:].permute(0, 2, 3, 1))
        return torch.cat([slopes[..., :n].sum(1), slopes[..., n:].flatten(1)], -1), full


@dataclass(frozen=True)
class KeypointKinematics:
    """A `KeypointModel` multiplied out into vectors fixed to bones.

    N is the number of bones that move a finger's keypoints: 4 (the root and the finger's own) in
    MANO's skeleton, or all M where they also follow other fingers, and in any other skeleton.

    Attributes:
        root: (3,) rest position of the root joint of the mean shape, metres.
        root_shapedirs: (3, S).
        template: (5 * N * 3 * 5,) the t_kb of the mean shape, axes (finger, bone, xyz, keypoint).
        shapedirs: (S, 5 * N * 3 * 5) their change for each unit of a shape coefficient.
        shape_columns: (5, N * 3, 5 * S) the same numbers, axes (finger, bone and xyz, keypoint
            and coefficient).
        below: (N, N) entry (j, b) is 1 where bone b hangs on joint j (itself included).
        generators: (3, 9) maps a vector to its flattened cross-product matrix.
        correctives: pose blend shapes of the keypoints, or None.
        skeleton: the tree of the M joints.
    """

    root: Tensor
    root_shapedirs: Tensor
    template: Tensor
    shapedirs: Tensor
    shape_columns: Tensor
    below: Tensor
    generators: Tensor
    correctives: _Correctives | None
    skeleton: Skeleton

    @classmethod
    def of(cls, model: KeypointModel) -> Self:
        """Multiply out a model, on its device and dtype."""
        vectors = _fixed_vectors(model)[torch.tensor(FINGER_KEYPOINTS)]
        skeleton, correctives = model.skeleton.moving, _correctives_of(model)
        below = descendants(skeleton, vectors)
        if skeleton == MANO_SKELETON and correctives is None:
            separate = _own_bones(vectors)
            if vectors.count_nonzero() == separate.count_nonzero():
                vectors, below = separate, below[:4, :4]
        # (finger, keypoint, bone, xyz, 1 + S)
        by_bone = vectors.permute(4, 0, 2, 3, 1)
        columns = vectors[..., 1:].permute(0, 2, 3, 1, 4)
        basis = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
        return cls(
            root=model.joint_template[0],
            root_shapedirs=model.joint_shapedirs[0],
            template=by_bone[0].flatten(),
            shapedirs=by_bone[1:].flatten(1),
            shape_columns=columns.flatten(3).flatten(1, 2).contiguous(),
            below=below,
            generators=skew(basis).flatten(1),
            correctives=correctives,
            skeleton=skeleton,
        )

    def __call__(self, params: HandParams) -> KeypointJacobian:
        """Pose the keypoints of B hands and differentiate them."""
        batch, layout = len(params.betas), TangentLayout.of(params)
        vectors = torch.cat([params.global_orient[:, None], params.hand_pose], 1)
        local, left = exp_and_left_jacobian(vectors, self.generators)
        bones, turns = self._chain(local, left)
        count = bones.shape[2]

        fixed = torch.addmm(self.template, params.betas, self.shapedirs)
        fixed = fixed.view(batch, 5, count, 3, 5)
        if self.correctives is not None:
            self.correctives.move(fixed, local)
        levers = (self.below @ (bones @ fixed).flatten(3)).view(batch, 5, count, 3, 5)
        root = self.root + params.betas @ self.root_shapedirs.T + params.transl
        points = (levers[:, :, 0] + root[:, None, :, None]).mT.contiguous()

        common = layout.common
        jacobian = points.new_empty(batch, 5, 5, 3, common + 3 * (count - 1))
        # Axes (B, finger, joint, xyz, keypoint, component of the increment).
        moved_by = torch.linalg.cross(turns[..., None, :], levers[..., None], dim=3)
        moved_by = moved_by.permute(0, 1, 4, 3, 2, 5)
        jacobian[..., GLOBAL] = moved_by[..., 0, :]
        jacobian[..., TRANSL] = torch.eye(3, dtype=points.dtype, device=points.device)
        jacobian[..., 6:common] = self._betas_derivative(bones)
        jacobian[..., common:] = moved_by[..., 1:, :].flatten(4)
        if self.correctives is not None:
            d_local = _rotation_derivatives(local, left)
            self.correctives.differentiate(jacobian[..., common:], d_local, bones[:, 0])
        return KeypointJacobian(points, jacobian, layout)

    def _chain(self, local: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        """World rotations (B, 5, N, 3, 3) of the bones of each finger and, in the columns of
        (B, 5, N, 3, 3), the world axes about which increments rotate them; the first entry of each
        is the root, whose increment is a world rotation itself."""
        identity = torch.eye(3, dtype=local.dtype, device=local.device)
        if len(self.below) != 4:
            bones, parents = world_rotations(local, self.skeleton)
            turns = torch.cat([identity.expand_as(local[:, :1]), parents @ left[:, 1:]], 1)
            bones, turns = (x[:, None].expand(-1, 5, -1, -1, -1) for x in (bones, turns))
            return bones, turns
        # MANO's tree is five fingers of three joints: three steps, five fingers at once.
        own = local[:, 1:].unflatten(1, (5, 3)).unbind(2)
        chain = [local[:, :1].expand(-1, 5, -1, -1)]
        for rotation in own:
            chain.append(chain[-1] @ rotation)
        world = torch.stack(chain, 2)
        turns = world[:, :, :3] @ left[:, 1:].unflatten(1, (5, 3))
        first = identity.expand(local.shape[0], 5, 1, 3, 3)
        return world, torch.cat([first, turns], 2)

    def _betas_derivative(self, bones: Tensor) -> Tensor:
        """(B, 5, 5, 3, S)."""
        batch = bones.shape[0]
        # Fingers are the batch of the product, so that the constant factor is not repeated.
        rows = bones.permute(1, 0, 3, 2, 4).reshape(5, batch * 3, -1)
        moved = (rows @ self.shape_columns).view(5, batch, 3, 5, -1)
        return moved.permute(1, 0, 3, 2, 4) + self.root_shapedirs


class _Correctives(Protocol):
    """Pose blend shapes of the keypoints: what they add to the vectors t_kb."""

    def move(self, fixed: Tensor, local: Tensor) -> None:
        """Add the displacement to the vectors (B, 5, M, 3, 5), axes (finger, bone, xyz, keypoint),
        for local rotations (B, M, 3, 3)."""
        ...

    def differentiate(self, by_pose: Tensor, d_local: Tensor, bones: Tensor) -> None:
        """Add what the change of the displacement adds to the derivatives by the pose.

        Args:
            by_pose: (B, 5, 5, 3, 3 R) in the finger layout.
            d_local: (B, R, 9, 3) see `_rotation_derivatives`.
            bones: (B, M, 3, 3) world rotations.
        """
        ...


@dataclass(frozen=True)
class _TipCorrectives:
    """Pose blend shapes of fingertips that are vertices, fingers in MANO's order.

    Attributes:
        posedirs: (5, 3, 9 R) metres for each element of R_k - I.
        weights: (5, M) skin weights.
    """

    posedirs: Tensor
    weights: Tensor

    def move(self, fixed: Tensor, local: Tensor) -> None:
        """See `_Correctives`."""
        moved = torch.einsum("vcp,bp->bvc", self.posedirs, _feature(local))
        fixed[..., 4] += self.weights[..., None] * moved[:, :, None]

    def differentiate(self, by_pose: Tensor, d_local: Tensor, bones: Tensor) -> None:
        """See `_Correctives`."""
        posedirs = self.posedirs.unflatten(-1, (-1, 9))
        d_rest = torch.einsum("vcje,bjek->bvcjk", posedirs, d_local).flatten(3)
        by_pose[:, :, 4] += torch.einsum("vj,bjrc->bvrc", self.weights, bones) @ d_rest


@dataclass(frozen=True)
class _RegressedCorrectives:
    """Pose blend shapes of keypoints that are combinations of vertices, canonical order.

    Attributes:
        posedirs: (3 M, 21 * 9 R) metres for each element of R_k - I; rows by bone and xyz.
        fixed: (9 R, 5 * M * 3 * 5) the same numbers in the layout of the vectors t_kb.
    """

    posedirs: Tensor
    fixed: Tensor

    @classmethod
    def of(cls, keypoints: RegressedKeypoints, skeleton: Skeleton) -> Self | None:
        """Those of a model's keypoints; None where it has none."""
        if keypoints.posedirs is None:
            return None
        # (keypoint, bone, xyz, element)
        by_bone = on_moving_joints(keypoints.posedirs, skeleton, dim=1)
        fixed = by_bone[torch.tensor(FINGER_KEYPOINTS)].permute(4, 0, 2, 3, 1)
        return cls(
            posedirs=by_bone.permute(1, 2, 0, 3).flatten(2).flatten(0, 1).contiguous(),
            fixed=fixed.flatten(1).contiguous(),
        )

    def move(self, fixed: Tensor, local: Tensor) -> None:
        """See `_Correctives`."""
        fixed += (_feature(local) @ self.fixed).view_as(fixed)

    def differentiate(self, by_pose: Tensor, d_local: Tensor, bones: Tensor) -> None:
        """See `_Correctives`."""
        batch, joints = d_local.shape[:2]
        # (B, 3, 3 M) @ (3 M, 21 * 9 R): what an element of R - I moves, in the world.
        turned = bones.permute(0, 2, 1, 3).flatten(2) @ self.posedirs
        turned = turned.view(batch, 3, 21, joints, 9).permute(0, 3, 2, 1, 4).flatten(2, 3)
        moved = (turned @ d_local).view(batch, joints, 21, 3, 3).permute(0, 2, 3, 1, 4)
        by_pose += by_finger(moved.flatten(3))


def _correctives_of(model: KeypointModel) -> _Correctives | None:
    """The pose blend shapes of a model's keypoints; None where it has none."""
    if model.regressed is not None:
        return _RegressedCorrectives.of(model.regressed, model.skeleton)
    if model.tip_posedirs is None:
        return None
    order = torch.tensor([MODEL_TO_KEYPOINTS[tip] - 16 for tip in _FINGER_TIPS])
    weights = on_moving_joints(model.tip_weights, model.skeleton, dim=1)
    return _TipCorrectives(model.tip_posedirs[order], weights[order])


def _feature(local: Tensor) -> Tensor:
    """(B, 9 R) the elements of R - I of local rotations (B, M, 3, 3)."""
    identity = torch.eye(3, dtype=local.dtype, device=local.device)
    return (local[:, 1:] - identity).flatten(1)


def _rotation_derivatives(local: Tensor, left: Tensor) -> Tensor:
    """(B, R, 9, 3) derivatives of the elements of the rotations by their increments:
    d(local)/d(increment k) = (J_l e_k)^ local, J_l the left Jacobian."""
    return (skew(left[:, 1:].mT) @ local[:, 1:, None]).flatten(3).mT


def _own_bones(vectors: Tensor) -> Tensor:
    """(5, 5, 4, 3, 1 + S) the vectors that are fixed to the root and the finger's own bones, of
    MANO's (5, 5, 16, 3, 1 + S)."""
    own = torch.tensor(_FINGER_BONES, device=vectors.device)
    fingers = torch.arange(5, device=vectors.device)[:, None]
    return vectors.transpose(1, 2)[fingers, own].transpose(1, 2)


def _fixed_vectors(model: KeypointModel) -> Tensor:
    """(21, M, 3, 1 + S) the t_kb for all bones that rotate, keypoints in canonical order.

    The last axis holds the mean shape, then the change for each unit of a shape coefficient.
    """
    rest = torch.cat([model.joint_template[..., None], model.joint_shapedirs], -1)
    joints = rest.new_zeros(len(rest), *rest.shape)
    for joint, parent in enumerate(model.skeleton.parents):
        if parent >= 0:
            joints[joint] = joints[parent]
            joints[joint, parent] += rest[joint] - rest[parent]
    regressed = model.regressed
    if regressed is not None:
        # sum_b W_kb p_b + R_b (a_kb - W_kb rest_b), see `RegressedKeypoints`.
        fixed = torch.cat([regressed.template[..., None], regressed.shapedirs], -1)
        weights = regressed.weights[..., None, None]
        points = (weights[..., None] * joints).sum(1) + (fixed - weights * rest)
        return on_moving_joints(points, model.skeleton, dim=1)
    tips = torch.cat([model.tip_template[..., None], model.tip_shapedirs], -1)
    # Linear blend skinning: sum_b w_b (p_b + R_b (x - rest_b)).
    weights = model.tip_weights[..., None, None]
    skinned = (weights[..., None] * joints).sum(1) + weights * (tips[:, None] - rest)
    points = torch.cat([joints, skinned])
    points[range(21), KEYPOINT_BONES, :, 0] += model.keypoint_offsets
    return on_moving_joints(points[list(MODEL_TO_KEYPOINTS)], model.skeleton, dim=1)
