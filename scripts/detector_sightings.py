"""Rendered hands and what the detector saw of them, for `measure_keypoints.py` and its figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from torch import Tensor
from torch.nn.functional import normalize

from datasets.detector import HandPairs
from datasets.detector.keypoint_definition import facing
from fitter.conventions import BONES, MODEL_TO_KEYPOINTS
from fitter.hand_models import HandModel, load_open_hand
from fitter.hand_models.keypoint_model import KEYPOINT_BONES
from fitter.hand_models.kinematics import forward_kinematics
from fitter.records import HandParams
from init_net.samples import sightings as looks
from init_net.samples.shards import ShardedSamples

FIELDS = (
    "keypoint_state",
    "intrinsics",
    "global_orient",
    "hand_pose",
    "betas",
    "transl",
    "egocentric",
)
CHUNK = 512
MARGIN = 1.2
"""Side of the crop over the longer side of the keypoints' box."""


@dataclass(frozen=True)
class Sightings:
    """N rendered right hands that the detector found, float64, canonical order.

    Attributes:
        points: (N, 21, 3) the model's joints and tip vertices, camera frame, metres.
        rotations: (N, 21, 3, 3) rotations of the bones that they belong to, model to camera.
        params: the hands; states: (N, 21) VISIBLE ... OUTSIDE; egocentric: (N,) bool.
        intrinsics: (N, 3, 3) pixels.
        detected: (N, 21, 2) pixels; confidence: (N, 21); depth: (N, 21) pixels; xyz: (N, 21, 3)
            metres.
        rendered: hands that were rendered; seed: of their data set.
        indices: (N,) their numbers among these.
    """

    points: np.ndarray
    rotations: np.ndarray
    params: HandParams
    states: np.ndarray
    egocentric: np.ndarray
    intrinsics: np.ndarray
    detected: np.ndarray
    confidence: np.ndarray
    depth: np.ndarray
    xyz: np.ndarray
    rendered: int
    seed: int
    indices: np.ndarray

    def select(self, index: slice | np.ndarray) -> Sightings:
        """Some of the hands."""
        parts = {
            name: value[index] if isinstance(value, np.ndarray | HandParams) else value
            for name, value in vars(self).items()
        }
        return Sightings(**parts)

    @property
    def size(self) -> np.ndarray:
        """(N,) longer side in pixels of the box around the bare joints."""
        return np.ptp(project(self.points, self.intrinsics), axis=1).max(-1)


def bare_hand() -> HandModel:
    """The open hand with its joints and tips for keypoints, float64."""
    return HandModel(load_open_hand(keypoint_offsets=False), torch.float64)


def read_sightings(folder: Path, count: int | None = None) -> Sightings:
    """Pose the hands of a folder of `init_net.samples.shards` again and keep those that were
    detected.

    Args:
        folder: of shards that the detector has looked at.
        count: leading samples to use, None for all.

    Raises:
        InputError: there are no samples, fewer than asked for, or nobody has looked at them.
    """
    samples = ShardedSamples(folder, count)
    sightings = looks.Sightings(samples, [1])
    indices = np.flatnonzero(sightings.found[:, 0] == looks.FOUND)
    seen = sightings.read(indices, np.zeros_like(indices))
    columns = {**{name: samples.column(name)[indices] for name in FIELDS}, **seen}
    kept = {name: torch.from_numpy(value) for name, value in columns.items()}
    kept = {k: v.double() if v.is_floating_point() else v for k, v in kept.items()}
    params = HandParams(*(kept[n] for n in ("global_orient", "hand_pose", "betas", "transl")))
    points, rotations = _bones(bare_hand(), params)
    return Sightings(
        points,
        rotations,
        params,
        kept["keypoint_state"].numpy(),
        kept["egocentric"].numpy(),
        kept["intrinsics"].numpy(),
        kept["keypoints"].numpy(),
        kept["confidence"].numpy(),
        kept["depth"].numpy(),
        kept["xyz"].numpy(),
        len(samples),
        samples.seed,
        indices,
    )


