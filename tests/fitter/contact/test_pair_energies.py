"""Penetration and attraction of two meshes."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from fitter.contact import (
    Contacts,
    DistanceGrid,
    Surface,
    attraction,
    contacts,
    penetration,
    signed_distance,
)
from fitter.contact.found import find_compiled
from fitter.contact.reference import find_reference
from tests.support.contact_meshes import ball, opened, posed
from tests.support.errors import raises

FORMS = ("printed", "squared", "grid")
ENERGIES = {form: partial(penetration, form=form) for form in FORMS} | {
    "attraction": partial(attraction, reach=0.006)
}
REACH = 0.006


def pair(batch: int = 2) -> tuple[Surface, Surface]:
    """Hands of two models, in each other."""
    return posed("open_hand", batch)[0], posed("mano", batch, seed=1)[0]


def depths(one: Surface, other: Surface) -> np.ndarray:
    return signed_distance(one.vertices, other).distance.numpy()


def test_equation_6_is_as_printed() -> None:
    first, second = pair()
    expected = np.zeros(2)
    for hand in range(2):
        for one, other in ((first, second), (second, first)):
            inside = [-d for d in depths(one, other)[hand] if d < 0]
            assert len(inside) > 20
            expected[hand] += sum(inside) / len(inside)
    np.testing.assert_allclose(penetration(first, second).numpy(), expected, rtol=1e-12)


def test_the_squared_form_and_attraction_are_as_documented() -> None:
    first, second = pair()
    squared, pulled = np.zeros(2), np.zeros(2)
    for one, other in ((first, second), (second, first)):
        distance = depths(one, other)
        squared += (np.minimum(distance, 0) ** 2).mean(1)
        gap = np.clip(distance, 0, REACH) / REACH
        biweight = REACH**2 / 6 * (1 - (1 - gap**2) ** 3)
        pulled += (biweight - REACH**2 / 6).mean(1)
    found = penetration(first, second, "squared").numpy()
    np.testing.assert_allclose(found, squared, rtol=1e-12)
    np.testing.assert_allclose(attraction(first, second, REACH).numpy(), pulled, rtol=1e-12)


def test_the_form_of_the_grid_is_equation_6_with_phi_of_equation_5() -> None:
    first, second = pair(1)
    expected = 0.0
    for one, other in ((first, second), (second, first)):
        phi = DistanceGrid.of(other).inside_depth(one.vertices)
        expected += float(phi[phi > 0].mean())
    assert float(penetration(first, second, "grid")) == pytest.approx(expected, rel=1e-12)
    exact = float(penetration(first, second))
    assert 0.5 * exact < expected < exact


@pytest.mark.parametrize("name", ENERGIES)
def test_meshes_that_are_apart_have_no_energy_and_no_slope(name: str) -> None:
    first, second = ball([[0.0, 0, 0]]), ball([[0.05, 0, 0]])
    free = [mesh.vertices.clone().requires_grad_() for mesh in (first, second)]
    value = ENERGIES[name](*(Surface(v, first.faces) for v in free))
    assert value.tolist() == [0.0]
    for slope in torch.autograd.grad(value.sum(), free):
        assert (slope == 0).all()


def test_balls_that_touch_in_one_point_are_not_in_each_other() -> None:
    """Their poles are vertices of the meshes."""
    first, second = ball([[0.0, 0, 0]]), ball([[0.0, 0, 0]])
    axis = torch.nn.functional.normalize(first.vertices[0, 0], dim=0)
    for apart, inside in ((0.04, 0), (0.04 - 1e-6, 2), (0.04 + 1e-6, 0)):
        other = Surface(second.vertices + apart * axis, second.faces)
        free = [mesh.vertices.clone().requires_grad_() for mesh in (first, other)]
        meshes = [Surface(v, first.faces) for v in free]
        value = penetration(*meshes)
        assert value.item() == pytest.approx(inside * 1e-6, rel=0.01, abs=1e-15)
        assert all(s.isfinite().all() for s in torch.autograd.grad(value.sum(), free))


def test_a_ball_inside_another_is_as_deep_as_it_is() -> None:
    small, large = ball([[0.005, 0, 0]], radius=0.01), ball([[0.0, 0, 0]], radius=0.03, fineness=4)
    expected = float((0.03 - small.vertices.norm(dim=-1)).mean())
    # None of the large ball's vertices is in the small one.
    assert float(penetration(small, large)) == pytest.approx(expected, rel=5e-3)
    assert len(contacts(large, small, 0.0).gap) == 0


@pytest.mark.parametrize("name", ENERGIES)
def test_slopes_are_those_of_central_differences(name: str) -> None:
    """By both meshes; of a grid by the points and by where the meshes are."""
    generator = torch.Generator().manual_seed(0)
    first, second = pair()
    cotangent = torch.randn(2, generator=generator, dtype=torch.float64)
    free = [mesh.vertices.clone().requires_grad_() for mesh in (first, second)]

    def value(*vertices: Tensor) -> Tensor:
        meshes = (Surface(v, m.faces) for v, m in zip(vertices, (first, second), strict=True))
        return (cotangent * ENERGIES[name](*meshes)).sum()

    slopes = torch.autograd.grad(value(*free), free)
    for place in range(2):
        shape = (2, 1, 3) if name == "grid" else free[place].shape
        step = torch.randn(shape, generator=generator, dtype=torch.float64)
        moved = []
        for sign in (1, -1):
            vertices = [x.detach().clone() for x in free]
            vertices[place] += sign * 1e-9 * step
            moved.append(float(value(*vertices)))
        expected = (moved[0] - moved[1]) / 2e-9
        assert float((slopes[place] * step).sum()) == pytest.approx(expected, rel=1e-3)


def test_the_smooth_forms_are_so_where_vertices_go_in_and_the_printed_one_is_not() -> None:
    first, second = ball([[0.0, 0, 0]]), ball([[0.0, 0, 0]])
    places = torch.linspace(0.034, 0.041, 400, dtype=torch.float64)
    moved = Surface(second.vertices + places[:, None, None] * torch.eye(3)[0], second.faces)
    still = Surface(first.vertices.expand(400, -1, -1), first.faces)
    jumps = {}
    for name in ("printed", "squared", "attraction"):
        values = ENERGIES[name](still, moved)
        jumps[name] = float(values.diff().abs().max() / (values.max() - values.min()))
    assert jumps["squared"] < 0.02 and jumps["attraction"] < 0.02 < jumps["printed"]


@pytest.mark.parametrize("name", ENERGIES)
def test_a_batch_is_its_pairs_alone_and_one_that_is_not_finite_hurts_no_other(name: str) -> None:
    first, second = pair(3)
    values = ENERGIES[name](first, second)
    for b in range(3):
        alone = [Surface(mesh.vertices[b : b + 1], mesh.faces) for mesh in (first, second)]
        assert torch.equal(ENERGIES[name](*alone), values[b : b + 1])
    for which in range(2):
        vertices = [mesh.vertices.clone() for mesh in (first, second)]
        vertices[which][1] = torch.nan
        free = [v.requires_grad_() for v in vertices]
        found = ENERGIES[name](Surface(free[0], first.faces), Surface(free[1], second.faces))
        assert found.isnan().tolist() == [False, True, False]
        assert torch.equal(found[[0, 2]].detach(), values[[0, 2]])
        for slope in torch.autograd.grad(found.sum(), free):
            assert slope[[0, 2]].isfinite().all() and (slope[[0, 2]] != 0).any()


@pytest.mark.parametrize("name", ENERGIES)
@pytest.mark.parametrize("which", [0, 1])
def test_what_pairs_share_has_the_slope_of_the_finite_ones(name: str, which: int) -> None:
    first, second = pair()
    slopes = []
    for broken in (False, True):
        shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        vertices = [first.vertices.clone(), second.vertices.clone()]
        if broken:
            vertices[which][1, 0, 0] = torch.nan
        moved = Surface(vertices[1] + shift, second.faces)
        value = ENERGIES[name](Surface(vertices[0], first.faces), moved)
        assert value.isnan().tolist() == [False, broken]
        slopes.append(torch.autograd.grad(value[0], shift)[0])
    assert (slopes[0] != 0).all() and torch.equal(slopes[0], slopes[1])


def test_contacts_found_by_kernel_and_twin_are_the_same() -> None:
    first, second = pair()
    for reach in (0.0, REACH):
        found: list[Contacts] = [
            contacts(first, second, reach, search) for search in (find_compiled, find_reference)
        ]
        assert torch.equal(found[0].pair, found[1].pair)
        assert torch.equal(found[0].vertex, found[1].vertex)
        torch.testing.assert_close(found[0].gap, found[1].gap, rtol=0, atol=1e-13)
        torch.testing.assert_close(found[0].normal, found[1].normal, rtol=0, atol=1e-6)


def test_contacts_are_the_vertices_inside_and_those_within_reach() -> None:
    first, second = pair()
    near = contacts(first, second, REACH)
    distance = signed_distance(first.vertices, second)
    pairs, vertices = (distance.distance <= REACH).nonzero(as_tuple=True)
    assert torch.equal(near.pair, pairs) and torch.equal(near.vertex, vertices)
    assert torch.equal(near.gap, distance.distance[pairs, vertices])
    assert torch.equal(second.faces[near.face], near.corners)
    ends = second.vertices[near.pair[:, None], near.corners]
    place = (near.barycentrics[..., None] * ends).sum(1)
    reached = first.vertices[pairs, vertices] - near.gap[:, None] * near.normal
    torch.testing.assert_close(place, reached, rtol=0, atol=1e-12)
    inside = near.where(near.inside)
    assert len(inside.gap) == int((distance.distance < 0).sum()) < len(near.gap)


def test_nothing_other_forms_and_open_meshes() -> None:
    first, second = ball([[0.0, 0, 0]], fineness=0), ball([[0.01, 0, 0]], fineness=0)
    none = Surface(first.vertices[:0], first.faces)
    for energy in ENERGIES.values():
        assert energy(none, none).shape == (0,)
    with pytest.raises(ValueError, match="form must be one of printed"):
        penetration(first, second, "cubed")
    with pytest.raises(ValueError, match="reach must be positive"):
        attraction(first, second, 0.0)
    bad = Surface(second.vertices, opened(second.faces, [0]))
    for energy in ENERGIES.values():
        with raises("contact.open"):
            energy(first, bad)
