import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, save

from fitter.detection.networks.weights import detector_digest
from fitter.hand_models.open_hand import load_open_hand
from init_net.model_card import WeightsInfo, model_card
from init_net.networks.build import build_network
from init_net.networks.config import HandNetConfig, SegmentationConfig
from init_net.offer import OFFER
from init_net.records import CropInputs
from init_net.weights import SHIPPED_WEIGHTS, load_network, read_info, save_weights
from tests.support.errors import raises
from tests.support.training_cases import SMALL, ToyTask, small_config

SEGMENTATION = SegmentationConfig(input_size=32, decoder_channels=[8, 8, 8, 8, 8])


def info_of(network) -> WeightsInfo:
    return WeightsInfo(
        network=network,
        command="train-hands mine.yaml --set 'losses={a: 1}'",
        steps=1234,
        data={"training": {"seed": 7, "count": 64}, "validation": {"seed": 8, "size": 224}},
        figures={"joints_mm": 12.3456789, "share": 0.5},
        options={"optimiser": {"steps": 5678, "clip_norm": None}, "losses": {"bce": 0.25}},
        figures_step=1200,
    )


@pytest.fixture(scope="module")
def segmentation(tmp_path_factory):
    """A network with batch normalisation that has seen something, and the file of its weights."""
    network = build_network(SEGMENTATION, 3)
    network.train()
    generator = torch.Generator().manual_seed(0)
    inputs = CropInputs(
        torch.rand(4, 3, 32, 32, generator=generator),
        32 * torch.rand(4, 21, 2, generator=generator),
        torch.rand(4, 21, generator=generator),
    )
    with torch.no_grad():
        for _ in range(3):
            network(inputs)
    path = tmp_path_factory.mktemp("weights") / "hands.safetensors"
    save_weights(path, network, info_of(SEGMENTATION))
    return network.eval(), inputs, path


def test_weights_come_back_within_half_precision(segmentation):
    network, inputs, path = segmentation
    loaded = load_network(path, "cpu", "segmentation")
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    parameters = dict(loaded.named_parameters())
    for name, value in network.state_dict().items():
        found = loaded.state_dict()[name]
        assert found.dtype == value.dtype, name
        if name in parameters:  # half an ulp of 11 bits, or of the smallest numbers
            assert ((found - value).abs() <= value.abs() * 2**-11 + 2**-25).all(), name
        else:  # statistics and counters
            assert torch.equal(found, value), name
    with torch.no_grad():
        assert (loaded(inputs) - network(inputs)).abs().max() < 0.02 * network(inputs).std()


