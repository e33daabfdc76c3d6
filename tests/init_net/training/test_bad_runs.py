"""Runs of train-hands that stop, or that something else has begun."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from fitter.detection.networks.weights import detector_digest
from init_net.hand_model_id import current_hand_model
from init_net.training.checkpoints import load_checkpoint
from init_net.training.command import train_hands
from init_net.training.config import load_train_config
from init_net.training.run_folder import claimed, holds_smoke, read_manifest
from init_net.training.smoke import smoke
from init_net.weights import read_info
from tests.support import training_cases
from tests.support.training_cases import said, trained

CURRENT = str(current_hand_model())


def test_a_loss_that_is_not_finite(ready, say, monkeypatch):
    training_cases.toy_tasks(monkeypatch, lambda step: float("nan") if step == 7 else None)
    told = trained(say, "--set", "run.checkpoint_minutes=0")
    assert (told.status, told.out) == (1, "")
    facts = {"step": 8, "what": "loss 'keypoints'", "found": "not a number"}
    kept = "the last good checkpoint is runs/toy/checkpoint.pt (step 7)"
    assert told.err == f"train-hands: {said('training.diverged', **facts, kept=kept)}\n"
    kept = load_checkpoint(Path("runs/toy/checkpoint.pt"))
    assert kept.step == 7
    assert all(value.isfinite().all() for value in kept.network.values())
    assert (
        trained(say, "--export", "w.safetensors", "--set", "run.checkpoint_minutes=0").status == 0
    )


def test_a_smoke_test_starts_anew_with_other_options_and_replaces_no_other_run(ready, say):
    toy = load_train_config("toy.yaml")
    other = toy.model_copy(update={"run": toy.run.model_copy(update={"seed": 8})})
    for command, is_replaced in (("train-hands toy --smoke", True), ("train-hands toy", False)):
        folder = Path(f"runs/{is_replaced}")
        with claimed(folder, other, command):
            pass
        assert holds_smoke(folder) == is_replaced
    for name in ("data", "validation"):
        shutil.copytree(name, f"{name}-smoke")
    told = say("toy.yaml", "--smoke", "--out", "runs/True", command=train_hands)
    assert told.status == 0
    assert told.err.splitlines()[-1] == "a smoke test learns nothing: its figures mean nothing"
    assert read_manifest(Path("runs/True"))["config"] == smoke(toy).resolved()
    told = trained(say, "--smoke", "--out", "runs/False")
    assert told.status == 2 and "--overwrite" in told.err
    assert not holds_smoke(Path("runs/nothing"))


def test_a_loss_that_is_infinite_from_the_start(ready, say, monkeypatch):
    training_cases.toy_tasks(monkeypatch, lambda step: float("inf"))
    told = trained(say)
    assert told.status == 1
    facts = {"step": 1, "what": "loss 'keypoints'", "found": "infinite"}
    stopped = said("training.diverged", **facts, kept="there is no checkpoint yet")
    assert told.err == f"train-hands: {stopped}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_keeps_what_is_done(ready, say, monkeypatch, number):
    undisturbed = [Path("whole") / name for name in ("metrics.jsonl", "weights.safetensors")]
    assert trained(say, "--out", "whole").status == 0
    training_cases.toy_tasks(
        monkeypatch, lambda step: os.kill(os.getpid(), number) if step == 6 else None
    )
    told = trained(say)
    assert (told.status, told.out) == (130, "")
    assert told.err == "train-hands: interrupted; what is done is kept, and --resume continues\n"
    assert load_checkpoint(Path("runs/toy/checkpoint.pt")).step == 7
    training_cases.toy_tasks(monkeypatch)
    assert trained(say, "--resume").status == 0
    metrics, weights = (Path("runs/toy") / path.name for path in undisturbed)
    assert metrics.read_bytes() == undisturbed[0].read_bytes()
    # Their commands differ, which stand in the header.
    one, other = (load(path.read_bytes()) for path in (weights, undisturbed[1]))
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_run_of_another_hand_model(ready, say, refused, monkeypatch):
    assert trained(say).status == 0
    newer = replace(current_hand_model(), sha256="f" * 64)
    monkeypatch.setattr("init_net.hand_model_id.current_hand_model", lambda *_: newer)
    facts = {"file": "runs/toy/run.json", "expected": newer, "found": CURRENT}
    refused(said("weights.other_hand_model", **facts))


def test_a_run_that_learned_from_another_detector(ready, say, refused):
    """Neither goes on nor is exported; of a run from before it was kept nobody knows."""
    assert trained(say).status == 0
    assert read_info(Path("runs/toy/weights.safetensors")).detector == detector_digest()
    path = Path("runs/toy/run.json")
    manifest = json.loads(path.read_text())
    assert manifest["detector"] == detector_digest()
    facts = {"file": path, "expected": detector_digest()[:12], "found": 12 * "0"}
    wanted = said("training.other_detector", **facts)
    path.write_text(json.dumps({**manifest, "detector": 64 * "0"}))
    refused(wanted)
    refused(wanted, "--export", "w.safetensors")
    del manifest["detector"]
    path.write_text(json.dumps(manifest))
    assert trained(say, "--export", "w.safetensors").status == 0
