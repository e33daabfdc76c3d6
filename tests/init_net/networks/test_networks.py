"""The networks: shapes, what has influence on what, gradients, configurations."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import roma
import torch
from pydantic import TypeAdapter, ValidationError

from fitter.conventions import BONES
from init_net.networks.build import build_network
from init_net.networks.config import (
    HandNetConfig,
    KeypointDropout,
    LifterConfig,
    NetworkConfig,
    SegmentationConfig,
)
from init_net.networks.heatmaps import dropped_keypoints
from init_net.networks.lifter import STD_RANGE
from init_net.records import CropInputs
from tests.support.errors import raises
from tests.support.lifter_cases import lifter_inputs

SIZE = 32
SMALL = {
    "lifter": LifterConfig(width=32, blocks=2),
    "handnet": HandNetConfig(
        encoder="mobilenetv3_small_050",
        hidden=[16],
        input_size=SIZE,
        decoder_channels=[8, 8, 8, 4, 4],
    ),
    "segmentation": SegmentationConfig(
        encoder="tu-mobilenetv3_small_050", decoder_channels=[8, 8, 8, 4, 4], input_size=SIZE
    ),
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def crop_inputs(batch=3, seed=0):
    random = generator(seed)
    return CropInputs(
        image=torch.rand(batch, 3, SIZE, SIZE, generator=random),
        keypoints=SIZE * torch.rand(batch, 21, 2, generator=random),
        confidence=0.5 + 0.5 * torch.rand(batch, 21, generator=random),
    )


def inputs_of(kind, batch=3, seed=0):
    return (lifter_inputs if kind == "lifter" else crop_inputs)(batch, seed)


def outputs(result):
    """Name -> tensor of a network's result."""
    if isinstance(result, torch.Tensor):
        return {"logits": result}
    named = {field.name: getattr(result, field.name) for field in fields(result)}
    hands = named.pop("hands", None)
    if hands is not None:
        named |= outputs(hands)
    return {name: value for name, value in named.items() if value is not None}


def same(a, b, atol=0.0):
    torch.testing.assert_close(outputs(a), outputs(b), rtol=0, atol=atol)


@pytest.fixture(scope="module", params=list(SMALL))
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def network(kind):
    """In evaluation mode, its running statistics those of some crops."""
    network = build_network(SMALL[kind], seed=1)
    with torch.no_grad():
        for seed in range(10):
            network(inputs_of(kind, batch=8, seed=seed))
    return network.eval()


SHAPES = {
    "lifter": {
        "keypoints": (3, 21, 3),
        "std": (3, 21, 2),
        "rotations": (3, 16, 3, 3),
        "betas": (3, 10),
        "visibility": (3, 21),
        "log_size": (3, 2),
    },
    "handnet": {
        "mask_logits": (3, SIZE, SIZE),
        "base": (3, 16),
        "pose": (3, 48),
        "rotations": (3, 16, 3, 3),
        "betas": (3, 10),
        "camera": (3, 3),
    },
    "segmentation": {"logits": (3, SIZE, SIZE)},
}


class TestEveryNetwork:
    def test_shapes(self, network, kind):
        found = outputs(network(inputs_of(kind)))
        assert {name: tuple(tensor.shape) for name, tensor in found.items()} == SHAPES[kind]
        assert all(tensor.dtype == torch.float32 for tensor in found.values())
        assert all(tensor.isfinite().all() for tensor in found.values())

    def test_batch_is_as_many_single_ones(self, network, kind):
        inputs = inputs_of(kind)
        whole = outputs(network(inputs))
        for hand in range(3):
            alone = outputs(network(inputs[hand : hand + 1]))
            for name, tensor in whole.items():
                torch.testing.assert_close(alone[name][0], tensor[hand], rtol=1e-4, atol=1e-5)

    def test_differs_between_hands(self, network, kind):
        for tensor in outputs(network(inputs_of(kind))).values():
            assert not torch.allclose(tensor[0], tensor[1], rtol=0, atol=1e-5)

    @pytest.mark.parametrize("place", [0.3, 1e4, torch.nan, torch.inf])
    @pytest.mark.parametrize("gone", [[0], [7, 8, 20], list(range(21))])
    def test_keypoints_of_confidence_0_have_no_influence(self, network, kind, gone, place):
        inputs = inputs_of(kind)
        name = "positions" if kind == "lifter" else "keypoints"
        confidence = inputs.confidence.clone()
        confidence[:, gone] = 0
        inputs = replace(inputs, confidence=confidence)
        moved = getattr(inputs, name).clone()
        moved[:, gone] = place
        same(network(inputs), network(replace(inputs, **{name: moved})))

    def test_keypoints_that_are_seen_have_influence(self, network, kind):
        inputs = inputs_of(kind)
        name = "positions" if kind == "lifter" else "keypoints"
        moved = getattr(inputs, name).clone()
        moved[:, 8] = moved[:, 8] * 0.5
        other = outputs(network(replace(inputs, **{name: moved})))
        for name, tensor in outputs(network(inputs)).items():
            assert not torch.equal(tensor, other[name])

    def test_works_without_keypoints(self, network, kind):
        inputs = inputs_of(kind)
        inputs = replace(inputs, confidence=torch.zeros_like(inputs.confidence))
        assert all(tensor.isfinite().all() for tensor in outputs(network(inputs)).values())

    def test_rotations_are_rotations(self, network, kind):
        rotations = outputs(network(inputs_of(kind))).get("rotations")
        if rotations is not None:
            unit = torch.eye(3).expand_as(rotations)
            torch.testing.assert_close(rotations @ rotations.mT, unit, rtol=0, atol=1e-5)
            torch.testing.assert_close(rotations.det(), torch.ones(3, 16), rtol=0, atol=1e-5)

    def test_gradients_reach_every_parameter(self, kind):
        network = build_network(SMALL[kind], seed=2)
        found = outputs(network(inputs_of(kind)))
        random = [torch.randn(tensor.shape, generator=generator()) for tensor in found.values()]
        torch.autograd.backward(list(found.values()), random)
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name

    def test_halves_inside_do_not_reach_the_output(self, network, kind):
        inputs = inputs_of(kind)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = outputs(network(inputs))
        assert all(tensor.dtype == torch.float32 for tensor in found.values())
        if "rotations" in found:
            unit = torch.eye(3).expand_as(found["rotations"])
            product = found["rotations"] @ found["rotations"].mT
            torch.testing.assert_close(product, unit, rtol=0, atol=1e-5)


