"""Small scenes for the tests of the stages: hands whose mesh, picture and mask are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from datasets.poses.sampler import sample_hand_angles
from fitter.camera import project
from fitter.config.options import FitConfig
from fitter.energies.keypoints import KeypointTargets
from fitter.energies.priors import PoseSpace
from fitter.fitting.fit_model import FitModel
from fitter.fitting.observations import ObservationBatch, normalise, unknown_features
from fitter.hand_models import HandModel, load_hand_model
from fitter.hand_models.anatomy import anatomy_of
from fitter.hand_models.appearance_loading import load_appearance
from fitter.hand_models.pose_prior import load_pose_prior
from fitter.raster import RasterSettings, rasterize
from fitter.records import HandParams, NormalisedHands
from fitter.refinement.scene import Light, SceneModel, SceneParams, SceneView, draw
from fitter.refinement.stages import StageTask

SIDE = 48


def scene_model(
    dtype: torch.dtype = torch.float32,
    light: Light = "spherical_harmonics",
    linear: bool = True,
    texture_size: int = 0,
    hand: HandModel | None = None,
) -> SceneModel:
    """The open hand, or another model, float64."""
    hand = hand or load_hand_model("open_hand", dtype=torch.float64)
    like = torch.zeros((), dtype=torch.float64)
    space = PoseSpace.of(anatomy_of(hand.data), load_pose_prior(), like)
    fit = FitModel(hand.keypoint_model(), space)
    drawn = HandModel(hand.data, dtype)
    skin = load_appearance(hand.data, dtype)
    return SceneModel(drawn, fit, skin, light, linear, texture_size)


def true_hands(model: SceneModel, count: int, seed: int = 0) -> HandParams:
    """Hands in poses of the prior, half a metre away, in the middle of the crop; float64."""
    rng = np.random.default_rng(seed)
    angles = torch.as_tensor(0.7 * sample_hand_angles(rng, count))
    pose = anatomy_of(model.hand.data).hand_pose(angles)
    shapes = model.hand.shapedirs.shape[-1]

    def normal(scale: float, *shape: int) -> Tensor:
        return torch.as_tensor(rng.normal(scale=scale, size=(count, *shape)))

    params = HandParams(normal(0.8, 3), pose, normal(0.4, shapes), normal(0.0, 3))
    exact = HandModel(model.hand.data, torch.float64)
    middle = exact(params).vertices.mean(1)
    return replace(params, transl=torch.tensor([0.0, 0.0, 0.5]).double() - middle)


def camera(count: int, side: int = SIDE) -> Tensor:
    """(B, 3, 3) K with which a hand half a metre away fills most of the crop."""
    focal, half = 2.1 * side, side / 2
    matrix = torch.tensor([[focal, 0, half], [0, focal, half], [0, 0, 1]])
    return matrix.double().repeat(count, 1, 1)


def view_of(model: SceneModel, truth: SceneParams | HandParams, side: int = SIDE) -> SceneView:
    """What is seen of hands without any error, on grey; masks count each pixel's share."""
    scene = model.start(truth) if isinstance(truth, HandParams) else truth
    like = model.hand.v_template
    count = len(scene.transl)

    def full(*shape: int) -> Tensor:
        return like.new_ones(count, *shape)

    intrinsics = camera(count, side).to(like)
    empty = SceneView(
        image=full(side, side, 3),
        mask=full(side, side),
        mask_weight=full(side, side),
        image_weight=full(side, side),
        intrinsics=intrinsics,
        keypoints=full(21, 2),
        confidence=0.9 * full(21),
        focal_unknown=0 * full(),
    )
    with torch.no_grad():
        drawing = draw(model, scene, empty, RasterSettings(silhouette="edge"), shaded=True)
        # Four by four samples a pixel.
        fine = project(drawing.vertices, intrinsics) * 4
        screen = torch.cat([fine, drawing.vertices[..., 2:]], -1)
        covered = rasterize(screen, model.topology, (4 * side, 4 * side)).mask.to(like)
        mask = covered.unflatten(2, (side, 4)).unflatten(1, (side, 4)).mean((2, 4))
        image = drawing.picture + 0.4 * (1 - drawing.fragments.alpha)[..., None]
    return replace(empty, image=image, mask=mask, keypoints=drawing.keypoints)


def hands_of(view: SceneView, fit: FitConfig) -> NormalisedHands:
    """What is known of a view's hands; the detector gives no cue of depth."""
    unknown = torch.full_like(view.confidence, torch.nan).double()
    observed = ObservationBatch(
        keypoints=view.keypoints.double(),
        confidence=view.confidence.double(),
        relative_depth=unknown,
        relative_xyz=unknown[..., None].expand(-1, -1, 3),
        intrinsics=view.intrinsics.double(),
        features=unknown_features(len(unknown), unknown),
        is_left=torch.zeros(len(unknown), dtype=torch.bool),
    )
    return normalise(observed).with_depth_gain(fit.relative_depth_gain)


def task_of(model: SceneModel, view: SceneView, fit: FitConfig | None = None) -> StageTask:
    """The stages' task."""
    fit = fit or FitConfig()
    return StageTask(model, view, KeypointTargets.of(hands_of(view, fit)), fit)


def perturbed(hands: HandParams, seed: int = 1, size: float = 1.0) -> HandParams:
    """The same hands a centimetre off, a little turned and bent, and of other shapes; `size` times
    that."""
    generator = torch.Generator().manual_seed(seed)

    def noise(scale: float, like: Tensor) -> Tensor:
        return like + size * scale * torch.randn(like.shape, generator=generator, dtype=like.dtype)

    return HandParams(
        noise(0.08, hands.global_orient),
        noise(0.06, hands.hand_pose),
        noise(0.5, hands.betas),
        noise(0.006, hands.transl),
    )


def iou(model: SceneModel, params: SceneParams, view: SceneView) -> Tensor:
    """(B,) of the drawn hands and the masks."""
    drawing = draw(model, params, view, RasterSettings(), shaded=False)
    drawn, mask = drawing.fragments.mask, view.mask > 0.5
    return (drawn & mask).sum((1, 2)) / (drawn | mask).sum((1, 2))
