"""The five stages of HandNet (Seeber Fig. 4): what learns, what is lost, what is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from init_net.networks.config import HandNetConfig
from init_net.training.config import TrainConfig, load_train_config
from init_net.training.loop import Watch, train
from init_net.training.loss_weights import HandNetWeights, loss_weights
from init_net.training.plan import Supply, make_plan
from init_net.training.stage_checks import require_stages
from init_net.training.tasks import build_task
from tests.support.task_cases import CPU, configured

SMALL = HandNetConfig.model_validate(
    {
        "encoder": "mobilenetv3_small_050",
        "input_size": 32,
        "hidden": [16],
        "decoder_channels": [8, 8, 8, 4, 4],
        "keypoint_dropout": {"all": 0.0, "single": 0.0},
    }
)
LEARNS = {
    "image": {"image_front", "tail", "head"},
    "keypoint": {"keypoint_front"},
    "fusion": {"fusion"},
    "finalize": {"image_front", "keypoint_front", "fusion", "tail", "head"},
    "segmentation": {"segmentation"},
}
"""Fig. 4: the parts without a lock."""

ABSENT = {
    "image": {"keypoint_front", "fusion", "segmentation"},
    "keypoint": {"image_front", "fusion", "segmentation"},
    "fusion": {"segmentation"},
    "finalize": {"segmentation"},
    "segmentation": {"head"},
}
PUBLISHED = {"image": 120, "keypoint": 100, "fusion": 100, "finalize": 180, "segmentation": 10}
"""Epochs, Seeber 4.1 and 4.3."""


def staged(folder: Path) -> TrainConfig:
    """The stages of a preset on a small network and few samples, two steps each."""
    whole = load_train_config("handnet_stages")
    config = configured(folder, "handnet")
    stages = {
        name: stage.model_copy(update={"steps": 2, "decay_epochs": None})
        for name, stage in whole.stages.items()
    }
    short = {"batch_size": 4, "warmup_steps": 0, "schedule": "cosine", "decay_epochs": None}
    return config.model_copy(
        update={
            "network": SMALL,
            "stages": stages,
            "optimiser": whole.optimiser.model_copy(update=short),
        }
    )


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    """All five stages: the values of the network as each begins and at the end, and figures."""
    config = staged(folder)
    task = build_task(config, CPU)
    values, figures = [], []

    def now() -> dict[str, dict[str, torch.Tensor]]:
        return {
            name: {key: value.clone() for key, value in part.state_dict().items()}
            for name, part in task.network.parts.items()
        }

    watch = Watch(
        entered=lambda stage: values.append(now()),
        validated=lambda step, found: figures.append((step, dict(found))),
    )
    train(task, config, tmp_path_factory.mktemp("run"), watch)
    return task, [*values, now()], figures


@pytest.mark.parametrize("number", range(5))
def test_what_is_frozen_stays_bit_for_bit_and_all_else_learns(run, number):
    """Weights, statistics of normalisation and counters."""
    task, values, _ = run
    stage = task.plan.stages[number]
    before, after = values[number : number + 2]
    moved = {
        name
        for name in before
        if any(not torch.equal(before[name][key], after[name][key]) for key in before[name])
    }
    assert moved == LEARNS[stage.name]


def test_masks_are_measured_where_there_is_a_decoder(run):
    task, _, figures = run
    ends = {stage.end: stage.name for stage in task.plan.stages}
    said = {ends[step]: found for step, found in figures}
    assert "segmentation" in said
    for name, found in said.items():
        assert ("mask_iou" in found) == (name == "segmentation")
        assert "pa_mpjpe_mm" in found


@pytest.fixture(scope="module")
def task(folder):
    return build_task(staged(folder), CPU)


@pytest.mark.parametrize("name", LEARNS)
def test_losses_of_a_stage(task, name):
    """Those of hands in four stages, that of masks in the last."""
    step = next(stage.first for stage in task.plan.stages if stage.name == name)
    found = set(task.losses(task.batch(step), step))
    masks = {term for term in found if term.startswith("mask_")}
    assert (found == masks == {"mask_bce"}) if name == "segmentation" else (found and not masks)


def test_the_decoder_learns_equation_10(task):
    """Against the formula, pixel by pixel, of the hands whose mask is known."""
    step = task.plan.stages[-1].first
    batch = task.batch(step)
    batch.has_mask[1] = False
    task.network.eval()
    with torch.no_grad():
        found = task.losses(batch, step)["mask_bce"]
        p = task.network.segment(batch.inputs).double().sigmoid()
    y = batch.mask.double()
    entropy = -(y * p.log() + (1 - y) * (1 - p).log()).mean((1, 2))
    entropy[1] = 0
    torch.testing.assert_close(found.double(), entropy, rtol=1e-5, atol=1e-6)


def test_equations_9_and_10_have_the_printed_weights():
    config = load_train_config("handnet_published")
    counts = {
        stage: {name: weight for name, weight in loss_weights(config, stage).items() if weight}
        for stage in config.stages
    }
    assert counts.pop("segmentation") == {"mask_bce": 1.0}
    for weights in counts.values():
        assert weights == {
            "mano_pose_axis_angle": 10.0,
            "mano_shape": 1.0,
            "mano_joints_2d": 100.0,
            "mano_shape_norm": 0.5,
            "mano_camera": 1e-5,
        }


def test_hands_do_not_count_where_nothing_learns_that_they_are_made_of(folder):
    config = staged(folder)
    alone = config.stages["segmentation"].model_copy(update={"without": []})
    config = config.model_copy(update={"stages": {"segmentation": alone}})
    counts = {name for name, weight in loss_weights(config, "segmentation").items() if weight}
    assert counts == {"mask_bce"}


def test_a_network_without_a_decoder_has_no_loss_of_masks(folder):
    weights = loss_weights(configured(folder, "handnet"))
    assert set(weights) == set(HandNetWeights.model_fields)
    assert weights["mask_bce"] == weights["mask_dice"] == 0 < weights["mano_joints_2d"]


@pytest.mark.parametrize("preset", ["handnet_published", "handnet_stages"])
def test_stages_are_those_of_the_figure(preset):
    config = load_train_config(preset)
    require_stages(config)
    assert list(config.stages) == list(PUBLISHED)
    parts = set().union(*LEARNS.values())
    for name, stage in config.stages.items():
        assert set(stage.without) == ABSENT[name]
        trains = parts - set(stage.without) if stage.trains is None else set(stage.trains)
        assert trains == LEARNS[name]


def test_the_single_stage_is_as_long_as_those_of_hands_together():
    whole, single = (load_train_config(f"handnet_{n}") for n in ("stages", "single_stage"))
    require_stages(single)
    (stage,) = single.stages.values()
    hands = [each.steps for name, each in whole.stages.items() if name != "segmentation"]
    assert stage.steps == sum(hands) and stage.trains is None
    assert whole.model_copy(update={"stages": {}}) == single.model_copy(update={"stages": {}})


def test_the_published_schedule():
    """Seeber 4.1 and 4.3: 2e-4, falling linearly over the last 20 epochs of each stage, and over
    the last 6 of 10 of the decoder's."""
    config = load_train_config("handnet_published")
    freihand, renders, batch = 91_168, 30_164, config.optimiser.batch_size
    items = {"freihand": freihand, "data": renders}
    plan = make_plan(config, Supply([items[name] for name in config.learned_from], batch))
    for stage in plan.stages:
        is_last = stage.name == "segmentation"
        epoch = (freihand + renders if is_last else freihand) / batch
        assert stage.steps == pytest.approx(PUBLISHED[stage.name] * epoch, abs=1)
        decay = 6 if is_last else 20
        for share in (0.0, 0.3, 0.5, 0.9, 0.97):
            step = round(share * (stage.steps - 1))
            left = (stage.steps - step) / epoch
            found = stage.learning_rate(stage.first + step)
            assert found == pytest.approx(2e-4 * min(1.0, left / decay), rel=0.01)
        wanted = {"freihand": 0.5, "data": 0.5} if is_last else {"freihand": 1.0, "data": 0.0}
        assert dict(zip(config.learned_from, stage.shares, strict=True)) == wanted
    assert config.optimiser.betas == (0.9, 0.99) and config.optimiser.weight_decay == 0
