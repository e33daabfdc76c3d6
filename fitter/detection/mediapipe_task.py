"""MediaPipe's hand landmarker from a `.task` file, one run on one image.

Releases of `mediapipe` from 0.10.22 on carry no networks of their own. A `.task` file is a zip of
models without compression; that of the hand landmarker holds the two networks that earlier
releases carried. `mediapipe` is imported when a landmarker is built, never before.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from fitter.detection.mediapipe_graph import observation, require_mediapipe
from fitter.errors import InputError
from fitter.records import HandObservation, Side
from fitter.system.streams import HeldStderr

MODELS = ("hand_detector.tflite", "hand_landmarks_detector.tflite")
"""What the file of a hand landmarker holds."""

LONGEST_REASON = 200
"""Characters of what MediaPipe says of models that it cannot run; it goes on about its sources."""

_LOCAL_HEADER = b"PK\x03\x04"
"""Begins every member of a zip."""

_PADDING = 64
"""Bytes that may stand before the first member; MediaPipe's own writer aligns members to 4."""


class TaskLandmarker:
    """A hand landmarker for unrelated pictures; the counterpart of `HandGraph`.

    Its networks and what its palm detector reports are those of `HandGraph`; three things differ:

    Score
        The interface tells how sure the network is of the hand's side, and not the palm
        detector's score. `score` is that of the side, so it is from 0.5 to 1 whatever `min_score`.
    Window
        The landmark network sees the hand turned by another 0.465 rad (27 degrees): the window
        laid around a palm is meant to be turned by 90 degrees, and 90 is taken for radians
        (90 - 0.5 pi modulo 2 pi; measured on the rectangles of palms with 0.10.21). On the
        pictures of `examples/` its keypoints are 6.3 pixels from the true ones in the mean and
        those of `HandGraph` 5.5, of hands of about 250. In a mirrored picture the window is turned
        the other way, which the second look of `fitter.detection.detector` profits from.
    Second look
        The landmark network cannot be asked alone, so that `look_again` runs both.

    Usable any number of times, from one thread at a time. For standard error see `HandGraph`.
    """

    def __init__(self, task: Path, hand_count: int, min_score: float) -> None:
        """Load the networks.

        Args:
            task: the `.task` file.
            hand_count: most hands to report in an image.
            min_score: in [0, 1]; least palm score, and least score of the landmark network that
                its window holds a hand.

        Raises:
            InputError: `mediapipe` cannot be imported, or the file is none of a hand landmarker.
        """
        require_bundle(task)
        self._landmarker: Any = None
        self._stderr = HeldStderr()
        try:
            with self._stderr.quiet(errors=False):
                self._landmarker = _build(task, hand_count, min_score)
                # A network that does not fit is noticed at the first picture.
                self._landmarker.detect(self._image(np.zeros((64, 64, 3), dtype=np.uint8)))
        except (ValueError, RuntimeError, OSError) as error:
            self.close()
            reason = " ".join(str(error).split()) or type(error).__name__
            reason = reason if len(reason) <= LONGEST_REASON else reason[:LONGEST_REASON] + " ..."
            raise InputError(
                "task.cannot_run", file=task, version=version("mediapipe"), reason=reason
            ) from error
        except BaseException:
            self.close()
            raise

    def look(self, pixels: np.ndarray) -> list[HandObservation]:
        """Run the networks once.

        Args:
            pixels: (H, W, 3) uint8 RGB.

        Returns:
            Every hand they report, in the image's pixels and the house's conventions. `score` is
            that of the hand's side, and every keypoint's confidence.

        Raises:
            RuntimeError: the landmarker is closed.
        """
        if self._landmarker is None:
            raise RuntimeError("a closed detector was asked for hands")
        with self._stderr.quiet():
            result = self._landmarker.detect(self._image(pixels))
        size = (pixels.shape[1], pixels.shape[0])
        hands = []
        for landmarks, world, handedness in zip(
            result.hand_landmarks, result.hand_world_landmarks, result.handedness, strict=True
        ):
            side, score = _side(handedness[0])
            hands.append(observation(landmarks, world, (side, score), size, score))
        return hands

    def look_again(self, pixels: np.ndarray, hand: HandObservation) -> HandObservation | None:
        """Run the networks for a hand whose place is known.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            hand: where it is, in the image's pixels; its score is kept.

        Returns:
            Of the hands that `look` reports, the one whose keypoints are nearest, however far; or
            None where it reports none.

        Raises:
            RuntimeError: the landmarker is closed.
        """

        def distance(other: HandObservation) -> float:
            return float(np.linalg.norm(other.keypoints - hand.keypoints, axis=1).mean())

        nearest = min(self.look(pixels), key=distance, default=None)
        if nearest is None:
            return None
        return replace(nearest, score=hand.score, confidence=np.full(21, hand.score))

    def close(self) -> None:
        """Free the networks; a second call does nothing."""
        if self._landmarker is not None:
            landmarker, self._landmarker = self._landmarker, None
            with self._stderr.quiet(errors=False):
                try:
                    landmarker.close()
                except (RuntimeError, ValueError):
                    # After a failure closing says once more what was said, and from 0.10.30 on
                    # forgets that it was done: the finaliser would free it again, and may hang.
                    landmarker._handle = None
        self._stderr.close()

    @staticmethod
    def _image(pixels: np.ndarray) -> Any:
        import mediapipe

        data = np.ascontiguousarray(pixels)
        return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=data)


