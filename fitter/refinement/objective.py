"""The weighted sum of energies that a first-order stage minimises: the one place where energies of
the picture are weighted and added up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fitter.config.options import FitConfig
from fitter.config.stages import EnergyName, StageConfig
from fitter.energies.keypoints import (
    KeypointTargets,
    bone_directions,
    relative_depth,
    reprojection,
)
from fitter.energies.keypoints_2d import (
    bone_orientation,
    smooth_l1_keypoints,
    squared_l2_keypoints,
)
from fitter.energies.photometric import pixel_l2, rgb_all_pixels, ssim_foreground
from fitter.energies.priors import PoseSpace, pose_prior, shape_prior
from fitter.energies.regularisers import (
    camera_scale,
    joint_limits,
    shape_norm,
    squared_norm,
    texture_range,
)
from fitter.energies.silhouette import iou_loss, squared_l2, ssim_silhouette
from fitter.energies.surface import (
    edge_length,
    edge_length_change,
    laplacian,
    laplacian_change,
    normal_change,
    normal_consistency,
    vertex_offset,
)
from fitter.hand_models.keypoint_jacobian import by_finger
from fitter.raster import RasterSettings
from fitter.refinement.scene import (
    Rendering,
    SceneModel,
    SceneParams,
    SceneView,
    draw,
    focal_applied,
)


@dataclass(frozen=True)
class StageTask:
    """What all stages of a batch of B hands share.

    Attributes:
        model: of the hands.
        view: what is seen of them, in the dtype of `model.hand`.
        targets: the keypoint stage's targets of the same hands, float64.
        fit: the keypoint stage's options; a stage changes its weights, not its scales.
    """

    model: SceneModel
    view: SceneView
    targets: KeypointTargets
    fit: FitConfig


@dataclass(frozen=True)
class EnergyInputs:
    """What an energy may look at.

    Attributes:
        task: model and observations of B hands.
        params: of B hands.
        start: the parameters that the stage began with.
        space: anatomy and pose prior in the dtype of `params`.
        targets: the keypoint stage's targets, in the dtype of `params`.
        drawing: what `params` draw.
        stage: the stage's options.
    """

    task: StageTask
    params: SceneParams
    start: SceneParams
    space: PoseSpace
    targets: KeypointTargets
    drawing: Rendering
    stage: StageConfig

    @property
    def model(self) -> SceneModel:
        """The hand model."""
        return self.task.model

    @property
    def view(self) -> SceneView:
        """What is seen of the hands."""
        return self.task.view

    @property
    def points(self) -> Tensor:
        """(B, 5, 5, 3) the keypoints in the camera's frame, in the finger layout."""
        return by_finger(self.drawing.points)

    @property
    def lengths(self) -> tuple[Tensor, Tensor]:
        """(B, V, 3) vertices with offsets and without, in the stage's unit of length."""
        unit = self.stage.length_unit
        return self.drawing.vertices / unit, self.drawing.bare / unit

    @property
    def keypoints(self) -> tuple[Tensor, Tensor]:
        """(B, 21, 2) projected and detected, in sides of the crop."""
        return self.drawing.keypoints / self.view.size, self.view.keypoints / self.view.size

    @property
    def alpha(self) -> Tensor:
        """(B, S, S) the silhouette as drawn."""
        return self.drawing.fragments.alpha

    @property
    def rendered(self) -> Tensor:
        """(B, S, S, 3) the hand over black, black beyond the photograph's border as the crop is."""
        return self.drawing.picture * self.view.image_weight[..., None]


def _focal_targets(seen: EnergyInputs) -> KeypointTargets:
    """With the focal length as fitted; the line of sight stays that of the given K."""
    intrinsics = focal_applied(seen.targets.intrinsics, seen.params.log_focal)
    return replace(seen.targets, intrinsics=intrinsics)


def _keypoints(seen: EnergyInputs) -> Tensor:
    return reprojection(seen.points, _focal_targets(seen), seen.task.fit.keypoint_scale).value


def _keypoints_l2(seen: EnergyInputs) -> Tensor:
    projected, detected = seen.keypoints
    # A keypoint that was not seen may be written down anywhere, such as at (0, 0).
    known = (seen.view.confidence > 0)[..., None]
    return squared_l2_keypoints(projected, torch.where(known, detected, projected.detach()))


def _relative_depth(seen: EnergyInputs) -> Tensor:
    fit = seen.task.fit
    return relative_depth(seen.points, _focal_targets(seen), fit.relative_depth_scale).value


def _bone_directions(seen: EnergyInputs) -> Tensor:
    return bone_directions(seen.points, seen.targets, seen.task.fit.bone_direction_scale).value


def _scale(seen: EnergyInputs) -> Tensor:
    """S2HAND's camera scale is focal length over depth; the start's is what is expected.

    `transl`'s z stands for the root's depth. The two differ by the z of the root in the rest pose:
    nothing in the open hand, millimetres in MANO, and the same in both scales but for the shape.
    """

    def scale(params: SceneParams) -> Tensor:
        return params.log_focal.exp() / params.transl[:, 2].clamp_min(1e-6)

    return camera_scale(scale(seen.params), scale(seen.start))


