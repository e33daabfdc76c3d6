"""Where a sample's hand is and what it does: pose, view, camera, sampled until nothing collides.

Candidates of a sample come one after the other from generators seeded by (seed, index, attempt);
all samples of a batch are tried at once, and each keeps its first good candidate. So what a sample
is does not depend on the batch it is sampled in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from datasets.poses.finger_contact import hand_spheres, overlap
from datasets.poses.sampler import pose_modes, sample_mode_angles
from fitter.camera import project
from fitter.conventions import FINGERS
from fitter.hand_models import HandModel
from fitter.hand_models.anatomy import Anatomy, anatomy_of
from fitter.hand_models.keypoint_model import KeypointModel, pose_keypoints
from fitter.hand_models.kinematics import mano_joints
from fitter.hand_models.open_hand import ChildShapes
from fitter.records import HandParams
from fitter.rotations import roma

Rng = np.random.Generator
MODE_ATTEMPTS, ATTEMPTS = 200, 400
"""Candidates after which a sample may leave its mode, and after which it is given up; about one in
three is good."""
FULL_WIDTH, FULL_HEIGHT = 1280.0, 960.0
"""Pixels of the image that the square is cut out of."""
FOREARM = 0.45
"""Metres of forearm that must not come between camera and hand."""
_TIPS = tuple(4 * (1 + FINGERS.index(name)) for name in FINGERS)


@dataclass(frozen=True)
class PoseModel:
    """What of a right-hand model poses are sampled with, float64.

    Attributes:
        keypoints: joints and tips without the offsets of `HandModelData.keypoint_offsets`.
        marked: the same with them: where the 21 keypoints are.
        anatomy: axes and limits of the mean shape.
        frame: (3, 3) rows: radial, forward (wrist to middle knuckle), palmar; unit, model frame.
        shapes: number of shape coefficients, of which the first `adult_shapes` are adults'.
    """

    keypoints: KeypointModel
    marked: KeypointModel
    anatomy: Anatomy
    frame: np.ndarray
    shapes: int
    adult_shapes: int

    @classmethod
    def of(cls, model: HandModel, child_shapes: int = 0) -> PoseModel:
        """The pose model of a right hand of any dtype, whose last `child_shapes` components are
        those of children."""
        exact = HandModel(model.data, torch.float64)
        marked = exact.keypoint_model()
        joints = marked.joint_template.numpy()[list(model.skeleton.mano_joints)]
        forward = joints[4] - joints[0]
        forward = forward / np.linalg.norm(forward)
        palmar = np.cross(joints[1] - joints[7], forward)
        palmar /= np.linalg.norm(palmar)
        return cls(
            keypoints=replace(marked, keypoint_offsets=torch.zeros_like(marked.keypoint_offsets)),
            marked=marked,
            anatomy=anatomy_of(model.data),
            frame=np.stack([np.cross(forward, palmar), forward, palmar]),
            shapes=exact.shapedirs.shape[-1],
            adult_shapes=exact.shapedirs.shape[-1] - child_shapes,
        )

    def points(self, params: HandParams) -> Tensor:
        """(B, 21, 3) joints, then tips of thumb to little, as `finger_contact` takes them."""
        joints, keypoints = pose_keypoints(self.keypoints, params)
        joints = mano_joints(joints, self.keypoints.skeleton)
        return torch.cat([joints, keypoints[:, list(_TIPS)]], 1)

    def size(self, betas: Tensor) -> Tensor:
        """(B,) length of the hands of betas (B, S) over the mean adult's; 1 for every adult, whose
        hands differ by less than what is made of it."""
        model = self.keypoints
        offsets = (model.joint_shapedirs * betas[:, None, None]).sum(-1)
        ray = [model.skeleton.mano_joints[joint] for joint in (0, 4, 5, 6)]
        joints = (model.joint_template + offsets)[:, ray]
        length = torch.diff(joints, dim=1).norm(dim=-1).sum(1)
        mean = torch.diff(model.joint_template[ray], dim=0).norm(dim=-1).sum()
        is_child = (betas[:, self.adult_shapes :] != 0).any(dim=1)
        return torch.where(is_child, length / mean, 1.0).round(decimals=9)


@dataclass(frozen=True)
class Candidate:
    """One sample: mode, angles (15, 3), rotation (3, 3) model to camera, place (3,) of the hand's
    middle in metres, field of view in radians, egocentric or not."""

    mode: int
    angles: np.ndarray
    rotation: np.ndarray
    place: np.ndarray
    field_of_view: float
    egocentric: bool


class Placement(Protocol):
    """Where hands are put in place of where a camera of their own would have them."""

    def placed(self, candidate: Candidate, row: int, attempt: int, generator: Rng) -> Candidate:
        """A candidate of sample `row` of the batch somewhere else."""
        ...

    def sees(self, hands: PosedHands, rows: np.ndarray) -> np.ndarray:
        """(N,) bool: which of N posed hands, of the samples `rows`, are where they can be seen."""
        ...


@dataclass(frozen=True)
class PosedHands:
    """B hands with their cameras: `params` float64, `points` (B, 21, 3), what was sampled."""

    params: HandParams
    points: Tensor
    candidates: list[Candidate]


def sample_adult(generator: np.random.Generator, model: PoseModel) -> np.ndarray:
    """(S,) shape coefficients of an adult, unit variance, none beyond two."""
    adult = generator.normal(0, 0.85, model.adult_shapes).clip(-2.0, 2.0)
    return np.concatenate([adult, np.zeros(model.shapes - model.adult_shapes)])


def sample_child(generator: np.random.Generator, shapes: ChildShapes) -> np.ndarray:
    """(S,) shape coefficients of a child, none of the draws beyond two standard deviations."""
    deviation = generator.normal(0, 1, len(shapes.mean)).clip(-2.0, 2.0)
    return shapes.mean + np.linalg.cholesky(shapes.covariance) @ deviation


def sample_mode(generator: np.random.Generator) -> int:
    """Row of `pose_modes()`, by its share.

    It is chosen once a sample and not with every candidate: modes in which fingers touch are
    rejected more often, and would become rare.
    """
    modes = pose_modes()
    return int(generator.choice(len(modes), p=list(modes.values())))


def sample_candidate(
    model: PoseModel, mode: int, view: str, generator: np.random.Generator
) -> Candidate:
    """One hand of a mode in one view, collisions or not."""
    angles = sample_mode_angles(generator, list(pose_modes())[mode], 1)[0]
    egocentric = {"egocentric": True, "third_person": False}.get(view, generator.random() < 0.35)
    shown = _egocentric_rotation(generator) if egocentric else _third_person_rotation(generator)
    if egocentric:
        distance, fov = generator.uniform(0.32, 0.65), np.deg2rad(generator.uniform(60, 100))
    else:
        distance = np.exp(generator.uniform(np.log(0.36), np.log(1.6)))
        fov = np.deg2rad(generator.uniform(35, 75))
    reach = 0.6 * np.tan(fov / 2)
    away = generator.uniform(-1, 1, 2) * [reach, reach * FULL_HEIGHT / FULL_WIDTH]
    place = distance * np.array([*away, 1.0])
    # That is meant for a hand on the optical axis; elsewhere the same view of it is rotated.
    rotation = toward(place) @ shown @ model.frame
    return Candidate(mode, angles, rotation, place, fov, bool(egocentric))


def toward(place: np.ndarray) -> np.ndarray:
    """(3, 3) least rotation of the optical axis to a place."""
    unit = place / np.linalg.norm(place)
    axis = np.array([-unit[1], unit[0], 0.0])  # z cross unit
    return _axis_rotation(axis, np.arcsin(np.clip(np.linalg.norm(axis), 0, 1)))


def _axis_rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    length = np.linalg.norm(axis)
    if length < 1e-12:
        return np.eye(3)
    x, y, z = axis / length
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


_FACING = np.array([[1.0, 0, 0], [0, -1.0, 0], [0, 0, -1.0]]).T
"""Radial right, forward up, palm toward the camera, as columns: of the hand's frame in the
camera's."""


