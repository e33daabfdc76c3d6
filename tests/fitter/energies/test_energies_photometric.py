"""Photometric energies against their equations as printed."""

import math

import numpy as np
import pytest
import torch

from fitter.energies.photometric import (
    pixel_l2,
    rgb_all_pixels,
    robust_pixels,
    ssim_foreground,
)
from fitter.energies.structural import SsimSettings
from tests.support.energy_checks import (
    Case,
    check_batch,
    check_finite,
    check_gradients,
    check_nan_stays,
    check_no_host_synchronisation,
)
from tests.support.energy_pictures import (
    ALPHA,
    BATCH,
    CONFIDENCE_SUM,
    HEIGHT,
    MASK,
    PICTURE,
    RENDERED,
    WIDTH,
    as_numpy,
    close,
    ssim_as_printed,
)

PLAIN = SsimSettings(stride=1)
CASES = {
    "pixel_l2": Case(
        lambda rendered, alpha, image, total: pixel_l2(image, rendered, alpha, total),
        (RENDERED, ALPHA, PICTURE, CONFIDENCE_SUM),
        free=2,
    ),
    "ssim_foreground": Case(
        lambda rendered, alpha, image: ssim_foreground(image, rendered, alpha),
        (RENDERED, ALPHA, PICTURE),
        free=2,
    ),
    "rgb_all_pixels": Case(
        lambda rendered, image: rgb_all_pixels(image, rendered), (RENDERED, PICTURE)
    ),
}
EACH = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@EACH
def test_gradients_are_those_of_finite_differences(case):
    check_gradients(case)


@EACH
def test_a_batch_is_its_hands_one_by_one(case):
    check_batch(case)


@EACH
def test_nan_stays_in_its_hand(case):
    check_nan_stays(case)


@EACH
def test_no_host_synchronisation(case):
    check_no_host_synchronisation(case)


def test_s2hand_equation_6():
    expected = []
    for image, rendered, mask, total in zip(
        *as_numpy(PICTURE, RENDERED, MASK, CONFIDENCE_SUM), strict=True
    ):
        inside = [
            math.sqrt(((image[row, column] - rendered[row, column]) ** 2).sum())
            for row in range(HEIGHT)
            for column in range(WIDTH)
            if mask[row, column]
        ]
        expected.append(total / len(inside) * sum(inside))
    close(pixel_l2(PICTURE, RENDERED, MASK, CONFIDENCE_SUM), expected)
    close(pixel_l2(PICTURE, RENDERED, MASK > 0, CONFIDENCE_SUM), expected)


def test_s2hand_equation_7():
    expected = [
        1 - ssim_as_printed(image * alpha[..., None], rendered).mean()
        for image, rendered, alpha in zip(*as_numpy(PICTURE, RENDERED, ALPHA), strict=True)
    ]
    close(ssim_foreground(PICTURE, RENDERED, ALPHA, PLAIN), expected)
    close(ssim_foreground(PICTURE, PICTURE * MASK[..., None], MASK > 0), [0.0] * BATCH)


def test_zhao_l_rgb():
    expected = []
    for image, rendered in zip(*as_numpy(PICTURE, RENDERED), strict=True):
        distances = [
            math.sqrt(((image[row, column] - rendered[row, column]) ** 2).sum())
            for row in range(HEIGHT)
            for column in range(WIDTH)
        ]
        total = sum(distances) / (HEIGHT * WIDTH)
        expected.append(total + 1 - ssim_as_printed(image, rendered).mean())
    close(rgb_all_pixels(PICTURE, RENDERED, PLAIN), expected)


@pytest.mark.parametrize("name", ["pixel_l2", "ssim_foreground", "rgb_all_pixels"])
def test_equal_pictures_and_nothing_rendered(name):
    case = CASES[name]
    check_finite(case.at(PICTURE))
    check_finite(case.at(torch.zeros_like(PICTURE)))
    if name != "rgb_all_pixels":
        check_finite(case.at(PICTURE, torch.zeros_like(ALPHA)))
        check_finite(case.at(torch.zeros_like(PICTURE), torch.zeros_like(ALPHA)))


def test_pixel_l2_of_nothing_rendered_is_zero():
    values, gradients = CASES["pixel_l2"].at(RENDERED, torch.zeros_like(ALPHA)).run()
    assert (values == 0).all()
    assert (gradients[0] == 0).all()


def test_robust_pixels_are_the_equation_as_written():
    """Pixel by pixel, in plain numbers; the median is that of every second row and column."""
    scale, weight = 1.5, ALPHA.clone()
    weight[0, 2:9] = 0
    found = robust_pixels(PICTURE, RENDERED, weight, scale)
    for hand in range(BATCH):
        d = np.linalg.norm((PICTURE - RENDERED)[hand].numpy(), axis=-1)
        w = weight[hand].numpy()
        ordered = np.sort(d[::2, ::2][w[::2, ::2] > 0.5])
        s = scale * ordered[(len(ordered) - 1) // 2]
        q = d / s
        expected = (w * s * q / (1 + q)).sum() / w.sum()
        assert found[hand].item() == pytest.approx(expected, rel=1e-12)


def test_robust_pixels_have_the_gradient_of_a_held_scale():
    """Each pixel pulls with `w / (1 + d / s)^2` along its difference."""
    leaf = RENDERED.clone().requires_grad_()
    robust_pixels(PICTURE, leaf, ALPHA, 2.0).sum().backward()
    for hand in range(BATCH):
        difference = (RENDERED - PICTURE)[hand]
        distance = difference.norm(dim=-1)
        chosen = distance[::2, ::2][ALPHA[hand, ::2, ::2] > 0.5].sort().values
        s = 2.0 * chosen[(len(chosen) - 1) // 2]
        pull = ALPHA[hand] / (1 + distance / s) ** 2 / ALPHA[hand].sum()
        expected = pull[..., None] * difference / distance[..., None]
        torch.testing.assert_close(leaf.grad[hand], expected)


def test_robust_pixels_scale_with_the_distances_and_bound_what_is_far_off():
    differences = (RENDERED - PICTURE) / 4
    one, half = (robust_pixels(PICTURE, PICTURE + k * differences, ALPHA, 2.0) for k in (1.0, 0.5))
    torch.testing.assert_close(half, 0.5 * one)
    # A fifth of the pixels goes wrong by more and more: the cost does not follow.
    wrong = torch.zeros(HEIGHT, WIDTH, 1, dtype=torch.float64)
    wrong[3:6] = 1.0
    costs = [
        robust_pixels(PICTURE, PICTURE + differences + far * wrong, ALPHA, 2.0)
        for far in (2.0, 20.0)
    ]
    assert (costs[1] < 1.5 * costs[0]).all()
    plain = [
        pixel_l2(PICTURE, PICTURE + differences + far * wrong, ALPHA, torch.ones(BATCH))
        for far in (2.0, 20.0)
    ]
    assert (plain[1] > 5 * plain[0]).all()


def test_robust_pixels_of_nothing_and_of_no_difference():
    leaf = PICTURE.clone().requires_grad_()
    same = robust_pixels(PICTURE, leaf, ALPHA, 2.0)
    assert (same < 1e-100).all()
    empty = robust_pixels(PICTURE, RENDERED + 0 * leaf, 0 * ALPHA, 2.0)
    assert empty.eq(0).all()
    (same + empty).sum().backward()
    assert leaf.grad.isfinite().all()
    case = Case(
        lambda rendered, image, weight: robust_pixels(image, rendered, weight, 2.0),
        (RENDERED, PICTURE, ALPHA),
    )
    check_batch(case)
    check_no_host_synchronisation(case)
