"""Textures: colours of a hand's skin in the atlas of its model, from pictures of it.

`HandTexture` is what travels: colours, and how surely each texel was seen. `extract_texture` makes
one of a picture, `TextureFusion` one of several; `fill_texture` fills one from the other hand's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.textures.atlas import TextureAtlas
    from fitter.textures.extraction import extract_texture
    from fitter.textures.filling import fill_texture
    from fitter.textures.fusion import (
        FusionMethod,
        FusionOptions,
        TextureFusion,
        uniform_texture,
    )
    from fitter.textures.texture import HandTexture
    from fitter.textures.views import HandView, Occluder

__all__ = [
    "FusionMethod",
    "FusionOptions",
    "HandTexture",
    "HandView",
    "Occluder",
    "TextureAtlas",
    "TextureFusion",
    "extract_texture",
    "fill_texture",
    "uniform_texture",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "FusionMethod": "fitter.textures.fusion",
        "FusionOptions": "fitter.textures.fusion",
        "HandTexture": "fitter.textures.texture",
        "HandView": "fitter.textures.views",
        "Occluder": "fitter.textures.views",
        "TextureAtlas": "fitter.textures.atlas",
        "TextureFusion": "fitter.textures.fusion",
        "extract_texture": "fitter.textures.extraction",
        "fill_texture": "fitter.textures.filling",
        "uniform_texture": "fitter.textures.fusion",
    },
)