def _silhouette_ssim(seen: EnergyInputs) -> Tensor:
    # SSIM has no weights: both are blackened where the mask is not trusted, so that they agree.
    weight = seen.view.mask_weight
    return ssim_silhouette(weight * seen.alpha, weight * seen.view.mask)


def _photometric_pixel(seen: EnergyInputs) -> Tensor:
    # Which pixels count is not to be had by shrinking the hand away from those that differ.
    alpha = seen.alpha.detach() * seen.view.image_weight
    confidence = seen.view.confidence.sum(-1)
    return pixel_l2(seen.view.image, seen.drawing.foreground, alpha, confidence)


def _limits(seen: EnergyInputs) -> Tensor:
    return joint_limits(seen.params.hand_pose, seen.space, "squared")


def _pose_prior(seen: EnergyInputs) -> Tensor:
    return pose_prior(seen.params.hand, seen.space).value


ENERGIES: Mapping[EnergyName, Callable[[EnergyInputs], Tensor]] = {
    "keypoints": _keypoints,
    "keypoints_smooth_l1": lambda s: smooth_l1_keypoints(
        *s.keypoints, s.view.confidence, s.stage.keypoint_beta
    ),
    "keypoints_l2": _keypoints_l2,
    "relative_depth": _relative_depth,
    "bone_directions": _bone_directions,
    "bone_orientation": lambda s: bone_orientation(*s.keypoints, s.view.confidence),
    "silhouette_l2": lambda s: (
        squared_l2(s.alpha, s.view.mask, s.view.mask_weight) / s.stage.pixel_unit**2
    ),
    "silhouette_iou": lambda s: iou_loss(s.alpha, s.view.mask, s.view.mask_weight),
    "silhouette_ssim": _silhouette_ssim,
    "image_silhouette_ssim": lambda s: ssim_silhouette(s.alpha * s.view.image_weight, s.view.image),
    "photometric_pixel": _photometric_pixel,
    "photometric_ssim": lambda s: ssim_foreground(s.view.image, s.rendered, s.alpha),
    "photometric_rgb": lambda s: rgb_all_pixels(s.view.image, s.rendered),
    "vertex_offset": lambda s: vertex_offset(s.params.offsets / s.stage.length_unit),
    "laplacian": lambda s: laplacian(s.lengths[0], s.model.graph),
    "laplacian_change": lambda s: laplacian_change(*s.lengths, s.model.graph),
    "normal_consistency": lambda s: normal_consistency(
        s.lengths[0], s.model.graph, s.stage.normal_reduction
    ),
    "normal_change": lambda s: normal_change(*s.lengths, s.model.graph, s.stage.normal_reduction),
    "edge_length": lambda s: edge_length(s.lengths[0], s.model.graph),
    "edge_length_change": lambda s: edge_length_change(*s.lengths, s.model.graph),
    "pose_prior": _pose_prior,
    "pose_l2": lambda s: squared_norm(s.params.hand_pose),
    "limits": _limits,
    "shape_prior": lambda s: shape_prior(s.params.hand).value,
    "shape_norm": lambda s: shape_norm(s.params.betas),
    "appearance_prior": lambda s: squared_norm(s.params.appearance),
    "texture_range": lambda s: texture_range(s.drawing.colours),
    "camera_scale": _scale,
}
"""Every first-order energy by its name in a configuration."""

_SHADED = {"photometric_pixel", "photometric_ssim", "photometric_rgb", "texture_range"}
_DRAWN = _SHADED | {
    "silhouette_l2",
    "silhouette_iou",
    "silhouette_ssim",
    "image_silhouette_ssim",
}


@dataclass(frozen=True)
class Objective:
    """What one stage minimises over B hands.

    Attributes:
        task, stage, start, space, targets: see `EnergyInputs`.
        raster: how hands are drawn; None where no energy needs a drawing.
        shaded: whether an energy needs colours.
    """

    task: StageTask
    stage: StageConfig
    start: SceneParams
    space: PoseSpace
    targets: KeypointTargets
    raster: RasterSettings | None
    shaded: bool

    @classmethod
    def of(cls, task: StageTask, stage: StageConfig, start: SceneParams) -> Objective:
        """The objective of a stage that begins at `start`."""
        names = {name for name, weight in stage.energies.items() if weight != 0}
        settings = None
        if names & _DRAWN:
            settings = RasterSettings(
                silhouette=stage.silhouette, sigma=stage.sigma, band=stage.band
            )
        space = task.model.fit.pose_space.to(start.transl)
        targets = task.targets.to(start.transl.dtype)
        return cls(task, stage, start, space, targets, settings, bool(names & _SHADED))

    def terms(self, params: SceneParams) -> dict[EnergyName, Tensor]:
        """(B,) value of each energy of the stage, not weighted."""
        drawing = draw(self.task.model, params, self.task.view, self.raster, self.shaded)
        seen = EnergyInputs(
            self.task, params, self.start, self.space, self.targets, drawing, self.stage
        )
        return {name: ENERGIES[name](seen) for name, w in self.stage.energies.items() if w != 0}

    def __call__(self, params: SceneParams) -> Tensor:
        """(B,) the weighted sum."""
        weighted = [self.stage.energies[n] * value for n, value in self.terms(params).items()]
        # Where all weights are zero nothing is left to add up.
        return torch.stack(weighted or [torch.zeros_like(params.log_focal)]).sum(0)
