"""MediaPipe's palm detector and hand landmark network, one run on one image.

`fitter.detection.mediapipe_backend` builds on this or on `fitter.detection.mediapipe_task`, which
shares what both need; nothing else should need it. `mediapipe` is imported when a graph is built,
never before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np

from fitter.detection.palms import PALM_KEYPOINTS
from fitter.errors import InputError
from fitter.records import HandObservation, Side
from fitter.system.streams import HeldStderr

_GRAPH = "mediapipe/modules/hand_landmark/hand_landmark_tracking_cpu.binarypb"

_FOLLOWING_GRAPH = """
input_stream: "image"
input_stream: "landmarks"
output_stream: "hand_landmarks"
output_stream: "hand_world_landmarks"
output_stream: "handedness"
input_side_packet: "model_complexity"
node {
  calculator: "ImagePropertiesCalculator"
  input_stream: "IMAGE:image"
  output_stream: "SIZE:image_size"
}
node {
  calculator: "HandLandmarkLandmarksToRoi"
  input_stream: "LANDMARKS:landmarks"
  input_stream: "IMAGE_SIZE:image_size"
  output_stream: "ROI:window"
}
node {
  calculator: "HandLandmarkCpu"
  input_side_packet: "MODEL_COMPLEXITY:model_complexity"
  input_stream: "IMAGE:image"
  input_stream: "ROI:window"
  output_stream: "LANDMARKS:hand_landmarks"
  output_stream: "WORLD_LANDMARKS:hand_world_landmarks"
  output_stream: "HANDEDNESS:handedness"
}
"""
"""What MediaPipe does from the second frame of a video on: the landmark network alone, in a window
that follows from landmarks which are known roughly."""


class HandGraph:
    """The networks inside the package `mediapipe` before 0.10.22, for unrelated pictures.

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
            InputError: `mediapipe` cannot be imported, or carries no networks.
        """
        self._stderr = HeldStderr()
        try:
            with self._stderr.quiet():
                self._graph: Any = _build_graph(hand_count, min_score)
                self._following: Any = _build_following_graph(min_score)
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
        output = self._process(self._graph, {"image": np.ascontiguousarray(pixels)})
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
        hands = [
            observation(found.landmark, world.landmark, _side(handedness), (width, height), 0.0)
            for found, world, handedness in zip(
                output.multi_hand_landmarks,
                output.multi_hand_world_landmarks,
                output.multi_handedness,
                strict=True,
            )
        ]
        return [_scored(hand, palms, palm_scores) for hand in hands]

    def look_again(self, pixels: np.ndarray, hand: HandObservation) -> HandObservation | None:
        """Run the landmark network alone, for a hand whose place is known.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            hand: where it is, in the image's pixels; its score is kept.

        Returns:
            The hand as `look` reports it, or None where the network sees none.

        Raises:
            RuntimeError: the graph is closed.
        """
        height, width = pixels.shape[:2]
        landmarks = _landmarks((hand.keypoints - 0.5) / (width, height))
        output = self._process(
            self._following, {"image": np.ascontiguousarray(pixels), "landmarks": landmarks}
        )
        if output.hand_landmarks is None:
            return None
        found = (output.hand_landmarks.landmark, output.hand_world_landmarks.landmark)
        return observation(*found, _side(output.handedness), (width, height), hand.score)

    def close(self) -> None:
        """Free the networks; a second call does nothing."""
        if self._graph is not None:
            self._graph.close()
            self._following.close()
            self._graph = None
            self._stderr.close()

    def _process(self, graph: Any, inputs: dict[str, Any]) -> Any:
        if self._graph is None:
            raise RuntimeError("a closed detector was asked for hands")
        with self._stderr.quiet():
            return graph.process(inputs)


def observation(
    landmarks: Iterable[Any],
    world: Iterable[Any],
    handedness: tuple[Side, float],
    size: tuple[int, int],
    score: float,
) -> HandObservation:
    """One hand of MediaPipe's output in the house's conventions.

    Args:
        landmarks: 21, each with x and y as shares of the image's sides, and z in the unit of x.
        world: 21, each with x, y and z in metres.
        handedness: the hand's true side, and how sure MediaPipe is of it.
        size: (width, height) of the image in pixels.
        score: of the hand, and of each keypoint.
    """
    positions = np.array([(p.x, p.y, p.z) for p in landmarks], dtype=np.float64)
    keypoints = positions[:, :2] * size + 0.5
    # Landmark depth has the unit of x: shares of the image's width.
    depth = (positions[:, 2] - positions[0, 2]) * size[0]
    side, side_score = handedness
    return HandObservation(
        keypoints=keypoints,
        confidence=np.full(21, score),
        side=side,
        side_score=float(np.clip(side_score, 0.5, 1.0)),
        score=score,
        relative_depth=depth,
        relative_xyz=np.array([(p.x, p.y, p.z) for p in world], dtype=np.float64),
    )


def _side(handedness: Any) -> tuple[Side, float]:
    """The true side, and its score: these graphs name it as seen in a mirror."""
    label = handedness.classification[0]
    return "right" if label.label == "Left" else "left", label.score


def _scored(hand: HandObservation, palms: np.ndarray, scores: np.ndarray) -> HandObservation:
    """The hand with the score of the palm that lies nearest: (P, 7, 2) pixels, (P,)."""
    offsets = np.linalg.norm(palms - hand.keypoints[list(PALM_KEYPOINTS)], axis=2).mean(axis=1)
    score = float(np.clip(scores[offsets.argmin()], 0.0, 1.0))
    return replace(hand, score=score, confidence=np.full(21, score))


def require_mediapipe() -> None:
    """Import `mediapipe`.

    Raises:
        InputError: it cannot be imported.
    """
    try:
        import mediapipe  # noqa: F401
    except ImportError as error:
        raise InputError("detector.no_mediapipe", reason=str(error)) from error


def _build_following_graph(min_score: float) -> Any:
    """MediaPipe's landmark network for a hand whose place is known roughly."""
    from google.protobuf import text_format
    from mediapipe.framework.calculator_pb2 import CalculatorGraphConfig
    from mediapipe.python.solution_base import SolutionBase

    graph = SolutionBase(
        graph_config=text_format.Parse(_FOLLOWING_GRAPH, CalculatorGraphConfig()),
        side_inputs={"model_complexity": 1},
        calculator_params={"handlandmarkcpu__ThresholdingCalculator.threshold": min_score},
    )
    spread = np.linspace(0.25, 0.75, 21)
    graph.process({"image": _blank(), "landmarks": _landmarks(np.stack([spread, spread], 1))})
    return graph


def _build_graph(hand_count: int, min_score: float) -> Any:
    """MediaPipe's hand graph for unrelated pictures, with the palm scores its `Hands` hides."""
    require_mediapipe()
    try:
        # Its generated message classes register themselves on import; `hands` imports those
        # that the graph needs.
        from mediapipe.python.solution_base import SolutionBase
        from mediapipe.python.solutions import hands  # noqa: F401
    except (ImportError, AttributeError) as error:
        found = version("mediapipe")
        raise InputError("detector.no_models", version=found, reason=str(error)) from error
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
    graph.process({"image": _blank()})
    return graph


def _blank() -> np.ndarray:
    """A picture to begin with: a graph writes to the log while it loads its networks, which its
    first picture waits for."""
    return np.zeros((64, 64, 3), dtype=np.uint8)


def _landmarks(points: np.ndarray) -> Any:
    """MediaPipe's message of (N, 2) positions, as shares of width and height."""
    from mediapipe.framework.formats.landmark_pb2 import NormalizedLandmarkList

    message = NormalizedLandmarkList()
    for x, y in points:
        message.landmark.add(x=x, y=y)
    return message
