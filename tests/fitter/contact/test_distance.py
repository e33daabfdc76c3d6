"""Exact signed distances: against formulas, the twin, another library, and their own slopes."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
import trimesh
from torch import Tensor

from fitter.contact import Surface, closed, signed_distance, signed_distance_reference
from tests.support.contact_meshes import ball, box, hand, opened, posed
from tests.support.errors import raises

BOTH = pytest.mark.parametrize("measure", [signed_distance, signed_distance_reference])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def around(surface: Surface, count: int, spread: float = 0.004) -> Tensor:
    """Points (B, count, 3) about the vertices of meshes, inside and outside."""
    batch, vertices = surface.vertices.shape[:2]
    index = torch.randint(vertices, (count,), generator=torch.Generator().manual_seed(1))
    return surface.vertices[:, index] + spread * random(batch, count, 3)


def joined(*parts: Surface) -> Surface:
    """One mesh of several, which may overlap."""
    counts = [part.vertices.shape[1] for part in parts]
    faces = [part.faces + sum(counts[:place]) for place, part in enumerate(parts)]
    return Surface(torch.cat([part.vertices for part in parts], 1), torch.cat(faces))


@BOTH
def test_distances_of_a_box_are_those_of_its_formula(measure) -> None:
    surface = box((0.02, 0.04, 0.06), (0.1, -0.2, 0.3))
    half = torch.tensor([0.01, 0.02, 0.03], dtype=torch.float64)
    centre = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    shares = 2 * torch.rand(400, 3, generator=generator, dtype=torch.float64) - 1
    offsets = 1.6 * half * shares
    beyond = offsets.abs() - half
    expected = beyond.clamp_min(0).norm(dim=-1) + beyond.amax(-1).clamp_max(0)
    found = measure((centre + offsets)[None], surface)
    assert 40 < int((expected < 0).sum()) < 360
    torch.testing.assert_close(found.distance[0], expected, rtol=0, atol=1e-15)


@BOTH
def test_distances_of_balls_are_those_of_spheres_up_to_their_facets(measure) -> None:
    surface = ball([[0.0, 0, 0], [0.3, 0.1, 0.5]], radius=0.02, fineness=3)
    centre = torch.tensor([[0.0, 0, 0], [0.3, 0.1, 0.5]], dtype=torch.float64)
    found = measure(centre[:, None] + 0.015 * random(2, 200, 3), surface)
    expected = 0.015 * random(2, 200, 3).norm(dim=-1) - 0.02
    facets = 0.02 - signed_distance(centre[:, None], surface).distance.abs().min()
    assert 0 < facets < 2e-4
    assert ((found.distance - expected) >= -1e-12).all()
    assert ((found.distance - expected) <= facets + 1e-12).all()


def test_kernel_and_twin_agree_on_hands_of_two_models() -> None:
    for name in ("open_hand", "mano"):
        surface, _ = posed(name, 2, spread=0.4)
        points = around(surface, 300)
        cotangent = random(2, 300, seed=2)
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


def test_distances_are_those_of_trimesh() -> None:
    surface, _ = posed("mano", 1, spread=0.4)
    points = around(surface, 60)
    mesh = trimesh.Trimesh(surface.vertices[0].numpy(), surface.faces.numpy(), process=False)
    closest, distance, _ = trimesh.proximity.closest_point_naive(mesh, points[0].numpy())
    found = signed_distance(points, surface)
    torch.testing.assert_close(
        found.distance[0].abs(), torch.from_numpy(distance), rtol=0, atol=1e-12
    )
    torch.testing.assert_close(found.closest[0], torch.from_numpy(closest), rtol=0, atol=1e-9)


@BOTH
def test_a_point_in_two_parts_that_overlap_is_inside(measure) -> None:
    """As in the creases of a palm, where crossings counted without their signs cancel."""
    surface = joined(ball([[0.0, 0, 0]]), ball([[0.01, 0, 0]]))
    points = torch.tensor([[[0.005, 0, 0], [-0.015, 0, 0], [0.025, 0, 0], [0.05, 0, 0]]]).double()
    distance = measure(points, surface).distance[0]
    assert (distance < 0).tolist() == [True, True, True, False]
    assert distance[3] == pytest.approx(0.02, abs=2e-4)


@BOTH
def test_rays_through_vertices_and_edges_are_counted_once(measure) -> None:
    """Points below and above the vertices and the middles of the edges of a ball."""
    surface = ball([[0.0, 0, 0]], fineness=2)
    places = surface.vertices[0]
    middles = 0.5 * (places[surface.faces[:, 0]] + places[surface.faces[:, 1]])
    points = torch.cat([places, middles]).repeat(3, 1, 1)
    points[..., 2] = torch.tensor([-0.03, 0.0, 0.03], dtype=torch.float64)[:, None]
    beside = points[..., :2].norm(dim=-1)
    clear = (points.norm(dim=-1) - 0.02).abs() > 1e-3
    whole = Surface(surface.vertices.expand(3, -1, -1), surface.faces)
    inside = measure(points, whole).distance < 0
    expected = (points[..., 2] == 0) & (beside < 0.02)
    assert torch.equal(inside[clear], expected[clear])


@BOTH
def test_slopes_are_those_of_central_differences(measure) -> None:
    surface = posed("mano", 1)[0]
    points, cotangent = around(surface, 40), random(1, 40, seed=3)
    directions = random(*points.shape, seed=4), random(*surface.vertices.shape, seed=5)

    def value(points: Tensor, vertices: Tensor) -> Tensor:
        return (cotangent * measure(points, Surface(vertices, surface.faces)).distance).sum()

    free = [points.requires_grad_(), surface.vertices.clone().requires_grad_()]
    slopes = torch.autograd.grad(value(*free), free)
    for place in range(2):
        moved = []
        for sign in (1, -1):
            inputs = [x.detach().clone() for x in free]
            inputs[place] += sign * 1e-7 * directions[place]
            moved.append(value(*inputs))
        expected = (moved[0] - moved[1]) / 2e-7
        assert float((slopes[place] * directions[place]).sum()) == pytest.approx(
            float(expected), rel=1e-6
        )


def test_slopes_pass_gradcheck() -> None:
    surface = ball([[0.0, 0, 0], [0.01, 0, 0]], fineness=0)
    points = (0.02 * random(2, 6, 3, seed=6)).requires_grad_()
    vertices = surface.vertices.clone().requires_grad_()
    torch.autograd.gradcheck(
        lambda p, v: signed_distance(p, Surface(v, surface.faces)).distance, (points, vertices),
        eps=1e-8, atol=1e-6,
    )  # fmt: skip


@BOTH
def test_on_the_surface_the_distance_is_none_and_its_slope_the_normal(measure) -> None:
    surface = ball([[0.0, 0, 0]], fineness=1)
    corners = surface.vertices[0, surface.faces]
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    points = (weights[:, None] * corners).sum(1)[None].requires_grad_()
    found = measure(points, surface)
    assert float(found.distance.detach().abs().max()) < 1e-15
    torch.testing.assert_close(
        found.barycentrics[0], weights.expand(len(corners), 3), rtol=0, atol=1e-12
    )
    (slope,) = torch.autograd.grad(found.distance.sum(), points)
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    torch.testing.assert_close(slope[0], torch.nn.functional.normalize(normal, dim=-1))


@BOTH
def test_triangles_of_no_area_change_nothing(measure) -> None:
    """An edge split in its middle, with a flat triangle between the halves."""
    surface = ball([[0.0, 0, 0]], fineness=1)
    a, b, c = surface.faces[0].tolist()
    middle = 0.5 * (surface.vertices[:, a] + surface.vertices[:, b])
    new = surface.vertices.shape[1]
    faces = torch.tensor([[a, new, c], [new, b, c], [a, b, new]])
    split = Surface(
        torch.cat([surface.vertices, middle[:, None]], 1), torch.cat([faces, surface.faces[1:]])
    )
    points = around(surface, 200, spread=0.01)
    found, expected = measure(points, split), measure(points, surface)
    torch.testing.assert_close(found.distance, expected.distance, rtol=0, atol=1e-14)


@BOTH
def test_a_mesh_that_is_one_point_is_that_far_away(measure) -> None:
    surface = ball([[0.0, 0, 0]], fineness=0)
    point = Surface(torch.full_like(surface.vertices, 0.1).requires_grad_(), surface.faces)
    points = random(1, 20, 3)
    found = measure(points, point)
    torch.testing.assert_close(found.distance.detach(), (points - 0.1).norm(dim=-1))
    (slope,) = torch.autograd.grad(found.distance.sum(), point.vertices)
    assert slope.isfinite().all()


@BOTH
def test_what_is_not_finite_is_told_and_hurts_no_other(measure) -> None:
    surface = ball([[0.0, 0, 0]] * 3, fineness=1)
    points = 0.02 * random(3, 20, 3)
    whole = measure(points, surface)
    hurt, spoilt = surface.vertices.clone(), points.clone()
    hurt[1, 4, 2], spoilt[2, 5, 0] = torch.nan, torch.inf
    free = [hurt.requires_grad_(), spoilt.requires_grad_()]
    found = measure(free[1], Surface(free[0], surface.faces))
    lost = torch.zeros(3, 20, dtype=torch.bool)
    lost[1], lost[2, 5] = True, True
    assert torch.equal(found.distance.isnan(), lost)
    assert torch.equal(found.closest.isnan().all(-1), lost)
    assert torch.equal(found.face == -1, lost)
    assert torch.equal(found.distance[~lost].detach(), whole.distance[~lost])
    slopes = torch.autograd.grad(found.distance[~lost].sum(), free)
    assert all(slope[[0, 2]].isfinite().all() for slope in slopes)


def test_a_batch_is_its_meshes_alone_whatever_the_threads() -> None:
    surface, _ = posed("mano", 3, spread=0.4)
    points = around(surface, 100)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        together = signed_distance(points, surface)
        torch.set_num_threads(1)
        for b in range(3):
            alone = signed_distance(
                points[b : b + 1], Surface(surface.vertices[b : b + 1], surface.faces)
            )
            for field in fields(alone):
                one, all_ = getattr(alone, field.name)[0], getattr(together, field.name)[b]
                assert torch.equal(one, all_)
    finally:
        torch.set_num_threads(threads)


@BOTH
def test_single_precision_is_as_good_as_its_inputs(measure) -> None:
    surface, _ = posed("mano", 1)
    points = around(surface, 50)
    rough = Surface(surface.vertices.float(), surface.faces)
    found = measure(points.float(), rough)
    assert found.distance.dtype == found.closest.dtype == torch.float32
    exact = measure(points.float().double(), Surface(rough.vertices.double(), surface.faces))
    torch.testing.assert_close(found.distance, exact.distance.float(), rtol=0, atol=0)


@BOTH
@pytest.mark.parametrize(("batch", "count"), [(0, 5), (2, 0), (0, 0)])
def test_nothing_is_nothing(measure, batch: int, count: int) -> None:
    surface = ball([[0.0, 0, 0]] * 2, fineness=0)
    meshes = Surface(surface.vertices[:batch], surface.faces)
    found = measure(torch.zeros(batch, count, 3), meshes)
    assert found.distance.shape == (batch, count) and found.closest.shape == (batch, count, 3)


@BOTH
def test_open_meshes_and_other_shapes_are_refused(measure) -> None:
    surface = ball([[0.0, 0, 0]], fineness=0)
    with raises("contact.open", edges=5):
        measure(torch.zeros(1, 1, 3), Surface(surface.vertices, opened(surface.faces, [0])))
    with pytest.raises(ValueError, match="points: expected shape"):
        measure(torch.zeros(1, 3), surface)
    with pytest.raises(ValueError, match="vertices: expected shape"):
        measure(torch.zeros(2, 1, 3), surface)


def test_the_hands_of_every_model_are_turned_outward() -> None:
    """The knuckle of the middle finger is inside, a point ten centimetres off is not."""
    for name in ("open_hand", "mano", "nimble"):
        model = hand(name)
        surface = Surface(model.v_template[None], closed(model.faces, len(model.v_template)))
        knuckle = model.joint_template[model.skeleton.mano_joints[4]]
        points = torch.stack([knuckle, knuckle + torch.tensor([0.0, 0.1, 0.0])])[None]
        inside, outside = signed_distance(points, surface).distance[0].tolist()
        assert inside < -0.003 and outside > 0.05
