"""The numbers by which errors of hands of several views are expected are those that the committed
figures give."""

import numpy as np
from fit_viewed_error import RESULTS, cases_of, fitted, half, is_learned

from fitter.quality.several_views import VIEWED_ERROR, ViewedError


def test_what_is_made_is_found():
    rng = np.random.default_rng(0)
    truth = ViewedError(2.0, 0.6, 0.4, -0.5, 0.2)
    case = {
        "number": np.arange(4000),
        "alone_mm": np.exp(rng.normal(1.5, 0.4, 4000)),
        "noise": np.exp(rng.normal(-4, 0.6, 4000)),
        "agreeing": rng.integers(2, 9, 4000),
    }
    error = truth.error_mm(case["alone_mm"], case["noise"], case["agreeing"])
    case["keypoints_mm"] = error * np.exp(truth.spread * rng.logistic(size=4000))
    found = fitted([half(case, 0), half(case, 1)])
    np.testing.assert_allclose(list(vars(found).values()), list(vars(truth).values()), atol=0.08)


def test_what_ships_is_fitted_to_the_committed_figures():
    cases = cases_of(RESULTS)
    learned = [half(case, 0) for name, case in cases.items() if is_learned(name)]
    assert len(learned) == 6
    found = fitted(learned)
    for case in cases.values():
        known = case["alone_mm"], case["noise"], case["agreeing"]
        ratio = found.error_mm(*known) / VIEWED_ERROR.error_mm(*known)
        np.testing.assert_allclose(ratio, 1, atol=0.01)


def test_medians_of_other_hands_are_within_half_of_the_true_ones():
    for name, case in cases_of(RESULTS).items():
        others = half(case, 1)
        expected = VIEWED_ERROR.error_mm(others["alone_mm"], others["noise"], others["agreeing"])
        ratio = np.median(others["keypoints_mm"]) / np.median(expected)
        assert 1 / 1.5 < ratio < 1.5, (name, ratio)
