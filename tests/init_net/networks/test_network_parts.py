"""What the networks are made of: rotations, the fusion block, encoders in two parts, heatmaps."""

from __future__ import annotations

import pytest
import timm
import torch
from scipy.spatial.transform import Rotation
from torch.nn import functional

from init_net.networks.encoders import split_encoder, staged
from init_net.networks.handnet import FusionBlock
from init_net.networks.heatmaps import keypoint_heatmaps
from init_net.networks.rotations import to_rotations


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class TestRotations:
    def test_zero_is_the_identity(self):
        for representation, count in (("6d", 6), ("axis_angle", 3)):
            found = to_rotations(torch.zeros(2, 16, count), representation)
            torch.testing.assert_close(found, torch.eye(3).expand(2, 16, 3, 3))

    def test_matrices_come_back_from_their_columns(self):
        matrices = torch.tensor(Rotation.random(8, random_state=0).as_matrix())[None]
        values = (matrices - torch.eye(3).double())[..., :2].flatten(2)
        torch.testing.assert_close(to_rotations(values, "6d"), matrices)

    def test_axis_angle(self):
        rotation = Rotation.random(8, random_state=1)
        found = to_rotations(torch.tensor(rotation.as_rotvec())[None], "axis_angle")
        torch.testing.assert_close(found[0], torch.tensor(rotation.as_matrix()))

    def test_collapsed_columns_are_finite(self):
        values = torch.tensor([-1.0, 0, 0, -1, 0, 0]).expand(1, 1, 6).clone().requires_grad_()
        rotations = to_rotations(values, "6d")
        rotations.sum().backward()
        assert rotations.isfinite().all() and values.grad.isfinite().all()


class TestFusion:
    def test_against_the_printed_formula(self):
        """Seeber 3.1, with the convolutions written out as sums over a 3x3 neighbourhood."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            block = FusionBlock(8, ratio=4).double()
        image, keypoints = torch.randn(2, 2, 8, 5, 6, generator=generator(), dtype=torch.float64)

        def convolve(layer, maps):
            padded = functional.pad(maps, (1, 1, 1, 1))
            total = layer.bias.view(1, -1, 1, 1)
            for row in range(3):
                for column in range(3):
                    shifted = padded[..., row : row + 5, column : column + 6]
                    weight = layer.weight[:, :, row, column]
                    total = total + torch.einsum("oc,bchw->bohw", weight, shifted)
            return total

        both = torch.cat([image, keypoints], 1)
        squeezed = convolve(block.reduce, both).clamp_min(0)
        weights = 1 / (1 + (-convolve(block.expand, squeezed)).exp())
        expected = convolve(block.project, weights * both)
        assert (squeezed.shape[1], weights.shape[1]) == (4, 16)
        torch.testing.assert_close(block(image, keypoints), expected)
        assert block(image, keypoints).shape == image.shape

    def test_no_bottleneck_of_nothing(self):
        assert FusionBlock(2, ratio=8)(*torch.zeros(2, 1, 2, 4, 4)).shape == (1, 2, 4, 4)


class TestEncoders:
    @pytest.mark.parametrize("split", [1, 2, 3])
    @pytest.mark.parametrize(
        "name",
        ["resnet10t", "mobilenetv3_small_050", "mobilenetv4_conv_small", "efficientnet_lite0",
         "regnetx_002", "ghostnet_050"],
    )  # fmt: skip
    def test_both_parts_are_the_whole(self, name, split):
        encoder = split_encoder(name, split, 5)
        whole = timm.create_model(name, pretrained=False, features_only=True, in_chans=5)
        # The same weights, in the order in which they are used.
        values = [*encoder.front.state_dict().values(), *encoder.tail.state_dict().values()]
        names = list(whole.state_dict())
        whole.load_state_dict(dict(zip(names, values, strict=True)))
        picture = torch.randn(2, 5, 64, 64, generator=generator())
        with torch.no_grad():
            features = whole.eval()(picture)
            front = encoder.front.eval()(picture)
            torch.testing.assert_close(front, features[split])
            torch.testing.assert_close(encoder.tail.eval()(front), features[-1])
        assert encoder.split_channels == front.shape[1]
        assert encoder.channels == tuple(each.shape[1] for each in features)
        assert encoder.strides == tuple(64 // each.shape[2] for each in features)
        # The maps of all stages, those of the front first.
        with torch.no_grad():
            maps = staged(encoder.front, picture, encoder.front_ends)
            maps += staged(encoder.tail, maps[-1], encoder.tail_ends)
        assert len(encoder.front_ends) == split + 1 and len(maps) == len(features)
        for found, expected in zip(maps, features, strict=True):
            torch.testing.assert_close(found, expected)


class TestHeatmaps:
    def test_gaussian_written_out(self):
        keypoints = torch.tensor([[[3.2, 7.9]] * 21], dtype=torch.float64)
        found = keypoint_heatmaps(keypoints, torch.ones(1, 21), 12, 1.5)
        assert found.shape == (1, 21, 12, 12)
        y, x = torch.meshgrid(*[torch.arange(12, dtype=torch.float64) + 0.5] * 2, indexing="ij")
        expected = (-((x - 3.2) ** 2 + (y - 7.9) ** 2) / (2 * 1.5**2)).exp()
        torch.testing.assert_close(found, expected.expand(1, 21, -1, -1))

    def test_peak_is_1_at_the_keypoint(self):
        keypoints = torch.rand(2, 21, 2, generator=generator()).mul(16).floor() + 0.5
        found = keypoint_heatmaps(keypoints, torch.full((2, 21), 0.1), 16, 2.0)
        assert torch.equal(found.amax((2, 3)), torch.ones(2, 21))
        place = found.flatten(2).argmax(-1)
        expected = (keypoints - 0.5).long()
        assert torch.equal(place, expected[..., 1] * 16 + expected[..., 0])

    def test_nothing_for_keypoints_that_are_not_there(self):
        keypoints = torch.full((1, 21, 2), 4.5)
        confidence = torch.ones(1, 21)
        confidence[0, 3] = 0
        keypoints[0, 5, 0] = torch.nan
        keypoints[0, 6, 1] = torch.inf
        keypoints[0, 8] = 1e6
        found = keypoint_heatmaps(keypoints, confidence, 9, 1.0)
        there = [k for k in range(21) if k not in (3, 5, 6, 8)]
        assert found.isfinite().all() and not found[0, [3, 5, 6, 8]].any()
        assert (found[0, there, 4, 4] == 1).all()
