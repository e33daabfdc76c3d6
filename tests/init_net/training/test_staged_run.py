"""A run with stages as `train-hands` does it, from what it checks first to its weights."""

from __future__ import annotations

import pytest
import torch
import yaml

from init_net.samples import conversion
from init_net.training import learnable, sources
from init_net.training.loss_weights import HandNetWeights, LifterWeights
from init_net.weights import read_info
from tests.support.annotated_pictures import Pictures, in_the_picture_alone
from tests.support.errors import raises
from tests.support.task_cases import configured
from tests.support.training_cases import said, trained

NOTHING = dict.fromkeys(LifterWeights.model_fields, 0.0)


@pytest.fixture
def staged(ready):
    """The toy in two stages, whose losses are none of the run's."""
    options = yaml.safe_load((ready / "toy.yaml").read_text())
    options["losses"] = NOTHING
    options["stages"] = {
        "keypoint": {"steps": 5, "losses": {"keypoints": 2.0}},
        "finalize": {"steps": 4, "losses": {"keypoints": 1.0, "shape": 0.5}},
    }
    (ready / "toy.yaml").write_text(yaml.safe_dump(options))
    return ready


def test_its_weights_say_what_each_stage_compared(staged, say):
    told = trained(say)
    assert (told.status, told.err) == (0, "")
    assert trained(say, "--export", "again.safetensors").status == 0
    wanted = {
        "keypoint": {**NOTHING, "keypoints": 2.0},
        "finalize": {**NOTHING, "keypoints": 1.0, "shape": 0.5},
    }
    for file in (staged / "runs/toy/weights.safetensors", staged / "again.safetensors"):
        assert read_info(file).options["losses"] == wanted


def test_what_it_is_validated_on_is_asked_for_what_any_stage_compares(tmp_path, monkeypatch):
    """Not for what the run's own losses would, which no stage has."""
    conversion._opened.cache_clear()
    sources.annotated_source.cache_clear()
    opened: dict[str, Pictures] = {"deep": Pictures(), "flat": Pictures(in_the_picture_alone)}
    monkeypatch.setattr(conversion, "open_dataset", lambda name, *which: opened[name])

    def config(dataset: str, **losses):
        held_out = {"V": {"dataset": dataset, "folder": "here", "samples": str(tmp_path / "V")}}
        none = dict.fromkeys(HandNetWeights.model_fields, 0.0)
        stages = {"keypoint": {"steps": 900, "losses": losses}}
        return configured(
            tmp_path, "handnet", losses=none, stages=stages, validation_datasets=held_out
        )

    assert learnable.require_learnable(config("deep", geometric_joints_3d=1.0)) == {}
    with raises("training.lacks", file="validation_datasets.V (flat)"):
        learnable.require_learnable(config("flat", geometric_joints_3d=1.0))


def test_the_device_is_looked_for_before_anything_is_rendered(ready, say, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    made = []
    monkeypatch.setattr(
        "init_net.training.preparing.prepare", lambda *which: made.append(which) or []
    )
    told = trained(say, "--set", "run.device=cuda")
    wanted = said("device.missing", file="device 'cuda'")
    assert (told.status, told.err, made) == (2, f"train-hands: {wanted}\n", [])
    # A machine that only renders needs none.
    assert trained(say, "--set", "run.device=cuda", "--prepare-only").status == 0
    assert made
