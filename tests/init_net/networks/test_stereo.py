"""`StereoHandNet`: what it makes of two crops, its parts, and its two fronts of images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from init_net.networks.build import build_network
from init_net.networks.config import HandNetConfig, StereoConfig
from init_net.records import StereoInputs, StereoPredictions
from tests.support.stereo_cases import crops, lively

SMALL = HandNetConfig(hidden=[24, 16], grid_channels=8, input_size=64)
B = 3


def pairs(seed: int = 0) -> StereoInputs:
    return StereoInputs(
        left=crops(seed, B, 64),
        right=crops(seed + 1, B, 64),
        rotation=torch.eye(3).repeat(B, 1, 1),
        translation=torch.tensor([[0.1, 0, 0]]).repeat(B, 1),
        left_focal=torch.full((B,), 2.0),
        right_focal=torch.full((B,), 2.0),
    )


def lively_mono(seed: int = 0):
    return lively(build_network(SMALL, seed), crops(40, B, 64))


def made(seed: int = 0, **options):
    """A network that has much to say, of its two views as of their weights."""
    network = build_network(StereoConfig(mono=SMALL, **options), seed).eval()
    network.begin_with(lively_mono(seed))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.stereo.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return network


def close(one: StereoPredictions, other: StereoPredictions, tolerance: float = 1e-5) -> None:
    for found, expected in ((one.right, other.right), (one.left, other.left)):
        for name, value in vars(expected).items():
            torch.testing.assert_close(
                getattr(found, name), value, rtol=tolerance, atol=tolerance, equal_nan=True
            )
    for name in ("right_pose", "left_pose", "weights"):
        torch.testing.assert_close(
            getattr(one, name), getattr(other, name), rtol=tolerance, atol=tolerance, equal_nan=True
        )


@pytest.fixture(scope="module")
def network():
    return made()


class TestWhatItSays:
    def test_of_each_view_is_what_the_mono_network_says_of_it(self, network):
        inputs, mono = pairs(), network.views[0]
        with torch.no_grad():
            said = network(inputs)
            for hands, view in ((said.right, inputs.right), (said.left, inputs.left)):
                expected = mono(view).hands
                torch.testing.assert_close(hands.rotations, expected.rotations)
                torch.testing.assert_close(hands.betas, expected.betas)
                torch.testing.assert_close(hands.camera, expected.camera)
            torch.testing.assert_close(said.right_pose, mono(inputs.right).pose)
            torch.testing.assert_close(said.left_pose, mono(inputs.left).pose)
        apart = (said.right.rotations - said.left.rotations).flatten(1).abs().amax(1)
        assert apart.min() > 0.05

    def test_weights_are_a_dense_layer_of_the_features_right_before_left(self, network):
        inputs = pairs()
        with torch.no_grad():
            right, left = (network.views[0](v).base for v in (inputs.right, inputs.left))
            assert right.shape == (B, 16)  # the last dense layer before the parameters
            x = torch.cat([right, left], 1)
            layer = network.stereo
            expected = 1 / (1 + torch.exp(-(x @ layer.weight.T + layer.bias)))
            torch.testing.assert_close(network(inputs).weights, expected)

    @pytest.mark.parametrize("sigmoid", [True, False])
    def test_at_first_both_views_count_alike(self, sigmoid):
        network = build_network(StereoConfig(mono=SMALL, sigmoid=sigmoid), 0).eval()
        with torch.no_grad():
            assert torch.equal(network(pairs()).weights, torch.full((B, 48), 0.5))

    def test_without_a_sigmoid_weights_are_any_numbers(self):
        with torch.no_grad():
            weights = made(sigmoid=False)(pairs()).weights
        assert weights.min() < 0 and weights.max() > 1

    def test_a_batch_is_what_its_pairs_are_alone(self, network):
        inputs = pairs()
        with torch.no_grad():
            whole = network(inputs)
            for b in range(B):
                one = network(inputs[b : b + 1])
                rows = slice(b, b + 1)
                expected = StereoPredictions(
                    whole.right[rows],
                    whole.left[rows],
                    whole.right_pose[rows],
                    whole.left_pose[rows],
                    whole.weights[rows],
                )
                close(one, expected)

    def test_views_with_weights_of_their_own_begin_alike(self):
        apart, together = made(shared=False), made()
        fresh = build_network(StereoConfig(mono=SMALL, shared=False), 0)
        for one, other in zip(*(view.parameters() for view in fresh.views), strict=True):
            assert torch.equal(one, other) and one is not other
        with torch.no_grad():
            close(apart(pairs()), together(pairs()))

    def test_crops_of_another_size_are_refused(self, network):
        inputs = pairs()
        small = replace(inputs.left, image=torch.zeros(B, 3, 32, 32))
        with pytest.raises(ValueError, match="64"):
            made(shared=False)(replace(inputs, left=small))


class TestMissing:
    def test_a_view_that_is_not_there_is_nothing_and_touches_no_other(self, network):
        inputs = pairs()
        with torch.no_grad():
            whole = network(inputs)
            inputs.left.image[1] = torch.nan
            found = network(inputs)
        for tensor in (found.left.rotations, found.left.betas, found.left.camera):
            assert tensor[1].isnan().all() and tensor[[0, 2]].isfinite().all()
        torch.testing.assert_close(found.right.rotations, whole.right.rotations)
        torch.testing.assert_close(found.weights[[0, 2]], whole.weights[[0, 2]])
        assert found.weights.isfinite().all()

    def test_a_view_without_keypoints_is_seen_by_its_image(self, network):
        inputs, blind = pairs(), pairs()
        blind.left.confidence[1] = 0
        inputs.left.keypoints[1] = torch.nan
        with torch.no_grad():
            close(network(inputs), network(blind))
            assert network(inputs).left.rotations.isfinite().all()

    def test_nothing_that_is_missing_has_a_gradient(self):
        network, inputs = made(), pairs()
        inputs.left.image[1] = torch.nan
        said = network(inputs)
        seen = [said.right.rotations, said.left.rotations[[0, 2]], said.weights]
        sum(each.square().sum() for each in seen).backward()
        assert all(p.grad.isfinite().all() for p in network.stereo.parameters())
        assert all(p.grad.isfinite().all() for p in network.views[0].head.parameters())


class TestParts:
    @pytest.mark.parametrize("shared", [True, False])
    def test_hold_every_tensor_once(self, shared):
        network = made(shared=shared)
        parts = [[*part.parameters(), *part.buffers()] for part in network.parts.values()]
        held = [id(tensor) for part in parts for tensor in part]
        assert len(held) == len(set(held))
        assert set(held) == {id(t) for t in (*network.parameters(), *network.buffers())}
        assert [*network.parts] == ["image_front", "keypoint_front", "fusion", "tail", "head",
                                    "original_front", "stereo"]  # fmt: skip

    def test_without_the_stereo_layer_there_are_no_weights(self, network):
        with torch.no_grad():
            said, whole = network(pairs(), frozenset({"stereo"})), network(pairs())
        assert said.weights is None
        close(replace(said, weights=whole.weights), whole)

    def test_it_cannot_do_without_others(self, network):
        with pytest.raises(ValueError, match="tail"):
            network(pairs(), frozenset({"tail"}))
        with pytest.raises(ValueError, match="original_front"):
            network(pairs(), frozenset({"original_front"}), "real")

    def test_widths_follow_the_mono_network(self):
        published = HandNetConfig(
            encoder="resnet18", hidden=[2048, 512], pooling="mean", rotation="axis_angle"
        )
        assert build_network(StereoConfig(mono=published), 0).stereo.weight.shape == (48, 1024)


class TestFronts:
    """On real pictures the image front is the original, not the adapted one (Seeber 3.5)."""

    @pytest.mark.parametrize("shared", [True, False])
    def test_before_adaptation_both_see_what_the_mono_network_sees(self, shared):
        mono, network = lively_mono(7), made(shared=shared)
        network.begin_with(mono)
        with torch.no_grad():
            rendered, real = network(pairs()), network(pairs(), pictures="real")
            expected = mono(pairs().right).hands
        close(rendered, real)
        torch.testing.assert_close(rendered.right.rotations, expected.rotations)

    def test_adaptation_changes_what_is_seen_of_rendered_pictures_alone(self):
        mono, network = lively_mono(7), made()
        network.begin_with(mono)
        with torch.no_grad():
            before = network(pairs(), pictures="real")
            for parameter in network.parts["image_front"].parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
            for buffer in network.parts["image_front"].buffers():
                if buffer.is_floating_point():
                    buffer.mul_(1.5)
            close(network(pairs(), pictures="real"), before)
            rendered = network(pairs())
            expected = mono(pairs().left).hands
        assert (rendered.right.rotations - before.right.rotations).abs().max() > 1e-3
        torch.testing.assert_close(before.left.rotations, expected.rotations)
