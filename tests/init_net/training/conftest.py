"""Samples to train on, and a folder in which `train-hands` learns a toy."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from datasets.synthetic import SyntheticSettings
from init_net.samples.shards import SampleSource, ShardedSamples
from init_net.training.command import train_hands
from init_net.training.config import load_train_config
from init_net.training.run_folder import claimed
from tests.support import rendered_samples, training_cases
from tests.support.rendered_samples import write_sightings
from tests.support.task_cases import COUNT, SIZE, UNSEEN
from tests.support.training_cases import blank_samples, small_config


@pytest.fixture(scope="package")
def folder(tmp_path_factory) -> Path:
    """Samples to learn from, and others held out."""
    folder = tmp_path_factory.mktemp("samples")
    settings = SyntheticSettings()
    for name, seed, count in (("data", 31, COUNT), ("validation", 32, 6), ("more", 33, 4)):
        source = SampleSource(seed, count, SIZE, 1, settings)
        rendered_samples.render(folder / name, source, noise=0.5, unseen=(UNSEEN,), variants=2)
    return folder


@pytest.fixture
def toy(monkeypatch):
    training_cases.toy_tasks(monkeypatch)


@pytest.fixture
def ready(here, toy, tmp_path, monkeypatch):
    """A folder with a configuration and samples as current one."""
    monkeypatch.chdir(tmp_path)
    options = small_config().resolved()
    for name, seed, backgrounds in (("data", 5, "procedural"), ("validation", 6, "packages")):
        options[name] |= {"folder": name, "seed": seed, "count": 4, "size": 16}
        settings = SyntheticSettings(backgrounds=backgrounds)
        blank_samples(Path(name), SampleSource(seed, 4, 16, 1, settings))
        write_sightings(ShardedSamples(Path(name)), variants=2)
    Path("toy.yaml").write_text(yaml.safe_dump(options))
    return tmp_path


@pytest.fixture
def refused(ready, say):
    def run(wanted: str, *arguments: object, config: str = "toy.yaml") -> None:
        told = say(config, "--quiet", *arguments, command=train_hands)
        assert (told.status, told.out, told.err) == (2, "", f"train-hands: {wanted}\n")

    return run


@pytest.fixture
def started(ready):
    """A run in runs/toy of which nothing is done yet."""
    with claimed(Path("runs/toy"), load_train_config("toy.yaml"), "train-hands toy.yaml"):
        pass