def _third_person_rotation(generator: np.random.Generator) -> np.ndarray:
    """Columns radial, forward, palmar in camera axes: shown to somebody, or any way at all."""
    if generator.random() < 0.2:
        quaternion = generator.normal(0, 1, 4)
        w, x, y, z = quaternion / np.linalg.norm(quaternion)
        return np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
    yaw = generator.normal(0, 0.55) + np.pi * (generator.random() < 0.45)
    pitch, roll = generator.normal(0, 0.35), generator.normal(0, 0.5)
    if generator.random() < 0.25:
        roll = generator.uniform(-np.pi, np.pi)
    z, x, y = np.eye(3)[2], np.eye(3)[0], np.eye(3)[1]
    rotation = _axis_rotation(z, roll) @ _axis_rotation(x, pitch) @ _axis_rotation(y, yaw)
    return rotation @ _FACING


def _egocentric_rotation(generator: np.random.Generator) -> np.ndarray:
    """As `_third_person_rotation`, of one's own right hand: the arm comes from below, mostly from
    the right, and reaches away; the forearm pronates and supinates about its length."""
    forward = np.array(
        [generator.normal(-0.35, 0.4), generator.normal(-0.75, 0.25), generator.uniform(0.0, 0.4)]
    )
    forward /= np.linalg.norm(forward)
    # At 0 the palm faces down and away, at 90 degrees to the left, at 180 to the eyes.
    mean, std = ((20, 28), (90, 28), (165, 25))[generator.choice(3, p=[0.4, 0.3, 0.3])]
    angle = np.deg2rad(generator.normal(mean, std))
    down = np.array([0.0, 0.5, 0.8])
    down -= (down @ forward) * forward
    down /= np.linalg.norm(down)
    palmar = _axis_rotation(forward, -angle) @ down
    return np.stack([np.cross(forward, palmar), forward, palmar], axis=1)


