"""MANO's parameters of a hand that was fitted with another model.

The other hand's surface is known, so this is a fit of one mesh to another. It starts from the 21
keypoints by inverse kinematics; then every vertex of MANO is drawn to the nearest point of the
surface and along its normal, the keypoints hold the fingers apart, and the nearest points are
found anew in each round. Vertices whose nearest point lies on the border of the surface, or on a
part of it that faces elsewhere, do not count: two models end at different places of the forearm.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from fitter.conventions import KEYPOINT_NAMES
from fitter.energies.residuals import geman_mcclure
from fitter.errors import InputError
from fitter.formats.closest import Surface
from fitter.hand_models.analytic_ik import inverse_kinematics
from fitter.hand_models.keypoint_definitions import KeypointDefinition, fingertips
from fitter.hand_models.keypoint_jacobian import KeypointKinematics, by_finger
from fitter.hand_models.skinning import HandModel
from fitter.hand_models.tangent import HandManifold, TangentLayout
from fitter.hand_models.vertex_jacobian import SurfaceKinematics
from fitter.meshes import HandMeshes
from fitter.records import HandParams
from fitter.rendering.shading import vertex_normals
from fitter.solvers import LevenbergMarquardt, Linearization, levenberg_marquardt
from fitter.store.schema import HandRow

ROUNDS = 8
"""How often the nearest points are found."""

ITERATIONS = 3
"""Of the solver in a round."""

KEYPOINT_STD, PLANE_STD, POINT_STD = 5e-3, 1e-3, 5e-3
"""Metres: how far two models are expected to differ in a keypoint, along the surface's normal, and
along the surface, where the nearest point is no more than a guess of the corresponding one."""

OUTLIER = 5.0
"""Standard deviations at which a vertex's distance counts half."""

LEAST_AGREEMENT = 0.5
"""Cosine between the normals of a vertex and of its nearest point, below which that is another part
of the hand: the neighbouring finger, or the cap that closes the cut of one model."""

_SOLVER = LevenbergMarquardt(max_iterations=ITERATIONS)

_OTHER_MESH = ("vertices", "vertex_offsets", "appearance", "vertex_colours", "lighting")
"""What is about the other model's mesh."""


@dataclass(frozen=True)
class ManoHand:
    """A hand as MANO has it.

    Attributes:
        row: the hand with MANO's parameters; a left hand's are those of the mirrored right-hand
            model.
        vertex_error_mm: mean distance of MANO's vertices from the surface that was fitted, those
            left out whose nearest point is on its border; of a hand that was MANO's already the
            mean length of its offsets, 0 without any.
        keypoint_error_mm: mean distance of the 21 keypoints, each model's own joints and fingertip
            vertices; of a hand that was MANO's already what its offsets move them.
    """

    row: HandRow
    vertex_error_mm: float
    keypoint_error_mm: float


class ManoConverter:
    """Fits MANO to hands of another model."""

    def __init__(self, source: HandMeshes, target: HandMeshes) -> None:
        """Prepare the two models.

        Args:
            source: that the hands were fitted with.
            target: MANO.
        """
        self.source, self.target = source, target

    def __call__(self, row: HandRow) -> ManoHand:
        """MANO's parameters of a fitted hand of either side."""
        if self.source is self.target:
            return ManoHand(row, *self._errors_of_offsets(row))
        assert row.side is not None
        vertices = row.vertices if row.vertices is not None else self.source.vertices(row)
        mirror = np.array([-1.0 if row.side == "left" else 1.0, 1.0, 1.0])
        params = _params(row)
        right = params.mirrored() if row.side == "left" else params
        keypoints = self._source_keypoints.keypoints(right)
        surface = Surface(vertices.astype(np.float64) * mirror, self.source.faces("right"))
        found = self._fitted(keypoints, surface)
        errors = self._errors(found, keypoints, surface)
        mine = found.mirrored() if row.side == "left" else found
        values = {
            name: getattr(mine, name)[0].numpy().astype(np.float32)
            for name in (field.name for field in fields(HandParams))
        }
        gone: dict[str, Any] = dict.fromkeys(_OTHER_MESH)
        return ManoHand(replace(row, **values, **gone), *errors)

    @cached_property
    def _source_keypoints(self) -> KeypointDefinition:
        return KeypointDefinition.of(self.source.right.cpu(), "mano")

    @cached_property
    def _target_keypoints(self) -> KeypointDefinition:
        return KeypointDefinition.of(self.target.right, "mano")

    @cached_property
    def _kinematics(self) -> tuple[KeypointKinematics, SurfaceKinematics]:
        keypoints = KeypointKinematics.of(self._target_keypoints.reduced)
        return keypoints, SurfaceKinematics.of(self.target.right)

    def _fitted(self, keypoints: Tensor, surface: Surface) -> HandParams:
        """Parameters of the right hand on a surface, from its keypoints (1, 21, 3)."""
        params = inverse_kinematics(self._target_keypoints.reduced, keypoints)
        manifold = HandManifold(TangentLayout.of(params).rotations)
        for _ in range(ROUNDS):
            vertices = self.target.right(params).vertices
            near = surface.closest(vertices[0].numpy())
            normals = vertex_normals(vertices, self.target.right.faces)[0]
            facing = (normals * torch.from_numpy(near.normals)).sum(-1) > LEAST_AGREEMENT
            targets = _Targets(
                keypoints,
                torch.from_numpy(near.points),
                torch.from_numpy(near.normals),
                (facing & torch.from_numpy(~near.at_edge)).to(keypoints),
            )
            problem = _Problem(*self._kinematics, targets)
            params = levenberg_marquardt(problem, params, _SOLVER, manifold).params
        return params

    def _errors_of_offsets(self, row: HandRow) -> tuple[float, float]:
        """How far a hand of MANO is from its own parameters, which have no offsets."""
        if row.vertex_offsets is None:
            return 0.0, 0.0
        lengths = 1000 * np.linalg.norm(row.vertex_offsets.astype(np.float64), axis=-1)
        tips = fingertips(self.target.right, "mano").cpu().numpy()
        return float(lengths.mean()), float(lengths[tips].sum() / len(KEYPOINT_NAMES))

    def _errors(
        self, params: HandParams, keypoints: Tensor, surface: Surface
    ) -> tuple[float, float]:
        """Mean distances of vertices and keypoints, millimetres."""
        vertices = self.target.right(params).vertices[0].numpy()
        near = surface.closest(vertices)
        distances = np.linalg.norm(near.points - vertices, axis=1)[~near.at_edge]
        own = self._target_keypoints.keypoints(params)
        between = (own - keypoints).norm(dim=-1).mean().item()
        return 1000 * float(distances.mean()), 1000 * between


