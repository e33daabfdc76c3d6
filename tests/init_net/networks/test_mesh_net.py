"""`MeshNet`: what it says, its parts, twists, derivatives through kinematics, and bad hands."""

from dataclasses import replace

import pytest
import torch

from fitter.hand_models import twist_angles
from init_net.hand_model_id import network_hand_model
from init_net.mesh_records import MeshDraws
from init_net.networks.build import build_network
from init_net.networks.config import MeshNetConfig
from init_net.networks.hand_layer import HandLayer
from tests.support.errors import raises
from tests.support.mano_files import fabricate, random_params, write_plain
from tests.support.mesh_nets import (
    CODE,
    DECODERS,
    MODELS,
    SIZE,
    mesh_draws,
    mesh_inputs,
    model_source,
    small_mesh_net,
)

OTHERS = [0, 2]


def tensors(said):
    """Name -> tensor of predictions, those of records among them too."""
    found = {}
    for name, value in vars(said).items():
        if torch.is_tensor(value):
            found[name] = value
        elif value is not None:
            found |= {f"{name}.{key}": tensor for key, tensor in vars(value).items()}
    return found


def lively(network):
    """The network with last layers whose hands differ, in evaluation mode with the statistics of
    some crops."""
    last = [network.camera[-1], network.reconstruction.shape[-1], network.reconstruction.twist[-1]]
    decoder = network.decoder
    last.append(decoder.dense[-1] if hasattr(decoder, "hand") else decoder.last)
    for layer in last:
        getattr(layer, "layer", layer).weight.data *= 100
    for layer in network.vae.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.weight.data *= 5
    with torch.no_grad():
        for seed in range(5):
            network(mesh_inputs(8, seed), draws=mesh_draws(8, seed))
    return network.eval()


@pytest.fixture(scope="module", params=DECODERS)
def network(request):
    return lively(build_network(small_mesh_net(decoder=request.param), seed=1))


@pytest.fixture
def plain():
    """A small one of the quickest decoder."""
    return lively(build_network(small_mesh_net(decoder="parametric"), seed=1))


