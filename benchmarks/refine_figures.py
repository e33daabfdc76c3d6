"""How good estimated hands are on the scenes of `benchmarks/refine_data.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from refine_data import Observation, Scene, observe
from synthetic_scenes import SIZE
from torch import Tensor

from fitter import metrics
from fitter.camera import project
from fitter.fitting.observations import ObservationBatch
from fitter.hand_models import HandModel
from fitter.raster import rasterize
from fitter.records import HandParams

FIGURES = {
    "iou": "mask IoU",
    "contour_px": "contour px",
    "error_2d_px": "2D px",
    "pa_mpjpe_mm": "PA-MPJPE mm",
    "mpjpe_mm": "MPJPE mm",
    "vertex_mm": "vertex mm",
    "pa_vertex_mm": "PA-vertex mm",
    "edge_mm": "edge mm",
    "normal": "normal",
}
"""Figures of a hand and their headings; pixels are those of the 256 pixel crop."""


@dataclass(frozen=True)
class SceneBatch:
    """B scenes and what a fit may see of them."""

    scenes: Sequence[Scene]
    observations: Sequence[Observation]

    @classmethod
    def of(cls, scenes: Sequence[Scene]) -> SceneBatch:
        return cls(scenes, [observe(scene) for scene in scenes])

    def __getitem__(self, part: slice) -> SceneBatch:
        return SceneBatch(self.scenes[part], self.observations[part])

    def truth(self, name: str) -> np.ndarray:
        """A field of all scenes, stacked."""
        return np.stack([getattr(scene, name) for scene in self.scenes])

    @property
    def observed(self) -> ObservationBatch:
        """Keypoints and cameras for the keypoint fit."""
        return ObservationBatch.of(
            [one.hand for one in self.observations],
            [one.intrinsics for one in self.observations],
            torch.zeros((), dtype=torch.float64),
        )


@dataclass(frozen=True)
class Estimate:
    """B hands in the camera's frame, metres: vertices (B, V, 3), keypoints (B, 21, 3), float64."""

    vertices: np.ndarray
    keypoints: np.ndarray

    @classmethod
    def of(cls, model: HandModel, hands: HandParams, offsets: Tensor | None = None) -> Estimate:
        """Of parameters and offsets (B, V, 3) of the vertices; `model` in float64."""
        with torch.no_grad():
            mesh = model(hands.to(torch.float64))
        vertices = mesh.vertices if offsets is None else mesh.vertices + offsets.double()
        return cls(vertices.numpy(), mesh.keypoints.numpy())


def evaluate(batch: SceneBatch, estimate: Estimate, faces: Tensor) -> dict[str, np.ndarray]:
    """The figures of every hand: name -> (B,).

    The estimate's silhouette is rendered hard. Where forearm or sleeve hide the true hand, the
    silhouette is not counted: the fit knows no forearm.
    """
    K = torch.from_numpy(batch.truth("intrinsics"))
    mask = silhouette(estimate.vertices, faces, K) & ~batch.truth("covered")
    true_mask, true_vertices = batch.truth("hand_mask"), batch.truth("vertices")
    true_keypoints = batch.truth("keypoints")
    found, true = (
        project(torch.from_numpy(points), K).numpy()
        for points in (estimate.keypoints, true_keypoints)
    )
    triangles = faces.numpy()
    return {
        "iou": metrics.mask_iou(mask, true_mask),
        "contour_px": metrics.contour_distance(mask, true_mask),
        "error_2d_px": metrics.keypoint_2d_error(found, true),
        "pa_mpjpe_mm": 1e3 * metrics.pa_mpjpe(estimate.keypoints, true_keypoints),
        "mpjpe_mm": 1e3 * metrics.mpjpe(estimate.keypoints, true_keypoints),
        "vertex_mm": 1e3 * metrics.mpjpe(estimate.vertices, true_vertices),
        "pa_vertex_mm": 1e3 * metrics.pa_mpjpe(estimate.vertices, true_vertices),
        "edge_mm": 1e3 * metrics.edge_error(estimate.vertices, true_vertices, triangles),
        "normal": metrics.normal_error(estimate.vertices, true_vertices, triangles),
    }


def silhouette(vertices: np.ndarray, faces: Tensor, K: Tensor, size: int = SIZE) -> np.ndarray:
    """(B, size, size) bool: where meshes (B, V, 3) are seen by cameras (B, 3, 3)."""
    points = torch.from_numpy(vertices)
    screen = torch.cat([project(points, K), points[..., 2:]], -1)
    return rasterize(screen, faces, (size, size)).mask.numpy()
