"""The offsets that all images of one hand share: their mean in the rest pose.

An image tells where the surface is that it shows, and the regularisers carry the rest along. So
vertices that face the camera, or lie near the outline, count in full, and others for little.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from fitter.hand_models import HandModel
from fitter.hand_models.rest_offsets import rest_offsets
from fitter.records import HandParams
from fitter.rendering import vertex_normals

Key = TypeVar("Key", bound=Hashable)

UNSEEN = 0.05
"""Weight of a vertex that an image does not show."""

OUTLINE = 0.2
"""Cosine of the angle to the line of sight up to which a vertex that faces away is near the
outline."""

LEAST_DETERMINANT = 0.3
"""Of a vertex's skinning matrix; see `rest_offsets`."""


@dataclass(frozen=True)
class OffsetImages(Generic[Key]):
    """N consecutive images of some hands, as right hands.

    Attributes:
        keys: whose hand each shows.
        params: of the N hands, in the camera's frame.
        offsets: (N, V, 3) metres, in the same frame.
    """

    keys: list[Key]
    params: HandParams
    offsets: Tensor


def joint_offsets(model: HandModel, stream: Iterable[OffsetImages[Key]]) -> dict[Key, np.ndarray]:
    """The offsets of all hands.

    Args:
        model: the right-hand model.
        stream: all images, in a fixed order.

    Returns:
        (V, 3) float32 metres in the rest pose of the right hand; 0 where no image says anything.
    """
    sums: dict[Key, tuple[np.ndarray, np.ndarray]] = {}
    for images in stream:
        found, known = rest_offsets(model, images.params, images.offsets, LEAST_DETERMINANT)
        vertices = model(images.params).vertices + images.offsets
        weight = torch.where(known, _weight(vertices, model.faces), 0.0)
        pairs = zip(images.keys, found.cpu().numpy(), weight.cpu().numpy(), strict=True)
        for key, offsets, weights in pairs:
            if not np.isfinite(offsets).all():
                continue
            total, of = sums.setdefault(key, (np.zeros(offsets.shape), np.zeros((len(offsets), 1))))
            total += weights[:, None] * offsets
            of += weights[:, None]
    return {
        key: (total / np.where(of > 0, of, 1.0)).astype(np.float32)
        for key, (total, of) in sums.items()
    }


def _weight(vertices: Tensor, faces: Tensor) -> Tensor:
    """(B, V) how well the image of each hand shows its vertices (B, V, 3)."""
    sight = torch.nn.functional.normalize(vertices, dim=-1)
    facing = -(vertex_normals(vertices, faces) * sight).sum(-1)
    return torch.where(facing > -OUTLINE, 1.0, UNSEEN)
