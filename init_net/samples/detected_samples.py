"""Sightings of hands with the truth, for the lifter: all of them in memory, no images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from datasets.synthetic.records import VISIBLE
from fitter.errors import InputError
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.hand_models import load_hand_model
from fitter.rotations import roma
from init_net.samples.lifter_samples import LifterSamples, rotated
from init_net.samples.shards import HAND_FIELDS, UNKNOWN, ShardedSamples
from init_net.samples.sightings import FOUND, Sightings
from init_net.samples.truth import true_keypoints
from init_net.view_frame import lifter_inputs, relative_keypoints, view_rotations

_PART = 4096

_STREAM, _LESS = 1, 2
"""Apart from what else a seed decides about a batch."""

BARE, WITHOUT, CERTAIN = 0.15, 0.1, 0.2
"""Probabilities that a hand has neither depths nor bones, that it lacks either of them besides, and
that all keypoints seen count as sure."""

UNLOOKED, ONE_LOOK = 0.1, 0.1
"""Probabilities that a hand with depths has no features, and that it lacks those of either look."""

NOISE = 0.008
"""Median standard deviation, crop units, of what is added to positions; twice that to bones."""


@dataclass(frozen=True)
class DetectedSamples:
    """N sightings.

    Attributes:
        samples: what the lifter sees and is to say of each; features in half precision.
        index: (N,) int64, the numbers of their samples in the data set.
        variant: (N,) int64, which sighting of its sample each is.
    """

    samples: LifterSamples
    index: np.ndarray
    variant: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def of(
        cls,
        samples: ShardedSamples,
        as_rendered: bool = False,
        variants: Sequence[int] | None = None,
    ) -> Self:
        """All sightings of a data set.

        Args:
            samples: that the detector has looked at, see `init_net.samples.sightings`.
            as_rendered: those alone of pictures as they were rendered in which the detector found
                the hand by itself.
            variants: for each of `samples.sets`, leading sightings of a sample; None for all.

        Raises:
            InputError: there is none, or they are missing or damaged.
        """
        sightings = Sightings(samples, [1] * len(samples.sets) if as_rendered else variants)
        wanted = sightings.found == FOUND if as_rendered else sightings.found > 0
        index, variant = np.nonzero(wanted)
        if len(index) == 0:
            raise InputError("samples.none_detected", file=samples.folder, count=len(samples))
        starts = range(0, len(index), _PART)
        parts = [
            _part(samples, sightings, (index[k : k + _PART], variant[k : k + _PART]))
            for k in starts
        ]
        return cls(LifterSamples.together(parts), index, variant)

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
        hands = replace(hands, features=hands.features.float())
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
    """Hands of which some come without depths, bones, graded confidence or features, as keypoints
    from a file do.

    Args:
        hands: B.
        seed: decides which.
    """
    generator = torch.Generator()
    generator.manual_seed(int(np.random.default_rng([*seed, _LESS]).integers(2**62)))
    flat, deep, straight, sure, blind = torch.rand(5, len(hands.focal), generator=generator)
    no_depth = (flat < BARE) | (deep < WITHOUT)
    no_bones = (flat < BARE) | (straight < WITHOUT)
    no_look = torch.rand(len(hands.focal), 2, generator=generator) < ONE_LOOK / 2
    no_look |= ((flat < BARE) | (blind < UNLOOKED))[:, None]
    certain = (sure < CERTAIN)[:, None] & (hands.confidence > 0)
    return replace(
        hands,
        depth=torch.where(no_depth[:, None], torch.nan, hands.depth),
        bones=torch.where(no_bones[:, None, None], torch.nan, hands.bones),
        confidence=torch.where(certain, 1.0, hands.confidence),
        features=torch.where(no_look[..., None], torch.nan, hands.features),
    )


def observed_samples(
    samples: ShardedSamples, sightings: Sightings, which: tuple[np.ndarray, np.ndarray]
) -> ObservationBatch:
    """Sightings as observations of right hands, float64.

    Args:
        samples: that were seen.
        sightings: theirs.
        which: (N,) samples, and (N,) which sighting of each.
    """
    seen = sightings.read(*which)
    names = {
        "keypoints": "keypoints",
        "confidence": "confidence",
        "relative_depth": "depth",
        "relative_xyz": "xyz",
    }
    fields = {name: torch.from_numpy(seen[stored]).double() for name, stored in names.items()}
    intrinsics = torch.from_numpy(samples.read(which[0], ["intrinsics"])["intrinsics"]).double()
    return ObservationBatch(
        **fields,
        intrinsics=intrinsics,
        features=torch.from_numpy(seen["features"]).float(),
        is_left=torch.zeros(len(intrinsics), dtype=torch.bool),
    )


def _part(
    samples: ShardedSamples, sightings: Sightings, which: tuple[np.ndarray, np.ndarray]
) -> LifterSamples:
    hands = normalise(observed_samples(samples, sightings, which))
    rows = samples.read(which[0], [*HAND_FIELDS, "keypoints_3d", "keypoint_state"])
    model = load_hand_model(dtype=torch.float64, children=True).keypoint_model()
    truth, _, keypoints = true_keypoints(model, rows)
    wrist = view_rotations(hands).mT @ roma.rotvec_to_rotmat(truth.global_orient)
    pose = roma.rotvec_to_rotmat(truth.hand_pose)
    inputs = lifter_inputs(hands)
    distance = (keypoints[:, 0] * hands.view_direction).sum(-1)
    whole = LifterSamples(
        **{**vars(inputs), "features": inputs.features[:0]},
        keypoints=relative_keypoints(keypoints, hands),
        rotations=torch.cat([wrist[:, None], pose], 1),
        betas=truth.betas,
        visible=_visible(rows["keypoint_state"]),
        metres=distance / hands.intrinsics[:, 0, 0],
        weight=torch.ones(len(keypoints)),
        keypoint_weight=torch.ones(len(keypoints), 21),
    )
    return replace(whole.to(torch.float32), features=inputs.features.half())


def _visible(state: np.ndarray) -> Tensor:
    """(N, 21) 1 or 0 of states, NaN where nobody says."""
    seen = torch.from_numpy(state == VISIBLE).double()
    return seen.masked_fill(torch.from_numpy(state == UNKNOWN), torch.nan)
