"""What a hand detector makes of a hand whose keypoints are known: random, but as measured.

`datasets.detector.scatter` measures the noise on pairs of true and detected hands;
`DetectorNoise.sample` makes a detected hand of a true one, many at once.

Confidence first, then the errors that go with it
    A keypoint's confidence depends on what hides it; its error on both. Confidences of the 21
    keypoints are correlated with each other, errors of all quantities likewise.
Monotone maps of Gaussians
    All marginals are those that were measured, tails included: a correlated Gaussian vector with a
    few factors is sampled, and each of its values (for positions: each length of a pair) is mapped
    by the measured quantile function of its keypoint, state and confidence. This is the
    nonparanormal of Liu, Lafferty and Wasserman, "The nonparanormal", JMLR 10, 2009, definition 1.
Good and bad hands
    Some hands, and some fingers, are detected badly throughout: all scores of a hand and of a
    finger are multiplied by common log-normal factors before they are mapped.
Errors in the hand's own axes
    Position errors are taken along and across the line from the wrist to the knuckles; bones err in
    their tilt toward the camera and in their direction in the image.
Fingers taken for others
    With a probability that depends on its confidence, a finger is put where another one is.

Positions and depths are crop units, see `DetectedHands`. Left hands are mirrored before.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn.functional import normalize

from datasets.detector.hands import (
    DetectedHands,
    bone_confidence,
    bone_state,
    hand_axes,
    lean,
)
from datasets.detector.keypoint_definition import ASSETS, facing, on_line, tilted
from datasets.keypoint_states import OCCLUDED
from fitter.errors import InputError
from fitter.records import TensorBatch

NOISE_PATH = ASSETS / "detector_noise.safetensors"
"""MediaPipe's noise, measured by `scripts/measure_keypoints.py`."""

UNKNOWN = OCCLUDED + 1
"""Row of the tables for a keypoint of which it is not known what hides it; the rows before are
VISIBLE, SELF_OCCLUDED and OCCLUDED of `datasets.keypoint_states`."""
STATES = UNKNOWN + 1

CONFIDENCE_EDGES = (0.1, 0.3, 0.5, 0.7, 0.85, 0.95)
"""Between the classes of confidence of the tables."""
CLASSES = len(CONFIDENCE_EDGES) + 1

LEVEL_STEP, LEVELS = 0.06, 51
"""Of the quantile functions of errors, in the logarithm of one plus their argument: a score's
absolute value, or the length of a pair of scores."""
CONFIDENCE_LEVEL, CONFIDENCE_LEVELS = 0.2, 37
"""The same for confidences, whose argument is a Gaussian with its sign: -3.6 to 3.6."""

SCORES = 42 + 20 + 40
"""Entries of the Gaussian vector of a hand: 21 positions (along, across), 20 depths, 20 bones
(tilt, direction)."""

BONE_TROUBLE = 0.5
"""Exponent with which a hand's and a finger's common factor acts on bones."""


@dataclass(frozen=True)
class NoiseSamples(TensorBatch):
    """All that is random about B hands, independent: standard normal except `other`.

    Attributes:
        confidence_common: (B, Rc); confidence_own: (B, 21).
        common: (B, R); own: (B, SCORES).
        trouble: (B, 7): how badly the hand is detected, its wrist, and each finger.
        swap: (B, 6): of the hand, and of each finger.
        other: (B, 5) uniform in [0, 1), which finger each is taken for.
        definition: (B, 21, 2).
    """

    confidence_common: Tensor
    confidence_own: Tensor
    common: Tensor
    own: Tensor
    trouble: Tensor
    swap: Tensor
    other: Tensor
    definition: Tensor


