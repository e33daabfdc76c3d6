"""Hands that networks pose in the view frames of crops, as the fit takes them: in the camera's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from fitter.camera import back_project, rotation_to
from fitter.fitting.initializer import Looks, Prediction
from fitter.records import HandCrop, NormalisedHands, TensorBatch
from fitter.rendering.turned_light import turned_light
from init_net.stereo_fusion import NEAREST
from init_net.view_frame import view_focal


@dataclass(frozen=True)
class CropViews(TensorBatch):
    """The view frames of B crops, see `init_net.records`.

    Attributes:
        to_camera: (B, 3, 3) ``x_camera = R x_view``.
        focal: (B,) crop units, see `init_net.view_frame.view_focal`.
    """

    to_camera: Tensor
    focal: Tensor

    @classmethod
    def of(cls, crops: Sequence[HandCrop], like: Tensor) -> CropViews:
        """Those of crops, at least one, on a tensor's device and in its dtype."""
        K = torch.as_tensor(np.stack([crop.intrinsics for crop in crops])).to(like)
        side = torch.as_tensor(np.array([crop.side for crop in crops])).to(like)
        middle = (0.5 * side)[:, None, None].expand(-1, 1, 2)
        ray = normalize(back_project(middle, torch.ones_like(middle[..., 0]), K)[:, 0], dim=-1)
        return cls(rotation_to(ray), view_focal(K[:, 0, 0] / side, ray))


@dataclass(frozen=True)
class PosedHands(TensorBatch):
    """B right hands that a network poses, view frames.

    Attributes:
        points: (B, 21, 3) metres, keypoints relative to the wrist keypoint.
        wrist: (B, 3) metres, where the picture's camera has the wrist keypoint.
        rotations: (B, 1 + R, 3, 3) of the root and the R other joints that rotate.
        betas: (B, S).
    """

    points: Tensor
    wrist: Tensor
    rotations: Tensor
    betas: Tensor


def placed(
    hands: PosedHands, views: CropViews, usable: NormalisedHands, looks: Looks | None = None
) -> Prediction:
    """What is said of B hands, in the camera's axes. A network that poses a hand does not say how
    sure it is: the std is NaN.

    Args:
        hands: as the network poses them, in the dtype of `views`.
        views: of their crops.
        usable: the same hands.
        looks: how they look, lights in the view frames' axes; None where nothing is said of it.
    """
    near = hands.wrist[:, 2:].clamp_min(NEAREST)
    wrist = torch.cat([hands.wrist[:, :2], near], 1)
    # A prediction's unit is that of the wrist's depth.
    unit = usable.intrinsics[:, 0, 0] / wrist[:, 2]
    keypoints = unit[:, None, None] * (hands.points @ views.to_camera.mT)
    unknown = torch.full_like(keypoints[..., :2], torch.nan)
    turned = views.to_camera[:, None] @ hands.rotations[:, :1]
    said = {} if looks is None else vars(looks)
    if looks is not None:
        said = {**said, "lighting": turned_light(looks.lighting, views.to_camera)}
    return Prediction(
        keypoints=keypoints,
        std=unknown,
        visibility=unknown[..., 0].clone(),
        rotations=torch.cat([turned, hands.rotations[:, 1:]], 1),
        betas=hands.betas,
        wrist=(views.to_camera @ wrist[..., None])[..., 0],
        **said,
    )
