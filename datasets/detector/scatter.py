"""Measure a detector's noise: true hands and what was detected of them -> `DetectorNoise`.

All statistics are robust: medians, quantiles, correlations of ranks. What has too few samples of
its own takes over what its neighbours have in common.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from datasets.detector.keypoint_definition import KeypointScatter, facing, on_line, tilted
from datasets.detector.noise import (
    BONE_TROUBLE,
    CLASSES,
    CONFIDENCE_EDGES,
    STATES,
    UNKNOWN,
    DetectedHands,
    DetectorNoise,
    bone_confidence,
    bone_state,
    hand_axes,
    lean,
)
from datasets.detector.statistics import (
    BORROWED,
    ConditionalQuantiles,
    Marginal,
    common_chance,
    common_factors,
    confidence_tables,
    correlation_of,
    fit_lines,
    marginal,
    medians_by_class,
    robust_slope,
    scatter_shape,
)
from fitter.records import TensorBatch

FACTORS, CONFIDENCE_FACTORS = 48, 12
"""Common causes of a hand's errors, and of its confidences."""
SWAP_FAR, SWAP_NEAR = 0.125, 0.5
"""A finger is taken for another when its three outer keypoints lie farther from it than this on
average, in crop units, and this much nearer to the other one."""
STDS, SHARES, DOUBTS = (0.0, 0.25, 0.5, 0.7, 0.9), (0.5, 0.8), (0.0, 0.3, 0.6, 0.8)
"""Values of `DetectorNoise.trouble` that are tried."""
INEQUALITY = (0.05, 0.2, 0.5, 0.8, 0.95, 0.99)
"""Quantiles in which sampled mean errors are to equal the measured ones."""
RAYLEIGH_MEDIAN, NORMAL_MEDIAN = np.sqrt(2 * np.log(2)), 0.6744897501960817
"""Median length of a pair of standard normal values, and absolute value of one."""
CLOSEST = 0.97
"""Greatest correlation of two scores."""
STEEP = np.radians(65)
"""Tilt from which on a bone does not tell how the detector tilts bones."""
KNOTS = (0.05, 0.2, 0.4, 0.6, 0.775, 0.9, 0.975)
"""Confidence that each class stands for in `KeypointScatter`."""


@dataclass(frozen=True)
class HandPairs(TensorBatch):
    """B right hands and what was detected of them, in the units of `DetectorNoise.apply`.

    Attributes:
        positions, depth, bones, states: what is true, as in `DetectorNoise.apply`.
        detected_positions, detected_confidence, detected_depth, detected_bones: as in
            `DetectedHands`.
    """

    positions: Tensor
    depth: Tensor
    bones: Tensor
    states: Tensor
    detected_positions: Tensor
    detected_confidence: Tensor
    detected_depth: Tensor
    detected_bones: Tensor

    @classmethod
    def of(
        cls,
        positions: Tensor,
        depth: Tensor,
        bones: Tensor,
        states: Tensor,
        detected: DetectedHands,
    ) -> HandPairs:
        """Pairs of true hands and detected ones."""
        return cls(
            positions,
            depth,
            bones,
            states,
            detected.positions,
            detected.confidence,
            detected.depth,
            detected.bones,
        )

    def double(self) -> HandPairs:
        """The same in float64 on the CPU, states as int64."""
        return self.map(lambda x: x.cpu().double() if x.is_floating_point() else x.cpu().long())


def measure_noise(
    pairs: HandPairs, trouble: tuple[float, float, float] | None = None
) -> DetectorNoise:
    """The noise that explains the pairs; some thousand hands are needed.

    Sampled errors are less correlated than the Gaussian scores they are made of, whose marginals
    differ with state and confidence. So the noise is measured on its own samples, and what is
    missing there is added.

    Args:
        pairs: true and detected hands.
        trouble: `DetectorNoise.trouble` where it is known; otherwise it is the one with which
            sampled hands, and fingers, are as unequal as the measured ones.
    """
    pairs = pairs.double()
    if trouble is None:
        trouble = _measure_trouble(pairs)
    found = _measured(pairs, trouble)
    again = _measured(resampled(pairs, found.noise()), trouble)
    missing = found.correlation - again.correlation
    corrected = (found.correlation + missing).clip(-CLOSEST, CLOSEST)
    np.fill_diagonal(corrected, 1.0)
    return replace(found, correlation=corrected).noise()


