"""Which vertices of a hand are inside another part of it: by a kernel, and its twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from fitter.contact.found import Found, nothing_found
from fitter.contact.records import Surface
from fitter.contact.reference import direction_to, nearest_on, winding_numbers
from fitter.contact.self_kernels import fill_self
from fitter.numba_kernels import for_each_image
from fitter.shapes import check_shapes

if TYPE_CHECKING:
    from fitter.contact.parts import HandParts


def find_in_itself(hands: Surface, parts: HandParts) -> Found:
    """Where the vertices of B hands are in other parts of their hand, see `Found`.

    Raises:
        ValueError: a shape is another one.
    """
    skin = parts.counted.shape[1] - len(parts.lids)
    check_shapes(
        vertices=(hands.vertices, ("B", len(parts.bone), 3)), faces=(hands.faces, (skin, 3))
    )
    compiled = hands.vertices.device.type == "cpu"
    return (find_compiled if compiled else find_reference)(hands, parts)


@torch.no_grad()
def find_compiled(hands: Surface, parts: HandParts) -> Found:
    """`find_in_itself` by a kernel, a hand a thread."""
    found, finite = nothing_found(hands.vertices, hands)
    arrays = [part.numpy() for part in found]
    positions = np.ascontiguousarray(hands.vertices.numpy(), np.float64)
    faces = np.ascontiguousarray(torch.cat([hands.faces, parts.lids]).numpy(), np.int64)
    skin = len(hands.faces)
    bone, counted = parts.bone.numpy(), parts.counted.numpy()

    def search(hand: int) -> None:
        if finite[hand].all():
            into = tuple(array[hand] for array in arrays)
            fill_self(positions[hand], faces, skin, bone, counted, into)

    for_each_image(search, len(positions))
    return found


@torch.no_grad()
def find_reference(hands: Surface, parts: HandParts) -> Found:
    """The readable twin of `find_compiled`, bone by bone, on any device."""
    found, finite = nothing_found(hands.vertices, hands)
    faces = torch.cat([hands.faces, parts.lids])
    for hand, vertices in enumerate(hands.vertices):
        positions = vertices.double()
        for bone, counted in enumerate(parts.counted):
            rows = (finite[hand] & (parts.bone == bone)).nonzero()[:, 0]
            if not len(rows) or not counted.any():
                continue
            around = positions[faces[counted]]
            rows = rows[winding_numbers(positions[rows], around) > 0.5]
            skin = counted[: len(hands.faces)].nonzero()[:, 0]
            corners = positions[hands.faces[skin]]
            face, weights, squared = nearest_on(positions[rows], corners)
            away = positions[rows] - (weights[..., None] * corners[face]).sum(1)
            inside = torch.ones_like(squared, dtype=torch.bool)
            found.face[hand, rows] = skin[face]
            found.barycentrics[hand, rows] = weights
            found.normal[hand, rows] = direction_to(away, squared, inside, corners[face])
    return found
