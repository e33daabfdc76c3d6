"""Surfaces shaded at every pixel, with colours, normals and highlights from textures.

Where colours stand at the vertices alone, light is cheaper there (`fitter.refinement.scene.draw`).
Colours are linear light; normals and positions are in camera axes, so the camera is at 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fitter.hand_models.appearance import SurfaceMaps
from fitter.hand_models.model_data import HandModelData
from fitter.normals import unit
from fitter.raster.types import Fragments
from fitter.rendering.shading import (
    AmbientDirectionalLight,
    SphericalHarmonicsLight,
    interpolate,
    sample_texture,
    srgb_from_linear,
    vertex_normals,
)

SHININESS = 20.0
"""Exponent of the lobe of a highlight: a half width of 15 degrees, of skin that is neither wet nor
powdered."""

Light = AmbientDirectionalLight | SphericalHarmonicsLight


@dataclass(frozen=True)
class TexturedFaces:
    """The faces of a mesh and where they lie in its texture.

    Attributes:
        faces: (F, 3) int64 vertices, counter-clockwise seen from outside.
        uv: (A, 2) texture coordinates, u to the right and v up.
        uv_faces: (F, 3) int64 rows of `uv`.
    """

    faces: Tensor
    uv: Tensor
    uv_faces: Tensor

    @classmethod
    def of(cls, data: HandModelData, like: Tensor) -> TexturedFaces:
        """Of a model, on the device and in the dtype of a tensor.

        Raises:
            ValueError: the model has no texture coordinates; `load_hand_model` gives it some.
        """
        if data.uv is None or data.uv_faces is None:
            raise ValueError(f"{data.name} has no texture coordinates")
        faces, uv_faces = (
            torch.as_tensor(table, device=like.device) for table in (data.faces, data.uv_faces)
        )
        return cls(faces, torch.as_tensor(data.uv).to(like), uv_faces)


def u_direction(edges: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Where u grows along triangles, and on which side of that v grows.

    With edges e1, e2 of a face and their steps (u1, v1), (u2, v2) in the texture, u grows along
    ``v2 e1 - v1 e2`` times the sign of ``d = u1 v2 - u2 v1``.

    Args:
        edges: (..., 2, 3) from the first corner to the second and to the third.
        steps: (..., 2, 2) of the texture coordinates along them; leading axes broadcast.

    Returns:
        (..., 3) directions, of any length, and (..., 1) the sign of d: 1 where v grows to the left
        of u seen from outside; both 0 where a face has no area in the texture.
    """
    (u1, v1), (u2, v2) = (steps[..., k, :].split(1, dim=-1) for k in range(2))
    sign = (u1 * v2 - u2 * v1).sign()
    return sign * (v2 * edges[..., 0, :] - v1 * edges[..., 1, :]), sign


def uv_tangents(vertices: Tensor, mesh: TexturedFaces) -> Tensor:
    """Directions in which u grows along a surface, and on which side v grows: the sums of
    `u_direction` of the faces around.

    Args:
        vertices: (B, V, 3).
        mesh: its faces.

    Returns:
        (B, A, 4) of each row of `mesh.uv`: a direction of any length, weighted by the faces' areas,
        and a number of the sign of d: 1 where v grows to the left of u seen from outside. 0 where
        no face has an area in the texture.
    """
    corners, flat = vertices[:, mesh.faces], mesh.uv[mesh.uv_faces]
    along, sign = u_direction(corners[:, :, 1:] - corners[:, :, :1], flat[:, 1:] - flat[:, :1])
    of_face = torch.cat([along, sign.expand(len(vertices), -1, 1)], -1)
    total = vertices.new_zeros(len(vertices), len(mesh.uv), 4)
    for k in range(3):
        total = total.index_add(1, mesh.uv_faces[:, k], of_face)
    return total


