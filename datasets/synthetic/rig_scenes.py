"""Hands where all cameras of a rig see them, rendered by each.

A scene is sampled in the frame of one camera, the first that sees the rig's focus, as a sample of
that camera alone would be; its hand is put about the focus, and poses are turned down until every
camera that can sees all of it. Cameras that look elsewhere just get their images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from datasets.keypoint_states import OUTSIDE
from datasets.synthetic.engine import SyntheticEngine
from datasets.synthetic.poses import (
    Candidate,
    PosedHands,
    PoseModel,
    boxes_around,
    forearm,
    is_in_the_way,
    toward,
)
from datasets.synthetic.records import (
    BackgroundSpec,
    LensSpec,
    SampleSpecs,
    SyntheticBatch,
    ViewpointSpec,
    ViewSpec,
)
from datasets.synthetic.rig_shapes import rig_focus
from datasets.synthetic.rigs import moved_points
from datasets.synthetic.specs import RIG, VIEW, sample_specs
from datasets.synthetic.surroundings import sample_backdrop
from fitter.camera import project
from fitter.errors import InputError
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.records import HandParams, TensorBatch
from fitter.rig import Rig
from fitter.rotations import roma

Rng = np.random.Generator
RigSource = Callable[[Rng], Rig]
"""The rig of a sample, from the generator that decides; all of them have as many cameras."""
HAND_RADIUS = 0.1
"""Metres around a hand's middle in which it lies."""
CLEARANCE = 0.1
"""Metres that arms and things keep from every camera."""
NEAREST = 0.18
"""Metres from the middle of a hand to the nearest camera."""
DEPTHS, ACROSS = 0.3, 0.6
"""Shares of the focus' distance, and of half the image there, by which hands are away from the
focus; both shrink by `SHRINK` with every pose that is turned down."""
SHRINK = 0.98
BORDER = 0.03
"""Share of an image's side that is kept free of keypoints."""
ALONG = 0.88
"""Cosine of the angle between a camera's axis and a forearm from which on the arm hides the hand,
or the fingers all else."""


@dataclass(frozen=True)
class RigPoses(TensorBatch):
    """The rigs of B scenes, C cameras each, in the frame of the scene's camera.

    Attributes:
        rotation: (B, C, 3, 3) float64; translation: (B, C, 3) metres, from the scene's frame.
        intrinsics: (B, C, 3, 3) K; size: (B, C, 2) width and height, pixels.
        focus: (B, 3) metres.
        must_see: (B, C) bool, cameras that can see a hand at the focus.
        scene_camera: (B,) int64, whose frame the scene's is.
    """

    rotation: Tensor
    translation: Tensor
    intrinsics: Tensor
    size: Tensor
    focus: Tensor
    must_see: Tensor
    scene_camera: Tensor

    @property
    def centres(self) -> Tensor:
        """(B, C, 3) metres, where the cameras are in the scene's frame."""
        return -(self.rotation.mT @ self.translation[..., None])[..., 0]

    @classmethod
    def of(cls, rigs: Sequence[Rig]) -> RigPoses:
        """Of B rigs whose cameras all have a `size`.

        Raises:
            InputError: `synthetic.rig_unseen`: no camera of a rig sees a hand at its focus.
        """
        return cls(
            *(torch.stack(each) for each in zip(*(_poses(rig) for rig in rigs), strict=True))
        )


def _poses(rig: Rig) -> tuple[Tensor, ...]:
    focus = rig_focus(rig)
    can_see = np.array([_sees_a_hand(rig, number, focus) for number in range(len(rig))])
    if not can_see.any():
        raise InputError(
            "synthetic.rig_unseen", file=", ".join(rig.names), found=(focus.round(3) + 0.0).tolist()
        )
    scene = int(np.flatnonzero(can_see)[0])
    base = rig.cameras[scene]
    rotations, translations = [], []
    for number, camera in enumerate(rig.cameras):
        turn = np.eye(3) if number == scene else camera.rotation @ base.rotation.T
        rotations.append(turn)
        translations.append(
            np.zeros(3) if number == scene else camera.translation - turn @ base.translation
        )
    return (
        torch.from_numpy(np.stack(rotations)),
        torch.from_numpy(np.stack(translations)),
        torch.from_numpy(np.stack([camera.intrinsics for camera in rig.cameras])),
        torch.tensor([camera.size for camera in rig.cameras], dtype=torch.float64),
        torch.from_numpy(base.rotation @ focus + base.translation),
        torch.from_numpy(can_see),
        torch.tensor(scene),
    )


def _sees_a_hand(rig: Rig, number: int, focus: np.ndarray) -> bool:
    """Whether a camera has a ball of the size of a hand around the focus in its image."""
    camera = rig.cameras[number]
    assert camera.size is not None
    x, y, z = camera.rotation @ focus + camera.translation
    if z < NEAREST:
        return False
    at = camera.intrinsics @ [x / z, y / z, 1.0]
    radius = camera.intrinsics[[0, 1], [0, 1]] * HAND_RADIUS / z
    return bool((at[:2] > radius).all() and (at[:2] < np.array(camera.size) - radius).all())


