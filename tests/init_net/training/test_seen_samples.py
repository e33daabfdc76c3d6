"""Who compares hands with what the detector saw learns from those that it saw by itself."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from init_net.samples import conversion
from init_net.samples.shards import ShardedSamples, shard_name, write_arrays
from init_net.samples.sightings import FOUND, SIGHTING_FIELDS, TOLD, sightings_folder
from init_net.training import sources
from init_net.training.config import TrainConfig
from init_net.training.tasks import build_task
from tests.support.autoencoder_runs import NETWORK, autoencoder_config
from tests.support.errors import raises
from tests.support.found_pictures import finding, write_pictures
from tests.support.rendered_samples import empty_sightings
from tests.support.task_cases import COUNT, CPU, SIZE, UNSEEN

HELPED = [1, 8]
"""Samples in which the detector was told where to look."""


@pytest.fixture
def helped(folder, tmp_path) -> Path:
    """The samples, of which some were seen with help."""
    copied = shutil.copytree(folder, tmp_path / "samples")
    (path,) = sightings_folder(copied / "data").glob("*/found.npy")
    found = np.load(path)
    found[HELPED, 0] = TOLD
    np.save(path, found)
    return copied


def learned(config: TrainConfig) -> set[int]:
    """Numbers of the samples that a run learns from, in as many batches as see all of them."""
    task = build_task(config, CPU)
    samples = task._train.samples
    chosen = np.arange(COUNT) if samples.chosen is None else samples.chosen
    return {int(chosen[row]) for step in range(6) for row in task._chosen(step)}


def test_renders_that_the_detector_needed_help_with_are_left_out(helped):
    assert learned(autoencoder_config(helped)) == {*range(COUNT)} - {UNSEEN, *HELPED}


def test_who_compares_with_labels_learns_from_all(helped):
    supervision = {"keypoints": "annotated", "confidence": False}
    config = autoencoder_config(helped, supervision=supervision)
    assert learned(config) == {*range(COUNT)}
    assert not config.compares_sightings


def test_none_that_it_saw_by_itself(helped):
    (path,) = sightings_folder(helped / "data").glob("*/found.npy")
    np.save(path, np.full_like(np.load(path), TOLD))
    with raises("samples.none_detected", file=helped / "data", count=COUNT):
        build_task(autoencoder_config(helped), CPU)


@pytest.mark.parametrize("keypoints", ["detected", "annotated"])
def test_what_was_seen_counts_by_its_keypoints_alone(folder, keypoints):
    """Regularisers of unsure hands weigh as much as those of sure ones; labels' weights stay."""
    task = build_task(autoencoder_config(folder, supervision={"keypoints": keypoints}), CPU)
    task.network.eval()
    step = task.plan.stages[1].first
    batch = task.batch(step)
    doubled = replace(batch, weight=2 * batch.weight)
    once, twice = (task.losses(each, step) for each in (batch, doubled))
    factor = 1 if keypoints == "detected" else 2
    for name, term in once.items():
        torch.testing.assert_close(twice[name], factor * term)


def test_of_pictures_that_nobody_annotated_the_detector_tells_itself(tmp_path, monkeypatch):
    """A hand that a second look does not find is left out: it has no keypoint to learn from."""
    monkeypatch.chdir(tmp_path)
    conversion._opened.cache_clear()
    sources.annotated_source.cache_clear()
    finding(monkeypatch)
    photos = write_pictures(tmp_path / "photos", "0-a.png", "1-b.png", "2-c.png")
    found = {"dataset": "images", "folder": str(photos), "size": SIZE}
    config = TrainConfig.model_validate(
        {"network": NETWORK, "data": {"share": 0.0}, "datasets": {"photos": found},
         "optimiser": {"batch_size": 3}}
    )  # fmt: skip
    source = config.datasets["photos"]
    sources.prepare(source)
    samples = ShardedSamples(source.samples_folder)
    seen = np.array([TOLD, 0, FOUND], np.uint8)
    folder = sightings_folder(samples.folder)
    folder.mkdir()
    write_arrays(folder / shard_name(0), {**empty_sightings(3), "found": seen[:, None]})
    assert {*SIGHTING_FIELDS} == {*empty_sightings(3)}
    assert sources.learned_from([source], as_seen=True).samples.chosen.tolist() == [0, 2]
    assert len(sources.learned_from([source]).samples) == 3
    with raises("training.few_hands", file=str(photos), expected=3, found=2):
        sources.require_full_batches(config)
