"""Names of parts, which configurations know without the network."""

from __future__ import annotations

import pytest
import torch

from fitter.config.files import described_presets
from init_net.networks.build import build_network
from init_net.training.config import TRAIN, load_train_config
from init_net.training.freezing import parts_of
from tests.support.nimble_files import nimble_folder


@pytest.mark.parametrize("preset", described_presets(TRAIN))
def test_a_configuration_knows_the_parts_of_its_network(preset):
    config = load_train_config(preset).network
    if getattr(config, "hand_model", "open_hand") != "open_hand":
        config = config.model_copy(update={"hand_model": str(nimble_folder())})
    if not hasattr(config, "part_names"):
        pytest.skip("it leaves that to its network")
    with torch.device("meta"):
        network = build_network(config, 0)
    assert config.part_names == tuple(parts_of(network))
