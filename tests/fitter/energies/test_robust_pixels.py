"""The colour distance that counts little what does not fit, against its equation."""

import numpy as np
import pytest
import torch

from fitter.energies.photometric import pixel_l2, robust_pixels
from tests.support.energy_checks import Case, check_batch, check_no_host_synchronisation

BATCH, HEIGHT, WIDTH = 3, 14, 13


def uniform(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


PICTURE, RENDERED = uniform(0, BATCH, HEIGHT, WIDTH, 3), uniform(1, BATCH, HEIGHT, WIDTH, 3)
ALPHA = uniform(2, BATCH, HEIGHT, WIDTH)


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
