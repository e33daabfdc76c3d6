"""A user's own network of 21 keypoints as a `Backend`: an ONNX file in the form of RTMPose.

What it must be (Jiang et al. 2023, "RTMPose: Real-Time Multi-Person Pose Estimation based on
MMPose"; SimCC is Li et al. 2022, "SimCC: a Simple Coordinate Classification Perspective for Human
Pose Estimation"):

Input
    (N or 1, 3, S, S) float32: an upright square of the picture, RGB, less `MEAN`, over `STD`.
Outputs
    Two, (N, 21, X) and (N, 21, Y): of each keypoint a score for each of X places along x, then Y
    along y. X / S is the split ratio: how many places a pixel has.
Keypoints
    In the order of COCO-WholeBody's hands, which is the canonical one: wrist, then thumb, fore,
    middle, ring and little finger, each from the palm to its tip.

It sees a square of `MARGIN` times the box around a hand. Where hands are, their side, and whether
there is one, say the networks that ship: this one says no such things, and no depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fitter.detection.own_networks import OwnNetworks
from fitter.detection.same_hand import hand_size
from fitter.detection.windows import Picture, Window
from fitter.errors import InputError
from fitter.records import HandObservation

MARGIN = 1.25
"""Side of the square that the network sees over the longer side of the box around the keypoints, as
RTMPose was trained."""

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of the colours of ImageNet, in 255ths: what RTMPose takes off and divides by."""

LONGEST_REASON = 200
"""Characters of what ONNX Runtime says of a file that it cannot run."""


class SimccNetwork:
    """An ONNX file that names the places of 21 keypoints, on one thread of the CPU."""

    def __init__(self, path: Path) -> None:
        """Load it and try it.

        Raises:
            InputError: `onnxruntime` cannot be imported, or the file is not there, cannot be run,
                or has other inputs or outputs.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise InputError("detector.no_onnxruntime", reason=str(error)) from error
        if not path.is_file():
            raise InputError("onnx.missing", file=path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is wrong is said once, by the sentence
        try:
            self._session: Any = onnxruntime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except OSError as error:
            raise InputError("onnx.cannot_run", file=path, reason=error.strerror) from error
        except Exception as error:  # ONNX Runtime's own have no other class in common
            raise _cannot_run(path, error) from error
        self._input, self.pixels = self._entry(path)
        self._try(path)

    def __call__(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places and scores of the keypoints in windows, each asked by itself.

        Args:
            windows: (N, S, S, 3) uint8 RGB.

        Returns:
            (N, 21, 2) pixels from the middle of the window's first pixel; (N, 21) the lower of the
            best scores along x and y, in [0, 1].
        """
        points, scores = np.empty((len(windows), 21, 2)), np.empty((len(windows), 21))
        for i, window in enumerate(windows):
            along = self._run(window)
            for axis, values in enumerate(along):
                ratio = values.shape[-1] / self.pixels
                points[i, :, axis] = values[0].argmax(axis=-1) / ratio
            best = np.minimum(along[0][0].max(axis=-1), along[1][0].max(axis=-1))
            scores[i] = np.clip(best, 0.0, 1.0)
        return points, scores

    def _run(self, window: np.ndarray) -> list[np.ndarray]:
        colours = (window - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
        return self._session.run(None, {self._input: colours.transpose(2, 0, 1)[None]})

    def _entry(self, path: Path) -> tuple[str, int]:
        """The name of the input, and how many pixels its side has."""
        inputs = self._session.get_inputs()
        shapes = [tuple(each.shape) for each in inputs]
        fits = len(shapes) == 1 and len(shapes[0]) == 4 and inputs[0].type == "tensor(float)"
        if fits:
            count, channels, height, width = shapes[0]
            fits = channels == 3 and isinstance(width, int) and height == width
            fits = fits and (count == 1 or not isinstance(count, int))
        if not fits:
            found = ", ".join(f"{each.type} {list(each.shape)}" for each in inputs) or "none"
            raise InputError("onnx.other_input", file=path, found=found)
        return inputs[0].name, shapes[0][3]

    def _try(self, path: Path) -> None:
        """Run it once: what a file says of its outputs may be names of unknown sizes."""
        try:
            outputs = self._run(np.zeros((self.pixels, self.pixels, 3), np.uint8))
        except Exception as error:
            raise _cannot_run(path, error) from error
        shapes = [list(np.shape(each)) for each in outputs]
        if len(shapes) != 2 or any(len(s) != 3 or s[:2] != [1, 21] or not s[2] for s in shapes):
            raise InputError("onnx.other_outputs", file=path, found=shapes)


class OnnxBackend:
    """A `Backend`: the networks that ship find hands, a user's network places their keypoints."""

    def __init__(self, finder: OwnNetworks, network: SimccNetwork) -> None:
        self._finder, self._network = finder, network

    def find(self, picture: Picture, windows: Sequence[Window]) -> list[list[HandObservation]]:
        """See `Backend.find`; here a keypoint's confidence is the user's network's score of it."""
        found = self._finder.find(picture, windows)
        placed = iter(self._placed(picture, [hand for hands in found for hand in hands], False))
        return [[next(placed) for _ in hands] for hands in found]

    def follow(
        self, picture: Picture, hands: Sequence[HandObservation], mirrored: bool
    ) -> list[HandObservation | None]:
        """See `Backend.follow`."""
        again = self._finder.follow(picture, hands, mirrored)
        seen = [hand for hand in again if hand is not None]
        placed = iter(self._placed(picture, seen, mirrored))
        return [None if hand is None else next(placed) for hand in again]

    def _placed(
        self, picture: Picture, hands: Sequence[HandObservation], mirrored: bool
    ) -> list[HandObservation]:
        windows = [_window(hand, mirrored) for hand in hands]
        pixels = self._network.pixels
        points, scores = self._network(picture.cut(windows, pixels))
        return [
            replace(
                hand,
                keypoints=window.points_to_picture(each, pixels),
                confidence=confidence,
                relative_depth=None,
                relative_xyz=None,
                # The lifter corrects the landmark network's keypoints, not a user's.
                features=None,
            )
            for hand, window, each, confidence in zip(hands, windows, points, scores, strict=True)
        ]

    def close(self) -> None:
        """Nothing to free."""


def _window(hand: HandObservation, mirrored: bool) -> Window:
    centre = 0.5 * (hand.box[:2] + hand.box[2:])
    return Window(centre, MARGIN * max(hand_size(hand), 1.0), mirrored=mirrored)


def _cannot_run(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())
    reason = reason if len(reason) <= LONGEST_REASON else reason[:LONGEST_REASON] + " ..."
    return InputError("onnx.cannot_run", file=path, reason=reason)
