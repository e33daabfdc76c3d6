"""A lifter is trained, written and used: everything once, in miniature."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import torch
import yaml

from fitter.detection.networks.weights import detector_digest
from fitter.fitting.observations import normalise
from init_net.offer import InitNetOptions
from init_net.predict import load_networks
from init_net.samples.detected_samples import observed_samples
from init_net.samples.shards import ShardedSamples
from init_net.samples.sightings import Sightings
from init_net.training.command import train_hands
from init_net.training.log import METRICS
from init_net.weights import read_info
from tests.support.task_cases import CPU, configured


def test_a_run_from_end_to_end(folder, tmp_path, say):
    """Samples and what was seen of them, a few steps, weights that lift hands with their eyes."""
    config = configured(folder, "lifter").resolved()
    config["optimiser"] |= {"steps": 4, "warmup_steps": 1}
    config["run"] |= {"log_every": 1, "validate_every": 4}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    out = tmp_path / "run"
    told = say(tmp_path / "tiny.yaml", "--quiet", "--out", out, command=train_hands)
    assert (told.status, told.err) == (0, "")
    lines = [json.loads(line) for line in (out / METRICS).read_text().splitlines()]
    logged = str(lines)
    for name in ("keypoints", "rotation", "shape", "visibility", "size", "pa_mpjpe_mm"):
        assert name in logged, name
    path = out / "weights.safetensors"
    info = read_info(path)
    assert info.detector == detector_digest() and info.data["training"]["sightings"] == 2
    options = InitNetOptions(lifter=str(path))
    networks = load_networks(options, ["lifter"], 1.4, CPU)
    samples = ShardedSamples(folder / "data")
    which = (np.arange(3), np.zeros(3, np.int64))
    hands = normalise(observed_samples(samples, Sightings(samples), which))
    unseen = replace(hands, features=torch.full_like(hands.features, torch.nan))
    seen, blind = (
        networks(given, [None] * 3).initialisations["lifter"] for given in (hands, unseen)
    )
    for said in (seen, blind):
        assert said.keypoints.isfinite().all()
        assert ((said.visible > 0) & (said.visible < 1)).all()
    assert not torch.allclose(seen.keypoints, blind.keypoints, rtol=0, atol=1e-6)
