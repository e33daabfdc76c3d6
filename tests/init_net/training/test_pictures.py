"""What is seen of a network in TensorBoard: the truth on the left, what it says on the right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from init_net.samples.crop_samples import Cropper
from init_net.samples.shards import ShardedSamples
from init_net.training import log
from init_net.training.loop import train
from init_net.training.pictures import crop_pictures, relative_pictures
from init_net.training.tasks import build_task
from tests.support.task_cases import COUNT, CPU, NETWORKS, configured
from tests.support.training_cases import ToyTask, small_config


@pytest.fixture
def crops(folder):
    return Cropper(ShardedSamples(folder / "data"), 32, 1.4, None).crop(range(3), (0,))


def halves(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    left, right = np.split(picture, 2, 1)
    return left, right


def test_a_network_that_is_right_shows_the_truth_twice(crops):
    left, right = halves(crop_pictures(crops, crops.positions, crops.mask - 0.5))
    assert (left == right).all()
    plain, _ = halves(crop_pictures(crops, None, None))
    assert (plain != left).any(), "and something of it is seen"


def test_only_what_the_network_says_changes_the_right(crops):
    truth, _ = halves(crop_pictures(crops, crops.positions, crops.mask - 0.5))
    shifted = crops.positions + 0.1
    left, right = halves(crop_pictures(crops, shifted, torch.ones_like(crops.mask)))
    assert (left == truth).all()
    assert all((one != other).any() for one, other in zip(
        np.split(left, 3), np.split(right, 3), strict=True))  # fmt: skip


def test_a_mask_is_where_it_is_said(crops):
    """The upper half of each crop."""
    logits = -torch.ones_like(crops.mask)
    logits[:, :16] = 1
    plain = halves(crop_pictures(crops, None, None))[1]
    right = halves(crop_pictures(crops, None, logits))[1]
    side = len(right) // 3
    for one, other in zip(np.split(plain, 3), np.split(right, 3), strict=True):
        assert (one[side // 2 :] == other[side // 2 :]).all()
        assert (one[: side // 2] != other[: side // 2]).any(-1).mean() > 0.99


def test_what_is_not_known_is_not_drawn(crops):
    nothing = replace(
        crops, positions=crops.positions * torch.nan, has_mask=torch.zeros(3, dtype=torch.bool)
    )
    left, right = halves(crop_pictures(nothing, crops.positions, crops.mask - 0.5))
    plain, _ = halves(crop_pictures(crops, None, None))
    assert (left == plain).all() and (right != plain).any()
    # Far outside, as of a network that has learned nothing.
    crop_pictures(crops, 1e20 * crops.positions, None)


def test_hands_of_keypoints_alone():
    hands = torch.randn(2, 21, 3, generator=torch.Generator().manual_seed(0)) / 8
    left, right = halves(relative_pictures(hands, hands))
    assert (left == right).all() and (left < 200).any()
    deeper = hands * torch.tensor([1.0, 1.0, 1.5])
    front, side = np.split(halves(relative_pictures(deeper, hands))[1], 2, 1)
    front_before, side_before = np.split(left, 2, 1)
    assert (front == front_before).all() and (side != side_before).any()


@pytest.mark.parametrize("network", NETWORKS)
def test_each_network_has_some(folder, network):
    task = build_task(configured(folder, network), CPU)
    task.network.eval()
    with torch.no_grad():
        left, right = halves(task.pictures(task.plan.at(0)))
    assert left.shape == right.shape and (left != right).any()
    assert len(left) % min(COUNT, 6 if network != "lifter" else 5) == 0


def test_they_are_shown_at_each_validation(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config = small_config()
    train(ToyTask(config), config, tmp_path)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"), {"images": 0}).Reload()
    (name,) = events.Tags()["images"]
    assert name == "validation/truth_and_prediction"
    assert [(event.step, event.width, event.height) for event in events.Images(name)] == [
        (5, 6, 4), (10, 6, 4), (12, 6, 4),
    ]  # fmt: skip


def test_without_tensorboard_nobody_draws(tmp_path, monkeypatch):
    class Blind(ToyTask):
        def pictures(self, stage):
            raise AssertionError("nobody looks")

    monkeypatch.setattr(log, "_event_writer", lambda folder, step: None)
    config = small_config()
    assert train(Blind(config), config, tmp_path).step == 12
    assert not Path(tmp_path / "tensorboard").exists()
