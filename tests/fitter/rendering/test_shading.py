"""Shading: normals, attributes at pixels, textures, light, composition, colour encoding."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from fitter.raster import RasterSettings, rasterize
from fitter.raster.types import Fragments
from fitter.rendering.composition import composite_tensors
from fitter.rendering.interpolation import interpolate_tensors
from fitter.rendering.shading import (
    AmbientDirectionalLight,
    SphericalHarmonicsLight,
    band_width,
    composite,
    interpolate,
    linear_from_srgb,
    sample_texture,
    srgb_from_linear,
    texture_colours,
    vertex_normals,
)

DOUBLE = torch.float64


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=rng(seed), dtype=DOUBLE)


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    drawn = torch.randn((*shape, 3), generator=rng(seed), dtype=DOUBLE)
    return torch.nn.functional.normalize(drawn, dim=-1)


def intrinsics(height: int, width: int) -> np.ndarray:
    focal = 1.5 * min(height, width)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def square(batch: int = 1, size: float = 6.0, corner: float = 3.0) -> tuple:
    """Two faces that show a square of `size` pixels; a picture each is a little shifted."""
    corners = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=DOUBLE) * size + corner
    screen = torch.cat([corners, torch.tensor([[1.0], [1.2], [1.1], [1.3]], dtype=DOUBLE)], dim=1)
    screen = screen.repeat(batch, 1, 1)
    screen[..., :2] += 0.37 * torch.arange(batch, dtype=DOUBLE)[:, None, None]
    return screen, torch.tensor([[0, 1, 2], [0, 2, 3]])


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


def eleven_numbers(batch: int) -> torch.Tensor:
    return torch.cat([random(batch, 8, seed=5), unit(batch, seed=6) * 3], dim=1)


def test_eleven_numbers_are_those_of_the_paper():
    # S2HAND, section 3.2: L = (l^a, l_c^a, l^d, l_c^d, n^d).
    vector = torch.tensor([[0.5, 0.1, 0.2, 0.3, 2.0, 0.4, 0.5, 0.6, 0.0, 0.0, -4.0]], dtype=DOUBLE)
    light = AmbientDirectionalLight.of(vector)
    normals = torch.tensor([[[0.0, 0, -1], [0, 0, 1], [0, -0.8, -0.6]]], dtype=DOUBLE)
    ambient = 0.5 * np.array([0.1, 0.2, 0.3])
    direct = 2.0 * np.array([0.4, 0.5, 0.6])
    expected = torch.tensor(np.stack([ambient + direct, ambient, ambient + 0.6 * direct]))
    torch.testing.assert_close(light.irradiance(normals)[0], expected)
    with pytest.raises(ValueError, match=r"\(B, 11\)"):
        AmbientDirectionalLight.of(vector[0])


@pytest.mark.parametrize("shape", [(4,), (4, 7), (4, 3, 5)])
def test_lights_of_a_batch_are_those_of_each_alone(shape):
    normals = unit(*shape)
    vectors, harmonics = eleven_numbers(4), random(4, 9, 3, seed=7)
    together = AmbientDirectionalLight.of(vectors).irradiance(normals)
    spherical = SphericalHarmonicsLight(harmonics).irradiance(normals)
    assert together.shape == spherical.shape == (*shape, 3)
    for k in range(4):
        alone = AmbientDirectionalLight.of(vectors[k : k + 1]).irradiance(normals[k : k + 1])
        torch.testing.assert_close(together[k : k + 1], alone)
        shared = SphericalHarmonicsLight(harmonics[k]).irradiance(normals[k])
        torch.testing.assert_close(spherical[k], shared)


def test_lights_are_differentiable():
    normals = unit(2, 3).requires_grad_()
    vectors, harmonics = eleven_numbers(2).requires_grad_(), random(2, 9, 3).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v, n: AmbientDirectionalLight.of(v).irradiance(n), (vectors, normals)
    )
    assert torch.autograd.gradcheck(
        lambda c, n: SphericalHarmonicsLight(c).irradiance(n), (harmonics, normals)
    )


def test_light_of_radiance_one_from_everywhere_gives_one():
    light = SphericalHarmonicsLight.uniform(torch.ones(2, 3, dtype=DOUBLE))
    torch.testing.assert_close(light.irradiance(unit(2, 50)), torch.ones(2, 50, 3, dtype=DOUBLE))


def test_an_ambient_light_is_a_uniform_environment():
    vector = eleven_numbers(2)
    vector[:, 4] = 0
    normals = unit(2, 20)
    uniform = SphericalHarmonicsLight.uniform(vector[:, :1] * vector[:, 1:4])
    torch.testing.assert_close(
        AmbientDirectionalLight.of(vector).irradiance(normals), uniform.irradiance(normals)
    )


def test_what_a_directional_light_gives_all_surfaces_together():
    # Lambert: the mean of max(0, cosine) over all normals is 1/4.
    z = (torch.arange(2000, dtype=DOUBLE) + 0.5) / 1000 - 1
    angle = torch.arange(2000, dtype=DOUBLE) * math.pi * (1 + math.sqrt(5))
    ring = torch.sqrt(1 - z**2)
    normals = torch.stack([ring * torch.cos(angle), ring * torch.sin(angle), z], dim=-1)
    vector = torch.tensor([[0.0, 0, 0, 0, 1, 1, 1, 1, 0.3, -0.5, 0.4]], dtype=DOUBLE)
    mean = AmbientDirectionalLight.of(vector).irradiance(normals[None]).mean()
    assert float(mean) == pytest.approx(0.25, rel=1e-3)


def test_without_a_direction_or_a_normal_there_is_the_ambient_part():
    vector = eleven_numbers(1)
    vector[:, 8:] = 0
    vector.requires_grad_()
    ambient = (vector[:, :1] * vector[:, 1:4]).detach()
    light = AmbientDirectionalLight.of(vector).irradiance(unit(1, 5))
    torch.testing.assert_close(light, ambient[:, None].expand(1, 5, 3))
    (gradient,) = torch.autograd.grad(light.sum(), vector)
    assert torch.isfinite(gradient).all() and (gradient[0, 8:] == 0).all()
    lit = AmbientDirectionalLight.of(eleven_numbers(1)).irradiance(torch.zeros(1, 1, 3).double())
    torch.testing.assert_close(lit[0], ambient)


# Composition


def wide_fragments() -> Fragments:
    """A square of 4x4 visible pixels with a silhouette that reaches two pixels further."""
    screen, faces = square(size=4.0, corner=4.0)
    fragments = rasterize(screen, faces, (12, 12))
    alpha = torch.zeros(1, 12, 12, dtype=DOUBLE)
    alpha[:, 2:10, 2:10] = 0.25
    alpha[:, 3:9, 3:9] = 0.5
    alpha[:, 4:8, 4:8] = 0.75
    assert int(fragments.mask.sum()) == 16
    return replace(fragments, alpha=alpha)


@pytest.mark.parametrize("reach", [None, 2, 5])
def test_colour_goes_on_as_far_as_the_silhouette(reach):
    fragments = wide_fragments()
    colour = torch.where(fragments.mask[..., None], torch.tensor([0.2, 0.4, 0.6]).double(), 99.0)
    background = random(1, 3)
    expected = fragments.alpha[..., None] * torch.tensor([0.2, 0.4, 0.6]).double()
    expected = expected + (1 - fragments.alpha[..., None]) * background
    torch.testing.assert_close(composite(colour, fragments, background, reach), expected)


def test_continued_colours_are_those_nearby_and_end_with_the_reach():
    fragments = wide_fragments()
    colour = torch.zeros(1, 12, 12, 3, dtype=DOUBLE)
    colour[..., 6:, :] = 1.0
    black = torch.zeros(3, dtype=DOUBLE)
    picture = composite(colour, fragments, black)
    # Two rows above the square: dark over its left half, bright over its right half.
    assert (picture[0, 2, 2:4] < 1e-12).all() and (picture[0, 2, 8:10] == 0.25).all()
    one_step = composite(colour, fragments, black, reach=1)
    assert (one_step[0, 3, 8] == 0.5).all() and (one_step[0, 2] == 0).all()


def test_composition_is_differentiable():
    fragments = wide_fragments()
    colour, background = random(1, 12, 12, 3), random(1, 12, 12, 3, seed=1)
    alpha = fragments.alpha.clone().requires_grad_()

    def picture(colour, alpha, background):
        return composite(colour, replace(fragments, alpha=alpha), background, 2)[:, ::2, ::3]

    inputs = (colour.requires_grad_(), alpha, background.requires_grad_())
    assert torch.autograd.gradcheck(picture, inputs)


@pytest.mark.parametrize("reach", [0, 1, 2, None])
@pytest.mark.parametrize("silhouette", ["edge", "soft"])
def test_composition_kernel_and_tensor_version_agree(silhouette, reach):
    settings = RasterSettings(silhouette=silhouette, band=2.5, sigma=4e-3)
    screen, faces = square(batch=3, size=7.0, corner=4.2)
    screen[1] += 100  # nothing in view
    fragments = rasterize(screen, faces, (18, 17), settings=settings)
    cotangent, found = random(3, 18, 17, 3, seed=3), []
    for number in range(2):
        colour, background = random(3, 18, 17, 3, seed=4), random(3, 18, 17, 3, seed=5)
        inputs = [t.clone().requires_grad_() for t in (colour, fragments.alpha, background)]
        if number == 0:
            with_alpha = replace(fragments, alpha=inputs[1])
            picture = composite(inputs[0], with_alpha, inputs[2], reach)
        else:
            colour, alpha, background = inputs
            picture = composite_tensors(colour, fragments.face_index, alpha, background, reach)
        found.append((picture, *torch.autograd.grad(picture, inputs, cotangent)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_without_a_silhouette_the_surface_hides_the_background():
    fragments = replace(wide_fragments(), alpha=None)
    colour, background = random(1, 12, 12, 3), random(1, 12, 12, 3, seed=1)
    expected = torch.where(fragments.mask[..., None], colour, background)
    torch.testing.assert_close(composite(colour, fragments, background), expected)


def test_a_picture_without_a_face_leaves_the_others_alone():
    fragments = wide_fragments()
    empty = replace(
        fragments,
        face_index=torch.full_like(fragments.face_index, -1),
        alpha=torch.full_like(fragments.alpha, 0.3),
    )
    both = Fragments(
        *(
            torch.cat([getattr(part, name) for part in (empty, fragments)])
            for name in ("face_index", "barycentrics", "depth", "alpha")
        )
    )
    colour, background = random(2, 12, 12, 3), random(2, 3)
    picture = composite(colour, both, background)
    torch.testing.assert_close(picture[0], background[0].expand(12, 12, 3))
    torch.testing.assert_close(picture[1:], composite(colour[1:], fragments, background[1:]))


@pytest.mark.parametrize("silhouette", ["edge", "soft"])
@pytest.mark.parametrize("shift", [-1.5, 1.5])
def test_a_difference_of_colours_moves_the_contour(silhouette, shift):
    settings = RasterSettings(silhouette=silhouette, band=2.0, sigma=3e-3)
    screen, faces = square(size=9.3, corner=8.2)
    bright, dark = torch.tensor([0.8, 0.7, 0.6]).double(), torch.tensor([0.1, 0.2, 0.1]).double()

    def picture(screen):
        fragments = rasterize(screen, faces, (26, 26), settings=settings)
        colour = interpolate(fragments, faces, bright.expand(4, 3))
        return composite(colour, fragments, dark, band_width(settings, (26, 26)))

    goal = picture(screen + torch.tensor([shift, 0.0, 0.0], dtype=DOUBLE))
    screen = screen.requires_grad_()
    loss = ((picture(screen) - goal) ** 2).sum()
    (gradient,) = torch.autograd.grad(loss, screen)
    pull = -gradient[0, :, :2].sum(dim=0)
    assert float(pull[0] * shift) > 0
    assert abs(float(pull[1])) < 0.2 * abs(float(pull[0]))
    moved = screen + 0.2 * torch.nn.functional.normalize(-gradient, dim=-1)
    assert ((picture(moved) - goal) ** 2).sum() < loss


@pytest.mark.parametrize(
    "settings",
    [
        RasterSettings(silhouette="soft"),
        RasterSettings(silhouette="soft", sigma=2e-3),
        RasterSettings(silhouette="edge", band=1.0),
        RasterSettings(silhouette="edge", band=2.5),
        RasterSettings(),
    ],
)
def test_the_band_is_as_wide_as_the_silhouette_reaches(settings):
    screen, faces = square(size=30.4, corner=16.3)
    fragments = rasterize(screen, faces, (64, 64), settings=settings)
    beyond = (fragments.mask if fragments.alpha is None else fragments.alpha > 0)[0, 32]
    columns = torch.nonzero(beyond)[:, 0]
    seen = torch.nonzero(fragments.mask[0, 32])[:, 0]
    reached = int(seen.min() - columns.min())
    assert band_width(settings, (64, 64)) - 1 <= reached <= band_width(settings, (64, 64))


# Encoding


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
