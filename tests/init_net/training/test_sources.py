"""Networks learn from data sets and pseudo-labels: what is known counts as far as it is sure."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from init_net.samples import conversion
from init_net.samples.config import DatasetConfig
from init_net.training import sources
from init_net.training.config import TrainConfig
from init_net.training.log import METRICS
from init_net.training.loop import Watch, train
from init_net.training.tasks import build_task, require_trainable
from tests.support.annotated_pictures import (
    Pictures,
    in_the_picture_alone,
    without_parameters,
)
from tests.support.errors import raises
from tests.support.task_cases import CPU, SIZE, configured

SURE = np.linspace(0.2, 1, 21)


def unsure(row, hand):
    """A pseudo-label: the later, the less sure."""
    return replace(hand, score=1 - row / 10, confidence=SURE)


@pytest.fixture
def learning(folder, tmp_path, monkeypatch):
    """Makes a configuration that learns from pictures as well, half of each batch."""

    def make(images: Pictures, network: str = "handnet", **more) -> TrainConfig:
        conversion._opened.cache_clear()
        sources.annotated_source.cache_clear()
        monkeypatch.setattr(conversion, "open_dataset", lambda *which: images)
        given = {"dataset": "pictures", "folder": "here", "size": SIZE, "share": 0.5,
                 "samples": str(tmp_path / "kept"), **more.pop("given", {})}  # fmt: skip
        return configured(folder, network, datasets={"B": given}, **more)

    return make


class TestRefused:
    @pytest.mark.parametrize(
        ("network", "images", "lacking"),
        [
            ("segmentation", {"masks": False}, "masks"),
            ("lifter", {"intrinsics": False}, "keypoints in 3D in the camera, and K"),
            ("lifter", {"change": in_the_picture_alone}, "keypoints in 3D in the camera, and K"),
            (
                "lifter",
                {"change": lambda row, hand: replace(hand, is_root_relative=True)},
                "keypoints in 3D in the camera, and K",
            ),
            (
                "lifter",
                {"change": without_parameters, "definition": "freihand"},
                "keypoints as the detector marks them",
            ),
            (
                "handnet",
                {"change": lambda row, hand: replace(hand, keypoints_2d=np.full((21, 2), np.nan))},
                "keypoints in 2D, which say where a hand is",
            ),
        ],
    )
    def test_a_data_set_without_what_losses_compare(self, learning, network, images, lacking):
        config = learning(Pictures(**images), network)
        facts = {"file": "datasets.B (pictures)", "network": network, "expected": lacking}
        with raises("training.lacks", **facts):
            require_trainable(config)

    def test_positions_that_no_loss_compares(self, learning):
        nothing = {"mano_joints_2d": 0.0, "mano_camera": 0.0, "geometric_bone": 0.0}
        config = learning(Pictures(in_the_picture_alone), losses=nothing)
        with raises("training.lacks", network="handnet"):
            require_trainable(config)
        assert require_trainable(learning(Pictures(in_the_picture_alone)))

    def test_figures_of_what_is_not_known(self, learning):
        config = learning(Pictures(in_the_picture_alone))
        held_out = {"V": config.datasets["B"].model_copy(update={"split": "other"})}
        config = config.model_copy(update={"validation_datasets": held_out, "datasets": {}})
        with raises("training.lacks", file="validation_datasets.V (pictures)"):
            require_trainable(config)

    @pytest.mark.parametrize(
        ("network", "images", "lost"),
        [
            ("handnet", {}, None),
            ("handnet", {"change": without_parameters}, "rotations and shape"),
            (
                "handnet",
                {"change": in_the_picture_alone},
                "keypoints in 3D nor rotations and shape",
            ),
            ("lifter", {"change": without_parameters}, "rotations and shape"),
            ("segmentation", {"change": in_the_picture_alone}, None),
        ],
    )
    def test_what_is_not_learned_is_said(self, learning, network, images, lost):
        said = require_trainable(learning(Pictures(**images), network))
        assert said == ({} if lost is None else {"datasets.B": lost})

    @pytest.mark.parametrize(
        ("share", "more", "wanted"),
        [
            (1.0, {}, "a share left"),
            (0.5, {"data": {"share": 0.6}}, "add up to 1"),
            (0.5, {"data": {"share": 0.0}}, "add up to 1"),
            (0.0, {"data": {"share": 0.0}}, "whose share is not 0"),
        ],
    )
    def test_shares(self, share, more, wanted):
        given = {"dataset": "store", "folder": "x", "share": share}
        with pytest.raises(ValidationError, match=wanted):
            TrainConfig.model_validate(
                {"network": {"kind": "handnet"}, "datasets": {"B": given}, **more}
            )

    def test_what_is_learned_from_is_not_held_out(self):
        given = {"dataset": "store", "folder": "x"}
        with pytest.raises(ValidationError, match="other pictures than datasets"):
            TrainConfig.model_validate(
                {"network": {"kind": "handnet"}, "datasets": {"B": given},
                 "validation_datasets": {"V": given | {"folder": "./x"}}}
            )  # fmt: skip

    def test_a_portion_that_has_no_scene_in_common_is_held_out(self):
        def config(learned, held_out):
            given = {"dataset": "store", "folder": "x"}
            return TrainConfig.model_validate(
                {"network": {"kind": "handnet"}, "datasets": {"B": given | {"portion": learned}},
                 "validation_datasets": {"V": given | {"portion": held_out}}}
            )  # fmt: skip

        assert config([0.0, 0.7], [0.7, 1.0]).datasets["B"].portion == (0.0, 0.7)
        for learned, held_out in (([0.0, 0.7], [0.6, 1.0]), (None, [0.7, 1.0]), ([0.0, 0.7], None)):
            with pytest.raises(ValidationError, match="other pictures than datasets"):
                config(learned, held_out)
        with pytest.raises(ValidationError, match="a portion from one share to a larger one"):
            config([0.7, 0.7], [0.8, 1.0])

    def test_unknown_options(self):
        with pytest.raises(ValidationError, match="least"):
            DatasetConfig.model_validate({"dataset": "store", "folder": "x", "least": 0.5})


class TestHandNet:
    def test_half_of_a_batch_is_of_the_pictures(self, learning):
        config = learning(Pictures(without_parameters, masks=False), batch_size=8)
        batch = build_task(config, CPU).batch(0)
        bare = batch.rotations.isnan().any(dim=(1, 2, 3))
        assert int(bare.sum()) == 4
        assert torch.equal(bare, ~batch.has_mask) and batch.is_marks.all()
        assert batch.points.isfinite().all() and batch.positions.isfinite().all()

    @pytest.mark.parametrize("change", [without_parameters, in_the_picture_alone])
    @pytest.mark.parametrize("definition", ["mediapipe", "freihand"])
    def test_what_is_not_known_costs_and_moves_nothing(self, learning, change, definition):
        config = learning(
            Pictures(change, definition=definition, intrinsics=change is without_parameters),
            batch_size=8,
        )
        task = build_task(config, CPU)
        batch = task.batch(0)
        bare = batch.rotations.isnan().any(dim=(1, 2, 3))
        assert 0 < int(bare.sum()) < 8
        terms = task.losses(batch, 0)
        for name in ("mano_shape", "global_rotation", "joint_rotations"):
            assert not terms[name][bare].any() and terms[name][~bare].all()
        is_flat = change is in_the_picture_alone
        assert (terms["geometric_joints_3d"][bare] == 0).all() == is_flat
        assert terms["mano_joints_2d"].all()
        torch.stack([term[bare].sum() for term in terms.values()]).sum().backward()
        moved = [p.grad for p in task.network.parameters() if p.grad is not None]
        assert all(grad.isfinite().all() for grad in moved) and any(g.any() for g in moved)

    def test_joints_are_compared_with_joints(self, learning):
        """A network that says the truth has no error whichever definition the label has."""
        from fitter.hand_models import KeypointDefinition, load_hand_model
        from fitter.hand_models.keypoint_model import pose_keypoints_from_rotations
        from init_net.posing import labelled_points

        task = build_task(learning(Pictures(), batch_size=8), CPU)
        hands = task.batch(0).hands
        found = labelled_points(
            task._terms._marks, task._terms._joints, hands, torch.arange(8) % 2 == 0
        )
        model = load_hand_model(children=True)
        joints = KeypointDefinition.of(model, "mano").reduced.to(torch.float32)
        for row in range(8):
            reduced = task._terms._marks if row % 2 == 0 else joints
            points = pose_keypoints_from_rotations(reduced, hands.rotations, hands.betas)[1][row]
            torch.testing.assert_close(found.points[row], points - points[0])
        # Wrists of the two are 13 mm apart, and the camera sees the marked one.
        apart = (found.positions[:, 0] - hands.camera[:, 1:]).norm(dim=1)
        assert (apart[::2] < 1e-6).all() and (apart[1::2] > 1e-3).all()

    def test_hands_and_keypoints_count_as_far_as_they_are_sure(self, learning):
        task = build_task(learning(Pictures(unsure), batch_size=64), CPU)
        batch = task.batch(0)
        rendered = torch.isclose(batch.keypoint_weight, torch.ones(())).all(1)
        assert int(rendered.sum()) == 32
        sure = torch.from_numpy(SURE / SURE.mean()).float()
        torch.testing.assert_close(
            batch.keypoint_weight[~rendered], sure.expand(32, 21), rtol=1e-5, atol=0
        )
        wanted = {round((1 - row / 10) / 0.75, 5) for row in range(6)}
        assert {round(w, 5) for w in batch.weight[~rendered].tolist()} == wanted
        alike = learning(Pictures(unsure), batch_size=64, given={"confidence": False})
        assert (build_task(alike, CPU).batch(0).weight == 1).all()
        # Each term of a hand is as much larger as the hand counts more.
        doubled = replace(batch, weight=2 * batch.weight)
        for name, term in task.losses(batch, 0).items():
            torch.testing.assert_close(task.losses(doubled, 0)[name], 2 * term, msg=name)

    def test_the_unsure_are_left_out(self, learning):
        task = build_task(learning(Pictures(unsure), given={"least_score": 0.75}), CPU)
        assert len(task._cropper.samples) == 14 + 3

    def test_a_run_that_was_stopped_has_the_curve_that_it_would_have_had(self, learning, tmp_path):
        optimiser = {"steps": 6, "warmup_steps": 1, "batch_size": 4}
        config = learning(Pictures(unsure)).model_copy(deep=True)
        config = TrainConfig.model_validate(
            {**config.resolved(), "optimiser": optimiser,
             "run": {"device": "cpu", "log_every": 1, "validate_every": 6, "loaders": 2}}
        )  # fmt: skip
        for name in ("whole", "parts"):
            (tmp_path / name).mkdir()
        train(build_task(config, CPU), config, tmp_path / "whole")
        steps = iter(range(100))
        train(build_task(config, CPU), config, tmp_path / "parts", Watch(lambda: next(steps) == 3))
        ended = train(build_task(config, CPU), config, tmp_path / "parts")
        assert (ended.first, ended.step) == (3, 6)
        whole, parts = (
            [json.loads(line) for line in (tmp_path / name / METRICS).read_text().splitlines()]
            for name in ("whole", "parts")
        )
        assert whole == parts and len(whole) == 7

    def test_figures_on_pictures_whose_meshes_nobody_knows(self, learning):
        config = learning(Pictures(without_parameters))
        held_out = config.datasets["B"].model_copy(update={"split": "other"})
        config = config.model_copy(update={"validation_datasets": {"V": held_out}, "datasets": {}})
        task = build_task(config, CPU)
        figures = task.validate(task.plan.at(0))
        assert figures["hands"] == 6 and figures["mpjpe_mm"] > figures["pa_mpjpe_mm"] > 0
        assert "pa_mpvpe_mm" not in figures and all(map(np.isfinite, figures.values()))


class TestPortions:
    def test_pictures_of_one_scene_are_learned_from_or_held_out_together(self, learning):
        images = Pictures()
        images.scene = lambda place: place % 3
        config = learning(images)
        source = config.datasets["B"].model_copy(update={"portion": (0.0, 0.7)})
        rest = source.model_copy(update={"portion": (0.7, 1.0)})
        sources.prepare(source)
        chosen, others = (sources.learned_from([each]).samples.chosen for each in (source, rest))
        assert sorted([*chosen, *others]) == list(range(6))
        assert len(chosen) == 4 and len({int(number) % 3 for number in chosen}) == 2

    def test_parameters_are_made_of_the_keypoints_where_they_are_asked_for(
        self, learning, tmp_path
    ):
        images = Pictures(without_parameters)
        none = build_task(learning(images), CPU).batch(0)
        config = learning(images, given={"parameters": "fitted"})
        assert require_trainable(config) == {}
        found = build_task(config, CPU).batch(0)
        pictures = none.rotations.isnan().flatten(1).any(1)
        assert pictures.sum() == 2, "half of the batch"
        assert found.rotations.isfinite().all() and found.betas.isfinite().all()
        assert torch.equal(found.rotations[~pictures], none.rotations[~pictures])
        whole = learning(Pictures(), given={"samples": str(tmp_path / "whole")})
        true = build_task(whole, CPU).batch(0).rotations[pictures]
        turned = (found.rotations[pictures] - true).square().sum((2, 3)) / 2
        assert turned[:, 0].max() < 0.1, "radians squared, of the wrist"


class TestLifter:
    def test_sightings_of_pictures_count_as_far_as_they_are_sure(self, learning):
        images = Pictures(lambda row, hand: unsure(row, without_parameters(row, hand)))
        task = build_task(learning(images, "lifter", batch_size=40), CPU)
        batch = task.batch(0)
        bare = batch.rotations.isnan().any(dim=(1, 2, 3))
        # Half of the four in five that are sightings.
        assert int(bare.sum()) == 16
        assert (batch.keypoint_weight[~bare] == 1).all() and (batch.weight[~bare] == 1).all()
        assert len(batch.weight[bare].unique()) > 1
        terms = task.losses(batch, 0)
        assert not terms["rotation"][bare].any() and not terms["shape"][bare].any()
        assert terms["keypoints"].isfinite().all() and terms["size"].isfinite().all()


class TestSegmentation:
    def test_a_hand_without_a_mask_costs_nothing(self, learning):
        class Some(Pictures):
            def masks(self, place):
                return super().masks(place) if place % 2 == 0 else None

        task = build_task(learning(Some(), "segmentation", batch_size=24), CPU)
        batch = task.batch(0)
        terms = task.losses(batch, 0)
        assert 0 < int((~batch.has_mask).sum()) < 12
        for term in terms.values():
            assert torch.equal(term > 0, batch.has_mask)


def test_the_samples_have_a_folder_of_their_own_by_default():
    first, second = (
        DatasetConfig(dataset="store", folder="a.zarr", split=split).samples_folder
        for split in ("x", "y")
    )
    assert first != second and first.parent == Path("data")
