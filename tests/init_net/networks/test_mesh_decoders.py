"""The three decoders, on each hand model: one interface, where they begin, and each by itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fitter.hand_models import HandModel
from init_net.hand_model_id import network_hand_model
from init_net.networks import mesh_net
from init_net.networks.build import build_network
from init_net.networks.hand_layer import HandLayer
from init_net.networks.mesh_decoders.decoder import SparseUp, facing_pose
from init_net.networks.mesh_decoders.spiral import SpiralConvolution
from tests.support.mesh_nets import (
    DECODERS,
    LATENT,
    MODELS,
    model_source,
    small_mesh_net,
)


def latent_of(batch=3, seed=0, dtype=torch.float32):
    return torch.randn(batch, LATENT, generator=torch.Generator().manual_seed(seed)).to(dtype)


def lively(decoder):
    """The decoder with a last layer whose hands differ."""
    last = decoder.dense[-1] if hasattr(decoder, "hand") else decoder.last
    getattr(last, "layer", last).weight.data *= 300
    return decoder


def decoder_of(kind, model="open_hand", **options):
    config = small_mesh_net(decoder=kind, hand_model=model_source(model), **options)
    return build_network(config, seed=3).decoder.eval()


@pytest.fixture(scope="module", params=[(d, m) for d in DECODERS for m in MODELS])
def case(request):
    kind, model = request.param
    return lively(decoder_of(kind, model)), HandLayer(network_hand_model(model_source(model)))


class TestEveryDecoder:
    def test_one_interface(self, case):
        decoder, hand = case
        found = decoder(latent_of())
        assert found.shape == (3, len(hand.model.v_template), 3) and found.isfinite().all()
        assert (found[0] - found[1]).norm(dim=-1).mean() > 1e-3

    def test_a_hand_depends_on_its_own_latent_alone(self, case):
        decoder, _ = case
        latent = latent_of()
        whole = decoder(latent)
        for hand in range(3):
            alone = decoder(latent[hand : hand + 1])[0]
            torch.testing.assert_close(alone, whole[hand], rtol=1e-4, atol=1e-6)

    def test_derivatives(self, case):
        """Against central differences of a random combination, in float64."""
        decoder, _ = case
        decoder = decoder.double()
        latent = latent_of(2, dtype=torch.float64).requires_grad_()
        found = decoder(latent)
        random = torch.Generator().manual_seed(1)
        weights, way = (
            torch.randn(t.shape, generator=random, dtype=torch.float64) for t in (found, latent)
        )
        (gradient,) = torch.autograd.grad((weights * found).sum(), latent)
        step = 1e-6
        with torch.no_grad():
            ends = [(weights * decoder(latent + s * step * way)).sum() for s in (1, -1)]
        torch.testing.assert_close(
            (gradient * way).sum(), (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-7
        )
        decoder.float()

    def test_nothing_of_the_hand_model_is_stored(self, case):
        decoder, _ = case
        parameters = {name for name, _ in decoder.named_parameters()}
        assert decoder.state_dict().keys() == parameters


@pytest.mark.parametrize("kind", DECODERS)
def test_it_begins_with_a_hand_that_faces_the_camera(kind):
    hand = HandLayer(network_hand_model())
    start, joints = (found[0] for found in hand.posed(facing_pose(hand.model)))
    found = decoder_of(kind)(0 * latent_of())
    torch.testing.assert_close(found, start.expand(3, -1, -1), rtol=0, atol=1e-3)
    # Fingers up, thumb to the right: the palm of a right hand.
    assert joints[12, 1] < -0.1 and joints[4, 0] > joints[20, 0]


class TestSpiral:
    def test_a_convolution_is_a_dense_layer_along_the_spiral(self):
        """SpiralNet++ eq. 3, written out."""
        path = torch.tensor([[0, 1, 2], [1, 2, 0], [2, 2, 1], [3, 0, 1]])
        layer = SpiralConvolution(2, 5, path)
        features = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
        for vertex, others in enumerate(path.tolist()):
            along = torch.cat([features[:, other] for other in others], 1)
            expected = along @ layer.layer.weight.T + layer.layer.bias
            torch.testing.assert_close(layer(features)[:, vertex], expected)

    def test_up_sampling_is_the_matrix(self):
        decoder = decoder_of("spiral", "mano")
        (up,) = decoder.ups
        coarse = torch.randn(2, int(up.vertices.max()) + 1, 4)
        matrix = torch.zeros(len(up.vertices), coarse.shape[1])
        matrix.scatter_add_(1, up.vertices, up.weights)
        torch.testing.assert_close(up(coarse), matrix @ coarse)
        assert isinstance(up, SparseUp)

    @pytest.mark.parametrize("channels", [[4], [8, 4], [8, 8, 8, 4]])
    def test_as_many_levels_as_channels(self, channels):
        decoder = decoder_of("spiral", "mano", channels=channels)
        sizes = [len(layer.path) for layer in decoder.convolutions]
        assert sizes == [778, 195, 49, 13][: len(channels)][::-1]
        assert decoder(latent_of()).shape == (3, 778, 3)


class TestTransformer:
    def test_tokens_are_joints_and_the_coarsest_mesh(self):
        decoder = decoder_of("transformer", "mano", channels=[8, 8, 4])
        assert len(decoder.places) == 21 + 49 and len(decoder.blocks) == 3
        assert decoder.up.shape == (778, 49)

    def test_its_first_weights_are_those_of_any_hand(self, monkeypatch):
        """So they hold neither the vertices of the hand model nor shares of them."""
        first = decoder_of("transformer")

        def another(*given):
            data = network_hand_model(*given).data
            noise = np.random.default_rng(0).normal(0, 2e-4, data.v_template.shape)
            return HandModel(replace(data, v_template=data.v_template + noise))

        monkeypatch.setattr(mesh_net, "network_hand_model", another)
        other = decoder_of("transformer")
        assert not torch.equal(other.up, first.up) and not torch.equal(other.rest, first.rest)
        stored = first.state_dict()
        for name, value in other.state_dict().items():
            assert torch.equal(value, stored[name]), name

    def test_joints_reach_the_mesh(self):
        """What the tokens of the joints say makes a difference: all tokens see each other."""
        decoder = lively(decoder_of("transformer"))
        before = decoder(latent_of())
        decoder.places[:21] += 1
        assert (decoder(latent_of()) - before).abs().max() > 1e-6


class TestParametric:
    @pytest.mark.parametrize("model", MODELS)
    def test_its_parameters_are_those_of_its_mesh(self, model):
        decoder = lively(decoder_of("parametric", model))
        params, vertices = decoder.parameters_of(latent_of()), decoder(latent_of())
        posed = decoder.hand.model(params)
        torch.testing.assert_close(posed.vertices, vertices, rtol=0, atol=2e-6)
        found = decoder.hand.posed(params)[1][:, 0]
        torch.testing.assert_close(found, torch.zeros(3, 3))


@pytest.mark.parametrize("kind", DECODERS)
def test_no_hand_sees_another_in_training(kind):
    """Decoders have no statistics of a batch: training mode says what eval mode says."""
    decoder = lively(decoder_of(kind, "nimble"))
    expected = decoder(latent_of())
    torch.testing.assert_close(decoder.train()(latent_of()), expected, rtol=1e-4, atol=1e-6)