def _bones(model: HandModel, params: HandParams) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (N, 21, 3) and the rotations (N, 21, 3, 3) of the bones that carry them."""
    bones = [KEYPOINT_BONES[i] for i in MODEL_TO_KEYPOINTS]
    points, rotations = [], []
    for part in _chunks(params):
        angles = torch.cat([part.global_orient[:, None], part.hand_pose], 1)
        joints = model.rest_joints(part.betas)
        rotation, _ = forward_kinematics(roma.rotvec_to_rotmat(angles), joints)
        points.append(model(part).keypoints)
        rotations.append(rotation[:, bones])
    return torch.cat(points).numpy(), torch.cat(rotations).numpy()


def vertices_of(sightings: Sightings, vertices: np.ndarray) -> np.ndarray:
    """(N, len(vertices), 3) float32 positions of some vertices, camera frame, metres."""
    model, index = bare_hand(), torch.from_numpy(vertices)
    with torch.no_grad():
        parts = [model(part).vertices[:, index].float() for part in _chunks(sightings.params)]
    return torch.cat(parts).numpy()


def _chunks(params: HandParams) -> Iterator[HandParams]:
    for start in range(0, len(params.transl), CHUNK):
        yield params[start : start + CHUNK]


def project(points: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(N, K, 2) pixels of points (N, K, 3) for K (N, 3, 3)."""
    image = points @ intrinsics.transpose(0, 2, 1)
    return image[..., :2] / image[..., 2:]


def hand_pairs(sightings: Sightings, keypoints: np.ndarray) -> HandPairs:
    """True keypoints (N, 21, 3), camera frame, and what was detected, in crop units."""
    pixels = project(keypoints, sightings.intrinsics)
    low, high = pixels.min(1), pixels.max(1)
    side = MARGIN * (high - low).max(-1)[:, None]
    centre = 0.5 * (low + high)
    K = sightings.intrinsics
    ray = np.concatenate([(centre - K[:, :2, 2]) / K[:, [0, 1], [0, 1]], np.ones_like(side)], 1)
    direction = ray / np.linalg.norm(ray, axis=1, keepdims=True)
    distance = np.einsum("nki,ni->nk", keypoints, direction)
    depth = K[:, 0, 0, None] / side * (distance - distance[:, :1]) / distance[:, :1]
    true = torch.from_numpy(keypoints @ rotation_to(direction))
    return HandPairs(
        torch.from_numpy((pixels - centre[:, None]) / side[..., None]),
        torch.from_numpy(depth),
        bones_of(true),
        torch.from_numpy(sightings.states),
        torch.from_numpy((sightings.detected - centre[:, None]) / side[..., None]),
        torch.from_numpy(sightings.confidence),
        torch.from_numpy(sightings.depth / side),
        bones_of(torch.from_numpy(sightings.xyz)),
    )


def facing_seen(sightings: Sightings) -> np.ndarray:
    """(N,) `facing` of the hands as the detector's weak 3D keypoints have it."""
    return facing(bones_of(torch.from_numpy(sightings.xyz))).numpy()


def bones_of(points: Tensor) -> Tensor:
    """(N, 20, 3) unit directions of the bones of keypoints (N, 21, 3)."""
    palm, tip = (list(ends) for ends in zip(*BONES, strict=True))
    return normalize(points[:, tip] - points[:, palm], dim=-1)


def rotation_to(direction: np.ndarray) -> np.ndarray:
    """(N, 3, 3) shortest rotations that take z to unit vectors (N, 3): Rodrigues' formula,
    ``I + [a] + [a]^2 / (1 + cos)`` with a = z x direction."""
    x, y, z = direction.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, zero, x, zero, zero, y, -x, -y, zero], -1).reshape(-1, 3, 3)
    return np.eye(3) + cross + cross @ cross / (1 + z)[:, None, None]