def task_identity(task: Path | None) -> dict[str, str]:
    """What tells a task file from another; nothing for the networks inside `mediapipe`, whose
    version tells them.

    Raises:
        InputError: as `require_bundle`.
    """
    if task is None:
        return {}
    require_bundle(task)
    with task.open("rb") as file:
        return {"detector_task_sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def require_bundle(task: Path) -> None:
    """Look at a `.task` file without `mediapipe`, which names neither the file nor what is wrong.

    Raises:
        InputError: it is not there, or no whole bundle with the models of a hand landmarker.
    """
    try:
        if not task.exists():
            raise InputError("task.missing", file=task)
        if not task.is_file():
            raise InputError("task.not_regular", file=task)
        with task.open("rb") as file:
            start = file.read(_PADDING + 30 + 256)
        if not start:
            raise InputError("task.empty", file=task)
        begins = start.find(_LOCAL_HEADER, 0, _PADDING)
        if not zipfile.is_zipfile(task):
            raise InputError("task.no_bundle" if begins < 0 else "task.cut_off", file=task)
        with zipfile.ZipFile(task) as bundle:
            members = {member.filename: member for member in bundle.infolist()}
            # The models are zips too: the directory of one inside a cut file is taken for its own.
            if begins >= 0 and _first_name(start[begins:]) not in members:
                raise InputError("task.cut_off", file=task)
            if missing := [name for name in MODELS if name not in members]:
                found = ", ".join(sorted(members)[:4]) or "nothing"
                raise InputError("task.no_model", file=task, missing=missing[0], found=found)
            if any(members[name].compress_type != zipfile.ZIP_STORED for name in MODELS):
                raise InputError("task.compressed", file=task)
            damaged = bundle.testzip()
    except (zipfile.BadZipFile, EOFError) as error:
        raise InputError("task.damaged", file=task, reason=str(error)) from error
    except OSError as error:
        raise InputError("task.unreadable", file=task, reason=error.strerror) from error
    if damaged is not None:
        raise InputError("task.damaged_model", file=task, model=damaged)


def _first_name(header: bytes) -> str:
    """Name of the member that a zip's local header, of 30 bytes before the name, begins."""
    length = int.from_bytes(header[26:28], "little")
    return header[30 : 30 + length].decode("utf-8", "replace")


def _build(task: Path, hand_count: int, min_score: float) -> Any:
    """MediaPipe's landmarker in image mode."""
    require_mediapipe()
    from mediapipe.tasks.python import BaseOptions, vision

    # Its content and not its path: MediaPipe has views of its own on relative and foreign ones.
    options = vision.HandLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=task.read_bytes()),
        running_mode=vision.RunningMode.IMAGE,
        num_hands=hand_count,
        min_hand_detection_confidence=min_score,
        min_hand_presence_confidence=min_score,
    )
    return vision.HandLandmarker.create_from_options(options)


def _side(category: Any) -> tuple[Side, float]:
    """The true side, and its score: other than the graphs of `HandGraph`, the tasks do not suppose
    that a picture is mirrored (the same on `examples/` with 0.10.14, 0.10.21, 0.10.35 and 1.2)."""
    return "right" if category.category_name == "Right" else "left", category.score