@dataclass(frozen=True)
class RigPlacement:
    """Hands about the foci of B rigs, seen by their cameras; see `Placement`."""

    model: PoseModel
    poses: RigPoses

    def placed(self, candidate: Candidate, row: int, attempt: int, generator: Rng) -> Candidate:
        """The same hand in the same view of it, somewhere about the focus."""
        poses, camera = self.poses, int(self.poses.scene_camera[row])
        focus = poses.focus[row].numpy()
        K, size = poses.intrinsics[row, camera].numpy(), poses.size[row, camera].numpy()
        less = SHRINK**attempt
        depth = focus[2] * (1 + less * generator.uniform(-DEPTHS, DEPTHS))
        reach = less * ACROSS * 0.5 * size / K[[0, 1], [0, 1]]
        ray = np.append(focus[:2] / focus[2] + generator.uniform(-reach, reach), 1.0)
        turn = toward(ray) @ toward(candidate.place).T
        return replace(candidate, place=depth * ray, rotation=turn @ candidate.rotation)

    def sees(self, hands: PosedHands, rows: np.ndarray) -> np.ndarray:
        """Every camera that can has all keypoints in its image, not hidden by the forearm; and the
        forearm keeps clear of every camera."""
        poses = self.poses[torch.from_numpy(rows)]
        rotation = torch.from_numpy(np.stack([c.rotation for c in hands.candidates]))
        forward = rotation @ torch.from_numpy(self.model.frame[1])
        arm = forearm(hands.points, forward)
        _, keypoints = pose_keypoints(self.model.marked, hands.params)
        middle = 0.5 * (hands.points.amin(dim=1) + hands.points.amax(dim=1))
        good = torch.ones(len(rows), dtype=torch.bool)
        for camera in range(poses.rotation.shape[1]):
            R, t = poses.rotation[:, camera], poses.translation[:, camera]
            seen = moved_points(keypoints, R, t)
            there = moved_points(middle[:, None], R, t)[:, 0]
            its_arm = moved_points(arm, R, t)
            pixels = project(seen, poses.intrinsics[:, camera])
            size = poses.size[:, camera, None]
            inside = ((pixels > BORDER * size) & (pixels < (1 - BORDER) * size)).all(-1).all(-1)
            away = (R @ forward[..., None])[:, 2, 0].abs()
            shown = inside & (there.norm(dim=-1) > NEAREST) & (seen[..., 2].amin(1) > CLEARANCE)
            shown = shown & (away < ALONG) & ~is_in_the_way(its_arm, there)
            clear = torch.cat([its_arm, seen], 1).norm(dim=-1).amin(dim=1) > CLEARANCE
            good &= clear & (shown | ~poses.must_see[:, camera])
        return good.numpy()


@dataclass(frozen=True)
class RigScenes:
    """B scenes and how each camera sees them.

    Attributes:
        specs: in the frame of the scene's camera.
        views: of each camera, in the order of the rig.
        poses: where the cameras stand.
        rigs: of each scene.
    """

    specs: SampleSpecs
    views: tuple[ViewSpec, ...]
    poses: RigPoses
    rigs: tuple[Rig, ...]


class RigEngine:
    """Renders samples of one data set as the cameras of a rig see them."""

    def __init__(self, engine: SyntheticEngine, rig: Rig | RigSource, crops: bool = False) -> None:
        """Prepare.

        Args:
            engine: renders square images, `size` pixels wide.
            rig: of all samples, or what gives a sample its rig; cameras have a `size`.
            crops: images are squares around the hand, of random size and place, as the samples of a
                single camera are; else the cameras' whole images, in a square about their middle.

        Raises:
            InputError: `synthetic.rig_unseen`, see `RigPoses.of`.
        """
        self.engine, self.crops = engine, crops
        self._source: RigSource = (lambda rng: rig) if isinstance(rig, Rig) else rig
        if isinstance(rig, Rig):
            RigPoses.of([rig])

    def sample(self, seed: int, indices: Sequence[int]) -> RigScenes:
        """Scenes, on the CPU.

        Args:
            seed: of the data set; indices: of the samples; both non-negative, and nothing else
                decides what a sample is.
        """
        engine, numbers = self.engine, list(indices)
        rigs = [self._source(np.random.default_rng([seed, index, RIG])) for index in numbers]
        poses = RigPoses.of(rigs)
        placement = RigPlacement(engine.pose_model, poses)
        specs = sample_specs(engine.people, engine.settings, seed, numbers, placement)
        specs = _clear_of_cameras(engine.pose_model, specs, poses)
        views = tuple(
            self._view(specs, poses, camera, seed) for camera in range(poses.rotation.shape[1])
        )
        return RigScenes(specs, views, poses, tuple(rigs))

    def render(self, scenes: RigScenes) -> tuple[SyntheticBatch, ...]:
        """The images of each camera, on the engine's device."""
        return self.engine.render_views(scenes.specs, scenes.views)

    def batch(self, seed: int, indices: Sequence[int]) -> tuple[SyntheticBatch, ...]:
        """Rendered samples of each camera; see `sample` and `render`."""
        return self.render(self.sample(seed, indices))

    def _view(self, specs: SampleSpecs, poses: RigPoses, camera: int, seed: int) -> ViewSpec:
        rngs = [np.random.default_rng([seed, i, VIEW, camera]) for i in specs.index.tolist()]
        R, t = poses.rotation[:, camera], poses.translation[:, camera]
        K, size = poses.intrinsics[:, camera], poses.size[:, camera]
        side = size.amax(dim=1)
        # By whole pixels to the square, so that the image can be cut out of it again.
        centre = 0.5 * side[:, None] - margins(size)
        jitter = np.stack(
            [[np.exp(rng.uniform(np.log(1.3), np.log(2.2))), *rng.uniform(-0.8, 0.8, 2)]
             for rng in rngs]
        )  # fmt: skip
        _, keypoints = pose_keypoints(self.engine.pose_model.marked, specs.hand)
        own_centre, own_side = boxes_around(project(moved_points(keypoints, R, t), K), jitter)
        lens = specs.lens
        if self.crops:
            centre, side = own_centre.round(decimals=9), own_side.round(decimals=9)
        else:
            # Blur is a share of a square around the hand; a whole image is as sharp.
            share = (own_side / side).clamp(0, 1).round(decimals=9).float()
            lens = replace(lens, blur=share * lens.blur, motion=share[:, None] * lens.motion)
        is_own = poses.scene_camera == camera
        return ViewSpec(
            rotation=R,
            translation=t,
            viewpoint=ViewpointSpec(K, centre, side, specs.view.egocentric),
            background=_other_window(specs.background, rngs, is_own),
            lens=_other_noise(lens, rngs, is_own),
        )


