"""What finds hands for `fitter.detection.detector`: a `Backend`, and which there are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from fitter.detection.windows import Picture, Window
from fitter.records import HandObservation

BackendName = Literal["builtin", "mediapipe"]


class Backend(Protocol):
    """Looks at windows of a picture.

    What it says of a window depends on that window alone, whatever else it is asked for at once.
    """

    def find(self, picture: Picture, windows: Sequence[Window]) -> list[list[HandObservation]]:
        """The hands in each of N upright windows, in the picture's pixels.

        Every keypoint's confidence is the hand's score.
        """
        ...

    def follow(
        self, picture: Picture, hands: Sequence[HandObservation], mirrored: bool
    ) -> list[HandObservation | None]:
        """Each of N hands again, in a window of its own around where it is known to be.

        Args:
            picture: that they were found in.
            hands: keypoints in the picture's pixels.
            mirrored: whether the network is to see the hand in a mirror.

        Returns:
            The hands in the picture's pixels, with the scores that they had; None for one where
            the network sees none.
        """
        ...

    def close(self) -> None:
        """Free the networks; a second call does nothing."""
        ...


def load_backend(
    name: BackendName, min_score: float, task: Path | None = None, hand_count: int = 4
) -> Backend:
    """Load a backend.

    Args:
        name: "builtin": MediaPipe's networks run by us, on one thread of the CPU; "mediapipe": the
            package.
        min_score: in [0, 1]; least palm score, and least probability of the landmark network that
            its window shows a hand.
        task: file of MediaPipe's hand landmarker, for the package; None for the networks inside it.
        hand_count: most hands that the package reports of a window.

    Raises:
        InputError: weights cannot be read, `mediapipe` cannot be imported or carries no networks,
            or the task file cannot be used.
    """
    if name == "builtin":
        from fitter.detection.networks.litert import LiteRtNetworks
        from fitter.detection.own_networks import OwnNetworks

        return OwnNetworks(LiteRtNetworks(), min_score)
    from fitter.detection.mediapipe_backend import MediaPipeBackend

    return MediaPipeBackend.load(task, hand_count, min_score)
