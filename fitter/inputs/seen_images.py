"""What a run needs of a data set's reader: images, K, on request keypoints, masks, objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from fitter.errors import InputError
from fitter.inputs.camera_exif import CameraExif
from fitter.inputs.image_files import ImageFile
from fitter.records import Side


class SeenHand(Protocol):
    """A hand as a data set knows it; see `datasets.annotations.AnnotatedHand`."""

    @property
    def side(self) -> Side | None:
        """Which hand it is."""

    @property
    def keypoints_2d(self) -> np.ndarray:
        """(21, 2) pixels of the image, NaN where not annotated."""

    @property
    def confidence(self) -> np.ndarray | None:
        """(21,) in [0, 1] of the keypoints, or None where all that are annotated are sure."""


class SeenObject(Protocol):
    """An object as a data set knows it; see `datasets.annotations.AnnotatedObject`."""

    @property
    def name(self) -> str:
        """The data set's."""

    @property
    def rotation(self) -> np.ndarray:
        """(3, 3) R of ``x_camera = R x + t``."""

    @property
    def translation(self) -> np.ndarray:
        """(3,) t, metres."""

    @property
    def mesh(self) -> Path | None:
        """File of its mesh where the data set's folder has it, or None."""


class SeenAnnotation(Protocol):
    """What a data set says of an image; see `datasets.annotations.Annotation`."""

    @property
    def intrinsics(self) -> np.ndarray | None:
        """(3, 3) K in pixels of the image, or None."""

    @property
    def hands(self) -> Sequence[SeenHand]:
        """In the image."""

    @property
    def objects(self) -> Sequence[SeenObject]:
        """In the image."""

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) that the annotation was made for, or None."""


class SeenImages(Protocol):
    """What a run needs of a reader; see `datasets.annotations.AnnotatedImages`."""

    names: Sequence[str]
    """Of all images."""

    @property
    def has_intrinsics(self) -> bool:
        """Whether the data set has a K for each image, so that one without it is damaged."""

    @property
    def broken(self) -> Sequence[str]:
        """A sentence for each file of many images that breaks off."""

    def file(self, place: int) -> ImageFile:
        """Where image `place` is."""

    def annotation(self, place: int) -> SeenAnnotation:
        """What is known of image `place`; raises InputError where it is damaged."""

    def masks(self, place: int) -> np.ndarray | None:
        """(hands, H, W) bool, or None; raises InputError where they are damaged."""

    def read(self, place: int) -> tuple[np.ndarray, CameraExif]:
        """(H, W, 3) uint8 RGB, and what the image says about its camera; raises InputError where
        it is damaged."""


def check_annotated_size(label: str, annotation: SeenAnnotation, size: tuple[int, int]) -> None:
    """Refuse an image that is not of the size that its annotation was made for.

    Args:
        label: of the image, for the message.
        annotation: of the image.
        size: (width, height) of the upright image in pixels.

    Raises:
        InputError: `dataset.image_size`.
    """
    expected = annotation.size
    if expected is not None and tuple(expected) != size:
        raise InputError(
            "dataset.image_size",
            file=label,
            expected=f"{expected[0]}x{expected[1]}",
            found=f"{size[0]}x{size[1]}",
        )
