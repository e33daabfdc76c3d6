"""What a glove does to the surface of a hand: it is thicker, of another colour and texture.

Everything goes by places on the hand at rest, so that a pattern follows the fingers. Cosines are
taken in float64, for their last bit depends on the place in a batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from datasets.synthetic.arms import RINGS, ArmBuilder
from datasets.synthetic.records import (
    FOREARM,
    HAND,
    KNIT,
    LATEX,
    LEATHER,
    WORK,
    GloveSpec,
)
from datasets.synthetic.reflectance import SurfacePoints, mixed
from fitter.hand_models.kinematics import on_mano_joints
from fitter.rendering.shading import linear_from_srgb, vertex_normals

BEYOND_CUT = (2, 3, 5, 6, 8, 9, 11, 12, 15)
"""Joints of MANO's whose segments a glove without fingertips leaves bare."""
HEM = 0.0025
"""Metres over which a glove's edge goes over to the skin."""
FOLDS, BLOTCHES = (55.0, 90.0), (140.0, 330.0)
"""Radians a metre of the waves of folds and of unevenly dyed leather; phases stretch them."""
SEAM = 0.16
"""Cosine to the palm's plane below which the seam of leather lies."""


@dataclass(frozen=True)
class _Place:
    """N points of gloves: `position` (N, 3) metres at rest, `normal` (N,) share of the rest normal
    out of the back of the hand, `reach` (N,) metres beyond the end of the hand, `tip` (N,) share of
    the segments of `BEYOND_CUT`."""

    position: Tensor
    normal: Tensor
    reach: Tensor
    tip: Tensor

    @classmethod
    def of(cls, table: Tensor) -> _Place:
        return cls(table[..., :3], table[..., 3], table[..., 4], table[..., 5])