class TestPredictions:
    @pytest.mark.parametrize("model", MODELS)
    def test_shapes(self, model):
        network = build_network(small_mesh_net(hand_model=model_source(model)), 0).eval()
        said = network(mesh_inputs())
        vertices = len(network.hand.model.v_template)
        rotations = network.hand.model.skeleton.rotations
        assert {name: tuple(tensor.shape) for name, tensor in tensors(said).items()} == {
            "vertices": (3, vertices, 3),
            "regressed": (3, 21, 3),
            "refined.joints": (3, 21, 3),
            "refined.mean": (3, CODE),
            "refined.log_variance": (3, CODE),
            "betas": (3, 10),
            "twist": (3, 15),
            "hand.global_orient": (3, 3),
            "hand.hand_pose": (3, rotations, 3),
            "hand.betas": (3, 10),
            "hand.transl": (3, 3),
            "parametric_vertices": (3, vertices, 3),
            "parametric_joints": (3, 21, 3),
            "camera": (3, 3),
        }
        assert network.faces.max() == vertices - 1 or model == "nimble"

    def test_batch_is_as_many_single_ones(self, network):
        inputs = mesh_inputs()
        whole = tensors(network(inputs))
        for hand in range(3):
            for name, value in tensors(network(inputs[hand : hand + 1])).items():
                torch.testing.assert_close(value[0], whole[name][hand], rtol=1e-3, atol=1e-5)

    def test_hands_differ(self, network):
        for name, value in tensors(network(mesh_inputs())).items():
            if name != "hand.transl":  # of wrists at the origin; shapes move it by little
                assert not torch.allclose(value[0], value[1], rtol=0, atol=1e-6), name

    def test_the_hand_is_the_parametric_mesh(self, network):
        said = network(mesh_inputs())
        model = network.hand.model
        torch.testing.assert_close(
            model(said.hand).vertices, said.parametric_vertices, rtol=0, atol=1e-6
        )
        torch.testing.assert_close(said.parametric_joints[:, 0], torch.zeros(3, 3))

    def test_joints_are_regressed_from_the_mesh(self, network):
        """Eq. 2: the model's matrix, and its fingertips."""
        said = network(mesh_inputs())
        data = network.hand.model.data
        regressor = torch.tensor(data.joint_regressor, dtype=torch.float32)
        joints = regressor @ said.vertices
        torch.testing.assert_close(said.regressed[:, [0, 5, 9]], joints[:, [0, 1, 4]])
        tips = said.vertices[:, list(data.tip_vertices)]
        torch.testing.assert_close(said.regressed[:, [4, 8, 12, 16, 20]], tips)

    def test_halves_inside_do_not_reach_the_output(self, network):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            said = tensors(network(mesh_inputs()))
        assert all(value.dtype == torch.float32 for value in said.values())
        full = network(mesh_inputs())
        # Kinematics in halves would be off by more than that between the two meshes' joints.
        torch.testing.assert_close(
            said["parametric_joints"], full.parametric_joints, rtol=0, atol=5e-3
        )

    def test_a_hand_of_the_model_itself_comes_back(self, network):
        """theta = f(phi, J), Yu 3.3: of true joints, twist and shape."""
        hand = network.hand
        params = random_params(3, dtype=torch.float32)
        params = replace(params, hand_pose=0.3 * params.hand_pose)
        vertices, joints = hand.posed(params)
        twist = twist_angles(hand.joints, params)
        found = network.reconstruction.solved(joints, params.betas, twist)
        again, _ = hand.posed(found)
        torch.testing.assert_close(again, vertices, rtol=0, atol=5e-5)
        assert found.transl.shape == (3, 3)

    def test_the_camera_sees_the_first_hand_fill_the_crop(self):
        network = build_network(small_mesh_net(margin=1.5), 0).eval()
        said = network(mesh_inputs())
        seen = said.camera[:, None, :1] * said.regressed[..., :2] + said.camera[:, None, 1:]
        size = (seen.amax(1) - seen.amin(1)).amax(1)
        torch.testing.assert_close(size, torch.full((3,), 1 / 1.5), rtol=0.02, atol=0)
        assert ((seen.amax(1) + seen.amin(1)).abs() < 0.02).all()


class TestTwist:
    def with_twist(self, network, twist):
        network.config = network.config.model_copy(update={"twist": twist})
        return network

    def posed_twist(self, network, said):
        return twist_angles(network.hand.joints, said.hand)

    def test_the_network_says_it(self, plain):
        said = plain(mesh_inputs())
        torch.testing.assert_close(self.posed_twist(plain, said), said.twist, rtol=0, atol=1e-3)
        assert said.twist.abs().max() > 0.01

    def test_zero(self, plain):
        own = plain(mesh_inputs())
        said = self.with_twist(plain, "zero")(mesh_inputs())
        torch.testing.assert_close(
            self.posed_twist(plain, said), torch.zeros(3, 15), rtol=0, atol=1e-3
        )
        torch.testing.assert_close(said.twist, own.twist)

    def test_random(self, plain):
        draws = mesh_draws()
        assert draws.twist.min() >= 0 and draws.twist.max() < 1 and draws.twist.std() > 0.1
        self.with_twist(plain, "random")
        said = plain(mesh_inputs(), draws=draws)
        torch.testing.assert_close(self.posed_twist(plain, said), draws.twist, rtol=0, atol=1e-3)
        with pytest.raises(ValueError, match="draws expected"):
            plain(mesh_inputs())

    def test_weights_do_not_depend_on_it(self, plain):
        other = build_network(small_mesh_net(decoder="parametric", twist="zero"), 0)
        other.load_state_dict(plain.state_dict())


