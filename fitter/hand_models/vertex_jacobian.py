"""The vertices of a posed hand together with what their analytic derivatives are made of.

A silhouette depends on a few hundred vertices, others in each iteration. So no Jacobian of every
vertex is computed, only the vertices and the motion of the skeleton; `SurfaceJacobian.rows` makes
of these the derivatives of the vertices that count. The readable twin is `HandModel.forward`; the
tests hold the two together. Tangent vectors are those of `fitter.hand_models.tangent`.

The skeleton here is `Skeleton.moving`, M = R + 1 joints all of which rotate: what follows a joint
that does not is part of the bone that carries it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from fitter.hand_models.kinematics import on_moving_joints, world_rotations
from fitter.hand_models.skeleton import Skeleton
from fitter.hand_models.skinning import HandModel
from fitter.hand_models.tangent import TangentLayout, descendants, exp_and_left_jacobian, skew
from fitter.records import HandParams


class SurfaceJacobian(NamedTuple):
    """Vertices of B hands and how they move.

    Linear blend skinning (SMPL eq. 2) says ``x_v = transl + sum_j w_vj (R_j t_v + s_j)`` with t_v
    the vertex of the rest pose. A rotation of joint k with axis a moves x_v by ``a x lever_vk``,

        lever_vk = sum over the bones j on joint k of w_vj (R_j t_v + s_j - p_k).

    Attributes:
        vertices: (B, V, 3) metres, the camera's frame.
        rest: (B, V, 3) metres, t_v: shaped, and with pose blend shapes, but not posed.
        bones: (B, M, 3, 3) R_j, world rotations.
        shifts: (B, M, 3, 1 + S) metres, s_j, then its change for each unit of a coefficient.
        joints: (B, M, 3) metres, p_k, without `transl`.
        turns: (B, M, 3, 3) world axes, in columns, about which increments rotate each joint.
        local_change: (B, R, 9, 3) derivatives of the R rotations of the fingers' joints, which
            pose blend shapes follow, by their increments; None without such shapes.
        model: the hand model.
    """

    vertices: Tensor
    rest: Tensor
    bones: Tensor
    shifts: Tensor
    joints: Tensor
    turns: Tensor
    local_change: Tensor | None
    model: SurfaceKinematics

    @property
    def layout(self) -> TangentLayout:
        """Of the tangent vector."""
        return TangentLayout(self.shifts.shape[-1] - 1, self.bones.shape[1] - 1)

    def select(self, hands: slice | Tensor) -> SurfaceJacobian:
        """The same of some of the hands; places (n,) may repeat."""
        fields = {name: getattr(self, name) for name in self._fields if name != "model"}
        kept: dict[str, Any] = {k: None if v is None else v[hands] for k, v in fields.items()}
        return self._replace(**kept)

    def rows(self, vertex_index: Tensor, cotangents: Tensor) -> Tensor:
        """Derivatives of N scalars a hand that depend on k vertices each.

        Args:
            vertex_index: (B, N, k) int64.
            cotangents: (B, N, k, 3) derivative of each scalar by its vertices, 1 / metre.

        Returns:
            (B, N, D) derivatives by the tangent vector of `fitter.hand_models.tangent`.
        """
        batch, count, points = vertex_index.shape
        model, flat = self.model, vertex_index.flatten(1)
        joints = len(model.below)
        hand = torch.arange(batch, device=flat.device)[:, None]
        weights = model.skin_weights[flat]
        rest = self.rest[hand, flat]
        shifts = self.shifts.permute(0, 1, 3, 2)
        # (B, N k, M, 3): where each bone alone would take the vertex.
        taken = (rest @ self.bones.flatten(1, 2).mT).unflatten(-1, (-1, 3)) + shifts[:, None, :, 0]
        levers = model.below @ (weights[..., None] * taken)
        levers = levers - model.carried[flat][..., None] * self.joints[:, None]

        pull = cotangents.flatten(1, 2)
        # c . (a x l) = a . (l x c), the axes in the columns of `turns`.
        torques = torch.linalg.cross(levers, pull[:, :, None].expand_as(levers))
        torques = torques.view(batch, count, points, joints, 3).sum(2)
        by_joint = (torques.transpose(1, 2) @ self.turns).transpose(1, 2)
        # The cotangent of the vertex of the rest pose: sum_j w_j R_j^T c.
        pull_rest = (pull @ self.bones.permute(0, 2, 1, 3).flatten(2)).unflatten(-1, (-1, 3))
        pull_rest = (weights[..., None] * pull_rest).sum(2)
        by_betas = (pull_rest[..., None, :] @ model.shapedirs[flat])[..., 0, :]
        # (B, N k, 3 M) @ (B, 3 M, S)
        carried = (weights[..., None] * pull[:, :, None]).flatten(2)
        by_betas = by_betas + carried @ self.shifts[..., 1:].flatten(1, 2)
        by_pose = by_joint[:, :, 1:].flatten(2)
        if self.local_change is not None and model.posedirs is not None:
            features = (pull_rest[..., None, :] @ model.posedirs[flat])[..., 0, :]
            features = features.view(batch, count, points, joints - 1, 9).sum(2)
            bent = features.transpose(1, 2) @ self.local_change
            by_pose = by_pose + bent.transpose(1, 2).flatten(2)
        by_betas = by_betas.unflatten(1, (count, points)).sum(2)
        return torch.cat([by_joint[:, :, 0], cotangents.sum(2), by_betas, by_pose], -1)


@dataclass(frozen=True)
class SurfaceKinematics:
    """A hand model in the form that `SurfaceJacobian` needs.

    Attributes:
        v_template: (V, 3) metres; shapedirs: (V, 3, S).
        joint_template: (M, 3) metres; joint_shapedirs: (M, 3, S).
        skin_weights: (V, M); carried: (V, M) their sums over the bones that hang on each joint.
        below: (M, M) entry (j, b) is 1 where bone b hangs on joint j (itself included).
        generators: (3, 9) of `exp_and_left_jacobian`.
        posedirs: (V, 3, 9 R), None in a model without pose blend shapes.
        skeleton: the tree of the M joints.
    """

    v_template: Tensor
    shapedirs: Tensor
    joint_template: Tensor
    joint_shapedirs: Tensor
    skin_weights: Tensor
    carried: Tensor
    below: Tensor
    generators: Tensor
    posedirs: Tensor | None
    skeleton: Skeleton

    @classmethod
    def of(cls, model: HandModel) -> Self:
        """Prepare a model, on its device and in its dtype."""
        weights = on_moving_joints(model.skin_weights, model.skeleton, dim=1)
        skeleton, moving = model.skeleton.moving, [0, *model.skeleton.rotating]
        below = descendants(skeleton, weights)
        identity = torch.eye(3, dtype=weights.dtype, device=weights.device)
        return cls(
            v_template=model.v_template,
            shapedirs=model.shapedirs,
            joint_template=model.joint_template[moving],
            joint_shapedirs=model.joint_shapedirs[moving],
            skin_weights=weights,
            carried=weights @ below.T,
            below=below,
            generators=skew(identity).flatten(1),
            posedirs=model.posedirs,
            skeleton=skeleton,
        )

    def __call__(self, params: HandParams) -> SurfaceJacobian:
        """Pose the vertices of B hands; all shape components are given."""
        vectors = torch.cat([params.global_orient[:, None], params.hand_pose], 1)
        local, left = exp_and_left_jacobian(vectors, self.generators)
        bones, parents = world_rotations(local, self.skeleton)
        identity = torch.eye(3, dtype=local.dtype, device=local.device)
        # The root's increment is a world rotation itself.
        turns = torch.cat([identity.expand_as(local[:, :1]), parents @ left[:, 1:]], 1)
        joints, shifts = self._skeleton(params.betas, bones)
        rest = self.v_template + (params.betas @ self.shapedirs.flatten(0, 1).T).unflatten(
            1, (-1, 3)
        )
        local_change = None
        if self.posedirs is not None:
            feature = (local[:, 1:] - identity).flatten(1)
            rest = rest + (feature @ self.posedirs.flatten(0, 1).T).unflatten(1, (-1, 3))
            # d(local)/d(increment k) = (J_l e_k)^ local, J_l the left Jacobian.
            local_change = (skew(left[:, 1:].mT) @ local[:, 1:, None]).flatten(3).mT
        # (V, M) @ (B, M, 12), then each vertex through its own blended 3x4 matrix.
        skinning = torch.cat([bones, shifts[..., :1]], -1).flatten(2)
        blended = (self.skin_weights @ skinning).unflatten(-1, (3, 4))
        vertices = (blended[..., :3] * rest[..., None, :]).sum(-1) + blended[..., 3]
        vertices = vertices + params.transl[:, None]
        return SurfaceJacobian(vertices, rest, bones, shifts, joints, turns, local_change, self)

    def _skeleton(self, betas: Tensor, bones: Tensor) -> tuple[Tensor, Tensor]:
        """Posed joints (B, M, 3) and what `SurfaceJacobian.shifts` says (the chain of SMPL
        eqs. 3-4), for world rotations (B, M, 3, 3)."""
        # Columns of the rest joints: where they are, then their change with each coefficient.
        basis = self.joint_shapedirs.expand(len(bones), -1, -1, -1)
        place = self.joint_template + (basis @ betas[:, None, :, None])[..., 0]
        rest = torch.cat([place[..., None], basis], -1)
        parents = list(self.skeleton.parents[1:])
        segments = bones[:, parents] @ (rest[:, 1:] - rest[:, parents])
        segments = torch.cat([rest[:, :1], segments], 1)
        posed = (self.below.T @ segments.flatten(2)).view_as(rest)
        return posed[..., 0], posed - bones @ rest
