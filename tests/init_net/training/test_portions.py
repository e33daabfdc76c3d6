"""Portions of rendered sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from init_net.training.config import TrainConfig, load_train_config
from init_net.training.same_run import first_difference
from init_net.training.sample_tasks import by_set
from init_net.training.sources import learned_from
from init_net.training.tasks import build_task
from tests.support.task_cases import COUNT, CPU, configured


def test_portions_of_a_rendered_set(folder):
    """One folder is learned from and validated on, each sample by one of the two alone."""
    first = configured(folder, "lifter").data.model_copy(update={"portion": (0.0, 0.7)})
    last = first.model_copy(update={"portion": (0.7, 1.0)})
    found = [learned_from([source]).samples for source in (first, last)]
    assert [len(samples) for samples in found] == [10, COUNT - 10]
    assert sorted([*found[0].chosen, *found[1].chosen]) == list(range(COUNT))
    given = {name: getattr(first, name) for name in ("folder", "seed", "count", "size")}
    common = {"network": {"kind": "lifter"}}
    data, held_out = {**given, "portion": (0.0, 0.7)}, {**given, "backgrounds": "procedural"}
    TrainConfig.model_validate(
        {**common, "data": data, "validation": {**held_out, "portion": (0.7, 1.0)}}
    )
    for wrong in ({"portion": (0.5, 1.0)}, {"portion": (0.7, 1.0), "count": 99}, {}):
        with pytest.raises(ValidationError, match=r"validation\.seed to differ"):
            TrainConfig.model_validate(
                {**common, "data": data, "validation": {**held_out, **wrong}}
            )


def test_runs_from_before_there_were_portions_go_on():
    given = {"dataset": "store", "folder": "x"}
    config = TrainConfig.model_validate(
        {"network": {"kind": "lifter"}, "datasets": {"A": given},
         "further_data": [{"folder": "y", "seed": 7}]}
    )  # fmt: skip
    now, before = config.resolved(), config.resolved()
    for options in (before["data"], before["validation"], before["datasets"]["A"]):
        del options["portion"]
    for options in (before["data"], before["validation"], before["further_data"][0]):
        del options["view"]
    del before["validation"]["beside"], before["augmentation"]["grey_share"]
    del before["further_data"][0]["portion"], before["stages"], before["optimiser"]["betas"]
    assert first_difference(now, before) is None
    before["further_data"][0]["seed"] = 8
    assert first_difference(now, before) == ("further_data.0.seed", 7, 8)


EARLIER = json.loads(Path(__file__).with_name("earlier_runs.json").read_text())
"""What a version with portions of data sets, and with `pairs.learned`, made of configurations that
are given."""


@pytest.mark.parametrize("name", list(EARLIER))
def test_runs_of_an_earlier_version_go_on(name):
    """Whatever options were added since: they changed nothing where nobody gives them."""
    earlier = EARLIER[name]
    now = TrainConfig.model_validate(earlier["given"]).resolved()
    assert first_difference(now, earlier["resolved"]) is None
    assert first_difference(earlier["resolved"], now) is None


@pytest.mark.parametrize(
    ("name", "option", "value", "found"),
    [
        ("lifter", "data.hand_model", "nimble", None),
        ("handnet", "further_data.0.hand_model", "nimble", None),
        ("stereo", "pairs.portion", [0.0, 0.8], None),
    ],
)
def test_they_do_not_with_other_values(name, option, value, found):
    earlier = EARLIER[name]
    now = TrainConfig.model_validate(earlier["given"]).resolved()
    *sections, last = (int(key) if key.isdigit() else key for key in option.split("."))
    place = now
    for key in sections:
        place = place[key]
    place[last] = value
    assert first_difference(now, earlier["resolved"]) == (option, value, found)


class TestHeldOutSets:
    """Renders are validated on beside annotated pictures, each with figures of its own."""

    def test_which(self):
        def held_out(**validation: object) -> list[str]:
            return list(
                TrainConfig.model_validate(
                    {"network": {"kind": "lifter"}, "validation": validation,
                     "validation_datasets": {"A": {"dataset": "store", "folder": "x"}}}
                ).held_out_sets
            )  # fmt: skip

        assert held_out() == ["A"] and held_out(beside=True) == ["validation", "A"]
        plain = TrainConfig.model_validate({"network": {"kind": "lifter"}})
        assert list(plain.held_out_sets) == ["validation"]
        with pytest.raises(ValidationError, match="another name"):
            TrainConfig.model_validate(
                {"network": {"kind": "lifter"},
                 "validation_datasets": {"validation": {"dataset": "store", "folder": "x"}}}
            )  # fmt: skip

    def test_figures_of_each(self, folder):
        sets = {"few": list(range(4)), "": list(range(10)), "more": list(range(4, 10))}
        found = by_set(sets, lambda held_out: {"mean": sum(held_out) / len(held_out)})
        assert found == {"few/mean": 1.5, "mean": 4.5, "more/mean": 6.5}

    @pytest.mark.parametrize("network", ["lifter", "handnet", "segmentation"])
    def test_a_task_has_those_of_each(self, folder, network, monkeypatch):
        config = configured(folder, network)
        other = config.validation.model_copy(update={"portion": (0.0, 0.5)})
        monkeypatch.setattr(TrainConfig, "held_out_sets", {"one": other, "all": config.validation})
        task = build_task(config, CPU)
        (stage,) = task.plan.stages
        figures = task.validate(stage)
        names = {name for name in figures if "/" not in name}
        assert set(figures) == names | {f"{s}/{n}" for s in ("one", "all") for n in names}
        assert all(figures[f"one/{n}"] != figures[f"all/{n}"] for n in names if "mm" in n)


def test_the_published_handnet_holds_three_tenths_of_every_data_set_out():
    """Seeber et al. 4.3."""
    config = load_train_config("handnet_published")
    assert set(config.learned_from) == {"data", "freihand"}
    assert {source.portion for source in config.learned_from.values()} == {(0.0, 0.7)}
    assert list(config.held_out_sets) == ["validation", "freihand"]
    assert {source.portion for source in config.held_out} == {(0.7, 1.0)}
    assert config.data.settings == config.validation.settings
    assert config.data.settings.view == "egocentric"
