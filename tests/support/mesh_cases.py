"""What a mesh network might say, at random, and transcriptions of what it is compared by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fitter.hand_models import HandModel, load_hand_model
from fitter.records import HandParams
from init_net.mesh_records import MeshPredictions, RefinedJoints


def open_hand() -> HandModel:
    """Right, float64."""
    return load_hand_model(dtype=torch.float64)


def random_predictions(model: HandModel, count: int = 3, seed: int = 3) -> MeshPredictions:
    """Of a hand model's mesh, float64; joints and meshes are not of each other."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=random, dtype=torch.float64)

    betas = normal(10)
    hand = HandParams(0.3 * normal(3), 0.2 * normal(15, 3), betas, torch.zeros(count, 3).double())
    mesh = model(hand)
    vertices = mesh.vertices - mesh.joints[:, :1]
    joints = mesh.keypoints - mesh.joints[:, :1]
    return MeshPredictions(
        vertices=vertices + 0.01 * normal(*vertices.shape[1:]),
        regressed=joints + 0.01 * normal(21, 3),
        refined=RefinedJoints(joints + 0.01 * normal(21, 3), normal(8), 0.3 * normal(8)),
        betas=betas,
        twist=0.2 * normal(15),
        hand=hand,
        parametric_vertices=vertices,
        parametric_joints=joints,
        camera=torch.cat([4 + 0.1 * normal(1), 0.05 * normal(2)], 1),
    )


def on_rows(said: MeshPredictions, function: Callable[[Tensor], Tensor]) -> MeshPredictions:
    """All tensors of predictions, changed."""
    assert said.refined is not None
    tensors = {name: function(each) for name, each in vars(said).items() if torch.is_tensor(each)}
    return replace(
        said, **tensors, refined=said.refined.map(function), hand=said.hand.map(function)
    )


def mean_l1(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference of all numbers of which the second is known, those that are not
    counting as 0; decimetres of metres."""
    total, numbers = 0.0, 0
    for a, b in zip(first.ravel(), second.ravel(), strict=True):
        total += 10 * abs(a - b) if np.isfinite(b) else 0.0
        numbers += 1
    return total / numbers