@dataclass(frozen=True)
class _Targets:
    """Where keypoints (1, 21, 3) and vertices (V, 3) should go, the normals there, and weights."""

    keypoints: Tensor
    points: Tensor
    normals: Tensor
    weights: Tensor


@dataclass(frozen=True)
class _Problem:
    """Squares of distances, in units of their standard deviations, and of the shape."""

    keypoints: KeypointKinematics
    surface: SurfaceKinematics
    targets: _Targets

    def linearize(self, params: HandParams) -> Linearization:
        """See `LeastSquaresProblem`."""
        cost, gradient, hessian = self._of_keypoints(params)
        for value, slope, curvature in (self._of_vertices(params), self._of_shape(params, hessian)):
            cost, gradient, hessian = cost + value, gradient + slope, hessian + curvature
        return Linearization(cost, gradient, hessian)

    def select(self, index: Tensor) -> Self:
        """There is one problem alone."""
        return self

    def _of_keypoints(self, params: HandParams) -> tuple[Tensor, Tensor, Tensor]:
        posed = self.keypoints(params)
        residuals = (posed.points - by_finger(self.targets.keypoints)) / KEYPOINT_STD
        weights = residuals.new_ones(5)
        weights[0] = 1 / 5  # the wrist is on every finger
        cost = (weights[:, None] * residuals.square()).sum((1, 2, 3))
        slope = 2 * weights[:, None] * residuals / KEYPOINT_STD
        diagonal = (2 * weights / KEYPOINT_STD**2)[:, None].expand(5, 3).reshape(15)
        blocks = torch.diag(diagonal).view(5, 3, 5, 3).expand(len(cost), 5, 5, 3, 5, 3)
        return cost, *posed.pull_back(slope, blocks)

    def _of_vertices(self, params: HandParams) -> tuple[Tensor, Tensor, Tensor]:
        """Of each vertex the distance along the normal and, weaker, that in space; robust."""
        posed = self.surface(params)
        count, normals = posed.vertices.shape[1], self.targets.normals
        axes = torch.eye(3, dtype=posed.vertices.dtype)
        # (V, 3, 3): the inverse covariance of where a vertex should be.
        metric = normals[:, :, None] * normals[:, None] / PLANE_STD**2 + axes / POINT_STD**2
        away = posed.vertices[0] - self.targets.points
        pulled = (metric @ away[..., None])[..., 0]
        loss, slope = geman_mcclure((away * pulled).sum(-1) / OUTLIER**2)
        cost = OUTLIER**2 * (self.targets.weights * loss).sum()[None]
        index = torch.arange(count).repeat_interleave(3).view(1, -1, 1)
        cotangents = axes.expand(count, 3, 3).reshape(1, -1, 1, 3)
        jacobian = posed.rows(index, cotangents)[0].unflatten(0, (count, 3))
        scale = self.targets.weights * slope
        gradient = 2 * torch.einsum("v,va,vad->d", scale, pulled, jacobian)
        weighted = ((scale[:, None, None] * metric) @ jacobian).flatten(0, 1)
        return cost, gradient[None], 2 * (weighted.T @ jacobian.flatten(0, 1))[None]

    def _of_shape(self, params: HandParams, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients have unit variance."""
        gradient, hessian = like.new_zeros(like.shape[:2]), torch.zeros_like(like)
        betas = TangentLayout.of(params).betas
        gradient[:, betas] = 2 * params.betas
        hessian[:, betas, betas] = 2 * torch.eye(params.betas.shape[1]).to(like)
        return params.betas.square().sum(-1), gradient, hessian


def load_mano_meshes(path: Path) -> HandMeshes:
    """A MANO model that hands are converted to.

    Args:
        path: of the user's `MANO_RIGHT.pkl`, or the left hand's, which is mirrored.

    Raises:
        InputError: it is missing, or no MANO model (`export.not_mano`).
    """
    from fitter.hand_models.loading import load_hand_model

    right: HandModel = load_hand_model(path, "right", torch.float64)
    if right.data.name != "mano":
        raise InputError("export.not_mano", file=path, found=right.data.name)
    return HandMeshes(right)


def _params(row: HandRow) -> HandParams:
    """Parameters of one hand, float64."""
    values = (row.global_orient, row.hand_pose, row.betas, row.transl)
    return HandParams(*(torch.as_tensor(value, dtype=torch.float64)[None] for value in values))
