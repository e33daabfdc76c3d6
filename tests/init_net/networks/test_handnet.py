"""`HandNet`: its parts, what it says without some of them, its decoder, its printed sizes."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch

from fitter.hand_models import load_hand_model
from fitter.rotations import roma
from init_net.networks.build import build_network
from init_net.networks.config import HandNetConfig
from init_net.networks.handnet import FRONTS, absence_fault
from init_net.posing import hand_points
from init_net.records import CropInputs, RegressedHands
from init_net.training.config import load_train_config
from init_net.training.loss_weights import ManoWeights
from init_net.training.losses import axis_angle_error, bce_loss, mano_terms

SIZE = 32
CONFIG = HandNetConfig(
    encoder="mobilenetv3_small_050",
    hidden=[16],
    input_size=SIZE,
    decoder_channels=[8, 8, 8, 4, 4],
)
PARTS = ["image_front", "keypoint_front", "fusion", "tail", "head", "segmentation"]
ALONE = {
    "image_front": frozenset({"keypoint_front", "fusion"}),
    "keypoint_front": frozenset({"image_front", "fusion", "segmentation"}),
}
"""What is absent where one of the fronts is alone."""


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def crop_inputs(batch=3, size=SIZE, seed=0):
    random = generator(seed)
    return CropInputs(
        image=torch.rand(batch, 3, size, size, generator=random),
        keypoints=size * torch.rand(batch, 21, 2, generator=random),
        confidence=0.5 + 0.5 * torch.rand(batch, 21, generator=random),
    )


def blind(inputs):
    return replace(inputs, confidence=torch.zeros_like(inputs.confidence))


@pytest.fixture(scope="module")
def network():
    """In evaluation mode, its running statistics those of some crops."""
    network = build_network(CONFIG, seed=1)
    with torch.no_grad():
        for seed in range(10):
            network(crop_inputs(8, seed=seed))
    return network.eval()


class TestParts:
    def test_every_number_belongs_to_exactly_one(self, network):
        parts = network.parts
        assert list(parts) == PARTS
        held = [value for part in parts.values() for value in part.state_dict().values()]
        whole = network.state_dict().values()
        assert len(held) == len(whole)
        assert {value.data_ptr() for value in held} >= {value.data_ptr() for value in whole}
        learned = [id(value) for part in parts.values() for value in part.parameters()]
        assert sorted(learned) == sorted(id(value) for value in network.parameters())

    def test_a_network_without_a_decoder_has_no_such_part(self):
        network = build_network(CONFIG.model_copy(update={"decoder_channels": None}), seed=0)
        assert list(network.parts) == PARTS[:-1]
        assert network.eval()(crop_inputs()).mask_logits is None
        with pytest.raises(ValueError, match="decoder"):
            network.segment(crop_inputs())
        with pytest.raises(ValueError, match="no part segmentation"):
            network(crop_inputs(), frozenset({"segmentation"}))

    def test_optional_parts_are_those_that_some_set_leaves_out(self, network):
        possible = [
            absent
            for chosen in product([False, True], repeat=len(PARTS))
            if absence_fault(
                absent := frozenset(part for part, out in zip(PARTS, chosen, strict=True) if out),
                frozenset(PARTS),
            )
            is None
        ]
        assert frozenset().union(*possible) == network.optional_parts
        for absent in possible:
            said = network(crop_inputs(), absent)
            assert (said.hands is None) == ("head" in absent)
            assert (said.mask_logits is None) == ("segmentation" in absent)

    @pytest.mark.parametrize(
        ("absent", "fault"),
        [
            ({"tail"}, "tail"),
            (FRONTS, "one of its fronts"),
            (FRONTS | {"fusion"}, "one of its fronts"),
            ({"fusion"}, "without fusion"),
            ({"image_front", "segmentation"}, "fusion needs both"),
            ({"image_front", "fusion"}, "segmentation needs image_front"),
            ({"head", "segmentation"}, "says nothing"),
            ({"pool"}, "no part pool"),
        ],
    )
    def test_parts_that_it_cannot_do_without(self, network, absent, fault):
        with pytest.raises(ValueError, match=fault):
            network(crop_inputs(), frozenset(absent))

    def test_hands_and_masks_alone_are_those_of_the_whole(self, network):
        inputs = crop_inputs()
        said = network(inputs)
        for found, expected in zip(
            vars(network.regress(inputs)).values(), vars(said.hands).values(), strict=True
        ):
            assert torch.equal(found, expected)
        assert torch.equal(network.segment(inputs), said.mask_logits)


class TestFronts:
    @pytest.mark.parametrize("front", list(ALONE))
    def test_one_alone_feeds_the_tail(self, network, front):
        """By hand: the front, the tail, the pooling, the dense layers."""
        inputs = crop_inputs()
        seen = []
        first = getattr(network, front)[0]
        handle = first.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
        said = network(inputs, ALONE[front])
        handle.remove()
        maps = network.tail(getattr(network, front)(seen[0]))
        base = network.head[:-1](network.pool(maps))
        torch.testing.assert_close(said.base, base)
        torch.testing.assert_close(said.hands.betas, network.head[-1](base)[:, 96:106])

    def test_alone_each_sees_its_own_input_only(self, network):
        inputs = crop_inputs()
        dark = replace(inputs, image=0.5 * inputs.image)
        for front, same, other in (
            ("image_front", blind(inputs), dark),
            ("keypoint_front", dark, blind(inputs)),
        ):
            absent = ALONE[front]
            plain = network(inputs, absent).base
            assert torch.equal(plain, network(same, absent).base)
            assert not torch.allclose(plain, network(other, absent).base, atol=1e-6)

    def test_both_matter_where_they_are_fused(self, network):
        inputs = crop_inputs()
        plain = network(inputs)
        for other in (replace(inputs, image=0.5 * inputs.image), blind(inputs)):
            said = network(other)
            assert not torch.allclose(plain.base, said.base, rtol=0, atol=1e-6)
            assert not torch.allclose(plain.mask_logits, said.mask_logits, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("front", list(ALONE))
    def test_gradient_reaches_what_is_there_alone(self, front):
        network = build_network(CONFIG, seed=0)
        said = network(crop_inputs(), ALONE[front] | {"segmentation"})
        said.pose.square().sum().backward()
        touched = {
            name
            for name, part in network.parts.items()
            if any(value.grad is not None and value.grad.any() for value in part.parameters())
        }
        assert touched == {front, "tail", "head"}


class TestDecoder:
    @pytest.mark.parametrize("encoder", ["resnet18", "mobilenetv4_conv_small"])
    @pytest.mark.parametrize("split", [1, 2, 3])
    def test_first_skips_are_of_the_image_alone(self, encoder, split):
        """What the decoder is given: the picture's own maps up to the cut, then fused ones."""
        config = CONFIG.model_copy(update={"encoder": encoder, "split": split, "input_size": 64})
        network = build_network(config, seed=0).eval()
        given = []
        handle = network.segmentation.register_forward_pre_hook(
            lambda module, arguments: given.append(arguments[1])
        )
        inputs = crop_inputs(size=64)
        with torch.no_grad():
            network(inputs)
            network(blind(inputs))
        handle.remove()
        seeing, unseeing = given
        assert [64 // maps.shape[-1] for maps in seeing] == [2, 4, 8, 16, 32]
        for stage, (maps, others) in enumerate(zip(seeing, unseeing, strict=True)):
            assert torch.equal(maps, others) == (stage < split)

    def test_every_skip_reaches_the_mask(self, network):
        maps = [
            torch.randn(1, channels, SIZE // 2**k, SIZE // 2**k, generator=generator(k))
            for k, channels in enumerate((16, 8, 16, 24, 288), 1)
        ]
        image = torch.zeros(1, 3, SIZE, SIZE)
        plain = network.segmentation(image, maps)
        assert plain.shape == (1, SIZE, SIZE)
        assert torch.equal(plain, network.segmentation(image + 1, maps))
        for k in range(5):
            moved = [2 * each if k == place else each for place, each in enumerate(maps)]
            assert not torch.allclose(plain, network.segmentation(image, moved), atol=1e-6)


class TestSaid:
    @pytest.mark.parametrize("rotation", ["6d", "axis_angle"])
    def test_pose_is_the_rotations_as_axis_angle(self, rotation):
        network = build_network(CONFIG.model_copy(update={"rotation": rotation}), seed=0).eval()
        said = network(crop_inputs())
        vectors = said.pose.unflatten(1, (16, 3))
        torch.testing.assert_close(roma.rotvec_to_rotmat(vectors), said.hands.rotations)

    def test_axis_angle_beyond_half_a_turn_is_as_it_is_said(self):
        network = build_network(CONFIG.model_copy(update={"rotation": "axis_angle"}), seed=0).eval()
        with torch.no_grad():
            network.head[-1].bias[:3] = torch.tensor([0.0, 4.0, 0.0])
        assert (network(crop_inputs()).pose[:, 1] > 3.5).all()

    def test_scale_is_positive(self):
        network = build_network(CONFIG, seed=0).eval()
        network.head[-1].bias.data[-3] = -20.0
        assert (network.regress(crop_inputs()).camera[:, 0] > 0).all()


@pytest.fixture(scope="module")
def published():
    return build_network(load_train_config("handnet_published").network, seed=0).eval()


class TestPublished:
    """Every width and shape that Seeber 3.1 and 3.3 print."""

    def test_shapes_of_one_look(self, published):
        size = published.config.input_size
        shapes = {}
        modules = {
            "image": published.image_front[0], "heatmaps": published.keypoint_front[0],
            "fusion": published.fusion, "tail": published.tail[0], "X_base": published.head,
            "skips": published.segmentation,
        }  # fmt: skip
        handles = [
            module.register_forward_pre_hook(
                lambda module, given, name=name: shapes.update(
                    {name: [tuple(each.shape) for each in given if isinstance(each, torch.Tensor)]}
                )
            )
            for name, module in modules.items()
        ]
        with torch.no_grad():
            said = published(crop_inputs(1, size))
            base = published.pool(published.tail(torch.zeros(1, 512, size // 8, size // 8)))
        for handle in handles:
            handle.remove()
        assert shapes["image"] == [(1, 3, size, size)]
        assert shapes["heatmaps"] == [(1, 21, size, size)]
        assert shapes["fusion"] == 2 * [(1, 512, size // 8, size // 8)]
        assert shapes["tail"] == [(1, 512, size // 8, size // 8)]
        assert base.shape == (1, 2048), "X_base"
        assert said.base.shape == (1, 512), "X, of the MANO regressor"
        assert said.pose.shape == (1, 48)
        assert said.hands.betas.shape == (1, 10)
        assert said.hands.camera.shape == (1, 3)
        assert said.mask_logits.shape == (1, size, size)

    def test_widths(self, published):
        fusion = published.fusion
        assert fusion.reduce.weight.shape[:2] == (128, 1024), "2C / 8 = 128"
        assert fusion.expand.weight.shape[:2] == (1024, 128)
        assert fusion.project.weight.shape[:2] == (512, 1024)
        assert published.image_front[0].weight.shape == (64, 3, 7, 7)
        assert published.keypoint_front[0].weight.shape == (64, 21, 7, 7)
        sizes = [tuple(layer.weight.shape) for layer in published.head if hasattr(layer, "weight")]
        assert sizes == [(2048, 2048), (512, 2048), (48 + 10 + 3, 512)]

    def test_fronts_and_tail_are_resnet_50(self, published):
        """3 + 4 bottleneck blocks in front of the cut after conv3_x, 6 + 3 behind it."""
        blocks = [
            [len(layer) for layer in part if isinstance(layer, torch.nn.Sequential)]
            for part in (published.image_front, published.keypoint_front, published.tail)
        ]
        assert blocks == [[3, 4], [3, 4], [6, 3]]

    def test_one_training_step(self):
        """Eq. 9 and eq. 10 together reach every number, move every part, and all stay finite."""
        config = load_train_config("handnet_published")
        network = build_network(config.network, seed=0).train()
        betas = config.optimiser.betas
        optimiser = torch.optim.Adam(network.parameters(), config.optimiser.learning_rate, betas)
        before = {name: value.clone() for name, value in network.named_parameters()}
        inputs = crop_inputs(2, config.network.input_size)
        said = network(inputs)
        truth = RegressedHands(
            roma.rotvec_to_rotmat(0.3 * torch.randn(2, 16, 3, generator=generator(1))),
            torch.randn(2, 10, generator=generator(2)),
            torch.tensor([[4.0, 0.1, 0.0], [5.0, 0.0, -0.1]]),
        )
        model = load_hand_model().keypoint_model().to(torch.float32)
        positions = hand_points(model, truth).positions
        points = hand_points(model, said.hands)
        terms = mano_terms(said.hands, points, truth, positions, torch.ones(2, 21))
        terms["pose"] = axis_angle_error(said.pose, truth.rotations)
        weights = ManoWeights().model_dump()
        loss = sum(weights[name] * term.mean() for name, term in terms.items())
        loss = loss + bce_loss(said.mask_logits, inputs.image.mean(1).round()).mean()
        loss.backward()
        optimiser.step()
        for name, value in network.named_parameters():
            assert value.grad is not None and value.isfinite().all(), name
        # Residual blocks begin as nothing (their last normalisation is 0): what lies within waits.
        still = {
            name for name, value in network.named_parameters() if torch.equal(value, before[name])
        }
        assert all(
            name.rsplit(".", 2)[1] in ("conv1", "conv2", "conv3", "bn1", "bn2") for name in still
        )
        for part in network.parts.values():
            assert any(value.grad.any() for value in part.parameters())