class TestBuilding:
    def test_reproducible_and_leaves_the_global_generator_alone(self, kind):
        torch.manual_seed(5)
        state = torch.random.get_rng_state()
        first = build_network(SMALL[kind], seed=3).state_dict()
        assert torch.equal(torch.random.get_rng_state(), state)
        torch.manual_seed(6)
        again = build_network(SMALL[kind], seed=3).state_dict()
        other = build_network(SMALL[kind], seed=4).state_dict()
        assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
        assert any(not torch.equal(tensor, other[name]) for name, tensor in first.items())

    def test_defaults_are_small_enough_to_ship(self):
        for config, limit in [
            (LifterConfig(), 1.4e6),
            (HandNetConfig(), 7.5e6),
            (SegmentationConfig(), 7.5e6),
        ]:
            network = build_network(config, seed=0)
            assert sum(p.numel() for p in network.parameters()) < limit

    @pytest.mark.parametrize(
        "values",
        [
            {"kind": "lifter", "depth": 3},
            {"kind": "handnet", "width": 3},
            {"kind": "segmentation", "betas": 10},
            {"kind": "handnet", "keypoint_dropout": {"both": 0.1}},
            {"kind": "handnet", "input_size": 100},
            {"kind": "segmentation", "decoder_channels": [8]},
            {"kind": "handnet", "decoder_channels": [8, 8]},
            {"kind": "transformer"},
            {},
        ],
    )
    def test_unknown_options_are_rejected(self, values):
        with pytest.raises(ValidationError):
            TypeAdapter(NetworkConfig).validate_python(values)

    def test_kind_tells_configurations_apart(self, kind):
        adapter = TypeAdapter(NetworkConfig)
        assert adapter.validate_python(SMALL[kind].model_dump()) == SMALL[kind]
        assert adapter.validate_json(SMALL[kind].model_dump_json()) == SMALL[kind]

    @pytest.mark.parametrize(
        ("config", "code"),
        [
            (HandNetConfig(encoder="resnet51"), "no_timm_encoder"),
            # timm would look for it elsewhere.
            (HandNetConfig(encoder="hf-hub:timm/resnet18.a1_in1k"), "no_timm_encoder"),
            (SegmentationConfig(encoder="tu-hf-hub:timm/resnet18.a1_in1k"), "no_unet_encoder"),
            (HandNetConfig(encoder="swin_tiny_patch4_window7_224"), "no_sequence"),
            (HandNetConfig(encoder="vit_tiny_patch16_224"), "no_sequence"),
            (HandNetConfig(encoder="resnet18", split=4), "no_split"),
            # Its first stage is at a quarter of the resolution.
            (HandNetConfig(encoder="convnext_atto", decoder_channels=[8] * 5), "no_decoder"),
            (SegmentationConfig(encoder="resnet51"), "no_unet_encoder"),
            (SegmentationConfig(encoder="tu-resnet51"), "no_unet_encoder"),
        ],
    )
    def test_no_such_encoder(self, config, code):
        with raises(f"network.{code}", encoder=config.encoder) as refusal:
            build_network(config, seed=0)
        assert len(str(refusal.value)) < 200, "the hundreds of names that there are help nobody"

    def test_crops_of_another_size_are_refused(self, network, kind):
        if kind != "lifter":
            inputs = replace(crop_inputs(), image=torch.zeros(3, 3, SIZE, 2 * SIZE))
            with pytest.raises(ValueError, match="expected"):
                network(inputs)


