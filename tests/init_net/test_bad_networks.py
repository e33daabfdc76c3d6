"""Bad weights and bad starts: what the command says."""

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from fitter.config.networks import ENTRY_POINTS
from fitter.detection.networks.weights import detector_digest
from fitter.errors import sentence
from init_net.model_card import WeightsInfo
from init_net.networks.build import build_network
from init_net.networks.config import LifterConfig
from init_net.weights import save_weights, weights_file
from tests.support.bad_commands import FAST

PLAIN = ("--set", "refine.stages={}")


def refused_with(refused, said: str, *overrides: str) -> None:
    refused(said, *FAST, *(word for text in overrides for word in ("--set", text)))


@pytest.fixture(scope="module")
def weights(workplace) -> Path:
    config = LifterConfig(width=8, blocks=1)
    path = workplace / "mine.safetensors"
    save_weights(path, build_network(config, 0), WeightsInfo(config, "train-hands", 1, {}, {}))
    return path


def test_weights_that_are_not_there(refused):
    said = sentence("weights.missing", {"file": "gone.safetensors"})
    refused_with(refused, said, "init.lifter=gone.safetensors")


def test_weights_of_another_network(refused, weights):
    facts = {"file": weights.name, "expected": "handnet", "found": "lifter"}
    said = sentence("weights.other_network", facts)
    refused_with(refused, said, f"init.handnet={weights.name}")


def test_weights_that_are_cut_off(refused, weights, workplace):
    content = weights.read_bytes()
    (workplace / "half.safetensors").write_bytes(content[: len(content) // 2])
    said = sentence("weights.damaged", {"file": "half.safetensors"})
    refused_with(refused, said, "init.lifter=half.safetensors")


def test_a_lifter_of_another_detectors_features(refused, workplace):
    config = LifterConfig(width=8, blocks=1)
    info = WeightsInfo(config, "train-hands", 1, {}, {}, detector=64 * "0")
    save_weights(workplace / "other.safetensors", build_network(config, 0), info)
    facts = {"expected": detector_digest()[:12], "found": 12 * "0"}
    said = sentence("weights.other_detector", {"file": "other.safetensors", **facts})
    refused_with(refused, said, "init.lifter=other.safetensors")


def test_crops_of_another_margin_than_was_learned_from(refused):
    path = weights_file("segmentation", "shipped")
    said = sentence("network.other_margin", {"file": path, "expected": 1.4, "found": 1.5})
    refused_with(refused, said, "refine.margin=1.5")


def test_a_network_that_gives_no_start(refused):
    facts = {"file": "init.source=network", "known": "init.lifter or init.handnet or init.stereo"}
    said = sentence("network.no_initialisation", facts)
    refused_with(refused, said, "init.source=network", "init.lifter=null")


@pytest.mark.parametrize(
    ("option", "fault"),
    [
        ("init.lfiter=mine", "unknown option 'init.lfiter'; did you mean 'lifter'?"),
        ("init.lifter=3", "init.lifter must be text, found 3"),
    ],
)
def test_options_of_networks_that_are_wrong(refused, option, fault):
    """Whoever offers networks brings their options, and they are checked like all others."""
    refused_with(refused, f"--set {option}: {fault}", option)


def test_a_store_is_not_continued_with_other_weights(here, say, weights):
    """The same name, but another network stands behind it."""
    mine = ("--init", "network", "--set", "init.lifter=mine.safetensors")
    say("photos", "--out", "w.zarr", *FAST, *mine, *PLAIN)
    content = weights.read_bytes()
    try:
        config = LifterConfig(width=8, blocks=1)
        info = WeightsInfo(config, "train-hands", 2, {}, {})
        save_weights(weights, build_network(config, 1), info)
        told = say("photos", "--out", "w.zarr", "--resume", *FAST, *mine, *PLAIN)
        assert told.status == 2
        assert "model.lifter_sha256 was '" in told.err
    finally:
        weights.write_bytes(content)


def test_networks_that_nobody_offers(refused):
    known = ", ".join(sorted(point.name for point in entry_points(group=ENTRY_POINTS)))
    facts = {"file": "init.networks", "known": known, "found": "yours"}
    refused_with(refused, sentence("network.not_offered", facts), "init.networks=yours")


def test_a_start_that_there_is_not(refused):
    refused(
        "--init lifter: init.source must be 'keypoints', 'network' or 'both', found 'lifter'",
        *FAST,
        "--init",
        "lifter",
    )
