"""From fragments to pictures: normals, attributes at pixels, textures and light.

Everything here is plain PyTorch and differentiable in vertices, attributes, textures and lights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fitter.raster.api import Fragments


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals, each the area-weighted mean of the faces around a vertex.

    Args:
        vertices: (B, V, 3), any unit.
        faces: (F, 3) integer; counter-clockwise seen from outside gives outward normals.

    Returns:
        (B, V, 3), same frame and dtype as the vertices; 0 where no face with an area touches.
    """
    triangles = faces.long()
    a, b, c = (vertices[:, triangles[:, k]] for k in range(3))
    # The cross product's length is twice the area, which makes the sum area-weighted.
    face_normals = torch.linalg.cross(b - a, c - a)
    normals = torch.zeros_like(vertices)
    for k in range(3):
        normals = normals.index_add(1, triangles[:, k], face_normals)
    return functional.normalize(normals, dim=-1, eps=torch.finfo(vertices.dtype).tiny)


def interpolate(fragments: Fragments, faces: Tensor, attributes: Tensor) -> Tensor:
    """Attributes of the visible surface at every pixel.

    Args:
        fragments: of a batch of B pictures, drawn with F faces.
        faces: (F, 3) integer rows of `attributes` at each face's corners, in the order of the
            drawn faces. A UV map with seams has its own table, so this need not be the table the
            faces were drawn with.
        attributes: (B, A, C) per picture or (A, C) shared by the batch.

    Returns:
        (B, H, W, C), 0 where there is no face.
    """
    if attributes.ndim == 2:
        attributes = attributes.expand(fragments.face_index.shape[0], *attributes.shape)
    picture, row, column = torch.nonzero(fragments.mask, as_tuple=True)
    corners = faces.long()[fragments.face_index[picture, row, column].long()]  # (N, 3)
    weights = fragments.barycentrics[picture, row, column].to(attributes.dtype)
    seen = (weights[..., None] * attributes[picture[:, None], corners]).sum(dim=1)
    result = attributes.new_zeros((*fragments.face_index.shape, attributes.shape[-1]))
    return result.index_put((picture, row, column), seen)


def sample_texture(texture: Tensor, uv: Tensor) -> Tensor:
    """Bilinear look-up in a texture.

    Args:
        texture: (H, W, C), row 0 at the top.
        uv: (..., 2) in [0, 1]; u to the right, v UP from the texture's lower side (the convention
            of Wavefront OBJ and OpenGL). Positions outside take the border's colour.

    Returns:
        (..., C).
    """
    grid = torch.stack([2 * uv[..., 0] - 1, 1 - 2 * uv[..., 1]], dim=-1)
    sampled = functional.grid_sample(
        texture.permute(2, 0, 1)[None],
        grid.reshape(1, 1, -1, 2).to(texture.dtype),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    return sampled[0, :, 0].T.reshape(*uv.shape[:-1], texture.shape[-1])


@dataclass(frozen=True)
class DirectionalLight:
    """A light from infinitely far away plus an ambient part (Lambert's cosine law).

    Attributes:
        direction: (3,) towards the light, camera axes (x right, y down, z forward), any length.
        diffuse: (3,) or (1,) radiance of the light; 1 doubles an ambient of 1 where it faces it.
        ambient: (3,) or (1,) light that arrives from everywhere.
    """

    direction: Tensor
    diffuse: Tensor
    ambient: Tensor

    def irradiance(self, normals: Tensor) -> Tensor:
        """Light (..., 3 or 1) that reaches a surface with unit normals (..., 3)."""
        direction = functional.normalize(self.direction.to(normals), dim=-1)
        cosine = (normals * direction).sum(dim=-1, keepdim=True).clamp_min(0)
        return self.ambient.to(normals) + cosine * self.diffuse.to(normals)


@dataclass(frozen=True)
class SphericalHarmonicsLight:
    """Distant light as real spherical harmonics up to degree 2.

    The irradiance is equation 13 of Ramamoorthi and Hanrahan, "An efficient representation for
    irradiance environment maps" (SIGGRAPH 2001), divided by pi, so that light of radiance 1 from
    every side gives 1.

    Attributes:
        coefficients: (9, 3) or (9, 1), L00, L1-1, L10, L11, L2-2, L2-1, L20, L21, L22 of the
            incoming radiance; camera axes, so L1-1, L10, L11 go with y (down), z (forward), x.
    """

    coefficients: Tensor

    def irradiance(self, normals: Tensor) -> Tensor:
        """Light (..., 3 or 1) that reaches a surface with unit normals (..., 3)."""
        c1, c2, c3, c4, c5 = 0.429043, 0.511664, 0.743125, 0.886227, 0.247708
        x, y, z = normals.unbind(dim=-1)
        basis = torch.stack(
            [
                torch.full_like(x, c4),
                2 * c2 * y,
                2 * c2 * z,
                2 * c2 * x,
                2 * c1 * x * y,
                2 * c1 * y * z,
                c3 * z**2 - c5,
                2 * c1 * x * z,
                c1 * (x**2 - y**2),
            ],
            dim=-1,
        )
        return (basis @ self.coefficients.to(normals)) / torch.pi
