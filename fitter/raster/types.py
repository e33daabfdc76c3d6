"""What goes into the rasteriser and what comes out; the rules are told in `fitter.raster.api`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from fitter.camera import NEAR

Backend = Literal["cpu", "gpu", "reference"]

Silhouette = Literal["none", "edge", "soft"]

MAX_POSITION = 1e9
"""Pixels; beyond it edge functions would lose the image's own pixels to rounding."""

SATURATED = 1e-8
"""Product over faces below which the soft silhouette is 1 for all purposes."""

LOOK_BEYOND = 0.75
"""Pixels beyond a contour edge at which it is looked whether the image is empty there."""

ON_EDGE = 1e-6
"""Pixels from a contour edge within which a pixel's centre counts as lying on it."""


@dataclass(frozen=True)
class RasterSettings:
    """What a caller may choose; the same for every backend.

    Attributes:
        near: metres; faces with a vertex nearer than this are dropped.
        silhouette: how `Fragments.alpha` is computed, "none" for not at all.
        sigma: of the soft silhouette, squared normalised device coordinates. Small faces along the
            outline add up and widen it: the open hand's area at 128x128 grows by 6 % with 1e-4, by
            1 % with 1e-5.
        cut: of the soft silhouette, the least share of a face outside it.
        band: of the edge silhouette, pixels on either side of the outline.
    """

    near: float = NEAR
    silhouette: Silhouette = "none"
    sigma: float = 1e-4
    cut: float = 1e-4
    band: float = 1.0

    def __post_init__(self) -> None:
        if not self.near > 0:
            raise ValueError(f"near must be a positive distance in metres, got {self.near}")
        if self.silhouette not in ("none", "edge", "soft"):
            raise ValueError(f"silhouette must be none, edge or soft, got {self.silhouette!r}")
        if not self.sigma > 0 or not 0 < self.cut < 0.5 or not self.band > 0:
            raise ValueError(
                f"sigma and band must be positive and cut between 0 and 0.5, got sigma "
                f"{self.sigma}, band {self.band}, cut {self.cut}"
            )


@dataclass(frozen=True)
class Fragments:
    """The visible surface, one fragment a pixel.

    Attributes:
        face_index: (B, H, W) int32, row of `faces` seen at the pixel, -1 where there is none.
        barycentrics: (B, H, W, 3), perspective-correct weights of that face's three vertices,
            each in [0, 1] and together 1; 0 where there is no face. Dtype of the vertices.
        depth: (B, H, W) metres along the camera's z; 0 where there is no face. Dtype of the
            vertices.
        alpha: (B, H, W) silhouette in [0, 1], or None for settings that ask for none. Dtype of the
            vertices.
        contour_edge: (B, H, W) int32, row of `MeshTopology.edges` that gives an edge silhouette its
            value at the pixel, -1 outside the band; None for other silhouettes.
    """

    face_index: Tensor
    barycentrics: Tensor
    depth: Tensor
    alpha: Tensor | None = None
    contour_edge: Tensor | None = None

    @property
    def mask(self) -> Tensor:
        """(B, H, W) bool: a face is seen here."""
        return self.face_index >= 0
