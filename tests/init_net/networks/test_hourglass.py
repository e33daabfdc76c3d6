"""The 2D branch: integral regression, hourglasses, and what sizes they can have."""

import pytest
import torch

from init_net.networks.config import HourglassConfig
from init_net.networks.hourglass import Hourglass, KeypointEstimator, expectation
from tests.support.errors import raises

SMALL = HourglassConfig(stacks=2, channels=8, depth=2, map_size=8)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def estimator(config=SMALL, size=32):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return KeypointEstimator(config, size)


class TestExpectation:
    def test_against_the_printed_sums(self):
        """Sun et al. 2018, eqs. 2 and 3, cell by cell."""
        heatmaps = torch.randn(2, 3, 5, 5, generator=generator(), dtype=torch.float64)
        found = expectation(heatmaps)
        for hand in range(2):
            for keypoint in range(3):
                values = heatmaps[hand, keypoint].exp()
                total = values.sum()
                x = sum(
                    values[r, c] / total * ((c + 0.5) / 5 - 0.5) for r in range(5) for c in range(5)
                )
                y = sum(
                    values[r, c] / total * ((r + 0.5) / 5 - 0.5) for r in range(5) for c in range(5)
                )
                torch.testing.assert_close(found[hand, keypoint], torch.stack([x, y]))

    def test_a_peak_gives_its_place(self):
        heatmaps = torch.zeros(1, 2, 8, 8)
        heatmaps[0, 0, 1, 6] = 1e4  # row 1, column 6
        heatmaps[0, 1, 3, 0] = heatmaps[0, 1, 4, 0] = 1e4
        expected = torch.tensor([[[6.5 / 8 - 0.5, 1.5 / 8 - 0.5], [0.5 / 8 - 0.5, 0.0]]])
        torch.testing.assert_close(expectation(heatmaps), expected)

    def test_an_even_map_gives_the_middle(self):
        torch.testing.assert_close(expectation(torch.full((1, 1, 6, 6), 3.0)), torch.zeros(1, 1, 2))

    def test_slopes(self):
        heatmaps = torch.randn(1, 2, 4, 4, generator=generator(), dtype=torch.float64)
        assert torch.autograd.gradcheck(expectation, heatmaps.requires_grad_())


class TestEstimator:
    def test_says_places_within_the_crop(self):
        picture = torch.rand(3, 3, 32, 32, generator=generator())
        found = estimator().eval()(picture)
        assert found.shape == (3, 21, 2) and found.dtype == torch.float32
        assert (found.abs() <= 0.5).all()

    def test_a_planted_peak_is_its_place(self):
        """Of the last hourglass, whatever its features are."""
        network = estimator().eval()
        last = network.stacks[-1].heatmaps
        # Every keypoint shows the first channel of the features, which is bright in one cell.
        last.weight.data.zero_()
        last.weight.data[:, 0] = 1
        network.stacks[-1].features.register_forward_hook(lambda *_: _peak(row=2, column=5))
        found = network(torch.rand(1, 3, 32, 32, generator=generator()))
        expected = torch.tensor([5.5 / 8 - 0.5, 2.5 / 8 - 0.5]).expand(1, 21, 2)
        torch.testing.assert_close(found, expected)

    def test_batch_is_as_many_single_ones(self):
        network, picture = estimator().eval(), torch.rand(3, 3, 32, 32, generator=generator())
        whole = network(picture)
        for k in range(3):
            torch.testing.assert_close(network(picture[k : k + 1])[0], whole[k], atol=1e-5, rtol=0)

    @pytest.mark.parametrize("stacks", [1, 3])
    def test_gradients_reach_every_parameter(self, stacks):
        network = estimator(SMALL.model_copy(update={"stacks": stacks}))
        assert len(network.stacks) == stacks
        found = network(torch.rand(4, 3, 32, 32, generator=generator()))
        found.mul(torch.randn(found.shape, generator=generator(1))).sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.any(), name

    def test_it_learns_where_a_spot_is(self):
        network = estimator()
        optimiser = torch.optim.Adam(network.parameters(), 3e-3)
        random, errors = generator(), []
        for _ in range(60):
            picture, place = _spots(8, random)
            error = (network(picture) - place[:, None]).abs().mean()
            optimiser.zero_grad()
            error.backward()
            optimiser.step()
            errors.append(float(error.detach()))
        assert sum(errors[-5:]) < 0.4 * sum(errors[:5])

    def test_halves_inside_do_not_reach_the_output(self):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = estimator().eval()(torch.rand(2, 3, 32, 32, generator=generator()))
        assert found.dtype == torch.float32

    def test_an_hourglass_keeps_the_shape(self):
        assert Hourglass(4, 3)(torch.zeros(1, 4, 16, 16)).shape == (1, 4, 16, 16)

    def test_published_crops(self):
        network = KeypointEstimator(HourglassConfig(channels=16, map_size=56), 224)
        assert network.stem(torch.zeros(1, 3, 224, 224)).shape == (1, 16, 56, 56)

    @pytest.mark.parametrize(
        ("size", "map_size", "expected"),
        [(224, 32, "112, 56"), (32, 32, "16, 8"), (96, 32, "48, 24"), (128, 24, "64, 32, 16, 8")],
    )
    def test_heatmaps_that_do_not_fit_the_crop(self, size, map_size, expected):
        config = HourglassConfig(map_size=map_size)
        with raises("network.map_size", size=size, found=map_size, expected=expected):
            KeypointEstimator(config, size)

    def test_a_depth_that_does_not_fit_the_heatmaps(self):
        config = HourglassConfig(map_size=8, depth=4)
        with raises("network.hourglass_depth", size=8, found=4):
            KeypointEstimator(config, 64)


def _peak(row, column):
    features = torch.zeros(1, 8, 8, 8)
    features[0, 0, row, column] = 1e4
    return features


def _spots(count, random):
    """Pictures of one bright spot each, and where it is, crop units about the middle."""
    place = torch.rand(count, 2, generator=random) * 0.8 - 0.4
    centres = (torch.arange(32) + 0.5) / 32 - 0.5
    across, down = (centres - place[:, k, None] for k in range(2))
    spot = torch.exp(-(down[:, :, None] ** 2 + across[:, None] ** 2) / (2 * 0.05**2))
    return spot[:, None].expand(-1, 3, -1, -1).contiguous(), place
