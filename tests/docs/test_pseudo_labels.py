"""The four commands of docs/pseudo_labels.md, from raw pictures to a retrained network."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import torch

import fitter
from datasets.eval_command import eval_hands
from datasets.synthetic.command import synth_hands
from fitter.commands.fit_hands import fit_hands
from init_net import load_network, weights_file
from init_net.samples.shards import ShardedSamples
from init_net.training.command import train_hands
from tests.support.paths import ROOT

COMMANDS = {
    "synth-hands": synth_hands,
    "fit-hands": fit_hands,
    "eval-hands": eval_hands,
    "train-hands": train_hands,
}

FEWER = {
    "--count 300": "--count 14",
    "train-hands pseudo_labels": "train-hands pseudo_labels --quiet --set data.count=12 "
    "--set validation.count=6 --set optimiser.steps=3 --set optimiser.warmup_steps=1 "
    "--set optimiser.batch_size=4 --set optimiser.ema_decay=0 --set run.log_every=1",
}
"""What the page says -> what is done here, so that it takes seconds."""


def lines_of_the_page() -> list[str]:
    text = (ROOT / "docs" / "pseudo_labels.md").read_text("utf-8")
    (block,) = re.findall(r"^```\n(synth-hands .*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = block.splitlines()
    assert [line.split()[0] for line in lines] == list(COMMANDS)
    return lines


def test_the_four_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for line in lines_of_the_page():
        for said, fewer in FEWER.items():
            line = line.replace(said, fewer)
        name, *words = shlex.split(line)
        try:
            COMMANDS[name](words)
            status = 0
        except SystemExit as end:
            status = end.code or 0
        shown = capsys.readouterr()
        assert status == 0, f"{line}: {shown.err}"
        if name == "eval-hands":
            assert "PA" in shown.out
    results = fitter.open_results("labels.zarr")
    found = [hand for hands in results.values() for hand in hands if hand.valid]
    assert len(found) >= 4
    # Each of them is a sample, with what the store says of it.
    (kept,) = Path("data").glob("store-*")
    samples = ShardedSamples(kept)
    assert len(samples) == len(found)
    np.testing.assert_allclose(samples.column("label_score"), [hand.score for hand in found])
    # It has learned from them, beginning with the shipped weights.
    log = Path("runs/pseudo_labels/metrics.jsonl").read_text("utf-8").splitlines()
    steps = [json.loads(line) for line in log]
    assert [line["step"] for line in steps if "loss/total" in line] == [1, 2, 3]
    assert steps[0]["loss/global_rotation"] < 0.5
    ours = load_network(Path("runs/pseudo_labels/weights.safetensors")).state_dict()
    shipped = load_network(weights_file("handnet")).state_dict()
    assert ours.keys() == shipped.keys()
    moved = [float((ours[name] - shipped[name]).abs().max()) for name in ours if "bias" in name]
    assert 0 < max(moved) < 0.1 and torch.cat([v.flatten() for v in ours.values()]).isfinite().all()
