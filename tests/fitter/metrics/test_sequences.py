import numpy as np
import pytest

from fitter.metrics import acceleration_error


def test_it_is_the_distance_of_second_differences():
    rng = np.random.default_rng(0)
    estimate, truth = rng.normal(0, 0.05, (2, 12, 21, 3))
    expected = np.linalg.norm(np.diff(estimate - truth, 2, axis=0), axis=-1).mean(-1)
    np.testing.assert_allclose(acceleration_error(estimate, truth), expected)
    np.testing.assert_allclose(acceleration_error(estimate, truth, 30), 900 * expected)


def test_a_shift_and_a_drift_are_no_jitter():
    truth = np.random.default_rng(1).normal(0, 0.05, (9, 21, 3))
    drift = 0.1 + 0.02 * np.arange(9)[:, None, None]
    np.testing.assert_allclose(acceleration_error(truth + drift, truth), 0, atol=1e-12)


def test_one_frame_that_jumps_is_seen_three_times():
    truth = np.zeros((7, 21, 3))
    estimate = truth.copy()
    estimate[3, :, 1] = 0.01
    np.testing.assert_allclose(acceleration_error(estimate, truth), [0, 0.01, 0.02, 0.01, 0])


def test_a_broken_frame_stays_among_its_neighbours():
    truth = np.zeros((8, 21, 3))
    estimate = truth.copy()
    estimate[4, 0, 0] = np.nan
    found = acceleration_error(estimate, truth)
    np.testing.assert_array_equal(np.isnan(found), [0, 0, 1, 1, 1, 0])


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_short_sequences_have_none(frames):
    assert acceleration_error(np.zeros((frames, 21, 3)), np.zeros((frames, 21, 3))).shape == (0,)
