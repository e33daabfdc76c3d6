"""Skin with maps of normals and highlights, as NIMBLE has it; `SkinColours` is the plain one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from datasets.synthetic.reflectance import (
    SkinColours,
    SurfacePoints,
    along_arm,
    linear,
    look_up,
    mixed_maps,
)
from fitter.hand_models.appearance import Appearance, AppearanceModel
from fitter.hand_models.nimble.appearance import NimbleAppearance
from fitter.hand_models.nimble.textures import TextureSpace


class MappedSkin:
    """Reflectance of the skin of many people, its fine relief and its gloss."""

    def __init__(self, appearance: NimbleAppearance, loop: Tensor, texels: int) -> None:
        """Prepare.

        Args:
            appearance: on the device where images are rendered.
            loop: (L,) vertices around the wrist.
            texels: side of the texture that images need; it is halved as long as it is larger.
        """
        self.side = len(appearance.textures.diffuse.mean)
        while self.side >= 2 * texels and self.side % 2 == 0:
            self.side //= 2
        self.diffuse, self.normal, self.specular = appearance.spaces(self.side)
        at_vertices = appearance.vertex_space
        self.loop = TextureSpace(at_vertices.mean[0, loop], at_vertices.components[:, 0, loop])
        self.mean_gloss = self.specular.mean.mean()

    def textures(self, coefficients: Tensor) -> Tensor:
        """(B, T * T, 3) linear RGB."""
        return linear(_values(self.diffuse, coefficients)).flatten(1, 2)

    def arms(self, coefficients: Tensor) -> Tensor:
        """((RINGS + 1) * L) linear RGB (B, ..., 3), see `SkinColours.arms`."""
        return along_arm(linear(_values(self.loop, coefficients)))

    def relief(
        self, people: list[Tensor], points: SurfacePoints, frames: Frames, normals: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Normals and gloss where the skin of hands is seen.

        Args:
            people: coefficients (B, N) of the first hands and perhaps of the others.
            points: K pixels that show the hands' skin.
            frames: of the texture at these.
            normals: (K, 3) unit, of the mesh.

        Returns:
            (K, 3) unit normals and (K,) gloss relative to the skin's mean.
        """
        batch = len(people[0])
        owner = points.row + batch * points.number.clamp_max(len(people) - 1)
        tangent, gloss = (
            look_up(
                torch.cat([_values(space, each).flatten(1, 2) for each in people]),
                self.side,
                points.coordinates,
                owner,
            )
            for space in (self.normal, self.specular)
        )
        return frames.turned(2 * tangent - 1, normals), gloss.mean(dim=1) / self.mean_gloss


@dataclass(frozen=True)
class Frames:
    """Directions (K, 3) in which the texture's u and v grow along the surface, of any length; 0
    where a face has no texture."""

    along_u: Tensor
    along_v: Tensor

    @classmethod
    def of(cls, corners: Tensor, coordinates: Tensor) -> Frames:
        """Of triangles.

        Args:
            corners: (K, 3, 3) positions.
            coordinates: (K, 3, 2) of the texture there.
        """
        first, second = (corners[:, k] - corners[:, 0] for k in (1, 2))
        u1, v1 = (coordinates[:, 1] - coordinates[:, 0]).unbind(1)
        u2, v2 = (coordinates[:, 2] - coordinates[:, 0]).unbind(1)
        area = u1 * v2 - u2 * v1
        sign = torch.sign(area)[:, None]
        along_u = sign * (v2[:, None] * first - v1[:, None] * second)
        along_v = sign * (u1[:, None] * second - u2[:, None] * first)
        return cls(along_u, along_v)

    def turned(self, tangent: Tensor, normals: Tensor) -> Tensor:
        """Normals (K, 3) of the texture's frame about the mesh's unit normals (K, 3)."""
        u = self.along_u - (self.along_u * normals).sum(-1, keepdim=True) * normals
        u = torch.nn.functional.normalize(u, dim=1)
        v = self.along_v - (self.along_v * normals).sum(-1, keepdim=True) * normals
        v = v - (v * u).sum(-1, keepdim=True) * u
        v = torch.nn.functional.normalize(v, dim=1)
        turned = tangent[:, :1] * u + tangent[:, 1:2] * v + tangent[:, 2:] * normals
        return torch.nn.functional.normalize(turned, dim=1)


def skin_of(appearance: Appearance, loop: Tensor, texels: int) -> SkinColours | MappedSkin:
    """The skin of an appearance, on the device where images are rendered."""
    if isinstance(appearance, NimbleAppearance):
        return MappedSkin(appearance, loop, texels)
    assert isinstance(appearance, AppearanceModel)
    return SkinColours(appearance, loop, texels)


def _values(space: TextureSpace, coefficients: Tensor) -> Tensor:
    """Values of coefficients (B, N), the same for every batch."""
    return mixed_maps(space.mean, space.components, coefficients).clamp(0, 1)
