"""What finds hands for `fitter.detection.detector`: a `Backend`, and which there are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from fitter.detection.networks.runtime import HandNetworks
from fitter.detection.windows import Picture, Window
from fitter.errors import InputError
from fitter.records import HandObservation

BackendName = Literal["builtin", "mediapipe", "onnx"]


class Backend(Protocol):
    """Looks at windows of a picture.

    What it says of windows depends on these windows alone, whatever it is asked at other times.
    """

    def find(self, picture: Picture, windows: Sequence[Window]) -> list[list[HandObservation]]:
        """The hands in each of N upright windows, in the picture's pixels.

        Every keypoint's confidence is the hand's score. A hand that several windows show may be
        left out of those that show it less well, and one that a window cuts off may be.
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
    name: BackendName,
    min_score: float,
    file: Path | None = None,
    hand_count: int = 4,
    device: str | None = None,
) -> Backend:
    """Load a backend.

    Args:
        name: "builtin": MediaPipe's networks run by us; "mediapipe": the
            package; "onnx": a user's network of 21 keypoints, in hands that the first one finds.
        min_score: in [0, 1]; least palm score, and least probability of the landmark network that
            its window shows a hand.
        file: of MediaPipe's hand landmarker, for the package; None for the networks inside it. For
            "onnx" the user's network, see `fitter.detection.onnx_backend`.
        hand_count: most hands that the package reports of a window.
        device: of PyTorch's, which then runs the networks that ship; None for LiteRT on one thread
            of the CPU.

    Raises:
        InputError: weights cannot be read, the package cannot be imported, `mediapipe` carries no
            networks, or the file cannot be used.
    """
    if name != "mediapipe":
        from fitter.detection.own_networks import OwnNetworks

        own = OwnNetworks(_networks(device), min_score)
        if name == "builtin":
            return own
        from fitter.detection.onnx_backend import OnnxBackend, SimccNetwork

        if file is None:
            raise InputError("detector.no_onnx_model", file="detector.onnx_model")
        return OnnxBackend(own, SimccNetwork(file))
    from fitter.detection.mediapipe_backend import MediaPipeBackend

    return MediaPipeBackend.load(file, hand_count, min_score)


def _networks(device: str | None) -> HandNetworks:
    """Each runtime is loaded where it is used alone."""
    if device is None:
        from fitter.detection.networks.litert import LiteRtNetworks

        return LiteRtNetworks()
    from fitter.detection.networks.on_torch import TorchNetworks

    return TorchNetworks(device)