def margins(size: Tensor) -> Tensor:
    """(..., 2) whole pixels on the left and above an image of (..., 2) width and height in the
    square that it is rendered in."""
    return ((size.amax(dim=-1, keepdim=True) - size) / 2).floor()


def whole_images(batch: SyntheticBatch, size: tuple[int, int]) -> SyntheticBatch:
    """The images of (width, height) pixels that were rendered in squares as wide as their longer
    side."""
    left, top = margins(torch.tensor(size, dtype=torch.float64)).int().tolist()
    columns, rows = slice(left, left + size[0]), slice(top, top + size[1])
    shift = torch.tensor([left, top], dtype=torch.float64, device=batch.image.device)
    pixels = batch.keypoints_2d - shift
    K = batch.intrinsics.clone()
    K[:, :2, 2] -= shift
    inside = ((pixels >= 0) & (pixels < pixels.new_tensor(size))).all(-1)
    return replace(
        batch,
        **{k: getattr(batch, k)[:, rows, columns] for k in ("image", "mask", "parts", "depth")},
        keypoints_2d=pixels,
        keypoint_state=torch.where(inside, batch.keypoint_state, OUTSIDE).to(torch.uint8),
        intrinsics=K,
    )


def _other_window(spec: BackgroundSpec, rngs: list[Rng], is_own: Tensor) -> BackgroundSpec:
    """Windows of other views into the same images; `is_own` (B,) bool keeps theirs."""
    rows = [sample_backdrop(rng) for rng in rngs]

    def other(name: str, own: Tensor) -> Tensor:
        drawn = torch.from_numpy(np.stack([np.asarray(row[name]) for row in rows])).to(own.dtype)
        return torch.where(is_own.view(-1, *(1,) * (own.ndim - 1)), own, drawn)

    names = ("window", "edge", "noise_shift")
    return replace(spec, **{name: other(name, getattr(spec, name)) for name in names})


def _other_noise(spec: LensSpec, rngs: list[Rng], is_own: Tensor) -> LensSpec:
    """Lenses of other views: as the scene's, with noise of their own."""
    drawn = torch.tensor([rng.integers(0, 512, 2).tolist() for rng in rngs])
    return replace(spec, noise_shift=torch.where(is_own[:, None], spec.noise_shift, drawn))


def _clear_of_cameras(model: PoseModel, specs: SampleSpecs, poses: RigPoses) -> SampleSpecs:
    """Leave out second hands and things that would stand in a camera's way."""
    centres = poses.centres
    second = specs.second
    points = _hand_and_arm(model, second.hand)
    sign = torch.ones(len(points), 1, 3, dtype=points.dtype)
    sign[:, 0, 0] = torch.where(second.left, -1.0, 1.0)
    clear = torch.cdist(points * sign, centres).flatten(1).amin(dim=1) > CLEARANCE
    things = specs.objects
    reach = things.half_length + things.half_width.amax(-1)
    distance = torch.cdist(things.centre, centres).amin(dim=-1)
    return replace(
        specs,
        second=replace(second, present=second.present & clear),
        objects=replace(things, present=things.present & (distance > reach + 0.5 * CLEARANCE)),
    )


def _hand_and_arm(model: PoseModel, hand: HandParams) -> Tensor:
    """(B, N, 3) points of hands and their forearms."""
    points = model.points(hand)
    turn = roma.rotvec_to_rotmat(hand.global_orient)
    forward = turn @ torch.from_numpy(model.frame[1])
    return torch.cat([points, forearm(points, forward)], 1)
