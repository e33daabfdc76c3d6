"""The 21 keypoints of a posed hand together with their analytic Jacobian, finger by finger.

The Levenberg-Marquardt solver needs d(keypoints)/d(parameters) at every iteration. The readable
twin of this module is `skinning.pose_keypoints`; the tests hold the two together.

Every keypoint k is a sum over bones b of vectors that are fixed to the bones,

    x_k = root + sum_b R_b t_kb,    t_kb affine in the shape coefficients,

the root bone's R_0 included (the chain of SMPL eqs. 3-4 and linear blend skinning, multiplied out).
A rotation of joint j with axis a moves x_k by ``a x (sum of R_b t_kb over the bones below j)``.

Tangent vector of one hand, D = 51 + S entries:
    0:3    left-multiplicative increment of the global rotation, R <- exp(delta) R
    3:6    increment of `transl`
    6:-45  increments of the S `betas`
    -45:   increments of the 15 axis-angle vectors of `hand_pose`, MANO's order

Finger layout: axes (5, 5) list the five fingers in MANO's order (index, middle, little, ring,
thumb) and on each the wrist and its four keypoints from palm to tip. A finger's keypoints depend on
the 6 + S common columns and on the C - 6 - S pose columns of that finger alone, 9 of the 45, unless
the model's fingertips also follow other fingers (blend shapes, weights); then C = D.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from fitter.conventions import MODEL_TO_KEYPOINTS, PARENTS
from fitter.hand_models.skinning import KEYPOINT_BONES, KeypointModel
from fitter.hand_models.tangent import GLOBAL, TRANSL, descendants, exp_and_left_jacobian, skew
from fitter.records import HandParams

_BASES = tuple(MODEL_TO_KEYPOINTS.index(3 * finger + 1) for finger in range(5))
FINGER_KEYPOINTS = tuple((0, *range(base, base + 4)) for base in _BASES)
"""(5, 5) canonical keypoint at each place of the finger layout; the wrist is on every finger."""

_FINGERS = tuple((base - 1) // 4 for base in _BASES)
"""(5,) canonical finger, thumb to little, at each row of the finger layout."""

_FINGER_BONES = tuple((0, *range(3 * finger + 1, 3 * finger + 4)) for finger in range(5))
_FINGER_MODEL_POINTS = tuple(
    (*bones, 16 + (keypoints[1] - 1) // 4)
    for bones, keypoints in zip(_FINGER_BONES, FINGER_KEYPOINTS, strict=True)
)
"""(5, 5) entry of [16 joints, tips of thumb to little] at each place of the finger layout."""


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
        common: 6 + S, the number of common columns.
    """

    points: Tensor
    jacobian: Tensor
    common: int

    def pull_back(self, gradient: Tensor, hessian: Tensor) -> tuple[Tensor, Tensor]:
        """Convert derivatives by the points into derivatives by the tangent vector (chain rule).

        Args:
            gradient: (B, 5, 5, 3) of a cost that is a sum over fingers.
            hessian: (B, 5, 5, 3, 5, 3) its Gauss-Newton Hessian, a finger at a time.

        Returns:
            (B, D) gradient and (B, D, D) Gauss-Newton Hessian.
        """
        jacobian = self.jacobian.flatten(2, 3)
        slopes = (gradient.flatten(2)[:, :, None] @ jacobian)[:, :, 0]
        blocks = jacobian.mT @ (hessian.flatten(4).flatten(2, 3) @ jacobian)
        n, batch = self.common, len(gradient)
        if jacobian.shape[-1] == n + 45:
            return slopes.sum(1), blocks.sum(1)

        full = gradient.new_zeros(batch, n + 45, n + 45)
        full[:, :n, :n] = blocks[..., :n, :n].sum(1)
        full[:, n:, :n] = blocks[..., n:, :n].flatten(1, 2)
        full[:, :n, n:] = full[:, n:, :n].mT
        pose = full[:, n:, n:].unflatten(2, (5, 9)).unflatten(1, (5, 9))
        pose.diagonal(dim1=1, dim2=3).copy_(blocks[..., n:, n:].permute(0, 2, 3, 1))
        return torch.cat([slopes[..., :n].sum(1), slopes[..., n:].flatten(1)], -1), full


