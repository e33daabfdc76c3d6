"""Images as the Python door takes them, checked as far as that needs no file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from fitter.contact.records import PosedObject
from fitter.errors import InputError
from fitter.inputs.addresses import is_address
from fitter.inputs.arrays import check_mask, check_pixels
from fitter.inputs.camera_exif import CameraExif
from fitter.inputs.camera_files import camera_of
from fitter.inputs.camera_matrices import Belongs
from fitter.inputs.elsewhere import compressed_ending
from fitter.inputs.given_hands import hand_observation
from fitter.inputs.hand_sizes import check_hand_size
from fitter.inputs.image_files import FilePart, ImageFile
from fitter.inputs.images import ImageEntry, ReadPicture
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.mask_files import fitting_mask, read_mask
from fitter.inputs.object_poses import PosedIn, posed_object, require_in
from fitter.inputs.samples import Given, is_matrix
from fitter.inputs.through_lens import ThroughLens
from fitter.inputs.videos import is_video, local_image
from fitter.lens import Lens
from fitter.records import HandObservation, ImageRecord


@dataclass(frozen=True)
class GivenImages:
    """Images with what is known of each, checked as far as that needs no file.

    Attributes:
        images: files or checked pixels.
        intrinsics: checked K of each, or its camera with its lens, or None.
        belongs: what these are given for.
        hands: of each, or None where they are to be detected.
        masks: of each, not checked, or None.
        objects: checked, of each.
        hand_sizes: checked metres of each, or None.
        is_single: one image was given, and not a list.
    """

    images: list[ImageFile | np.ndarray]
    intrinsics: list[np.ndarray | Lens | None]
    belongs: Belongs
    hands: list[list[HandObservation] | None]
    masks: list[Any]
    objects: list[tuple[PosedObject, ...]]
    hand_sizes: list[float | None]
    is_single: bool

    @classmethod
    def of(cls, given: Given, hand_size: Any) -> GivenImages:
        """Check what a user gave.

        Raises:
            InputError: an array or a number of values is not as expected.
        """
        images, K = given.images, given.K
        is_single = isinstance(images, str | Path) or (
            isinstance(images, np.ndarray) and images.ndim < 4
        )
        if is_single:
            images = [images]
        elif not isinstance(images, Sequence | np.ndarray):
            raise InputError("door.images", file="images", found=type(images).__name__)
        count = len(images)
        is_one = is_matrix(K) or isinstance(K, Lens)
        of_one: Belongs = "image" if count == 1 else "camera" if is_one else "crops"
        matrices = [K] * count if is_one else for_each("K", K, count, is_single)
        hands = for_each("keypoints", given.keypoints, count, is_single)
        checked = [checked_image(image, _name(image, place)) for place, image in enumerate(images)]
        names = [_name(image, place) for place, image in enumerate(images)]
        one = isinstance(hand_size, Real)
        sizes = [hand_size] * count if one else for_each("hand_size", hand_size, count, is_single)
        return cls(
            checked,
            [
                None if matrix is None else camera_of(matrix, f"K of {name}")
                for matrix, name in zip(matrices, names, strict=True)
            ],
            "crops" if given.is_samples_k else of_one,
            [checked_hands(each, name) for each, name in zip(hands, names, strict=True)],
            for_each("masks", given.masks, count, is_single),
            [
                checked_objects(objects, f"objects of {name}")
                for objects, name in zip(
                    for_each("objects", given.objects, count, is_single), names, strict=True
                )
            ],
            [
                None if size is None else check_hand_size(size, f"hand_size of {name}")
                for size, name in zip(sizes, names, strict=True)
            ],
            is_single,
        )

    def name(self, place: int) -> str:
        """What an image is called."""
        return _name(self.images[place], place)

    def record(self, place: int, default_field_of_view: float) -> ImageRecord:
        """An image, decoded where it is a file, with its K."""
        image = self.images[place]
        read = image.picture() if isinstance(image, ImageFile) else ReadPicture(image, CameraExif())
        pixels, exif = read.pixels, read.exif
        path = Path(self.name(place))
        size = (pixels.shape[1], pixels.shape[0])
        known = replace(self._known(place), default_field_of_view=default_field_of_view)
        entry = ImageEntry(self.name(place), path)
        matrix, source = known.intrinsics_for(entry, place, size, exif)
        return ImageRecord(self.name(place), path, pixels, matrix, source, read.inside)

    def through(self, place: int, image: ImageRecord) -> ThroughLens | None:
        """How a given lens that distorts took an image; None without one."""
        size = (image.pixels.shape[1], image.pixels.shape[0])
        return self._known(place).through(ImageEntry(image.name, image.path), place, size)

    def _known(self, place: int) -> Intrinsics:
        return Intrinsics(
            origin=f"K of {self.name(place)}",
            everywhere=self.intrinsics[place],
            belongs=self.belongs,
        )

    def mask(self, place: int, image: ImageRecord) -> np.ndarray | None:
        """The image's mask (H, W) bool or uint16 labels, or None."""
        size = (image.pixels.shape[1], image.pixels.shape[0])
        return given_mask(self.masks[place], size, f"mask of {image.name}")

    def objects_in(
        self, place: int, image: ImageRecord, size: tuple[int, int]
    ) -> tuple[PosedObject, ...]:
        """The image's objects.

        Args:
            place: of the image.
            image: as it was taken, with its K.
            size: (width, height) of the images that K is of, pixels.

        Raises:
            InputError: the image cannot show them, see `require_in`.
        """
        picture = PosedIn(image.name, size, image.intrinsics, image.intrinsics_source)
        require_in(picture, self.objects[place], f"objects of {image.name}")
        return self.objects[place]


