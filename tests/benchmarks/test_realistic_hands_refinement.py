"""A network's own hand is placed where it says, and refined as `fit-hands` refines."""

from dataclasses import replace

import numpy as np
import pytest
import realistic_hands_refinement as refinement
import torch
from networks_figures import Bench

from datasets.synthetic import SyntheticSettings
from fitter.config.options import load_config
from fitter.metrics import mask_iou
from fitter.rotations import roma
from init_net.networks.config import HandNetConfig
from init_net.networks.handnet import HandNet
from init_net.samples.crop_samples import Cropper
from init_net.samples.shards import SampleSource, ShardedSamples
from tests.support.rendered_samples import render

COUNT = 4


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    path = tmp_path_factory.mktemp("samples") / "train"
    settings = SyntheticSettings.unoccluded()
    render(path, SampleSource(seed=11, count=COUNT, size=112, settings=settings))
    return ShardedSamples(path)


@pytest.fixture(scope="module")
def bench():
    return Bench(load_config("realistic_hands", []), {}, torch.device("cpu"))


@pytest.fixture(scope="module")
def batch(bench, samples):
    return bench.sample_batch(samples, np.arange(COUNT))


@pytest.fixture(scope="module")
def start(bench, batch, samples):
    """Of a network that knows the truth."""
    truth = Cropper(samples, bench.side, 1.4, None).crop(range(COUNT), (0,)).hands
    hands = refinement.placed(truth, bench.hand, batch.crops)
    return refinement.Start(hands, [mask.astype(np.float32) for mask in batch.masks])


def test_the_true_hand_is_placed_where_it_is(bench, batch, start):
    true, found = batch.hands, start.hands
    for name in ("global_orient", "hand_pose"):
        mine, theirs = (roma.rotvec_to_rotmat(getattr(each, name)) for each in (found, true))
        assert (mine - theirs).abs().max() < 1e-4, name
    # The camera has no perspective: a few per cent of the distance, a few pixels.
    distance = true.transl.norm(dim=-1)
    assert ((found.transl - true.transl).norm(dim=-1) / distance).max() < 0.1
    seen = refinement.silhouettes(bench, bench.hand(found).vertices, batch.intrinsics)
    assert mask_iou(seen, batch.masks).mean() > 0.85


def test_iterations_bring_a_displaced_hand_back_to_its_mask(bench, batch, start):
    moved = replace(start.hands, transl=start.hands.transl + torch.tensor([0.012, 0.0, 0.0]))
    displaced = refinement.Start(moved, start.masks)
    overlap = []
    for count in (0, 3, 15):
        found, rejected = refinement.refined(bench, batch, displaced, count)
        assert not rejected.any()
        overlap.append(mask_iou(found, batch.masks).mean())
    still = refinement.silhouettes(bench, bench.hand(moved).vertices, batch.intrinsics)
    assert overlap[0] == pytest.approx(mask_iou(still, batch.masks).mean())
    assert overlap[0] + 0.01 < overlap[1] < overlap[2]


def test_all_figures_are_said_of_a_network(samples):
    torch.manual_seed(0)
    config = HandNetConfig(
        encoder="mobilenetv3_small_050", input_size=64, hidden=[16], decoder_channels=[8] * 5
    )
    said = refinement.refinement_figures(HandNet(config).eval(), samples)
    assert said["hands"] == COUNT and 0.8 < said["ceiling"] <= 1
    for name in refinement.STARTS:
        iou = said[name]["iou"]
        assert list(iou) == [str(count) for count in refinement.ITERATIONS]
        assert all(0 <= value < said["ceiling"] for value in iou.values())
    assert 0 <= said["rejected_masks"] <= 1
    # The start is the network's, whatever the mask.
    assert said["network"]["iou"]["0"] == said["truth"]["iou"]["0"]
