"""The first half of the pipeline, one picture at a time: decode it, find its hands, crop them."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fitter.config.options import Config
from fitter.detection.detector import Detector, MediaPipeDetector
from fitter.errors import InputError
from fitter.fitting.crops import HandCrop, crop_hands
from fitter.fitting.detected_image import DetectedImage
from fitter.inputs.images import read_image_and_exif
from fitter.inputs.sources import Sources, stamps
from fitter.records import ImageRecord
from fitter.rendering.overlay import OverlayHand, write_image_overlay

log = logging.getLogger(__name__)

UNEXPECTED = "unexpected"
"""How the reason begins where a picture failed for a fault of the program or of a library."""


def look_at(
    sources: Sources, index: int, detector: Detector | None, config: Config
) -> DetectedImage:
    """Read one picture and find its hands; whatever goes wrong stays inside this picture.

    Args:
        sources: of pictures among which it is.
        index: which picture, its place in the whole listing.
        detector: not needed where keypoints are given.
        config: of the run. Of more hands than `max_hands` the detector's surest are kept, or the
            first of the user's file.
    """
    # Before it is read: a picture that changes meanwhile is then told as changed.
    stamped = stamps(sources, index)
    return replace(_look(sources, index, detector, config), **stamped)


def failed(sources: Sources, index: int, reason: str) -> DetectedImage:
    """A picture that is not looked at, because of the `reason`."""
    return replace(DetectedImage(error=reason), **stamps(sources, index))


def _look(sources: Sources, index: int, detector: Detector | None, config: Config) -> DetectedImage:
    entry = sources.entry(index)
    try:
        pixels, exif = read_image_and_exif(entry.path)
        size = (pixels.shape[1], pixels.shape[0])
        matrix, source = sources.intrinsics.intrinsics_for(entry, index, size, exif)
        if sources.keypoints is not None:
            hands = sources.keypoints.hands_for(entry, index)
        else:
            image = ImageRecord(entry.name, entry.path, pixels, matrix, source)
            hands = detector.detect(image)
        kept = tuple(hands[: config.detector.max_hands])
        crops: Sequence[HandCrop | None] = ()
        if config.needs_crops:
            mask = None if sources.masks is None else sources.masks.mask_for(entry, size)
            crop = (config.refine.resolution, config.refine.margin)
            crops = crop_hands(pixels, matrix, kept, mask, crop)
        return DetectedImage(size, matrix, source, kept, crops)
    except InputError as error:
        # The row stands beside the picture's name: what was typed before it says nothing more, and
        # would make the rows depend on where the pictures and their masks lie.
        sentence = str(error).removeprefix(f"{entry.path}: ")
        if sources.masks is not None:
            sentence = sentence.removeprefix(f"{sources.masks.folder}{os.sep}")
        return DetectedImage(error=sentence)
    except Exception as error:
        # A fault of ours or of a library must not stop the other pictures of a long run.
        log.exception("unexpected error in %s", entry.path)
        return DetectedImage(error=f"{UNEXPECTED} {type(error).__name__}: {error}")


class ImageWorker:
    """All that a run does with whole pictures, to be done in a process of its own."""

    def __init__(self, config: Config, detects: bool) -> None:
        """Load the detector.

        Args:
            config: of the run.
            detects: whether hands are to be found, and not given.

        Raises:
            InputError: the detector cannot be loaded.
        """
        self.config = config
        self.detector = self._load() if detects else None

    def look(self, sources: Sources, index: int) -> DetectedImage:
        """See `look_at`."""
        seen = look_at(sources, index, self.detector, self.config)
        if seen.error.startswith(UNEXPECTED) and self.detector is not None:
            # After an error of its own MediaPipe's graph refuses every further picture.
            self.detector.close()
            self.detector = self._load()
        return seen

    def _load(self) -> MediaPipeDetector:
        options = self.config.detector
        task = None if options.task is None else Path(options.task)
        looks = options.second_pass
        return MediaPipeDetector(options.max_hands, options.min_score, looks, task=task)

    def draw(self, path: str, hands: Sequence[OverlayHand], place: tuple[str, np.ndarray]) -> str:
        """Draw an overlay; see `fitter.rendering.overlay.write_image_overlay`.

        Args:
            path: the overlay's file.
            hands: what to draw.
            place: the picture's file and its K, (3, 3).

        Returns:
            Why it could not be drawn, or an empty text.
        """
        picture, intrinsics = place
        try:
            write_image_overlay(path, picture, hands, intrinsics)
        except InputError as error:
            return str(error)
        except Exception as error:
            # One overlay that fails is told, and loses no result.
            log.exception("unexpected error in the overlay %s", path)
            return f"{UNEXPECTED} {type(error).__name__}: {error}"
        return ""
