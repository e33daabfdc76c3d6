"""Weights of networks that pose MANO or NIMBLE: the hand model is found again, or refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fitter.hand_models import load_hand_model
from init_net.autoencoder_records import AutoencoderInputs
from init_net.hand_model_id import HandModelId, current_hand_model, posed_by
from init_net.model_card import WeightsInfo
from init_net.networks.build import build_network
from init_net.networks.config import AutoencoderConfig, LifterConfig
from init_net.weights import load_network, read_info, save_weights
from tests.support.errors import raises
from tests.support.mano_files import fabricate, write_plain
from tests.support.nimble_files import nimble_folder
from tests.support.small_mano import write_small_mano

SMALL = AutoencoderConfig(encoder="mobilenetv3_small_050", hidden=[8], input_size=32)


def stored(folder, source, name):
    """Weights of a network that poses the model at `source`, which they call `name`."""
    config = SMALL.model_copy(update={"hand_model": str(source)})
    network = build_network(config, 1).eval()
    public = config.model_copy(update={"hand_model": name})
    identity = current_hand_model(*posed_by(config))
    info = WeightsInfo(public, "train-hands", 1, {}, {}, hand_model=identity)
    path = folder / "hands.safetensors"
    save_weights(path, network, info)
    return network, path


def codes(network):
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return network(AutoencoderInputs(image, torch.tensor([2.0, 3.0]))).code


@pytest.fixture
def mano(tmp_path):
    return write_small_mano(tmp_path / "MANO_RIGHT.pkl")


def test_of_the_open_hand(tmp_path):
    network, path = stored(tmp_path, "open_hand", "open_hand")
    loaded = load_network(path, expected_kind="autoencoder")
    assert read_info(path).hand_model == current_hand_model()
    assert loaded.config == SMALL and not loaded.training
    for name, value in vars(codes(network)).items():
        if value is not None:
            torch.testing.assert_close(getattr(codes(loaded), name), value, rtol=0.02, atol=0.02)
    # It asks for no other model, and takes none.
    assert load_network(path, hand_model="MANO_RIGHT.pkl").config == SMALL


@pytest.mark.parametrize("kind", ["mano", "nimble"])
def test_files_are_found_where_they_are_said_to_lie(tmp_path, mano, kind, monkeypatch):
    source = mano if kind == "mano" else nimble_folder()
    _, path = stored(tmp_path, source, source.name)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    identity = current_hand_model(10, str(source))
    assert identity == HandModelId(kind, load_hand_model(source).data.sha256)
    with raises("weights.no_hand_model", file=path, expected=identity, found=source.name):
        load_network(path)
    assert load_network(path, hand_model=str(source)).config.hand_model == str(source)
    if kind == "mano":  # or where the name leads
        Path(source.name).symlink_to(source)
        assert load_network(path).config.hand_model == source.name


def test_another_file_is_refused(tmp_path, mano):
    _, path = stored(tmp_path, mano, "MANO_RIGHT.pkl")
    other = write_plain(tmp_path / "other_right.pkl", fabricate())
    expected, found = (current_hand_model(10, str(file)) for file in (other, mano))
    for source, current in ((str(other), expected), ("open_hand", current_hand_model())):
        with raises("weights.other_hand_model", file=path, expected=current, found=found):
            load_network(path, hand_model=source)


def test_the_card_says_which_hand_it_is_of(tmp_path, mano):
    _, path = stored(tmp_path, mano, "MANO_RIGHT.pkl")
    card = path.with_suffix(".md").read_text()
    assert card.startswith("# HandAutoencoder: an image to pose, shape, texture and light")
    assert f"of the hand model mano, whose sha256 is `{load_hand_model(mano).data.sha256}`" in card
    assert '| hand_model | "MANO_RIGHT.pkl" |' in card and str(tmp_path) not in card


def test_what_poses_a_network():
    assert posed_by(SMALL) == (10, "open_hand")
    assert posed_by(SMALL.model_copy(update={"hand_model": "m.pkl"}).model_dump()) == (10, "m.pkl")
    assert posed_by(LifterConfig(betas=12)) == posed_by({"betas": 12}) == (12, "open_hand")
    assert posed_by(None) == posed_by({"betas": "many", "hand_model": 3}) == (0, "open_hand")


def test_damaged_weights_are_refused_before_a_network_is_built(tmp_path):
    network, path = stored(tmp_path, "open_hand", "open_hand")
    info = replace(read_info(path), network=SMALL.model_copy(update={"hidden": [16]}))
    save_weights(path, network, info)
    with raises("weights.other_shape", file=path, network="HandAutoencoder"):
        load_network(path)
