"""Rendered hands as the detector saw them, for the lifter: all of them in memory, no images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from fitter.errors import InputError
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.hand_models import load_hand_model
from fitter.hand_models.skinning import pose_keypoints
from fitter.rotations import roma
from init_net.samples.lifter_samples import LifterSamples, rotated
from init_net.samples.shards import HAND_FIELDS, ShardedSamples, true_hands
from init_net.view_frame import lifter_inputs, relative_keypoints, view_rotations

_PART = 4096

_STREAM, _LESS = 1, 2
"""Apart from what else a seed decides about a batch."""

BARE, WITHOUT, CERTAIN = 0.15, 0.1, 0.2
"""Probabilities that a hand has neither depths nor bones, that it lacks either of them besides, and
that all keypoints seen count as sure."""

NOISE = 0.008
"""Median standard deviation, crop units, of what is added to positions; twice that to bones."""


@dataclass(frozen=True)
class DetectedSamples:
    """N hands that the detector found.

    Attributes:
        samples: what the lifter sees and is to say of each.
        metres: (N,) float32, of a crop unit at the wrist's distance.
        index: (N,) int64, their numbers in the data set.
    """

    samples: LifterSamples
    metres: Tensor
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def of(cls, samples: ShardedSamples) -> Self:
        """All of a data set that were detected.

        Raises:
            InputError: none was.
        """
        index = np.flatnonzero(samples.column("detected"))
        if len(index) == 0:
            raise InputError("samples.none_detected", file=samples.folder, count=len(samples))
        parts = [
            _part(samples, index[start : start + _PART]) for start in range(0, len(index), _PART)
        ]
        whole = {
            name: torch.cat([getattr(hands, name) for hands, _ in parts])
            for name in vars(parts[0][0])
        }
        return cls(LifterSamples(**whole), torch.cat([metres for _, metres in parts]), index)

    def batch(self, rows: np.ndarray, seed: tuple[int, ...]) -> LifterSamples:
        """Hands `rows`, turned about the line of sight and a little noisier, each in its own way.

        The square that was put around a hand turns with it; one that is put around it anew would be
        a little larger or smaller.

        Args:
            rows: of this record, (B,).
            seed: decides how they are varied.
        """
        generator = torch.Generator()
        generator.manual_seed(int(np.random.default_rng([*seed, _STREAM]).integers(2**62)))
        hands = self.samples[torch.from_numpy(rows)]
        angle = math.pi * (2 * torch.rand(len(rows), generator=generator) - 1)
        hands = rotated(hands, angle)

        def noise(like: Tensor, factor: float) -> Tensor:
            amount = factor * NOISE * torch.randn(len(rows), generator=generator).mul(0.7).exp()
            drawn = torch.randn(like.shape, generator=generator)
            return like + amount.view(len(rows), *[1] * (like.ndim - 1)) * drawn

        depth = noise(hands.depth, 1.5)
        return replace(
            hands,
            positions=noise(hands.positions, 1.0),
            depth=torch.cat([hands.depth[:, :1], depth[:, 1:]], 1),
            bones=normalize(noise(hands.bones, 2.0), dim=-1),
        )


def with_less(hands: LifterSamples, seed: tuple[int, ...]) -> LifterSamples:
    """Hands of which some come without depths, bones or graded confidence, as keypoints from a file
    do.

    Args:
        hands: B.
        seed: decides which.
    """
    generator = torch.Generator()
    generator.manual_seed(int(np.random.default_rng([*seed, _LESS]).integers(2**62)))
    flat, deep, straight, sure = torch.rand(4, len(hands.focal), generator=generator)
    no_depth = (flat < BARE) | (deep < WITHOUT)
    no_bones = (flat < BARE) | (straight < WITHOUT)
    certain = (sure < CERTAIN)[:, None] & (hands.confidence > 0)
    return replace(
        hands,
        depth=torch.where(no_depth[:, None], torch.nan, hands.depth),
        bones=torch.where(no_bones[:, None, None], torch.nan, hands.bones),
        confidence=torch.where(certain, 1.0, hands.confidence),
    )


def observed_samples(samples: ShardedSamples, index: np.ndarray) -> ObservationBatch:
    """Samples `index` as observations of right hands, float64."""
    names = {
        "keypoints": "detected_keypoints",
        "confidence": "detected_confidence",
        "relative_depth": "detected_depth",
        "relative_xyz": "detected_xyz",
        "intrinsics": "intrinsics",
    }
    rows = samples.read(index, list(names.values()))
    fields = {name: torch.from_numpy(rows[stored]).double() for name, stored in names.items()}
    return ObservationBatch(**fields, is_left=torch.zeros(len(index), dtype=torch.bool))


def _part(samples: ShardedSamples, index: np.ndarray) -> tuple[LifterSamples, Tensor]:
    hands = normalise(observed_samples(samples, index))
    truth = true_hands(samples.read(index, HAND_FIELDS))
    keypoints = pose_keypoints(
        load_hand_model(dtype=torch.float64, children=True).keypoint_model(), truth
    )[1]
    wrist = view_rotations(hands).mT @ roma.rotvec_to_rotmat(truth.global_orient)
    pose = roma.rotvec_to_rotmat(truth.hand_pose)
    whole = LifterSamples(
        **vars(lifter_inputs(hands)),
        keypoints=relative_keypoints(keypoints, hands),
        rotations=torch.cat([wrist[:, None], pose], 1),
        betas=truth.betas,
    )
    distance = (keypoints[:, 0] * hands.view_direction).sum(-1)
    return whole.to(torch.float32), (distance / hands.intrinsics[:, 0, 0]).float()
