"""The hands of `benchmarks/appearance.py`: renders whose skin, light, mesh and mask are known.

They come from the renderer of training data, with seeds that no training uses. Its light (three
lamps with shadows, sky and ground, light that is scattered in the skin, highlights) is none that
a fit can write down, so that no fit reaches an error of 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from refine_data import KEYPOINT_NOISE, punched, resized
from torch import Tensor

from datasets.synthetic.engine import SyntheticEngine
from datasets.synthetic.settings import SyntheticSettings
from fitter.fitting.observations import ObservationBatch
from fitter.hand_models.appearance import Appearance
from fitter.records import HandObservation

SEED = 30_000
"""Of the renders; training has others."""

SIZE = 256
"""Pixels of an image's side."""


@dataclass(frozen=True)
class Scenes:
    """B rendered hands and what a fit sees of them.

    Attributes:
        images: (B, 256, 256, 3) uint8 sRGB, with coverings where there are some.
        intrinsics: (B, 3, 3) float64.
        hands: the noisy keypoints.
        masks: (B, 256, 256) bool, eroded or dilated and with holes; coverings are in them.
        true_masks: (B, 256, 256) float32 share of each pixel that shows bare skin of the hand.
        vertices: (B, V, 3) float64 metres.
        skin: (B, A) true coefficients of the skin.
    """

    images: np.ndarray
    intrinsics: np.ndarray
    hands: Sequence[HandObservation]
    masks: np.ndarray
    true_masks: np.ndarray
    vertices: np.ndarray
    skin: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> Scenes:
        return Scenes(**{name: value[part] for name, value in vars(self).items()})

    @property
    def observed(self) -> ObservationBatch:
        """Keypoints and cameras for the keypoint fit."""
        like = torch.zeros((), dtype=torch.float64)
        return ObservationBatch.of(self.hands, list(self.intrinsics), like)

    def reflectance(self, appearance: Appearance) -> np.ndarray:
        """(B, V, 3) true reflectance at the vertices, linear RGB."""
        return appearance.vertex_colours(self.skin.float()).numpy()


def render_scenes(count: int, first: int = 0, source: str = "open_hand") -> Scenes:
    """Hands with their forearms and nothing else.

    Args:
        count: how many; first: the number of the first, which decides what it is.
        source: whose hands and skin: "open_hand", or the folder of a NIMBLE model.
    """
    model = None if source == "open_hand" else Path(source)
    engine = SyntheticEngine(SIZE, replace(SyntheticSettings.unoccluded(), model=model))
    batch = engine.batch(SEED, range(first, first + count))
    hands, masks = [], []
    true = batch.mask.numpy()
    for number, points in enumerate(batch.keypoints_2d.double().numpy()):
        generator = np.random.default_rng([SEED, first + number])
        noisy = points + generator.normal(0, KEYPOINT_NOISE, points.shape)
        hands.append(HandObservation(noisy, np.ones(21), "right", side_score=1.0, score=1.0))
        masks.append(punched(resized(true[number] > 0.5, generator), generator))
    return Scenes(
        images=batch.image.numpy(),
        intrinsics=batch.intrinsics.double().numpy(),
        hands=hands,
        masks=np.stack(masks),
        true_masks=true,
        vertices=batch.vertices.double().numpy(),
        skin=batch.specs.skin.appearance,
    )


def covered(scenes: Scenes, share: float) -> Scenes:
    """The same hands with things in front of them that no mask knows of.

    Bars (rings, straps, sleeves) and ellipses of one colour each, with a little noise, are painted
    until `share` of the hand is covered. What is covered is no bare skin.
    """
    images, true = scenes.images.copy(), scenes.true_masks.copy()
    y, x = np.mgrid[:SIZE, :SIZE]
    for number in range(len(scenes)):
        generator = np.random.default_rng([SEED, number, round(1000 * share)])
        hand = true[number] > 0.5
        wanted = (1 - share) * hand.sum()
        while (hand & (true[number] > 0.5)).sum() > wanted:
            rows, columns = np.nonzero(hand)
            chosen = generator.integers(len(rows))
            angle, (long, short) = generator.uniform(0, np.pi), generator.uniform(6, [60, 14])
            across = (x - columns[chosen]) * np.cos(angle) + (y - rows[chosen]) * np.sin(angle)
            along = (y - rows[chosen]) * np.cos(angle) - (x - columns[chosen]) * np.sin(angle)
            if generator.random() < 0.5:
                thing = (np.abs(across) < short) & (np.abs(along) < long)
            else:
                thing = (across / short) ** 2 + (along / long) ** 2 < 1
            colour = generator.uniform(0, 255, 3) + generator.normal(0, 6, (thing.sum(), 3))
            images[number][thing] = colour.clip(0, 255).astype(np.uint8)
            true[number][thing] = 0
        images[number] = cv2.GaussianBlur(images[number], (3, 3), 0.6)
    return replace(scenes, images=images, true_masks=true)