@dataclass(frozen=True)
class DetectorNoise:
    """A detector's noise, float32 tensors. S = STATES, C = CLASSES.

    Attributes:
        confidence_quantiles: (S, 21, CONFIDENCE_LEVELS) confidence at Gaussian levels.
        confidence_factors: (21, Rc) of the confidences' correlation, whose remainder is
            independent: each keypoint's variance is one.
        position_lean: (21,) shift along the image of the palm's normal, for each unit of its
            length there times the hand's facing: knuckles are marked on the side that is visible.
        position_shift: (S, 21, 2) median error along and across the hand, crop units.
        position_axes: (21, 2, 2) lower triangular, determinant one: turns round errors into the
            keypoint's, along and across.
        position_scale: (S, C, 21) median length of the error, crop units.
        position_tail: (S, C, LEVELS) its quantiles over the median.
        depth_line: (20, 4) the detector's depth for the true one and the hand's facing, all
            keypoints but the wrist: coefficients of `on_line`, crop units.
        depth_scale: (S, C, 20) median absolute error about that; depth_tail: (S, C, LEVELS).
        tilt_line: (20, 4) likewise the detector's angle between bone and image plane, radians.
        bone_scale: (S, C, 20, 2) median absolute error of tilt and direction, radians;
            bone_tail: (S, C, LEVELS). The state is the worse of both ends', the confidence
            their product.
        factors: (SCORES, R) of the errors' correlation, as `confidence_factors`.
        trouble: (3,) standard deviation of the logarithm of the factor on a position's score (half
            of it for a bone's); the share of its variance that is the whole hand's, the rest being
            the finger's; its correlation with the other keypoints' lack of confidence.
        swap_chance: (5, C) probability that a finger is taken for another, by the mean
            confidence of its three outer keypoints.
        swap_other: (5, 5) cumulative probability over which finger that is.
        swap_common: () correlation of the five fingers' chances.
    """

    confidence_quantiles: Tensor
    confidence_factors: Tensor
    position_lean: Tensor
    position_shift: Tensor
    position_axes: Tensor
    position_scale: Tensor
    position_tail: Tensor
    depth_line: Tensor
    depth_scale: Tensor
    depth_tail: Tensor
    tilt_line: Tensor
    bone_scale: Tensor
    bone_tail: Tensor
    factors: Tensor
    trouble: Tensor
    swap_chance: Tensor
    swap_other: Tensor
    swap_common: Tensor

    @classmethod
    def load(cls, path: Path = NOISE_PATH) -> Self:
        """Read measured noise.

        Raises:
            InputError: the file is missing, is no safetensors file or lacks a field.
        """
        names = [field.name for field in fields(cls)]
        try:
            with safe_open(path, "pt") as file:
                if missing := sorted(set(names) - set(file.keys())):
                    raise InputError("noise.field", file=path, field=missing[0])
                return cls(**{name: file.get_tensor(name) for name in names})
        except (OSError, SafetensorError) as error:
            raise InputError("noise.unreadable", file=path, reason=str(error)) from error

    def to(self, *args: torch.device | torch.dtype | str) -> Self:
        """`Tensor.to` on every tensor."""
        return type(self)(**{name: value.to(*args) for name, value in vars(self).items()})

    def sample_noise(self, count: int, generator: torch.Generator) -> NoiseSamples:
        """What `apply` needs for `count` hands, on the generator's device."""
        device, dtype = generator.device, self.factors.dtype

        def normal(*shape: int) -> Tensor:
            return torch.randn(count, *shape, generator=generator, device=device, dtype=dtype)

        return NoiseSamples(
            normal(self.confidence_factors.shape[1]),
            normal(21),
            normal(self.factors.shape[1]),
            normal(SCORES),
            normal(7),
            normal(6),
            torch.rand(count, 5, generator=generator, device=device, dtype=dtype),
            normal(21, 2),
        )

    def sample(
        self,
        positions: Tensor,
        depth: Tensor,
        bones: Tensor,
        states: Tensor | None,
        generator: torch.Generator,
        definition_std: float = 0.0,
    ) -> DetectedHands:
        """Make detected hands of true ones; see `apply`."""
        samples = self.sample_noise(len(positions), generator)
        return self.apply(positions, depth, bones, states, samples, definition_std)

    def apply(
        self,
        positions: Tensor,
        depth: Tensor,
        bones: Tensor,
        states: Tensor | None,
        samples: NoiseSamples,
        definition_std: float = 0.0,
    ) -> DetectedHands:
        """Make detected hands of true ones. Every hand depends on its own row of `samples` alone.

        Args:
            positions: (B, 21, 2) crop units, any origin, canonical order.
            depth: (B, 21) crop units along the line of sight, relative to the wrist:
                ``focal (z - z_wrist) / z_wrist``.
            bones: (B, 20, 3) unit directions, view frame.
            states: (B, 21) VISIBLE ... OUTSIDE of `datasets.keypoint_states`, integer; None where
                nobody knows. What lies outside errs like what is occluded.
            samples: of B hands.
            definition_std: crop units, standard deviation of x and y of a random offset of each
                keypoint: other detectors, and other hands than the open one, define keypoints
                somewhat differently.

        Returns:
            Detected hands. Positions still are in units of the crop around the true keypoints.
        """
        states = self._rows(states, positions)
        confidence = self._confidence(states, samples)
        classes = self._classes(confidence)
        scores = _correlated(self.factors, samples.common, samples.own)
        trouble, bone_trouble = (part[..., None] for part in self._trouble(samples))
        fingers = self._taken_for(confidence, samples)
        keypoints, swapped_bones = _swapped(fingers)

        axes = hand_axes(positions)
        pairs = trouble * scores[:, :42].unflatten(1, (21, 2))
        error = self._position_error(states, classes, pairs)
        error = (axes.mT[:, None] @ error[..., None])[..., 0]
        error = error + self.position_lean[:, None] * lean(bones)[:, None]
        moved = positions.gather(1, keypoints[..., None].expand(-1, -1, 2)) + error

        behind = depth.gather(1, keypoints)[:, 1:]
        behind = on_line(self.depth_line, behind, facing(bones)) + self._error(
            self.depth_scale, self.depth_tail, states[:, 1:], classes[:, 1:], scores[:, 42:62]
        )
        rotations = bone_trouble * scores[:, 62:].unflatten(1, (20, 2))
        bones = bones.gather(1, swapped_bones[..., None].expand(-1, -1, 3))
        return DetectedHands(
            moved + definition_std * samples.definition,
            confidence,
            torch.cat([torch.zeros_like(depth[:, :1]), behind], 1),
            self._bones(bones, states, confidence, rotations),
        )

    def _trouble(self, samples: NoiseSamples) -> tuple[Tensor, Tensor]:
        """Factors on the scores of keypoints (B, 21), and on those of bones (B, 20).

        A bone's class is the product of two confidences, which tells more of the hand's than one
        does, so its factor has no correlation with confidence beyond that.
        """
        std, share, doubt = self.trouble
        any_hand = samples.trouble[:, :1]
        hand = (1 - doubt**2).sqrt() * any_hand - doubt * self._others(samples)
        fingers = samples.trouble[:, 2:].repeat_interleave(4, 1)
        own = (1 - share).sqrt() * torch.cat([samples.trouble[:, 1:2], fingers], 1)
        bones = std * BONE_TROUBLE * (share.sqrt() * any_hand + own[:, 1:])
        return (std * (share.sqrt() * hand + own)).exp(), bones.exp()

    def _others(self, samples: NoiseSamples) -> Tensor:
        """(B, 21) standard normal: the hand's mean confidence score as far as the keypoint's own
        does not tell it, so that errors given the own confidence stay as they were measured."""
        score = self._confidence_scores(samples)
        correlation = self.confidence_factors @ self.confidence_factors.T
        correlation = correlation - torch.diag(correlation.diag() - 1)
        own = correlation.mean(1)
        left = (own.mean() - own.square()).clamp_min(1e-6).sqrt()
        return (score.mean(1, keepdim=True) - own * score) / left

    def _confidence_scores(self, samples: NoiseSamples) -> Tensor:
        return _correlated(
            self.confidence_factors, samples.confidence_common, samples.confidence_own
        )

    def _rows(self, states: Tensor | None, positions: Tensor) -> Tensor:
        if states is None:
            return positions.new_full(positions.shape[:2], UNKNOWN, dtype=torch.int64)
        return states.long().clamp(max=OCCLUDED)

    def _confidence(self, states: Tensor, samples: NoiseSamples) -> Tensor:
        score = self._confidence_scores(samples)
        keypoint = torch.arange(21, device=states.device)
        level = score / CONFIDENCE_LEVEL + CONFIDENCE_LEVELS // 2
        return _at(self.confidence_quantiles, states * 21 + keypoint, level)

    def _classes(self, confidence: Tensor) -> Tensor:
        edges = confidence.new_tensor(CONFIDENCE_EDGES)
        return torch.bucketize(confidence, edges, right=True)

    def _position_error(self, states: Tensor, classes: Tensor, scores: Tensor) -> Tensor:
        """(B, 21, 2) along and across the hand."""
        keypoint = torch.arange(21, device=states.device)
        row = states * CLASSES + classes
        length = scores.norm(dim=-1)
        wanted = self.position_scale[states, classes, keypoint] * _at(
            self.position_tail, row, length.log1p() / LEVEL_STEP
        )
        rotated = (self.position_axes @ scores[..., None])[..., 0]
        shift = self.position_shift[states, keypoint]
        return rotated * (wanted / length.clamp_min(1e-9))[..., None] + shift

    def _error(
        self, scale: Tensor, tail: Tensor, states: Tensor, classes: Tensor, scores: Tensor
    ) -> Tensor:
        """(B, N) errors with signs, of scales (S, C, N)."""
        index = torch.arange(scores.shape[1], device=states.device)
        size = _at(tail, states * CLASSES + classes, scores.abs().log1p() / LEVEL_STEP)
        return scale[states, classes, index] * size * scores.sign()

    def _bones(self, bones: Tensor, states: Tensor, confidence: Tensor, scores: Tensor) -> Tensor:
        worse, both = bone_state(states), bone_confidence(confidence)
        classes = self._classes(both)
        tilt, direction = (
            self._error(self.bone_scale[..., i], self.bone_tail, worse, classes, scores[..., i])
            for i in (0, 1)
        )
        expected, by_tilt, by_direction = tilted(bones, self.tilt_line)
        step = tilt[..., None] * by_tilt + direction[..., None] * by_direction
        angle = step.norm(dim=-1, keepdim=True)
        # sin(a) / a without a division by zero: torch.sinc(x) is sin(pi x) / (pi x).
        return normalize(angle.cos() * expected + torch.sinc(angle / torch.pi) * step, dim=-1)

    def _taken_for(self, confidence: Tensor, samples: NoiseSamples) -> Tensor:
        """(B, 5) the finger that each finger is taken for, itself mostly."""
        mean = confidence[:, 1:].unflatten(1, (5, 4))[..., 1:].mean(-1)
        own = torch.arange(5, device=confidence.device)
        chance = self.swap_chance[own, self._classes(mean)]
        share = self.swap_common
        score = share.sqrt() * samples.swap[:, :1] + (1 - share).sqrt() * samples.swap[:, 1:]
        uniform = 0.5 * torch.erfc(score * 0.5**0.5)
        other = (samples.other[..., None] >= self.swap_other).sum(-1).clamp(max=4)
        return torch.where(uniform < chance, other, own)