def pose_candidates(model: PoseModel, candidates: list[Candidate], betas: np.ndarray) -> PosedHands:
    """Put the candidates' hands at their places; betas (B, S)."""
    rotations = torch.from_numpy(np.stack([c.rotation for c in candidates]))
    orient = roma.rotmat_to_rotvec(rotations)
    angles = torch.from_numpy(np.stack([c.angles for c in candidates]))
    pose = model.anatomy.hand_pose(angles)
    zero = torch.zeros(len(candidates), 3, dtype=torch.float64)
    params = HandParams(orient, pose, torch.from_numpy(betas), zero)
    points = model.points(params)
    middle = 0.5 * (points.amin(dim=1) + points.amax(dim=1))
    place = torch.from_numpy(np.stack([c.place for c in candidates]))
    return PosedHands(
        replace(params, transl=place - middle), points + (place - middle)[:, None], candidates
    )


def is_good(model: PoseModel, hands: PosedHands) -> np.ndarray:
    """(B,) bool: no finger passes through another, and the forearm does not hide the hand."""
    rotation = torch.from_numpy(np.stack([c.rotation for c in hands.candidates]))
    forward = rotation @ torch.from_numpy(model.frame[1])
    away = forward[:, 2]
    # Fingers that point at the camera hide what they do; a forearm that does hides the hand.
    shown = (away < 0.75) & (away > -0.7) & (hands.points[..., 2].amin(dim=1) > 0.12)
    arm = forearm(hands.points, forward)
    middle = 0.5 * (hands.points.amin(dim=1) + hands.points.amax(dim=1))
    # The flesh of a child's fingers is as much thinner as the hand is smaller.
    size = model.size(hands.params.betas)[:, None, None]
    apart = overlap(hands.points / size) < 0
    return (shown & ~is_in_the_way(arm, middle) & apart).numpy()


def forearm(points: Tensor, forward: Tensor) -> Tensor:
    """(B, 9, 3) points along the forearms of hands.

    Args:
        points: (B, 21, 3) of `PoseModel.points`, metres.
        forward: (B, 3) unit, from the wrist to the middle knuckle, in the same frame.
    """
    steps = torch.linspace(0.05, FOREARM, 9, dtype=torch.float64)
    return points[:, :1] - steps[:, None] * forward[:, None]


def is_in_the_way(arm: Tensor, middle: Tensor) -> Tensor:
    """(B,) bool: the forearm comes near the camera in a cone around the hand.

    Args:
        arm: (B, N, 3) points of the forearm, metres, camera frame.
        middle: (B, 3) of the hand.
    """
    along = (arm * middle[:, None]).sum(-1) / middle.norm(dim=1, keepdim=True)
    beside = (arm.square().sum(-1) - along.square()).clamp_min(0).sqrt()
    near = arm[..., 2] < 0.16
    blocked = near & (beside < 0.1 + 0.5 * along.clamp_min(0)) & (along > -0.1)
    return blocked.any(dim=1)


