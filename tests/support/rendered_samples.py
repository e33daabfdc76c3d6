"""Small sets of rendered samples, of which a detector has seen what it is told to."""

from pathlib import Path

import numpy as np
import torch

from fitter.camera import back_project, rotation_to
from fitter.detection.networks.shapes import FEATURES
from init_net.samples import shards
from init_net.samples.shards import SampleSource, ShardedSamples, render_shards, write_arrays
from init_net.samples.sightings import FOUND, SIGHTING_FIELDS, TOLD, sightings_folder

TOLD_VARIANT = 1
"""Variants from this one on were seen when the detector was told where to look."""


def render(
    folder: Path,
    source: SampleSource,
    noise: float = 0.0,
    unseen: tuple[int, ...] = (),
    variants: int = 1,
    **options: object,
) -> None:
    """`render_shards`, and the sightings of a detector that errs by `noise` pixels and misses the
    samples `unseen`; what it says depends on sample and variant alone."""
    render_shards(folder, source, **options)
    write_sightings(ShardedSamples(folder), noise, unseen, variants)


def write_sightings(
    samples: ShardedSamples,
    noise: float = 0.0,
    unseen: tuple[int, ...] = (),
    variants: int = 1,
) -> None:
    """See `render`."""
    folder = sightings_folder(samples.folder)
    folder.mkdir(exist_ok=True)
    for start in range(0, len(samples), shards.SHARD):
        indices = range(start, min(start + shards.SHARD, len(samples)))
        names = ["keypoints_3d", "keypoints_2d", "intrinsics"]
        rows = samples.read(indices, names)
        exact = exact_detection(*(torch.from_numpy(rows[name]) for name in names))
        arrays = {
            name: np.repeat(value[:, None], variants, 1).astype(SIGHTING_FIELDS[name][0])
            for name, value in exact.items()
        }
        for row, index in enumerate(indices):
            for v in range(variants):
                generator = np.random.default_rng([index, v])
                arrays["keypoints"][row, v] += noise * generator.standard_normal((21, 2))
                arrays["confidence"][row, v] = generator.uniform(0.5, 1, 21)
                arrays["features"][row, v] = generator.standard_normal((2, FEATURES))
                arrays["found"][row, v] = FOUND if v < TOLD_VARIANT else TOLD
                if index in unseen:
                    for name, array in arrays.items():
                        array[row, v] = 0 if name == "found" else np.nan
        write_arrays(folder / shards.shard_name(start), arrays)


def exact_detection(points, positions, K) -> dict[str, np.ndarray]:
    """What a detector without error says of keypoints (B, 21, 3) seen at (B, 21, 2): its depth is
    along the line of sight through the middle of their box, its axes are turned into it."""
    middle = 0.5 * (positions.amin(1) + positions.amax(1))
    ray = back_project(middle[:, None], torch.ones(len(K), 1).to(K), K)[:, 0]
    view = torch.nn.functional.normalize(ray, dim=-1)
    distance = (points * view[:, None]).sum(-1)
    return {
        "found": np.full(len(K), FOUND),
        "score": np.ones(len(K)),
        "presence": np.ones(len(K)),
        "keypoints": positions.numpy().copy(),
        "confidence": np.ones((len(K), 21)),
        "depth": (K[:, :1, 0] * (distance / distance[:, :1] - 1)).numpy(),
        "xyz": ((points - points[:, :1]) @ rotation_to(view)).numpy(),
        "features": np.full((len(K), 2, FEATURES), np.nan),
    }


def empty_sightings(count: int) -> dict[str, np.ndarray]:
    """One sighting a sample in which nothing was seen, as stored."""
    shapes = {"keypoints": (21, 2), "confidence": (21,), "depth": (21,), "xyz": (21, 3),
              "features": (2, FEATURES)}  # fmt: skip
    return {
        name: np.full((count, 1, *shapes.get(name, ())), 0 if name == "found" else np.nan, dtype)
        for name, (dtype, _) in SIGHTING_FIELDS.items()
    }