def given_mask(mask: Any, size: tuple[int, int], where: str) -> np.ndarray | None:
    """A mask as a user gave it, (H, W) bool or uint16 labels; None for none.

    Args:
        mask: array, path or None.
        size: (width, height) of its image in pixels.
        where: what to name in messages about an array.

    Raises:
        InputError: it cannot be read, or is none of the image.
    """
    if mask is None:
        return None
    if isinstance(mask, str | Path):
        return fitting_mask(read_mask(Path(mask)), size, str(mask), where.removeprefix("mask of "))
    return check_mask(mask, size, where)


def _name(image: Any, place: int) -> str:
    if isinstance(image, ImageFile):
        return image.label
    return str(image) if isinstance(image, str | Path) else f"image {place}"


def checked_image(image: Any, name: str) -> ImageFile | np.ndarray:
    """An image as a user gave it: the place of a file, or checked pixels (H, W, 3) uint8 RGB.

    Args:
        image: path, address or array.
        name: what to name in messages.

    Raises:
        InputError: it is the path of a tar file (`door.shard`) or of a video (`door.video`), or see
            `check_pixels`.
    """
    if isinstance(image, str | Path):
        if name.lower().endswith(".tar") or compressed_ending(name):
            raise InputError("door.shard", file=name)
        if not is_address(name) and is_video(Path(name)):
            raise InputError("door.video", file=name)
        return FilePart(name, name) if is_address(name) else local_image(Path(image))
    return check_pixels(image, name)


def for_each(
    option: str, given: Any, count: int, is_single: bool, code: str = "door.count", **facts: str
) -> list[Any]:
    """One value for each image or frame, None where nothing was given.

    Raises:
        InputError: `code`, with `facts`: there are more or fewer values.
    """
    if given is None:
        return [None] * count
    if is_single:
        return [given]
    is_list = isinstance(given, Sequence | np.ndarray) and not isinstance(given, str)
    if not is_list or len(given) != count:
        found = len(given) if is_list else type(given).__name__
        raise InputError(code, file=option, expected=count, found=found, **facts)
    return list(given)


def checked_objects(given: Any, where: str) -> tuple[PosedObject, ...]:
    """The objects that a user gave for an image; empty where none are.

    Args:
        given: a list of objects, see `fitter.inputs.object_poses.posed_object`, or None.
        where: what to name in messages.

    Raises:
        InputError: it is something else, or see `posed_object`.
    """
    if given is None:
        return ()
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InputError("door.objects", file=where, found=type(given).__name__)
    return tuple(
        posed_object(each, f"{where}, object {number}") for number, each in enumerate(given)
    )


def checked_hands(given: Any, image: str) -> list[HandObservation] | None:
    """The hands that a user gave for an image, or None for none that are given.

    Args:
        given: a list of hands, each a `HandObservation` or a mapping with side and keypoints.
        image: what to name in messages.

    Raises:
        InputError: it is something else.
    """
    if given is None:
        return None
    where = f"keypoints of {image}"
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InputError("door.hands", file=where, found=type(given).__name__)
    return [_hand(hand, f"{where}, hand {number}") for number, hand in enumerate(given)]


def _hand(given: Any, where: str) -> HandObservation:
    if isinstance(given, HandObservation):
        points = np.column_stack([given.keypoints, given.confidence])
        hand_observation(points, given.side, where, given.relative_depth)  # refuses what is none
        return given
    if not isinstance(given, Mapping) or "keypoints" not in given:
        raise InputError("door.hands", file=where, found=type(given).__name__)
    depth = given.get("relative_depth")
    return hand_observation(given["keypoints"], given.get("side"), where, depth)
