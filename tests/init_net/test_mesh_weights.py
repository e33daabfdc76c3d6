"""Weights of mesh networks: stored, found again with their hand model, or refused."""

import pytest
import torch

from init_net.hand_model_id import current_hand_model, posed_by
from init_net.model_card import WeightsInfo
from init_net.networks.build import build_network
from init_net.networks.config import JointVAEConfig
from init_net.weights import load_network, read_info, save_weights
from tests.support.errors import raises
from tests.support.mesh_nets import DECODERS, mesh_inputs, model_source, small_mesh_net


def stored(folder, config, name=None):
    """Weights of a network, and the network; they call its hand model `name`."""
    network = build_network(config, 1).eval()
    public = config if name is None else config.model_copy(update={"hand_model": name})
    identity = current_hand_model(*posed_by(config))
    path = folder / "hands.safetensors"
    save_weights(path, network, WeightsInfo(public, "train-hands", 1, {}, {}, identity))
    return network, path


@pytest.mark.parametrize("kind", DECODERS)
def test_they_come_back(tmp_path, kind):
    network, path = stored(tmp_path, small_mesh_net(decoder=kind))
    loaded = load_network(path, expected_kind="mesh_net")
    assert read_info(path).network == loaded.config == network.config and not loaded.training
    expected, found = (each(mesh_inputs()) for each in (network, loaded))
    torch.testing.assert_close(found.vertices, expected.vertices, rtol=0, atol=5e-4)
    torch.testing.assert_close(found.joints, expected.joints, rtol=0, atol=5e-4)


def test_the_hand_model_is_found_where_it_is_said_to_lie(tmp_path):
    source = model_source("mano")
    config = small_mesh_net(decoder="parametric", hand_model=source)
    _, path = stored(tmp_path, config, "theirs.pkl")
    identity = current_hand_model(10, source)
    with raises("weights.no_hand_model", file=path, expected=identity, found="theirs.pkl"):
        load_network(path)
    assert load_network(path, hand_model=source).config.hand_model == source
    facts = {"file": path, "expected": current_hand_model(), "found": identity}
    with raises("weights.other_hand_model", **facts):
        load_network(path, hand_model="open_hand")


def test_nothing_of_the_hand_model_is_stored(tmp_path):
    _, path = stored(tmp_path, small_mesh_net(hand_model=model_source("mano")), "theirs.pkl")
    assert b"v_template" not in path.read_bytes() and b"regressor" not in path.read_bytes()


def test_a_card_says_what_it_is(tmp_path):
    _, path = stored(tmp_path, small_mesh_net())
    card = path.with_suffix(".md").read_text()
    assert card.startswith("# MeshNet: an image to a hand's mesh")
    assert '| decoder | "spiral" |' in card


def test_a_joint_vae_comes_back(tmp_path):
    network, path = stored(tmp_path, JointVAEConfig(latent=6, hidden=[16]))
    loaded = load_network(path, expected_kind="joint_vae")
    joints = 0.05 * torch.randn(3, 21, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loaded(joints).joints, network(joints).joints, rtol=0, atol=5e-4)
    assert path.with_suffix(".md").read_text().startswith("# JointVAE: joints that were regressed")
