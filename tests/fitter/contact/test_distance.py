"""Exact signed distances: against what is known, against the twin, against trimesh."""

from __future__ import annotations

import pytest
import torch

from fitter.contact import Surface, signed_distance, signed_distance_reference
from tests.support.contact_meshes import box, posed

BOTH = pytest.mark.parametrize("measure", [signed_distance, signed_distance_reference])


def around(surface: Surface, count: int, seed: int = 0, spread: float = 0.004) -> torch.Tensor:
    """Points (B, count, 3) about the vertices of meshes, inside and outside."""
    generator = torch.Generator().manual_seed(seed)
    batch, vertices = surface.vertices.shape[:2]
    index = torch.randint(vertices, (count,), generator=generator)
    noise = torch.randn(batch, count, 3, generator=generator, dtype=torch.float64)
    return surface.vertices[:, index] + spread * noise


@BOTH
def test_distances_of_a_box_are_those_of_its_formula(measure) -> None:
    surface = box((0.02, 0.04, 0.06), (0.1, -0.2, 0.3))
    half = torch.tensor([0.01, 0.02, 0.03], dtype=torch.float64)
    centre = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    offsets = 1.6 * half * (2 * torch.rand(400, 3, generator=generator, dtype=torch.float64) - 1)
    beyond = offsets.abs() - half
    expected = beyond.clamp_min(0).norm(dim=-1) + beyond.amax(-1).clamp_max(0)
    found = measure((centre + offsets)[None], surface)
    assert 40 < int((expected < 0).sum()) < 360
    torch.testing.assert_close(found.distance[0], expected, rtol=0, atol=1e-15)


def test_kernel_and_twin_agree_on_hands_of_every_model() -> None:
    for name in ("open_hand", "mano"):
        surface, _ = posed(name, 2, spread=0.4)
        points = around(surface, 300)
        generator = torch.Generator().manual_seed(3)
        cotangent = torch.randn(points.shape[:2], generator=generator, dtype=torch.float64)
        results = []
        for measure in (signed_distance, signed_distance_reference):
            free = [x.clone().requires_grad_() for x in (points, surface.vertices)]
            found = measure(free[0], Surface(free[1], surface.faces))
            results.append((found, torch.autograd.grad((cotangent * found.distance).sum(), free)))
        (kernel, slopes), (twin, twin_slopes) = results
        assert 30 < int((kernel.distance < 0).sum()) < 570
        torch.testing.assert_close(kernel.distance, twin.distance, rtol=0, atol=1e-13)
        torch.testing.assert_close(kernel.closest, twin.closest, rtol=0, atol=1e-9)
        for one, other in zip(slopes, twin_slopes, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-7)
