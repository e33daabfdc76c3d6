"""Varied pictures: pixels, positions and what is found move together, and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fitter.conventions import BONES
from fitter.records import HandObservation
from init_net.samples.variations import Placement, identity, sample_look, sample_placement

SIZE = 96
PLACEMENTS = [sample_placement(np.random.default_rng(seed), SIZE) for seed in range(40)]
QUARTER = Placement(np.pi / 2, 0.5, np.array([3.0, -4.0]), False, SIZE)
MIRROR = Placement(0.0, 1.0, np.zeros(2), True, SIZE)


def observed(seed: int = 0) -> HandObservation:
    generator = np.random.default_rng(seed)
    return HandObservation(
        keypoints=generator.uniform(20, 70, (21, 2)),
        confidence=generator.uniform(0.2, 1, 21),
        side="right",
        side_score=0.9,
        score=0.8,
        relative_depth=generator.normal(0, 10, 21),
        relative_xyz=generator.normal(0, 0.05, (21, 3)),
        features=generator.normal(0, 1, (2, 5)).astype(np.float32),
        presence=0.7,
    )


def forth(hand: HandObservation, placement: Placement) -> HandObservation:
    """The hand as it is seen in the varied picture, one step after the other."""
    cosine, sine = np.cos(placement.angle), np.sin(placement.angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    half = placement.size / 2
    keypoints = placement.scale * (hand.keypoints - half) @ turn.T + half + placement.shift
    xyz = np.column_stack([hand.relative_xyz[:, :2] @ turn.T, hand.relative_xyz[:, 2]])
    side, features = hand.side, hand.features
    if placement.mirrored:
        keypoints[:, 0] = placement.size - keypoints[:, 0]
        xyz[:, 0] *= -1
        side, features = "left", features[[1, 0]]
    depth = placement.scale * hand.relative_depth
    return replace(
        hand, keypoints=keypoints, relative_depth=depth, relative_xyz=xyz, side=side,
        features=features,
    )  # fmt: skip


def require_same(found: HandObservation, wanted: HandObservation) -> None:
    for name, value in vars(wanted).items():
        given = getattr(found, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(given, value, rtol=1e-9, atol=1e-9, err_msg=name)
        else:
            assert given == value, name


class TestPlacement:
    @pytest.mark.parametrize("placement", PLACEMENTS)
    def test_what_is_found_comes_back(self, placement):
        hand = observed()
        seen = forth(hand, placement)
        np.testing.assert_allclose(placement.points(hand.keypoints), seen.keypoints, atol=1e-10)
        require_same(placement.back(seen), hand)

    def test_by_hand(self):
        """A quarter turn from x to y about the middle (48, 48), then half as large, then moved."""
        np.testing.assert_allclose(
            QUARTER.points(np.array([[48.0, 48], [58, 48]])), [[51, 44], [51, 49]], atol=1e-12
        )
        mirrored = replace(QUARTER, mirrored=True)
        np.testing.assert_allclose(mirrored.points(np.array([58.0, 48])), [45, 49], atol=1e-12)

    def test_a_hand_is_as_long_and_as_bent_after_it(self):
        """Directions are turned or mirrored, never stretched; a smaller hand's depth is smaller in
        pixels."""
        for placement in PLACEMENTS:
            back = placement.back(observed())
            before, after = (
                np.stack([xyz[tip] - xyz[palm] for palm, tip in BONES])
                for xyz in (observed().relative_xyz, back.relative_xyz)
            )
            np.testing.assert_allclose(
                np.linalg.norm(after, axis=1), np.linalg.norm(before, axis=1), rtol=1e-9
            )
            np.testing.assert_allclose(after[:, 2], before[:, 2], atol=1e-12)
            np.testing.assert_allclose(
                back.relative_depth * placement.scale, observed().relative_depth
            )

    def test_mirrored_twice_is_as_before(self):
        hand = observed()
        once = MIRROR.back(hand)
        assert once.side == "left"
        np.testing.assert_array_equal(once.features, hand.features[::-1])
        np.testing.assert_allclose(once.keypoints[:, 0], SIZE - hand.keypoints[:, 0])
        np.testing.assert_allclose(once.relative_xyz, hand.relative_xyz * [-1, 1, 1])
        require_same(MIRROR.back(once), hand)
        points = hand.keypoints
        np.testing.assert_allclose(MIRROR.points(MIRROR.points(points)), points, atol=1e-12)
        image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        np.testing.assert_array_equal(MIRROR.pixels(image), image[:, ::-1])

    def test_identity(self):
        hand, still = observed(), identity(SIZE)
        require_same(still.back(hand), hand)
        np.testing.assert_array_equal(still.points(hand.keypoints), hand.keypoints)
        image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        np.testing.assert_array_equal(still.pixels(image), image)

    @pytest.mark.parametrize("placement", [*PLACEMENTS[:20], QUARTER, MIRROR])
    def test_pixels_move_where_points_say(self, placement):
        """A soft dot stays one, its middle where the point went."""
        inside = placement.back(replace(observed(), keypoints=np.full((21, 2), 0.4 * SIZE)))
        dot = inside.keypoints[0]
        if not ((dot > 14) & (dot < SIZE - 14)).all():  # its rim would be repeated
            dot = np.full(2, SIZE / 2)
        centres = np.arange(SIZE) + 0.5
        away = (centres[None] - dot[0]) ** 2 + (centres[:, None] - dot[1]) ** 2
        image = np.repeat((250 * np.exp(-away / 18))[..., None], 3, 2).round().astype(np.uint8)
        moved = placement.pixels(image)[..., 0].astype(float)
        wanted = placement.points(dot)
        assert ((wanted > 4) & (wanted < SIZE - 4)).all()
        found = np.array([(moved.sum(axis) * centres).sum() for axis in (0, 1)]) / moved.sum()
        np.testing.assert_allclose(found, wanted, atol=0.15)

    def test_the_border_is_repeated(self):
        image = np.full((SIZE, SIZE, 3), 77, np.uint8)
        small = Placement(0.3, 0.4, np.array([10.0, 5.0]), True, SIZE)
        assert (small.pixels(image) == 77).all()

    def test_a_hand_without_features(self):
        hand = replace(observed(), features=None)
        assert MIRROR.back(hand).features is None


class TestDrawn:
    def test_the_generator_decides(self):
        first, again = (sample_placement(np.random.default_rng(5), SIZE) for _ in range(2))
        np.testing.assert_array_equal(first.matrix, again.matrix)
        image = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
        looks = [sample_look(np.random.default_rng(7), image) for _ in range(2)]
        np.testing.assert_array_equal(*looks)

    def test_placements_are_many(self):
        generator = np.random.default_rng(1)
        drawn = [sample_placement(generator, SIZE) for _ in range(3000)]
        scales = np.array([each.scale for each in drawn])
        assert 0.35 <= scales.min() < 0.37 and 1.08 < scales.max() <= 1.1
        assert np.median(scales) < 0.66, "small more often than large"
        assert abs(np.mean([each.mirrored for each in drawn]) - 0.5) < 0.04
        angles = np.array([each.angle for each in drawn])
        # A third of any angle: of these three in four are beyond a quarter of pi.
        beyond = np.mean(np.abs(angles) > 2.5)
        assert abs(beyond - (1 - 2.5 / np.pi) / 3) < 0.02
        assert np.std([each.shift for each in drawn]) == pytest.approx(0.06 * SIZE, rel=0.05)

    def test_looks_are_pictures(self):
        """Some are as they were, some grey, some darker; all are pictures."""
        grid = np.linspace(40, 200, 24)
        image = np.stack([np.tile(grid, (24, 1)), np.tile(grid[:, None], (1, 24)),
                          np.full((24, 24), 90.0)], -1).astype(np.uint8)  # fmt: skip
        generator = np.random.default_rng(2)
        looks = [sample_look(generator, image) for _ in range(400)]
        assert all(each.shape == image.shape and each.dtype == np.uint8 for each in looks)
        same = np.mean([np.abs(each.astype(int) - image).max() <= 1 for each in looks])
        grey = np.mean([np.ptp(each.astype(int), axis=2).mean() < 8 for each in looks])
        dark = np.mean([each.mean() < 0.5 * image.mean() for each in looks])
        assert 0.02 < same < 0.2 and 0.08 < grey < 0.35 and 0.05 < dark < 0.3
