"""The quality model: what its two answers mean, and that it is what ships."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fitter.quality import model as home
from fitter.quality.features import FEATURES, FIT
from fitter.quality.model import (
    GOOD_MM,
    WEIGHTS,
    QualityModel,
    load_quality_model,
    quality_identity,
)
from fitter.quality.unfitted import LEAST_RESIDUAL, UNFITTED_ERROR

COUNT = len(FEATURES)


@pytest.fixture
def random_model() -> QualityModel:
    rng = np.random.default_rng(0)
    return QualityModel(
        mean=rng.normal(size=COUNT),
        scale=rng.uniform(0.5, 2, COUNT),
        low=np.full(COUNT, -3.0),
        high=np.full(COUNT, 3.0),
        hidden=rng.normal(0, 0.2, (3, 2 * COUNT, 5)),
        hidden_bias=rng.normal(size=(3, 5)),
        output=rng.normal(0, 0.3, (3, 5, 3)),
        output_bias=np.tile([2.0, -1.0, 1.0], (3, 1)),
        skip=rng.normal(0, 0.02, (3, 2 * COUNT, 3)),
        calibration=np.array([1.0, 0.0]),
    )


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 1.5, (20, COUNT))


def test_the_networks_are_the_equations(random_model, features) -> None:
    said = random_model(features)
    row = random_model.inputs(features)[7]
    outputs = [
        np.tanh(row @ random_model.hidden[e] + random_model.hidden_bias[e]) @ random_model.output[e]
        + random_model.output_bias[e]
        + row @ random_model.skip[e]
        for e in range(3)
    ]
    middle, log_scale, hand = np.mean(outputs, 0)
    assert said.error_mm[7] == pytest.approx(np.exp(middle))
    z = (np.log(GOOD_MM) - middle) / np.exp(log_scale)
    good = 1 / (1 + np.exp(-z)) / (1 + np.exp(-hand))
    assert said.probability[7] == pytest.approx(good)


def test_an_error_of_the_bound_is_as_likely_as_not(random_model, features) -> None:
    bias = random_model.output_bias + [0, 0, 60]  # surely a hand
    found = replace(random_model, output_bias=bias)(features)
    assert ((found.error_mm < GOOD_MM) == (found.probability > 0.5)).all()
    none = replace(random_model, output_bias=bias - [0, 0, 120])(features)
    assert (none.probability < 1e-6).all()
    np.testing.assert_array_equal(none.error_mm, found.error_mm)


def test_calibration_is_a_line_in_the_logit(random_model, features) -> None:
    before = random_model(features)
    after = replace(random_model, calibration=np.array([0.5, 1.0]))(features)
    logit = np.log(before.probability / (1 - before.probability))
    np.testing.assert_allclose(after.probability, 1 / (1 + np.exp(-(0.5 * logit + 1))))
    np.testing.assert_array_equal(after.error_mm, before.error_mm)


def test_rows_do_not_know_each_other(random_model, features) -> None:
    together = random_model(features)
    for row in range(len(features)):
        alone = random_model(features[row : row + 1])
        assert alone.probability[0] == pytest.approx(together.probability[row], rel=1e-12)
        assert alone.error_mm[0] == pytest.approx(together.error_mm[row], rel=1e-12)


def test_what_is_unknown_is_the_mean_hand_and_is_told(random_model) -> None:
    unknown = np.full((1, COUNT), np.nan)
    inputs = random_model.inputs(unknown)[0]
    np.testing.assert_array_equal(inputs, np.repeat([0.0, 1.0], COUNT))
    known = random_model.inputs(random_model.mean[None].clip(-3, 3))[0]
    np.testing.assert_allclose(known[COUNT:], 0)
    assert np.isfinite(random_model(unknown).probability).all()


def test_a_feature_that_no_hand_of_the_training_had_stays_unknown(random_model, features) -> None:
    mean = random_model.mean.copy()
    mean[4] = np.nan
    model = replace(random_model, mean=mean)
    without = features.copy()
    without[:, 4] = np.nan
    np.testing.assert_array_equal(model(features).error_mm, model(without).error_mm)
    np.testing.assert_array_equal(model.inputs(features)[:, COUNT + 4], 1)


def test_features_are_clipped_to_what_was_seen(random_model, features) -> None:
    far = features.copy()
    far[:, 3] = 1e6
    edge = features.copy()
    edge[:, 3] = random_model.high[3]
    np.testing.assert_array_equal(random_model(far).error_mm, random_model(edge).error_mm)


def typical_hands(count: int) -> np.ndarray:
    """Features of hands as the model that ships knows them."""
    model = load_quality_model()
    rows = model.mean + model.scale * np.random.default_rng(2).normal(size=(count, COUNT))
    return rows.clip(model.low, model.high)


def of_residuals(row: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """(N, F) a hand's features with N residuals, and one keypoint that is far off."""
    rows = np.repeat(row[None], len(residuals), 0)
    rows[:, FEATURES.index("residual")] = residuals
    rows[:, FEATURES.index("largest_residual")] = 10
    return rows


