"""What is known of an image once its hands are found: the record between detection and fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from fitter.contact.records import PosedObject
from fitter.errors import UserError
from fitter.inputs.people import ImagePeople
from fitter.lens import Lens
from fitter.records import HandCrop, HandKey, HandObservation, IntrinsicsSource, SharedHand
from fitter.tracked_hands import ImageTracks


@dataclass(frozen=True)
class DetectedImage:
    """What the first half of the pipeline knows of one image; of its pixels it keeps small crops.

    Attributes:
        size: (width, height) pixels, upright, or None for an image that is unreadable, or is left
            out in a pass that has no use for it and has no error.
        intrinsics: (3, 3) K, or None for an image without size.
        intrinsics_source: where K came from.
        hands: as many as there are slots, at most.
        crops: of each hand, None for one that cannot be cropped; empty where no stage needs them.
        hands_beyond: further hands that were found, or given, for which there are no slots.
        hands_left_out: further hands that were given and cannot be hands of the image, see
            `fitter.workers.image_detector.find_hands`.
        error: why the image failed, for people, or an empty text.
        error_code: the same for programs, a code of `fitter.errors`, or an empty text.
        file: (size in bytes, time of the last change in seconds since 1970) of its file before it
            was read, or None for one that is not there.
        inputs_digest: see `fitter.inputs.image_task.ImageTask.inputs_digest`.
        has_mask: whether a mask was given.
        time: seconds since the first frame of the video that it is a frame of; None of others.
        objects: known things that hands may touch, in the image's camera.
        tracks: what is known of its hands' tracks; None for what is no frame of a video.
        lens: the lens that took the image, where it distorts: all else, `size` included, is as of
            the image without distortion. None where it does not.
        detections: what the detector found, as `fitter.kept_hands.text_of` has it, where a further
            pass over the images will ask; None elsewhere.
        intrinsics_note: what EXIF says of the camera, and whether it was believed; may be empty.
    """

    size: tuple[int, int] | None = None
    intrinsics: np.ndarray | None = None
    intrinsics_source: IntrinsicsSource | None = None
    hands: Sequence[HandObservation] = field(default_factory=tuple)
    crops: Sequence[HandCrop | None] = field(default_factory=tuple)
    hands_beyond: int = 0
    hands_left_out: int = 0
    error: str = ""
    error_code: str = ""
    file: tuple[int, float] | None = None
    inputs_digest: int = 0
    has_mask: bool = False
    time: float | None = None
    objects: tuple[PosedObject, ...] = ()
    tracks: ImageTracks | None = None
    lens: Lens | None = None
    intrinsics_note: str = ""
    detections: str | None = None

    @property
    def is_left_out(self) -> bool:
        """Whether this pass has no use for the image, and has not read it."""
        return self.size is None and not self.error

    def of_size(self, hand_size: float | None) -> DetectedImage:
        """The same where the size of its hands, metres, may be known; one that a hand has stays."""
        if hand_size is None:
            return self
        hands = [
            hand if hand.hand_size is not None else replace(hand, hand_size=hand_size)
            for hand in self.hands
        ]
        return replace(self, hands=tuple(hands))

    def of_people(self, people: ImagePeople, shared: Mapping[HandKey, SharedHand]) -> DetectedImage:
        """The same where it is known whose hands they are, and what their images share."""
        persons = people.of([hand.side for hand in self.hands])
        hands = [
            hand
            if person is None
            else replace(hand, person=person, shared=shared.get((person, hand.side)))
            for hand, person in zip(self.hands, persons, strict=True)
        ]
        return replace(self, hands=tuple(hands))

    @classmethod
    def of_error(cls, error: UserError) -> Self:
        """A failed image."""
        return cls(error=str(error), error_code=error.code)
