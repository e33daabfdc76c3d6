import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from fitter.metrics import AUC_THRESHOLDS, auc, auc_per_hand, pck

seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_a_curve_is_the_share_within_each_threshold(seed):
    errors = np.random.default_rng(seed).gamma(2, 0.01, (7, 21))
    expected = [(errors <= threshold).mean() for threshold in AUC_THRESHOLDS]
    np.testing.assert_array_equal(pck(errors), expected)
    assert (np.diff(pck(errors)) >= 0).all()


@given(seeds)
def test_areas_of_hands_are_those_of_their_own_curves(seed):
    rng = np.random.default_rng(seed)
    thresholds = np.sort(rng.random(12))
    errors = np.concatenate([rng.random((5, 9)), thresholds[None, :9]])
    expected = [
        trapezoid([(hand <= t).mean() for t in thresholds], thresholds)
        / (thresholds[-1] - thresholds[0])
        for hand in errors
    ]
    np.testing.assert_allclose(auc_per_hand(errors, thresholds), expected, atol=1e-12)
    np.testing.assert_allclose(auc_per_hand(errors).mean(), auc(errors), atol=1e-12)


def test_unknown_points_do_not_count_and_nan_is_never_correct():
    errors = np.array([[0.0, 0.0, np.nan, 9.0]])
    np.testing.assert_allclose(auc_per_hand(errors), 0.5)
    known = np.array([[True, True, False, False]])
    np.testing.assert_allclose(auc_per_hand(errors, known=known), 1)
    assert np.isnan(auc_per_hand(errors, known=np.zeros_like(known)))[0]
    assert pck(np.array([0.0, np.nan]))[-1] == 0.5


def test_no_errors_have_no_curve():
    assert np.isnan(pck(np.empty(0))).all()
    assert auc_per_hand(np.empty((0, 21))).shape == (0,)


def test_a_hand_alone_has_the_area_that_it_has_among_others():
    errors = np.random.default_rng(0).gamma(2, 0.01, (4, 21))
    alone = [auc_per_hand(errors[i : i + 1])[0] for i in range(4)]
    np.testing.assert_array_equal(auc_per_hand(errors), alone)
    assert auc_per_hand(errors)[2] == pytest.approx(auc(errors[2]))