def test_a_residual_beyond_all_that_was_seen_lowers_the_score() -> None:
    """In proportion; up to there nothing changes."""
    model = load_quality_model()
    high = model.high[FEATURES.index("residual")]
    for row in typical_hands(30):
        found = model(of_residuals(row, high * np.array([1.0, 2.0, 4.0, 20.0])))
        np.testing.assert_allclose(found.error_mm / found.error_mm[0], [1, 2, 4, 20])
        assert found.probability[1] < found.probability[0] and found.probability[3] < 0.05
        assert (np.diff(found.probability) <= 0).all()


class TestHandsThatNothingWasFittedTo:
    def hands(self, count: int = 30) -> np.ndarray:
        rows = typical_hands(count)
        rows[:, FEATURES.index("iterations")] = 0
        return rows

    def test_the_residual_alone_says_the_error(self) -> None:
        model, residuals = load_quality_model(), np.geomspace(LEAST_RESIDUAL, 3, 40)
        constant, slope = UNFITTED_ERROR.constant, UNFITTED_ERROR.residual
        for row in self.hands():
            found = model(of_residuals(row, residuals))
            np.testing.assert_allclose(found.error_mm, np.exp(constant) * residuals**slope)
            z = np.log(GOOD_MM / found.error_mm) / UNFITTED_ERROR.spread
            np.testing.assert_allclose(found.probability, found.presence / (1 + np.exp(-z)))
            assert np.ptp(found.presence) == 0
            assert (np.diff(found.probability) < 0).all() and found.probability[-1] < 0.01

    def test_agreement_with_the_network_that_says_them_is_no_evidence(self) -> None:
        """A network's hand that misses keypoints by a tenth of its size."""
        model = load_quality_model()
        rows = of_residuals(self.hands(1)[0], np.array([0.11]))
        for name in ("fit_from_network", "fit_from_network_most", "fit_turned_from_network"):
            rows[:, FEATURES.index(name)] = 0
        assert model(rows).probability[0] < 0.6

    def test_others_in_the_batch_are_judged_as_ever(self) -> None:
        model, fitted = load_quality_model(), typical_hands(20)
        together = model(np.concatenate([self.hands(20), fitted]))
        for name, values in vars(model(fitted)).items():
            np.testing.assert_array_equal(getattr(together, name)[20:], values)


def test_what_ships_is_whole() -> None:
    model = load_quality_model()
    rng = np.random.default_rng(2)
    rows = model.mean + model.scale * rng.normal(size=(50, COUNT))
    rows[25:, : COUNT - len(FIT)] = np.nan  # as of keypoints that were given, without networks
    found = model(rows)
    assert np.isfinite(found.error_mm).all() and (found.error_mm > 0).all()
    assert ((found.probability >= 0) & (found.probability <= 1)).all()
    assert np.ptp(found.probability) > 0.2
    content = files("fitter.quality").joinpath(WEIGHTS).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert quality_identity() == {"quality_sha256": digest}
    card = files("fitter.quality").joinpath("assets/quality.md").read_text("utf-8")
    assert digest in card


def test_weights_of_other_features_are_refused(tmp_path, monkeypatch) -> None:
    package = files("fitter.quality")
    arrays = load_file(str(package.joinpath(WEIGHTS)))
    (tmp_path / "assets").mkdir()
    names = json.dumps([*FEATURES[:-1], "another"])
    save_file(arrays, tmp_path / WEIGHTS, {"features": names})
    monkeypatch.setattr(home, "files", lambda package: tmp_path)
    with pytest.raises(ValueError, match="another"):
        load_quality_model.__wrapped__()
