"""Meshes of the objects that `ObjectSpec` describes, grown until they touch the hand."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from datasets.synthetic.arms import HIDDEN, Mesh, tube
from datasets.synthetic.records import OBJECT, OBJECTS, PROFILE, ObjectSpec

RINGS, AROUND = 14, 20
"""Vertices along and around a body; its two ends are closed by rings of radius nearly zero."""
SQUEEZE = 0.0012
"""Metres by which a held thing presses into the flesh."""
SMALLEST = 0.0022
"""Metres of half width below which a held thing is left out."""


def body_mesh() -> Mesh:
    """The mesh that all objects share, OBJECTS times, one after the other."""
    faces, corners, coordinates = [], [], []
    part, number, rows = [], [], 0
    for body in range(OBJECTS):
        own_faces, own_corners, own_coordinates = tube(RINGS, AROUND, body * RINGS * AROUND)
        faces.append(own_faces)
        corners.append(own_corners + rows)
        coordinates.append(own_coordinates)
        rows += len(own_coordinates)
        part += [OBJECT] * len(own_faces)
        number += [body] * len(own_faces)
    return Mesh(
        faces=torch.from_numpy(np.concatenate(faces)),
        corners=torch.from_numpy(np.concatenate(corners)),
        coordinates=torch.from_numpy(np.concatenate(coordinates)).float(),
        part=torch.tensor(part),
        skin_of=torch.tensor(number),
        count=OBJECTS * RINGS * AROUND,
    )


def _profile(at: Tensor, knots: Tensor) -> Tensor:
    """Radius (B, O, ...) at shares of the length in [0, 1]; knots (B, O, PROFILE)."""
    place = at.clamp(0, 1) * (PROFILE - 1)
    low = place.floor().clamp_max(PROFILE - 2)
    share = place - low
    index = low.long().flatten(2)
    first = knots.gather(2, index).view_as(at)
    second = knots.gather(2, index + 1).view_as(at)
    return (1 - share) * first + share * second


def grown(spec: ObjectSpec, hand: Tensor) -> tuple[Tensor, Tensor]:
    """Half widths (B, O, 2) with which held things touch the hand, and whether (B, O) they exist.

    The cross-section is a norm of the position across the axis divided by the profile, which grows
    with the body in proportion. So the largest body that holds no vertex of the hand is known at
    once: its factor is the least norm of a vertex between its two ends.

    Args:
        spec: of B samples.
        hand: (B, V, 3) float64 metres, camera frame: the vertices that must stay outside.
    """
    width = spec.half_width.double()
    offset = hand[:, None] - spec.centre[:, :, None]
    local = torch.stack([(offset * spec.axes[:, :, None, k]).sum(-1) for k in range(3)], -1)
    half = spec.half_length.double()[..., None]
    radius = _profile(0.5 + 0.5 * local[..., 2] / half, spec.profile.double()).clamp_min(0.05)
    power = spec.squareness.double()[..., None]
    # Flesh gives way: what is pressed by less than `SQUEEZE` does not stop the growth.
    across = (local[..., :2].abs() + SQUEEZE) / width[:, :, None]
    norm = ((across[..., 0] ** power + across[..., 1] ** power) ** (1 / power)) / radius
    norm = torch.where(local[..., 2].abs() < half, norm, torch.inf)
    factor = torch.minimum(norm.amin(dim=2), spec.largest.double())
    factor = torch.where(spec.largest > 0, factor, 1.0)
    width = width * factor[..., None]
    return width, spec.present & (width.amin(dim=2) > SMALLEST)


def body_vertices(spec: ObjectSpec, hand: Tensor) -> Tensor:
    """(B, OBJECTS * RINGS * AROUND, 3) float32 vertices, camera frame; see `grown`."""
    width, present = grown(spec, hand)
    device = hand.device
    share = torch.linspace(0, 1, RINGS - 2, device=device, dtype=torch.float64)
    share = torch.cat([share[:1], share, share[-1:]])
    share = share.expand(*width.shape[:2], RINGS)
    radius = _profile(share, spec.profile.double()).clone()
    radius[..., 0] = radius[..., -1] = 1e-4
    angle = torch.arange(AROUND, device=device, dtype=torch.float64) * (2 * np.pi / AROUND)
    direction = torch.stack([angle.cos(), -angle.sin()], -1)
    power = spec.squareness.double()[..., None]
    norm = direction[:, 0].abs() ** power + direction[:, 1].abs() ** power
    cross = direction / (norm ** (1 / power))[..., None]
    flat = radius[..., None, None] * cross[:, :, None] * width[:, :, None, None]
    ahead = (2 * share - 1) * spec.half_length.double()[..., None]
    axes = spec.axes[:, :, None, None]
    points = flat[..., :1] * axes[..., 0, :] + flat[..., 1:] * axes[..., 1, :]
    points = points + ahead[..., None, None] * axes[..., 2, :] + spec.centre[:, :, None, None]
    hidden = points.new_tensor([0.0, 0.0, HIDDEN])
    return torch.where(present[..., None, None, None], points, hidden).flatten(1, 3).float()