@dataclass(frozen=True)
class _Measured:
    """All fields of `DetectorNoise` but the errors' factors, and what these are made of.

    Attributes:
        tables: name -> array.
        correlation: (SCORES, SCORES).
    """

    tables: dict[str, np.ndarray]
    correlation: np.ndarray

    def noise(self) -> DetectorNoise:
        tables = {**self.tables, "factors": common_factors(self.correlation, FACTORS)}
        return DetectorNoise(
            **{
                name: torch.as_tensor(np.asarray(value), dtype=torch.float32).contiguous()
                for name, value in tables.items()
            }
        )


def _measured(pairs: HandPairs, trouble: tuple[float, float, float]) -> _Measured:
    other = swapped_fingers(pairs)
    kept = _kept(other)
    outer = kept[:, 1:]
    states, confidence = _clipped(pairs.states), pairs.detected_confidence.numpy()
    classes = np.digitize(confidence, CONFIDENCE_EDGES)
    quantiles, confidence_scores = confidence_tables(states, confidence)

    slopes, shift, axes, error = _position_residuals(pairs, states, kept)
    length = np.linalg.norm(error, axis=-1)
    position = marginal(length, states, classes, kept, ConditionalQuantiles(True, trouble[0]))
    depth_line, behind = _depth_residuals(pairs, kept)
    depth = marginal(
        np.abs(behind), states[:, 1:], classes[:, 1:], outer, ConditionalQuantiles(False, 0.0)
    )
    tilt_line, tilt_error = _bone_residuals(pairs, kept)
    bone = _bone_marginal(pairs, states, tilt_error, kept, trouble[0])

    direction = error / np.maximum(length, 1e-12)[..., None]
    scores = [
        (direction * position.scores[..., None]).reshape(len(error), 42),
        np.sign(behind) * depth.scores,
        (np.sign(tilt_error) * bone.scores).reshape(len(error), 40),
    ]
    known = np.concatenate([kept.repeat(2, 1), outer, outer.repeat(2, 1)], 1)
    chance, which, common = _swaps(other, confidence)
    tables = {
        "confidence_quantiles": quantiles,
        "confidence_factors": common_factors(correlation_of(confidence_scores), CONFIDENCE_FACTORS),
        "position_lean": slopes,
        "position_shift": shift,
        "position_axes": axes,
        "position_scale": position.scale,
        "position_tail": position.tail,
        "depth_line": depth_line,
        "depth_scale": depth.scale,
        "depth_tail": depth.tail,
        "tilt_line": tilt_line,
        "bone_scale": bone.scale,
        "bone_tail": bone.tail,
        "trouble": np.array(trouble),
        "swap_chance": chance,
        "swap_other": which,
        "swap_common": np.array(common),
    }
    return _Measured(tables, correlation_of(np.concatenate(scores, 1), known))


def resampled(pairs: HandPairs, noise: DetectorNoise) -> HandPairs:
    """The same true hands, their detections sampled."""
    single = pairs.map(lambda x: x.float() if x.is_floating_point() else x)
    truth = (single.positions, single.depth, single.bones, single.states)
    detected = noise.sample(*truth, torch.Generator().manual_seed(0))
    return HandPairs.of(*truth, detected).double()


