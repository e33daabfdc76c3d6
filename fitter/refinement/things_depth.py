"""Known things before hands: where they may hide them."""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.camera import project
from fitter.contact import Surface
from fitter.energies.known_objects import KnownObjects
from fitter.raster import MeshTopology, rasterize


def things_depth(objects: KnownObjects, intrinsics: Tensor, side: int) -> Tensor:
    """How far away the nearest thing of each hand is, by the pixels of the hand's crop.

    Args:
        objects: of B hands, in the hands' own frames, mirrored for left ones.
        intrinsics: (B, 3, 3) K of the crops.
        side: S of the crops, pixels.

    Returns:
        (B, S, S) metres, infinite where nothing shows; a thing that reaches behind the camera
        does not show.
    """
    depth = intrinsics.new_full((len(intrinsics), side, side), torch.inf)
    for k, own in enumerate(objects.surfaces):
        for thing in own:
            depth[k] = torch.minimum(depth[k], _depth(thing, intrinsics[k], side))
    return depth


def _depth(thing: Surface, intrinsics: Tensor, side: int) -> Tensor:
    """(S, S) metres, of a thing (1, V, 3) in a crop; infinite where it does not show."""
    vertices = thing.vertices.to(intrinsics)
    if not bool((vertices[..., 2] > 0).all()):
        return vertices.new_full((side, side), torch.inf)
    screen = torch.cat([project(vertices, intrinsics[None]), vertices[..., 2:]], -1)
    drawn = rasterize(screen, MeshTopology(thing.faces), (side, side))
    return torch.where(drawn.mask, drawn.depth, torch.inf)[0]
