"""`HandLifter`: its upright frame, its eyes, and hands of which little or nothing is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import pytest
import roma
import torch
from torch import Tensor

from init_net.networks.build import build_network
from init_net.networks.config import LifterConfig
from init_net.networks.handnet import FusionBlock
from init_net.networks.lifter import (
    SIZE_STD_RANGE,
    TYPICAL_METRES,
    HandLifter,
    _Fusion,
    _Observed,
)
from init_net.records import LiftedHands, LifterInputs
from tests.support.lifter_cases import lifter_inputs

BATCH = 4
CONFIG = LifterConfig(width=32, blocks=2)
FIRST_JOINTS = [5, 9, 13]


@pytest.fixture(scope="module")
def lifter() -> HandLifter:
    """Float64 and still."""
    return build_network(CONFIG, seed=1).double().eval()


@pytest.fixture
def hands() -> LifterInputs:
    return lifter_inputs(BATCH).to(torch.float64)


def outputs(hands: LiftedHands) -> dict[str, Tensor]:
    return {field.name: getattr(hands, field.name) for field in fields(hands)}


def require_same(found: LiftedHands, wanted: LiftedHands, atol: float = 0.0) -> None:
    torch.testing.assert_close(outputs(found), outputs(wanted), rtol=0, atol=atol)


def rolls(angles: Tensor) -> Tensor:
    """(B, 3, 3) rotations about the z axis."""
    axis = torch.tensor([0.0, 0, 1], dtype=angles.dtype)
    return roma.rotvec_to_rotmat(angles[:, None] * axis)


def rolled(hands: LifterInputs, roll: Tensor) -> LifterInputs:
    """What a camera sees that is rolled about its line of sight."""
    return replace(
        hands, positions=hands.positions @ roll[:, :2, :2].mT, bones=hands.bones @ roll.mT
    )


def without(hands: LifterInputs, *looks: int) -> LifterInputs:
    features = hands.features.clone()
    features[:, list(looks)] = torch.nan
    return replace(hands, features=features)


class TestUpright:
    def test_a_turned_hand_is_said_turned(self, lifter, hands):
        """Exactly: whatever the network has learned or not."""
        roll = rolls(torch.tensor([0.3, -2.0, 3.1, 1.4]).double())
        plain, turned = lifter(hands), lifter(rolled(hands, roll))
        rotations = plain.rotations.clone()
        rotations[:, 0] = roll @ rotations[:, 0]
        wanted = replace(plain, keypoints=plain.keypoints @ roll.mT, rotations=rotations)
        require_same(turned, wanted, atol=1e-12)
        assert not torch.allclose(turned.keypoints, plain.keypoints, atol=0.01)

    def test_the_palm_points_up(self, hands):
        given = _Observed.of(hands)
        seen = given.turned(given.upright())
        palm = seen.positions[:, FIRST_JOINTS].mean(1) - seen.positions[:, 0]
        assert palm[:, 0].abs().max() < 1e-12 and (palm[:, 1] < 0).all()
        before = given.positions[:, FIRST_JOINTS].mean(1) - given.positions[:, 0]
        torch.testing.assert_close(palm.norm(dim=-1), before.norm(dim=-1))
        unit = torch.eye(3).double().expand(BATCH, 3, 3)
        torch.testing.assert_close(given.upright() @ given.upright().mT, unit)

    @pytest.mark.parametrize("unseen", [0, *FIRST_JOINTS])
    def test_a_palm_that_is_not_seen_is_left_as_it_is(self, lifter, hands, unseen):
        confidence = hands.confidence.clone()
        confidence[:, unseen] = 0
        hands = replace(hands, confidence=confidence)
        unit = torch.eye(3).double().expand(BATCH, 3, 3)
        assert torch.equal(_Observed.of(hands).upright(), unit)
        assert all(value.isfinite().all() for value in outputs(lifter(hands)).values())

    def test_a_palm_without_extent_is_left_as_it_is(self, hands):
        points = hands.positions.clone()
        points[:, [0, *FIRST_JOINTS]] = 0.25
        unit = torch.eye(3).double().expand(BATCH, 3, 3)
        assert torch.equal(_Observed.of(replace(hands, positions=points)).upright(), unit)


class TestFeatures:
    def test_both_looks_matter(self, lifter, hands):
        known = lifter(hands)
        for looks in ((0,), (1,), (0, 1)):
            for name, value in outputs(lifter(without(hands, *looks))).items():
                assert value.isfinite().all(), name
                assert not torch.allclose(value, outputs(known)[name], rtol=0, atol=1e-6), name

    def test_a_right_and_a_left_look_are_told_apart(self, lifter, hands):
        swapped = lifter(replace(hands, features=hands.features.flip(1)))
        assert not torch.allclose(swapped.betas, lifter(hands).betas, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("nothing", [torch.nan, torch.inf, -torch.inf])
    def test_a_look_with_one_bad_number_is_none(self, lifter, hands, nothing):
        features = hands.features.clone()
        features[:, 1, 17] = nothing
        require_same(lifter(replace(hands, features=features)), lifter(without(hands, 1)))

    def test_a_missing_look_is_told_from_zeros(self, lifter, hands):
        zeros = replace(hands, features=torch.zeros_like(hands.features))
        missing = lifter(without(hands, 0, 1))
        assert not torch.allclose(lifter(zeros).betas, missing.betas, rtol=0, atol=1e-6)

    def test_how_large_features_are_changes_nothing(self, lifter, hands):
        """They are normed."""
        require_same(lifter(replace(hands, features=3 * hands.features)), lifter(hands), 1e-5)

    def test_halves_are_enough(self, hands):
        """As sightings are stored."""
        lifter = build_network(CONFIG, seed=1).eval()
        hands = hands.to(torch.float32)
        halved = replace(hands, features=hands.features.half())
        require_same(lifter(halved), lifter(replace(hands, features=halved.features.float())))


WITHOUT_KEYPOINTS = frozenset({"fusion", "keypoint_front"})
WITHOUT_IMAGE = frozenset({"fusion", "image_front"})


class TestParts:
    def test_every_weight_is_of_one_part(self, lifter):
        names = ["image_front", "keypoint_front", "fusion", "tail", "head"]
        assert list(lifter.parts) == names and lifter.optional_parts < set(names)
        held = [id(weight) for part in lifter.parts.values() for weight in part.parameters()]
        assert sorted(held) == sorted(id(weight) for weight in lifter.parameters())

    def numbers(self, lifter, hands, absent):
        """What the layers say, in which no observed position is."""
        said = lifter(hands, absent)
        return torch.cat([said.betas, said.visibility, said.log_size], 1)

    def test_one_front_alone_knows_nothing_of_the_other(self, lifter, hands):
        features = replace(hands, features=hands.features.flip(0))
        bones = replace(hands, bones=hands.bones.flip(0), depth=hands.depth.flip(0))
        for absent, seen, unseen in (
            (WITHOUT_KEYPOINTS, features, bones),
            (WITHOUT_IMAGE, bones, features),
        ):
            said = self.numbers(lifter, hands, absent)
            assert torch.equal(self.numbers(lifter, unseen, absent), said)
            assert not torch.allclose(self.numbers(lifter, seen, absent), said, atol=1e-6)

    def test_one_front_feeds_the_blocks(self, lifter, hands):
        fed = []
        hook = lifter.blocks[0].register_forward_pre_hook(lambda block, given: fed.append(given[0]))
        lifter(hands, WITHOUT_KEYPOINTS)
        hook.remove()
        assert torch.equal(fed[0], lifter.looks(hands.features))

    def test_parts_that_are_absent_learn_nothing(self, lifter, hands):
        lifter.zero_grad()
        self.numbers(lifter, hands, WITHOUT_IMAGE).sum().backward()
        for name, part in lifter.parts.items():
            learns = [weight.grad is not None for weight in part.parameters()]
            assert not any(learns) if name in WITHOUT_IMAGE else all(learns), name

    @pytest.mark.parametrize(
        "absent",
        [
            {"fusion"},
            {"image_front"},
            {"keypoint_front"},
            {"fusion", "image_front", "keypoint_front"},
            {"fusion", "image_front", "tail"},
            {"segmentation"},
        ],
    )
    def test_others_cannot_be_left_out(self, lifter, hands, absent):
        with pytest.raises(ValueError, match="the fusion and one front"):
            lifter(hands, frozenset(absent))


class TestLittleKnown:
    def test_of_many_as_of_one(self, lifter, hands):
        """Whoever lacks what in the same batch."""
        confidence, depth = hands.confidence.clone(), hands.depth.clone()
        confidence[0, :5], depth[1] = 0, torch.nan
        features = hands.features.clone()
        features[2, 0], features[3] = torch.nan, torch.nan
        hands = replace(hands, confidence=confidence, depth=depth, features=features)
        together = outputs(lifter(hands))
        for row in range(BATCH):
            alone = outputs(lifter(hands[row : row + 1]))
            for name, value in alone.items():
                torch.testing.assert_close(value[0], together[name][row], rtol=0, atol=1e-12)

    @pytest.mark.parametrize("place", [0.3, torch.nan, torch.inf])
    def test_what_was_not_seen_has_no_influence(self, lifter, hands, place):
        """Of confidence 0, and a position that is none, whatever its confidence."""
        confidence, points = hands.confidence.clone(), hands.positions.clone()
        confidence[:, 7] = 0
        points[:, 7] = place
        given = replace(hands, confidence=confidence)
        wanted = lifter(given)
        require_same(lifter(replace(given, positions=points)), wanted)
        points[:, 7] = torch.nan
        require_same(lifter(replace(hands, positions=points)), wanted)
        assert not torch.allclose(wanted.betas, lifter(hands).betas, rtol=0, atol=1e-9)

    def degenerate(self, hands: LifterInputs) -> Iterator[tuple[str, LifterInputs]]:
        point = torch.full_like(hands.positions, 0.125)
        nothing = hands.map(lambda value: torch.full_like(value, torch.nan))
        unseen = torch.zeros_like(hands.confidence)
        yield "in one point", replace(hands, positions=point)
        yield "in one point, flat", replace(nothing, positions=point, focal=hands.focal,
                                            confidence=hands.confidence)  # fmt: skip
        yield "unseen", replace(nothing, confidence=unseen, focal=hands.focal)
        alone = unseen.clone()
        alone[:, 9] = 1
        yield "one keypoint", replace(hands, confidence=alone)

    def test_gradients_are_finite(self, lifter, hands):
        for what, given in self.degenerate(hands):
            given = replace(given, positions=given.positions.clone().requires_grad_())
            lifter.zero_grad()
            said = outputs(lifter(given))
            assert all(value.isfinite().all() for value in said.values()), what
            sum(value.square().sum() for value in said.values()).backward()
            for name, parameter in lifter.named_parameters():
                assert parameter.grad is not None and parameter.grad.isfinite().all(), (what, name)
            assert given.positions.grad.isfinite().all(), what


class TestSize:
    def test_it_starts_at_a_common_hand(self, hands):
        silent = build_network(CONFIG, seed=1).double().eval()
        torch.nn.init.zeros_(silent.head[1].weight)
        torch.nn.init.zeros_(silent.head[1].bias)
        said = silent(hands)
        torch.testing.assert_close(
            said.log_size[:, 0].exp(), torch.full((BATCH,), TYPICAL_METRES).double()
        )
        assert not said.visibility.any(), "as likely seen as not"

    def test_its_spread_is_within_its_range(self, hands):
        extreme = build_network(CONFIG, seed=1).double().eval()
        extreme.head[1].weight.data *= 1e4
        least, largest = SIZE_STD_RANGE
        std = extreme(lifter_inputs(64).to(torch.float64)).log_size[:, 1]
        assert (std > 0.999 * least).all() and (std < 1.001 * largest).all()
        assert std.min() < 1.01 * least and std.max() > 0.99 * largest


def test_fusion_is_handnets_of_one_place():
    """`FusionBlock` whose convolutions see one place alone, with the same weights."""
    width, ratio = 8, 4
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fusion, block = _Fusion(width, ratio).double(), FusionBlock(width, ratio).double()
        image, keypoints = torch.randn(2, 5, width, dtype=torch.float64)
    for name in ("reduce", "expand", "project"):
        dense, convolution = getattr(fusion, name), getattr(block, name)
        torch.nn.init.zeros_(convolution.weight)
        convolution.weight.data[:, :, 1, 1] = dense.weight.data
        convolution.bias.data = dense.bias.data
    wanted = block(image[..., None, None], keypoints[..., None, None])[..., 0, 0]
    torch.testing.assert_close(fusion(image, keypoints), wanted)
    assert not torch.allclose(fusion(keypoints, image), wanted)
