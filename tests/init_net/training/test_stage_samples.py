"""The batches of a stage are of its own sources, whoever asks for them and when."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from init_net.samples.mixing import Mixture
from init_net.samples.shards import ShardedSamples
from init_net.training.tasks import build_task
from tests.support.task_cases import COUNT, CPU, configured

STAGES = {
    "Near": {"epochs": 2.0, "sources": {"data": 1.0}},
    "Far": {"steps": 3, "sources": {"further_data.0": 1.0}},
    "Both": {"epochs": 1.0, "sources": {"data": 0.5, "further_data.0": 0.5}},
    "All": {"epochs": 1.0},
}


def task_of(folder, network: str, **more):
    config = configured(folder, network, **more)
    optimiser = {"batch_size": 4, "warmup_steps": 0}
    further = {**config.data.model_dump(), "folder": str(folder / "more"), "seed": 33, "count": 4}
    return build_task(
        configured(folder, network, optimiser=optimiser, further_data=[further], stages=STAGES), CPU
    )


@pytest.mark.parametrize("network", ["lifter", "segmentation", "handnet"])
def test_their_sources_and_their_epochs(folder, network):
    task = task_of(folder, network)
    # The lifter draws three of four from what was seen: every sample twice but one never seen.
    counts = (2 * (COUNT - 1), 8) if network == "lifter" else (COUNT, 4)
    drawn = 3 if network == "lifter" else 4
    near, both = -(-2 * counts[0] // drawn), -(-sum(counts) // drawn)
    assert [stage.steps for stage in task.plan.stages] == [near, 3, both, both]
    first = ShardedSamples(folder / "data").column("keypoints_2d")
    for step in reversed(range(task.plan.steps)):
        stage = task.plan.at(step)
        chosen = task._chosen(step)
        assert len(chosen) == drawn
        numbers = task._seen.index[chosen] if network == "lifter" else chosen
        near = int((numbers < len(first)).sum())
        assert {"Near": near == drawn, "Far": near == 0, "Both": abs(near - drawn / 2) <= 0.5}.get(
            stage.name, True
        )


def test_every_sample_once_an_epoch_of_a_stage(folder):
    """From its first step on, in an order of its own."""
    task = task_of(folder, "segmentation")
    near, _, _, last = task.plan.stages
    whole = np.concatenate([task._chosen(step) for step in range(near.steps)])
    assert sorted(whole[: 2 * COUNT]) == sorted(2 * list(range(COUNT)))
    whole = np.concatenate([task._chosen(step) for step in range(last.first, last.end)])
    assert sorted(whole[: COUNT + 4]) == list(range(COUNT + 4))


def test_orders_of_stages():
    owner = np.zeros(50, np.int64)
    whole, first, second = (
        Mixture(owner, [None], 7, *stage).chosen(0, 50) for stage in ([], [0], [1])
    )
    assert (whole == first).all() and not (first == second).all()


def test_what_a_step_varies_at_random_is_of_the_step_alone(folder):
    task, again = (task_of(folder, "segmentation") for _ in range(2))
    wanted = {step: task.batch(step) for step in (2, 8, 12)}
    for step in (12, 2, 8):
        assert torch.equal(again.batch(step).image, wanted[step].image)
