"""Pictures of a domain that no network has seen, for `benchmarks/pseudo_labels.py`.

What differs from the samples that `train-hands` renders by default: the camera sits on the owner's
head and is out of focus, moved, dark, tinted, noisy or without colours, files are compressed more,
skin is darker, lighter and of other hues, backgrounds and held things are others. A picture depends
on (seed, number) alone, and those that are there are kept.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from datasets.synthetic import SyntheticEngine, SyntheticSettings
from datasets.synthetic.files import BATCH, write_lists, write_samples
from datasets.synthetic.folder import SPLIT, SyntheticRequest, prepare_folder
from datasets.synthetic.records import LensSpec, SampleSpecs, SkinSpec

SETTINGS = SyntheticSettings(
    view="egocentric", backgrounds="mixed", grey_share=0.3, varied_object_share=0.5
)

_STREAM = 99
"""Apart from what else a seed decides about a sample."""


def write_shifted(folder: Path, count: int, seed: int) -> None:
    """Write what is missing of a data set of the shifted domain, in the layout of `synth-hands`.

    Args:
        folder: where it goes.
        count: pictures.
        seed: which data set.
    """
    prepare_folder(SyntheticRequest(folder, count, seed, settings=SETTINGS))
    there = {int(path.stem) for path in (folder / SPLIT / "truth").glob("*.json")}
    missing = [number for number in range(count) if number not in there]
    engine = SyntheticEngine(224, SETTINGS, supersampling=1) if missing else None
    for first in range(0, len(missing), BATCH):
        assert engine is not None
        specs = engine.sample(seed, missing[first : first + BATCH])
        write_samples(folder, engine.render(shifted(specs, seed)))
    if missing:
        write_lists(folder)


def shifted(specs: SampleSpecs, seed: int) -> SampleSpecs:
    """Samples with the skin and the camera of the shifted domain."""
    streams = [np.random.default_rng([seed, number, _STREAM]) for number in specs.index.tolist()]
    return replace(specs, skin=_skin(specs.skin, streams), lens=_lens(specs.lens, streams))


def _skin(skin: SkinSpec, streams: list[np.random.Generator]) -> SkinSpec:
    """Tones beyond both ends of those that are learned from, [-1.6, 1.8], and stronger hues."""
    appearance = (1.5 * skin.appearance).clamp(-2.5, 2.5)
    tones = [
        rng.uniform(-2.2, -1.6) if rng.random() < 0.5 else rng.uniform(1.8, 2.4) for rng in streams
    ]
    appearance[:, 0] = torch.tensor(tones)
    return replace(skin, appearance=appearance)


def _lens(lens: LensSpec, streams: list[np.random.Generator]) -> LensSpec:
    """A worse camera."""
    count = len(streams)
    dark = np.array([np.exp(rng.normal(-0.15, 0.3)) for rng in streams])
    tint = np.array([np.exp(rng.normal(0, 0.15, 3)) for rng in streams])
    blur = np.array([rng.uniform(0.002, 0.007) for rng in streams])
    angle = np.array([rng.uniform(0, np.pi) for rng in streams])
    way = np.array([rng.uniform(0.005, 0.025) * (rng.random() < 0.4) for rng in streams])
    noise = np.array([rng.uniform(1, 5, 2) for rng in streams])
    quality = np.array([rng.uniform(25, 75) for rng in streams])
    motion = np.stack([way * np.cos(angle), way * np.sin(angle)], 1)

    def like(values: np.ndarray, given: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(values.reshape(count, *given.shape[1:])).to(given)

    return replace(
        lens,
        exposure=lens.exposure * like(dark, lens.exposure),
        balance=lens.balance * like(tint, lens.balance),
        blur=lens.blur + like(blur, lens.blur),
        motion=lens.motion + like(motion, lens.motion),
        noise=lens.noise + like(noise, lens.noise),
        quality=like(quality, lens.quality),
    )
