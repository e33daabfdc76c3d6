"""Hands sampled at random, and what calibrated cameras around them see of their keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from datasets.poses.sampler import sample_hand_angles
from fitter.fitting.detected_frame import DetectedFrame
from fitter.fitting.detected_image import DetectedImage
from fitter.fitting.fit_model import FitModel
from fitter.hand_models import pose_keypoints
from fitter.records import HandObservation, HandParams, Side
from fitter.rig import Rig, RigCamera
from fitter.rotations import roma

SIZE = (640, 480)
FOCAL = 600.0
NEAREST, FARTHEST = 0.35, 0.6
"""Metres from a camera to the middle of a hand."""


@dataclass(frozen=True)
class SampledHands:
    """B hands in the rig's frame, whose origin is the middle of each.

    Attributes:
        right: parameters of the hands as right ones (left ones are mirrored in x).
        sides: of each.
        joints: (B, J, 3) metres, of the hands as they are.
        keypoints: (B, 21, 3) metres, in the definition that the fit takes for the detector's.
    """

    right: HandParams
    sides: list[Side]
    joints: np.ndarray
    keypoints: np.ndarray

    @classmethod
    def of(cls, model: FitModel, count: int, seed: int) -> SampledHands:
        """Hands of random pose, shape, side and direction, about the origin."""
        rng = np.random.default_rng(seed)
        angles = torch.as_tensor(sample_hand_angles(rng, count))
        pose = torch.einsum("nja,jac->njc", angles, model.pose_space.axes)
        orient = roma.unitquat_to_rotvec(
            torch.nn.functional.normalize(torch.as_tensor(rng.normal(size=(count, 4))), dim=-1)
        )
        betas = torch.as_tensor(rng.normal(size=(count, model.keypoints.joint_shapedirs.shape[-1])))
        right = HandParams(orient, pose, betas, torch.zeros(count, 3).double())
        middle = pose_keypoints(model.keypoints, right)[1].mean(1)
        moved = torch.as_tensor(rng.normal(scale=0.02, size=(count, 3)))
        right = HandParams(orient, pose, betas, moved - middle)
        sides: list[Side] = ["left" if left else "right" for left in rng.random(count) < 0.5]
        joints, keypoints = (x.numpy() for x in pose_keypoints(model.keypoints, right))
        flip = np.array([[-1.0 if side == "left" else 1.0, 1.0, 1.0] for side in sides])
        return cls(right, sides, joints * flip[:, None], keypoints * flip[:, None])


def look_at(centre: np.ndarray, name: str) -> RigCamera:
    """A camera at `centre` (3,) metres that looks at the origin, upright as far as that goes."""
    forward = -centre / np.linalg.norm(centre)
    up = np.array([0.0, -1.0, 0.0]) if abs(forward[1]) < 0.95 else np.array([0.0, 0.0, 1.0])
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    K = np.array([[FOCAL, 0, SIZE[0] / 2], [0, FOCAL, SIZE[1] / 2], [0, 0, 1]])
    return RigCamera(name, K, rotation, -rotation @ centre, size=SIZE)


def stereo(rng: np.random.Generator, baseline: float) -> Rig:
    """Two cameras side by side with parallel axes, `baseline` metres apart."""
    distance = rng.uniform(NEAREST, FARTHEST - 0.02)
    first = look_at(np.array([0.0, 0.0, -distance]), "left")
    cameras = [
        RigCamera(
            name,
            first.intrinsics,
            first.rotation,
            first.translation + np.array([shift, 0.0, 0.0]),
            size=SIZE,
        )
        for name, shift in (("left", baseline / 2), ("right", -baseline / 2))
    ]
    return Rig(tuple(cameras))


def ring(rng: np.random.Generator, count: int) -> Rig:
    """Cameras around the hand in equal steps on a cone, at random distances; all look at it."""
    start = rng.uniform(0, 2 * np.pi)
    cameras = []
    for k in range(count):
        angle, distance = start + 2 * np.pi * k / count, rng.uniform(NEAREST, FARTHEST)
        # A cone about the z axis, 45 degrees wide: neighbours of eight stand 0.2 m apart.
        centre = distance * np.array([np.sin(0.8) * np.cos(angle), np.sin(0.8) * np.sin(angle), 0])
        cameras.append(look_at(centre - [0, 0, distance * np.cos(0.8)], f"camera{k}"))
    return Rig(tuple(cameras))


def turned(rig: Rig, degrees: float, rng: np.random.Generator) -> Rig:
    """The rig as a calibration has it whose rotations are off by so much, about random axes through
    the cameras' centres; the first camera is true."""
    cameras = [rig.cameras[0]]
    for camera in rig.cameras[1:]:
        axis = rng.normal(size=3)
        axis *= np.radians(degrees) / np.linalg.norm(axis)
        turn = roma.rotvec_to_rotmat(torch.as_tensor(axis)).numpy()
        cameras.append(
            RigCamera(
                camera.name,
                camera.intrinsics,
                turn @ camera.rotation,
                turn @ camera.translation,
                size=camera.size,
            )
        )
    return Rig(tuple(cameras))


def seen(camera: RigCamera, points: np.ndarray) -> np.ndarray:
    """(..., 2) pixels of points (..., 3) in the rig's frame."""
    inside = points @ camera.rotation.T + camera.translation
    image = inside @ camera.intrinsics.T
    return image[..., :2] / image[..., 2:]


def frames_of(
    hands: SampledHands,
    rigs: Sequence[Rig],
    noise: float,
    rng: np.random.Generator,
    calibrations: Sequence[Rig] | None = None,
) -> list[DetectedFrame]:
    """A frame a hand, with keypoints that are off by `noise` pixels in each coordinate.

    Args:
        hands: B of them.
        rigs: that truly see each.
        noise: standard deviation, pixels.
        rng: of the noise.
        calibrations: what is known of the rigs; None for the truth.
    """
    frames = []
    for k, (rig, side) in enumerate(zip(rigs, hands.sides, strict=True)):
        views = []
        for camera in rig.cameras:
            pixels = seen(camera, hands.keypoints[k])
            pixels = pixels + rng.normal(scale=noise, size=pixels.shape)
            hand = HandObservation(pixels, np.ones(21), side, 0.99, 0.99)
            views.append(DetectedImage(SIZE, camera.intrinsics, "given", (hand,)))
        known = rig if calibrations is None else calibrations[k]
        frames.append(DetectedFrame(known, tuple(views)))
    return frames


def two_of(hands: SampledHands, rig: Rig, noise: float, rng: np.random.Generator) -> DetectedFrame:
    """One frame with both of two sampled hands, 0.15 m apart, that all cameras show."""
    apart = np.array([[-0.075, 0, 0], [0.075, 0, 0]])[:, None]
    beside = replace(hands, keypoints=hands.keypoints + apart)
    both = zip(*(frame.views for frame in frames_of(beside, [rig, rig], noise, rng)), strict=True)
    views = [replace(one, hands=(*one.hands, *other.hands)) for one, other in both if one and other]
    return DetectedFrame(rig, tuple(views))
