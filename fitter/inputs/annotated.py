"""A run's images from a data set: pixels and true K, on request its keypoints and masks.

The engine knows no data set. `SeenImages` is all that a run needs of a reader; who has one is told
by `fitter.inputs.datasets`. What travels to workers is a handle of a few words: each process opens
the data set once, when the first image is asked for, and finds the image in it by its name: the
folder may have grown meanwhile.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from fitter.contact.records import PosedObject
from fitter.errors import InputError
from fitter.inputs.addresses import is_address
from fitter.inputs.camera_exif import CameraExif
from fitter.inputs.camera_matrices import check_intrinsics
from fitter.inputs.dataset_request import DatasetPart, DatasetRequest, used_parts
from fitter.inputs.datasets import DatasetOffer, dataset_offer
from fitter.inputs.digests import outcome
from fitter.inputs.image_files import ImageFile, MissingFile
from fitter.inputs.images import DEFAULT_LIMITS, check_size
from fitter.inputs.object_poses import PosedIn
from fitter.inputs.seen_hands import observations
from fitter.inputs.seen_images import (
    SeenAnnotation,
    SeenImages,
    check_annotated_size,
)
from fitter.inputs.seen_objects import digests, has_mesh, posed_objects
from fitter.records import HandObservation


@dataclass(frozen=True)
class DatasetHandle:
    """A data set in a few words, from which any process opens it.

    Attributes:
        name: of the data set.
        offer: who reads it.
        folder: of the data set, an absolute path or an address, so that every process finds it and
            however it was spelled the same is said of its images.
        split: its name.
        use: what is used beside images and K.
        models: folder of the objects' meshes, an absolute path; empty for the data set's own.
    """

    name: str
    offer: DatasetOffer
    folder: str
    split: str
    use: tuple[DatasetPart, ...] = ()
    models: str = ""

    @staticmethod
    def of(request: DatasetRequest, folder: str) -> DatasetHandle:
        """The data set that was asked for; a relative folder is below the current one.

        Raises:
            InputError: nobody reads such data sets, or there is no such split.
        """
        offer = dataset_offer(request.name)
        split = offer.chosen(request.name, folder, request.split)
        place = folder.rstrip("/") if is_address(folder) else str(Path(folder).absolute())
        models = "" if request.models is None else str(Path(request.models).absolute())
        return DatasetHandle(request.name, offer, place, split, used_parts(request.use), models)

    @property
    def images(self) -> SeenImages:
        """The data set, opened once in a process.

        Raises:
            InputError: the folder is not what it should be.
        """
        return self._opened.images

    def place_of(self, name: str, guess: int | None = None) -> int | None:
        """The place of an image in the data set as this process has it open, or None.

        Args:
            name: of the image.
            guess: where another process has it, which is looked at first.

        Raises:
            InputError: see `images`.
        """
        return self._opened.place_of(name, guess)

    def forget(self) -> None:
        """Have the data set opened anew when it is next asked for, since it may have changed."""
        _held.pop(self._opening, None)
        for asked in (_annotation_of, _masks_of):
            asked.cache_clear()

    @property
    def _opened(self) -> _OpenedImages:
        key = self._opening
        if key not in _held:
            if len(_held) >= _MOST_HELD:
                _held.pop(next(iter(_held)))
            _held[key] = _OpenedImages(key.offer.open(key.name, key.folder, key.split))
        return _held[key]

    @property
    def _opening(self) -> DatasetHandle:
        """How it is opened, in which what is used of it has no part."""
        return replace(self, use=(), models="")

    def open(self) -> None:
        """Have the data set opened in this process; what is wrong with it is said when an image is
        read."""
        with suppress(InputError):
            _ = self.images


@dataclass
class _OpenedImages:
    """A data set that is open in this process."""

    images: SeenImages

    @cached_property
    def order(self) -> np.ndarray:
        """(N,) int64 places by the images' names sorted. Names are looked up in it, since a table
        of them would need many times the memory."""
        names = self.images.names
        return np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)

    def place_of(self, name: str, guess: int | None) -> int | None:
        """See `DatasetHandle.place_of`."""
        names = self.images.names
        if guess is not None and guess < len(names) and names[guess] == name:
            return guess
        at = bisect_left(self.order, name, key=lambda place: names[int(place)])
        if at == len(self.order) or names[int(self.order[at])] != name:
            return None
        return int(self.order[at])


_MOST_HELD = 16
"""Data sets open in a process; that many are mixed in one training at most."""

_held: dict[DatasetHandle, _OpenedImages] = {}
"""Those that are open, by how they are opened; the one opened first is closed first."""


@dataclass(frozen=True)
class DatasetImage(ImageFile):
    """An image of a data set.

    Attributes:
        dataset: to open.
        place: in the data set as it was open where this was made; elsewhere the name counts.
        name: of the image.
    """

    dataset: DatasetHandle
    place: int
    name: str

    @property
    def label(self) -> str:
        """Its path as it would be below the data set's folder."""
        folder = self.dataset.folder
        return f"{folder}/{self.name}" if is_address(folder) else str(Path(folder) / self.name)

    def read(self) -> tuple[np.ndarray, CameraExif]:
        """See `ImageFile`.

        Raises:
            InputError: the data set has none of its name, its size is not that of its annotation;
                or see the reader.
        """
        pixels, exif = self.dataset.images.read(self._place())
        height, width = pixels.shape[:2]
        check_size(self.label, (width, height), DEFAULT_LIMITS)
        check_annotated_size(self.label, self._annotation(), (width, height))
        return pixels, exif

    def stamp(self) -> tuple[int, float] | None:
        """See `ImageFile`: that of the file or the part of one that the reader names; None also for
        an image that the data set no longer has."""
        place = self.dataset.place_of(self.name, self.place)
        return None if place is None else self.dataset.images.file(place).stamp()

    def intrinsics(self) -> np.ndarray | None:
        """See `ImageFile`."""
        found = self._annotation().intrinsics
        if found is not None:
            return check_intrinsics(found, self.label)
        if self.dataset.images.has_intrinsics:
            raise InputError("dataset.no_intrinsics", file=self.label, dataset=self.dataset.name)
        return None

    def hands(self) -> list[HandObservation] | None:
        """See `ImageFile`; None where keypoints are not used. Hands without a keypoint in the
        image are left out."""
        if "keypoints" not in self.dataset.use:
            return None
        return observations(self._annotation().hands, self.label)

    def mask(self) -> np.ndarray | None:
        """See `ImageFile`; None where masks are not used."""
        found = self._masks()
        return None if found is None else np.logical_or.reduce(found, axis=0)

    @property
    def has_mask(self) -> bool:
        """See `ImageFile`."""
        try:
            return self._masks() is not None
        except InputError:
            return True

    def objects(self, picture: PosedIn) -> tuple[PosedObject, ...]:
        """See `ImageFile`; empty where objects are not used.

        Raises:
            InputError: the mesh of one is missing or cannot be used, or the image cannot show it.
        """
        if "objects" not in self.dataset.use:
            return ()
        return posed_objects(self._annotation().objects, self.dataset.models, picture, self.label)

    @property
    def has_objects(self) -> bool:
        """See `ImageFile`; of one without a mesh nothing can be used."""
        if "objects" not in self.dataset.use:
            return False
        try:
            return has_mesh(self._annotation().objects, self.dataset.models)
        except InputError:
            return True

    def said(self) -> object:
        """See `ImageFile`: K, what is used of hands and objects, and a digest of the masks."""
        parts = [self._said_intrinsics, self._said_hands, self._digest]
        if "objects" in self.dataset.use:
            parts.append(self._said_objects)
        return [outcome(part) for part in parts]

    @property
    def folder(self) -> Path | None:
        """The data set's folder."""
        folder = self.dataset.folder
        return None if is_address(folder) else Path(folder)

    def _place(self) -> int:
        """Where the data set as this process has it open has the image."""
        place = self.dataset.place_of(self.name, self.place)
        if place is None:
            raise InputError("image.missing", file=self.label)
        return place

    def _annotation(self) -> SeenAnnotation:
        return _annotation_of(self.dataset, self._place())

    def _masks(self) -> np.ndarray | None:
        if "masks" not in self.dataset.use:
            return None
        return _masks_of(self.dataset, self._place())

    def _said_intrinsics(self) -> object:
        found = self._annotation().intrinsics
        return None if found is None else np.asarray(found).tolist()

    def _said_hands(self) -> object:
        found = self.hands()
        if found is None:
            return None
        return [[h.side, h.keypoints.tolist(), h.confidence.tolist()] for h in found]

    def _said_objects(self) -> object:
        return digests(self._annotation().objects, self.dataset.models)

    def _digest(self) -> object:
        found = self._masks()
        if found is None:
            return None
        return [found.shape, hashlib.sha256(np.packbits(found).tobytes()).hexdigest()]


