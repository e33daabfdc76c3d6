"""Textures per pixel: against the light's equations, by finite differences, on degenerate input."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fitter.hand_models import load_appearance, load_hand_model
from fitter.hand_models.appearance import SurfaceMaps, retouched
from fitter.hand_models.uv_atlas import unwrap
from fitter.raster import Fragments, rasterize
from fitter.rendering.shading import (
    AmbientDirectionalLight,
    SphericalHarmonicsLight,
    texture_colours,
    vertex_normals,
)
from fitter.rendering.textured import (
    SHININESS,
    Surface,
    TexturedFaces,
    mapped_normals,
    shade,
    uv_tangents,
)
from tests.support.shading_cases import DOUBLE, random, rng, unit

SIDE = 12
UV = torch.tensor([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]], dtype=DOUBLE)
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])
"""Of a square seen from the camera (y down): counter-clockwise from outside, so that v is up."""


def mesh(uv: Tensor = UV) -> TexturedFaces:
    return TexturedFaces(FACES, uv, FACES)


def square(batch: int = 1) -> Tensor:
    """(B, 4, 3) metres: a square before the camera, facing it, corners in the order of `UV`."""
    corners = torch.tensor([[-1, 1], [1, 1], [1, -1], [-1, -1]], dtype=DOUBLE)
    points = torch.cat([corners, torch.full((4, 1), 5.0, dtype=DOUBLE)], 1).repeat(batch, 1, 1)
    return points + 0.05 * torch.randn(points.shape, generator=rng(4), dtype=DOUBLE) * (batch > 1)


def seen(vertices: Tensor) -> Fragments:
    focal = 0.4 * SIDE * 5
    pixels = focal * vertices[..., :2] / vertices[..., 2:] + SIDE / 2
    return rasterize(torch.cat([pixels, vertices[..., 2:]], -1), FACES, (SIDE, SIDE))


def sun(batch: int = 1) -> AmbientDirectionalLight:
    vector = torch.cat([random(batch, 8, seed=5), unit(batch, seed=6)], dim=1)
    vector[:, 10] = -1.0
    return AmbientDirectionalLight.of(vector)


def sky(batch: int = 1) -> SphericalHarmonicsLight:
    return SphericalHarmonicsLight(random(batch, 9, 3, seed=7))


def flat_maps(batch: int, size: int = 5, **changes: Tensor | None) -> SurfaceMaps:
    upright = torch.zeros(batch, size, size, 3, dtype=DOUBLE)
    upright[..., 2] = 1
    maps = SurfaceMaps(random(batch, size, size, 3, seed=8), upright, None)
    return replace(maps, **changes)


@pytest.mark.parametrize("light", [sun(2), sky(2)], ids=["sun", "sky"])
def test_colours_alone_are_the_texture_times_the_light(light) -> None:
    vertices = square(2)
    fragments = seen(vertices)
    maps = flat_maps(2, normal=None)
    found = shade(Surface(mesh(), vertices, maps), fragments, light)
    colour = texture_colours(fragments, UV, FACES, maps.diffuse)
    irradiance = light.irradiance(vertex_normals(vertices, FACES))
    # The light is interpolated from corner to corner.
    weights = (
        fragments.barycentrics[..., None]
        * irradiance[
            torch.arange(2)[:, None, None, None], FACES[fragments.face_index.clamp_min(0).long()]
        ]
    ).sum(-2)
    torch.testing.assert_close(found, colour * weights)
    assert fragments.mask.any() and not found[~fragments.mask].any()


@pytest.mark.parametrize("light", [sun(), sky()], ids=["sun", "sky"])
def test_a_flat_normal_map_changes_nothing(light) -> None:
    vertices = square()
    with_map, without = (
        shade(Surface(mesh(), vertices, maps), seen(vertices), light)
        for maps in (flat_maps(1), flat_maps(1, normal=None))
    )
    torch.testing.assert_close(with_map, without)


@pytest.mark.parametrize(
    "uv", [UV, UV.flip(1), 1 - UV], ids=["upright", "transposed", "turned by half a turn"]
)
def test_a_normal_map_leans_along_the_texture(uv) -> None:
    """A map that leans by 45 degrees along u (or v) turns the normal along u (or v) on the mesh."""
    vertices = square()
    normals = vertex_normals(vertices, FACES)
    torch.testing.assert_close(normals[0, 0], torch.tensor([0, 0, -1.0], dtype=DOUBLE))
    tangents = uv_tangents(vertices, mesh(uv))
    half = math.sqrt(0.5)
    for axis, lean in ((0, [half, 0, half]), (1, [0, half, half])):
        found = mapped_normals(normals, tangents, torch.tensor(lean, dtype=DOUBLE))[0, 0]
        # Moving along the found direction must raise this coordinate of the texture alone.
        step = torch.linalg.lstsq(vertices[0, :3] - vertices[0, 3], uv[:3] - uv[3]).solution
        raised = found @ step
        assert raised[axis] > 0.1 and abs(raised[1 - axis]) < 1e-9
        assert found[2] == pytest.approx(-half)


def test_a_mirror_shows_the_light_where_it_is() -> None:
    """A tilted mirror that reflects the line of sight into the sun shows its whole lobe."""
    vertices = square()
    maps = flat_maps(1, diffuse=torch.zeros(1, 5, 5, 3, dtype=DOUBLE))
    maps = replace(maps, specular=torch.full((1, 5, 5, 1), 0.5, dtype=DOUBLE))
    tilt = 0.3
    lean = torch.tensor([math.sin(tilt), 0, math.cos(tilt)], dtype=DOUBLE)
    maps = replace(maps, normal=lean.expand(1, 5, 5, 3))
    fragments = seen(vertices)
    middle = (0, SIDE // 2, SIDE // 2)
    at = torch.tensor([0.5, 0.5]).double() * 5 / (0.4 * SIDE * 5)
    sight = torch.nn.functional.normalize(torch.tensor([*at, 5.0], dtype=DOUBLE), dim=0)
    normal = torch.tensor([math.sin(tilt), 0, -math.cos(tilt)], dtype=DOUBLE)
    mirrored = sight - 2 * (sight @ normal) * normal
    colour = torch.tensor([1.0, 2.0, 3.0], dtype=DOUBLE)
    none = torch.zeros(3, dtype=DOUBLE)
    full = AmbientDirectionalLight(mirrored, colour, none)
    found = shade(Surface(mesh(), vertices, maps), fragments, full)[middle]
    torch.testing.assert_close(found, 0.5 * (SHININESS + 1) / 2 * colour)
    away = AmbientDirectionalLight(-mirrored, colour, none)
    assert not shade(Surface(mesh(), vertices, maps), fragments, away)[middle].any()


@pytest.mark.parametrize("light", [sun(), sky()], ids=["sun", "sky"])
@pytest.mark.parametrize("shininess", [1.0, 3.0, SHININESS])
def test_a_reflection_is_the_mean_over_its_lobe(light, shininess) -> None:
    """By quadrature over the sphere, of the radiance that the light stands for."""
    direction = unit(1, seed=9)
    count = 200_000
    height = 1 - (torch.arange(count, dtype=DOUBLE) + 0.5) * 2 / count
    angle = math.pi * (1 + math.sqrt(5)) * torch.arange(count, dtype=DOUBLE)
    ring = (1 - height * height).sqrt()
    sphere = torch.stack([ring * angle.cos(), ring * angle.sin(), height], 1)
    lobe = (sphere @ direction[0]).clamp_min(0) ** shininess
    lobe = lobe * (shininess + 1) / (2 * math.pi) * (4 * math.pi / count)
    if isinstance(light, SphericalHarmonicsLight):
        x, y, z = sphere.unbind(1)
        one = torch.ones_like(x)
        pi = math.pi
        basis = torch.stack(
            [
                *(math.sqrt(1 / (4 * pi)) * one, math.sqrt(3 / (4 * pi)) * y),
                *(math.sqrt(3 / (4 * pi)) * z, math.sqrt(3 / (4 * pi)) * x),
                *(math.sqrt(15 / (4 * pi)) * x * y, math.sqrt(15 / (4 * pi)) * y * z),
                math.sqrt(5 / (16 * pi)) * (3 * z * z - 1),
                *(math.sqrt(15 / (4 * pi)) * x * z, math.sqrt(15 / (16 * pi)) * (x * x - y * y)),
            ],
            1,
        )
        expected = lobe @ (basis @ light.coefficients[0])
    else:
        sun_at = torch.nn.functional.normalize(light.direction[0], dim=0)
        cosine = (direction[0] @ sun_at).clamp_min(0)
        direct = (shininess + 1) / 2 * cosine**shininess * light.diffuse[0]
        expected = direct + lobe.sum() * light.ambient[0]
    found = light.reflection(direction[None], shininess)[0, 0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("light", [sun(2), sky(2)], ids=["sun", "sky"])
def test_gradients_are_those_of_finite_differences(light) -> None:
    """By texture, normal map, specular map, added colours, light and vertices, seen faces held."""
    lean = torch.tensor([0.2, -0.1, 1.0], dtype=DOUBLE)
    leaves = [
        random(2, 4, 4, 3, seed=1),
        lean + 0.2 * random(2, 4, 4, 3, seed=2),
        random(2, 4, 4, 1, seed=3),
        random(2, 4, 3, seed=4),
        square(2),
        *(vars(light).values()),
    ]
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    kind = type(light)

    def run(diffuse, normal, specular, added, vertices, *lamp):
        fragments = seen(vertices)
        surface = Surface(mesh(), vertices, SurfaceMaps(diffuse, normal, specular), added)
        return shade(surface, fragments, kind(*lamp))

    assert torch.autograd.gradcheck(run, leaves, fast_mode=True, atol=1e-5)


def test_what_has_no_area_in_the_texture_keeps_the_normals_of_the_mesh() -> None:
    vertices = square()
    one_point = torch.full_like(UV, 0.5)
    lean = torch.tensor([0.6, 0.0, 0.8], dtype=DOUBLE).expand(1, 5, 5, 3)
    maps = flat_maps(1, normal=lean, specular=random(1, 5, 5, 3, seed=2))
    for uv, points in ((one_point, vertices), (UV, torch.zeros_like(vertices))):
        leaves = [x.clone().requires_grad_() for x in (points, maps.diffuse, maps.normal)]
        surface = Surface(mesh(uv), leaves[0], SurfaceMaps(*leaves[1:], maps.specular))
        found = shade(surface, seen(vertices), sun())
        found.sum().backward()
        assert found.isfinite().all() and all(leaf.grad.isfinite().all() for leaf in leaves)
    flat = shade(Surface(mesh(one_point), vertices, flat_maps(1)), seen(vertices), sun())
    leant = shade(
        Surface(mesh(one_point), vertices, flat_maps(1, normal=lean)), seen(vertices), sun()
    )
    torch.testing.assert_close(flat, leant)


def test_a_batch_is_its_hands_one_by_one() -> None:
    vertices, light = square(3), sky(3)
    maps = flat_maps(3, specular=random(3, 5, 5, 1, seed=2))
    together = shade(Surface(mesh(), vertices, maps), seen(vertices), light)
    for k in range(3):
        part = slice(k, k + 1)
        own = SurfaceMaps(*(value[part] for value in vars(maps).values()))
        alone = shade(
            Surface(mesh(), vertices[part], own),
            seen(vertices[part]),
            SphericalHarmonicsLight(light.coefficients[part]),
        )
        torch.testing.assert_close(together[part], alone)


def test_another_atlas_with_the_same_colours_gives_the_same_picture() -> None:
    """One colour everywhere, in the open hand's atlas and in the one that is made for it."""
    model = load_hand_model(dtype=DOUBLE)
    atlas = unwrap(model.data)
    skin = load_appearance(model.data, DOUBLE)
    colour = skin.texture_mean.sigmoid().mean((0, 1)).expand(1, 32, 32, 3)
    vertices = model.v_template[None] + torch.tensor([0.07, 0.0, 0.5])
    pixels = 300 * vertices[..., :2] / vertices[..., 2:] + 32
    screen = torch.cat([pixels, vertices[..., 2:]], -1)
    fragments = rasterize(screen, model.faces, (64, 64))
    own = TexturedFaces.of(model.data, vertices)
    other = TexturedFaces(own.faces, torch.from_numpy(atlas.uv), torch.from_numpy(atlas.faces))
    first, second = (
        shade(Surface(faces, vertices, SurfaceMaps(colour)), fragments, sky())
        for faces in (own, other)
    )
    assert fragments.mask.sum() > 300
    torch.testing.assert_close(first, second)
    with pytest.raises(ValueError, match="no texture coordinates"):
        TexturedFaces.of(replace(model.data, layout=None), vertices)


def test_retouching_moves_logits() -> None:
    reflectance = random(2, 4, 4, 3, seed=1).requires_grad_()
    change = (4 * random(2, 4, 4, 3, seed=2) - 2).requires_grad_()
    torch.testing.assert_close(
        retouched(reflectance, change), torch.sigmoid(reflectance.logit() + change)
    )
    assert torch.autograd.gradcheck(retouched, (reflectance, change), fast_mode=True)
    ends = torch.tensor([0.0, 1.0, 0.3], dtype=DOUBLE)
    for size in (0.0, 30.0, -30.0):
        found = retouched(ends, torch.full_like(ends, size))
        assert found[:2].tolist() == [0.0, 1.0] and 0 < found[2] < 1
    torch.testing.assert_close(retouched(ends, torch.zeros_like(ends)), ends)
