"""How far posed hands reach into themselves: fingers into each other and the palm, skin into
muscles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from datasets.poses import overlap
from datasets.synthetic.poses import PoseModel
from fitter.hand_models import HandModel, Nimble
from fitter.records import HandParams

_BATCH = 16
"""Hands whose skin is looked for in their muscles at once."""


@dataclass(frozen=True)
class Collisions:
    """Of N hands.

    Attributes:
        fingers: (N,) metres that fingers reach into each other or into the palm beyond what flesh
            allows, 0 for not at all: spheres along the bones, as thick as an adult's mean hand
            (`datasets.poses.overlap`).
        vertices: (N,) vertices of the skin inside a muscle; None of a model without muscles.
        depth: (N,) metres, mean depth of these along their normals, 0 where there is none; None
            likewise.
    """

    fingers: np.ndarray
    vertices: np.ndarray | None
    depth: np.ndarray | None

    @classmethod
    @torch.no_grad()
    def of(cls, model: HandModel, params: HandParams, layer: Nimble | None = None) -> Self:
        """Look for them.

        Args:
            model: right hands.
            params: N hands of it.
            layer: the same model with its muscles; None where it has none.
        """
        exact = params.map(torch.Tensor.double)
        fingers = overlap(PoseModel.of(model).points(exact)).clamp_min(0).numpy()
        if layer is None:
            return cls(fingers, None, None)
        counts, means = [], []
        for rows in torch.arange(len(fingers)).split(_BATCH):
            mesh = layer(params[rows].map(torch.Tensor.float))
            assert mesh.depth is not None  # the skin is moved out
            inside = mesh.depth > 0
            counts.append(inside.sum(1))
            means.append(mesh.depth.sum(1) / inside.sum(1).clamp_min(1))
        return cls(fingers, torch.cat(counts).numpy(), torch.cat(means).numpy())

    def figures(self) -> dict[str, float]:
        """Shares of hands with a collision, and how far it goes in those, mm."""
        found = {
            "fingers_share": float((self.fingers > 0).mean()),
            "fingers_mm": _mean(1e3 * self.fingers[self.fingers > 0]),
        }
        if self.vertices is None or self.depth is None:
            return found
        return found | {
            "muscles_share": float((self.vertices > 0).mean()),
            "muscles_vertices": float(self.vertices.mean()),
            "muscles_mm": _mean(1e3 * self.depth[self.vertices > 0]),
        }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
