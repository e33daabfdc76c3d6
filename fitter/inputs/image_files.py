"""Where an image is, and what is said of it there: a file, bytes at an address, a data set.

An `ImageFile` is small and travels to the worker that reads it; nothing is opened before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from fitter.contact.records import PosedObject
from fitter.errors import InputError
from fitter.inputs.addresses import is_address, read_part, size_and_time
from fitter.inputs.camera_exif import CameraExif
from fitter.inputs.dataset_request import DatasetPart
from fitter.inputs.image_content import ImageBytes
from fitter.inputs.images import ReadPicture, read_picture
from fitter.inputs.object_poses import PosedIn
from fitter.inputs.sidecars import Sidecar
from fitter.records import HandObservation


class ImageFile(ABC):
    """One image's place. What its place does not say of it is None."""

    @property
    @abstractmethod
    def label(self) -> str:
        """What it is called in messages."""

    @abstractmethod
    def read(self) -> tuple[np.ndarray, CameraExif]:
        """(H, W, 3) uint8 RGB, upright, and what the file says about its camera.

        Raises:
            InputError: as `fitter.inputs.images.read_image`, or see the data set's reader.
        """

    def picture(self) -> ReadPicture:
        """What `read` gives, and which pixels show something.

        Raises:
            InputError: as `read`.
        """
        pixels, exif = self.read()
        return ReadPicture(pixels, exif, self.inside((pixels.shape[1], pixels.shape[0])))

    @abstractmethod
    def stamp(self) -> tuple[int, float] | None:
        """Size in bytes and time of the last change in seconds since 1970, 0 where that is not
        known; None where there is no such file."""

    def intrinsics(self) -> np.ndarray | None:
        """(3, 3) float64 K in pixels of the upright image, or None.

        Raises:
            InputError: what is said of K is damaged, or misses.
        """
        return None

    def inside(self, size: tuple[int, int]) -> np.ndarray | None:
        """(H, W) bool, the pixels that show something; None where all do. What the file itself
        says of that, such as its transparency, is in `picture` alone.

        Args:
            size: (width, height) of the image in pixels.
        """
        return None

    def hands(self) -> list[HandObservation] | None:
        """Hands whose keypoints take the place of the detector's, or None.

        Raises:
            InputError: what is said of the hands is damaged.
        """
        return None

    def mask(self) -> np.ndarray | None:
        """(H, W) bool, the pixels of all hands, or None.

        Raises:
            InputError: the mask is damaged.
        """
        return None

    @property
    def has_mask(self) -> bool:
        """Whether there is a mask to be used, damaged or not."""
        return False

    def objects(self, picture: PosedIn) -> tuple[PosedObject, ...]:
        """Known objects in the image's camera; empty for none.

        Args:
            picture: the image, with its K.

        Raises:
            InputError: what is said of them is damaged.
        """
        return ()

    @property
    def has_objects(self) -> bool:
        """Whether there are objects to be used, damaged or not."""
        return False

    def said(self) -> object:
        """What is said of the image beside its pixels, as JSON can hold it, so that a continued run
        can tell whether it is still the same; None for nothing. Never raises."""
        return None

    @property
    def time(self) -> float | None:
        """Seconds since the first frame of the video that it is a frame of; None of others. Never
        raises."""
        return None

    @property
    def folder(self) -> Path | None:
        """The folder of all that is said of the images, such as a data set's, or None."""
        return None

    def absolute(self) -> Self:
        """The same for a process in another working directory."""
        return self


