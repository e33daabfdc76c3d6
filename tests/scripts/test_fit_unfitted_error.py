"""The numbers by which errors of hands are expected that nothing was fitted to are those that the
committed figures give."""

import numpy as np
from fit_unfitted_error import RESULTS, WAYS, fitted, half, read, written
from scipy.special import expit

from fitter.quality.model import GOOD_MM
from fitter.quality.unfitted import UNFITTED_ERROR, UnfittedError


def test_what_is_made_is_found():
    rng = np.random.default_rng(0)
    truth = UnfittedError(3.5, 0.4, 0.25)
    residual = np.exp(rng.uniform(-4, -1, 4000))
    error = truth.error_mm(residual) * np.exp(truth.spread * rng.logistic(size=4000))
    way = {"scene": np.arange(4000), "residual": residual, "error_mm": error}
    found = fitted([half(way, 0), half(way, 1)])
    np.testing.assert_allclose(list(vars(found).values()), list(vars(truth).values()), atol=0.05)


def test_what_is_written_is_read(tmp_path):
    ways = read()
    written(tmp_path / "again.csv", ways)
    assert (tmp_path / "again.csv").read_bytes() == RESULTS.read_bytes()


def test_what_ships_is_fitted_to_the_committed_figures():
    ways = read()
    found = fitted([half(ways[name], 0) for name in WAYS])
    np.testing.assert_allclose(
        list(vars(found).values()), list(vars(UNFITTED_ERROR).values()), atol=0.001
    )
    assert UNFITTED_ERROR.residual > 0, "a score that falls as the residual grows"


def test_the_score_of_others_is_about_their_share_of_good_ones():
    """Of all together: ways differ in what a residual means."""
    ways = read()
    others = [half(ways[name], 1) for name in WAYS]
    residual = np.concatenate([way["residual"] for way in others])
    error = np.concatenate([way["error_mm"] for way in others])
    z = np.log(GOOD_MM / UNFITTED_ERROR.error_mm(residual)) / UNFITTED_ERROR.spread
    assert abs(expit(z).mean() - (error < GOOD_MM).mean()) < 0.1
