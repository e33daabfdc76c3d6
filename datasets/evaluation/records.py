"""What is compared: estimated hands of images, and which annotated hand each is held against."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from datasets.annotations import AnnotatedHand, Annotation
from fitter.records import Side

Fate = Literal["ok", "no_hand", "failed", "pending", "absent"]
"""What became of an image: the states of a store, or absent where the source does not have it."""

Loss = Literal["no_hand", "refused", "failed", "pending", "absent", "missed"]
"""Why an annotated hand has no estimate; missed where the image has valid hands and none at its
place, refused where it has none that is valid and one that was fitted and then refused."""


@dataclass(frozen=True)
class EstimatedHand:
    """A hand as a source says it is.

    Attributes:
        keypoints_3d: (21, 3) float64 metres, OpenCV camera.
        keypoints_2d: (21, 2) float64 pixels, NaN where there is none.
        side: which hand it is; None where the source does not say.
        score: ranks the hands of an image.
        vertices: (V, 3) float64 metres in the camera, or None.
        focal_scale: its camera's focal lengths divided by those of the image's K, where they were
            fitted with the hand; else 1.
        references: what else is compared with the annotated keypoints, by name: (21, 3) in any
            unit, NaN where there is none.
    """

    keypoints_3d: np.ndarray
    keypoints_2d: np.ndarray
    side: Side | None = None
    score: float = 0.0
    vertices: np.ndarray | None = None
    focal_scale: float = 1.0
    references: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class EstimatedImage:
    """What a source says of an image.

    Attributes:
        fate: of the image.
        hands: the valid ones.
        refused: how many were fitted and then refused, as no hand or one of too low a quality.
    """

    fate: Fate
    hands: tuple[EstimatedHand, ...] = ()
    refused: int = 0


ABSENT = EstimatedImage("absent")


class Estimates(ABC):
    """The hands that a store or a file has of a data set's images.

    Attributes:
        path: of the store or file.
        definition: of the keypoints; None where it is not known.
        is_posed: whether they were posed from parameters in another definition than the stored.
        iterations: mean number of solver iterations after the keypoints, of a store; or None.
        made_of: name, folder and split of the data set that a store was made of; None where that is
            not known.
        unknown_names: of a file of predictions: images that the data set does not have.
    """

    path: Path
    definition: str | None = None
    is_posed: bool = False
    iterations: float | None = None
    made_of: dict[str, str] | None = None
    unknown_names: Sequence[str] = ()

    @abstractmethod
    def images(
        self, places: Sequence[int], annotations: Sequence[Annotation], with_meshes: bool
    ) -> list[EstimatedImage]:
        """Of some images of the data set.

        Args:
            places: in the data set.
            annotations: of these images, for what depends on their cameras.
            with_meshes: whether vertices are wanted.

        Raises:
            InputError: what is stored is damaged; or there is no model to pose meshes with.
        """

    def faces(self, side: Side) -> np.ndarray | None:
        """(F, 3) vertices of each face of a hand's mesh, or None where they are not known.

        Raises:
            InputError: the model that has them is not where it should be.
        """
        return None


@dataclass(frozen=True)
class Pair:
    """An annotated hand and the estimate that is held against it.

    Attributes:
        place: of the image in the data set.
        number: of the annotated hand in its image.
        annotation: of the image.
        truth: the annotated hand.
        estimate: the estimated one.
    """

    place: int
    number: int
    annotation: Annotation
    truth: AnnotatedHand
    estimate: EstimatedHand

    @property
    def is_other_side(self) -> bool:
        """Whether the estimate says that it is the other hand."""
        return None not in (self.truth.side, self.estimate.side) and (
            self.truth.side != self.estimate.side
        )


@dataclass(frozen=True)
class Lost:
    """An annotated hand without an estimate.

    Attributes:
        place: of the image in the data set.
        truth: the annotated hand.
        why: there is none.
    """

    place: int
    truth: AnnotatedHand
    why: Loss
