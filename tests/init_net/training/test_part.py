"""Parts of a data set by unique sample."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from init_net.samples.config import DatasetConfig
from init_net.samples.part import overlap, places, unique_samples
from init_net.training.config import TrainConfig
from init_net.training.same_run import first_difference
from init_net.training.sources import learned_from
from tests.support.task_cases import COUNT, configured


class Columns:
    """Samples of which `versions` have the keypoints of each other, in the order of FreiHAND: all
    of the first version, then all of the second."""

    def __init__(self, unique: int, versions: int) -> None:
        generator = np.random.default_rng(0)
        self.values = {
            "keypoints_2d": generator.uniform(0, 224, (unique, 21, 2)).astype(np.float32),
            "keypoints_3d": generator.normal(size=(unique, 21, 3)).astype(np.float32),
        }
        self.values["keypoints_3d"][:, 3] = np.nan
        self.versions = versions

    def __len__(self) -> int:
        return self.versions * len(self.values["keypoints_2d"])

    def column(self, name: str) -> np.ndarray:
        return np.concatenate([self.values[name]] * self.versions)


def test_versions_of_one_sample_are_one():
    assert unique_samples(Columns(5, 3)).tolist() == [*range(5)] * 3


@pytest.mark.parametrize("unique", [1, 4, 5, 10, 15, 33])
@pytest.mark.parametrize(("first", "last"), [("first 0.7", "last 0.3"), ("first .5", "last 0.5"),
                                             ("first 0.9", "last 0.1")])  # fmt: skip
def test_two_parts_are_all_and_share_no_unique_sample(unique, first, last):
    samples = Columns(unique, 4)
    one, other = places(samples, first), places(samples, last)
    assert sorted([*one, *other]) == list(range(4 * unique))
    assert not set(one % unique) & set(other % unique)
    assert abs(len(one) / 4 - unique * float(first.split()[1])) <= 0.5


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [("first 0.7", "last 0.3", False), ("first 0.7", "last 0.4", True), ("first 0.1", None, True),
     ("last 0.2", "last 0.1", True)],
)  # fmt: skip
def test_overlap(one, other, wanted):
    assert overlap(one, other) == overlap(other, one) == wanted


def test_parts_of_a_rendered_set(folder):
    """One folder is learned from and validated on, each sample by one of the two alone."""
    first = configured(folder, "lifter").data.model_copy(update={"part": "first 0.7"})
    last = first.model_copy(update={"part": "last 0.3"})
    found = [learned_from([source]).samples for source in (first, last)]
    assert [len(samples) for samples in found] == [10, COUNT - 10]
    assert found[0].chosen.tolist() + found[1].chosen.tolist() == list(range(COUNT))
    given = {name: getattr(first, name) for name in ("folder", "seed", "count", "size")}
    common = {"network": {"kind": "lifter"}}
    data, held_out = {**given, "part": "first 0.7"}, {**given, "backgrounds": "procedural"}
    TrainConfig.model_validate(
        {**common, "data": data, "validation": {**held_out, "part": "last 0.3"}}
    )
    for wrong in ({"part": "last 0.5"}, {"part": "last 0.3", "count": 99}, {}):
        with pytest.raises(ValidationError, match=r"validation\.seed to differ"):
            TrainConfig.model_validate(
                {**common, "data": data, "validation": {**held_out, **wrong}}
            )


def test_parts_of_a_data_set():
    def config(first: str | None, last: str | None) -> TrainConfig:
        given = {"dataset": "freihand", "folder": "x"}
        return TrainConfig.model_validate(
            {"network": {"kind": "handnet"}, "datasets": {"A": {**given, "part": first}},
             "validation_datasets": {"B": {**given, "part": last}}}
        )  # fmt: skip

    config("first 0.7", "last 0.3")
    with pytest.raises(ValidationError, match="other pictures than datasets"):
        config("first 0.7", "last 0.4")
    with pytest.raises(ValidationError, match="part"):
        DatasetConfig.model_validate({"dataset": "store", "folder": "x", "part": "middle 0.2"})


def test_runs_from_before_there_were_parts_go_on():
    given = {"dataset": "store", "folder": "x"}
    config = TrainConfig.model_validate(
        {"network": {"kind": "lifter"}, "datasets": {"A": given},
         "further_data": [{"folder": "y", "seed": 7}]}
    )  # fmt: skip
    now, before = config.resolved(), config.resolved()
    for options in (before["data"], before["validation"], before["datasets"]["A"]):
        del options["part"]
    del before["further_data"][0]["part"], before["stages"], before["optimiser"]["betas"]
    assert first_difference(now, before) is None
    before["further_data"][0]["seed"] = 8
    assert first_difference(now, before) == ("further_data.0.seed", 7, 8)