# The stamps of an image, its K, its hands and its masks are asked for one after the other.
@lru_cache(maxsize=2)
def _annotation_of(dataset: DatasetHandle, place: int) -> SeenAnnotation:
    return dataset.images.annotation(place)


@lru_cache(maxsize=1)
def _masks_of(dataset: DatasetHandle, place: int) -> np.ndarray | None:
    return dataset.images.masks(place)


_NOWHERE = {
    "keypoints": "dataset.no_keypoints",
    "masks": "dataset.no_masks",
    "objects": "dataset.no_objects",
}


@dataclass(frozen=True)
class DatasetFiles:
    """The images of a data set.

    Attributes:
        dataset: to open.
    """

    dataset: DatasetHandle

    @staticmethod
    def of(dataset: DatasetHandle) -> DatasetFiles:
        """All images of a data set, as it is now.

        Raises:
            InputError: the folder is not what it should be.
        """
        dataset.forget()  # it may be of an earlier run of this process
        _ = dataset.images
        return DatasetFiles(dataset)

    @property
    def prepare(self) -> Callable[[], object]:
        """Open the data set, whose lists may be long."""
        return self.dataset.open

    @property
    def gives_keypoints(self) -> bool:
        """Whether its keypoints are used."""
        return "keypoints" in self.dataset.use

    @property
    def gives_masks(self) -> bool:
        """Whether its masks are used."""
        return "masks" in self.dataset.use

    @property
    def gives_objects(self) -> bool:
        """Whether its objects are used."""
        return "objects" in self.dataset.use

    @property
    def kinds(self) -> dict[str, object]:
        """Name, split and what is used; where the folder is shapes no row."""
        dataset = self.dataset
        return {
            "dataset": {"name": dataset.name, "split": dataset.split, "use": sorted(dataset.use)}
        }

    @property
    def dataset_place(self) -> dict[str, str]:
        """See `ImageFiles`."""
        dataset = self.dataset
        return {"name": dataset.name, "folder": dataset.folder, "split": dataset.split}

    def file_of(self, name: str) -> ImageFile:
        """The image of this name."""
        place = self.dataset.place_of(name)
        return MissingFile(name) if place is None else DatasetImage(self.dataset, place, name)

    def require_for(self, names: Iterable[str], parts: Collection[DatasetPart]) -> None:
        """Refuse a data set that says nothing of what is to be used of it; one image is enough.

        Args:
            names: of all images; those that it does not have count as silent.
            parts: of what is used; a damaged one counts as there, since its image will say so.

        Raises:
            InputError: `dataset.no_keypoints`, `dataset.no_masks` or `dataset.no_objects`.
        """
        for part in parts:
            if part in self.dataset.use and not any(self._has(part, name) for name in names):
                facts = {"file": f"--use {part}", "dataset": self.dataset.name}
                raise InputError(_NOWHERE[part], folder=self.dataset.folder, **facts)

    def _has(self, part: DatasetPart, name: str) -> bool:
        """Whether an image has hands with keypoints, a mask, or an object with a mesh."""
        file = self.file_of(name)
        try:
            if part == "keypoints":
                return bool(file.hands())
            return file.has_mask if part == "masks" else file.has_objects
        except InputError:
            return True

    def absolute(self) -> DatasetFiles:
        """See `ImageFiles`; its folder is found from everywhere."""
        return self
