"""What a mesh network learns, stage by stage: what counts, what moves, what is measured."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from init_net.hand_model_id import HandModelId
from init_net.model_card import WeightsInfo
from init_net.networks.build import build_network
from init_net.samples.config import DatasetConfig
from init_net.samples.hand_pairs import HANDS
from init_net.samples.mixing import Mixture
from init_net.training.config import TrainConfig, load_train_config
from init_net.training.learnable import require_pictures_enough
from init_net.training.log import METRICS
from init_net.training.loop import DivergedError, Watch, train
from init_net.training.loss_weights import MeshWeights, loss_weights
from init_net.training.mesh_evaluation import FREE, MeshErrors, SurfaceErrors
from init_net.training.mesh_task import MeshTask
from init_net.training.mesh_truth import TrueMeshes
from init_net.training.ranks import Ranks
from init_net.training.start import begin_with
from init_net.training.tasks import build_task, require_trainable
from init_net.training.touching_hands import HandPairs
from init_net.weights import save_weights
from tests.support.errors import raises
from tests.support.mesh_runs import LEARNS, NETWORK, STAGES, mesh_config, vae_config
from tests.support.task_cases import CPU

EIGHT = {"joints_regressed", "joints_refined", "joints_agreement", "kl", "shape", "twist",
         "self_distillation", "camera"}  # fmt: skip
"""Losses of eq. 8, and that of the camera head."""


@pytest.fixture(scope="module")
def task(folder) -> MeshTask:
    return build_task(mesh_config(folder), CPU)


# What counts


def test_the_printed_lambdas():
    """4.1, with eq. 3 in eq. 8 multiplied out."""
    weights = loss_weights(load_train_config("wsim_published"), "integrated")
    expected = {"shape": 10, "twist": 10, "joints_regressed": 100, "joints_refined": 100,
                "joints_agreement": 100, "kl": 100 * 0.001, "self_distillation": 100}  # fmt: skip
    assert {n: w for n, w in weights.items() if w and n != "camera"} == pytest.approx(expected)
    refined = loss_weights(load_train_config("wsim_interaction"), "refined")
    assert refined["penetration"] == 10
    assert not loss_weights(load_train_config("wsim_interaction"), "touching")["penetration"]


@pytest.mark.parametrize(
    ("network", "unasked"), [
        ({}, set()),
        ({"vae": None}, {"joints_refined", "joints_agreement", "kl"}),
        ({"twist": "zero"}, {"twist", "twist_error"}),
    ],
)  # fmt: skip
def test_what_a_network_does_not_say_does_not_count(network, unasked):
    every = dict.fromkeys(MeshWeights.model_fields, 1.0)
    config = TrainConfig.model_validate({"network": {**NETWORK, **network}, "losses": every})
    assert {name for name, weight in loss_weights(config).items() if not weight} == unasked


@pytest.mark.parametrize(
    ("trains", "counts"), [
        (["camera"], {"camera", "mask"}),
        (["parameters"], {"shape", "twist", "shape_error", "twist_error", "self_distillation",
                          "parametric_joints", "parametric_vertices", "penetration"}),
        (["vae"], {"joints_refined", "joints_agreement", "kl", "self_distillation",
                   "parametric_joints", "parametric_vertices", "penetration"}),
    ],
)  # fmt: skip
def test_a_loss_counts_where_something_learns_that_it_is_made_of(trains, counts):
    every = dict.fromkeys(MeshWeights.model_fields, 1.0)
    config = TrainConfig.model_validate(
        {"network": NETWORK, "losses": every, "stages": {"one": {"steps": 3, "trains": trains}}}
    )
    assert {name for name, weight in loss_weights(config, "one").items() if weight} == counts


# What moves


def test_a_frozen_vae_stays_bit_for_bit(folder, tmp_path):
    task = build_task(mesh_config(folder), CPU)
    values, figures = [], {}

    def now() -> dict[str, list[torch.Tensor]]:
        parts = task.network.parts.items()
        return {name: [v.clone() for v in part.state_dict().values()] for name, part in parts}

    watch = Watch(
        entered=lambda stage: values.append(now()),
        validated=lambda step, found: figures.__setitem__(task.plan.at(step - 1).name, found),
    )
    train(task, task.config, tmp_path, watch)
    learns = {"integrated": set(LEARNS), "whole": {*LEARNS, "vae"}}
    for stage, (before, after) in zip(STAGES, itertools.pairwise([*values, now()]), strict=True):
        moved = {name for name in before if not all(map(torch.equal, before[name], after[name]))}
        assert moved == learns[stage], stage
    columns = {"pa_mpjpe_mm", "pa_mpvpe_mm", "mpjpe_mm", "mpvpe_mm", "edge_mm", "normal"}
    wanted = columns | {FREE + name for name in columns}
    wanted |= {"posing_pa_mpjpe_mm", "keypoints_2d_px", "hands"}
    assert set(figures["whole"]) == wanted
    assert all(np.isfinite(value) for found in figures.values() for value in found.values())


@pytest.mark.parametrize("step", [2, 4])
def test_a_run_stopped_in_any_stage_goes_on_as_if_it_had_not_been(folder, tmp_path, step, whole):
    """The curve, to the last bit."""
    config = mesh_config(folder)
    for stops in (step, 99):
        done = itertools.count(0 if stops == step else step)
        watch = Watch(stop=lambda done=done, stops=stops: next(done) >= stops)
        train(build_task(config, CPU), config, tmp_path, watch)
    assert curve(tmp_path) == whole


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory) -> list[dict]:
    """The curve of a run that nobody stopped."""
    config, path = mesh_config(folder), tmp_path_factory.mktemp("whole")
    train(build_task(config, CPU), config, path)
    return curve(path)


def curve(path) -> list[dict]:
    lines = [json.loads(line) for line in (path / METRICS).read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "time"} for line in lines]


def test_a_loss_that_is_not_finite_ends_the_run(folder, tmp_path):
    task = build_task(mesh_config(folder), CPU)
    next(task.network.decoder.parameters()).data[:] = torch.nan
    with pytest.raises(DivergedError):
        train(task, task.config, tmp_path)


@pytest.mark.parametrize("decoder", ["spiral", "transformer", "parametric"])
def test_losses_fall_on_a_batch_that_is_seen_again(folder, decoder):
    """Of all that can be compared."""
    more = {"vertices": 100.0, "parametric_joints": 100.0, "parametric_vertices": 100.0,
            "mask": 1.0, "shape_error": 1.0, "twist_error": 1.0}  # fmt: skip
    config = mesh_config(folder, {"decoder": decoder}, stages={}, losses=more)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        task = build_task(config, CPU)
        batch = task.batch(0)
        optimiser = torch.optim.Adam(task.network.parameters(), 3e-3)
        totals = []
        for step in range(16):
            terms = task.losses(batch, step)
            assert set(terms) == EIGHT | set(more)
            assert all(term.shape == (4,) and term.isfinite().all() for term in terms.values())
            total = sum(term.mean() for term in terms.values())
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
            totals.append(float(total.detach()))
    assert np.mean(totals[-3:]) < 0.8 * totals[0]


def test_of_each_hand_alone(task):
    task.network.eval()
    batch = task.batch(0)
    together = task.losses(batch, 0)
    assert set(together) == EIGHT
    for row in range(2):
        for name, term in task.losses(batch[row : row + 1], 0).items():
            torch.testing.assert_close(term[0], together[name][row], rtol=1e-3, atol=1e-4)


def test_rows_of_a_batch_are_those_of_the_whole(task):
    whole, some = task.batch(2), task.batch(2, slice(2, 4))
    assert torch.equal(whole.crops.image[2:], some.crops.image)
    assert torch.equal(whole.draws.code[2:], some.draws.code)
    assert torch.equal(whole.views.rotation[2:], some.views.rotation)


# Hands that touch


def test_a_stage_of_pairs_learns_from_both_hands_of_a_picture(folder, monkeypatch, tmp_path):
    stages = {"touching": {"steps": 2, "losses": {"penetration": 10.0}}}
    samples = build_task(mesh_config(folder), CPU)._train.samples
    pairs = HandPairs(samples, np.array([[0, 3], [2, 1], [4, 5]]), np.zeros(3, np.int64))
    given = pairs, Mixture(np.zeros(3, np.int64), [None], 0)
    monkeypatch.setattr(MeshTask, "_paired", lambda self, stage: given)
    task = build_task(mesh_config(folder, stages=stages), CPU)
    task.network.eval()
    for step in range(2):
        batch = task.batch(step)
        first = task._cropper.samples.read(range(6), ("intrinsics",))["intrinsics"]
        assert len(batch.crops.image) == 4 and len(first) == 6
        terms = task.losses(batch, step)
        assert set(terms) == EIGHT | {"penetration"}
        value = terms["penetration"].detach()
        assert torch.equal(value[::HANDS], value[1::HANDS]) and bool(value.isfinite().all())
        # The same hands, if they stood where the other's wrist is.
        near = replace(batch.views, wrist=batch.views.wrist[[0, 0, 2, 2]])
        closer = task.losses(replace(batch, views=near), step)["penetration"]
        assert closer.isfinite().all()
    with raises("training.odd_batch", file="optimiser.batch_size", found=4, count=4, multiple=8):
        train(task, task.config, tmp_path, ranks=Ranks(0, 4))
    half = task.batch(1, slice(2, 4))
    assert torch.equal(half.crops.image, task.batch(1).crops.image[2:])


def test_pairs_of_sources_come_in_their_shares(folder, monkeypatch):
    """Not by their numbers of pairs: here three against one."""
    few = DatasetConfig(dataset="interhand", folder="few", share=0.9)
    many = DatasetConfig(dataset="interhand", folder="many", share=0.1)
    config = SimpleNamespace(
        sources={"few": few, "many": many},
        shares_of=lambda stage: {"few": 0.9, "many": 0.1},
        stages={},
        optimiser=SimpleNamespace(batch_size=4),
        run=SimpleNamespace(seed=0),
    )
    owner = np.array([0, 1, 1, 1])
    pairs = HandPairs(None, np.arange(8).reshape(4, 2), owner)
    monkeypatch.setattr(HandPairs, "of", lambda sources: pairs)
    _, mixture = MeshTask._paired(
        SimpleNamespace(config=config), SimpleNamespace(number=0, name="touching")
    )
    assert np.bincount(owner[mixture.chosen(0, 1000)]).tolist() == [900, 100]


def test_rendered_samples_have_no_pairs(folder):
    stages = {"touching": {"steps": 2, "losses": {"penetration": 10.0}}}
    with raises("training.unpaired_source", file="stages.touching", source="data"):
        build_task(mesh_config(folder, stages=stages), CPU)


# What is measured


def test_hands_that_are_right_have_no_error_and_one_that_is_off_its_own(task):
    crops = task._held_out.crop(range(4), (0,))
    network = task.network
    truth = TrueMeshes(network.config, len(network.hand.model.v_template), CPU)(crops)
    faces = network.faces.numpy()
    exact = SurfaceErrors.of(truth.joints, truth.vertices, truth, faces)
    for name in ("pa_mpjpe", "mpjpe", "pa_mpvpe", "mpvpe", "edge"):
        assert getattr(exact, name).max() < 1e-3, name
    assert exact.normal.max() < 1e-2
    larger = SurfaceErrors.of(1.1 * truth.joints, 1.1 * truth.vertices, truth, faces)
    assert larger.pa_mpjpe.max() < 1e-2 and larger.mpjpe.min() > 3
    assert larger.pa_mpvpe.max() < 1e-2 and larger.edge.min() > 0.1
    # A tenth of the mean edge.
    a, b = faces[:, 0], faces[:, 1]
    lengths = (truth.vertices[:, a] - truth.vertices[:, b]).norm(dim=-1).mean()
    assert larger.edge.mean() == pytest.approx(100 * float(lengths), rel=0.1)


def test_figures_and_their_scatter(task):
    errors = MeshErrors.of(task.network.eval(), task._held_out)
    figures, scatter = errors.figures(), errors.standard_errors()
    assert figures["hands"] == 6 and figures["pa_mpjpe_mm"] > 1
    column = errors.parametric.pa_mpjpe
    assert scatter["pa_mpjpe_mm"] == pytest.approx(column.std(ddof=1) / 6**0.5)


# Where it begins


def written(path, network, hand: HandModelId | None = None):
    built = build_network(network, 3).eval()
    info = WeightsInfo(network, "train-hands", 1, {}, {})
    save_weights(path, built, info if hand is None else replace(info, hand_model=hand))
    return built


def test_it_begins_with_a_joint_vae(folder, tmp_path):
    file = tmp_path / "vae.safetensors"
    vae = written(file, vae_config().network)
    run = {"device": "cpu", "start": str(file), "start_parts": {"vae": "vae"}}
    config = mesh_config(folder, run=run)
    network = build_network(config.network, 0)
    begin_with(network, config)
    for name, value in vae.state_dict().items():
        half = value.half().to(value)
        torch.testing.assert_close(network.parts["vae"].state_dict()[name], half)


def test_a_joint_vae_of_another_hand_is_refused(folder, tmp_path):
    file = tmp_path / "vae.safetensors"
    other = HandModelId("mano", "0" * 64)
    written(file, vae_config().network, other)
    run = {"device": "cpu", "start": str(file), "start_parts": {"vae": "vae"}}
    config = mesh_config(folder, run=run)
    with raises("weights.other_hand_model", file=file, found=other):
        begin_with(build_network(config.network, 0), config)


def test_a_joint_vae_of_another_size_is_refused(folder, tmp_path):
    file = tmp_path / "vae.safetensors"
    written(file, vae_config(network={"kind": "joint_vae", "latent": 4}).network)
    run = {"device": "cpu", "start": str(file), "start_parts": {"vae": "vae"}}
    config = mesh_config(folder, run=run)
    with raises("training.other_start_part", file=file, part="vae"):
        begin_with(build_network(config.network, 0), config)


def test_a_mano_file_that_is_not_there(folder):
    with raises("model.unknown"):
        require_trainable(mesh_config(folder, {"hand_model": "MANO_RIGHT.pkl"}))


def test_more_shapes_than_the_hand_has(folder):
    with raises("network.few_components", file="network.betas", found=99):
        require_trainable(mesh_config(folder, {"betas": 99}))


def test_pictures_alone_teach_no_mesh(folder):
    with raises("training.needs_more", network="mesh_net"):
        require_pictures_enough(mesh_config(folder), folder)
