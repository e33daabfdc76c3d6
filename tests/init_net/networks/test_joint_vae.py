"""`JointVAE`: the code in training and at inference, and hands that are not finite."""

import pytest
import torch

from init_net.networks.build import build_network
from init_net.networks.config import JointVAEConfig

SMALL = JointVAEConfig(latent=5, hidden=[16, 8])


def joints_of(batch=4, seed=0):
    return 0.1 * torch.randn(batch, 21, 3, generator=torch.Generator().manual_seed(seed))


def noise_of(batch=4, seed=1):
    return torch.randn(batch, 5, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def network():
    return build_network(SMALL, seed=0)


def test_published_size():
    """Yu et al. 4.1: a code of 128 numbers."""
    found = build_network(JointVAEConfig(), 0).eval()(joints_of())
    assert found.mean.shape == found.log_variance.shape == (4, 128)
    assert found.joints.shape == (4, 21, 3)


def test_the_decoder_mirrors_the_encoder(network):
    encoder, decoder = (
        [layer.weight.shape for layer in part if hasattr(layer, "weight")]
        for part in (network.encoder, network.decoder)
    )
    assert encoder == [(16, 63), (8, 16), (10, 8)]
    assert decoder == [(8, 5), (16, 8), (63, 16)]


def test_the_code_is_the_mean_at_inference(network):
    joints = joints_of()
    network.eval()
    found = network(joints)
    torch.testing.assert_close(network(joints, noise_of()), found)
    network.train()
    torch.testing.assert_close(network(joints, torch.zeros(4, 5)).joints, found.joints)


def test_the_code_is_reparametrised_in_training(network):
    joints, noise = joints_of(), noise_of()
    found = network(joints, noise)
    code = found.mean + (found.log_variance / 2).exp() * noise
    torch.testing.assert_close(found.joints.flatten(1), 0.1 * network.decoder(code))
    assert not torch.allclose(found.joints, network(joints, noise_of(seed=2)).joints)


def test_noise_is_asked_for_in_training(network):
    for noise in (None, torch.zeros(4, 6), torch.zeros(1, 5)):
        with pytest.raises(ValueError, match=r"noise \(4, 5\) expected in training"):
            network(joints_of(), noise)


def test_global_generators_are_left_alone(network):
    before = torch.get_rng_state()
    network(joints_of(), noise_of())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_hand_that_is_not_finite_stays_alone(network):
    joints, noise = joints_of(), noise_of()
    others = [0, 2, 3]
    alone = network(joints[others], noise[others])
    gradients = []
    for broken in (float("nan"), float("inf")):
        spoiled = joints.clone()
        spoiled[1, 7, 2] = broken
        found = network(spoiled, noise)
        assert found.joints[1].isnan().all()
        torch.testing.assert_close(found.joints[others], alone.joints)
        network.zero_grad()
        found.joints[others].square().sum().backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    network.zero_grad()
    alone.joints.square().sum().backward()
    for found in gradients:
        torch.testing.assert_close(found, [p.grad for p in network.parameters()])


def test_all_that_it_says_has_gradients(network):
    joints = joints_of().requires_grad_()
    found = network(joints, noise_of())
    (found.joints.sum() + found.mean.square().sum() + found.log_variance.sum()).backward()
    assert joints.grad.any() and all(p.grad.any() for p in network.parameters())


def test_it_is_one_part(network):
    assert network.parts == {"vae": network} and not network.optional_parts
    assert SMALL.part_names == ("vae",)


def test_shapes_are_checked(network):
    with pytest.raises(ValueError, match=r"joints \(B, 21, 3\) expected"):
        network(torch.zeros(2, 20, 3))