class GloveSurface:
    """Gloves of one hand with its arm."""

    def __init__(self, arms: ArmBuilder) -> None:
        """Prepare the places of the vertices of `arms.hand_mesh`."""
        data, loop, device = arms.model.data, arms.loop, arms.loop.device
        template = arms.model.v_template
        forward, palmar = arms.frame[1], arms.frame[2]
        faces = torch.from_numpy(data.faces).to(device)
        normal = -(vertex_normals(template[None], faces)[0] @ palmar)
        weights = on_mano_joints(arms.model.skin_weights, arms.model.skeleton, dim=1)
        reach = (template[loop].mean(0) - template) @ forward
        hand = torch.stack([normal, reach, weights[:, list(BEYOND_CUT)].sum(1)], 1)
        hand = torch.cat([template, hand], 1)
        ring = hand[loop].expand(RINGS, -1, -1).clone()
        ring[..., :3] -= arms.steps[:, None, None] * forward
        ring[..., 4] = arms.steps[:, None]
        ring[..., 5] = 0
        sleeve = hand.new_zeros(arms.hand_mesh.count - len(hand) - ring[..., 0].numel(), 6)
        sleeve[:, 4] = torch.inf
        table = torch.cat([hand, ring.flatten(0, 1), sleeve])
        self.table = table.float()
        self.place = _Place.of(table)

    def swell(self, vertices: Tensor, normals: Tensor, glove: GloveSpec) -> Tensor:
        """Vertices (B, V, 3) of hands with arms, moved out by their gloves.

        Args:
            vertices: (B, V, 3) float32 metres; normals: (B, V, 3) unit.
            glove: of B hands.
        """
        rows = glove.present.nonzero()[:, 0]
        if len(rows) == 0:
            return vertices
        worn = glove[rows]
        place = self.place
        folds = _waves(place.position[None], worn.phase[:, None], FOLDS).float()
        out = worn.thickness[:, None] + worn.wrinkles[:, None] * folds
        cuff = worn.cuff[:, None]
        out = out + worn.flare[:, None] * ((place.reach + 0.02) / (cuff + 0.02)).clamp(0, 1).float()
        # A wrinkled glove hangs, it does not sink into the hand.
        out = out.clamp_min(0.0001) * self._covered(place, worn).float()
        moved = vertices[rows] + out[..., None] * normals[rows]
        return vertices.index_copy(0, rows, moved)

    @staticmethod
    def _covered(place: _Place, worn: GloveSpec) -> Tensor:
        """(B, V) 1 where the glove is, 0 beyond its cuff and its cut fingers."""
        edge = ((worn.cuff[:, None] - place.reach) / HEM).clamp(0, 1)
        cut = worn.fingerless[:, None] & (place.tip > 0.5)
        return torch.where(cut, 0.0, edge)

    def paint(
        self,
        colour: Tensor,
        gloss: Tensor,
        points: SurfacePoints,
        gloves: list[GloveSpec],
        local: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Put gloves over the skin at N pixels.

        Args:
            colour: (N, 3) linear RGB; gloss: (N, 2); points: where they are.
            gloves: of the first hands (B) and perhaps of the others (B).
            local: (N, 3) corners in `ArmBuilder.hand_mesh` and their weights (N, 3).

        Returns:
            Colour and gloss, and (N,) bool, which pixels show a glove.
        """
        batch = len(gloves[0].present)
        owner = points.row + batch * points.number.clamp_max(len(gloves) - 1)
        worn = torch.cat([glove.present for glove in gloves])
        skin = (points.kind == HAND) | (points.kind == FOREARM)
        at = (skin & worn[owner]).nonzero()[:, 0]
        shown = torch.zeros_like(skin)
        if len(at) == 0:
            return colour, gloss, shown
        own = _rows(gloves, owner[at])
        corners, weights = local[0][at], local[1][at]
        place = _Place.of(mixed(self.table, corners, weights))
        covered = (place.reach < own.cuff) & ~(own.fingerless & (place.tip > 0.5))
        painted, shine = _appearance(place, own, colour[at])
        colour = colour.index_copy(0, at, torch.where(covered[:, None], painted, colour[at]))
        gloss = gloss.index_copy(0, at, torch.where(covered[:, None], shine, gloss[at]))
        shown[at] = covered
        return colour, gloss, shown


def _rows(gloves: list[GloveSpec], rows: Tensor) -> GloveSpec:
    """Gloves of pixels: those of `rows` of all gloves, one after the other."""
    both = {
        name: torch.cat([getattr(glove, name) for glove in gloves])[rows]
        for name in vars(gloves[0])
    }
    return GloveSpec(**both)


def _waves(position: Tensor, phase: Tensor, rates: tuple[float, float]) -> Tensor:
    """Smooth unevenness in [-1, 1].

    Args:
        position: (..., 3) metres at rest.
        phase: (..., 3, 3) of `GloveSpec`.
        rates: radians a metre of the two waves.
    """
    position, phase = position.double(), phase.double()
    waves = []
    for number, rate in enumerate(rates):
        x, y, z = (position[..., k] * phase[..., number, k] for k in range(3))
        waves.append(torch.sin(rate * (x + y + z) + phase[..., 2, number]))
    return (waves[0] + waves[1]) / 2


def _appearance(place: _Place, own: GloveSpec, skin: Tensor) -> tuple[Tensor, Tensor]:
    """Colour (N, 3) and gloss (N, 2) of gloves at N pixels over skin of colour (N, 3)."""
    position = place.position.double()
    x, z = position[:, 0], position[:, 2]
    ground, second = linear_from_srgb(own.colours.double()).float().unbind(1)
    # Stripes, and the band along the edge.
    band, hem = own.bands.unbind(1)
    striped = torch.cos(2 * torch.pi * x / band.clamp_min(1e-3).double()).float() > 0.3
    other = (striped & (band > 0)) | (place.reach > own.cuff - hem)
    edge = own.coat[:, 0] + own.coat[:, 1] * torch.sin(x * 260 + own.phase[:, 2, 2]).float()
    coat = (own.kind == WORK) & (own.coat[:, 0] > -1) & (place.normal < edge)
    colour = torch.where((other | coat)[:, None], second, ground)
    # Stitches are chevrons: rows along the fingers that rise and fall across them.
    rows, columns, strength = own.texture.unbind(1)
    across = (z / columns.double()) % 1
    stitch = torch.cos(2 * torch.pi * (x / rows.double() + (2 * across - 1).abs()))
    knitted = stitch.float() * 0.6 + (torch.cos(2 * torch.pi * across).float()) * 0.4
    blotches = _waves(place.position, own.phase, BLOTCHES).float()
    cloth = (own.kind == KNIT) | ((own.kind == WORK) & ~coat)
    texture = torch.where(cloth, 0.5 * knitted - 0.5, blotches)
    shade = 1 + strength * texture
    seam = (own.kind == LEATHER) & (place.normal.abs() < SEAM)
    shade = torch.where(seam, 0.7 * shade, shade)
    colour = colour * shade[:, None]
    sheer = torch.where(own.kind == LATEX, own.sheer, 0.0)[:, None]
    gloss = torch.where(coat[:, None], own.gloss + 0.35, own.gloss)
    return colour + sheer * (skin - colour), gloss
