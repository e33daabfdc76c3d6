"""All that a `MeshNet` is trained on, for one batch of crops: Yu et al. 2023 (WSIM 3D Hand), 3.2
to 3.5, equations 3, 4, 7 and 8.

    MeshPredictions, CropSamples -> `MeshTerms` -> a value a hand of every loss that counts

||.|| of the equations is an L1 norm where they say so (eq. 4 and 7); of eq. 3 it is not published,
and L1 here, too. Not published either: every norm is the mean over its numbers, and lengths count
in `LENGTH_UNIT`, so that with the printed lambdas no term drowns the others. A loss that does not
count is not computed, and nothing is drawn unless one that counts looks at silhouettes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from fitter.energies import iou_loss
from fitter.raster import MeshTopology, RasterSettings, rasterize
from init_net.hand_decoder import drawable
from init_net.hand_pictures import shrunk
from init_net.mesh_records import MeshPredictions, RefinedJoints
from init_net.posing import weak_projection
from init_net.samples.crop_samples import CropSamples
from init_net.training.losses import known_error, regularised_l1
from init_net.training.mesh_truth import MeshTruth, TrueMeshes

LENGTH_UNIT = 0.1
"""Metres in which lengths count (not published)."""

SILHOUETTE_SIDE = 64
"""Pixels along the silhouettes that are compared (not published)."""


def joint_distance(joints: Tensor, others: Tensor, weight: Tensor | None = None) -> Tensor:
    """Two norms of Yu eq. 3, ``||J_hat - J||`` and ``||J_tilde - J||``: mean over the 63 numbers,
    in `LENGTH_UNIT`.

    Args:
        joints: (B, 21, 3) metres.
        others: (B, 21, 3) metres; NaN where they are not known, which costs nothing.
        weight: (B, 21) how far each joint counts; None for 1.

    Returns:
        (B,).
    """
    distance = known_error(joints, others).abs().mean(-1) / LENGTH_UNIT
    return (distance if weight is None else weight * distance).mean(1)


def said_distance(points: Tensor, others: Tensor) -> Tensor:
    """The norm of two sets of points that a network says, (B, P, 3) metres each: that of Yu eq. 7,
    and ``||J_hat - J_tilde||`` of eq. 3; L1, mean over the numbers, in `LENGTH_UNIT`, (B,)."""
    return (points - others).abs().mean((1, 2)) / LENGTH_UNIT


def kl_divergence(refined: RefinedJoints) -> Tensor:
    """L_KL of Yu eq. 3, ``KL(q(z | J_hat) || N(0, E))`` (Kingma & Welling 2014, appendix B):
    ``1/2 (mean^2 + variance - 1 - log variance)``, mean over the numbers of the code.

    Args:
        refined: of B hands, `mean` and `log_variance` (B, latent).

    Returns:
        (B,) nats a number.
    """
    log_variance = refined.log_variance
    terms = refined.mean.square() + log_variance.exp() - 1 - log_variance
    return 0.5 * terms.mean(1)


def regularised_parameters(predicted: Tensor, truth: Tensor) -> Tensor:
    """L_shape and L_tw of Yu eq. 4, ``||p - p*|| + ||p||``, means over the numbers.

    Where p* is known its value is the same for every p between 0 and p*, so that eq. 4 by itself
    teaches no more than signs; `parameter_error` is its first norm alone.

    Args:
        predicted: (B, N) shape coefficients, or twists in radians.
        truth: the same; NaN where it is not known: there the second norm alone counts.

    Returns:
        (B,).
    """
    known = torch.where(truth.isfinite(), truth, predicted.detach())
    return regularised_l1(predicted, known) / predicted.shape[1]


def parameter_error(predicted: Tensor, truth: Tensor) -> Tensor:
    """``||p - p*||``, the first norm of Yu eq. 4; arguments as of `regularised_parameters`."""
    return known_error(predicted, truth).abs().mean(1)


def vertex_distance(vertices: Tensor, others: Tensor) -> Tensor:
    """`said_distance` of vertices from true ones.

    Args:
        vertices: (B, V, 3) metres.
        others: the same; NaN where they are not known.

    Returns:
        (B,).
    """
    return known_error(vertices, others).abs().mean((1, 2)) / LENGTH_UNIT


def self_distillation(parametric: Tensor, free: Tensor) -> Tensor:
    """L_vert of Yu eq. 7, ``||V_refine - V_non||``: V_refine (B, V, 3) teaches V_non (B, V, 3).

    Which side has a gradient is not published. Knowledge is "distilled to the non-parametric
    branch" (3.5), so V_refine has none.
    """
    return said_distance(free, parametric.detach())


def camera_distance(camera: Tensor, points: Tensor, positions: Tensor, weight: Tensor) -> Tensor:
    """How far off the camera head sees joints, ours: mean absolute difference, crop units.

    Args:
        camera: (B, 3), see `MeshPredictions.camera`.
        points: (B, 21, 3) metres, relative to the wrist, view frame; without a gradient here, so
            that the camera alone learns of it.
        positions: (B, 21, 2) crop units; NaN where they are not known.
        weight: (B, 21) how far each joint counts.

    Returns:
        (B,).
    """
    seen = weak_projection(points.detach(), camera)
    return (weight * known_error(seen, positions).abs().mean(-1)).mean(1)


class Silhouettes:
    """Draws meshes as the weak-perspective cameras of a `MeshNet` see them."""

    def __init__(self, faces: Tensor, side: int = SILHOUETTE_SIDE) -> None:
        """Take the faces (F, 3) of the mesh and the pictures' side, pixels."""
        self._topology, self.side = MeshTopology(faces), side
        self._settings = RasterSettings(silhouette="edge")

    def __call__(self, vertices: Tensor, camera: Tensor, focal: Tensor) -> Tensor:
        """(B, S, S) in [0, 1], differentiable in vertices and camera; NaN of a hand that is not
        finite.

        Args:
            vertices: (B, V, 3) metres, view axes, relative to the wrist.
            camera: (B, 3), see `MeshPredictions.camera`.
            focal: (B,) crop units: the hand is drawn ``focal / scale`` away.
        """
        flat = weak_projection(vertices, camera)
        depth = (focal / camera[:, 0])[:, None] + vertices[..., 2]
        screen = torch.cat([self.side * (flat + 0.5), depth[..., None]], -1)
        alpha = rasterize(
            drawable(screen), self._topology, (self.side, self.side), settings=self._settings
        ).alpha
        assert alpha is not None  # the settings have a silhouette
        lost = ~screen.isfinite().flatten(1).all(1)
        return torch.where(lost[:, None, None], torch.nan, alpha)