def test_weights_are_stored_in_half_precision(segmentation):
    network, _, path = segmentation
    with safe_open(path, "pt") as file:
        found = {name: file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    parameters = dict(network.named_parameters())
    assert {found[name] for name in parameters} == {torch.float16}
    assert {found[name] for name in found if name not in parameters} == {
        torch.float32, torch.int64,
    }  # fmt: skip
    number = sum(parameter.numel() for parameter in parameters.values())
    assert path.stat().st_size < 2.3 * number + 100_000


def test_a_weight_beyond_half_precision_keeps_its_own(tmp_path):
    network = ToyTask(small_config()).network
    network.embed.bias.data[0] = 1e6
    save_weights(tmp_path / "w.safetensors", network, info_of(SMALL))
    assert load_network(tmp_path / "w.safetensors").embed.bias[0] == 1e6


def test_what_is_said_of_weights_comes_back(segmentation):
    _, _, path = segmentation
    info = read_info(path)
    assert info == info_of(SEGMENTATION)
    assert info.hand_model.sha256 == load_open_hand().sha256
    assert info.detector == detector_digest()


def test_the_same_weights_make_the_same_file(segmentation, tmp_path):
    network, _, path = segmentation
    save_weights(tmp_path / "again.safetensors", network, info_of(SEGMENTATION))
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_the_card_says_what_the_file_says(segmentation):
    network, _, path = segmentation
    card = path.with_suffix(".md").read_text()
    info = info_of(SEGMENTATION)
    assert card == model_card(info, network, path.stat().st_size)
    number = sum(parameter.numel() for parameter in network.parameters())
    megabytes = f"{path.stat().st_size / 1e6:.2f} MB"
    for words in (
        "# HandSegmentation", f"{number:,} weights", megabytes, info.command,
        "1,234 of 5,678 steps", f"`{detector_digest()}`",
        "held-out samples after 1,200 steps", "| losses.bce | 0.25 |",
        "| optimiser.clip_norm | null |", "| joints_mm | 12.3457 |",
        "| data | training | validation |", "| seed | 7 | 8 |",
        "| size |  | 224 |", '| encoder | "tu-mobilenetv3_small_100" |', load_open_hand().sha256,
    ):  # fmt: skip
        assert words in card, words


@pytest.mark.parametrize(
    "path", sorted(SHIPPED_WEIGHTS.glob("*.safetensors")), ids=lambda path: path.stem
)
def test_weights_that_ship_are_read(path):
    """Some were written before options and the step of the figures were kept."""
    info = read_info(path)
    # Those of one network alone are named after it.
    kind = path.stem if path.stem in OFFER.options.model_fields else info.network.kind
    network = load_network(path, "cpu", kind)
    assert info.steps > 0 and (info.figures_step is None or info.figures_step <= info.steps)
    assert network.config == info.network


def test_weights_from_before_options_were_kept(segmentation, tmp_path):
    network, inputs, path = segmentation
    content = path.read_bytes()
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    for name in ("options", "figures_step"):
        del metadata[name]
    older = tmp_path / "older.safetensors"
    older.write_bytes(save(load(content), metadata))
    info = read_info(older)
    assert info == replace(info_of(SEGMENTATION), options={}, figures_step=None)
    found, wanted = (load_network(p)(inputs) for p in (older, path))
    assert torch.equal(found, wanted)
    card = model_card(info, network, 3)
    assert "Trained for 1,234 steps;" in card and "On the held-out samples, as" in card
    assert "Options of the training" not in card


def test_a_card_of_stages_a_decoder_and_a_data_set():
    config = HandNetConfig(
        encoder="mobilenetv3_small_050", hidden=[8], decoder_channels=[8, 8, 8, 4, 4]
    )
    stages = {"image": {"steps": 400}, "finalize": {"steps": 600, "without": ["segmentation"]}}
    data = {"training": {"seed": 7}, "training 2": {"dataset": "freihand", "portion": [0, 0.7]}}
    info = WeightsInfo(config, "train-hands", 1000, data, {}, options={"stages": stages})
    card = model_card(info, build_network(config, 0), 3)
    assert "the parameters of a hand, and its mask" in card.splitlines()[0]
    assert "Trained for 1,000 steps, in the stages image, finalize; the weights" in card
    assert '| stages.finalize | {"steps": 600, "without": ["segmentation"]} |' in card
    assert "Hands of a dataset below are its own" in card and "| portion |  | [0, 0.7] |" in card


def test_a_card_without_figures_says_so(segmentation):
    card = model_card(replace(info_of(SEGMENTATION), figures={}), segmentation[0], 3)
    assert "None: they were not validated yet." in card and "| figure |" not in card


def test_an_encoder_that_looks_at_its_values_is_loaded(tmp_path):
    """It cannot be built without memory to compare shapes first."""
    config = SEGMENTATION.model_copy(update={"encoder": "mit_b0"})
    network, path = build_network(config, 1), tmp_path / "w.safetensors"
    with raises("network.no_unet", encoder="mit_b0"), torch.device("meta"):
        build_network(config, 1)
    save_weights(path, network, info_of(config))
    weight = load_network(path).unet.segmentation_head[0].weight
    assert torch.allclose(weight, network.unet.segmentation_head[0].weight, atol=1e-3)


def test_a_network_is_loaded_whatever_its_seed_was():
    # What `load_network` builds before it fills in the weights must leave no trace.
    one, other = (build_network(SMALL, seed) for seed in (0, 1))
    other.load_state_dict(one.state_dict())
    inputs = ToyTask(small_config()).batch(0).inputs
    assert torch.equal(one.eval()(inputs).keypoints, other.eval()(inputs).keypoints)


def test_figures_need_be_no_numbers_of_json(tmp_path):
    info = replace(info_of(SMALL), figures={"nothing_found": float("nan")})
    save_weights(tmp_path / "w.safetensors", build_network(SMALL, 0), info)
    assert json.dumps(read_info(tmp_path / "w.safetensors").figures) == '{"nothing_found": NaN}'
