"""Every preset says what it is, and can be tried in miniature on a CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fitter.config.files import described_presets, find_preset
from init_net.training.command import train_hands
from init_net.training.config import TRAIN, load_train_config
from init_net.training.log import METRICS
from init_net.weights import load_network
from tests.support.nimble_files import nimble_folder

PRESETS = described_presets(TRAIN)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """In which all are tried: presets that learn from the same samples render them once."""
    return tmp_path_factory.mktemp("smoke")


@pytest.mark.parametrize("name", PRESETS)
def test_each_says_what_it_is_in_its_first_line(name):
    first = find_preset(name, TRAIN).read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ") and first.endswith("."), first
    assert PRESETS[name] == first[2:]


def test_the_list(say):
    told = say("--list", command=train_hands)
    assert (told.status, told.err) == (0, "")
    lines = [line.split(maxsplit=1) for line in told.out.splitlines()]
    assert dict(lines) == PRESETS
    assert {"handnet", "lifter", "segmentation"} <= set(PRESETS)


def test_no_configuration(say):
    told = say(command=train_hands)
    assert told.status == 2 and "--list names the presets" in told.err


@pytest.mark.parametrize("name", PRESETS)
def test_each_in_miniature(name, folder, say, monkeypatch):
    """Every stage is done, what comes out are weights that load."""
    monkeypatch.chdir(folder)
    model = str(nimble_folder()) if "nimble" in name else None
    given = [] if model is None else ["--set", f"network.hand_model={model}"]
    told = say(name, "--smoke", "--device", "cpu", "--quiet", *given, command=train_hands)
    assert (told.status, told.err) == (0, "")
    run = Path("runs") / f"{name}-smoke"
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    stages = list(load_train_config(name).stages)
    assert list(dict.fromkeys(line.get("stage") for line in lines)) == (stages or [None])
    assert any(key.startswith("validation/") for key in lines[-1])
    load_network(run / "weights.safetensors", hand_model=model)
