"""Shading: normals, attributes at pixels, textures, colour encoding."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from fitter.raster import RasterSettings, rasterize
from fitter.rendering.interpolation import interpolate_tensors
from fitter.rendering.shading import (
    AmbientDirectionalLight,
    SphericalHarmonicsLight,
    composite,
    interpolate,
    linear_from_srgb,
    sample_texture,
    srgb_from_linear,
    texture_colours,
    vertex_normals,
)
from tests.support.shading_cases import DOUBLE, intrinsics, random, square


def test_normals_of_a_sphere_point_outward():
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=0.1)
    vertices = torch.from_numpy(np.array(sphere.vertices))[None]
    normals = vertex_normals(vertices, torch.from_numpy(np.array(sphere.faces)))
    assert (torch.sum(normals * vertices / 0.1, -1) > 0.999).all()


def test_normals_are_area_weighted_and_zero_without_faces():
    # Vertex 0 touches a face of area 2 facing z and one of area 1/2 facing x.
    vertices = torch.tensor(
        [[[0.0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 1, 0], [0, 0, 1], [9, 9, 9]]], dtype=torch.float64
    )
    normals = vertex_normals(vertices, torch.tensor([[0, 1, 2], [0, 3, 4]]))
    expected = torch.tensor([0.5, 0.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(normals[0, 0], expected / expected.norm())
    assert (normals[0, 5] == 0).all()


def test_interpolation_of_position_gives_depth_and_follows_its_own_face_table():
    sphere = trimesh.creation.icosphere(subdivisions=2, radius=0.1)
    points = sphere.vertices + np.array([0.0, 0.0, 0.5])
    camera = intrinsics(40, 50)
    image = points @ camera.T
    screen = torch.from_numpy(np.concatenate([image[:, :2] / image[:, 2:], points[:, 2:]], 1))[None]
    faces = torch.from_numpy(np.array(sphere.faces))
    fragments = rasterize(screen, faces, (40, 50))
    depth = interpolate(fragments, faces, torch.from_numpy(points))[..., 2]
    torch.testing.assert_close(depth, fragments.depth)
    own_table = torch.arange(faces.numel()).reshape(-1, 3)
    unwelded = torch.from_numpy(points)[faces.reshape(-1)]
    torch.testing.assert_close(interpolate(fragments, own_table, unwelded)[..., 2], depth)


def test_texture_corners_and_bilinear_middle():
    texture = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])  # v points up: row 0 is v = 1
    uv = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.5, 0.5], [0.25, 0.5]])
    expected = torch.tensor([1.0, 2.0, 3.0, 4.0, 2.5, 2.0])
    torch.testing.assert_close(sample_texture(texture, uv)[:, 0], expected)


def test_lambert_light():
    light = AmbientDirectionalLight(
        torch.tensor([0.0, 0.0, -2.0]), torch.tensor([0.8]), torch.tensor([0.1])
    )
    slant = [math.sin(1.0), 0.0, -math.cos(1.0)]
    normals = torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0], slant])
    expected = torch.tensor([0.9, 0.1, 0.1 + 0.8 * math.cos(1.0)])
    torch.testing.assert_close(light.irradiance(normals)[:, 0], expected)


def test_spherical_harmonics_irradiance_is_the_cosine_integral():
    # Integrate a random degree-2 radiance against the clamped cosine numerically.
    generator = torch.Generator().manual_seed(0)
    coefficients = torch.randn((9, 3), generator=generator, dtype=torch.float64)
    n = 400
    z = (torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 - 1
    phi = (torch.arange(2 * n, dtype=torch.float64) + 0.5) / n * math.pi
    z, phi = (t.reshape(-1) for t in torch.meshgrid(z, phi, indexing="ij"))
    ring = torch.sqrt(1 - z**2)
    x, y = ring * torch.cos(phi), ring * torch.sin(phi)
    basis = torch.stack(
        [
            torch.full_like(x, math.sqrt(1 / (4 * math.pi))),
            *(math.sqrt(3 / (4 * math.pi)) * t for t in (y, z, x)),
            *(math.sqrt(15 / (4 * math.pi)) * t for t in (x * y, y * z)),
            math.sqrt(5 / (16 * math.pi)) * (3 * z**2 - 1),
            math.sqrt(15 / (4 * math.pi)) * x * z,
            math.sqrt(15 / (16 * math.pi)) * (x**2 - y**2),
        ],
        dim=-1,
    )
    directions = torch.stack([x, y, z], -1)
    normal = torch.nn.functional.normalize(torch.tensor([[0.3, -0.5, 0.8]]).double(), dim=-1)
    cosine = (directions @ normal[0]).clamp_min(0)
    area = 4 * math.pi / len(x)
    expected = (cosine[:, None] * (basis @ coefficients)).sum(0) * area / math.pi
    actual = SphericalHarmonicsLight(coefficients).irradiance(normal)[0]
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_shading_is_differentiable():
    vertices = torch.rand((1, 5, 3), dtype=torch.float64, requires_grad=True)
    faces = torch.tensor([[0, 1, 2], [2, 3, 4], [0, 3, 1]])
    assert torch.autograd.gradcheck(lambda v: vertex_normals(v, faces), (vertices,))


def test_normals_of_different_meshes_are_those_of_each():
    vertices = random(2, 5, 3)
    one = torch.tensor([[0, 1, 2], [2, 3, 4], [0, 3, 1]])
    other = torch.tensor([[4, 1, 0], [1, 2, 3], [-1, -1, -1]])
    together = vertex_normals(vertices, torch.stack([one, other]))
    torch.testing.assert_close(together[:1], vertex_normals(vertices[:1], one))
    torch.testing.assert_close(together[1:], vertex_normals(vertices[1:], other[:2]))


def test_a_mesh_without_area_has_no_normals_and_finite_gradients():
    vertices = torch.ones(1, 3, 3, dtype=DOUBLE, requires_grad=True)
    normals = vertex_normals(vertices, torch.tensor([[0, 1, 2]]))
    assert (normals == 0).all()
    (gradient,) = torch.autograd.grad(normals.sum(), vertices)
    assert (gradient == 0).all()


# Interpolation


def test_interpolation_has_the_right_gradients():
    screen, faces = square(batch=2)
    tables = torch.stack([faces, faces.flip(0)])
    fragments = rasterize(screen, faces, (12, 12))
    weights = fragments.barycentrics.clone().requires_grad_()
    attributes = random(2, 4, 2).requires_grad_()

    def drawn(weights, attributes):
        return interpolate(replace(fragments, barycentrics=weights), tables, attributes)

    assert torch.autograd.gradcheck(drawn, (weights, attributes))


def test_interpolated_positions_follow_the_vertices():
    # Attribute x + 2 y, linear on a plane of one depth, is x + 2 y at every pixel's centre; when
    # the vertices move and their values stay, it moves along.
    screen, faces = square()
    screen[..., 2] = 1.0
    screen.requires_grad_()
    values = (screen[0, :, :1] + 2 * screen[0, :, 1:2]).detach()
    picture = interpolate(rasterize(screen, faces, (12, 12)), faces, values)
    (gradient,) = torch.autograd.grad(picture[0, 5, 6, 0], screen)
    assert float(picture[0, 5, 6, 0].detach()) == pytest.approx(6.5 + 2 * 5.5)
    torch.testing.assert_close(
        gradient[0, :, :2].sum(dim=0), torch.tensor([-1.0, -2.0], dtype=DOUBLE)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kernel_and_tensor_version_agree(dtype):
    screen, faces = square(batch=3)
    tables = torch.stack([faces, faces.flip(1), faces.flip(0)])
    fragments = rasterize(screen.to(dtype), faces, (14, 13))
    cotangent = random(3, 14, 13, 5, seed=3).to(dtype)
    found = []
    for number in range(2):
        weights = fragments.barycentrics.clone().requires_grad_()
        attributes = random(3, 4, 5, seed=4).to(dtype).requires_grad_()
        if number == 0:
            picture = interpolate(replace(fragments, barycentrics=weights), tables, attributes)
        else:
            picture = interpolate_tensors(fragments.face_index, weights, tables, attributes)
        found.append((picture, *torch.autograd.grad(picture, (weights, attributes), cotangent)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_face_without_a_row_is_an_error():
    screen, faces = square()
    fragments = rasterize(screen, faces, (12, 12))
    with pytest.raises(ValueError, match="row of the face table"):
        interpolate(fragments, faces[:1], random(4, 1))
    with pytest.raises(ValueError, match="indices below 3"):
        interpolate(fragments, faces, random(3, 1))


def test_nothing_in_view_gives_nothing():
    screen, faces = square()
    fragments = rasterize(screen + 100, faces, (12, 10), settings=RasterSettings(silhouette="edge"))
    texture = random(4, 4, 3).requires_grad_()
    picture = texture_colours(fragments, random(4, 2), faces, texture)
    assert picture.shape == (1, 12, 10, 3) and (picture == 0).all()
    assert (torch.autograd.grad(picture.sum(), texture)[0] == 0).all()
    background = random(1, 12, 10, 3)
    torch.testing.assert_close(composite(picture, fragments, background), background)


# Textures


def test_a_texture_for_each_picture_is_that_of_each_alone():
    textures, uv = random(3, 5, 7, 2), random(3, 4, 6, 2, seed=1)
    together = sample_texture(textures, uv)
    for k in range(3):
        torch.testing.assert_close(together[k], sample_texture(textures[k], uv[k]))
    inner = 0.2 + 0.6 * uv[:1, :2, :2]  # away from the border, where the slope jumps
    inputs = (textures[:1].clone().requires_grad_(), inner.clone().requires_grad_())
    assert torch.autograd.gradcheck(sample_texture, inputs)


def test_a_smooth_texture_shows_what_vertex_colours_show():
    screen, faces = square(batch=2, size=20.0)
    uv = torch.tensor([[0.1, 0.9], [0.9, 0.9], [0.9, 0.1], [0.1, 0.1]], dtype=DOUBLE)
    steps = (torch.arange(64, dtype=DOUBLE) + 0.5) / 64
    up = 1 - steps[:, None].expand(64, 64)
    texture = torch.stack([steps.expand(64, 64), up, 0.3 + 0 * up], dim=-1)
    colours = torch.cat([uv, torch.full((4, 1), 0.3, dtype=DOUBLE)], dim=1)
    fragments = rasterize(screen, faces, (30, 30))
    textured = texture_colours(fragments, uv, faces, texture.expand(2, -1, -1, -1))
    torch.testing.assert_close(textured, interpolate(fragments, faces, colours))


# Light


def test_srgb_is_that_of_the_standard_and_its_inverse():
    # Known values of IEC 61966-2-1, to its rounding.
    linear = torch.tensor([0.0, 0.0031308, 0.18, 0.5, 1.0], dtype=DOUBLE)
    known = torch.tensor([0.0, 0.0404499, 0.4613561, 0.7353570, 1.0], dtype=DOUBLE)
    torch.testing.assert_close(srgb_from_linear(linear), known, rtol=0, atol=1e-6)
    values = torch.linspace(-0.1, 1.3, 200, dtype=DOUBLE)
    torch.testing.assert_close(linear_from_srgb(srgb_from_linear(values)), values)


def test_encoding_has_finite_gradients_everywhere():
    values = torch.tensor([-0.5, 0.0, 1e-30, 0.2, 0.9, 2.0], dtype=DOUBLE, requires_grad=True)
    for function in (srgb_from_linear, linear_from_srgb):
        (gradient,) = torch.autograd.grad(function(values).sum(), values)
        assert torch.isfinite(gradient).all() and (gradient > 0).all()
        assert torch.autograd.gradcheck(function, (values,))
