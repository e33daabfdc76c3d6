"""Small sets of rendered samples, of which a detector says what it is told to."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fitter.camera import back_project, rotation_to
from init_net.samples import shards
from init_net.samples.shards import SampleSource, render_shards


class Blind:
    """Stands in for MediaPipe, which is not asked."""

    def __init__(self, max_hands: int) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *details: object) -> None:
        pass


def render(
    folder: Path,
    source: SampleSource,
    noise: float = 0.0,
    unseen: tuple[int, ...] = (),
    **options: object,
) -> None:
    """`render_shards` with a detector that errs by `noise` pixels and misses the samples `unseen`;
    what it says depends on the sample alone."""

    def seen(batch, detector) -> dict[str, np.ndarray]:
        found = exact_detection(batch.keypoints_3d, batch.keypoints_2d, batch.intrinsics)
        for row, index in enumerate(batch.specs.index.tolist()):
            generator = np.random.default_rng(index)
            found["detected_keypoints"][row] += noise * generator.standard_normal((21, 2))
            found["detected_confidence"][row] = generator.uniform(0.5, 1, 21)
            if index in unseen:
                found["detected"][row] = False
                for name in found.keys() - {"detected"}:
                    found[name][row] = np.nan
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "HandDetector", Blind)
        patch.setattr(shards, "_seen", seen)
        render_shards(folder, source, **options)


def exact_detection(points, positions, K) -> dict[str, np.ndarray]:
    """What a detector without error says of keypoints (B, 21, 3) seen at (B, 21, 2): its depth is
    along the line of sight through the middle of their box, its axes are turned into it."""
    middle = 0.5 * (positions.amin(1) + positions.amax(1))
    ray = back_project(middle[:, None], torch.ones(len(K), 1).to(K), K)[:, 0]
    view = torch.nn.functional.normalize(ray, dim=-1)
    distance = (points * view[:, None]).sum(-1)
    return {
        "detected": np.ones(len(K), bool),
        "detected_score": np.ones(len(K)),
        "detected_keypoints": positions.numpy().copy(),
        "detected_confidence": np.ones((len(K), 21)),
        "detected_depth": (K[:, :1, 0] * (distance / distance[:, :1] - 1)).numpy(),
        "detected_xyz": ((points - points[:, :1]) @ rotation_to(view)).numpy(),
    }
