"""A detector's noise: measured on pairs that are made by a known law, and sampled again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize

from datasets.detector.noise import (
    LEVEL_STEP,
    LEVELS,
    NOISE_PATH,
    DetectedHands,
    DetectorNoise,
    hand_axes,
)
from datasets.detector.scatter import HandPairs, measure_noise, measure_scatter, resampled
from datasets.detector.statistics import ConditionalQuantiles, marginal
from datasets.keypoint_states import OCCLUDED, OUTSIDE, SELF_OCCLUDED, VISIBLE
from fitter.conventions import BONES
from tests.support.errors import raises

HANDS = 4000
GAIN, SHIFT, DEPTH_SIGMA = 0.6, 0.05, 0.04
TILT_GAIN, TURN_SIGMA = 0.7, 0.1
RHO = 0.8
"""Correlation of the errors of keypoints 7 and 8 in the law of the pairs."""
EVEN = (0.0, 0.5, 0.0)
"""No hand is seen worse than another."""


def true_hands(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Positions, depth, bones and states of scattered hands that stand upright."""
    palm = torch.tensor([[0.0, 0.4]] + [[0.16 * f - 0.32, 0.0] for f in range(5)])
    up = torch.arange(4) * -0.1
    fingers = torch.stack([palm[1:, :1].expand(5, 4), up.expand(5, 4)], -1).reshape(20, 2)
    rest = torch.cat([palm[:1], fingers])
    positions = rest + 0.02 * torch.randn(count, 21, 2, generator=generator)
    depth = 0.2 * torch.randn(count, 21, generator=generator)
    depth[:, 0] = 0
    points = torch.cat([positions, depth[..., None]], -1)
    palm_end, tip_end = (list(ends) for ends in zip(*BONES, strict=True))
    bones = normalize(points[:, tip_end] - points[:, palm_end], dim=-1)
    states = torch.randint(2, (count, 21), generator=generator)
    return positions, depth, bones, states


def sigma_of(confidence: Tensor) -> Tensor:
    """The position errors' law."""
    return 0.05 - 0.04 * confidence


def detections(
    truth: tuple[Tensor, Tensor, Tensor, Tensor], generator: torch.Generator
) -> DetectedHands:
    """What a detector with a known law makes of them."""
    positions, depth, bones, states = truth

    def normal(*shape: int) -> Tensor:
        return torch.randn(len(depth), *shape, generator=generator)

    confidence = torch.rand(len(depth), 21, generator=generator)
    confidence = torch.where(states == VISIBLE, 0.5 + 0.5 * confidence, 0.5 * confidence)
    error = normal(21, 2)
    error[:, 8] = RHO * error[:, 7] + (1 - RHO**2) ** 0.5 * error[:, 8]
    detected_depth = GAIN * depth + SHIFT + DEPTH_SIGMA * normal(21)
    detected_depth[:, 0] = 0
    tilt = TILT_GAIN * bones[..., 2].asin() + TURN_SIGMA * normal(20)
    turn = torch.atan2(bones[..., 1], bones[..., 0]) + TURN_SIGMA * normal(20) / tilt.cos()
    flat = torch.stack([turn.cos() * tilt.cos(), turn.sin() * tilt.cos(), tilt.sin()], -1)
    seen = positions + sigma_of(confidence)[..., None] * error
    return DetectedHands(seen, confidence, detected_depth, flat)


@pytest.fixture(scope="module")
def truth() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return true_hands(HANDS, torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def pairs(truth: tuple[Tensor, Tensor, Tensor, Tensor]) -> HandPairs:
    return HandPairs.of(*truth, detections(truth, torch.Generator().manual_seed(2)))


@pytest.fixture(scope="module")
def noise(pairs: HandPairs) -> DetectorNoise:
    return measure_noise(pairs, EVEN)


@pytest.fixture(scope="module")
def sampled(noise: DetectorNoise, truth: tuple[Tensor, Tensor, Tensor, Tensor]) -> DetectedHands:
    return noise.sample(*truth, torch.Generator().manual_seed(3))


def test_sampled_confidence_follows_what_hides_the_keypoint(
    sampled: DetectedHands, truth: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    levels = torch.tensor([0.1, 0.5, 0.9])
    for state, low in ((VISIBLE, 0.5), (SELF_OCCLUDED, 0.0)):
        found = sampled.confidence[truth[3] == state][:50_000].quantile(levels)
        torch.testing.assert_close(found, low + 0.5 * levels, rtol=0, atol=0.02)


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.3), (0.5, 0.7), (0.85, 0.95)])
def test_position_errors_have_the_scatter_that_goes_with_their_confidence(
    sampled: DetectedHands, truth: tuple[Tensor, Tensor, Tensor, Tensor], low: float, high: float
) -> None:
    length = (sampled.positions - truth[0]).norm(dim=-1)
    chosen = (sampled.confidence >= low) & (sampled.confidence < high)
    sigma = sigma_of(sampled.confidence[chosen]).mean()
    found = length[chosen].quantile(torch.tensor([0.5, 0.95])) / sigma
    # Quantiles of a Rayleigh distribution: sqrt(-2 log(1 - p)).
    torch.testing.assert_close(found, torch.tensor([1.177, 2.448]), rtol=0.06, atol=0)


