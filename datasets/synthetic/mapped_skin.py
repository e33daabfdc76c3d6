"""Skin with maps of normals and highlights, as NIMBLE has it; `SkinColours` is the plain one."""

from __future__ import annotations

import torch
from torch import Tensor

from datasets.synthetic.light import SKIN_REFLECTANCE
from datasets.synthetic.reflectance import (
    SkinColours,
    SurfacePoints,
    along_arm,
    linear,
    look_up,
    mixed_maps,
)
from fitter.hand_models.appearance import Appearance, AppearanceModel
from fitter.hand_models.nimble.appearance import MIRRORED, NimbleAppearance
from fitter.hand_models.nimble.textures import TextureSpace
from fitter.rendering.textured import mapped_normals


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

    def textures(self, coefficients: Tensor) -> Tensor:
        """(B, T * T, 3) linear RGB."""
        return linear(_values(self.diffuse, coefficients)).flatten(1, 2)

    def arms(self, coefficients: Tensor) -> Tensor:
        """((RINGS + 1) * L) linear RGB (B, ..., 3), see `SkinColours.arms`."""
        return along_arm(linear(_values(self.loop, coefficients)))

    def relief(
        self, people: list[Tensor], points: SurfacePoints, tangents: Tensor, normals: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Normals and gloss where the skin of hands is seen.

        Args:
            people: coefficients (B, N) of the first hands and perhaps of the others.
            points: K pixels that show the hands' skin.
            tangents: (K, 4) of the texture at these, see `uv_tangents`.
            normals: (K, 3) unit, of the mesh.

        Returns:
            (K, 3) unit normals and (K,) gloss relative to the skin that `highlights` knows.
        """
        batch = len(people[0])
        owner = points.row + batch * points.number.clamp_max(len(people) - 1)
        mapped, gloss = (
            look_up(
                torch.cat([_values(space, each).flatten(1, 2) for each in people]),
                self.side,
                points.coordinates,
                owner,
            )
            for space in (self.normal, self.specular)
        )
        turned = mapped_normals(normals, tangents, 2 * mapped - 1)
        return turned, MIRRORED * gloss.mean(dim=1) / SKIN_REFLECTANCE


def skin_of(appearance: Appearance, loop: Tensor, texels: int) -> SkinColours | MappedSkin:
    """The skin of an appearance, on the device where images are rendered."""
    if isinstance(appearance, NimbleAppearance):
        return MappedSkin(appearance, loop, texels)
    assert isinstance(appearance, AppearanceModel)
    return SkinColours(appearance, loop, texels)


def _values(space: TextureSpace, coefficients: Tensor) -> Tensor:
    """Values of coefficients (B, N), the same for every batch."""
    return mixed_maps(space.mean, space.components, coefficients).clamp(0, 1)