class TestDerivatives:
    @pytest.mark.parametrize("twist", ["predicted", "zero"])
    def test_they_reach_every_parameter(self, network, twist):
        network = build_network(network.config.model_copy(update={"twist": twist}), 2)
        said = tensors(network(mesh_inputs(4), draws=mesh_draws(4)))
        random = torch.Generator().manual_seed(0)
        values = [*said.values()]
        values = [value for value in values if value.requires_grad]
        torch.autograd.backward(values, [torch.randn(v.shape, generator=random) for v in values])
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name

    def test_the_parametric_mesh_teaches_the_encoder(self, network):
        """Through twist and swing: in float64, against central differences."""
        network = build_network(network.config, 3)
        network = lively(network).double()
        inputs = mesh_inputs(2).to(torch.float64)
        random = torch.Generator().manual_seed(4)
        weight = network.encoder.latent.weight
        way = torch.randn(weight.shape, generator=random, dtype=torch.float64)
        mesh = len(network.hand.model.v_template)
        scale = torch.randn(2, mesh, 3, generator=random, dtype=torch.float64)

        def value():
            return (scale * network(inputs).parametric_vertices).sum()

        (gradient,) = torch.autograd.grad(value(), weight)
        step, ends = 1e-6, []
        with torch.no_grad():
            for sign in (1, -1):
                weight.add_(sign * step * way)
                ends.append(value())
                weight.sub_(sign * step * way)
        expected = (ends[0] - ends[1]) / (2 * step)
        assert expected.abs() > 1e-3
        torch.testing.assert_close((gradient * way).sum(), expected, rtol=1e-4, atol=1e-6)

    def test_what_is_not_there_has_none(self, plain):
        said = plain.train()(mesh_inputs(4), frozenset({"vae"}))
        assert said.refined is None and said.joints is said.regressed
        said.parametric_vertices.square().sum().backward()
        assert all(p.grad is None for p in plain.vae.parameters())


class TestBadHands:
    def solved(self, joints, network):
        betas = torch.zeros(3, 10, requires_grad=True)
        twist = torch.zeros(3, 15, requires_grad=True)
        joints = joints.clone().requires_grad_()
        hand = network.reconstruction.solved(joints, betas, twist)
        vertices, _ = network.hand.posed(hand)
        return (joints, betas, twist), vertices

    def gradients(self, joints, network, rows):
        given, vertices = self.solved(joints, network)
        weights = torch.randn(vertices.shape, generator=torch.Generator().manual_seed(0))
        kept = torch.zeros(3, 1, 1, dtype=torch.bool)
        kept[rows] = True
        torch.where(kept, weights * vertices, 0).sum().backward()
        return vertices, [tensor.grad for tensor in given]

    @pytest.fixture
    def joints(self):
        hand = HandLayer(network_hand_model())
        params = random_params(3, dtype=torch.float32)
        return hand.posed(replace(params, hand_pose=0.3 * params.hand_pose))[1]

    @pytest.mark.parametrize("kind", ["nan", "infinite", "all alike", "a bone without length"])
    def test_others_do_not_see_them(self, plain, joints, kind):
        expected, wanted = self.gradients(joints, plain, OTHERS)
        spoiled = joints.clone()
        match kind:
            case "nan":
                spoiled[1, 3] = torch.nan
            case "infinite":
                spoiled[1, 3, 0] = torch.inf
            case "all alike":
                spoiled[1] = 0
            case _:
                spoiled[1, 7] = spoiled[1, 6]
        vertices, found = self.gradients(spoiled, plain, OTHERS)
        torch.testing.assert_close(vertices[OTHERS], expected[OTHERS])
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one[OTHERS], other[OTHERS])
            assert not one[1].any()
        assert vertices[1].isnan().all() == (kind in ("nan", "infinite"))

    @pytest.mark.parametrize("kind", ["all alike", "a bone without length"])
    def test_degenerate_ones_have_finite_gradients(self, plain, joints, kind):
        spoiled = joints.clone()
        if kind == "all alike":
            spoiled[1] = 0
        else:
            spoiled[1, 7] = spoiled[1, 6]
        vertices, found = self.gradients(spoiled, plain, [0, 1, 2])
        assert vertices.isfinite().all() and all(each.isfinite().all() for each in found)

    def test_a_picture_that_is_not_finite_stays_alone(self, plain):
        inputs = mesh_inputs()
        expected = tensors(plain(inputs))
        inputs.image[1, 0, 3, 4] = torch.nan
        found = tensors(plain(inputs))
        assert found["parametric_vertices"][1].isnan().all()
        for name, value in expected.items():
            torch.testing.assert_close(found[name][OTHERS], value[OTHERS])


