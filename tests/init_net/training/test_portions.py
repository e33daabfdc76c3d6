"""Portions of rendered sets."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from init_net.training.config import TrainConfig
from init_net.training.same_run import first_difference
from init_net.training.sources import learned_from
from tests.support.task_cases import COUNT, configured


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
    del before["further_data"][0]["portion"], before["stages"], before["optimiser"]["betas"]
    assert first_difference(now, before) is None
    before["further_data"][0]["seed"] = 8
    assert first_difference(now, before) == ("further_data.0.seed", 7, 8)
