"""NIMBLE (Li et al. 2022): skin, muscles and bones, from the files that its users download.

`Nimble` is the whole layer, `load_nimble` its skin as the hand model that is fitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.hand_models.nimble.files import NimbleGeometry, read_nimble
    from fitter.hand_models.nimble.layer import Nimble, NimbleMesh
    from fitter.hand_models.nimble.model_data import load_nimble
    from fitter.hand_models.nimble.textures import NimbleTextures, read_textures

__all__ = [
    "Nimble",
    "NimbleGeometry",
    "NimbleMesh",
    "NimbleTextures",
    "load_nimble",
    "read_nimble",
    "read_textures",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Nimble": "fitter.hand_models.nimble.layer",
        "NimbleGeometry": "fitter.hand_models.nimble.files",
        "NimbleMesh": "fitter.hand_models.nimble.layer",
        "NimbleTextures": "fitter.hand_models.nimble.textures",
        "load_nimble": "fitter.hand_models.nimble.model_data",
        "read_nimble": "fitter.hand_models.nimble.files",
        "read_textures": "fitter.hand_models.nimble.textures",
    },
)