@dataclass(frozen=True)
class KeypointKinematics:
    """A `KeypointModel` multiplied out into vectors fixed to bones.

    N is the number of bones that move a finger's keypoints: 4 (the root and the finger's own), or
    all 16 where fingertips also follow other fingers.

    Attributes:
        root: (3,) rest position of the root joint of the mean shape, metres.
        root_shapedirs: (3, S).
        template: (5 * N * 3 * 5,) the t_kb of the mean shape, axes (finger, bone, xyz, keypoint).
        shapedirs: (S, 5 * N * 3 * 5) their change for each unit of a shape coefficient.
        shape_columns: (5, N * 3, 5 * S) the same numbers, axes (finger, bone and xyz, keypoint
            and coefficient).
        below: (N, N) entry (j, b) is 1 where bone b hangs on joint j (itself included).
        generators: (3, 9) maps a vector to its flattened cross-product matrix.
        correctives: pose blend shapes of the fingertips, or None.
    """

    root: Tensor
    root_shapedirs: Tensor
    template: Tensor
    shapedirs: Tensor
    shape_columns: Tensor
    below: Tensor
    generators: Tensor
    correctives: _Correctives | None

    @classmethod
    def of(cls, model: KeypointModel) -> Self:
        """Multiply out a model, on its device and dtype."""
        vectors = _fixed_vectors(model)[torch.tensor(_FINGER_MODEL_POINTS)]
        below = descendants(vectors)
        own = torch.tensor(_FINGER_BONES, device=vectors.device)
        fingers = torch.arange(5, device=vectors.device)[:, None]
        separate = vectors.transpose(1, 2)[fingers, own].transpose(1, 2)
        foreign = vectors.count_nonzero() != separate.count_nonzero()
        if not foreign and model.tip_posedirs is None:
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
            correctives=_Correctives.of(model),
        )

    def __call__(self, params: HandParams) -> KeypointJacobian:
        """Pose the keypoints of B hands and differentiate them."""
        batch, shapes = params.betas.shape
        vectors = torch.cat([params.global_orient[:, None], params.hand_pose], 1)
        local, left = exp_and_left_jacobian(vectors, self.generators)
        bones, turns = self._chain(local, left)
        count = bones.shape[2]

        fixed = torch.addmm(self.template, params.betas, self.shapedirs)
        fixed = fixed.view(batch, 5, count, 3, 5)
        if self.correctives is not None:
            moved = self.correctives.displacement(local)
            fixed[..., 4] += self.correctives.weights[..., None] * moved[:, :, None]
        levers = (self.below @ (bones @ fixed).flatten(3)).view(batch, 5, count, 3, 5)
        root = self.root + params.betas @ self.root_shapedirs.T + params.transl
        points = (levers[:, :, 0] + root[:, None, :, None]).mT.contiguous()

        common = 6 + shapes
        jacobian = points.new_empty(batch, 5, 5, 3, common + 3 * (count - 1))
        # Axes (B, finger, joint, xyz, keypoint, component of the increment).
        moved_by = torch.linalg.cross(turns[..., None, :], levers[..., None], dim=3)
        moved_by = moved_by.permute(0, 1, 4, 3, 2, 5)
        jacobian[..., GLOBAL] = moved_by[..., 0, :]
        jacobian[..., TRANSL] = torch.eye(3, dtype=points.dtype, device=points.device)
        jacobian[..., 6:common] = self._betas_derivative(bones)
        jacobian[..., common:] = moved_by[..., 1:, :].flatten(4)
        if self.correctives is not None:
            jacobian[:, :, 4, :, common:] += self.correctives.derivative(local, left, bones)
        return KeypointJacobian(points, jacobian, common)

    def _chain(self, local: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        """World rotations (B, 5, N, 3, 3) of the bones of each finger and, in the columns of
        (B, 5, N, 3, 3), the world axes about which increments rotate them; the first entry of each
        is the root, whose increment is a world rotation itself."""
        batch = local.shape[0]
        # MANO's tree is five fingers of three joints: three steps, five fingers at once.
        own = local[:, 1:].unflatten(1, (5, 3)).unbind(2)
        bones = [local[:, :1].expand(-1, 5, -1, -1)]
        for rotation in own:
            bones.append(bones[-1] @ rotation)
        world = torch.stack(bones, 2)
        turns = world[:, :, :3] @ left[:, 1:].unflatten(1, (5, 3))
        identity = torch.eye(3, dtype=local.dtype, device=local.device)
        if len(self.below) == 4:
            first = identity.expand(batch, 5, 1, 3, 3)
            return world, torch.cat([first, turns], 2)
        first = identity.expand(batch, 1, 3, 3)
        world = torch.cat([local[:, :1], world[:, :, 1:].flatten(1, 2)], 1)
        turns = torch.cat([first, turns.flatten(1, 2)], 1)
        world, turns = (x[:, None].expand(-1, 5, -1, -1, -1) for x in (world, turns))
        return world, turns

    def _betas_derivative(self, bones: Tensor) -> Tensor:
        """(B, 5, 5, 3, S)."""
        batch = bones.shape[0]
        # Fingers are the batch of the product, so that the constant factor is not repeated.
        rows = bones.permute(1, 0, 3, 2, 4).reshape(5, batch * 3, -1)
        moved = (rows @ self.shape_columns).view(5, batch, 3, 5, -1)
        return moved.permute(1, 0, 3, 2, 4) + self.root_shapedirs


@dataclass(frozen=True)
class _Correctives:
    """Pose blend shapes of the fingertips, fingers in MANO's order.

    Attributes:
        posedirs: (5, 3, 135) metres for each element of R_k - I.
        weights: (5, 16) skin weights.
    """

    posedirs: Tensor
    weights: Tensor

    @classmethod
    def of(cls, model: KeypointModel) -> Self | None:
        """Those of a model; None where it has none."""
        if model.tip_posedirs is None:
            return None
        order = torch.tensor([row[4] - 16 for row in _FINGER_MODEL_POINTS])
        return cls(posedirs=model.tip_posedirs[order], weights=model.tip_weights[order])

    def displacement(self, local: Tensor) -> Tensor:
        """(B, 5, 3) metres in the rest frame, local (B, 16, 3, 3)."""
        identity = torch.eye(3, dtype=local.dtype, device=local.device)
        return torch.einsum("vcp,bp->bvc", self.posedirs, (local[:, 1:] - identity).flatten(1))

    def derivative(self, local: Tensor, left: Tensor, bones: Tensor) -> Tensor:
        """(B, 5, 3, 45): what the change of the blend shapes adds to the pose derivative."""
        posedirs = self.posedirs.unflatten(-1, (15, 3, 3))
        # d(local)/d(increment k) = (J_l e_k)^ local, J_l the left Jacobian.
        d_local = skew(left[:, 1:].mT) @ local[:, 1:, None]
        d_rest = torch.einsum("vcjrs,bjkrs->bvcjk", posedirs, d_local).flatten(3)
        return torch.einsum("vj,bvjrc->bvrc", self.weights, bones) @ d_rest


def _fixed_vectors(model: KeypointModel) -> Tensor:
    """(21, 16, 3, 1 + S) the t_kb for all bones, keypoints in the order [16 joints, 5 tips].

    The last axis holds the mean shape, then the change for each unit of a shape coefficient.
    """
    rest = torch.cat([model.joint_template[..., None], model.joint_shapedirs], -1)
    tips = torch.cat([model.tip_template[..., None], model.tip_shapedirs], -1)
    joints = rest.new_zeros(16, *rest.shape)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            joints[joint] = joints[parent]
            joints[joint, parent] += rest[joint] - rest[parent]
    # Linear blend skinning: sum_b w_b (p_b + R_b (x - rest_b)).
    weights = model.tip_weights[..., None, None]
    skinned = (weights[..., None] * joints).sum(1) + weights * (tips[:, None] - rest)
    points = torch.cat([joints, skinned])
    points[range(21), KEYPOINT_BONES, :, 0] += model.keypoint_offsets
    return points
