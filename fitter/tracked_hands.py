"""What is known of the hands in a frame of a video from its other frames; see `fitter.tracks`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fitter.records import HandObservation, SharedHand, Side


@dataclass(frozen=True)
class ExpectedMotion:
    """Where the other frames of a video expect a hand, as a right hand: a Gaussian.

    Attributes:
        mean: (6 + K,) float64 axis-angle of the root joint, its place, and K components of the
            pose in standard deviations, see `fitter.hand_models.motion`.
        information: (6 + K, 6 + K) float64 inverse covariance in the same coordinates, where a
            difference in rotation is a left increment.
    """

    mean: np.ndarray
    information: np.ndarray


@dataclass(frozen=True)
class TrackedHand:
    """What is known of a hand in a frame of a video from its other frames; see `fitter.tracks`.

    Attributes:
        track: the number of its track, from 1 on; 0 for none.
        side: of the whole track; None for what the frame says.
        side_score: probability of `side`, in [0.5, 1].
        shared: the shape of the track, or None.
        expected: where the other frames have the hand, or None.
    """

    track: int = 0
    side: Side | None = None
    side_score: float = 0.5
    shared: SharedHand | None = None
    expected: ExpectedMotion | None = None

    def on(self, hand: HandObservation) -> HandObservation:
        """A hand that was found, with what is known of it."""
        if self.side is None:
            return replace(hand, tracked=self)
        return replace(
            hand, side=self.side, side_score=self.side_score, shared=self.shared, tracked=self
        )


@dataclass(frozen=True)
class ImageTracks:
    """What is known of the hands of one frame of a video.

    Attributes:
        hands: by the number of their slot; of others nothing is known.
        filled: hands of tracks that nothing of was found in the frame, which are to be filled in.
        asks: whether the frame is to say what its hands' tracks are made of.
    """

    hands: Mapping[int, TrackedHand] = field(default_factory=dict)
    filled: tuple[TrackedHand, ...] = ()
    asks: bool = True

    def on(self, hands: Sequence[HandObservation]) -> list[HandObservation]:
        """The hands that were found, in the order of their slots, with what is known of them."""
        nothing = TrackedHand()
        return [self.hands.get(slot, nothing).on(hand) for slot, hand in enumerate(hands)]
