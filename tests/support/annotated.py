"""Annotated images that lie in memory, for tests of what takes a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets.annotations import (
    AnnotatedDefinition,
    AnnotatedHand,
    AnnotatedImages,
    Annotation,
)
from fitter.errors import InputError
from fitter.records import Side

K = np.array([[500.0, 0, 112], [0, 500, 112], [0, 0, 1]])


class InMemoryImages(AnnotatedImages):
    """A data set of annotations and masks that are given; an `InputError` in their place is raised
    when the image is asked for."""

    def __init__(
        self,
        annotations: Sequence[Annotation | InputError],
        masks: dict[int, np.ndarray] | None = None,
        dataset: str = "tests",
        definition: AnnotatedDefinition = "freihand",
    ) -> None:
        self.dataset, self.root, self.split = dataset, Path("of-tests"), "evaluation"
        self.definition = definition
        self.names = [
            f"{i:08d}.jpg" if isinstance(a, InputError) else a.name
            for i, a in enumerate(annotations)
        ]
        self._annotations = annotations
        self._masks = masks or {}

    def annotation(self, place: int) -> Annotation:
        found = self._annotations[place]
        if isinstance(found, InputError):
            raise found
        return found

    def masks(self, place: int) -> np.ndarray | None:
        return self._masks.get(place)


def project(points: np.ndarray, matrix: np.ndarray = K) -> np.ndarray:
    """Points in the camera (..., 3) -> pixels (..., 2)."""
    image = points @ matrix.T
    return image[..., :2] / image[..., 2:]


def annotated_hand(
    points: np.ndarray, side: Side | None = "right", **more: object
) -> AnnotatedHand:
    """A hand (21, 3) metres that `K` sees."""
    return replace(AnnotatedHand(side, project(points), points), **more)


def one_hand_images(points: np.ndarray, dataset: str = "freihand") -> InMemoryImages:
    """N images of one right hand each, (N, 21, 3) metres, named as FreiHAND names them."""
    return InMemoryImages(
        [
            Annotation(f"evaluation/rgb/{i:08d}.jpg", K, (annotated_hand(hand),))
            for i, hand in enumerate(points)
        ],
        dataset=dataset,
    )