class TestLifter:
    @pytest.fixture
    def lifter(self):
        return build_network(SMALL["lifter"], seed=1).eval()

    @pytest.fixture
    def silent(self):
        """A lifter whose last layer says 0."""
        lifter = build_network(SMALL["lifter"], seed=1).eval()
        torch.nn.init.zeros_(lifter.head[1].weight)
        torch.nn.init.zeros_(lifter.head[1].bias)
        return lifter

    def test_starts_where_the_detector_saw_the_hand(self, silent):
        """Points in space, seen by a camera, come back from positions, depth and focal length."""
        points = 0.1 * torch.randn(3, 21, 3, generator=generator(), dtype=torch.float64)
        points = points + torch.tensor([0.02, -0.03, 0.6], dtype=torch.float64)
        focal = torch.tensor([2.0, 4.0, 6.0], dtype=torch.float64)
        wrist = points[:, :1]
        unit = (focal / wrist[:, 0, 2])[:, None, None]
        truth = unit * (points - wrist)
        inputs = replace(
            lifter_inputs().to(torch.float64),
            positions=focal[:, None, None] * points[..., :2] / points[..., 2:],
            depth=truth[..., 2],
            focal=focal,
        )
        found = silent.double()(inputs)
        torch.testing.assert_close(found.keypoints, truth, rtol=0, atol=1e-12)
        # At rest, and upright in the picture.
        palm = inputs.positions[:, [5, 9, 13]].mean(1) - inputs.positions[:, 0]
        unit = torch.eye(3, dtype=torch.float64).repeat(3, 16, 1, 1)
        angle = torch.atan2(palm[:, 0], -palm[:, 1])
        unit[:, 0] = roma.rotvec_to_rotmat(angle[:, None] * unit[:, 0, 2])
        torch.testing.assert_close(found.rotations, unit, rtol=0, atol=1e-12)

    def test_wrist_is_the_origin(self, lifter):
        found = lifter(lifter_inputs())
        assert not found.keypoints[:, 0].any()

    def test_spread_is_within_its_range(self, lifter):
        extreme = build_network(SMALL["lifter"], seed=1).eval()
        extreme.head[1].weight.data *= 1e4
        for network in (lifter, extreme):
            std = network(lifter_inputs()).std
            least, largest = STD_RANGE
            assert (std > 0.999 * least).all() and (std < 1.001 * largest).all()

    def test_confidence_0_takes_depth_and_bones_along(self, lifter):
        inputs = lifter_inputs()
        confidence = inputs.confidence.clone()
        confidence[:, 7] = 0
        inputs = replace(inputs, confidence=confidence)
        depth, bones = inputs.depth.clone(), inputs.bones.clone()
        depth[:, 7] = 3.0
        bones[:, [index for index, ends in enumerate(BONES) if 7 in ends]] = torch.nan
        same(lifter(inputs), lifter(replace(inputs, depth=depth, bones=bones)))

    @pytest.mark.parametrize("name", ["depth", "bones"])
    def test_unknown_hints_are_told_from_zeros(self, lifter, name):
        inputs = lifter_inputs()
        hints = getattr(inputs, name)
        unknown = lifter(replace(inputs, **{name: torch.full_like(hints, torch.nan)}))
        zero = lifter(replace(inputs, **{name: torch.zeros_like(hints)}))
        known = lifter(inputs)
        assert unknown.keypoints.isfinite().all() and unknown.rotations.isfinite().all()
        assert not torch.allclose(unknown.betas, zero.betas, rtol=0, atol=1e-4)
        assert not torch.allclose(unknown.betas, known.betas, rtol=0, atol=1e-4)

    def test_gradient_is_finite_where_hints_are_unknown(self, lifter):
        inputs = lifter_inputs()
        nothing = inputs.map(lambda tensor: torch.full_like(tensor, torch.nan))
        inputs = replace(
            nothing, confidence=torch.zeros_like(inputs.confidence), focal=inputs.focal
        )
        lifter(inputs).keypoints.square().sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in lifter.parameters())


class TestKeypointDropout:
    @staticmethod
    def dropped(dropout, batch=4000):
        return dropped_keypoints(dropout, batch, generator(3))

    def test_shares(self):
        gone = self.dropped(KeypointDropout(all=0.3, single=0.1))
        every = gone.all(1)
        assert every.float().mean() == pytest.approx(0.3, abs=0.03)
        assert gone[~every].float().mean() == pytest.approx(0.1, abs=0.01)

    def test_extremes(self):
        assert not self.dropped(KeypointDropout(all=0, single=0)).any()
        assert self.dropped(KeypointDropout(all=1, single=0)).all()
        assert self.dropped(KeypointDropout(all=0, single=1)).all()

    def test_the_given_generator_alone_decides(self):
        state = torch.random.get_rng_state()
        first, again = (self.dropped(KeypointDropout(all=0.3, single=0.1)) for _ in range(2))
        assert torch.equal(torch.random.get_rng_state(), state)
        assert torch.equal(first, again)
