"""Hands that several views of a frame see, as batches of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fitter.config.options import FitConfig
from fitter.fitting.detected_frame import DetectedFrame
from fitter.fitting.initializer import ViewedRows
from fitter.fitting.observations import ObservationBatch
from fitter.hand_slots import Slot, of_known_size
from fitter.records import HandObservation, NormalisedHands, mirror_where
from fitter.rig import RigCamera
from fitter.views.matching import ViewedHand, as_of_side
from fitter.views.rows import RigRows


@dataclass(frozen=True)
class SeenHand:
    """One hand of a frame with what is needed to fit it.

    Attributes:
        hand: its views.
        slots: in each of them, as a hand of one side.
        cameras: of these views.
    """

    hand: ViewedHand
    slots: tuple[Slot, ...]
    cameras: tuple[RigCamera, ...]

    @classmethod
    def of(cls, frame: DetectedFrame, hand: ViewedHand) -> SeenHand:
        """A hand of a frame; what a view takes for one of the other side as one of its side."""
        slots = []
        for view, place in hand.places.items():
            image = frame.views[view]
            assert image is not None  # it has hands
            slot = Slot.of(image, place)
            if slot.hand.side != hand.side:
                crop = None if slot.crop is None else slot.crop.mirrored()
                slot = replace(slot, hand=as_of_side(slot.hand, hand.side), crop=crop)
            slots.append(slot)
        return cls(hand, tuple(slots), tuple(frame.rig.cameras[view] for view in hand.places))

    @property
    def best(self) -> HandObservation:
        """As the view sees it that is surest of it; of the greatest presence in any view."""
        hands = [slot.hand for slot in self.slots]
        best = max(hands, key=lambda hand: hand.score)
        presences = [hand.presence for hand in hands if hand.presence is not None]
        sizes = [hand.hand_size for hand in hands if hand.hand_size is not None]
        return replace(
            best,
            presence=max(presences) if len(presences) == len(hands) else None,
            hand_size=sizes[0] if sizes else None,
        )


@dataclass(frozen=True)
class RowBatch:
    """B hands and their N rows, as all steps of a fit share them.

    Attributes:
        hands: B of them.
        slots: of the N rows.
        observations: of the same hands, with sizes that are known of all.
        observed: the same as tensors, not mirrored.
        rows: their cameras, mirrored where hands are left ones.
        is_left: (B,) bool.
    """

    hands: Sequence[SeenHand]
    slots: list[Slot]
    observations: list[HandObservation]
    observed: ObservationBatch
    rows: RigRows
    is_left: Tensor

    @classmethod
    def of(cls, hands: Sequence[SeenHand], hand_size: float | None, like: Tensor) -> RowBatch:
        """B hands on `like`'s device and dtype, of a size that is known of all or None."""
        slots = [slot for hand in hands for slot in hand.slots]
        cameras = [camera for hand in hands for camera in hand.cameras]
        observations = [of_known_size(slot.hand, hand_size) for slot in slots]

        def tensor(arrays: Sequence[np.ndarray]) -> Tensor:
            return torch.as_tensor(np.stack(arrays), dtype=like.dtype, device=like.device)

        numbers = [number for number, hand in enumerate(hands) for _ in hand.slots]
        rows = RigRows(
            hand=torch.tensor(numbers, device=like.device),
            rotation=tensor([camera.rotation for camera in cameras]),
            translation=tensor([camera.translation for camera in cameras]),
            weight=tensor([np.concatenate([hand.hand.weights for hand in hands])])[0],
            count=len(hands),
        )
        is_left = torch.tensor([hand.hand.side == "left" for hand in hands], device=like.device)
        observed = ObservationBatch.of(observations, [slot.intrinsics for slot in slots], like)
        return cls(hands, slots, observations, observed, rows.mirrored_where(is_left), is_left)

    def viewed(self, detected: NormalisedHands) -> ViewedRows:
        """The rows as networks of several views take them.

        Args:
            detected: the same rows as right hands.
        """
        crops = [slot.crop for slot in self.slots]
        cameras = [camera for hand in self.hands for camera in hand.cameras]
        is_left = self.is_left[self.rows.hand]
        return ViewedRows(detected, crops, self.rows.hand, cameras, is_left)

    @property
    def points(self) -> Tensor:
        """(B, 21, 3) where lines of sight meet, of right hands."""
        like = self.rows.translation
        points = like.new_tensor(np.stack([hand.hand.points for hand in self.hands]))
        return mirror_where(self.is_left, points)

    @property
    def noise(self) -> np.ndarray:
        """(B,) of the hands' keypoints, see `ViewedHand`; NaN where views do not tell."""
        return np.array([hand.hand.noise for hand in self.hands])

    def sureness(self, config: FitConfig) -> Tensor:
        """(B,) factors on the weights of keypoints, by how well views agree.

        A sum of squares over the variance is the likelihood, so that a hand whose views see its
        keypoints with another variance than the weights are made for needs others, beside the same
        priors.
        """
        noise = self.noise
        with np.errstate(divide="ignore"):
            factor = np.square(config.view_noise / noise).clip(1, config.view_sureness)
        return self.rows.translation.new_tensor(np.where(np.isfinite(noise), factor, 1.0))
