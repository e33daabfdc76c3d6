"""Bad weights and bad starts: what the command says."""

from pathlib import Path

import pytest

from init_net.networks.build import build_network
from init_net.networks.config import LifterConfig
from init_net.weights import WeightsInfo, save_weights
from tests.support import bad_commands

workplace = bad_commands.workplace
here = bad_commands.here
say = bad_commands.say
refused = bad_commands.refused
FAST = bad_commands.FAST


PLAIN = ("--set", "refine.stages={}")


def refused_with(refused, sentence: str, *overrides: str) -> None:
    refused(sentence, *FAST, *(word for text in overrides for word in ("--set", text)))


@pytest.fixture(scope="module")
def weights(workplace) -> Path:
    config = LifterConfig(width=8, blocks=1)
    path = workplace / "mine.safetensors"
    save_weights(path, build_network(config, 0), WeightsInfo(config, "train-hands", 1, {}, {}))
    return path


def test_weights_that_are_not_there(refused):
    refused_with(
        refused,
        "gone.safetensors: expected network weights (safetensors), found no such file",
        "init.lifter=gone.safetensors",
    )


def test_weights_of_another_network(refused, weights):
    refused_with(
        refused,
        f"{weights.name}: expected weights of the network 'handnet', found those of 'lifter'",
        f"init.handnet={weights.name}",
    )


def test_weights_that_are_cut_off(refused, weights, workplace):
    content = weights.read_bytes()
    (workplace / "half.safetensors").write_bytes(content[: len(content) // 2])
    refused_with(
        refused,
        "half.safetensors: expected network weights (safetensors), found a cut-off, damaged or "
        "foreign file",
        "init.lifter=half.safetensors",
    )


def test_a_network_that_gives_no_start(refused):
    refused_with(
        refused,
        "init.source=network: expected a lifter or a handnet, found neither",
        "init.source=network",
        "init.lifter=null",
    )


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
    refused_with(
        refused,
        "init.networks: expected one of init_net, found 'yours'",
        "init.networks=yours",
    )


def test_a_start_that_there_is_not(refused):
    refused(
        "--init lifter: init.source must be 'keypoints', 'network' or 'both', found 'lifter'",
        *FAST,
        "--init",
        "lifter",
    )
