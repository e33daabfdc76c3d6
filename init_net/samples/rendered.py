"""What is stored of rendered hands, for `init_net.samples.shards`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch

from datasets.synthetic import SyntheticBatch
from fitter.hand_models.open_hand import load_open_hand

TRUE_LABELS: Mapping[str, np.ndarray] = {
    "usable": np.array(True),
    "has_mask": np.array(True),
    "is_marks": np.array(True),
    "label_confidence": np.ones(21, np.float32),
    "label_score": np.array(1.0, np.float32),
    "picture_hash": np.array(0, np.uint64),
}
"""What the labels of annotated hands (`LABEL_FIELDS`) are of a rendered one."""


def stored(batch: SyntheticBatch) -> dict[str, np.ndarray]:
    """`SAMPLE_FIELDS` of rendered samples."""
    specs = batch.specs
    return {
        "image": batch.image.numpy(),
        "mask": (batch.mask * 255).round().to(torch.uint8).numpy(),
        "keypoints_3d": batch.keypoints_3d.numpy(),
        "keypoints_2d": batch.keypoints_2d.numpy(),
        "keypoint_state": batch.keypoint_state.numpy(),
        "intrinsics": batch.intrinsics.numpy(),
        **{name: value.numpy() for name, value in vars(specs.hand).items()},
        "mode": specs.mode.numpy(),
        "egocentric": specs.view.egocentric.numpy(),
    }


@lru_cache(maxsize=1)
def shape_count() -> int:
    """Shape coefficients of the open hand, children's among them."""
    return int(load_open_hand(keypoint_offsets=False, children=True).shapedirs.shape[2])


def stored_keypoints(batch: SyntheticBatch) -> dict[str, np.ndarray]:
    """`SAMPLE_FIELDS` and `LABEL_FIELDS` of rendered hands of another model than the open hand.

    What their rotations and shape are of the open hand nobody knows: those are NaN. Keypoints are
    joints and fingertips.
    """
    count = len(batch.image)
    unknown = {
        "global_orient": (count, 3),
        "hand_pose": (count, 15, 3),
        "betas": (count, shape_count()),
        "transl": (count, 3),
    }
    labels: dict[str, np.ndarray] = {**TRUE_LABELS, "is_marks": np.array(False)}
    return {
        **stored(batch),
        **{name: np.full(shape, np.nan) for name, shape in unknown.items()},
        **{name: np.stack([value] * count) for name, value in labels.items()},
    }