def _swapped(fingers: Tensor) -> tuple[Tensor, Tensor]:
    """Where to take keypoints (B, 21) and bones (B, 20) from when fingers (B, 5) are exchanged:
    the three outer keypoints of each and the bones that end in them."""
    joint = torch.arange(4, device=fingers.device)
    own = torch.arange(5, device=fingers.device)[:, None]
    taken = torch.where(joint > 0, fingers[..., None], own) * 4 + joint
    bones = taken.flatten(1)
    return torch.cat([torch.zeros_like(bones[:, :1]), bones + 1], 1), bones


def _correlated(factors: Tensor, common: Tensor, own: Tensor) -> Tensor:
    """(B, N) standard normal values with the correlations of factors (N, R)."""
    remainder = (1 - factors.square().sum(-1)).clamp_min(0).sqrt()
    return common @ factors.T + remainder * own


def _at(table: Tensor, row: Tensor, level: Tensor) -> Tensor:
    """Rows of a table (..., L), flattened but for its last axis, interpolated at levels; what lies
    beyond takes the last value."""
    length = table.shape[-1]
    level = level.clamp(0, length - 1)
    whole = level.long().clamp(max=length - 2)
    flat = table.reshape(-1)
    start = row * length + whole
    low, high = flat[start], flat[start + 1]
    return low + (high - low) * (level - whole)
