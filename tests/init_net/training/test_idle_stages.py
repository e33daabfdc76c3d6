"""A loss counts where something learns that it is made of; a stage without any is refused."""

from __future__ import annotations

import pytest
import torch

from init_net.networks.build import build_network
from init_net.records import CropInputs
from init_net.training.config import TrainConfig, load_train_config
from init_net.training.loss_weights import HandNetWeights, ViewWeights, loss_weights
from init_net.training.stage_checks import require_stages
from tests.support.errors import raises
from tests.support.task_cases import configured

NO_VIEWS = dict.fromkeys(ViewWeights.model_fields, 0.0)
NO_HANDS = {name: 0.0 for name in HandNetWeights.model_fields if not name.startswith("mask_")}
PARTS = ["image_front", "keypoint_front", "fusion", "tail", "head", "segmentation"]


def counting(config: TrainConfig, stage: str | None = None) -> set[str]:
    return {name for name, weight in loss_weights(config, stage).items() if weight}


def stereo(stage: str, **changes) -> TrainConfig:
    config = load_train_config("stereo")
    changed = config.stages[stage].model_copy(update=changes)
    return config.model_copy(update={"stages": {**config.stages, stage: changed}})


def handnet(tmp_path, **stage) -> TrainConfig:
    config = configured(tmp_path, "handnet", stages={"A": {"steps": 900, **stage}})
    network = config.network.model_copy(update={"decoder_channels": [16, 16, 8, 8, 8]})
    return config.model_copy(update={"network": network})


@pytest.mark.parametrize(
    ("stage", "changes"),
    [
        ("stereo", {"trains": ["original_front"]}),
        ("stereo", {"trains": ["segmentation"]}),
        ("stereo", {"losses": {"stereo_vertices": 0.0, "stereo_joints_3d": 0.0}}),
        ("synthetic_adaption", {"losses": NO_VIEWS}),
    ],
)
def test_one_of_a_stereo_network(stage, changes):
    config = stereo(stage, **changes)
    with raises("training.idle_stage", file=f"stages.{stage}"):
        require_stages(config)


def test_one_of_a_handnet(tmp_path):
    """Its masks are not made of the head."""
    with raises("training.idle_stage", file="stages.A", losses="mask_bce"):
        require_stages(handnet(tmp_path, trains=["head"], losses=NO_HANDS))


@pytest.mark.parametrize("learns", PARTS)
def test_losses_of_a_handnet_count_where_their_gradient_is_not_none(tmp_path, learns):
    """As autograd has it."""
    config = handnet(tmp_path, trains=[learns])
    network = build_network(config.network, 0)
    network.requires_grad_(False)
    network.parts[learns].requires_grad_(True)
    generator = torch.Generator().manual_seed(3)
    images, keypoints = (torch.rand(2, *n, generator=generator) for n in ((3, 32, 32), (21, 2)))
    found = network(CropInputs(images, keypoints - 0.5, torch.ones(2, 21)))
    weights = loss_weights(config, "A")
    assert found.hands.betas.requires_grad == (weights["mano_shape"] > 0)
    assert found.mask_logits.requires_grad == (weights["mask_bce"] > 0)


def test_losses_of_a_stereo_network():
    views, both = {*ViewWeights.model_fields}, {"stereo_vertices"}
    ones = dict.fromkeys((*views, *both), 1.0)
    for trains, without, wanted in (
        (["image_front"], ["stereo"], views),
        (["stereo"], [], both),
        (["head", "original_front"], [], views | both),
        (None, [], views | both),
    ):
        config = stereo("stereo", trains=trains, without=without, losses=ones)
        assert counting(config, "stereo") - {"stereo_joints_3d"} == wanted
    config = stereo("stereo").model_copy(update={"stages": {}, "losses": ones})
    assert counting(config) - {"stereo_joints_3d"} == views | both