class MeshTerms:
    """The terms of `init_net.training.loss_weights.MeshWeights` on single hands, by name, (B,)
    each."""

    def __init__(self, truth: TrueMeshes, faces: Tensor) -> None:
        """Take what says the truth of batches, and the faces (F, 3) of the network's mesh."""
        self.truth, self.silhouettes = truth, Silhouettes(faces)

    def __call__(
        self, said: MeshPredictions, batch: CropSamples, asked: Collection[str]
    ) -> dict[str, Tensor]:
        """Those terms that are asked for.

        Args:
            said: of B crops.
            batch: the crops, on the same device.
            asked: their names.
        """
        with torch.autocast(batch.image.device.type, enabled=False):
            compared = Comparison(self, _whole(said), batch)
            return {name: getattr(compared, name)() for name in asked}


def _whole(said: MeshPredictions) -> MeshPredictions:
    """What was said under mixed precision, in no halves."""

    def whole(value: Tensor) -> Tensor:
        return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value

    tensors = {name: whole(each) for name, each in vars(said).items() if isinstance(each, Tensor)}
    refined = None if said.refined is None else said.refined.map(whole)
    return replace(said, **tensors, refined=refined, hand=said.hand.map(whole))


class Comparison:
    """One batch beside what is said of it; a method a loss, by its name, each (B,)."""

    def __init__(self, terms: MeshTerms, said: MeshPredictions, batch: CropSamples) -> None:
        self._terms, self._said, self._batch = terms, said, batch

    @cached_property
    def truth(self) -> MeshTruth:
        """Of the batch's hands."""
        return self._terms.truth(self._batch)

    @cached_property
    def refined(self) -> RefinedJoints:
        """What the JointVAE says."""
        assert self._said.refined is not None  # no loss counts on a part that is not there
        return self._said.refined

    def joints_regressed(self) -> Tensor:
        """Yu eq. 3, ``||J_hat - J||``."""
        truth = self.truth
        return joint_distance(self._said.regressed, truth.joints, truth.joint_weight)

    def joints_refined(self) -> Tensor:
        """Yu eq. 3, ``||J_tilde - J||``."""
        truth = self.truth
        return joint_distance(self.refined.joints, truth.joints, truth.joint_weight)

    def joints_agreement(self) -> Tensor:
        """Yu eq. 3, ``||J_hat - J_tilde||``: both sides move."""
        return said_distance(self._said.regressed, self.refined.joints)

    def kl(self) -> Tensor:
        """Yu eq. 3, L_KL."""
        return kl_divergence(self.refined)

    def shape(self) -> Tensor:
        """Yu eq. 4, L_shape."""
        return regularised_parameters(self._said.betas, self.truth.betas)

    def twist(self) -> Tensor:
        """Yu eq. 4, L_tw."""
        return regularised_parameters(self._said.twist, self.truth.twist)

    def shape_error(self) -> Tensor:
        """The first norm of L_shape."""
        return parameter_error(self._said.betas, self.truth.betas)

    def twist_error(self) -> Tensor:
        """The first norm of L_tw."""
        return parameter_error(self._said.twist, self.truth.twist)

    def self_distillation(self) -> Tensor:
        """Yu eq. 7, L_vert."""
        return self_distillation(self._said.parametric_vertices, self._said.vertices)

    def parametric_joints(self) -> Tensor:
        """Yu 3.3, joints as supervision of the parameters."""
        truth = self.truth
        return joint_distance(self._said.parametric_joints, truth.joints, truth.joint_weight)

    def parametric_vertices(self) -> Tensor:
        """Yu 3.3, vertices as supervision of the parameters."""
        return vertex_distance(self._said.parametric_vertices, self.truth.vertices)

    def vertices(self) -> Tensor:
        """Vertices as supervision of the non-parametric mesh, as of Yu's GCN-Vert (Table 1)."""
        return vertex_distance(self._said.vertices, self.truth.vertices)

    def camera(self) -> Tensor:
        """Ours, see `camera_distance`; of the true joints where they are known."""
        true, said = self.truth.joints, self._said.joints
        points = torch.where(true.isfinite(), true, said)
        positions, weight = self._batch.positions, self.truth.joint_weight
        return camera_distance(self._said.camera, points, positions, weight)

    def mask(self) -> Tensor:
        """What Yu 4.6 names as a way on: one minus the intersection over union of the mask and the
        silhouette of the non-parametric mesh."""
        draw, batch = self._terms.silhouettes, self._batch
        alpha = draw(self._said.vertices, self._said.camera, batch.focal)
        masks = shrunk(batch.mask[:, None], draw.side)[..., 0]
        return iou_loss(alpha, masks) * batch.has_mask
