"""A data set of a few rendered hands in memory, with what a test wants to be wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from datasets.annotations import AnnotatedHand, AnnotatedImages, Annotation, ModelParameters
from datasets.synthetic import SyntheticBatch, SyntheticEngine, SyntheticSettings
from fitter.errors import InputError

SIZE = 96


@lru_cache(maxsize=1)
def rendered(count: int = 6) -> SyntheticBatch:
    """Hands alone, each well inside its picture."""
    return SyntheticEngine(SIZE, SyntheticSettings.unoccluded()).batch(77, range(count))


def true_hand(row: int) -> AnnotatedHand:
    """All that is known of a rendered hand."""
    batch = rendered()
    params = batch.specs.hand
    return AnnotatedHand(
        side="right",
        keypoints_2d=batch.keypoints_2d[row].numpy(),
        keypoints_3d=batch.keypoints_3d[row].numpy(),
        visible=batch.visible[row].numpy(),
        parameters=ModelParameters(
            "open_hand",
            *(getattr(params, name)[row].numpy()
              for name in ("global_orient", "hand_pose", "betas", "transl")),
        ),
    )  # fmt: skip


class Pictures(AnnotatedImages):
    """Rendered pictures; `change` alters what is said of a hand, `damaged` cannot be read."""

    def __init__(
        self,
        change: Callable[[int, AnnotatedHand], AnnotatedHand] = lambda row, hand: hand,
        damaged: Sequence[int] = (),
        twice: Sequence[int] = (),
        **known: object,
    ) -> None:
        self.dataset, self.root, self.split = "pictures", Path("pictures"), "all"
        self.definition = known.pop("definition", "mediapipe")
        count = known.pop("count", 6)
        self.names = [f"{row}.png" for row in range(count)]
        self.change, self.damaged, self.twice = change, damaged, twice
        self.known: Mapping[str, object] = {"masks": True, "intrinsics": True, **known}

    def annotation(self, place: int) -> Annotation:
        K = rendered().intrinsics[place].numpy() if self.known["intrinsics"] else None
        hand = self.change(place, true_hand(place))
        hands = (hand, hand) if place in self.twice else (hand,)
        return Annotation(self.names[place], K, hands)

    def masks(self, place: int) -> np.ndarray | None:
        hands = 2 if place in self.twice else 1
        mask = rendered().mask[place].numpy() > 0.5
        return np.stack([mask] * hands) if self.known["masks"] else None

    def pixels(self, place: int) -> np.ndarray:
        if place in self.damaged:
            raise InputError("image.damaged", file=self.names[place], reason="cut off")
        return rendered().image[place].numpy()


def without_parameters(row: int, hand: AnnotatedHand) -> AnnotatedHand:
    """Keypoints alone."""
    return replace(hand, parameters=None)


def in_the_picture_alone(row: int, hand: AnnotatedHand) -> AnnotatedHand:
    """Keypoints in 2D alone."""
    nothing = np.full((21, 3), np.nan)
    return replace(hand, parameters=None, keypoints_3d=nothing)


def mirrored(hand: AnnotatedHand) -> AnnotatedHand:
    """The left hand of the mirrored picture, in the camera whose K is mirrored too."""
    points, positions = hand.keypoints_3d * [-1, 1, 1], hand.keypoints_2d.copy()
    positions[:, 0] = SIZE - positions[:, 0]
    own = hand.parameters
    turned = [1.0, -1.0, -1.0]
    assert own is not None
    parameters = ModelParameters(
        own.model,
        own.global_orient * turned,
        own.hand_pose * turned,
        own.betas,
        own.translation * [-1, 1, 1],
    )
    return replace(
        hand, side="left", keypoints_2d=positions, keypoints_3d=points, parameters=parameters
    )
