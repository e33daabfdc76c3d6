"""MediaPipe's palm detector and hand landmark network, one run on one image.

`fitter.detect` builds its detector on this; nothing else should need it. `mediapipe` is imported
when a graph is built, never before.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
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
    warnings in it are dropped.
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
        self._graph: Any = _build_graph(hand_count, min_score)

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
        with _quiet():
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
    with _quiet():
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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back standard error of the process and drop `_LOG_NOISE` from it.

    MediaPipe's libraries write to file descriptor 2 and offer Python no switch. Everything else
    that was written meanwhile is passed on, in order.
    """
    with contextlib.suppress(ValueError, OSError, AttributeError):
        sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # no standard error at all: nothing to keep quiet
        yield
        return
    with tempfile.TemporaryFile() as held, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="SymbolDatabase.GetPrototype")
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            for line in held:
                if not _LOG_NOISE.match(line):
                    os.write(2, line)
