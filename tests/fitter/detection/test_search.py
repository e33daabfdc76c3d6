"""Which windows are searched, and when that is enough."""

import numpy as np
import pytest

from fitter.detection.search import (
    BEYOND,
    CANVASES,
    COARSE_STEP,
    GUESSES,
    LEAST_WINDOW,
    PLANS,
    TURNS,
    SearchRound,
)
from tests.support.drawn_hands import observed, shape

SIZES = [(640, 480), (480, 640), (1333, 1333), (3000, 2000), (2000, 300), (17, 5000), (5000, 1)]


def sides(name, size):
    return [part.share for part in PLANS[name].rounds(*size) if not part.is_guess]


def searched(name, size):
    """The rounds that the palm network looks at."""
    return [part for part in PLANS[name].rounds(*size) if not part.is_guess]


def hand(share, longer):
    """A hand whose size is this share of a picture's longer side."""
    points = shape(100)
    return observed(points * (share * longer / np.ptp(points, axis=0).max()), 0.9)


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("size", SIZES)
def test_a_round_shows_all_of_the_picture_and_what_is_around_it(name, size):
    for part in searched(name, size):
        reach = BEYOND * part.windows[0].size if part.share < 1 else 0.0
        for axis in (0, 1):
            middles = np.unique([window.centre[axis] - 0.5 for window in part.windows])
            side = part.windows[0].size
            assert middles[0] - side / 2 <= 1e-6 - min(reach, max(0, (side - size[axis]) / 2))
            assert middles[-1] + side / 2 >= size[axis] - 1e-6
            assert (np.diff(middles) <= 0.75 * side).all()
        grid = {tuple(window.centre) for window in part.windows}
        columns, rows = ({place[axis] for place in grid} for axis in (0, 1))
        assert len(grid) == len(part.windows) == len(columns) * len(rows)


@pytest.mark.parametrize("size", SIZES)
def test_no_window_is_too_small_and_none_are_without_number(size):
    for name in PLANS:
        for part in PLANS[name].rounds(*size):
            assert part.share >= 1 or part.windows[0].size >= LEAST_WINDOW
            # A strip does not have windows without number.
            assert len(part.windows) < 1000


def test_a_small_picture_is_looked_at_whole_and_on_canvases_alone():
    assert sides("standard", (224, 224)) == [1.0, *CANVASES]
    assert sides("thorough", (224, 1)) == [1.0, *CANVASES]


def test_a_hand_up_to_half_a_coarse_window_is_whole_in_one_of_them():
    """Wherever it lies, also at the border: half a window is by how much neighbours overlap."""
    width, height = 1000, 700
    generator = np.random.default_rng(0)
    for part in PLANS["standard"].rounds(width, height):
        if not 0.3 < part.share < 1:
            continue
        side = part.windows[0].size
        size = (1 - COARSE_STEP) * side
        centres = np.array([window.centre for window in part.windows])
        for place in generator.uniform([0, 0], [width, height], (200, 2)):
            low, high = centres - side / 2, centres + side / 2
            inside = (low <= np.clip(place - size / 2, 0, None) + 1e-6) & (
                high >= np.clip(place + size / 2, None, [width, height]) - 1e-6
            )
            assert inside.all(axis=1).any()


def test_more_is_searched_from_fast_to_thorough():
    looked = {}
    for name, plan in PLANS.items():
        hands = [hand(0.3, 2000)]
        looked[name] = [p.share for p in plan.rounds(2000, 1500) if plan.wants(p, hands, 2000)]
    assert looked["fast"] == [1.0]
    assert looked["standard"] == [1.0, 0.6]
    assert looked["thorough"] == sides("thorough", (2000, 1500))
    assert set(sides("fast", (2000, 1500))) < set(sides("standard", (2000, 1500)))


def test_smaller_hands_call_for_smaller_windows_and_large_ones_for_none():
    plan = PLANS["standard"]
    shares = plan.shares

    def wanted(*sizes):
        hands = [hand(k, 2000) for k in sizes]
        return [s for s in shares if plan.wants(SearchRound(s, []), hands, 2000)]

    assert wanted(0.5) == []
    assert wanted(0.2) == [0.6, 0.4]
    assert wanted(0.5, 0.03) == list(shares)
    assert wanted() == list(shares)
    assert not plan.wants(SearchRound(CANVASES[0], []), [hand(0.5, 2000)], 2000)


@pytest.mark.parametrize("name", ["standard", "thorough"])
@pytest.mark.parametrize("size", SIZES)
def test_guesses_are_hands_that_fill_the_picture_turned_every_way(name, size):
    plan, longer = PLANS[name], max(size)
    (guess,) = [part for part in plan.rounds(*size) if part.is_guess]
    assert len(guess.windows) == len(GUESSES) * TURNS
    assert {round(w.size / longer, 9) for w in guess.windows} == set(GUESSES)
    assert all((w.centre == [(n + 1) / 2 for n in size]).all() for w in guess.windows)
    assert len({round(w.angle, 9) for w in guess.windows}) == TURNS
    # They cost: only where nobody is sure of a hand, and never in a fast search.
    assert plan.wants(guess, [], longer)
    assert not plan.wants(guess, [hand(0.05, longer)], longer)
    assert not any(part.is_guess for part in PLANS["fast"].rounds(*size))
