"""Composition of a rendered surface with a background: colours beyond the contour, gradients."""

from dataclasses import replace

import pytest
import torch

from fitter.raster import RasterSettings, rasterize
from fitter.raster.types import Fragments
from fitter.rendering.composition import composite_tensors
from fitter.rendering.shading import (
    band_width,
    composite,
    interpolate,
)
from tests.support.shading_cases import DOUBLE, random, square


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
