import numpy as np
import pytest

from fitter.metrics import bootstrap_interval, bootstrap_means


def test_it_is_as_wide_as_the_standard_error_says():
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = bootstrap_interval(values, seed=1, resamples=4000)
    error = 1.96 * values.std() / np.sqrt(400)
    assert low == pytest.approx(values.mean() - error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + error, abs=0.1 * error)


def test_hands_of_one_image_are_drawn_together():
    """Twice the same hand says no more than once; as hands of their own they would narrow it."""
    values = np.random.default_rng(0).normal(5, 2, 200)
    twice, images = np.repeat(values, 2), np.repeat(np.arange(200), 2)
    once = bootstrap_interval(values, seed=3)
    assert bootstrap_interval(twice, images, seed=3) == pytest.approx(once)
    alone = bootstrap_interval(twice, seed=3)
    assert alone.high - alone.low < 0.8 * (once.high - once.low)


def test_images_are_drawn_by_hand_where_they_have_different_numbers():
    """The statistic is the mean over hands, not over images."""
    values, images = np.array([0.0, 10, 10, 10]), np.array([0, 1, 1, 1])
    low, high = bootstrap_interval(values, images, seed=0, resamples=2000, confidence=0.4)
    assert (low, high) == (7.5, 7.5)


def test_the_seed_decides_and_missing_values_do_not_count():
    values = np.random.default_rng(0).normal(5, 2, 50)
    assert bootstrap_interval(values, seed=7) == bootstrap_interval(values, seed=7)
    assert bootstrap_interval(values, seed=7) != bootstrap_interval(values, seed=8)
    broken = np.append(values, np.nan)
    low, high = bootstrap_interval(broken, seed=7)
    assert values.min() < low < values.mean() < high < values.max()


def test_all_values_see_the_same_draws():
    values = np.random.default_rng(0).normal(5, 2, 50)
    found = bootstrap_means({"a": values, "b": 3 * values}, seed=2)
    np.testing.assert_allclose(found["b"], 3 * np.array(found["a"]))


@pytest.mark.parametrize("values", [np.empty(0), np.array([1.0]), np.full(9, np.nan)])
def test_too_few_have_no_interval(values):
    assert np.isnan(bootstrap_interval(values, seed=0)).all()
