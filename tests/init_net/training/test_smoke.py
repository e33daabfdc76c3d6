"""A run in miniature: everything once, nothing learned."""

from __future__ import annotations

import pytest

from init_net.networks.config import LifterConfig, SegmentationConfig
from init_net.training.config import TrainConfig, load_train_config
from init_net.training.plan import Supply, make_plan
from init_net.training.smoke import missing_sources, smoke


@pytest.mark.parametrize("network", [LifterConfig(), SegmentationConfig(input_size=224)])
def test_a_smoke_test_is_a_small_run_of_the_same_options(network):
    config = TrainConfig(network=network, losses={"keypoints": 2.0})
    small = smoke(config)
    assert TrainConfig.model_validate(small.resolved()) == small, "a valid configuration"
    assert small.data.count <= 200 and small.data.folder != config.data.folder
    assert small.validation.folder != config.validation.folder
    assert small.optimiser.steps <= 50 and small.run.validate_every <= small.optimiser.steps
    kept = ("losses", "augmentation")
    assert all(getattr(small, name) == getattr(config, name) for name in kept)
    assert small.network.kind == network.kind


def test_a_smoke_test_has_every_stage():
    """Each over in a few steps, in which its learning rate falls as far."""
    given = {
        "A": {"epochs": 120.0, "schedule": "linear", "decay_epochs": 20.0, "trains": ["head"]},
        "B": {"steps": 5000, "sources": {"data": 1.0}},
        "C": {"epochs": 90.0, "schedule": "steps", "decay_epochs": 30.0},
    }
    config = TrainConfig.model_validate({"network": {"kind": "segmentation"}, "stages": given})
    small = smoke(config)
    plan = make_plan(small, Supply([small.data.count], small.optimiser.batch_size))
    assert [stage.name for stage in plan.stages] == ["A", "B", "C"]
    assert all(3 <= stage.steps <= 8 for stage in plan.stages)
    linear, _, steps = plan.stages
    assert linear.rate.decay == pytest.approx(0.3 * 64 / 4 / 6)
    ends = [steps.learning_rate(steps.end - 1), config.optimiser.learning_rate / 4]
    assert ends[0] == pytest.approx(ends[1]) and plan.stages[0].trains == {"head"}


def test_renders_stand_for_data_sets_that_are_not_there(tmp_path):
    """In miniature alone; those that are there take part, in their shares."""
    given = {"dataset": "store", "folder": "nowhere"}
    config = TrainConfig.model_validate(
        {
            "network": {"kind": "handnet"},
            "data": {"share": 0.1},
            "datasets": {"A": {**given, "share": 0.6},
                         "B": {**given, "folder": str(tmp_path), "share": 0.3}},
            "validation_datasets": {"V": {**given, "folder": "elsewhere"}},
            "stages": {
                "One": {"steps": 9, "sources": {"A": 1.0}},
                "Two": {"steps": 9, "sources": {"A": 0.5, "B": 0.25, "data": 0.25}},
                "Any": {"steps": 9, "sources": {"A": None, "B": None}},
                "Run": {"steps": 9},
            },
        }
    )  # fmt: skip
    assert missing_sources(config) == ["A", "V"]
    small = smoke(config)
    assert TrainConfig.model_validate(small.resolved()) == small
    shares = {name: small.shares_of(stage) for name, stage in small.stages.items()}
    assert shares == {
        "One": {"data": 1.0},
        "Two": {"data": 0.75, "B": 0.25},
        "Any": {"data": None, "B": None},
        "Run": {"data": None, "B": 0.3},
    }
    assert list(small.datasets) == ["B"] and small.held_out == (small.validation,)


@pytest.mark.parametrize("items", [40, 64])
@pytest.mark.parametrize("preset", ["handnet_stages", "handnet_published", "stereo"])
def test_the_rates_of_a_preset_fall_in_what_a_warm_up_leaves(preset, items):
    """Their shares of epochs are of other sets."""
    small = smoke(load_train_config(preset))
    plan = make_plan(small, Supply([items] * len(small.learned_from), 4))
    for stage in plan.stages:
        assert 0 < stage.rate.decay <= stage.steps - stage.rate.warmup


def test_portions_of_one_rendered_set_stay_portions_of_one():
    """Of the published HandNet, without the photographs that it learns from as well."""
    small = smoke(load_train_config("handnet_published"))
    assert TrainConfig.model_validate(small.resolved()) == small
    assert (small.data.folder, small.data.count) == (
        small.validation.folder,
        small.validation.count,
    )
    assert not small.data.overlaps(small.validation)
