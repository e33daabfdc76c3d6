"""Rendering: from the fragments of `fitter.raster` to images, differentiable, and overlays.

Normals, attributes at pixels, textures, two kinds of light, and the composition of a surface with
its background. Colours are linear light unless a name says sRGB.

Render a hand in the light of a lamp:

```python
import torch
from fitter.camera import project
from fitter.hand_models import load_hand_model
from fitter.raster import rasterize
from fitter.records import HandParams
from fitter.rendering import (
    AmbientDirectionalLight, composite, interpolate, srgb_from_linear, vertex_normals,
)

hand, place = load_hand_model(), torch.tensor([[0.0, 0.0, 0.5]])
mesh = hand(HandParams(torch.zeros(1, 3), torch.zeros(1, 15, 3), torch.zeros(1, 10), place))
K = torch.tensor([[[180.0, 0.0, 64.0], [0.0, 180.0, 64.0], [0.0, 0.0, 1.0]]])
screen = torch.cat([project(mesh.vertices, K), mesh.vertices[..., 2:]], dim=-1)
seen = rasterize(screen, hand.faces, (128, 128))
lamp = AmbientDirectionalLight(torch.tensor([0.0, -1.0, -1.0]), torch.ones(3), 0.2 * torch.ones(3))
shade = lamp.irradiance(vertex_normals(mesh.vertices, hand.faces))
skin = interpolate(seen, hand.faces, shade * torch.tensor([0.6, 0.4, 0.3]))
image = srgb_from_linear(composite(skin, seen, torch.zeros(3)))  # (1, 128, 128, 3)
assert image.shape == (1, 128, 128, 3) and image.max() > 0.3
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.rendering.shading import (
        AmbientDirectionalLight,
        SphericalHarmonicsLight,
        band_width,
        composite,
        interpolate,
        linear_from_srgb,
        sample_texture,
        srgb_from_linear,
        texture_colours,
        vertex_normals,
    )

__all__ = [
    "AmbientDirectionalLight",
    "SphericalHarmonicsLight",
    "band_width",
    "composite",
    "interpolate",
    "linear_from_srgb",
    "sample_texture",
    "srgb_from_linear",
    "texture_colours",
    "vertex_normals",
]

__getattr__, __dir__ = lazy_face(__name__, dict.fromkeys(__all__, "fitter.rendering.shading"))
