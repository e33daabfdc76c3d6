"""A data set's images for an evaluation: annotations, masks and meshes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datasets.annotations import AnnotatedHand, AnnotatedImages, Annotation, ModelParameters
from fitter.errors import InputError
from fitter.records import Side

if TYPE_CHECKING:
    from fitter.hand_models import HandModel

OPEN_HAND, NIMBLE = "open_hand", "nimble"
IMAGES_AT_ONCE = 32
"""Images whose hands are scored together."""


@dataclass(frozen=True)
class TruthChunk:
    """Some images of a data set whose annotations could be read.

    Attributes:
        places: in the data set, ascending.
        annotations: of these images.
        masks: of each image (hands, H, W) bool, or None.
    """

    places: list[int]
    annotations: list[Annotation]
    masks: list[np.ndarray | None]


def truth_in_chunks(
    images: AnnotatedImages, told: Callable[[int, InputError], None]
) -> Iterator[TruthChunk]:
    """All images of a data set, in order.

    Args:
        images: the data set.
        told: is called with the place of each image whose annotation or mask is damaged, and why;
            the image is left out.
    """
    for start in range(0, len(images), IMAGES_AT_ONCE):
        chunk = TruthChunk([], [], [])
        for place in range(start, min(start + IMAGES_AT_ONCE, len(images))):
            try:
                annotation, masks = images.annotation(place), images.masks(place)
            except InputError as error:
                told(place, error)
                continue
            chunk.places.append(place)
            chunk.annotations.append(annotation)
            chunk.masks.append(masks)
        yield chunk


class TrueMeshes:
    """The vertices of annotated hands: the data set's own, or posed from its parameters.

    MANO's parameters are posed with the user's MANO file, NIMBLE's with the user's folder, and
    without them not at all.
    """

    def __init__(self, mano: Path | None = None, nimble: Path | None = None) -> None:
        """Take a MANO file and the folder of a NIMBLE model, or None."""
        self._mano, self._nimble = mano, nimble
        self._model = cache(self._loaded)

    def are_known(self, hand: AnnotatedHand) -> bool:
        """Whether `vertices` are something."""
        return (
            hand.vertices is not None
            or (hand.parameters is not None and self._source(hand.parameters) is not None)
            or (hand.mano is not None and self._mano is not None and hand.side is not None)
        )

    def vertices(self, hand: AnnotatedHand) -> np.ndarray | None:
        """(V, 3) float64 metres in the camera, or None where they are not known.

        Raises:
            InputError: the MANO file is missing, unsafe, or no MANO model.
        """
        if hand.vertices is not None:
            return np.asarray(hand.vertices, float)
        if hand.parameters is not None:
            return self._posed(hand.parameters, hand.side or "right")
        if hand.mano is None or self._mano is None or hand.side is None:
            return None
        from datasets.readers.posing import hand_params

        model = self._model(str(self._mano), hand.side, hand.mano.fixed_left)
        if model.data.name != "mano":
            raise InputError("model.not_mano", file=self._mano, found=model.data.name)
        params = hand_params(hand.mano, model)
        vertices, place = (
            x[0].detach().numpy().astype(float) for x in (model(params).vertices, params.transl)
        )
        return (vertices - place) * hand.mano.scale + place

    def faces(self) -> dict[Side, np.ndarray]:
        """Faces of MANO's two hands; empty without a MANO file.

        Raises:
            InputError: the MANO file is missing, unsafe, or no hand model.
        """
        if self._mano is None:
            return {}
        sides: tuple[Side, ...] = ("left", "right")
        return {side: self._model(str(self._mano), side, True).data.faces for side in sides}

    def _source(self, given: ModelParameters) -> str | None:
        """What to load for parameters of a model's name; None where that is not known."""
        if given.model == OPEN_HAND:
            return given.model
        source = {"mano": self._mano, NIMBLE: self._nimble}.get(given.model)
        return None if source is None else str(source)

    def _posed(self, given: ModelParameters, side: Side) -> np.ndarray | None:
        """The vertices of a hand of this project's own making."""
        source = self._source(given)
        if source is None:
            return None
        import torch

        from fitter.records import HandParams

        model = self._model(source, side, True, len(given.betas))
        rows = (given.global_orient, given.hand_pose, given.betas, given.translation)
        params = HandParams(*(torch.as_tensor(row).double()[None] for row in rows))
        return model(params).vertices[0].numpy()

    @staticmethod
    def _loaded(source: str, side: Side, fixed_left: bool, shapes: int = 0) -> HandModel:
        import torch

        from fitter.hand_models import ManoOptions, load_hand_model

        options = ManoOptions(fix_left_shapedirs=fixed_left)
        model = load_hand_model(source, side, torch.float64, options)
        if source == OPEN_HAND and shapes > model.shapedirs.shape[-1]:
            return load_hand_model(source, side, torch.float64, options, children=True)
        return model
