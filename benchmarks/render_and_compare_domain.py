"""Pictures of a domain that no arm has seen (`pseudo_labels_data`): some without labels, which
S2HAND learns from, and others with their truth, which are measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from arms import seen_by_the_detector
from pseudo_labels_data import write_shifted

from datasets.synthetic.folder import SPLIT
from init_net.networks.config import AutoencoderConfig
from init_net.samples.config import DatasetConfig
from init_net.samples.crop_samples import Cropper
from init_net.training.sources import learned_from, look_at, prepare

UNLABELLED_SEED, HELD_OUT_SEED = 7001, 7002
"""Those of `pseudo_labels`: a folder that it has rendered serves here as well."""


def pictures(folder: Path, count: int) -> dict[str, Any]:
    """A source of `train-hands`: pictures alone, rendered where they are missing; what they show
    is known to nobody but the detector.

    Args:
        folder: of the domain.
        count: pictures.
    """
    write_shifted(folder / "unlabelled", count, UNLABELLED_SEED)
    return {
        "dataset": "images",
        "folder": str(folder / "unlabelled" / SPLIT / "rgb"),
        "samples": str(folder / "samples" / "pictures"),
        "count": count,
    }


def held_out_pictures(
    folder: Path, count: int, network: AutoencoderConfig, sightings: Sequence[int]
) -> Cropper:
    """Crops of pictures with their truth, in which the detector sees the hand.

    Args:
        folder: of the domain.
        count: pictures.
        network: whose crops they are.
        sightings: how the detector may have seen them, see `seen_by_the_detector`.
    """
    write_shifted(folder / "held-out", count, HELD_OUT_SEED)
    source = DatasetConfig(
        dataset="synthetic",
        folder=str(folder / "held-out"),
        samples=str(folder / "samples" / "held-out"),
    )
    prepare(source)
    look_at(source, 1)
    samples = learned_from([source]).samples
    seen = seen_by_the_detector(samples, np.arange(len(samples)), sightings)
    return Cropper(samples.subset(seen), network.input_size, network.margin, None)
