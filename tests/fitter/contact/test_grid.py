"""The grid of depths of Yu et al., eq. 5."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator
from torch import Tensor

from fitter.contact import DistanceGrid, Surface, signed_distance
from tests.support.contact_meshes import ball, opened, posed
from tests.support.errors import raises


def centres(grid: DistanceGrid) -> list[Tensor]:
    """Of the cells of the first mesh, along each axis."""
    steps = torch.arange(grid.depth.shape[1], dtype=torch.float64) + 0.5
    return [grid.low[0, axis] + grid.cell[0, axis] * steps for axis in range(3)]


def test_the_grid_is_what_the_equation_says_between_cells_trilinear() -> None:
    surface, _ = posed("mano", 1, spread=0.4)
    grid = DistanceGrid.of(surface, 12)
    axes = centres(grid)
    cells = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    exact = signed_distance(cells.view(1, -1, 3), surface).distance.view(12, 12, 12)
    phi = -exact.clamp_max(0)
    assert int((phi > 0).sum()) > 10
    torch.testing.assert_close(grid.depth[0], phi, rtol=0, atol=1e-14)
    generator = np.random.default_rng(0)
    low, high = (np.array([float(axis[end]) for axis in axes]) for end in (0, -1))
    points = generator.uniform(low, high, (400, 3))
    expected = RegularGridInterpolator([axis.numpy() for axis in axes], phi.numpy())(points)
    found = grid.inside_depth(torch.from_numpy(points)[None])[0].numpy()
    assert (expected > 0).sum() > 10
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_the_box_is_padded_so_that_nothing_is_inside_at_its_rim_or_beyond() -> None:
    surface = ball([[0.1, 0.2, 0.3], [0.0, 0.0, 0.0]])
    grid = DistanceGrid.of(surface, 32)
    for axis in range(1, 4):
        assert (grid.depth.select(axis, 0) == 0).all() and (grid.depth.select(axis, -1) == 0).all()
    outward = torch.nn.functional.normalize(surface.vertices[1:], dim=-1)
    far = torch.cat([surface.vertices[:1] + 1.0, 10 * outward])
    assert (grid.inside_depth(far) == 0).all()


def test_depths_in_a_ball_are_those_of_a_sphere_up_to_a_cell() -> None:
    surface = ball([[0.1, 0.2, 0.3]], fineness=4)
    grid = DistanceGrid.of(surface)
    points = surface.vertices.mean(1, keepdim=True) + 0.9 * (
        surface.vertices - surface.vertices.mean(1, keepdim=True)
    )
    found = grid.inside_depth(points)
    assert float((found - 0.002).abs().max()) < float(grid.cell.max())


def test_slopes_by_points_and_by_place_are_those_of_differences() -> None:
    surface, _ = posed("mano", 2)
    generator = torch.Generator().manual_seed(0)
    points = 0.9 * surface.vertices + 0.1 * surface.vertices.mean(1, keepdim=True)
    points = points[:, ::7].clone().requires_grad_()
    vertices = surface.vertices.clone().requires_grad_()
    cotangent = torch.randn(points.shape[:2], generator=generator, dtype=torch.float64)

    def value(points: Tensor, vertices: Tensor) -> Tensor:
        grid = DistanceGrid.of(Surface(vertices, surface.faces), 16)
        return (cotangent * grid.inside_depth(points)).sum()

    by_points, by_mesh = torch.autograd.grad(value(points, vertices), (points, vertices))
    step = torch.randn(points.shape, generator=generator, dtype=torch.float64)
    ends = [value(points.detach() + sign * 1e-8 * step, vertices.detach()) for sign in (1, -1)]
    assert float((by_points * step).sum()) == pytest.approx(float(ends[0] - ends[1]) / 2e-8, 1e-5)
    push = torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64)
    ends = [value(points.detach(), vertices.detach() + sign * 1e-8 * push) for sign in (1, -1)]
    assert float((by_mesh * push).sum()) == pytest.approx(float(ends[0] - ends[1]) / 2e-8, 1e-5)


def test_a_mesh_that_is_not_finite_is_not_known_and_the_others_are() -> None:
    surface = ball([[0.0, 0, 0]] * 2, fineness=2)
    inside = 0.8 * surface.vertices
    whole = DistanceGrid.of(surface).inside_depth(inside)
    surface.vertices[0, 0, 0] = torch.nan
    found = DistanceGrid.of(surface).inside_depth(inside)
    assert found[0].isnan().all()
    assert torch.equal(found[1], whole[1]) and (found[1] > 0).all()


def test_what_has_no_grid_is_refused() -> None:
    surface = ball([[0.0, 0, 0]], fineness=0)
    with pytest.raises(ValueError, match="at least 2 cells"):
        DistanceGrid.of(surface, 1)
    with raises("contact.open"):
        DistanceGrid.of(Surface(surface.vertices, opened(surface.faces, [0])))
