"""What an autoencoder learns, stage by stage: what counts, what moves, what is measured."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fitter.energies import pixel_l2
from init_net.autoencoder_records import AutoencoderPredictions
from init_net.hand_decoder import HandDecoder
from init_net.networks.autoencoder import HandAutoencoder
from init_net.networks.config import AutoencoderConfig
from init_net.training.autoencoder_evaluation import AutoencoderErrors, autoencoder_inputs
from init_net.training.autoencoder_task import AutoencoderTask
from init_net.training.autoencoder_terms import AutoencoderTerms, Comparison
from init_net.training.config import TrainConfig, load_train_config
from init_net.training.log import METRICS
from init_net.training.loop import DivergedError, Watch, train
from init_net.training.loss_weights import AutoencoderWeights, loss_weights
from init_net.training.pictures import CAPTION
from init_net.training.supervision_config import SupervisionConfig
from init_net.training.tasks import build_task
from tests.support.autoencoder_crops import random_crops
from tests.support.autoencoder_runs import NETWORK, OF_S2HAND, STAGES, autoencoder_config
from tests.support.errors import raises
from tests.support.task_cases import CPU

LEARNS = {
    "keypoints_2d": {"estimator"},
    "hand": {"encoder", "geometry", "texture"},
    "together": {"encoder", "geometry", "texture", "estimator"},
}
"""S2HAND 4.2."""


@pytest.fixture(scope="module")
def task(folder) -> AutoencoderTask:
    return build_task(autoencoder_config(folder), CPU)


# What counts


def test_losses_of_a_stage_are_of_what_it_has():
    config = load_train_config("s2hand")
    counts = {
        stage: {name for name, weight in loss_weights(config, stage).items() if weight}
        for stage in config.stages
    }
    hand = set(OF_S2HAND) - {"estimator", "consistency"}
    assert counts == {"keypoints_2d": {"estimator"}, "hand": hand, "together": set(OF_S2HAND)}


@pytest.mark.parametrize(
    ("network", "unasked"), [
        ({"estimator": None}, {"estimator", "consistency", "appearance_l2"}),
        ({"appearance": "components"}, set()),
        ({"appearance": "none"}, {"texture", "appearance_l2"}),
        ({"appearance": "none", "light": "even"},
         {"pixel", "ssim", "rgb", "texture", "appearance_l2"}),
        ({}, {"appearance_l2"}),
    ],
)  # fmt: skip
def test_what_a_network_does_not_say_does_not_count(network, unasked):
    every = dict.fromkeys(AutoencoderWeights.model_fields, 1.0)
    config = TrainConfig.model_validate({"network": {**NETWORK, **network}, "losses": every})
    assert {name for name, weight in loss_weights(config).items() if not weight} == unasked


def test_pictures_are_learned_from_by_the_hand_where_its_colours_are_frozen():
    every = dict.fromkeys(AutoencoderWeights.model_fields, 1.0)
    frozen = {"steps": 3, "trains": ["geometry"], "without": ["estimator"]}
    config = TrainConfig.model_validate(
        {"network": NETWORK, "losses": every, "stages": {"hand": frozen}}
    )
    counts = loss_weights(config, "hand")
    assert all(counts[name] for name in ("pixel", "ssim", "rgb", "location"))
    assert not any(counts[name] for name in ("texture", "appearance_l2", "consistency"))


def test_a_stage_that_has_nothing_to_lose():
    only = {**dict.fromkeys(AutoencoderWeights.model_fields, 0.0), "consistency": 1.0}
    stages = {"hand": {"steps": 3, "without": ["estimator"]}}
    config = TrainConfig.model_validate({"network": NETWORK, "losses": only, "stages": stages})
    with raises("training.idle_stage", file="stages.hand", losses="consistency"):
        loss_weights(config, "hand")


@pytest.mark.parametrize("kind", ["lifter", "handnet", "segmentation"])
def test_other_networks_are_not_told_what_to_be_supervised_by(kind):
    with pytest.raises(ValidationError, match=f"of the kind {kind}, found one"):
        TrainConfig.model_validate({"network": {"kind": kind}, "supervision": {}})
    given = TrainConfig.model_validate({"network": NETWORK})
    assert given.supervision is None and given.supervised == SupervisionConfig()


def test_bones_may_have_confidence_of_their_own():
    assert SupervisionConfig().of_bones
    assert not SupervisionConfig(confidence=False).of_bones
    assert SupervisionConfig(confidence=False, bone_confidence=True).of_bones


# What moves


def test_what_a_stage_leaves_out_or_freezes_stays_bit_for_bit(folder, tmp_path):
    task = build_task(autoencoder_config(folder), CPU)
    values, figures = [], {}

    def now() -> dict[str, list[torch.Tensor]]:
        parts = task.network.parts.items()
        return {name: [v.clone() for v in part.state_dict().values()] for name, part in parts}

    watch = Watch(
        entered=lambda stage: values.append(now()),
        validated=lambda step, found: figures.__setitem__(task.plan.at(step - 1).name, found),
    )
    train(task, task.config, tmp_path, watch)
    for stage, (before, after) in zip(STAGES, itertools.pairwise([*values, now()]), strict=True):
        moved = {name for name in before if not all(map(torch.equal, before[name], after[name]))}
        assert moved == LEARNS[stage], stage
    assert {"estimated_2d_px", "detected_2d_px"} <= set(figures["keypoints_2d"])
    assert "pa_mpjpe_mm" not in figures["keypoints_2d"]
    assert "pa_mpjpe_mm" in figures["hand"] and "estimated_2d_px" not in figures["hand"]
    assert {"pa_mpvpe_mm", "auc", "auc_v", "f_5", "f_15", "camera_mpjpe_mm", "mpjpe_mm",
            "keypoints_2d_px", "estimated_2d_px"} <= set(figures["together"])  # fmt: skip
    assert all(np.isfinite(value) for found in figures.values() for value in found.values())


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_a_run_stopped_in_any_stage_goes_on_as_if_it_had_not_been(folder, tmp_path, step, whole):
    """The curve, to the last bit."""
    config = autoencoder_config(folder)
    for stops in (step, 99):
        done = itertools.count(0 if stops == step else step)
        watch = Watch(stop=lambda done=done, stops=stops: next(done) >= stops)
        train(build_task(config, CPU), config, tmp_path, watch)
    assert curve(tmp_path) == whole


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory) -> list[dict]:
    """The curve of a run that nobody stopped."""
    config, path = autoencoder_config(folder), tmp_path_factory.mktemp("whole")
    train(build_task(config, CPU), config, path)
    return curve(path)


def curve(path) -> list[dict]:
    lines = [json.loads(line) for line in (path / METRICS).read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "time"} for line in lines]


def test_a_loss_that_is_not_finite_ends_the_run(folder, tmp_path):
    task = build_task(autoencoder_config(folder), CPU)
    task.network.geometry[-1].bias.data[3] = torch.nan
    with pytest.raises(DivergedError):
        train(task, task.config, tmp_path)


def test_losses_fall_on_a_batch_that_is_seen_again(folder):
    """Of all that can be compared, fully supervised."""
    config = autoencoder_config(
        folder, stages={}, losses={**OF_S2HAND, "mask": 1.0, "depth": 1.0, "joints_3d_norm": 0.1,
                                   "joints_3d": 0.1, "rgb": 0.1}
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        task = build_task(config, CPU)
        batch = task.batch(0)
        optimiser = torch.optim.Adam(task.network.parameters(), 2e-3)
        totals = []
        for step in range(15):
            terms = task.losses(batch, step)
            assert all(term.shape == (4,) and term.isfinite().all() for term in terms.values())
            total = sum(term.mean() for term in terms.values())
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
            totals.append(float(total.detach()))
    assert np.mean(totals[-3:]) < 0.8 * totals[0]


def test_of_each_hand_alone(task):
    task.network.eval()
    step = task.plan.stages[-1].first
    batch = task.batch(step)
    together = task.losses(batch, step)
    for row in range(2):
        for name, term in task.losses(batch[row : row + 1], step).items():
            torch.testing.assert_close(term[0], together[name][row], rtol=1e-3, atol=1e-4)


# Gradients through the renderer into the encoder


@pytest.mark.parametrize(
    ("config", "names"), [
        ({}, ("ssim", "mask")),
        ({"appearance": "components", "light": "even", "camera": "orthographic"},
         ("rgb", "image_silhouette", "mask")),
    ], ids=["S2HAND", "Zhao"],
)  # fmt: skip
def test_gradients_of_pictures_reach_the_encoder(config, names):
    """Beside central differences along random directions of its last layer."""
    options = AutoencoderConfig.model_validate({**NETWORK, "estimator": None, **config})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = HandAutoencoder(options).double().eval()
        # At first the last layers hardly see what the encoder says.
        for part in (network.geometry, network.texture):
            torch.nn.init.normal_(part[-1].weight, std=0.02)
    terms = AutoencoderTerms(HandDecoder(options).double(), SupervisionConfig())
    batch = random_crops(2, 32)
    inputs = autoencoder_inputs(batch)
    *_, last = [p for p in network.encoder.parameters() if p.ndim > 1]
    skin = network.texture[-1].weight

    def loss(name: str) -> torch.Tensor:
        return terms(network(inputs), batch, [name])[name].sum()

    with torch.no_grad():
        pictures = Comparison(terms, network(inputs), batch, frozenset(["pixel"])).pictures
    held = pictures.silhouette * pictures.depth.isfinite()

    def held_pixel() -> torch.Tensor:
        """Eq. 6 over the S^re of before, which its gradient takes as given."""
        now = Comparison(terms, network(inputs), batch, frozenset(["pixel"]))
        sure = now.targets.confidence.sum(1)
        return pixel_l2(now.photograph, now.pictures.foreground, held, sure).sum()

    for name, weight in [(each, last) for each in names] + [(names[0], skin)]:
        assert right_slopes(partial(loss, name), weight) >= 3, name
    for weight in (last, skin):
        found = torch.autograd.grad(loss("pixel"), weight)[0]
        torch.testing.assert_close(found, torch.autograd.grad(held_pixel(), weight)[0])
        assert right_slopes(held_pixel, weight) >= 3


def right_slopes(loss: Callable[[], torch.Tensor], weight: torch.Tensor) -> int:
    """Along how many of 4 random directions the gradient is the central difference."""
    found = torch.autograd.grad(loss(), weight)[0]
    assert found.abs().max() > 0
    right = 0
    for seed in range(4):
        random = torch.Generator().manual_seed(seed)
        direction = torch.randn(weight.shape, generator=random, dtype=torch.float64)
        direction *= 1e-6 / direction.abs().max()
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                weight += sign * direction
                ends.append(float(loss()))
                weight -= sign * direction
        expected = (ends[0] - ends[1]) / 2
        slope = float((found * direction).sum())
        # Where a pixel changes its face in between, no derivative knows; that is seldom.
        right += abs(slope - expected) <= 2e-2 * abs(expected) + 1e-12
    return right


# What is measured


def test_a_network_that_is_right_has_no_error(task):
    """Its codes are those of the truth as far as they can be: it is measured against itself."""
    network = task.network.eval()
    cropper = task._held_out
    crops = cropper.crop(range(len(cropper.samples)), (0,))
    with torch.no_grad():
        code = network(autoencoder_inputs(crops)).code
    decoded = HandDecoder(network.config)(code, crops.focal, crops.projection)
    marks = crops.is_marks[:, None, None]
    points = torch.where(marks, decoded.keypoints, decoded.joints)
    true = replace(
        crops, points=points - points[:, :1], wrist=points[:, 0],
        positions=torch.where(marks, decoded.keypoints_2d, decoded.joints_2d),
    )  # fmt: skip
    said = AutoencoderPredictions(code, true.positions)

    class Says(torch.nn.Module):
        config = network.config

        def __init__(self):
            super().__init__()
            self.nothing = torch.nn.Parameter(torch.zeros(1))

        def forward(self, inputs, absent):
            return said

    class Given:
        samples = cropper.samples

        def crop(self, indices, seed):
            return true

    errors = AutoencoderErrors.of(Says(), Given())
    figures = errors.figures()
    for name in ("pa_mpjpe_mm", "mpjpe_mm", "camera_mpjpe_mm", "keypoints_2d_px",
                 "estimated_2d_px"):  # fmt: skip
        assert figures[name] < 1e-2, name
    assert figures["auc"] > 0.98 and figures["camera_auc"] > 0.98
    # Ten millimetres too far away: nothing after an alignment, ten before.
    further = replace(true, wrist=true.wrist + torch.tensor([0, 0, 0.01]))
    Given.crop = lambda self, indices, seed: further
    moved = AutoencoderErrors.of(Says(), Given()).figures()
    assert moved["pa_mpjpe_mm"] < 1e-2 and abs(moved["camera_mpjpe_mm"] - 10) < 1e-2


def test_pictures_without_a_truth_in_space_are_measured_against_the_detector(task):
    network = task.network.eval()
    cropper = task._held_out
    crops = cropper.crop(range(len(cropper.samples)), (0,))
    lost = {
        name: torch.full_like(getattr(crops, name), torch.nan)
        for name in ("points", "positions", "rotations", "betas", "wrist")
    }

    class Given:
        samples = cropper.samples

        def crop(self, indices, seed):
            return replace(crops, **lost)

    figures = AutoencoderErrors.of(network, Given()).figures()
    assert set(figures) == {"from_detected_px", "hands"} and figures["from_detected_px"] > 0


def test_what_is_shown(task):
    """Photographs, hands as they are drawn, and keypoints; without a hand, two columns; above each
    of them what it is."""
    network = task.network.eval()
    with torch.no_grad():
        first, _, last = (task.pictures(stage) for stage in task.plan.stages)
    height = CAPTION + 6 * 224
    assert first.shape == (height, 2 * 224, 3) and last.shape == (height, 3 * 224, 3)
    captions = np.split(last[:CAPTION], 3, 1)
    assert all((strip < 100).any() for strip in captions), "what each column is"
    assert all((a != b).any() for a, b in itertools.pairwise([*captions, captions[0]]))
    drawn = last[CAPTION:, 224:448]
    assert 0.1 < (drawn.reshape(-1, 3).max(1) > 20).mean() < 0.9, "a hand before black"
    assert not network.training
