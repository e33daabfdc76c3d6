"""The first half of the pipeline, one image at a time: decode it, find its hands, crop them.

ImageTask -> `detect_image` -> DetectedImage
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fitter.config.options import Config
from fitter.detection.backend import load_backend
from fitter.detection.detector import Detector, DetectorOptions, HandDetector, first_score
from fitter.errors import InputError
from fitter.fitting.crops import crop_hands
from fitter.fitting.detected_image import DetectedImage
from fitter.inputs.given_hands import SIDE_UNTOLD, inside_hands, sure_hands
from fitter.inputs.hand_masks import masks_of_hands
from fitter.inputs.image_task import ImageTask
from fitter.inputs.object_poses import PosedIn
from fitter.inputs.through_lens import ThroughLens
from fitter.kept_hands import text_of
from fitter.records import HandCrop, HandObservation, ImageRecord
from fitter.system.gpu_driver import has_gpu_driver
from fitter.tracked_hands import ImageTracks

log = logging.getLogger(__name__)

Sided = Callable[[ImageRecord, HandObservation], HandObservation]
"""Tells which hand a given one is."""

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
        self._asked: HandDetector | None = None

    def detect(self, task: ImageTask) -> DetectedImage:
        """See `detect_image`."""
        found = detect_image(task, self.detector, self.config, self._sided)
        if found.error_code == UNEXPECTED and self.detector is not None:
            # After an error of its own MediaPipe's graph refuses every further image.
            self.detector.close()
            self.detector = self._load()
        return found

    def close(self) -> None:
        """End the detector."""
        for detector in (self.detector, self._asked):
            if detector is not None:
                detector.close()

    def _sided(self, image: ImageRecord, hand: HandObservation) -> HandObservation:
        """A given hand of which nobody says which it is, as the detector sees it.

        Raises:
            InputError: the detector sees no hand there, or cannot be loaded.
        """
        if self.detector is None and self._asked is None:
            self._asked = self._load()
        detector = self.detector or self._asked
        assert detector is not None
        sided = detector.sided(image, hand)
        if sided is None:
            raise InputError("keypoints.untold_side", file=image.name)
        return sided

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


def detect_image(
    task: ImageTask, detector: Detector | None, config: Config, sided: Sided | None = None
) -> DetectedImage:
    """Read one image and find its hands; whatever goes wrong stays inside this image. One that is
    not wanted in this pass is not read.

    Args:
        task: the image, and what is given for it.
        detector: not needed where keypoints are given.
        config: of the run. Of more hands than there are slots the surest are kept; the others
            are counted.
        sided: tells which hand a given one is; not needed where every one says so.
    """
    # Before it is read: an image that changes meanwhile is then told as changed.
    stamps = task.stamps()
    try:
        known = None if task.kept is None else task.kept.hands(stamps.file, stamps.inputs_digest)
        once = None if detector is None else _Once(detector, known)
        found = _detect(task, once, config, sided) if task.is_wanted else DetectedImage()
        if once is not None and once.found is not None and not task.is_final:
            found = replace(found, detections=text_of(once.found))
    except InputError as error:
        found = DetectedImage.of_error(_beside_name(error, task))
    except Exception as error:
        # A fault of ours or of a library must not stop the other images of a long run.
        log.exception("unexpected error in %s", task.file.label)
        unexpected = InputError(UNEXPECTED, kind=type(error).__name__, reason=str(error))
        found = DetectedImage.of_error(unexpected)
    return replace(found, time=task.file.time, **vars(stamps))


class _Once:
    """A `Detector` of one image, which does not look where an earlier pass has looked.

    Attributes:
        found: the hands; None until they are asked for.
    """

    def __init__(self, detector: Detector, found: list[HandObservation] | None) -> None:
        """`found` is what an earlier pass has kept, or None."""
        self._detector, self.found = detector, found

    def detect(self, image: ImageRecord) -> list[HandObservation]:
        """See `Detector.detect`."""
        if self.found is None:
            self.found = self._detector.detect(image)
        return self.found


def _detect(
    task: ImageTask, detector: Detector | None, config: Config, sided: Sided | None = None
) -> DetectedImage:
    read = task.file.picture()
    pixels, exif, inside = read.pixels, read.exif, read.inside
    size = (pixels.shape[1], pixels.shape[0])
    matrix, source = task.intrinsics_for(size, exif)
    given = task.given_hands(size, config.detector.min_score)
    through = task.through(size)
    image = ImageRecord(task.name, Path(task.file.label), pixels, matrix, source, inside)
    hands = None if given is None else _given(given, task, image, config, sided)
    mask = task.mask_for(size) if config.needs_crops else None
    of_matrix = size if through is None else through.straight.size
    objects = task.objects_in(PosedIn(task.name, of_matrix, matrix, source))
    found = find_hands(image, hands, mask, detector, config, through, task.tracks)
    if given is not None and hands is not None:
        found = replace(found, hands_left_out=found.hands_left_out + len(given) - len(hands))
    found = replace(found, intrinsics_note=task.intrinsics_note(size, exif, source))
    if objects:
        found = replace(found, objects=objects)
    found = found.of_size(task.hand_size)
    return found if task.people is None else found.of_people(task.people, task.shared)


def find_hands(
    image: ImageRecord,
    given: Sequence[HandObservation] | None,
    mask: np.ndarray | None,
    detector: Detector | None,
    config: Config,
    through: ThroughLens | None = None,
    tracks: ImageTracks | None = None,
) -> DetectedImage:
    """Find the hands of a decoded image and crop them.

    Args:
        image: decoded, with its K.
        given: hands that are not to be detected, or None. Those whose confidence is below
            `detector.min_score` are left out, and counted; so are, of those in files, the ones
            that lie outside the image.
        mask: (H, W) bool, the pixels that show hands, or uint16 labels of hands and things, 0 for
            none; or None.
        detector: not needed where hands are given.
        config: of the run.
        through: the lens that took the image, where it distorts; image, hands and mask are as it
            shows them, what is found as without distortion.
        tracks: what is known of the hands' tracks, of a frame of a video.

    Raises:
        InputError: the detector cannot be used, or the mask shows where no hand is
            (`mask.inverted`).
    """
    if given is None:
        if detector is None:
            raise ValueError("expected a detector, or keypoints that are given")
        given = shown = detector.detect(image)
    else:
        shown = sure_hands(given, config.detector.min_score)
    found = list(shown)
    if through is not None:
        found = [hand for hand in map(through.hand, shown) if hand is not None]
        image, mask = through.record(image), through.mask(mask)
    kept = _surest(found, config.detector.slots)
    if tracks is not None:  # before they are cropped, which depends on the side
        kept = tuple(tracks.on(kept))
    crops: Sequence[HandCrop | None] = ()
    if config.needs_crops:
        crop = (config.refine.resolution, config.refine.margin)
        masks = None if mask is None else _masks(mask, kept, image.name)
        crops = crop_hands(image.pixels, image.intrinsics, kept, masks, crop, image.inside)
    size = (image.pixels.shape[1], image.pixels.shape[0])
    beyond, left_out = len(shown) - len(kept), len(given) - len(shown)
    source, lens = image.intrinsics_source, None if through is None else through.lens
    done = DetectedImage(size, image.intrinsics, source, kept, crops, beyond, left_out)
    return replace(done, lens=lens, tracks=tracks)


def _given(
    given: Sequence[HandObservation],
    task: ImageTask,
    image: ImageRecord,
    config: Config,
    sided: Sided | None,
) -> list[HandObservation]:
    """The given hands of an image that are used, each with its side.

    Raises:
        InputError: those of a file are those of another image, see `inside_hands`; or it cannot be
            told which hand one is.
    """
    hands = sure_hands(given, config.detector.min_score)
    if task.keypoints is not None:
        size = (image.pixels.shape[1], image.pixels.shape[0])
        hands = inside_hands(hands, size, str(task.keypoints.path))
    if sided is None:
        return hands
    return [sided(image, hand) if hand.side_score == SIDE_UNTOLD else hand for hand in hands]


def _surest(hands: Sequence[HandObservation], slots: int) -> tuple[HandObservation, ...]:
    """As many as there are slots for, the surest, in their order."""
    if len(hands) <= slots:
        return tuple(hands)
    order = sorted(range(len(hands)), key=lambda i: hands[i].score, reverse=True)
    return tuple(hands[i] for i in sorted(order[:slots]))


def _masks(
    mask: np.ndarray, hands: Sequence[HandObservation], image: str
) -> list[np.ndarray | None]:
    try:
        return masks_of_hands(mask, hands)
    except InputError as error:
        raise error.about(file=f"mask of {image}") from error


def _beside_name(error: InputError, task: ImageTask) -> InputError:
    """The error as it stands beside the image's name in the store.

    The path of the image would say nothing more, and with the folders it would make the rows depend
    on where images and masks lie.
    """
    if error.code == "mask.inverted" and task.mask is not None:
        error = error.about(file=task.mask)
    file, label = error.facts.get("file"), task.file.label
    if not isinstance(file, str | Path):
        return error
    if str(file) in (label, task.name):
        return InputError(error.code, **{k: v for k, v in error.facts.items() if k != "file"})
    for start in (label, task.name):  # of a part of it, such as one of its hands
        if str(file) != start and str(file).startswith(start):
            return error.about(file=str(file)[len(start) :].lstrip(" ,:"))
    masks = None if task.masks is None else task.masks.folder
    if masks is not None and error.code.startswith("mask.") and Path(file).is_relative_to(masks):
        # With the folder's own name: masks are mostly called like their images.
        return error.about(file=str(Path(file).relative_to(masks.parent)))
    objects = None if task.objects is None else task.objects.folder
    for folder in (objects, task.file.folder):
        if folder is not None and Path(file).is_relative_to(folder):
            return error.about(file=str(Path(file).relative_to(folder)))
    return error
