"""What MediaPipe's own graph says at each of its steps, in the house's conventions.

Positions are in the picture's pixels, as MediaPipe counts them, plus half a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitter.detection.mediapipe_graph import observation
from fitter.detection.palms import Palms
from fitter.detection.windows import Window
from fitter.records import HandObservation

_GRAPH = "mediapipe/modules/hand_landmark/hand_landmark_tracking_cpu.binarypb"


@dataclass(frozen=True)
class Steps:
    """Of one picture: P palms, a window around the hand of each, H hands, a window that follows
    from each hand. `palm_windows[i]` is that of `palms[i]`."""

    palms: Palms
    palm_windows: list[Window]
    hands: list[HandObservation]
    landmark_windows: list[Window]


class MediaPipeSteps:
    """The graph for unrelated pictures."""

    def __init__(self, hand_count: int, min_score: float) -> None:
        from mediapipe.python.solution_base import SolutionBase
        from mediapipe.python.solutions import hands  # noqa: F401

        self._graph = SolutionBase(
            binary_graph_path=_GRAPH,
            side_inputs={
                "model_complexity": 1, "num_hands": hand_count, "use_prev_landmarks": False,
            },
            calculator_params={
                "palmdetectioncpu__TensorsToDetectionsCalculator.min_score_thresh": min_score,
                "handlandmarkcpu__ThresholdingCalculator.threshold": min_score,
            },
            outputs=[
                "palm_detections", "hand_rects_from_palm_detections", "multi_hand_landmarks",
                "multi_hand_world_landmarks", "multi_handedness", "hand_rects_from_landmarks",
            ],
        )  # fmt: skip

    def of(self, pixels: np.ndarray) -> Steps:
        """All steps on a picture (H, W, 3) uint8."""
        said = self._graph.process({"image": np.ascontiguousarray(pixels)})
        size = (pixels.shape[1], pixels.shape[0])
        return Steps(
            palms=_palms(said.palm_detections or [], np.array(size)),
            palm_windows=[_window(r, size) for r in said.hand_rects_from_palm_detections or []],
            hands=_hands(said, size),
            landmark_windows=[_window(rect, size) for rect in said.hand_rects_from_landmarks or []],
        )

    def __enter__(self) -> MediaPipeSteps:
        return self

    def __exit__(self, *_: object) -> None:
        self._graph.close()


def _palms(detections, size: np.ndarray) -> Palms:
    boxes, points, scores = [], [], []
    for detection in detections:
        place = detection.location_data
        box = place.relative_bounding_box
        low = np.array([box.xmin, box.ymin])
        boxes.append(np.concatenate([low, low + [box.width, box.height]]) * np.tile(size, 2) + 0.5)
        points.append(np.array([(p.x, p.y) for p in place.relative_keypoints]) * size + 0.5)
        scores.append(detection.score[0])
    count = len(scores)
    return Palms(
        np.array(boxes).reshape(count, 4), np.array(points).reshape(count, 7, 2), np.array(scores)
    )


def _window(rect, size: tuple[int, int]) -> Window:
    centre = np.array([rect.x_center, rect.y_center]) * size + 0.5
    assert abs(rect.width * size[0] - rect.height * size[1]) < 0.01
    return Window(centre, rect.width * size[0], rect.rotation)


def _hands(said, size: tuple[int, int]) -> list[HandObservation]:
    if not said.multi_hand_landmarks:
        return []
    hands = []
    for landmarks, world, handedness in zip(
        said.multi_hand_landmarks,
        said.multi_hand_world_landmarks,
        said.multi_handedness,
        strict=True,
    ):
        (label,) = handedness.classification
        side = ("right" if label.label == "Left" else "left", label.score)
        hands.append(observation(landmarks.landmark, world.landmark, side, size, 1.0))
    return hands
