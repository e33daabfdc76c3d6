"""The first half of the pipeline, one image at a time: decode it, find its hands, crop them.

ImageTask -> `detect_image` -> DetectedImage
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fitter.config.options import Config
from fitter.detection.backend import load_backend
from fitter.detection.detector import Detector, DetectorOptions, HandDetector, first_score
from fitter.errors import InputError
from fitter.fitting.crops import crop_hands
from fitter.fitting.detected_image import DetectedImage
from fitter.inputs.image_task import ImageTask
from fitter.inputs.object_poses import PosedIn
from fitter.inputs.through_lens import ThroughLens
from fitter.records import HandCrop, HandObservation, ImageRecord
from fitter.system.gpu_driver import has_gpu_driver

log = logging.getLogger(__name__)

UNEXPECTED = "worker.unexpected"
"""Code of the error of an image that failed for a fault of the program or of a library."""


class ImageDetector:
    """Reads images and finds their hands; to be held in a process of its own."""

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

    def detect(self, task: ImageTask) -> DetectedImage:
        """See `detect_image`."""
        found = detect_image(task, self.detector, self.config)
        if found.error_code == UNEXPECTED and self.detector is not None:
            # After an error of its own MediaPipe's graph refuses every further image.
            self.detector.close()
            self.detector = self._load()
        return found

    def close(self) -> None:
        """End the detector."""
        if self.detector is not None:
            self.detector.close()

    def _load(self) -> HandDetector:
        chosen = self.config.detector
        most = None if chosen.max_hands == "auto" else chosen.max_hands
        options = DetectorOptions(most, chosen.min_score, chosen.second_pass, chosen.search)
        # A few more than asked for, so that duplicates do not take the places of hands.
        count, device = chosen.slots + 2, self._device()
        file, least = chosen.used_file, first_score(chosen.min_score)
        backend = load_backend(chosen.used_backend, least, file, count, device)
        return HandDetector(options, backend)

    def _device(self) -> str | None:
        """Where PyTorch runs the detector's networks; None where LiteRT does."""
        engine, asked = self.config.detector.engine, self.config.run.device
        if engine == "litert" or (engine == "auto" and (asked == "cpu" or not has_gpu_driver())):
            return None
        from fitter.device import choose_device  # loads PyTorch, which LiteRT does without

        device = choose_device(asked).type
        return device if engine == "torch" or device != "cpu" else None


def detect_image(task: ImageTask, detector: Detector | None, config: Config) -> DetectedImage:
    """Read one image and find its hands; whatever goes wrong stays inside this image.

    Args:
        task: the image, and what is given for it.
        detector: not needed where keypoints are given.
        config: of the run. Of more hands than there are slots the detector's surest are kept, or
            the first of the user's file; the others are counted.
    """
    # Before it is read: an image that changes meanwhile is then told as changed.
    stamps = task.stamps()
    try:
        found = _detect(task, detector, config)
    except InputError as error:
        found = DetectedImage.of_error(_beside_name(error, task))
    except Exception as error:
        # A fault of ours or of a library must not stop the other images of a long run.
        log.exception("unexpected error in %s", task.file.label)
        unexpected = InputError(UNEXPECTED, kind=type(error).__name__, reason=str(error))
        found = DetectedImage.of_error(unexpected)
    return replace(found, time=task.file.time, **vars(stamps))


def _detect(task: ImageTask, detector: Detector | None, config: Config) -> DetectedImage:
    pixels, exif = task.file.read()
    size = (pixels.shape[1], pixels.shape[0])
    matrix, source = task.intrinsics_for(size, exif)
    hands = task.given_hands()
    inside, through = task.file.inside(size), task.through(size)
    image = ImageRecord(task.name, Path(task.file.label), pixels, matrix, source, inside)
    mask = task.mask_for(size) if config.needs_crops else None
    of_matrix = size if through is None else through.straight.size
    objects = task.objects_in(PosedIn(task.name, of_matrix, matrix, source))
    found = find_hands(image, hands, mask, detector, config, through)
    found = replace(found, intrinsics_note=task.intrinsics_note(size, exif, source))
    if objects:
        found = replace(found, objects=objects)
    if task.hand_size is not None:
        found = found.of_size(task.hand_size)
    return found if task.people is None else found.of_people(task.people, task.shared)


def find_hands(
    image: ImageRecord,
    given: Sequence[HandObservation] | None,
    mask: np.ndarray | None,
    detector: Detector | None,
    config: Config,
    through: ThroughLens | None = None,
) -> DetectedImage:
    """Find the hands of a decoded image and crop them.

    Args:
        image: decoded, with its K.
        given: hands that are not to be detected, or None.
        mask: (H, W) bool, the pixels that show hands, or None.
        detector: not needed where hands are given.
        config: of the run.
        through: the lens that took the image, where it distorts; image, hands and mask are as it
            shows them, what is found as without distortion.

    Raises:
        InputError: the detector cannot be used.
    """
    if given is None:
        if detector is None:
            raise ValueError("expected a detector, or keypoints that are given")
        given = detector.detect(image)
    shown = len(given)
    if through is not None:
        given = [hand for hand in map(through.hand, given) if hand is not None]
        image, mask = through.record(image), through.mask(mask)
    kept = tuple(given[: config.detector.slots])
    crops: Sequence[HandCrop | None] = ()
    if config.needs_crops:
        crop = (config.refine.resolution, config.refine.margin)
        crops = crop_hands(image.pixels, image.intrinsics, kept, mask, crop, image.inside)
    size = (image.pixels.shape[1], image.pixels.shape[0])
    beyond = shown - len(kept)
    found = DetectedImage(size, image.intrinsics, image.intrinsics_source, kept, crops, beyond)
    return found if through is None else replace(found, lens=through.lens)


def _beside_name(error: InputError, task: ImageTask) -> InputError:
    """The error as it stands beside the image's name in the store.

    The path of the image would say nothing more, and with the folders it would make the rows depend
    on where images and masks lie.
    """
    file, label = error.facts.get("file"), task.file.label
    if not isinstance(file, str | Path):
        return error
    if str(file) in (label, task.name):
        return InputError(error.code, **{k: v for k, v in error.facts.items() if k != "file"})
    for start in (label, task.name):  # of a part of it, such as one of its hands
        if str(file) != start and str(file).startswith(start):
            return error.about(file=str(file)[len(start) :].lstrip(" ,:"))
    given = [beside.folder for beside in (task.masks, task.objects) if beside is not None]
    for folder in (*given, task.file.folder):
        if folder is not None and Path(file).is_relative_to(folder):
            return error.about(file=str(Path(file).relative_to(folder)))
    return error