def test_errors_are_as_correlated_as_they_were(
    sampled: DetectedHands, truth: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    whitened = (sampled.positions - truth[0]) / sigma_of(sampled.confidence)[..., None]
    for axis in (0, 1):
        correlation = torch.corrcoef(whitened[..., axis].T)
        assert abs(correlation[7, 8] - RHO) < 0.06
        assert abs(correlation[3, 12]) < 0.1


def test_depth_and_tilt_keep_their_gains(
    sampled: DetectedHands, truth: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    depth, seen = truth[1][:, 1:].double().numpy(), sampled.depth[:, 1:].double().numpy()
    assert not sampled.depth[:, 0].any()
    for k in (0, 7, 19):
        slope, offset = np.polyfit(depth[:, k], seen[:, k], 1)
        assert abs(slope - GAIN) < 0.02
        assert abs(offset - SHIFT) < 0.01
        assert abs((seen[:, k] - slope * depth[:, k] - offset).std() / DEPTH_SIGMA - 1) < 0.1
    flat = truth[2][:, 6, 2].abs() < 0.7
    tilt = [b[flat, 6, 2].asin().double().numpy() for b in (truth[2], sampled.bones)]
    slope, offset = np.polyfit(*tilt, 1)
    assert abs(slope - TILT_GAIN) < 0.03
    assert abs((tilt[1] - slope * tilt[0] - offset).std() / TURN_SIGMA - 1) < 0.12


def test_scatter_for_the_fit_recovers_the_law(pairs: HandPairs) -> None:
    scatter = measure_scatter(pairs)
    expected = sigma_of(scatter.confidence)
    # Classes are wide: the sigma within one is not quite that of its middle.
    torch.testing.assert_close(scatter.position.mean(0), expected, rtol=0.06, atol=0)
    assert (scatter.position.diff(dim=1) < 0.002).all()
    # Regression of the truth on what was detected: cov / var(detected). Where the knuckles lie
    # decides which way these hands face, so theirs differ.
    gain = GAIN * 0.2**2 / (GAIN**2 * 0.2**2 + DEPTH_SIGMA**2)
    assert abs(scatter.depth_line[:, 0].median() - gain) < 0.03
    assert abs(scatter.depth.mean() / (0.2**2 * (1 - GAIN * gain)) ** 0.5 - 1) < 0.06


def test_a_turned_picture_turns_what_is_sampled(
    noise: DetectorNoise, truth: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    positions, depth, bones, states = (part[:50] for part in truth)
    samples = noise.sample_noise(50, torch.Generator().manual_seed(0))
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    turned = torch.cat([bones[..., :2] @ turn.T, bones[..., 2:]], -1)
    straight = noise.apply(positions, depth, bones, states, samples)
    rotated = noise.apply(positions @ turn.T, depth, turned, states, samples)
    torch.testing.assert_close(rotated.positions, straight.positions @ turn.T)
    torch.testing.assert_close(rotated.depth, straight.depth)
    torch.testing.assert_close(
        rotated.bones[..., :2], straight.bones[..., :2] @ turn.T, rtol=0, atol=2e-5
    )


def test_the_generator_decides_and_hands_do_not_depend_on_their_batch(
    noise: DetectorNoise, truth: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    few = tuple(part[:8] for part in truth)
    first, again, other = (
        noise.sample(*few, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    for name, value in vars(first).items():
        assert torch.equal(value, getattr(again, name))
    assert not torch.equal(first.positions, other.positions)
    samples = noise.sample_noise(8, torch.Generator().manual_seed(5))
    for i in range(8):
        one = slice(i, i + 1)
        alone = noise.apply(*(part[one] for part in few), samples[one], 0.01)
        together = noise.apply(*few, samples, 0.01)
        for name, value in vars(alone).items():
            torch.testing.assert_close(value, getattr(together, name)[one], rtol=1e-4, atol=1e-5)


def test_states_may_be_unknown_or_outside(
    noise: DetectorNoise, truth: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    positions, depth, bones, states = truth
    samples = noise.sample_noise(HANDS, torch.Generator().manual_seed(0))
    unknown = noise.apply(positions, depth, bones, None, samples)
    assert abs(unknown.confidence.mean() - 0.5) < 0.02
    outside, occluded = (
        noise.apply(positions, depth, bones, torch.full_like(states, s), samples)
        for s in (OUTSIDE, OCCLUDED)
    )
    assert torch.equal(outside.positions, occluded.positions)


def test_definition_std_moves_positions_alone(
    noise: DetectorNoise, truth: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    samples = noise.sample_noise(HANDS, torch.Generator().manual_seed(0))
    plain, moved = (noise.apply(*truth, samples, std) for std in (0.0, 0.02))
    assert abs((moved.positions - plain.positions).std() - 0.02) < 0.001
    assert torch.equal(moved.depth, plain.depth)
    assert torch.equal(moved.confidence, plain.confidence)


def test_degenerate_hands_stay_finite(noise: DetectorNoise) -> None:
    flat = torch.zeros(4, 21, 2)
    toward = torch.tensor([0.0, 0.0, -1.0]).expand(4, 20, 3)
    seen = noise.sample(flat, torch.zeros(4, 21), toward, None, torch.Generator().manual_seed(0))
    assert all(value.isfinite().all() for value in vars(seen).values())
    torch.testing.assert_close(seen.bones.norm(dim=-1), torch.ones(4, 20))
    torch.testing.assert_close(hand_axes(flat), torch.eye(2).expand(4, 2, 2))


def test_fingers_are_taken_for_others_as_often_as_measured(
    pairs: HandPairs, truth: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    confused = torch.arange(HANDS) % 5 == 0
    positions = pairs.detected_positions.clone()
    positions[confused, 6:9] = positions[confused, 10:13]
    noise = measure_noise(replace(pairs, detected_positions=positions), EVEN)
    seen = noise.sample(*truth, torch.Generator().manual_seed(0))

    def nearer_to_middle(of: Tensor, finger: int) -> float:
        tips = of[:, finger * 4 + 4]
        own, other = ((tips - truth[0][:, at * 4 + 4]).norm(dim=-1) for at in (finger, finger + 1))
        return float((other < 0.5 * own).float().mean())

    assert abs(nearer_to_middle(seen.positions, 1) - nearer_to_middle(positions, 1)) < 0.04
    assert nearer_to_middle(seen.positions, 1) > 0.12
    assert nearer_to_middle(seen.positions, 3) < 0.04


@pytest.mark.parametrize("std", [0.0, 0.6])
def test_hands_are_as_unequal_as_measured(std: float) -> None:
    generator = torch.Generator().manual_seed(4)
    truth = true_hands(1500, generator)
    seen = detections(truth, generator)
    badly = (std * torch.randn(1500, 1, 1, generator=generator)).exp()
    positions = truth[0] + badly * (seen.positions - truth[0])
    pairs = HandPairs.of(*truth, replace(seen, positions=positions))
    noise = measure_noise(pairs)
    again = resampled(pairs, noise)
    means = [(p.detected_positions - p.positions).norm(dim=-1).mean(1) for p in (pairs, again)]
    wanted, found = (m.quantile(torch.tensor([0.05, 0.95], dtype=m.dtype)).log() for m in means)
    torch.testing.assert_close(found.float(), wanted.float(), rtol=0, atol=0.12)
    assert (noise.trouble[0] > 0.3) == (std > 0.3)


def test_the_shipped_noise_is_whole_and_small() -> None:
    noise = DetectorNoise.load()
    assert NOISE_PATH.stat().st_size < 300_000
    assert all(value.isfinite().all() for value in vars(noise).values())
    truth = true_hands(3000, torch.Generator().manual_seed(0))
    seen = noise.sample(*truth, torch.Generator().manual_seed(1))
    assert (seen.confidence >= 0).all()
    assert (seen.confidence <= 1).all()
    length = (seen.positions - truth[0]).norm(dim=-1)
    visible = truth[3] == VISIBLE
    assert 0.01 < length[visible].median() < 0.04
    assert length[~visible].median() > 1.5 * length[visible].median()
    sure = seen.confidence > 0.9
    assert length[sure].median() < 0.6 * length[~sure].median()


def test_a_file_that_is_no_noise_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.safetensors"
    with raises("noise.unreadable", file=path):
        DetectorNoise.load(path)
    path.write_bytes(b"no tensors")
    with raises("noise.unreadable", file=path):
        DetectorNoise.load(path)
    save_file({"factors": torch.zeros(1)}, path)
    with raises("noise.field", file=path, field="bone_scale"):
        DetectorNoise.load(path)


def test_a_class_with_few_samples_has_the_tail_of_the_law() -> None:
    generator = np.random.default_rng(0)
    size, states = generator.random((20, 3)) + 0.1, np.zeros((20, 3), int)
    quantiles = ConditionalQuantiles(pair=True, log_std=0.0)
    found = marginal(size, states, np.zeros((20, 3), int), np.ones((20, 3), bool), quantiles)
    level = np.expm1(LEVEL_STEP * np.arange(LEVELS))
    # The median length of a pair of standard Gaussians is sqrt(2 log 2).
    expected = np.broadcast_to(level / np.sqrt(2 * np.log(2)), found.tail.shape)
    np.testing.assert_allclose(found.tail, expected, rtol=5e-3)
    assert np.isfinite(found.scale).all()
