"""The vertices of a posed hand together with the analytic derivatives that a contour needs.

A silhouette depends on a few hundred vertices, others in each iteration. What is kept is therefore
not the Jacobian of every vertex but the levers it is made of; `SurfaceJacobian.rows` multiplies
them out for the vertices that count. The readable twin is `HandModel.forward`; the tests hold the
two together. Tangent vectors are those of `fitter.hand_models.kinematics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from fitter.conventions import PARENTS
from fitter.hand_models.kinematics import descendants, exp_and_left_jacobian, skew
from fitter.hand_models.skinning import HandModel
from fitter.records import HandParams


class SurfaceJacobian(NamedTuple):
    """Vertices of B hands and how they move.

    Attributes:
        vertices: (B, V, 3) metres, the camera's frame.
        levers: (B, V, 16, 3) metres: a turn of joint j with axis a moves vertex v by a x lever.
        turns: (B, 16, 3, 3) world axes, in columns, about which increments turn each joint.
        by_betas: (B, V, 3, S) metres for each unit of a shape coefficient.
        by_pose: (B, V, 3, 45) what pose blend shapes add, metres a radian; None without them.
    """

    vertices: Tensor
    levers: Tensor
    turns: Tensor
    by_betas: Tensor
    by_pose: Tensor | None

    def rows(self, vertex_index: Tensor, cotangents: Tensor) -> Tensor:
        """Derivatives of N scalars a hand that depend on k vertices each.

        Args:
            vertex_index: (B, N, k) int64.
            cotangents: (B, N, k, 3) derivative of each scalar by its vertices, 1 / metre.

        Returns:
            (B, N, D) derivatives by the tangent vector of `fitter.hand_models.kinematics`.
        """
        batch, count, points = vertex_index.shape
        flat = vertex_index.flatten(1)
        hand = torch.arange(batch, device=flat.device)[:, None]
        levers = self.levers[hand, flat].view(batch, count, points, 16, 3)
        # c . (a x l) = a . (l x c)
        torques = torch.linalg.cross(levers, cotangents[:, :, :, None].expand_as(levers)).sum(2)
        by_joint = (torques.transpose(1, 2) @ self.turns).transpose(1, 2)
        shapes = self.by_betas.shape[-1]
        moved = self.by_betas[hand, flat].view(batch, count, points, 3, shapes)
        by_betas = (cotangents[..., None, :] @ moved)[..., 0, :].sum(2)
        by_pose = by_joint[:, :, 1:].flatten(2)
        if self.by_pose is not None:
            bent = self.by_pose[hand, flat].view(batch, count, points, 3, 45)
            by_pose = by_pose + (cotangents[..., None, :] @ bent)[..., 0, :].sum(2)
        return torch.cat([by_joint[:, :, 0], cotangents.sum(2), by_betas, by_pose], -1)


@dataclass(frozen=True)
class SurfaceKinematics:
    """A hand model in the form that `SurfaceJacobian` needs.

    A vertex is ``root + sum_b R_b t_vb`` with vectors t_vb fixed to the bones and affine in the
    shape (the chain of SMPL eqs. 3-4 and linear blend skinning, multiplied out).

    Attributes:
        root: (3,) rest position of the root joint, metres; root_shapedirs: (3, S).
        fixed: (16, 3, V) the t_vb of the mean shape, metres; fixed_shapedirs: (S, 16 * 3 * V).
        below: (16, 16) entry (j, b) is 1 where bone b hangs on joint j (itself included).
        generators: (3, 9) of `exp_and_left_jacobian`.
        posedirs: (V, 3, 135) and skin_weights (V, 16), where the model has pose blend shapes.
    """

    root: Tensor
    root_shapedirs: Tensor
    fixed: Tensor
    fixed_shapedirs: Tensor
    below: Tensor
    generators: Tensor
    posedirs: Tensor | None
    skin_weights: Tensor

    @classmethod
    def of(cls, model: HandModel) -> Self:
        """Multiply out a model, on its device and in its dtype."""
        joints = torch.cat([model.joint_template[..., None], model.joint_shapedirs], -1)
        points = torch.cat([model.v_template[..., None], model.shapedirs], -1)
        # Joint b hangs on the segments of its ancestors, each fixed to the parent's bone.
        chains = joints.new_zeros(16, *joints.shape)
        for joint, parent in enumerate(PARENTS):
            if parent >= 0:
                chains[joint] = chains[parent]
                chains[joint, parent] += joints[joint] - joints[parent]
        weights = model.skin_weights
        fixed = torch.einsum("vj,jbcs->vbcs", weights, chains)
        fixed = fixed + weights[:, :, None, None] * (points[:, None] - joints)
        fixed = fixed.permute(3, 1, 2, 0).contiguous()
        identity = torch.eye(3, dtype=joints.dtype, device=joints.device)
        return cls(
            root=model.joint_template[0],
            root_shapedirs=model.joint_shapedirs[0],
            fixed=fixed[0],
            fixed_shapedirs=fixed[1:].flatten(1),
            below=descendants(joints),
            generators=skew(identity).flatten(1),
            posedirs=model.posedirs,
            skin_weights=weights,
        )

    def __call__(self, params: HandParams) -> SurfaceJacobian:
        """Pose the vertices of B hands and differentiate them; all shape components are given."""
        batch, shapes = params.betas.shape
        vertices = self.fixed.shape[-1]
        vectors = torch.cat([params.global_orient[:, None], params.hand_pose], 1)
        local, left = exp_and_left_jacobian(vectors, self.generators)
        bones, turns = _chain(local, left)
        fixed = torch.addmm(self.fixed.flatten(), params.betas, self.fixed_shapedirs)
        fixed = fixed.view(batch, 16, 3, vertices)
        by_pose = None
        if self.posedirs is not None:
            moved, by_pose = self._correctives(local, left, bones)
            fixed = fixed + self.skin_weights.T[:, None] * moved.mT[:, None]
        levers = self.below @ (bones @ fixed).flatten(2)
        levers = levers.view(batch, 16, 3, vertices)
        root = self.root + params.betas @ self.root_shapedirs.T + params.transl
        # (B, 3, 48) @ (48, V * S): one product for all shape components.
        turned = bones.permute(0, 2, 1, 3).reshape(batch, 3, 48)
        columns = self.fixed_shapedirs.view(shapes, 48, vertices).permute(1, 2, 0)
        by_betas = (turned @ columns.reshape(48, -1)).view(batch, 3, vertices, shapes)
        return SurfaceJacobian(
            vertices=(levers[:, 0] + root[..., None]).mT,
            levers=levers.permute(0, 3, 1, 2).contiguous(),
            turns=turns,
            by_betas=(by_betas + self.root_shapedirs[:, None]).transpose(1, 2).contiguous(),
            by_pose=by_pose,
        )

    def _correctives(self, local: Tensor, left: Tensor, bones: Tensor) -> tuple[Tensor, Tensor]:
        """Displacement (B, V, 3) of the rest pose by the pose blend shapes (SMPL eq. 9), and its
        derivative (B, V, 3, 45) by the increments, turned into the camera's frame."""
        identity = torch.eye(3, dtype=local.dtype, device=local.device)
        count = len(self.posedirs)
        flat = self.posedirs.flatten(0, 1)
        moved = ((local[:, 1:] - identity).flatten(1) @ flat.T).view(-1, count, 3)
        # d(local)/d(increment k) = (J_l e_k)^ local, J_l the left Jacobian.
        d_local = (skew(left[:, 1:].mT) @ local[:, 1:, None]).flatten(3)
        by_joint = flat.unflatten(1, (15, 9)).transpose(0, 1) @ d_local.mT
        d_rest = by_joint.permute(0, 2, 1, 3).reshape(-1, count, 3, 45)
        blended = (self.skin_weights @ bones.flatten(2)).unflatten(-1, (3, 3))
        return moved, blended @ d_rest


def _chain(local: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
    """World rotations (B, 16, 3, 3) of the bones and, in the columns of (B, 16, 3, 3), the world
    axes about which increments turn them; the root's increment is a world rotation itself."""
    own, batch = local[:, 1:].unflatten(1, (5, 3)).unbind(2), len(local)
    parents = [local[:, :1].expand(-1, 5, -1, -1)]
    for rotation in own:
        parents.append(parents[-1] @ rotation)
    bones = torch.stack(parents[1:], 2).flatten(1, 2)
    turns = torch.stack(parents[:3], 2).flatten(1, 2) @ left[:, 1:]
    identity = torch.eye(3, dtype=local.dtype, device=local.device).expand(batch, 1, 3, 3)
    return torch.cat([local[:, :1], bones], 1), torch.cat([identity, turns], 1)
