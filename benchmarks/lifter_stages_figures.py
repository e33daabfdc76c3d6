"""What the weights of a network are worth: alone, and as the start of the whole fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from initialisations import detected_images
from networks_figures import found_alone, hand_observation, opened_sightings

from datasets.readers import open_dataset
from fitter.config.options import Config
from fitter.engine import Engine
from fitter.fitting.crops import crop_hands
from fitter.fitting.detected_image import DetectedImage
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.hand_models import load_hand_model
from fitter.metrics import pa_mpjpe
from init_net.samples.shards import HAND_FIELDS, ShardedSamples, true_hands

SETS = ("renders", "photographs, first half", "photographs, second half")
"""What is measured on: renders that nothing was trained on, and annotated photographs."""


@dataclass(frozen=True)
class KnownHands:
    """Images with one detected hand each, and its truth.

    Attributes:
        images: N.
        truth: (N, 21, 3) metres, any frame.
    """

    images: Sequence[DetectedImage]
    truth: np.ndarray


@dataclass(frozen=True)
class Worth:
    """PA-MPJPE of N hands, mm.

    Attributes:
        alone: (N,) of what the network says.
        fitted: (N,) of the whole fit that starts from it.
    """

    alone: np.ndarray
    fitted: np.ndarray


def rendered_hands(folder: Path, count: int, config: Config) -> KnownHands:
    """The first `count` samples of a rendered set in which the detector found the hand by itself.

    Raises:
        InputError: see `ShardedSamples` and `Sightings`.
    """
    samples = ShardedSamples(folder)
    index = found_alone(samples)[:count]
    rows = samples.read(index, ["image", "intrinsics", *HAND_FIELDS])
    seen = opened_sightings(samples).read(index, np.zeros_like(index))
    crop = (config.refine.resolution, config.refine.margin)
    images = []
    for i, (pixels, K) in enumerate(zip(rows["image"], rows["intrinsics"], strict=True)):
        hands = (hand_observation(seen, i),)
        size = (pixels.shape[1], pixels.shape[0])
        intrinsics = K.astype(np.float64)
        crops = crop_hands(pixels, intrinsics, hands, None, crop)
        images.append(DetectedImage(size, intrinsics, "given", hands, crops))
    truth = load_hand_model(dtype=torch.float64)(true_hands(rows)).keypoints
    return KnownHands(images, truth.numpy())


def photographed_hands(root: Path, config: Config) -> tuple[KnownHands, KnownHands]:
    """Both halves of FreiHAND's evaluation split, or of one laid out as it is: hands that the
    detector finds."""
    annotated = open_dataset("freihand", str(root), "evaluation")
    images = detected_images(annotated, config)
    kept = [i for i, image in enumerate(images) if image.hands]
    halves = [
        [i for i in kept if i < len(images) // 2],
        [i for i in kept if i >= len(images) // 2],
    ]
    first, second = (
        KnownHands(
            [images[i] for i in half],
            np.array([annotated.annotation(i).hands[0].keypoints_3d for i in half]),
        )
        for half in halves
    )
    return first, second


def worth(config: Config, network: str, known: KnownHands) -> Worth:
    """Measure the network of a configuration.

    Args:
        config: of the run; it asks no other network for initialisations.
        network: lifter or handnet.
        known: hands.
    """
    engine = Engine(config)
    assert engine.initializer is not None  # a network is asked
    hands = [image.hands[0] for image in known.images]
    like = engine.fit_model.keypoints.joint_template
    observed = ObservationBatch.of(hands, [image.intrinsics for image in known.images], like)
    crops = [image.crops[0] for image in known.images]
    said = engine.initializer(normalise(observed), crops).initialisations[network].keypoints
    # A left hand is said as its mirror image.
    sign = np.where(observed.is_left.numpy(), -1.0, 1.0)[:, None, None]
    alone = said.cpu().numpy() * np.concatenate([sign, np.ones((len(sign), 1, 2))], 2)
    rows = [row.hands[0] for row in engine.fit(known.images)]
    fitted = np.stack([row.keypoints_3d for row in rows])
    return Worth(1000 * pa_mpjpe(alone, known.truth), 1000 * pa_mpjpe(fitted, known.truth))
