"""The score of a fit: what raises it, what lowers it, and what it must not see."""

import numpy as np
import pytest

from fitter.fitting.quality import RESIDUAL_SCALE, fit_confidence, rms_error
from fitter.records import HandObservation


def hand(confidence: np.ndarray | None = None, score: float = 0.9) -> HandObservation:
    """Keypoints on a line 100 pixels long."""
    keypoints = np.stack([np.linspace(200, 300, 21), np.full(21, 50.0)], axis=1)
    confidence = np.full(21, 0.8) if confidence is None else confidence
    return HandObservation(keypoints, confidence, "right", 1.0, score)


def test_score_is_the_product_of_its_three_parts():
    assert fit_confidence(hand(), np.zeros(21)) == pytest.approx(0.9 * 0.8)
    assert fit_confidence(hand(), np.full(21, 100 * RESIDUAL_SCALE)) == pytest.approx(0.9 * 0.8 / 2)
    assert fit_confidence(hand(score=0.0), np.zeros(21)) == 0


def test_keypoints_that_were_not_seen_count_in_neither_box_nor_error():
    confidence = np.full(21, 0.8)
    confidence[[8, 12]] = 0
    seen = hand(confidence)
    unseen = hand(confidence)
    unseen.keypoints[[8, 12]] = 0  # as OpenPose writes them
    error = np.full(21, 3.0)
    error[[8, 12]] = 400
    np.testing.assert_array_equal(unseen.box, [200, 50, 300, 50])
    assert rms_error(unseen, error) == pytest.approx(3)
    assert fit_confidence(unseen, error) == fit_confidence(seen, np.full(21, 3.0))


def test_a_hand_of_which_nothing_was_seen_has_a_box_and_no_trust():
    nothing = hand(np.zeros(21))
    np.testing.assert_array_equal(nothing.box, [200, 50, 300, 50])
    assert fit_confidence(nothing, np.full(21, 9.0)) == 0
    assert rms_error(nothing, np.full(21, 9.0)) == 0
