"""Where hands are looked for: windows of a picture, round by round, and when that is enough.

The palm network sees every window at 192 pixels. On composed scenes of rendered hands it finds
those whose size is 0.12 to 0.6 of the window, most surely from 0.2 to 0.45, so the sides of the
windows of one round are about 0.6 of those of the round before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fitter.detection.same_hand import hand_size
from fitter.detection.windows import Window
from fitter.records import HandObservation

SearchName = Literal["fast", "standard", "thorough"]

CANVASES = (1.4, 2.0)
"""Sides of windows around a picture that a hand fills, over the picture's longer side: within the
picture the palm network sees no such hand."""

GUESSES, TURNS = (1.0, 1.3), 8
"""Sides of windows, over the picture's longer side, in which the landmark network is shown a hand
that fills the picture, and how many ways such a window is turned. The palm network knows whole
hands alone."""

BEYOND = 0.25
"""How far windows reach beyond the picture, as a share of their side, for hands at its border."""

LEAST_WINDOW = 150
"""Least side in pixels of a window within the picture. The palm network sees it at 192, so a
smaller one only enlarges what it shows. With windows from 150 on 127 of the scenes' 162 hands are
found, from 192 on 121, from 100 on no more."""

COARSE_STEP, FINE_STEP = 0.5, 2 / 3
"""Distance of neighbouring windows over their side: coarse windows are few, and fine ones need only
contain hands that the coarser round before does not find."""

FINE = 0.3
"""Share of the picture's longer side below which windows are fine."""

SMALL = 0.6
"""A round goes on where the smallest hand so far is smaller than this share of its windows: where
hands are large, small ones are rare, and looking for them costs more than all else."""


@dataclass(frozen=True)
class SearchPlan:
    """Which windows are looked at after the whole picture.

    Attributes:
        shares: sides of the windows of each round over the picture's longer side, falling.
        beside_hands: whether to go on where hands were found, if there are small ones among them.
        always: whether to go on wherever there are pixels left to see.
        guesses: whether to look for hands that the palm network does not know, see `GUESSES`.
    """

    shares: tuple[float, ...]
    beside_hands: bool
    always: bool = False
    guesses: bool = True

    def rounds(self, width: int, height: int) -> Iterator[SearchRound]:
        """The rounds for a picture of this size in pixels, the whole picture first."""
        longer = max(width, height)
        middle = np.array([width + 1, height + 1]) / 2
        yield SearchRound(1.0, [Window(middle, float(longer))])
        for share in CANVASES:
            yield SearchRound(share, [Window(middle, share * longer)])
        if self.guesses:
            turns = 2 * np.pi / TURNS * np.arange(TURNS)
            windows = [Window(middle, share * longer, turn) for share in GUESSES for turn in turns]
            yield SearchRound(max(GUESSES), windows, is_guess=True)
        for share in self.shares:
            size = share * longer
            if size >= LEAST_WINDOW:
                step = COARSE_STEP if share > FINE else FINE_STEP
                columns, rows = _centres(width, size, step), _centres(height, size, step)
                windows = [Window(np.array([x, y]), size) for y in rows for x in columns]
                yield SearchRound(share, windows)

    def wants(self, part: SearchRound, hands: Sequence[HandObservation], longer: int) -> bool:
        """Whether a round is worth its cost.

        Args:
            part: the round.
            hands: the sure ones among the finds so far.
            longer: pixels of the picture's longer side.
        """
        if part.share == 1.0 or not hands:
            return True
        if part.is_guess:
            return False
        smallest = min(hand_size(hand) for hand in hands)
        goes_on = part.share < 1.0 and smallest < SMALL * part.share * longer
        return self.always or (self.beside_hands and goes_on)


@dataclass(frozen=True)
class SearchRound:
    """Windows that are looked at together: `share` of the picture's longer side each, at most.

    In those of a guess the landmark network looks at once; in all others first the palm network.
    """

    share: float
    windows: list[Window]
    is_guess: bool = False


PLANS: dict[SearchName, SearchPlan] = {
    "fast": SearchPlan((0.6,), beside_hands=False, guesses=False),
    "standard": SearchPlan((0.6, 0.4, 0.25, 0.14, 0.08), beside_hands=True),
    "thorough": SearchPlan((0.6, 0.4, 0.25, 0.16, 0.1, 0.064), beside_hands=True, always=True),
}


def _centres(length: float, size: float, step: float) -> np.ndarray:
    """Centres of intervals of `size` that cover [0, length] and `BEYOND` to either side of it,
    no farther from each other than `step` sizes; half a pixel further, as those of `Window.whole`.
    """
    room = length + (2 * BEYOND - 1) * size
    if room <= 0:
        return np.array([length / 2 + 0.5])
    count = int(np.ceil(room / (step * size) - 1e-9)) + 1
    low = (0.5 - BEYOND) * size
    return np.linspace(low, length - low, count) + 0.5
