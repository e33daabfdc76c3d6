"""Rasterisation of triangle meshes: one public function, several backends that agree.

`rasterize` says which face every pixel shows, where on it, at what depth, and how far the
silhouette covers the pixel; gradients reach the vertices. Its rules are told in
`fitter.raster.api`.

Rasterise a hand, with a gradient:

```python
import torch
from fitter.camera import project
from fitter.hand_models import load_hand_model
from fitter.raster import RasterSettings, rasterize
from fitter.records import HandParams

hand = load_hand_model()
transl = torch.tensor([[0.0, 0.0, 0.5]], requires_grad=True)
points = hand(HandParams(torch.zeros(1, 3), torch.zeros(1, 15, 3), torch.zeros(1, 10), transl))
K = torch.tensor([[[180.0, 0.0, 64.0], [0.0, 180.0, 64.0], [0.0, 0.0, 1.0]]])
screen = torch.cat([project(points.vertices, K), points.vertices[..., 2:]], dim=-1)
seen = rasterize(screen, hand.faces, (128, 128), settings=RasterSettings(silhouette="edge"))
seen.alpha.sum().backward()  # the area of the silhouette
assert transl.grad[0, 2] < 0  # grows as the hand comes nearer
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.raster.api import rasterize
    from fitter.raster.pytorch3d import (
        cameras_from_intrinsics,
        intrinsics_4x4,
        rasterize_pytorch3d,
    )
    from fitter.raster.topology import MeshTopology, stack_meshes
    from fitter.raster.types import Backend, Fragments, RasterSettings

__all__ = [
    "Backend",
    "Fragments",
    "MeshTopology",
    "RasterSettings",
    "cameras_from_intrinsics",
    "intrinsics_4x4",
    "rasterize",
    "rasterize_pytorch3d",
    "stack_meshes",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Backend": "fitter.raster.types",
        "Fragments": "fitter.raster.types",
        "MeshTopology": "fitter.raster.topology",
        "RasterSettings": "fitter.raster.types",
        "cameras_from_intrinsics": "fitter.raster.pytorch3d",
        "intrinsics_4x4": "fitter.raster.pytorch3d",
        "rasterize": "fitter.raster.api",
        "rasterize_pytorch3d": "fitter.raster.pytorch3d",
        "stack_meshes": "fitter.raster.topology",
    },
)
