"""What is expected of hands that several views see, of what is expected of them in each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fitter.quality.judge import Judgement
from fitter.quality.model import GOOD_MM
from fitter.quality.several_views import LEAST_NOISE, VIEWED_ERROR, ViewedError, judged_together

HAND = np.array([0, 1, 1, 1, 2, 2])
JUDGED = Judgement(
    visibility=np.linspace(0, 1, 6 * 21, dtype=np.float32).reshape(6, 21),
    error_mm=np.array([5.0, 6.0, 4.0, 3.0, 7.0, 8.0]),
    probability=np.array([0.8, 0.7, 0.75, 0.9, 0.6, 0.5]),
    presence=np.array([0.9, 0.95, 0.99, 0.5, 0.8, 0.7]),
)
NOISE = np.array([np.nan, 0.01, 0.02])


def together(weights=(1, 1, 1, 0.4, 1, 1), noise=NOISE, judged=JUDGED, fitted=(True, True, True)):
    given = (np.array(each) for each in (weights, noise, fitted))
    return judged_together(judged, HAND, *given)


def test_the_formula():
    a, b, c, d, w = -0.3, 0.6, 0.4, -0.2, 0.35
    model = ViewedError(a, b, c, d, w)
    expected = np.exp(a + b * np.log(4.0) + c * np.log(0.01) + d * np.log(3.0))
    found = model.error_mm(np.array([4.0]), np.array([0.01]), np.array([3]))
    np.testing.assert_allclose(found, [expected])
    np.testing.assert_allclose(model.alone_mm(found, np.array([0.01]), np.array([3])), [4.0])
    good = 1 / (1 + np.exp(-(np.log(GOOD_MM) - np.log(expected)) / w))
    np.testing.assert_allclose(model.good(found), [good])
    np.testing.assert_allclose(model.good(np.array([GOOD_MM])), [0.5])


def test_a_hand_of_one_view_is_thought_of_as_that_view_thinks():
    for found in (together(), together(noise=[np.nan] * 3)):
        for name, values in vars(found).items():
            np.testing.assert_array_equal(values[0], getattr(JUDGED, name)[0])


def test_views_that_hardly_count_are_not_asked():
    found = together()
    worse = replace(JUDGED, error_mm=np.where(np.arange(6) == 3, 0.1, JUDGED.error_mm))
    np.testing.assert_array_equal(together(judged=worse).error_mm, found.error_mm)
    wanted = VIEWED_ERROR.error_mm(np.array([4.0]), np.array([0.01]), np.array([2]))
    np.testing.assert_allclose(found.error_mm[1], wanted[0])
    np.testing.assert_allclose(found.probability[1], 0.99 * VIEWED_ERROR.good(wanted)[0])
    np.testing.assert_array_equal(found.visibility[1], JUDGED.visibility[1:3].max(0))


def test_a_hand_that_was_fitted_to_no_view_is_thought_of_as_badly_as_in_any():
    found, plain = together(fitted=(True, False, True)), together()
    assert (found.error_mm[1], found.probability[1]) == (6.0, 0.7)
    for name in ("error_mm", "probability"):
        np.testing.assert_array_equal(vars(found)[name][[0, 2]], vars(plain)[name][[0, 2]])


def test_where_no_view_counts_for_half_all_are_asked():
    found = together((1, 0.3, 0.3, 0.2, 1, 1))
    wanted = VIEWED_ERROR.error_mm(np.array([3.0]), np.array([0.01]), np.array([3]))
    np.testing.assert_allclose(found.error_mm[1], wanted[0])


def test_hands_that_were_not_fitted_have_no_score():
    lost = {name: np.where(HAND == 1, np.nan, v.T).T for name, v in vars(JUDGED).items()}
    found = together(judged=Judgement(**lost))
    for name, values in vars(found).items():
        assert np.isnan(values[1]).all() and np.isfinite(values[[0, 2]]).all(), name


def test_more_views_that_agree_better_err_less():
    alone, noise = np.full(4, 5.0), np.array([0.04, 0.02, 0.01, 0.005])
    by_noise = VIEWED_ERROR.error_mm(alone, noise, np.full(4, 4))
    by_views = VIEWED_ERROR.error_mm(alone, np.full(4, 0.02), np.array([2, 3, 4, 8]))
    assert (np.diff(by_noise) < 0).all() and (np.diff(by_views) < 0).all()
    assert (np.diff(VIEWED_ERROR.good(by_noise)) > 0).all()


@pytest.mark.parametrize("noise", [0.0, LEAST_NOISE / 3])
def test_keypoints_that_agree_better_than_any_are_expected_like_the_best(noise):
    one, other = VIEWED_ERROR.error_mm(
        np.full(2, 5.0), np.array([noise, LEAST_NOISE]), np.full(2, 4)
    )
    assert one == other > 0
