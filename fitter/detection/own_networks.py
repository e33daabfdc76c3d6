"""The backend that ships: MediaPipe's networks, run by us.

windows -> palms -> a turned window a hand -> landmarks; see `fitter.detection.palms` and
`fitter.detection.hand_windows` for the steps between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fitter.detection.hand_windows import hand_window, hands_of
from fitter.detection.networks.runtime import HandNetworks
from fitter.detection.palms import Palms, decode_palms, palm_window, suppress_across, suppress_palms
from fitter.detection.windows import Picture, Window
from fitter.records import HandObservation


class OwnNetworks:
    """A `Backend` of the palm network and the landmark network."""

    def __init__(self, networks: HandNetworks, min_score: float) -> None:
        """Take networks.

        Args:
            networks: on the device where they are to compute.
            min_score: in [0, 1]; least palm score, and least probability that a window holds a
                hand.
        """
        self._networks, self._min_score = networks, min_score

    def palms(self, picture: Picture, windows: Sequence[Window], min_score: float) -> list[Palms]:
        """The palms in each of N upright windows, best first, in the picture's pixels."""
        said = self._networks.palms(picture, windows)
        return [
            suppress_palms(decode_palms(values, logits, min_score)).to_picture(window)
            for values, logits, window in zip(said.values, said.logits, windows, strict=True)
        ]

    def hands(self, picture: Picture, windows: Sequence[Window]) -> list[HandObservation]:
        """The hand in each of N turned windows, whether or not there is one; see `hands_of`."""
        said = self._networks.landmarks(picture, windows)
        return hands_of(said, windows)

    def find(self, picture: Picture, windows: Sequence[Window]) -> list[list[HandObservation]]:
        """See `Backend.find`."""
        palms = suppress_across(self.palms(picture, windows, self._min_score))
        around = [
            [palm_window(box, points) for box, points in zip(each.boxes, each.points, strict=True)]
            for each in palms
        ]
        hands = iter(self.hands(picture, [window for part in around for window in part]))
        return [
            [
                replace(hand, score=float(score), confidence=np.full(21, float(score)))
                for score, hand in zip(each.scores, hands, strict=False)
                if hand.score >= self._min_score
            ]
            for each in palms
        ]

    def follow(
        self, picture: Picture, hands: Sequence[HandObservation], mirrored: bool
    ) -> list[HandObservation | None]:
        """See `Backend.follow`."""
        again = self.hands(picture, [hand_window(hand, mirrored) for hand in hands])
        return [
            replace(look, score=hand.score) if look.score >= self._min_score else None
            for look, hand in zip(again, hands, strict=True)
        ]

    def close(self) -> None:
        """Nothing to free."""
