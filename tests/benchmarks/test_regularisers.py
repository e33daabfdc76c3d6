"""The benchmark of Zhao's regularisers: collisions are counted, arms are what they say."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import render_and_compare_regularisers as regularisers
import torch
from doc_regularisers import WEIGHTS
from doc_regularisers import regularisers as page_table
from figure_regularisers import draw
from hand_collisions import Collisions
from measure_nimble import prior_hands
from render_and_compare_regularisers import WeightPlan, wanted

from fitter.hand_models import HandModel, Nimble, load_hand_model
from fitter.hand_models.nimble import load_nimble
from fitter.records import HandParams
from tests.support.nimble_files import nimble_folder


def fists(model: HandModel, bends: list[float]) -> HandParams:
    """Hands whose fingers are bent at every joint by so many times the mean pose's way."""
    count = len(bends)
    pose = model.pose_from_pca(torch.zeros(count, 1).to(model.v_template), flat_hand_mean=False)
    pose = pose * torch.tensor(bends).to(pose)[:, None, None]
    zero = torch.zeros(count, 3).to(pose)
    return HandParams(zero, pose, pose.new_zeros(count, model.shapedirs.shape[-1]), zero)


class TestCollisions:
    def test_fingers_that_go_further_than_joints_do_reach_into_each_other(self):
        model = load_hand_model(dtype=torch.float64)
        natural = prior_hands(model, 60)
        found = Collisions.of(model, natural)
        wild = Collisions.of(model, replace(natural, hand_pose=2.5 * natural.hand_pose))
        assert (wild.fingers > 0.005).sum() > 2 * (found.fingers > 0.005).sum() + 5
        assert wild.vertices is None and wild.depth is None
        figures = wild.figures()
        assert set(figures) == {"fingers_share", "fingers_mm"}
        assert figures["fingers_share"] == pytest.approx((wild.fingers > 0).mean())
        assert figures["fingers_mm"] == pytest.approx(1e3 * wild.fingers[wild.fingers > 0].mean())

    def test_skin_in_muscles_is_that_of_the_layer(self):
        folder = nimble_folder()
        model, layer = HandModel(load_nimble(folder)), Nimble.load(folder, textures=False)
        params = prior_hands(model, 20).map(torch.Tensor.float)
        found = Collisions.of(model, params, layer)
        depth = layer(params).depth
        assert found.vertices is not None and found.depth is not None and depth is not None
        assert found.vertices.tolist() == (depth > 0).sum(1).tolist()
        assert 0 < found.figures()["muscles_share"] <= 1 and found.figures()["muscles_mm"] > 0
        still = Collisions.of(model, fists(model, [0.0]), layer).figures()
        assert still["muscles_vertices"] < found.figures()["muscles_vertices"]

    def test_none(self):
        model = load_hand_model()
        assert Collisions.of(model, fists(model, [0.0])).figures() == {
            "fingers_share": 0.0, "fingers_mm": 0.0,
        }  # fmt: skip


@pytest.fixture
def plan(tmp_path):
    return WeightPlan(
        samples=tmp_path / "s", count=100, validation=tmp_path / "v", work=tmp_path / "w",
        held_out=10, nimble=nimble_folder(), start=None,
    )  # fmt: skip


class TestArms:
    def test_they_differ_in_the_weight_alone(self, plan):
        configs = [arm.config(plan) for arm in wanted(["nimble"], 12, [0])]
        assert sorted(config.losses["pose_l2"] for config in configs) == list(WEIGHTS)
        for config in configs:
            assert config.losses["shape_l2"] == config.losses["pose_l2"]
            assert config.losses["joints_2d"] > 0 and config.network.betas == 20
            assert config.network.hand_model == str(nimble_folder())
            alike = config.model_copy(update={"losses": {}})
            assert alike == configs[0].model_copy(update={"losses": {}})

    def test_names_tell_them_apart(self, plan):
        arms = list(wanted(["nimble", "open_hand"], 12, [0, 1]))
        assert len({str(arm) for arm in arms}) == len(arms) == 4 * len(WEIGHTS)

    def test_what_is_there_is_not_done_again(self, plan, tmp_path, monkeypatch):
        (arm, *_) = wanted(["nimble"], 12, [0])
        (tmp_path / f"{arm}.json").write_text("{}")
        monkeypatch.setattr(regularisers, "trained", None)
        assert regularisers.measured(arm, plan, tmp_path)


def test_the_page_shows_what_is_there(tmp_path):
    said = {
        "steps": 9,
        "seed": 0,
        "pa_mpjpe_mm": 12.34,
        "keypoints_2d_px": 3.0,
        "fingers_share": 0.25,
        "fingers_mm": 1.5,
        "pose_rms": 0.5,
        "shape_rms": 2.0,
    }
    muscles = {"muscles_share": 0.5, "muscles_vertices": 3.0, "muscles_mm": 4.0}
    for model, more in (("nimble", muscles), ("open_hand", {})):
        for weight in WEIGHTS[:2]:
            file = tmp_path / f"{model}-{weight:g}-9-0.json"
            file.write_text(json.dumps({"model": model, "weight": weight, **said, **more}))
    lines = page_table(tmp_path).splitlines()
    assert len(lines) == 6 and "| 12.3 |" in lines[2] and "| 50 |" in lines[2]
    assert lines[4].count("none") == 3
    draw(tmp_path / "f.png", tmp_path)
    assert (tmp_path / "f.png").stat().st_size > 1000
