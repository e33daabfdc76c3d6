"""MediaPipe's palm detector and hand landmark network, one run on one image.

`fitter.detect` builds its detector on this; nothing else should need it. `mediapipe` is imported
when a graph is built, never before.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fitter.records import HandObservation, InputError, Side

PALM_KEYPOINTS = (0, 5, 9, 13, 17, 1, 2)
"""Canonical keypoints that the palm detector's seven points stand for."""

_GRAPH = "mediapipe/modules/hand_landmark/hand_landmark_tracking_cpu.binarypb"

_LOG_NOISE = re.compile(
    rb"^([IW]\d{4} |INFO: Created TensorFlow Lite|WARNING: All log messages before absl::)"
)
"""Lines of MediaPipe's C++ log that are information or warnings, not errors."""


class HandGraph:
    """The networks inside the package `mediapipe` 0.10, for unrelated pictures.

    Usable any number of times, from one thread at a time. While it is built and while it looks,
    what is written to the process's standard error is held back, and MediaPipe's information and
    warnings in it are dropped; if it aborts the process, all that was held back is printed.
    """

    def __init__(self, hand_count: int, min_score: float) -> None:
        """Load the networks.

        Args:
            hand_count: most hands to report in an image.
            min_score: in [0, 1]; least palm score, and least score of the landmark network that
                its window holds a hand.

        Raises:
            InputError: `mediapipe` cannot be imported.
        """
        self._stderr = HeldStderr()
        try:
            with self._stderr.quiet():
                self._graph: Any = _build_graph(hand_count, min_score)
        except BaseException:
            self._stderr.close()
            raise

    def look(self, pixels: np.ndarray) -> list[HandObservation]:
        """Run the networks once.

        Args:
            pixels: (H, W, 3) uint8 RGB.

        Returns:
            Every hand they report, in the image's pixels and the house's conventions. `score` is
            the palm detector's, and every keypoint's confidence: MediaPipe gives single hand
            landmarks none.

        Raises:
            RuntimeError: the graph is closed.
        """
        if self._graph is None:
            raise RuntimeError("a closed detector was asked for hands")
        with self._stderr.quiet():
            output = self._graph.process({"image": np.ascontiguousarray(pixels)})
        if not output.multi_hand_landmarks:
            return []
        height, width = pixels.shape[:2]
        palms = np.array(
            [
                [(p.x * width, p.y * height) for p in palm.location_data.relative_keypoints]
                for palm in output.palm_detections
            ]
        )
        palm_scores = np.array([palm.score[0] for palm in output.palm_detections])
        return [
            _observation(*found, (width, height), (palms, palm_scores))
            for found in zip(
                output.multi_hand_landmarks,
                output.multi_hand_world_landmarks,
                output.multi_handedness,
                strict=True,
            )
        ]

    def close(self) -> None:
        """Free the networks; a second call does nothing."""
        if self._graph is not None:
            self._graph.close()
            self._graph = None
            self._stderr.close()


def _observation(
    landmarks: Any,
    world: Any,
    handedness: Any,
    size: tuple[int, int],
    palms: tuple[np.ndarray, np.ndarray],
) -> HandObservation:
    """One hand of MediaPipe's output for an image of `size` (width, height)."""
    positions = np.array([(p.x, p.y, p.z) for p in landmarks.landmark], dtype=np.float64)
    keypoints = positions[:, :2] * size + 0.5
    # Landmark depth has the unit of x: shares of the image's width.
    depth = (positions[:, 2] - positions[0, 2]) * size[0]
    label = handedness.classification[0]
    side: Side = "right" if label.label == "Left" else "left"
    palm_points, palm_scores = palms
    offsets = np.linalg.norm(palm_points - keypoints[list(PALM_KEYPOINTS)], axis=2).mean(axis=1)
    score = float(np.clip(palm_scores[offsets.argmin()], 0.0, 1.0))
    return HandObservation(
        keypoints=keypoints,
        confidence=np.full(21, score),
        side=side,
        side_score=float(np.clip(label.score, 0.5, 1.0)),
        score=score,
        relative_depth=depth,
        relative_xyz=np.array([(p.x, p.y, p.z) for p in world.landmark], dtype=np.float64),
    )


def _build_graph(hand_count: int, min_score: float) -> Any:
    """MediaPipe's hand graph for unrelated pictures, with the palm scores its `Hands` hides."""
    try:
        # Its generated message classes register themselves on import; `hands` imports those
        # that the graph needs.
        from mediapipe.python.solution_base import SolutionBase
        from mediapipe.python.solutions import hands  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"expected the package mediapipe for finding hands, found: {error}."
        ) from error
    graph = SolutionBase(
        binary_graph_path=_GRAPH,
        side_inputs={
            "model_complexity": 1,
            "num_hands": hand_count,
            "use_prev_landmarks": False,
        },
        calculator_params={
            "palmdetectioncpu__TensorsToDetectionsCalculator.min_score_thresh": min_score,
            "handlandmarkcpu__ThresholdingCalculator.threshold": min_score,
        },
        outputs=[
            "multi_hand_landmarks",
            "multi_hand_world_landmarks",
            "multi_handedness",
            "palm_detections",
        ],
    )
    # Its threads write to the log while the networks load, which the first picture waits for.
    graph.process({"image": np.zeros((64, 64, 3), dtype=np.uint8)})
    return graph


class HeldStderr:
    """Holds the process's standard error back while MediaPipe's libraries write to it.

    They write to file descriptor 2 and offer Python no switch. What they write meanwhile goes to a
    file, which takes any amount without anybody reading. Should they abort the process, nobody is
    left in it to pass their last words on, so a small process waits beside for that: it prints what
    is still held when this one has ended.
    """

    def __init__(self) -> None:
        """Start holding nothing; where there is no standard error, nothing is ever held."""
        self._file: int | None = None
        self._witness: subprocess.Popen[bytes] | None = None
        try:
            os.fstat(2)
        except OSError:
            return
        self._file, path = tempfile.mkstemp(prefix="fit-hands-")
        reader = os.open(path, os.O_RDONLY)
        Path(path).unlink()
        # Written by appending, so that emptying it is all it takes to begin again.
        fcntl.fcntl(self._file, fcntl.F_SETFL, os.O_APPEND)
        try:
            # Its standard input ends when this process does. Its standard output is in truth the
            # file, opened apart for its own position; a session of its own keeps Ctrl-C away.
            self._witness = subprocess.Popen(
                ["/bin/sh", "-c", "read -r _; cat <&1 >&2"],
                stdin=subprocess.PIPE,
                stdout=reader,
                start_new_session=True,
            )
        finally:
            os.close(reader)

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Hold standard error back, drop `_LOG_NOISE` from it and pass the rest on, in order."""
        with contextlib.suppress(ValueError, OSError, AttributeError):
            sys.stderr.flush()
        if self._file is None:
            yield
            return
        saved = os.dup(2)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="SymbolDatabase.GetPrototype")
            os.dup2(self._file, 2)
            try:
                yield
            finally:
                os.dup2(saved, 2)
                os.close(saved)
                self._pass_on()

    def close(self) -> None:
        """End the process that waits; a second call does nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._witness is not None:
            self._witness.communicate()
            self._witness = None

    def _pass_on(self) -> None:
        length = os.fstat(self._file).st_size
        if length:
            for line in os.pread(self._file, length, 0).splitlines(keepends=True):
                if not _LOG_NOISE.match(line):
                    os.write(2, line)
            os.ftruncate(self._file, 0)
