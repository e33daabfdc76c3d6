"""Known things in front of hands: the pixels in which they hide them."""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.camera import project
from fitter.contact import Surface
from fitter.energies.known_objects import KnownObjects
from fitter.raster import MeshTopology, rasterize


def hidden_by_things(objects: KnownObjects, depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Pixels of hands' crops in which one of their things stands in front.

    Args:
        objects: of B hands, in the hands' own frames, mirrored for left ones.
        depth: (B, S, S) metres, of what a thing has to be in front of to hide it: infinite where
            any thing does, minus infinity where none does.
        intrinsics: (B, 3, 3) K of the crops.

    Returns:
        (B, S, S) bool; a thing that reaches behind the camera hides nothing.
    """
    hidden = torch.zeros_like(depth, dtype=torch.bool)
    for k, own in enumerate(objects.surfaces):
        for thing in own:
            hidden[k] |= _depth(thing, intrinsics[k], depth.shape[1]) < depth[k]
    return hidden


def _depth(thing: Surface, intrinsics: Tensor, side: int) -> Tensor:
    """(S, S) metres, of a thing (1, V, 3) in a crop; infinite where it does not show."""
    vertices = thing.vertices.to(intrinsics)
    if not bool((vertices[..., 2] > 0).all()):
        return vertices.new_full((side, side), torch.inf)
    screen = torch.cat([project(vertices, intrinsics[None]), vertices[..., 2:]], -1)
    drawn = rasterize(screen, MeshTopology(thing.faces), (side, side))
    return torch.where(drawn.mask, drawn.depth, torch.inf)[0]
