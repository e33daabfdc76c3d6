"""What a run reads: its images and all that the user gave beside them, as one task an image.

`Sources` holds what was given for the whole listing; `Sources.tasks` resolves it, once, to an
`ImageTask` for each image. Whoever detects, fits, renders or resumes takes tasks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from fitter.errors import InputError
from fitter.inputs.dataset_request import DatasetPart
from fitter.inputs.digests import file_digest
from fitter.inputs.hand_sizes import HandSizes
from fitter.inputs.image_files import ImageFile, ImageFiles, LocalFile
from fitter.inputs.images import CameraExif, ImageEntry
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.keypoint_files import KeypointFiles
from fitter.inputs.mask_files import MaskFolder
from fitter.inputs.people import SIDES, ImagePeople, People
from fitter.records import HandKey, HandObservation, IntrinsicsSource, SharedHand


class Names(Protocol):
    """Names of images that can be gone through any number of times, and may lie on disk."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[str]: ...


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
        hand_size: metres, known of the image's hands, or None.
        people: whose hands they are, or None.
        shared: what is known of these people's hands from other images.
        is_final: whether the results are those of the last pass, see `fitter.run.passes`.
    """

    place: int
    name: str
    file: ImageFile
    intrinsics: Intrinsics
    keypoints: KeypointFiles | None = None
    masks: MaskFolder | None = None
    hand_size: float | None = None
    people: ImagePeople | None = None
    shared: Mapping[HandKey, SharedHand] = field(default_factory=dict)
    is_final: bool = True

    @property
    def images(self) -> list[ImageTask]:
        """Itself, as the only image of its row; a frame's task has several."""
        return [self]

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
        if not known.is_given and (said := self.file.intrinsics()) is not None:
            known = replace(known, origin=self.file.label, everywhere=said)
        return known.intrinsics_for(self.entry, self.place, size, exif)

    def given_hands(self) -> list[HandObservation] | None:
        """The hands whose keypoints were given, or None where they are to be detected.

        Raises:
            InputError: what was given for this image is missing or malformed.
        """
        if self.keypoints is None:
            return self.file.hands()
        return self.keypoints.hands_for(self.entry, self.place)

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
        """A number that tells whether other K, keypoints, mask, size or people are given for the
        image.

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


@dataclass(frozen=True)
class Sources:
    """Where the images of a run, and what is known about them, come from.

    Attributes:
        root: the images' names are relative to it.
        names: of all images, in the order of the store; they may lie on disk. Empty before the
            store is there.
        intrinsics: how to come by each image's K.
        keypoints: keypoints given by the user in place of the detector's, or None.
        masks: the images' masks given by the user, or None.
        hand_sizes: sizes of the images' hands given by the user, or None.
        people: whose hands the images show, or None.
        shared: what is known of people's hands from the passes before, see `fitter.run.passes`.
        is_final: whether the results are those of the last pass.
        files: where the images are by their names; None for files below `root`.
    """

    root: Path
    names: Sequence[str]
    intrinsics: Intrinsics
    keypoints: KeypointFiles | None = None
    masks: MaskFolder | None = None
    hand_sizes: HandSizes | None = None
    people: People | None = None
    shared: Mapping[HandKey, SharedHand] = field(default_factory=dict)
    is_final: bool = True
    files: ImageFiles | None = None

    @property
    def detects(self) -> bool:
        """Whether hands are to be found, and not given."""
        return self.keypoints is None and not (self.files and self.files.gives_keypoints)

    @property
    def has_masks(self) -> bool:
        """Whether masks are given."""
        return self.masks is not None or (self.files is not None and self.files.gives_masks)

    def of_store(self, names: Sequence[str], _: object = ()) -> Sources:
        """The same for the images that a store has; `FrameSources` needs more than their names."""
        return replace(self, names=names)

    def tasks(self, start: int, stop: int) -> list[ImageTask]:
        """The images from place `start` to `stop` (exclusive), each with what is given for it.

        Raises:
            InputError: a folder of masks cannot be listed, or the names on disk are damaged.
        """
        return [self._task(start + k, name) for k, name in enumerate(self.names[start:stop])]

    def _task(self, place: int, name: str) -> ImageTask:
        people = None if self.people is None else self.people.of(name)
        return ImageTask(
            place,
            name,
            LocalFile(self.root / name) if self.files is None else self.files.file_of(name),
            self.intrinsics.part(place, [name]),
            None if self.keypoints is None else self.keypoints.part(place, [name]),
            None if self.masks is None else self.masks.part([name]),
            None if self.hand_sizes is None else self.hand_sizes.size_of(name),
            people,
            self._shared_by(people),
            self.is_final,
        )

    def _shared_by(self, people: ImagePeople | None) -> dict[HandKey, SharedHand]:
        """What is known of the hands of an image's people."""
        persons = [] if people is None or not self.shared else people.persons
        keys: list[HandKey] = [(person, side) for person in persons for side in SIDES]
        return {key: self.shared[key] for key in keys if key in self.shared}

    def absolute(self) -> Sources:
        """The same for a process in another working directory."""
        keypoints, masks = self.keypoints, self.masks
        return replace(
            self,
            root=self.root.absolute(),
            keypoints=keypoints and replace(keypoints, path=keypoints.path.absolute()),
            masks=masks and replace(masks, folder=masks.folder.absolute()),
            files=self.files and self.files.absolute(),
        )

    def check(self, names: Names) -> None:
        """Refuse what belongs to other images.

        Args:
            names: of all images.

        Raises:
            InputError: see `require_for` of each part.
        """
        self.intrinsics.require_for(names, len(names))
        if self.keypoints is not None:
            self.keypoints.require_for(names, len(names))
        if self.masks is not None:
            self.masks.require_for(_Entries(self.root, names))
        if self.hand_sizes is not None:
            self.hand_sizes.require_for(names)
        if self.people is not None:
            self.people.require_for(names)
            self._require_one_size(self.people, names)
        if self.files is not None:
            others: dict[DatasetPart, object] = {"keypoints": self.keypoints, "masks": self.masks}
            own = [part for part, other in others.items() if other is None]
            self.files.require_for(names, own)

    def _require_one_size(self, people: People, names: Names) -> None:
        """Refuse two sizes for one person's hand.

        Raises:
            InputError: images of one person have different sizes.
        """
        if self.hand_sizes is None:
            return
        sizes: dict[str, float] = {}
        for name in names:
            size, those = self.hand_sizes.size_of(name), people.of(name)
            size = self.hand_sizes.everywhere if size is None else size
            if size is None or those is None:
                continue
            for person in those.persons:
                one = sizes.setdefault(person, size)
                if one != size:
                    raise InputError(
                        "people.two_sizes",
                        file=self.hand_sizes.path,
                        person=person,
                        one=one,
                        image=name,
                        other=size,
                    )

    @property
    def kinds(self) -> dict[str, object]:
        """What was given, without what it says of single images, which
        `ImageTask.inputs_digest` tells."""
        everywhere = self.intrinsics.everywhere
        by_image = self.intrinsics.by_name is not None or self.intrinsics.by_index is not None
        one = None if everywhere is None else everywhere.tolist()
        return {
            "intrinsics": "given for each picture" if by_image else one,
            "keypoints": None if self.detects else "given",
            "masks": "given" if self.has_masks else None,
            "hand_sizes": None if self.hand_sizes is None else "given",
            **({} if self.people is None else {"people": self.people.kind}),
            **({} if self.files is None else self.files.kinds),
        }

    @property
    def options(self) -> list[str]:
        """What says something of single images, as the user gave it."""
        place = {} if self.files is None else self.files.dataset_place
        given = {
            f"--dataset {place.get('name')} {place.get('folder')}": place,
            "--intrinsics": self.intrinsics.is_given,
            "--keypoints": self.keypoints is not None,
            "--masks": self.masks is not None,
            "--person-size": self.hand_sizes is not None,
            "--people": self.people is not None and self.people.said is not None,
            "--same-hand": self.people is not None and self.people.said is None,
        }
        # Without any it is what stands beside the images in tar files.
        return [option for option, value in given.items() if value] or ["K beside it"]

    @property
    def ordered(self) -> str | None:
        """What is a list in the order of the names, which no image can join later, or None."""
        if self.intrinsics.by_index is not None:
            return str(self.intrinsics.origin)
        if self.keypoints is not None and self.keypoints.by_index is not None:
            return str(self.keypoints.path)
        return None


@dataclass(frozen=True)
class _Entries:
    """Names as entries, as often as they are gone through."""

    root: Path
    names: Names

    def __iter__(self) -> Iterator[ImageEntry]:
        return (ImageEntry(name, self.root / name) for name in self.names)
