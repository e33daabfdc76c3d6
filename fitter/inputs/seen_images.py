"""What a run needs of a data set's reader: pixels, K, and on request keypoints and masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from fitter.records import Side


class SeenHand(Protocol):
    """A hand as a data set knows it; see `datasets.annotations.AnnotatedHand`."""

    @property
    def side(self) -> Side | None:
        """Which hand it is."""

    @property
    def keypoints_2d(self) -> np.ndarray:
        """(21, 2) pixels of the image, NaN where not annotated."""


class SeenAnnotation(Protocol):
    """What a data set says of an image; see `datasets.annotations.Annotation`."""

    @property
    def intrinsics(self) -> np.ndarray | None:
        """(3, 3) K in pixels of the image, or None."""

    @property
    def hands(self) -> Sequence[SeenHand]:
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

    def path(self, place: int) -> Path:
        """The file of image `place`, if it is one."""

    def annotation(self, place: int) -> SeenAnnotation:
        """What is known of image `place`; raises InputError where it is damaged."""

    def masks(self, place: int) -> np.ndarray | None:
        """(hands, H, W) bool, or None; raises InputError where they are damaged."""

    def pixels(self, place: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB; raises InputError where they are damaged."""
