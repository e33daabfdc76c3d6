"""Samples of data sets as the Python door takes them: pixels with K, keypoints, masks, objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fitter.contact.records import PosedObject
from fitter.errors import InputError
from fitter.inputs.dataset_request import used_parts
from fitter.inputs.object_poses import PosedIn, fault_in
from fitter.inputs.seen_hands import is_marked, observations
from fitter.inputs.seen_images import SeenAnnotation
from fitter.inputs.seen_objects import annotated_object, has_mesh
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
    """What a user gave, each for one image or a list of them, see `fitter.api.HandFitter`.

    Attributes:
        is_samples_k: every K that is known is a sample's own, and samples may be crops.
    """

    images: Any
    K: Any = None
    keypoints: Any = None
    masks: Any = None
    objects: Any = None
    is_samples_k: bool = False


def is_sample(value: object) -> bool:
    """Whether a value is a sample, and no array, path or sequence."""
    return (
        hasattr(value, "pixels")
        and hasattr(value, "annotation")
        and not isinstance(value, Sequence | np.ndarray)
    )


def without_samples(given: Given, use: str | Sequence[str]) -> Given:
    """The same with a sample's pixels in its place, and its K and what `use` names where nothing
    was given for it, image by image.

    Args:
        given: images, some of which may be samples.
        use: which of "keypoints", "masks" and "objects".

    Raises:
        InputError: `use` names something else, none of the samples has what it names, the images
            are a whole data set, or a hand whose keypoints are used has no side.
    """
    used = used_parts(use)
    images = given.images
    if is_sample(images):
        _require([images], given, used)
        said = _known(images, used, "image 0")
        return Given(
            said.images,
            said.K if given.K is None else given.K,
            said.keypoints if given.keypoints is None else given.keypoints,
            said.masks if given.masks is None else given.masks,
            said.objects if given.objects is None else given.objects,
            is_samples_k=_is_nothing(given.K),
        )
    if _is_dataset(images):
        # Each sample that it is asked for is decoded, and all of them at once fit in no memory.
        raise InputError("door.dataset", file="images", count=len(images))
    if not isinstance(images, Sequence) or not any(map(is_sample, images)):
        return given
    _require([image for image in images if is_sample(image)], given, used)
    each = [
        _known(image, used, f"image {place}") if is_sample(image) else Given(image)
        for place, image in enumerate(images)
    ]
    return Given(
        [one.images for one in each],
        given.K if is_matrix(given.K) else _merged(given.K, [one.K for one in each]),
        _merged(given.keypoints, [one.keypoints for one in each]),
        _merged(given.masks, [one.masks for one in each]),
        _merged(given.objects, [one.objects for one in each]),
        is_samples_k=_is_nothing(given.K),
    )


def is_matrix(K: object) -> bool:
    """Whether K is one matrix, and not one for each of several images."""
    if isinstance(K, np.ndarray):
        return K.ndim == 2
    return isinstance(K, Sequence) and all(
        isinstance(row, Sequence | np.ndarray) and np.ndim(row) == 1 for row in K
    )


def _is_nothing(K: object) -> bool:
    """Whether no K was given, for all images or for any."""
    return K is None or (isinstance(K, Sequence) and all(one is None for one in K))


def _is_dataset(value: object) -> bool:
    """Whether a value is a reader, see `fitter.inputs.seen_images.SeenImages`."""
    return isinstance(value, Sequence) and hasattr(value, "annotation") and hasattr(value, "names")


def _merged(given: Any, said: list[Any]) -> Any:
    """What was given for each image, and where that is None what its sample says; what is no list
    of as many values stays as it is, for whoever refuses it."""
    if given is None:
        return None if all(value is None for value in said) else said
    is_list = isinstance(given, Sequence | np.ndarray) and not isinstance(given, str)
    if not is_list or len(given) != len(said):
        return given
    return [own if one is None else one for one, own in zip(given, said, strict=True)]


def _require(samples: Sequence[Sample], given: Given, use: Sequence[str]) -> None:
    """Refuse samples that say nothing of what is to be used of them; one is enough. Samples without
    any hand say that there is none."""
    seen = [hand for sample in samples for hand in sample.annotation.hands]
    if "keypoints" in use and given.keypoints is None and seen and not any(map(is_marked, seen)):
        raise InputError("door.no_keypoints", file="use")
    if "masks" in use and given.masks is None and all(one.masks is None for one in samples):
        raise InputError("door.no_masks", file="use")
    shown = [seen for sample in samples for seen in sample.annotation.objects]
    if "objects" in use and given.objects is None and not has_mesh(shown, ""):
        raise InputError("door.no_objects", file="use")


def _known(sample: Sample, use: Sequence[str], where: str) -> Given:
    hands: list[HandObservation] | None = None
    if "keypoints" in use:
        hands = observations(sample.annotation.hands, where)
    mask = None
    if "masks" in use and sample.masks is not None:
        mask = np.logical_or.reduce(sample.masks, axis=0)
    shown = None
    if "objects" in use:
        shown = _shown(sample, where)
    return Given(sample.pixels, sample.annotation.intrinsics, hands, mask, shown)


def _shown(sample: Sample, where: str) -> list[PosedObject]:
    """Objects that a sample's image shows; a rig sees things that one of its cameras does not."""
    found = [annotated_object(seen, "", where) for seen in sample.annotation.objects]
    K = sample.annotation.intrinsics
    if K is None:  # then nothing can be said of them, and they are refused
        return found
    size = (sample.pixels.shape[1], sample.pixels.shape[0])
    picture = PosedIn(where, size, np.asarray(K), "given")
    return [posed for posed in found if fault_in(picture, posed, where) is None]
