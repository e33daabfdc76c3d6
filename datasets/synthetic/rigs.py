"""A scene of one camera, seen by others: everything that has a place moves into their frames.

The specs of a sample live in the frame of one camera, the scene's. Another camera that stands at
``x_camera = R x_scene + t`` sees the same scene: hand, arm, things, second hand and lights moved by
R and t, through a K, a lens and before a backdrop of its own. What moves is light as it falls on
the surfaces, so a point of a surface is as bright in every view, but for its highlights.

Not the same in all views, since it has no place in the scene: what is behind (each view has its own
window into the same images) and the shadow on it, and noise. The light of an infrared camera falls
off with the distance from each camera.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from datasets.synthetic.records import (
    LightSpec,
    ObjectSpec,
    SampleSpecs,
    SecondHandSpec,
    ViewSpec,
)
from fitter.hand_models import HandModel
from fitter.records import HandParams
from fitter.rotations import roma


def turned(vectors: Tensor, rotation: Tensor) -> Tensor:
    """Vectors (B, ..., 3) turned by B rotations (B, 3, 3), each sum in the same order whatever the
    batch is."""
    rows = rotation.to(vectors.dtype).view(len(rotation), *(1,) * (vectors.ndim - 2), 3, 3)
    x, y, z = (vectors[..., k, None] for k in range(3))
    return x * rows[..., 0] + y * rows[..., 1] + z * rows[..., 2]


def moved_points(points: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
    """``R x + t`` of points (B, N, 3) for B rotations (B, 3, 3) and translations (B, 3)."""
    return turned(points, rotation) + translation[:, None].to(points.dtype)


def moved_specs(specs: SampleSpecs, view: ViewSpec, model: HandModel) -> SampleSpecs:
    """The specs of B scenes as the camera of a view has them: an ordinary sample of that camera.

    Args:
        specs: in the frame of the scene's camera.
        view: of B scenes.
        model: right hands, float64, that `HandParams` are of.

    Returns:
        Everything in the frame of the view's camera, on the same device.
    """
    rotation, translation = view.rotation, view.translation
    return replace(
        specs,
        hand=moved_hand(specs.hand, rotation, translation, model),
        view=view.viewpoint,
        light=_moved_light(specs.light, rotation),
        objects=_moved_objects(specs.objects, rotation, translation),
        second=_moved_second(specs.second, rotation, translation, model),
        background=view.background,
        lens=view.lens,
    )


def moved_hand(
    hand: HandParams, rotation: Tensor, translation: Tensor, model: HandModel
) -> HandParams:
    """Hands in another frame, see `moved_points`: they turn about their root joint, wherever the
    frame's origin is. `model` is of right hands, float64."""
    root = model.rest_joints(hand.betas)[:, :1]
    orient = rotation @ roma.rotvec_to_rotmat(hand.global_orient)
    place = moved_points(root + hand.transl[:, None], rotation, translation) - root
    return replace(
        hand,
        global_orient=roma.rotmat_to_rotvec(orient).round(decimals=9),
        transl=place[:, 0].round(decimals=9),
    )


def _moved_light(light: LightSpec, rotation: Tensor) -> LightSpec:
    toward, up = (turned(each.double(), rotation) for each in (light.toward, light.up[:, None]))
    return replace(light, toward=toward.float(), up=up[:, 0].float())


def _moved_objects(objects: ObjectSpec, rotation: Tensor, translation: Tensor) -> ObjectSpec:
    return replace(
        objects,
        centre=moved_points(objects.centre, rotation, translation).round(decimals=9),
        axes=turned(objects.axes, rotation).round(decimals=9),
    )


def _moved_second(
    second: SecondHandSpec, rotation: Tensor, translation: Tensor, model: HandModel
) -> SecondHandSpec:
    """Of a left hand the specs are those of its mirror image, in which rotations are mirrored."""
    mirror = torch.where(second.left, -1.0, 1.0).to(rotation)
    ones = torch.ones_like(mirror)
    sign = torch.stack([mirror, ones, ones], 1)
    rotation = sign[:, :, None] * rotation * sign[:, None]
    return replace(second, hand=moved_hand(second.hand, rotation, sign * translation, model))
