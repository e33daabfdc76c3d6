"""What the benchmark of several views keeps of hands, and figures over them."""

from dataclasses import replace

import numpy as np
import pytest
from views_data import SampledHands, frames_of, ring, two_of
from views_figures import Errors, SeenHand, SeenHands

from fitter.config.options import load_config
from fitter.engine import Engine
from fitter.quality.several_views import VIEWED_ERROR
from fitter.views.matching import match_hands

FOUND = SeenHand("four", 0, 4.0, 2.0, 2.5, 5.0, 0.02, 4, 1, 0)
LOST = SeenHand("four", 1, *[np.nan] * 5, 0, 0, 0)


def hands(count=2):
    return [FOUND, LOST, replace(FOUND, number=2, placed_mm=6.0, others=2, valid=1)][:count]


def test_lines_are_kept_at_once_and_read_again(tmp_path):
    kept = SeenHands.read(tmp_path / "new" / "hands.csv")
    kept.add(hands())
    again = SeenHands.read(kept.path)
    assert again.has("four", range(2)) and not again.has("four", range(3))
    assert not again.has("two", [0])
    again.add(hands(3)[2:])
    found = SeenHands.read(kept.path).cases["four"]
    for one, other in zip(found.values(), hands(3), strict=True):
        np.testing.assert_equal(vars(one), vars(other))
    assert kept.path.read_text().count("case,number") == 1


def test_figures_are_of_the_hands_that_were_found():
    errors = Errors.of(hands(3))
    assert errors.hands == 3 and errors.found == pytest.approx(2 / 3)
    assert errors.placed == (5.0, pytest.approx(1 / np.sqrt(2))) and errors.median == 5.0
    assert errors.aligned == (2.0, 0.0) and (errors.others, errors.valid) == (3, 1)


@pytest.fixture(scope="module")
def engine():
    return Engine(load_config(None, ["refine.stages={}", "init.source=keypoints"]))


def test_what_is_kept_of_a_hand(engine):
    """Beside a hand of the same frame it is the nearest that counts."""
    rng = np.random.default_rng(0)
    sampled = SampledHands.of(engine.fit_model, 2, 3)
    rig = ring(rng, 3)
    (alone,) = frames_of(sampled, [rig, rig], 1.0, rng)[:1]
    both = two_of(sampled, rig, 1.0, rng)
    assert [sorted(hand.places) for hand in match_hands(both)] == [[0, 1, 2]] * 2
    rows = engine.fit_frames([alone, both])
    truth = sampled.joints[0], sampled.keypoints[0]
    hand = SeenHand.of("three", 7, alone, rows[0], truth)
    assert (hand.case, hand.number, hand.agreeing, hand.others) == ("three", 7, 3, 0)
    assert 0 < hand.aligned_mm < hand.placed_mm < 5 and 0 < hand.noise < 0.02
    of = [np.array([value]) for value in (hand.alone_mm, hand.noise, hand.agreeing)]
    expected = rows[0].hands[0].predicted_error_mm
    assert VIEWED_ERROR.error_mm(*of)[0] == pytest.approx(expected, rel=1e-5)
    apart = np.array([-0.075, 0, 0])
    beside = SeenHand.of("three", 8, both, rows[1], tuple(points + apart for points in truth))
    assert beside.placed_mm < 5 and beside.others == 1
