"""Textures: colours of a hand's skin in the atlas of its model, from pictures of it.

`HandTexture` is what travels: colours, and how surely each texel was seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.textures.texture import HandTexture

__all__ = ["HandTexture"]

__getattr__, __dir__ = lazy_face(__name__, {"HandTexture": "fitter.textures.texture"})
