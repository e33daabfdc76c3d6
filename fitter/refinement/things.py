"""Known things in front of hands: the pixels in which they hide them."""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.camera import project
from fitter.contact import Surface
from fitter.raster import MeshTopology, rasterize


def hidden_by_thing(thing: Surface, own: Tensor, intrinsics: Tensor) -> Tensor:
    """Pixels of a hand's crop in which a thing stands in front of the hand.

    Args:
        thing: (1, V, 3) in the hand's own frame, mirrored for a left one.
        own: (S, S) depth of the hand, or of its nearest pixel beside it; infinite for none.
        intrinsics: (3, 3) K of the crop.

    Returns:
        (S, S) bool; none for a thing that reaches behind the camera.
    """
    vertices = thing.vertices.to(intrinsics)
    if not bool((vertices[..., 2] > 0).all()):
        return torch.zeros_like(own, dtype=torch.bool)
    screen = torch.cat([project(vertices, intrinsics[None]), vertices[..., 2:]], -1)
    drawn = rasterize(screen, MeshTopology(thing.faces), (own.shape[0], own.shape[1]))
    return (drawn.mask & (drawn.depth < own))[0]
