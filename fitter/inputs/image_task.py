"""One image and all that is given for it, resolved once: whoever detects, fits, renders or resumes
takes such tasks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fitter.contact.records import PosedObject
from fitter.errors import InputError
from fitter.inputs.camera_exif import CameraExif
from fitter.inputs.digests import file_digest
from fitter.inputs.exif_focal import judged_exif
from fitter.inputs.image_files import ImageFile
from fitter.inputs.images import ImageEntry
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.keypoint_files import KeypointFiles
from fitter.inputs.mask_files import MaskFolder
from fitter.inputs.object_files import ObjectFolder
from fitter.inputs.object_poses import PosedIn
from fitter.inputs.people import ImagePeople
from fitter.inputs.through_lens import ThroughLens
from fitter.kept_hands import KeptHands
from fitter.records import HandKey, HandObservation, IntrinsicsSource, SharedHand
from fitter.tracked_hands import ImageTracks


@dataclass(frozen=True)
class ImageStamps:
    """What tells an image and its inputs from changed ones.

    Attributes:
        file: (size in bytes, time of the last change in seconds since 1970) of the image's file,
            or None for one that is not there.
        inputs_digest: see `ImageTask.inputs_digest`.
        has_mask: whether a mask was given.
    """

    file: tuple[int, float] | None
    inputs_digest: int
    has_mask: bool


@dataclass(frozen=True)
class ImageTask:
    """One image and what is given for it, and nothing more: small, so that it can travel to another
    process or machine.

    Attributes:
        place: of the image in the whole listing.
        name: of the image, relative to the listed folder, with forward slashes.
        file: where it is; it may know K, keypoints and masks, where none are given.
        intrinsics: how to come by its K; of a file's entries only that of this image.
        keypoints: keypoints given in place of the detector's, of this image only, or None.
        masks: folder of given masks, of which only this image's is listed, or None.
        objects: likewise, folder of given objects, or None.
        hand_size: metres, known of the image's hands, or None.
        people: whose hands they are, or None.
        shared: what is known of these people's hands from other images.
        is_final: whether the results are those of the last pass, see `fitter.run.passes`.
        tracks: what is known of its hands' tracks; None for what is no frame of a video.
        kept: what the detector found in the pass before, or None.
    """

    place: int
    name: str
    file: ImageFile
    intrinsics: Intrinsics
    keypoints: KeypointFiles | None = None
    masks: MaskFolder | None = None
    objects: ObjectFolder | None = None
    hand_size: float | None = None
    people: ImagePeople | None = None
    shared: Mapping[HandKey, SharedHand] = field(default_factory=dict)
    is_final: bool = True
    tracks: ImageTracks | None = None
    kept: KeptHands | None = None

    @property
    def images(self) -> list[ImageTask]:
        """Itself, as the only image of its row; a frame's task has several."""
        return [self]

    @property
    def is_wanted(self) -> bool:
        """Whether the image is to be gone over in this pass: those before the last one are made for
        what images share, and a photograph beside a video, for one, shares nothing."""
        return self.is_final or self.tracks is not None or self.people is not None

    @property
    def entry(self) -> ImageEntry:
        """The image as an entry of a listing."""
        return ImageEntry(self.name, Path(self.file.label))

    @property
    def mask(self) -> Path | None:
        """The file of the mask given for the image, or None."""
        return None if self.masks is None else self.masks.path_of(self.name)

    def intrinsics_for(
        self, size: tuple[int, int], exif: CameraExif
    ) -> tuple[np.ndarray, IntrinsicsSource]:
        """K, (3, 3) float64 in pixels of the upright image, and where it came from.

        Args:
            size: (width, height) of the upright image in pixels.
            exif: what the image says about its camera.

        Raises:
            InputError: what was given is no K of this image, or the image's own source lacks it.
        """
        known = self.intrinsics
        said = None if known.is_given else self._said_intrinsics()
        if said is not None:
            label = self.file.label
            known = replace(known, origin=label, everywhere=said, belongs="crops")
        return known.intrinsics_for(self.entry, self.place, size, exif)

    def through(self, size: tuple[int, int]) -> ThroughLens | None:
        """How a given lens that distorts took the image; None without one.

        Args:
            size: (width, height) of the upright image in pixels.

        Raises:
            InputError: the lens is none of this image.
        """
        return self.intrinsics.through(self.entry, self.place, size)

    def intrinsics_note(
        self, size: tuple[int, int], exif: CameraExif, source: IntrinsicsSource
    ) -> str:
        """What EXIF says of the camera and whether it was believed; empty where nobody asked it.

        Args:
            size: (width, height) of the upright image in pixels.
            exif: what the image says about its camera.
            source: where `intrinsics_for` has K from.
        """
        asked = source != "given" and self.intrinsics.use_exif
        return judged_exif(exif, size).note if asked else ""

    def _said_intrinsics(self) -> np.ndarray | None:
        """K that stands beside the image's objects, or that its own place says."""
        said = None if self.objects is None else self.objects.intrinsics(self.name)
        return self.file.intrinsics() if said is None else said

    def objects_in(self, picture: PosedIn) -> tuple[PosedObject, ...]:
        """The known objects of the image, in its camera.

        Args:
            picture: the image, with its K.

        Raises:
            InputError: see `ObjectFolder.objects_of` and `ImageFile.objects`.
        """
        if self.objects is not None:
            return self.objects.objects_of(picture)
        return self.file.objects(picture)

    def given_hands(
        self, size: tuple[int, int], least: float = 0.0
    ) -> list[HandObservation] | None:
        """The hands whose keypoints were given, or None where they are to be detected.

        Args:
            size: (width, height) of the upright image in pixels.
            least: `sureness` below which a hand of a file will be left out, whatever its positions.

        Raises:
            InputError: what was given for this image is missing or malformed.
        """
        if self.keypoints is None:
            return self.file.hands()
        return self.keypoints.hands_for(self.entry, self.place, size, least)

    def mask_for(self, size: tuple[int, int]) -> np.ndarray | None:
        """The given mask, (H, W) bool; None for an image without one.

        Args:
            size: (width, height) of the upright image in pixels.

        Raises:
            InputError: the mask cannot be read, or has another size.
        """
        if self.masks is not None:
            return self.masks.mask_for(self.entry, size)
        mask = self.file.mask()
        if mask is not None and mask.shape != (size[1], size[0]):
            expected, found = f"{size[0]} x {size[1]}", f"{mask.shape[1]} x {mask.shape[0]}"
            label = self.file.label
            raise InputError(
                "mask.size", file=label, image=self.name, expected=expected, found=found
            )
        return mask

    def inputs_digest(self) -> int:
        """A number that tells whether other K, keypoints, mask, objects, size or people are given
        for the image.

        Of a mask the content counts, because masks that were corrected often keep their size; of
        an OpenPose file its size; of an image's own source what `ImageFile.said` gives.

        Returns:
            A signed 64-bit integer; 0 where nothing is given.
        """
        mask = self.mask
        given = [
            self.intrinsics.raw(self.entry, self.place),
            None if self.keypoints is None else self.keypoints.raw(self.entry, self.place),
            None if mask is None else file_digest(mask),
        ]
        if self.hand_size is not None:
            given.append(self.hand_size)
        if self.people is not None:
            given.append(["people", sorted(self.people.by_hand.items())])
        objects = None if self.objects is None else self.objects.digest(self.name)
        if objects is not None:
            given.append(["objects", objects])
        said = self.file.said()
        if said is not None:
            given.append(["said", said])
        if given == [None, None, None]:
            return 0
        text = json.dumps(given, default=repr).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)

    def stamps(self) -> ImageStamps:
        """The image's file and inputs as they are now; of a mask all of it is read. Never raises:
        what is wrong is said by whoever reads it."""
        try:
            file = self.file.stamp()
        except InputError:
            file = None
        has_mask = self.file.has_mask if self.masks is None else self.mask is not None
        return ImageStamps(file, self.inputs_digest(), has_mask)
