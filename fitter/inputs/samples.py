"""Samples of data sets as the Python door takes them: pixels with K, keypoints and masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fitter.inputs.annotated import DatasetRequest, observations
from fitter.inputs.seen_images import SeenAnnotation
from fitter.records import HandObservation


class Sample(Protocol):
    """An image with all that is known of it; see `datasets.annotations.AnnotatedImage`."""

    @property
    def pixels(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""

    @property
    def annotation(self) -> SeenAnnotation:
        """What is known."""

    @property
    def masks(self) -> np.ndarray | None:
        """(hands, H, W) bool, or None."""


@dataclass(frozen=True)
class Given:
    """What a user gave, each for one image or a list of them, see `fitter.api.HandFitter`."""

    images: Any
    K: Any = None
    keypoints: Any = None
    masks: Any = None


def is_sample(value: object) -> bool:
    """Whether a value is a sample, and no array, path or sequence."""
    return (
        hasattr(value, "pixels")
        and hasattr(value, "annotation")
        and not isinstance(value, Sequence | np.ndarray)
    )


def without_samples(given: Given, use: Sequence[str]) -> Given:
    """The same with a sample's pixels in its place, and its K and what `use` names where nothing
    was given.

    Args:
        given: images, some of which may be samples.
        use: "keypoints", "masks", both or neither.

    Raises:
        InputError: `use` names something else, or a hand whose keypoints are used has no side.
    """
    used = DatasetRequest("", use=use).use  # type: ignore[arg-type]  # it refuses others
    if is_sample(given.images):
        known = _known(given.images, used, "image 0")
        images, K, keypoints, masks = known.images, known.K, known.keypoints, known.masks
    elif isinstance(given.images, Sequence) and any(map(is_sample, given.images)):
        each = [
            _known(image, used, f"image {place}") if is_sample(image) else Given(image)
            for place, image in enumerate(given.images)
        ]
        images = [one.images for one in each]
        K, keypoints, masks = (
            _unless_empty([getattr(one, name) for one in each])
            for name in ("K", "keypoints", "masks")
        )
    else:
        return given
    return Given(
        images,
        K if given.K is None else given.K,
        keypoints if given.keypoints is None else given.keypoints,
        masks if given.masks is None else given.masks,
    )


def _known(sample: Sample, use: Sequence[str], where: str) -> Given:
    hands: list[HandObservation] | None = None
    if "keypoints" in use:
        hands = observations(sample.annotation.hands, where)
    mask = None
    if "masks" in use and sample.masks is not None:
        mask = np.logical_or.reduce(sample.masks, axis=0)
    return Given(sample.pixels, sample.annotation.intrinsics, hands, mask)


def _unless_empty(values: list[Any]) -> list[Any] | None:
    return None if all(value is None for value in values) else values