def mapped_normals(normals: Tensor, tangents: Tensor, mapped: Tensor) -> Tensor:
    """Normals (..., 3) of a surface whose texture turns them.

    Args:
        normals: (..., 3) unit, of the mesh.
        tangents: (..., 4) as `uv_tangents` gives them, at the same places.
        mapped: (..., 3) in the frame of the texture: x along u, y along v, z along the normal; any
            length.

    Returns:
        Unit vectors; those of the mesh where the tangent is 0 or lies along the normal.
    """
    along, side = tangents[..., :3], tangents[..., 3:].sign()
    across = unit(along - (along * normals).sum(-1, keepdim=True) * normals)
    upward = side * torch.linalg.cross(normals, across, dim=-1)
    x, y, z = mapped.split(1, dim=-1)
    turned = unit(x * across + y * upward + z * normals)
    known = (across != 0).any(-1, keepdim=True)
    return torch.where(known, turned, normals)


@dataclass(frozen=True)
class Surface:
    """B meshes with their maps, as they are shaded.

    Attributes:
        mesh: faces and texture coordinates.
        vertices: (B, V, 3) metres, camera frame.
        maps: of the same hands.
        added: (B, V, 3) colours at the vertices that are added to the texture's, or None.
        linear: multiply colours and light in linear light; else colours are encoded as sRGB first.
    """

    mesh: TexturedFaces
    vertices: Tensor
    maps: SurfaceMaps
    added: Tensor | None = None
    linear: bool = True


def shade(surface: Surface, fragments: Fragments, light: Light) -> Tensor:
    """The lit surface at every pixel: ``diffuse E(n) + specular R(r)``, E the irradiance at the
    normal and R what is mirrored along r, the line of sight reflected (Phong, 1975).

    Light is computed at the vertices and interpolated where the maps hold colours alone, since it
    changes little within a face of a few pixels.

    Differentiable in vertices, maps, added colours and light.

    Args:
        surface: what is seen.
        fragments: of its B rendered meshes.
        light: on them, camera axes.

    Returns:
        (B, H, W, 3), 0 where there is no face.
    """
    mesh, vertices, added = surface.mesh, surface.vertices, surface.added
    normals = vertex_normals(vertices, mesh.faces)
    mapped = surface.maps.normal is not None or surface.maps.specular is not None
    at_vertices = [torch.cat([normals, vertices], -1) if mapped else light.irradiance(normals)]
    at_vertices += [] if added is None else [added]
    values = interpolate(fragments, mesh.faces, torch.cat(at_vertices, -1))
    coordinates = mesh.uv.expand(len(vertices), -1, 2)
    if surface.maps.normal is not None:
        coordinates = torch.cat([coordinates, uv_tangents(vertices, mesh)], -1)
    at = interpolate(fragments, mesh.uv_faces, coordinates)
    colour = sample_texture(surface.maps.diffuse, at[..., :2])
    colour = colour if surface.linear else srgb_from_linear(colour)
    if added is not None:
        colour = colour + values[..., -3:]
    lit = (
        _lit_by_maps(surface.maps, colour, values, at, light)
        if mapped
        else (colour * values[..., :3])
    )
    return torch.where(fragments.mask[..., None], lit, 0)


def _lit_by_maps(
    maps: SurfaceMaps, colour: Tensor, values: Tensor, at: Tensor, light: Light
) -> Tensor:
    """Colours (B, H, W, 3) lit at every pixel; `values` begin with normal and position, `at` with
    texture coordinates and, for a normal map, tangents."""
    normals, sight, uv = unit(values[..., :3]), unit(values[..., 3:6]), at[..., :2]
    if maps.normal is not None:
        normals = mapped_normals(normals, at[..., 2:], sample_texture(maps.normal, uv))
    lit = colour * light.irradiance(normals)
    if maps.specular is None:
        return lit
    mirrored = sight - 2 * (sight * normals).sum(-1, keepdim=True) * normals
    return lit + sample_texture(maps.specular, uv) * light.reflection(mirrored, SHININESS)
