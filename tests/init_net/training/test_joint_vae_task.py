"""A JointVAE learns by itself, of hands without images."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from init_net.training.config import TrainConfig, load_train_config
from init_net.training.log import METRICS
from init_net.training.loop import Watch, train
from init_net.training.tasks import build_task, require_trainable
from tests.support.errors import raises
from tests.support.mesh_runs import vae_config
from tests.support.task_cases import CPU, NETWORKS


@pytest.fixture(scope="module")
def task():
    return build_task(vae_config(), CPU)


def test_its_losses_are_those_of_eq_3(task):
    batch = task.batch(0)
    config = vae_config(losses={"joints_agreement": 2.0, "kl": 0.5})
    weighed = build_task(config, CPU, task.network)
    found = weighed.losses(batch, 0)
    refined = task.network(batch.regressed, batch.code_noise)
    regressed, joints, said = (
        np.asarray(each.detach()) for each in (batch.regressed, batch.joints, refined.joints)
    )
    expected = {
        "joints_refined": 10 * np.abs(said - joints).mean((1, 2)),
        "joints_agreement": 2 * 10 * np.abs(said - regressed).mean((1, 2)),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name].detach(), value, rtol=1e-4)
    assert set(found) == {*expected, "kl"}
    # Printed weights: what a JointVAE has alone is not, but for lambda_1.
    assert set(task.losses(batch, 0)) == {"joints_refined", "kl"}


def test_of_each_hand_alone_and_of_some_rows(task):
    batch = task.batch(1)
    together = task.losses(batch, 1)
    for row in range(4):
        alone = task.losses(task.batch(1, slice(row, row + 1)), 1)
        for name, value in alone.items():
            torch.testing.assert_close(value[0], together[name][row], rtol=1e-4, atol=1e-6)


def test_no_hand_is_seen_twice_nor_measured_after_it_was_learned_from(task):
    seen = torch.cat([task.batch(step).joints[:, 9] for step in range(4)])
    held_out = task._held_out[""].joints[:, 9]
    distance = torch.cdist(torch.cat([seen, held_out]), torch.cat([seen, held_out]))
    distance.fill_diagonal_(1.0)
    assert distance.min() > 1e-6


@pytest.mark.parametrize("step", [1, 3])
def test_a_run_stopped_goes_on_as_if_it_had_not_been(tmp_path, step):
    config = vae_config()
    for folder, stops in (("whole", (99,)), ("parts", (step, 99))):
        (tmp_path / folder).mkdir()
        for stop in stops:
            done = itertools.count(0 if stop == stops[0] else step)
            watch = Watch(stop=lambda done=done, stop=stop: next(done) >= stop)
            train(build_task(config, CPU), config, tmp_path / folder, watch)
    whole, parts = (curve(tmp_path / name) for name in ("whole", "parts"))
    assert whole == parts
    figures = {"before_mm", "after_mm", "noisy_before_mm", "noisy_after_mm"}
    assert {f"validation/{name}" for name in figures} <= set(whole[-1])


def curve(path) -> list[dict]:
    lines = [json.loads(line) for line in (path / METRICS).read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "time"} for line in lines]


def test_it_learns_to_say_the_joints():
    config = vae_config(
        network={"kind": "joint_vae", "latent": 32, "hidden": [64]},
        optimiser={"batch_size": 64, "steps": 300, "warmup_steps": 0, "learning_rate": 3e-3},
        posed_hands={"count": 64, "held_out": 50},
    )
    task = build_task(config, CPU)
    optimiser = torch.optim.Adam(task.network.parameters(), 3e-3)
    before = task.validate(task.plan.stages[0])["after_mm"] if task.network.eval() else 0
    task.network.train()
    for step in range(300):
        total = sum(term.mean() for term in task.losses(task.batch(step), step).values())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    task.network.eval()
    assert task.validate(task.plan.stages[0])["after_mm"] < 0.3 * before


def test_its_epochs_are_of_its_own_hands():
    config = vae_config(stages={"alone": {"epochs": 3.0}})
    assert build_task(config, CPU).plan.steps == 6  # 8 hands, 4 in a batch


@pytest.mark.parametrize("kind", ["lifter", "handnet"])
def test_no_other_network_learns_from_hands_without_images(kind):
    with pytest.raises(ValidationError, match="posed_hands"):
        TrainConfig.model_validate({"network": NETWORKS[kind], "posed_hands": {}})


def test_a_hand_model_that_is_not_there():
    config = vae_config(network={"kind": "joint_vae", "hand_model": "MANO_RIGHT.pkl"})
    with raises("model.unknown"):
        require_trainable(config)


def test_more_shapes_than_the_hand_has():
    config = vae_config(network={"kind": "joint_vae", "betas": 99})
    with raises("network.few_components", file="network.betas", found=99):
        require_trainable(config)


def test_the_preset_needs_no_samples():
    config = load_train_config("joint_vae")
    assert config.stored == {} and config.held_out == () and list(config.sources) == ["posed_hands"]