def first_good(
    model: PoseModel,
    betas: np.ndarray,
    sample: Callable[[int, int], Candidate],
    good: Callable[[PosedHands, np.ndarray], np.ndarray],
    attempts: int = ATTEMPTS,
) -> tuple[list[Candidate | None], np.ndarray]:
    """The first good candidate of each of B samples.

    Args:
        model: poses them.
        betas: (B, S).
        sample: candidate of (row, attempt).
        good: (N,) bool for N posed hands and the rows they belong to.
        attempts: how many are tried.

    Returns:
        B candidates, None where none was good, and (B,) whether one was.
    """
    chosen: list[Candidate | None] = [None] * len(betas)
    pending = np.arange(len(betas))
    for attempt in range(attempts):
        if len(pending) == 0:
            break
        candidates = [sample(int(row), attempt) for row in pending]
        accepted = good(pose_candidates(model, candidates, betas[pending]), pending)
        for row, candidate, keep in zip(pending, candidates, accepted, strict=True):
            if keep:
                chosen[row] = candidate
        pending = pending[~accepted]
    return chosen, np.array([candidate is not None for candidate in chosen])


def full_intrinsics(candidates: list[Candidate]) -> Tensor:
    """(B, 3, 3) K of the full images."""
    K = torch.zeros(len(candidates), 3, 3, dtype=torch.float64)
    fov = torch.tensor([c.field_of_view for c in candidates], dtype=torch.float64)
    K[:, 0, 0] = K[:, 1, 1] = FULL_WIDTH / 2 / torch.tan(fov / 2)
    K[:, 0, 2], K[:, 1, 2], K[:, 2, 2] = FULL_WIDTH / 2, FULL_HEIGHT / 2, 1.0
    return K


def crop_boxes(
    model: PoseModel, hands: PosedHands, K: Tensor, jitter: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Centre (B, 2) and side (B,) of squares around the keypoints, pixels of the full image.

    Args:
        model: gives the keypoints.
        hands: B of them.
        K: (B, 3, 3) of the full image.
        jitter: (B, 3) side over the box's longer side, shift in x and y as a share of the room
            that the hand leaves in the square.
    """
    _, keypoints = pose_keypoints(model.marked, hands.params)
    return boxes_around(project(keypoints, K), jitter)


def boxes_around(pixels: Tensor, jitter: np.ndarray) -> tuple[Tensor, Tensor]:
    """Centre (B, 2) and side (B,) of squares around positions (B, N, 2); see `crop_boxes`."""
    low, high = pixels.amin(dim=1), pixels.amax(dim=1)
    extent, shift = high - low, torch.from_numpy(jitter)
    side = extent.amax(dim=1) * shift[:, 0]
    room = 0.5 * (side[:, None] - extent) - 0.04 * side[:, None]
    return 0.5 * (low + high) + shift[:, 1:] * room.clamp_min(0), side


def flesh(model: PoseModel, hands: PosedHands, mirrored: np.ndarray) -> tuple[Tensor, Tensor]:
    """Spheres (B, S, 3) of hands with their forearms, and radii (S,); see `hand_spheres`.

    Hands for which `mirrored` (B,) bool is set are taken as the mirror images that they stand for.
    """
    spheres = hand_spheres()
    rotation = torch.from_numpy(np.stack([c.rotation for c in hands.candidates]))
    forward = rotation @ torch.from_numpy(model.frame[1])
    steps = torch.linspace(0.0, FOREARM, 12, dtype=torch.float64)
    arm = hands.points[:, :1] - steps[:, None] * forward[:, None]
    centres = torch.cat([spheres.centres(hands.points), arm], 1)
    sign = torch.where(torch.from_numpy(mirrored), -1.0, 1.0).double()
    ones = torch.ones_like(sign)
    centres = centres * torch.stack([sign, ones, ones], 1)[:, None]
    radii = torch.from_numpy(np.concatenate([spheres.radius, np.full(12, 0.035)]))
    return centres, radii