def _measure_trouble(pairs: HandPairs) -> tuple[float, float, float]:
    """`DetectorNoise.trouble`: std and share first, then the correlation with confidence."""

    def sampled(trouble: tuple[float, float, float]) -> HandPairs:
        return resampled(pairs, _measured(pairs, trouble).noise())

    wanted = _inequality(pairs)
    middle = DOUBTS[len(DOUBTS) // 2]
    tried = [(std, share, middle) for std in STDS for share in SHARES]
    gaps = [np.abs(_inequality(sampled(trouble)) - wanted).mean() for trouble in tried]
    std, share, _ = tried[int(np.argmin(gaps))]
    slopes = [_doubt(sampled((std, share, doubt))) - _doubt(pairs) for doubt in DOUBTS]
    return std, share, DOUBTS[int(np.argmin(np.abs(slopes)))]


def _inequality(pairs: HandPairs) -> np.ndarray:
    """Logarithms of quantiles of the mean position errors of hands and of fingers."""
    error = (pairs.detected_positions - pairs.positions).norm(dim=-1).numpy()
    means = (error.mean(1), error[:, 1:].reshape(-1, 4).mean(1))
    return np.concatenate([np.log(np.quantile(mean, INEQUALITY)) for mean in means])


def _doubt(pairs: HandPairs) -> float:
    """Rank correlation of hands' mean position errors and their mean confidence."""
    error = (pairs.detected_positions - pairs.positions).norm(dim=-1).mean(1)
    ranks = [x.argsort().argsort().double() for x in (error, pairs.detected_confidence.mean(1))]
    return float(torch.corrcoef(torch.stack(ranks))[0, 1])


def measure_scatter(pairs: HandPairs) -> KeypointScatter:
    """How detected hands scatter about true ones, for whoever knows nothing of states.

    Lines here predict the truth from what was detected, those of `DetectorNoise` the reverse.
    """
    pairs = pairs.double()
    classes = np.digitize(pairs.detected_confidence.numpy(), CONFIDENCE_EDGES)
    bone_classes = np.digitize(bone_confidence(pairs.detected_confidence).numpy(), CONFIDENCE_EDGES)
    everything = np.ones((len(classes), 20), bool)
    side, detected = facing(pairs.detected_bones), pairs.detected_depth[:, 1:]
    depth_line = fit_lines(detected, pairs.depth[:, 1:], side, everything)
    depth = pairs.depth[:, 1:] - on_line(torch.from_numpy(depth_line), detected, side)
    tilt = tilt_of(pairs.detected_bones)
    flat = everything & (tilt.abs() < STEEP).numpy()
    tilt_line = fit_lines(tilt, tilt_of(pairs.bones), side, flat)
    bones = bone_errors(pairs.detected_bones, pairs.bones, tilt_line).norm(dim=-1).numpy()
    position = (pairs.detected_positions - pairs.positions).norm(dim=-1).numpy()
    tables = (
        KNOTS,
        medians_by_class(position, classes) / RAYLEIGH_MEDIAN,
        depth_line,
        medians_by_class(depth.abs().numpy(), classes[:, 1:]) / NORMAL_MEDIAN,
        tilt_line,
        medians_by_class(bones, bone_classes) / RAYLEIGH_MEDIAN,
    )
    return KeypointScatter(*(torch.tensor(np.asarray(t), dtype=torch.float64) for t in tables))


def swapped_fingers(pairs: HandPairs) -> np.ndarray:
    """(B, 5) the finger that each finger was taken for, itself mostly."""
    detected = pairs.detected_positions.numpy()[:, 1:].reshape(-1, 5, 4, 2)[:, :, None, 1:]
    true = pairs.positions.numpy()[:, 1:].reshape(-1, 5, 4, 2)[:, None, :, 1:]
    distance = np.linalg.norm(detected - true, axis=-1).mean(-1)
    own = np.einsum("bff->bf", distance)
    nearest = distance.argmin(-1)
    swapped = (own > SWAP_FAR) & (distance.min(-1) < SWAP_NEAR * own)
    return np.where(swapped, nearest, np.arange(5))


def _kept(other: np.ndarray) -> np.ndarray:
    """(B, 21) keypoints that were not taken for another finger's."""
    own = other == np.arange(5)
    outer = np.repeat(own[..., None], 4, -1)
    outer[..., 0] = True
    return np.concatenate([np.ones((len(own), 1), bool), outer.reshape(-1, 20)], 1)


def _clipped(states: Tensor) -> np.ndarray:
    return states.numpy().clip(max=UNKNOWN - 1)


def _position_residuals(
    pairs: HandPairs, states: np.ndarray, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Lean (21,), shift (S, 21, 2), axes (21, 2, 2), and errors (B, 21, 2) without all these."""
    away = pairs.detected_positions - pairs.positions
    leaning = lean(pairs.bones)
    slopes = np.array(
        [robust_slope(leaning[kept[:, k]].numpy(), away[kept[:, k], k].numpy()) for k in range(21)]
    )
    away = away - torch.from_numpy(slopes)[:, None] * leaning[:, None]
    error = (hand_axes(pairs.positions)[:, None] @ away[..., None])[..., 0].numpy()
    shift = np.zeros((STATES, 21, 2))
    for k in range(21):
        shift[UNKNOWN, k] = np.median(error[kept[:, k], k], 0)
        for state in range(UNKNOWN):
            values = error[kept[:, k] & (states[:, k] == state), k]
            share = len(values) / (len(values) + BORROWED)
            own = np.median(values, 0) if len(values) else 0.0
            shift[state, k] = share * own + (1 - share) * shift[UNKNOWN, k]
    flat = error - shift[states, np.arange(21)]
    axes = np.stack([np.linalg.cholesky(scatter_shape(flat[kept[:, k], k])) for k in range(21)])
    return slopes, shift, axes, (np.linalg.inv(axes) @ flat[..., None])[..., 0]


def _depth_residuals(pairs: HandPairs, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`DetectorNoise.depth_line` (20, 4) and errors (B, 20) about it."""
    true, detected, side = pairs.depth[:, 1:], pairs.detected_depth[:, 1:], facing(pairs.bones)
    line = fit_lines(true, detected, side, kept[:, 1:])
    return line, (detected - on_line(torch.from_numpy(line), true, side)).numpy()


def tilt_of(bones: Tensor) -> Tensor:
    """(B, 20) angles between bones (B, 20, 3) and the image plane, away from the camera."""
    return bones[..., 2].clamp(-1, 1).asin()


def _bone_residuals(pairs: HandPairs, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`DetectorNoise.tilt_line` (20, 4) and errors (B, 20, 2) of tilt and direction, radians."""
    true = tilt_of(pairs.bones)
    # Near the line of sight a tilt cannot grow: what is beyond a right angle is folded back, so
    # the lines are fitted to the others.
    chosen = kept[:, 1:] & (true.abs() < STEEP).numpy()
    line = fit_lines(true, tilt_of(pairs.detected_bones), facing(pairs.bones), chosen)
    return line, bone_errors(pairs.bones, pairs.detected_bones, line).numpy()


def bone_errors(bones: Tensor, others: Tensor, line: np.ndarray) -> Tensor:
    """(B, 20, 2) angles of tilt and direction by which `others` (B, 20, 3) differ from what `bones`
    (B, 20, 3) become by a tilt line."""
    along, by_tilt, by_direction = tilted(bones, torch.from_numpy(line))
    tangent = torch.stack([(others * by_tilt).sum(-1), (others * by_direction).sum(-1)], -1)
    sine = tangent.norm(dim=-1)
    angle = torch.atan2(sine, (others * along).sum(-1))
    return tangent * (angle / sine.clamp_min(1e-12))[..., None]


def _bone_marginal(
    pairs: HandPairs, states: np.ndarray, error: np.ndarray, kept: np.ndarray, log_std: float
) -> Marginal:
    """As `marginal`, for errors (B, 20, 2)."""
    worse = bone_state(torch.from_numpy(states)).numpy()
    both = bone_confidence(pairs.detected_confidence).numpy()
    flat = marginal(
        np.abs(error).reshape(len(error), 40),
        np.repeat(worse, 2, 1),
        np.repeat(np.digitize(both, CONFIDENCE_EDGES), 2, 1),
        np.repeat(kept[:, 1:], 2, 1),
        ConditionalQuantiles(False, BONE_TROUBLE * log_std),
    )
    return Marginal(
        flat.scale.reshape(STATES, CLASSES, 20, 2), flat.tail, flat.scores.reshape(-1, 20, 2)
    )


def _swaps(other: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Chance (5, CLASSES), cumulative choice (5, 5) and correlation of fingers taken for others."""
    swapped = other != np.arange(5)
    mean = confidence[:, 1:].reshape(-1, 5, 4)[..., 1:].mean(-1)
    classes = np.digitize(mean, CONFIDENCE_EDGES)
    common = np.array(
        [swapped[classes == c].mean() if (classes == c).any() else 0 for c in range(CLASSES)]
    )
    chance, which = np.zeros((5, CLASSES)), np.zeros((5, 5))
    for finger in range(5):
        for group in range(CLASSES):
            hit = swapped[classes[:, finger] == group, finger]
            chance[finger, group] = (hit.sum() + BORROWED * common[group]) / (len(hit) + BORROWED)
        counts = np.bincount(other[swapped[:, finger], finger], minlength=5).astype(float)
        counts += np.where(np.arange(5) == finger, 0, 1e-3)
        which[finger] = np.cumsum(counts) / counts.sum()
    return chance, which, common_chance(swapped)
