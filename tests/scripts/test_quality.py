"""The scripts that fit the quality model: scenes, likelihood, calibration, figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from quality_figures import JudgedSet, average_precision, figures, reliability, roc_auc
from quality_hands import HAND, PHANTOM, MeasuredHands
from quality_scenes import Scene, _photographed, read_scenes, scene_file, write_scenes
from quality_training import (
    TrainingOptions,
    _negative_log_likelihood,
    calibrated,
    folds,
    train,
)

from fitter.quality.features import FEATURES
from fitter.quality.model import logit


def measured(count: int, seed: int = 0) -> MeasuredHands:
    """Hands whose log error follows the first known feature; one in six is none."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, len(FEATURES)))
    error = np.exp(
        2.2 + 0.5 * features[:, FEATURES.index("residual")] + rng.logistic(0, 0.1, count)
    )
    kind = np.where(np.arange(count) % 6 == 5, PHANTOM, HAND).astype(np.uint8)
    features[kind == PHANTOM, FEATURES.index("aspect")] += 6
    features[:, FEATURES.index("networks_apart")] = np.nan  # as long as there is one network
    return MeasuredHands(
        scene=np.arange(count),
        mode=np.zeros(count, np.uint8),
        kind=kind,
        features=features,
        error_mm=np.where(kind == HAND, error, np.nan),
        states=np.zeros((count, 21), np.uint8),
        visibility=np.ones((count, 21), np.float32),
    )


QUICK = TrainingOptions(members=2, units=6, steps=300, rate=0.03)


def test_errors_are_learned_and_phantoms_refused() -> None:
    hands = measured(600)
    model = train(hands, QUICK)
    found = figures(JudgedSet(other := measured(300, 1), model(other.features)))
    assert found["spearman"] < -0.75
    assert found["phantoms"] == 50 and found["phantoms_from_0.3"] <= 2
    assert found["best_50_mm"] < 0.8 * found["error_mm"]
    assert found["calibration_error"] < 0.1
    again = train(hands, QUICK)
    np.testing.assert_array_equal(again.hidden, model.hidden)


def test_the_likelihood_is_that_of_hands_and_their_errors() -> None:
    """Over all errors of hands, and what is no hand, it adds up to one."""
    said = torch.tensor([[2.0, -0.7, 0.4]]).double()
    log_error = torch.linspace(-10, 14, 200_001).double()
    one = torch.ones(len(log_error), dtype=torch.bool)
    density = (-_negative_log_likelihood(said.expand(len(one), 3), log_error.exp(), one)).exp()
    none = (-_negative_log_likelihood(said, log_error.exp()[:1], ~one[:1])).exp()
    hand = torch.trapezoid(density, log_error)
    assert hand == pytest.approx(1 / (1 + np.exp(-0.4)), abs=1e-6)
    assert hand + none == pytest.approx(1, abs=1e-6)
    assert log_error[density.argmax()] == pytest.approx(2, abs=1e-3)


def test_calibration_mends_what_is_too_sure() -> None:
    hands = measured(900)
    model = train(hands[:400], QUICK)
    sure = replace(model, calibration=np.array([4.0, 1.0]))
    rest = hands[400:]
    mended = calibrated(sure, [(sure, rest)])
    # `calibrated` takes what the held-out models say as it is.
    raised = logit(sure(rest.features).probability) * mended.calibration[0] + mended.calibration[1]
    good = (rest.kind == HAND) & (np.nan_to_num(rest.error_mm, nan=99) < 10)
    probability = 1 / (1 + np.exp(-raised))
    assert probability.mean() == pytest.approx(good.mean(), abs=0.01)
    before = np.mean((sure(rest.features).probability - good) ** 2)
    assert np.mean((probability - good) ** 2) < before


def test_no_scene_is_in_two_folds() -> None:
    hands = measured(50)
    hands = replace(hands, scene=np.repeat(np.arange(25), 2))
    parts = folds(hands)
    assert np.sum(parts, axis=0).tolist() == [1] * 50
    assert all(not set(hands.scene[p]) & set(hands.scene[~p]) for p in parts)


def test_figures_of_rankings() -> None:
    labels = np.array([True, False, True, False])
    assert average_precision(labels, np.array([4.0, 3, 2, 1])) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(labels, np.ones(4)) == pytest.approx(0.5)
    assert roc_auc(labels, np.array([4.0, 3, 2, 1])) == pytest.approx(0.75)
    assert roc_auc(labels, np.ones(4)) == pytest.approx(0.5)
    bins = reliability(np.arange(20) / 20, np.arange(20) >= 10)
    assert [count for _, _, count in bins] == [2] * 10 and bins[0][1] == 0 and bins[-1][1] == 1


def test_measured_hands_come_back_as_they_were(tmp_path) -> None:
    hands = measured(12)
    hands.save(tmp_path / "hands.npz")
    for name, values in vars(MeasuredHands.load(tmp_path / "hands.npz")).items():
        np.testing.assert_array_equal(values, getattr(hands, name))


def test_a_photographed_render_keeps_its_camera() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 0.05, (21, 3)) + [0, 0, 0.5]
    K = np.array([[400.0, 0, 112], [0, 400, 112], [0, 0, 1]])
    pixels = rng.integers(0, 255, (224, 224, 3), np.uint8)

    def projected(scene: Scene) -> np.ndarray:
        image = scene.keypoints_3d @ scene.intrinsics.T
        return image[:, :2] / image[:, 2:]

    scene = Scene(pixels, K, points, np.zeros((21, 2)), np.zeros(21, np.uint8), False)
    scene = replace(scene, keypoints_2d=projected(scene))
    bank = np.full((2, 288, 288, 3), 90, np.uint8)
    shapes = set()
    for seed in range(12):
        found = _photographed(scene, bank, np.random.default_rng(seed))
        np.testing.assert_allclose(projected(found), found.keypoints_2d, atol=1e-6)
        shapes.add(found.pixels.shape)
    assert len(shapes) > 3


def test_one_scene_in_six_shows_no_hand(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("quality_scenes.PART", 6)
    monkeypatch.setattr("quality_scenes.SIZE", 64)
    monkeypatch.setattr("quality_scenes.LARGEST_CANVAS", 80)
    write_scenes(tmp_path, 3, 6)
    scenes = read_scenes(scene_file(tmp_path, 3, 0))
    assert [scene.is_empty for scene in scenes] == [False] * 5 + [True]
    for scene in scenes[:5]:
        image = scene.keypoints_3d @ scene.intrinsics.T
        np.testing.assert_allclose(image[:, :2] / image[:, 2:], scene.keypoints_2d, atol=1e-6)
    before = scene_file(tmp_path, 3, 0).stat().st_mtime_ns
    write_scenes(tmp_path, 3, 6)  # what is there is not rendered again
    assert scene_file(tmp_path, 3, 0).stat().st_mtime_ns == before