class TestParts:
    def test_every_number_belongs_to_one(self, network):
        parts = network.parts
        assert tuple(parts) == network.config.part_names
        for kind in ("named_parameters", "named_buffers"):
            owned = [id(tensor) for part in parts.values() for _, tensor in getattr(part, kind)()]
            every = [id(tensor) for _, tensor in getattr(network, kind)()]
            assert sorted(owned) == sorted(every) and len({*owned}) == len(owned)

    def test_without_a_vae_there_is_no_such_part(self):
        config = small_mesh_net(decoder="parametric", vae=None)
        network = build_network(config, 0)
        assert tuple(network.parts) == config.part_names and not network.optional_parts
        assert network(mesh_inputs()).refined is None

    def test_what_is_needed_cannot_be_left_out(self, plain):
        assert plain.optional_parts == {"vae"}
        with pytest.raises(ValueError, match="'vae'"):
            plain(mesh_inputs(), frozenset({"decoder"}))

    def test_a_vae_that_learns_asks_for_noise(self, plain):
        plain.vae.train()
        with pytest.raises(ValueError, match="noise"):
            plain(mesh_inputs())
        plain.vae.eval()
        torch.testing.assert_close(
            plain(mesh_inputs()).joints, plain(mesh_inputs(), draws=mesh_draws()).joints
        )


class TestDraws:
    def test_the_generator_decides(self):
        first, again, other = mesh_draws(), mesh_draws(), mesh_draws(seed=1)
        torch.testing.assert_close(first, again)
        assert not torch.equal(first.code, other.code)
        assert MeshDraws.drawn(2, 0, torch.Generator()).code.shape == (2, 0)

    def test_global_generators_are_left_alone(self, plain):
        before = torch.get_rng_state()
        plain.train()(mesh_inputs(4), draws=mesh_draws(4))
        assert torch.equal(torch.get_rng_state(), before)


class TestBadInput:
    def test_crops_of_another_size(self, plain):
        with pytest.raises(ValueError, match=f"\\(B, 3, {SIZE}, {SIZE}\\) expected"):
            plain(replace(mesh_inputs(), image=torch.zeros(3, 3, 64, 64)))

    def test_no_such_encoder(self):
        with raises("network.no_timm_encoder", encoder="resnet51"):
            build_network(small_mesh_net(encoder="resnet51"), 0)

    def test_too_many_shapes(self):
        with raises("network.few_components", file="network.betas", found=99):
            build_network(small_mesh_net(hand_model=model_source("mano"), betas=99), 0)

    def test_a_mesh_that_is_no_surface(self, tmp_path):
        file = write_plain(tmp_path / "MANO_RIGHT.pkl", fabricate())
        with raises("network.mesh_levels", expected=195, vertices=778):
            build_network(small_mesh_net(hand_model=str(file)), 0)


def test_it_is_built_without_memory():
    """As a file of weights is looked at before its network is built."""
    for kind in DECODERS:
        config = small_mesh_net(decoder=kind, hand_model=model_source("nimble"))
        with torch.device("meta"):
            outline = build_network(config, 0)
        found = {name: value.shape for name, value in outline.state_dict().items()}
        built = build_network(config, 0).state_dict()
        assert found == {name: value.shape for name, value in built.items()}


def test_published_sizes():
    """Yu et al. 3.2 and 4.1: ResNet-50, 256 pixels in the preset, z of 1,000, a code of 128."""
    config = MeshNetConfig()
    assert (config.encoder, config.latent, config.vae.latent) == ("resnet50", 1000, 128)
    with torch.device("meta"):
        network = build_network(config.model_copy(update={"input_size": 256}), 0)
    assert network.encoder.latent.weight.shape == (1000, 2048)
    assert network.reconstruction.twist[0].weight.shape == (512, 1000)