class ImageFiles(Protocol):
    """Where the images of a run are by their names, if they are no files below one folder."""

    def file_of(self, name: str) -> ImageFile:
        """The image of this name; one that misses says so when it is read."""
        ...

    def absolute(self) -> ImageFiles:
        """The same for a process in another working directory."""
        ...

    @property
    def gives_keypoints(self) -> bool:
        """Whether the images' hands are given, and need not be detected."""
        ...

    @property
    def gives_masks(self) -> bool:
        """Whether masks are given."""
        ...

    @property
    def gives_objects(self) -> bool:
        """Whether objects are given."""
        ...

    def require_for(self, names: Iterable[str], parts: Collection[DatasetPart]) -> None:
        """Refuse where what is to be used is there for none of the images.

        Args:
            names: of all images; can be gone through several times.
            parts: of what may be used.

        Raises:
            InputError: see `fitter.inputs.annotated.DatasetFiles`.
        """
        ...

    @property
    def kinds(self) -> dict[str, object]:
        """What tells these from others, as the store remembers it, without what it says of single
        images."""
        ...

    @property
    def prepare(self) -> Callable[[], object] | None:
        """What a process does once before it reads the first image, so that the image's time is its
        own; picklable. None for nothing."""
        ...

    @property
    def dataset_place(self) -> dict[str, str]:
        """Name, folder and split of the data set that the images are from; empty for none."""
        ...


@dataclass(frozen=True)
class LocalFile(ImageFile):
    """A file of this machine, at `path`."""

    path: Path

    @property
    def label(self) -> str:
        """Its path."""
        return str(self.path)

    def read(self) -> tuple[np.ndarray, CameraExif]:
        """See `ImageFile`."""
        read = self.picture()
        return read.pixels, read.exif

    def picture(self) -> ReadPicture:
        """See `ImageFile`."""
        return read_picture(self.path)

    def stamp(self) -> tuple[int, float] | None:
        """See `ImageFile`."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns / 1e9

    def absolute(self) -> LocalFile:
        """See `ImageFile`."""
        return LocalFile(self.path.absolute())


@dataclass(frozen=True)
class MissingFile(ImageFile):
    """An image that there is no longer, such as a member of a shard that was made anew."""

    name: str

    @property
    def label(self) -> str:
        """Its name."""
        return self.name

    def read(self) -> tuple[np.ndarray, CameraExif]:
        """Raises InputError: there is none."""
        raise InputError("image.missing", file=self.name)

    def stamp(self) -> None:
        """None."""
        return None


@dataclass(frozen=True)
class FilePart(ImageFile):
    """A file at an address, or a member of a tar file, wherever that is.

    Attributes:
        place: an address, or the path of a file of this machine.
        name: what it is called in messages.
        offset: of its first byte in the file.
        size: bytes; None for the whole file.
        changed: the last change of what is in a tar file, seconds since 1970, see
            `fitter.inputs.tar_index.TarIndex.time_of`.
        sidecar: where its K stands, or None.
    """

    place: str
    name: str
    offset: int = 0
    size: int | None = None
    changed: float = 0.0
    sidecar: Sidecar | None = None

    @property
    def label(self) -> str:
        """Its name."""
        return self.name

    def read(self) -> tuple[np.ndarray, CameraExif]:
        """See `ImageFile`."""
        read = self.picture()
        return read.pixels, read.exif

    def picture(self) -> ReadPicture:
        """See `ImageFile`; all its bytes are read at once."""
        content = read_part(self.place, self.offset, self.size, self.name)
        return read_picture(ImageBytes(self.name, content))

    def stamp(self) -> tuple[int, float] | None:
        """See `ImageFile`; of a tar file's member what its index says."""
        if self.size is not None:
            return self.size, self.changed
        return size_and_time(self.place)

    def intrinsics(self) -> np.ndarray | None:
        """See `ImageFile`."""
        return None if self.sidecar is None else self.sidecar.intrinsics(self.place, self.name)

    def said(self) -> object:
        """See `ImageFile`: a digest of what stands beside the image."""
        return None if self.sidecar is None else [self.sidecar.size, self.sidecar.digest]

    def absolute(self) -> FilePart:
        """See `ImageFile`."""
        if is_address(self.place):
            return self
        return replace(self, place=str(Path(self.place).absolute()))


class ImagesAlone:
    """The part of `ImageFiles` of which files that are no data set give nothing."""

    gives_keypoints = False
    gives_masks = False
    gives_objects = False
    prepare = None

    def require_for(self, names: Iterable[str], parts: Collection[DatasetPart]) -> None:
        """See `ImageFiles`: nothing is used of them."""

    @property
    def kinds(self) -> dict[str, object]:
        """Nothing: where the images lie shapes no row."""
        return {}

    @property
    def dataset_place(self) -> dict[str, str]:
        """Nothing: they are no data set."""
        return {}
