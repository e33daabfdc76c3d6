"""`HandAutoencoder`: what it says at first, its parts, its sizes, and what is refused."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from fitter.colours import srgb_from_linear
from fitter.energies import texture_range
from fitter.hand_models import load_hand_model
from fitter.hand_models.appearance_loading import load_appearance
from init_net.autoencoder_records import AutoencoderInputs
from init_net.hand_decoder import HandDecoder
from init_net.networks.build import build_network
from init_net.networks.config import AutoencoderConfig, HourglassConfig
from init_net.networks.rotations import facing_hand
from tests.support.errors import raises
from tests.support.nimble_files import nimble_folder
from tests.support.small_mano import write_small_mano

SIZE = 32
SMALL = AutoencoderConfig(
    encoder="mobilenetv3_small_050",
    hidden=[16],
    input_size=SIZE,
    estimator=HourglassConfig(stacks=1, channels=8, depth=1, map_size=8),
)
SHAPES = {"pose": 30, "betas": 10, "global_orient": 3, "transl": 3, "lighting": 11}


def config_of(**options):
    return AutoencoderConfig(**{**dict(SMALL), **options})


def inputs_of(batch=3, seed=0):
    random = torch.Generator().manual_seed(seed)
    image = torch.rand(batch, 3, SIZE, SIZE, generator=random)
    return AutoencoderInputs(image, torch.linspace(2, 5, batch))


def lively(network):
    """The network with a last layer whose hands differ, in evaluation mode with the statistics of
    some crops."""
    for part in (network.geometry, network.texture):
        if part is not None:
            part[-1].weight.data *= 300
    with torch.no_grad():
        for seed in range(10):
            network(inputs_of(8, seed))
    return network.eval()


@pytest.fixture(scope="module")
def network():
    return lively(build_network(SMALL, seed=1))


@pytest.fixture(scope="module", params=["open_hand", "mano", "nimble"])
def source(request, tmp_path_factory):
    match request.param:
        case "mano":
            return str(write_small_mano(tmp_path_factory.mktemp("mano") / "MANO_RIGHT.pkl"))
        case "nimble":
            return str(nimble_folder())
    return "open_hand"


def codes(said):
    return {name: value for name, value in vars(said.code).items() if value is not None}


class TestCode:
    def test_shapes(self, network):
        said = network(inputs_of())
        found = {name: tuple(value.shape) for name, value in codes(said).items()}
        expected = {name: (3, count) for name, count in SHAPES.items()}
        vertices = len(load_hand_model().v_template)
        expected |= {"scale": (3,), "log_focal": (3,), "colours": (3, vertices, 3)}
        assert found == expected and said.code.appearance is None
        assert said.estimated.shape == (3, 21, 2)

    def test_batch_is_as_many_single_ones(self, network):
        inputs = inputs_of()
        whole = network(inputs)
        for hand in range(3):
            alone = network(inputs[hand : hand + 1])
            for name, value in codes(whole).items():
                torch.testing.assert_close(codes(alone)[name][0], value[hand], rtol=1e-4, atol=1e-5)

    def test_hands_differ(self, network):
        for name, value in codes(network(inputs_of())).items():
            if name != "log_focal":
                assert not torch.allclose(value[0], value[1], rtol=0, atol=1e-4), name

    def test_halves_inside_do_not_reach_the_output(self, network):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            said = network(inputs_of())
        assert all(value.dtype == torch.float32 for value in codes(said).values())
        assert said.estimated.dtype == torch.float32

    @pytest.mark.parametrize("camera", ["perspective", "orthographic"])
    @pytest.mark.parametrize("rotation", ["6d", "axis_angle"])
    def test_gradients_reach_every_parameter(self, camera, rotation):
        focal = "predicted" if camera == "perspective" else "given"
        network = build_network(config_of(camera=camera, rotation=rotation, focal=focal), 2)
        said = network(inputs_of(4))
        random = torch.Generator().manual_seed(0)
        values = [*codes(said).values(), said.estimated]
        values = [value for value in values if value.requires_grad]
        torch.autograd.backward(values, [torch.randn(v.shape, generator=random) for v in values])
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name

    def test_an_orthographic_camera_says_no_focal_length(self):
        with pytest.raises(ValidationError, match="which has no focal length"):
            config_of(camera="orthographic", focal="predicted")

    def test_light_and_scale_are_physical(self):
        network = lively(build_network(SMALL, 3))
        network.texture[-1].weight.data *= 30
        code = network(inputs_of()).code
        assert (code.lighting[:, :8] > 0).all() and (code.scale > 0).all()

    def test_colours_out_of_their_range_are_said_and_pulled_back(self):
        """S2HAND 3.4.1, E_C, which nothing would be left for within [0, 1]."""
        network = lively(build_network(SMALL, 3))
        network.texture[-1].bias.data[:3] = 1.5
        code = network(inputs_of()).code
        assert (code.colours[:, 0] > 1).all()
        cost = texture_range(code.colours)
        assert (cost > 0).all()
        slope = torch.autograd.grad(cost.sum(), network.texture[-1].bias)[0]
        assert (slope[:3] > 0).all(), "less of it costs less"

    def test_a_picture_at_another_focal_length_is_a_hand_as_much_further_away(self, network):
        near = inputs_of()
        far = replace(near, focal=3 * near.focal)
        ours, theirs = network(near).code, network(far).code
        torch.testing.assert_close(theirs.transl[:, 2], 3 * ours.transl[:, 2])
        torch.testing.assert_close(theirs.transl[:, :2], ours.transl[:, :2])
        assert torch.equal(theirs.scale, ours.scale) and not ours.log_focal.any()

    def test_its_own_focal_length_is_not_that_of_the_picture(self):
        network = lively(build_network(config_of(focal="predicted"), 1))
        near = inputs_of()
        far = replace(near, focal=3 * near.focal)
        ours, theirs = network(near).code, network(far).code
        torch.testing.assert_close(ours.transl, theirs.transl)
        focal = near.focal * ours.log_focal.exp()
        torch.testing.assert_close(far.focal * theirs.log_focal.exp(), focal)
        assert len(focal.unique()) == 3

    def test_a_larger_hand_further_away_looks_the_same(self):
        """Its own size is what no picture shows; here it changes nothing that one does."""
        network = lively(build_network(config_of(), 1))
        decoder, inputs = HandDecoder(network.config), inputs_of()
        seen = []
        for size in (0.0, 0.7):
            network.geometry[-1].bias.data[40] += size
            code = network(inputs).code
            seen.append((code, decoder(code, inputs.focal)))
        torch.testing.assert_close(seen[1][0].scale, seen[0][0].scale * torch.tensor(0.7).exp())
        torch.testing.assert_close(
            seen[1][1].keypoints_2d, seen[0][1].keypoints_2d, rtol=0, atol=1e-5
        )


class TestFirstHand:
    """What a network says before it has learned anything."""

    @pytest.mark.parametrize(
        ("camera", "focal"),
        [("perspective", "given"), ("perspective", "predicted"), ("orthographic", "given")],
    )
    @pytest.mark.parametrize("rotation", ["6d", "axis_angle"])
    def test_fills_the_crop(self, source, camera, rotation, focal):
        config = config_of(hand_model=source, camera=camera, rotation=rotation, focal=focal)
        code, inputs = build_network(config, 0).eval()(inputs_of()).code, inputs_of()
        seen = HandDecoder(config)(code, inputs.focal).keypoints_2d
        low, high = seen.amin(1), seen.amax(1)
        # It is laid out as if it were flat; a camera sees what is nearer larger.
        share = (high - low).amax(1) * config.margin
        assert ((share - 1).abs() < (0.2 if camera == "perspective" else 0.01)).all()
        assert ((low + high).abs() < (0.15 if camera == "perspective" else 0.01)).all()

    def test_shows_its_palm(self, source):
        config = config_of(hand_model=source)
        code, inputs = build_network(config, 0).eval()(inputs_of()).code, inputs_of()
        seen = HandDecoder(config)(code, inputs.focal)
        wrist, index, middle, little = (seen.keypoints_2d[:, k] for k in (0, 5, 9, 17))
        assert (middle[:, 1] < wrist[:, 1] - 0.2).all()  # up
        assert (index[:, 0] > little[:, 0] + 0.1).all()  # a right hand's palm
        # Fingers bend toward the palm, and so toward the camera.
        tips, bases = seen.keypoints[:, [8, 12, 16, 20], 2], seen.keypoints[:, [5, 9, 13, 17], 2]
        assert (tips < bases).all()

    def test_is_the_mean_hand_in_its_mean_skin(self, source):
        config = config_of(hand_model=source)
        code = build_network(config, 0).eval()(inputs_of()).code
        skin = load_appearance(load_hand_model(source).data)
        mean = srgb_from_linear(skin.vertex_colours(torch.zeros(1, skin.count)))
        torch.testing.assert_close(code.colours, mean.expand(3, -1, -1), rtol=0, atol=5e-3)
        white = torch.tensor([0.7, 1, 1, 1, 0.3, 1, 1, 1, 0, 0, -1]).expand(3, -1)
        torch.testing.assert_close(code.lighting, white, rtol=0, atol=0.02)
        assert (code.pose.abs() < 0.02).all() and (code.betas.abs() < 0.02).all()
        torch.testing.assert_close(code.scale, torch.ones(3), rtol=0, atol=0.02)

    def test_both_representations_of_rotations_begin_alike(self):
        first, second = (
            build_network(config_of(rotation=name), 0).eval()(inputs_of()).code.global_orient
            for name in ("6d", "axis_angle")
        )
        torch.testing.assert_close(first, second, rtol=0, atol=0.02)

    def test_facing_hand_is_a_rotation(self):
        keypoints = torch.randn(21, 3, generator=torch.Generator().manual_seed(2))
        found = facing_hand(keypoints)
        torch.testing.assert_close(found @ found.T, torch.eye(3), rtol=0, atol=1e-6)
        assert found.det() > 0


class TestTextureCode:
    @pytest.mark.parametrize(
        ("appearance", "light", "numbers"),
        [
            ("components", "even", 4),
            ("none", "ambient_directional", 11),
            ("components", "ambient_directional", 15),
        ],
    )
    def test_says_what_is_asked(self, appearance, light, numbers):
        config = config_of(appearance=appearance, light=light, appearance_components=4)
        network = build_network(config, 0)
        assert network.texture[-1].out_features == numbers
        code = network(inputs_of()).code
        assert code.colours is None
        assert (code.appearance is not None) == (appearance == "components")
        assert (code.lighting is not None) == (light == "ambient_directional")

    def test_nothing_to_say_is_no_part(self):
        network = build_network(config_of(appearance="none", light="even"), 0)
        assert network.texture is None and list(network.parts) == [
            "encoder",
            "geometry",
            "estimator",
        ]


class TestParts:
    @pytest.mark.parametrize("estimator", [None, SMALL.estimator])
    @pytest.mark.parametrize("light", ["even", "ambient_directional"])
    @pytest.mark.parametrize("appearance", ["none", "components"])
    def test_a_configuration_knows_their_names(self, appearance, light, estimator):
        config = config_of(appearance=appearance, light=light, estimator=estimator)
        with torch.device("meta"):
            network = build_network(config, 0)
        assert config.part_names == tuple(network.parts)

    def test_every_number_belongs_to_one(self, network):
        assert list(network.parts) == ["encoder", "geometry", "texture", "estimator"]
        inside = [p for part in network.parts.values() for p in part.state_dict()]
        assert len(inside) == len(network.state_dict())
        assert not [name for name, _ in network.named_parameters() if "." not in name]

    @pytest.mark.parametrize(
        "absent",
        [{"estimator"}, {"texture"}, {"texture", "estimator"}, {"encoder", "geometry", "texture"}],
    )
    def test_others_say_what_they_said(self, network, absent):
        absent = frozenset(absent)
        assert network.absence_fault(absent) is None and absent <= network.optional_parts
        whole, said = network(inputs_of()), network(inputs_of(), absent=absent)
        assert (said.estimated is None) == ("estimator" in absent)
        assert (said.code is None) == ("encoder" in absent)
        if said.estimated is not None:
            assert torch.equal(said.estimated, whole.estimated)
        if said.code is not None:
            assert torch.equal(said.code.transl, whole.code.transl)
            assert (said.code.colours is None) == ("texture" in absent)
            assert (said.code.lighting is None) == ("texture" in absent)

    @pytest.mark.parametrize(
        ("absent", "words"),
        [
            ({"encoder"}, "together"),
            ({"geometry"}, "together"),
            ({"encoder", "geometry"}, "texture needs"),
            ({"encoder", "geometry", "texture", "estimator"}, "says nothing"),
            ({"fusion"}, "no part fusion"),
        ],
    )
    def test_what_it_cannot_do_without(self, network, absent, words):
        assert words in network.absence_fault(frozenset(absent))
        with pytest.raises(ValueError, match=words):
            network(inputs_of(), frozenset(absent))


class TestSizes:
    def test_published(self, tmp_path):
        """S2HAND 3.1: EfficientNet-b0, theta 30, beta 10, s 1, R 3, T 3; C 778 x 3, L 11."""
        file = write_small_mano(tmp_path / "MANO_RIGHT.pkl")
        config = AutoencoderConfig(hand_model=str(file), input_size=224)
        network = build_network(config, 0)
        assert network.geometry[-1].out_features == 30 + 10 + 1 + 3 + 3
        assert network.texture[-1].out_features == 778 * 3 + 11
        # 5,288,548 of the published network, less its classifier of 1,000 classes.
        assert _count(network.encoder) == 5_288_548 - 1_281_000
        dense = 1280 * 512 + 512
        assert _count(network.geometry) == dense + 512 * 47 + 47
        assert _count(network.texture) == dense + 512 * 2345 + 2345
        image = torch.rand(2, 3, 224, 224)
        code = network.eval()(AutoencoderInputs(image, torch.tensor([2.0, 3.0]))).code
        assert code.colours.shape == (2, 778, 3) and code.pose.shape == (2, 30)

    def test_zhao_on_nimble(self):
        """3.1: theta 30, beta 20, alpha 10; t 3, R 3, s 1."""
        config = config_of(
            hand_model=str(nimble_folder()), betas=20, appearance="components", light="even",
            camera="orthographic", estimator=None,
        )  # fmt: skip
        network = build_network(config, 0)
        assert network.geometry[-1].out_features == 30 + 20 + 3 + 3 + 1
        assert network.texture[-1].out_features == 10
        code = network(inputs_of()).code
        assert not code.transl[:, 2].any() and code.colours is None and code.lighting is None

    def test_an_outline_has_the_same_shapes(self, network):
        with torch.device("meta"):
            outline = build_network(SMALL, 0)
        assert all(value.is_meta for value in outline.state_dict().values())
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        assert {name: value.shape for name, value in outline.state_dict().items()} == shapes

    def test_reproducible_and_leaves_the_global_generator_alone(self):
        torch.manual_seed(5)
        state = torch.random.get_rng_state()
        first = build_network(SMALL, seed=3).state_dict()
        assert torch.equal(torch.random.get_rng_state(), state)
        torch.manual_seed(6)
        again = build_network(SMALL, seed=3).state_dict()
        assert all(torch.equal(value, again[name]) for name, value in first.items())


class TestRefusals:
    @pytest.mark.parametrize(
        ("encoder", "code"),
        [
            ("resnet51", "no_timm_encoder"),
            # timm would look for it elsewhere.
            ("hf-hub:timm/resnet18.a1_in1k", "no_timm_encoder"),
            ("vit_tiny_patch16_224", "no_timm_features"),  # takes no other crops than of 224 pixels
        ],
    )
    def test_no_such_encoder(self, encoder, code):
        with raises(f"network.{code}", encoder=encoder):
            build_network(config_of(encoder=encoder), 0)

    @pytest.mark.parametrize(
        ("option", "wanted", "available"),
        [("pose_components", 46, 45), ("betas", 99, None), ("appearance_components", 11, 10)],
    )
    def test_more_coefficients_than_components(self, option, wanted, available):
        if available is None:
            available = load_hand_model(children=True).shapedirs.shape[2]
        config = config_of(appearance="components", **{option: wanted})
        with raises(
            "network.few_components", file=f"network.{option}", expected=available, found=wanted
        ):
            build_network(config, 0)

    def test_no_such_hand_model(self, tmp_path):
        with raises("model.unknown", file=str(tmp_path / "MANO_RIGHT.pkl")):
            build_network(config_of(hand_model=str(tmp_path / "MANO_RIGHT.pkl")), 0)

    def test_heatmaps_that_do_not_fit_the_crop(self):
        with raises("network.map_size", size=SIZE, found=24):
            build_network(config_of(estimator=HourglassConfig(map_size=24)), 0)

    def test_crops_of_another_size(self, network):
        inputs = inputs_of()
        with pytest.raises(ValueError, match="expected"):
            network(replace(inputs, image=inputs.image[..., : SIZE // 2]))


def _count(part):
    return sum(parameter.numel() for parameter in part.parameters())
