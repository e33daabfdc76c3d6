"""The rasteriser: its stated rules on hand-made input, and parity of the backends."""

import math

import numpy as np
import pytest
import torch
import trimesh

from fitter.raster import Fragments, MeshTopology, RasterSettings, rasterize
from fitter.raster.types import MAX_POSITION
from tests.support.raster_cases import random_triangles

BACKENDS = ("cpu", "reference")


def assert_equal(left: Fragments, right: Fragments) -> None:
    assert torch.equal(left.face_index, right.face_index)
    torch.testing.assert_close(left.barycentrics, right.barycentrics, rtol=0, atol=1e-12)
    torch.testing.assert_close(left.depth, right.depth, rtol=0, atol=1e-12)


def both(vertices, faces, image_size, **settings) -> Fragments:
    """Run both backends, require the same answer, return it."""
    first, second = (
        rasterize(vertices, faces, image_size, settings=RasterSettings(**settings), backend=name)
        for name in BACKENDS
    )
    assert_equal(first, second)
    return first


def screen_sphere(image_size: tuple[int, int], subdivisions: int = 2):
    """An icosphere of radius 0.1 m at 0.5 m; returns screen vertices, faces and K."""
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions, radius=0.1)
    points = sphere.vertices + np.array([0.0, 0.0, 0.5])
    height, width = image_size
    focal = 1.2 * max(image_size)
    screen = np.stack(
        [
            focal * points[:, 0] / points[:, 2] + width / 2,
            focal * points[:, 1] / points[:, 2] + height / 2,
            points[:, 2],
        ],
        axis=-1,
    )
    return torch.from_numpy(screen)[None], torch.from_numpy(np.array(sphere.faces)), focal


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("image_size", [(24, 24), (17, 40), (40, 9), (1, 1)])
@pytest.mark.parametrize("seed", range(4))
def test_backends_agree_on_random_triangles(seed, image_size, dtype):
    vertices, faces = random_triangles(seed, 60, image_size)
    fragments = both(vertices.to(dtype), faces, image_size)
    assert fragments.face_index.dtype == torch.int32
    assert fragments.depth.dtype == fragments.barycentrics.dtype == dtype
    assert fragments.mask.any() or image_size == (1, 1)


def test_backends_agree_on_a_closed_mesh():
    vertices, faces, _ = screen_sphere((48, 64))
    both(vertices, faces, (48, 64))


def test_batch_of_many_is_many_batches_of_one_on_any_number_of_threads():
    vertices, faces = random_triangles(7, 40, (20, 30), batch=5)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        together = rasterize(vertices, faces, (20, 30))
    finally:
        torch.set_num_threads(threads)
    for index in range(5):
        alone = rasterize(vertices[index : index + 1], faces, (20, 30))
        assert torch.equal(alone.face_index[0], together.face_index[index])
        assert torch.equal(alone.barycentrics[0], together.barycentrics[index])
        assert torch.equal(alone.depth[0], together.depth[index])


def test_pixel_centres_and_inclusive_border():
    # A square whose sides run exactly through the pixel centres 1.5 and 3.5.
    vertices = torch.tensor([[[1.5, 1.5, 1.0], [3.5, 1.5, 1.0], [3.5, 3.5, 1.0], [1.5, 3.5, 1.0]]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    mask = both(vertices, faces, (5, 6)).mask[0]
    expected = torch.zeros(5, 6, dtype=torch.bool)
    expected[1:4, 1:4] = True
    assert torch.equal(mask, expected)


def test_both_windings_are_drawn():
    vertices = torch.tensor([[[0.0, 0.0, 1.0], [8.0, 0.0, 1.0], [0.0, 8.0, 1.0]]])
    forward = both(vertices, torch.tensor([[0, 1, 2]]), (8, 8))
    backward = both(vertices, torch.tensor([[0, 2, 1]]), (8, 8))
    assert torch.equal(forward.mask, backward.mask)
    assert torch.equal(forward.depth, backward.depth)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(5))
def test_shared_edges_leave_no_gap(seed, backend):
    # A jittered triangulated grid that covers the picture: every pixel must be hit.
    generator = np.random.default_rng(seed)
    size, cells = 33, 9
    axis = np.linspace(-5.0, size + 5.0, cells)
    x, y = np.meshgrid(axis, axis)
    jitter = generator.uniform(-1.2, 1.2, (2, cells, cells))
    points = np.stack([x + jitter[0], y + jitter[1], np.full_like(x, 0.7)], -1).reshape(1, -1, 3)
    corner = (np.arange(cells - 1)[:, None] * cells + np.arange(cells - 1)).ravel()
    quads = np.stack([corner, corner + 1, corner + cells + 1, corner + cells], -1)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    vertices = torch.from_numpy(points.astype(np.float32))
    fragments = rasterize(vertices, torch.from_numpy(faces), (size, size), backend=backend)
    assert fragments.mask.all()


def test_nearer_face_wins_and_ties_go_to_the_lowest_index():
    square = [[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]]
    vertices = torch.tensor([[[*p, z] for z in (0.5, 0.4, 0.4) for p in square]])
    far, near, near_again = [0, 1, 2], [3, 4, 5], [6, 7, 8]
    for order, expected in [([far, near], 1), ([near, far], 0), ([far, near_again, near], 1)]:
        fragments = both(vertices, torch.tensor(order), (6, 6))
        assert set(fragments.face_index.unique().tolist()) == {-1, expected}


def test_fragments_reproduce_the_ray_through_the_pixel():
    # Perspective-correct weights must put the surface point back on the pixel's ray.
    image_size = (40, 56)
    vertices, faces, focal = screen_sphere(image_size, subdivisions=1)
    fragments = both(vertices, faces, image_size)
    z = vertices[0, :, 2:]
    centre = torch.tensor([image_size[1] / 2, image_size[0] / 2], dtype=torch.float64)
    camera = torch.cat([(vertices[0, :, :2] - centre) * z / focal, z], dim=-1)
    rows, columns = torch.nonzero(fragments.mask[0], as_tuple=True)
    assert len(rows) > 100
    triangles = camera[faces[fragments.face_index[0, rows, columns].long()]]
    points = (fragments.barycentrics[0, rows, columns, :, None] * triangles).sum(dim=1)
    projected = points[:, :2] / points[:, 2:] * focal + centre
    expected = torch.stack([columns + 0.5, rows + 0.5], dim=-1).double()
    torch.testing.assert_close(projected, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(points[:, 2], fragments.depth[0, rows, columns])


def test_sphere_has_the_area_and_depth_of_a_sphere():
    image_size = (200, 200)
    vertices, faces, focal = screen_sphere(image_size, subdivisions=4)
    fragments = rasterize(vertices, faces, image_size)
    # A sphere of radius r at distance d is seen as a disc of radius f r / sqrt(d^2 - r^2).
    radius = focal * 0.1 / math.sqrt(0.5**2 - 0.1**2)
    assert fragments.mask.sum().item() == pytest.approx(math.pi * radius**2, rel=0.01)
    assert fragments.depth[0, 100, 100].item() == pytest.approx(0.4, abs=2e-4)


def test_barycentrics_are_weights():
    vertices, faces = random_triangles(3, 80, (32, 32))
    fragments = both(vertices.double(), faces, (32, 32))
    seen = fragments.barycentrics[fragments.mask]
    assert (seen >= 0).all() and (seen <= 1).all()
    torch.testing.assert_close(seen.sum(-1), torch.ones(len(seen), dtype=torch.float64))
    assert (fragments.barycentrics[~fragments.mask] == 0).all()
    assert (fragments.depth[~fragments.mask] == 0).all()


@pytest.mark.parametrize(
    "bad_vertex",
    [
        [2.0, 9.0, 0.049],  # nearer than near
        [2.0, 9.0, -1.0],  # behind the camera
        [2.0, 9.0, math.nan],
        [2.0, 9.0, math.inf],
        [math.nan, 9.0, 1.0],
        [2.0, -math.inf, 1.0],
        [2.0, 2 * MAX_POSITION, 1.0],
        [2.0, 1e200, 1.0],
    ],
)
def test_a_face_with_a_bad_vertex_is_dropped_and_its_neighbour_is_not(bad_vertex):
    good = [[0.0, 0.0, 1.0], [9.0, 0.0, 1.0], [0.0, 9.0, 1.0]]
    vertices = torch.tensor([[*good, bad_vertex]], dtype=torch.float64)
    alone = both(vertices, torch.tensor([[0, 1, 2]]), (8, 8), near=0.05)
    fragments = both(vertices, torch.tensor([[0, 1, 3], [0, 1, 2], [3, 1, 2]]), (8, 8), near=0.05)
    assert torch.equal(fragments.mask, alone.mask)
    assert set(fragments.face_index.unique().tolist()) == {-1, 1}


def test_a_vertex_exactly_at_near_is_kept():
    vertices = torch.tensor([[[0.0, 0.0, 0.25], [9.0, 0.0, 0.25], [0.0, 9.0, 0.25]]])
    assert both(vertices, torch.tensor([[0, 1, 2]]), (8, 8), near=0.25).mask.any()


def test_faces_without_area_are_dropped():
    vertices = torch.tensor([[[1.5, 1.5, 1.0], [4.5, 4.5, 1.0], [7.5, 7.5, 1.0]]])
    faces = torch.tensor([[0, 1, 2], [0, 0, 2], [1, 1, 1]])
    assert not both(vertices, faces, (9, 9)).mask.any()


def test_slivers_stay_finite():
    generator = np.random.default_rng(0)
    start, direction = generator.uniform(0, 16, (50, 2)), generator.normal(size=(50, 2))
    steps = generator.uniform(-8, 8, (50, 3, 1))
    points = start[:, None] + steps * direction[:, None]  # collinear up to rounding
    vertices = np.concatenate([points, generator.uniform(0.3, 1, (50, 3, 1))], -1)
    vertices = torch.from_numpy(vertices.reshape(1, -1, 3))
    fragments = both(vertices, torch.arange(150).reshape(50, 3), (16, 16))
    assert torch.isfinite(fragments.barycentrics).all() and torch.isfinite(fragments.depth).all()


def test_nothing_in_view_and_nothing_at_all():
    vertices, faces = random_triangles(1, 5, (8, 8))
    outside = vertices + torch.tensor([1000.0, 0.0, 0.0])
    for points, triangles in [
        (outside, faces),
        (vertices, faces[:0]),
        (vertices[:, :0], faces[:0]),
        (vertices[:0], faces),
    ]:
        fragments = both(points, triangles, (8, 8))
        assert fragments.face_index.shape == (len(points), 8, 8)
        assert not fragments.mask.any()


@pytest.mark.parametrize(
    ("vertices", "faces", "image_size", "message"),
    [
        (torch.zeros(4, 3), torch.zeros(1, 3).long(), (4, 4), r"vertices_screen: .* \(B, V, 3\)"),
        (torch.zeros(1, 4, 3).half(), torch.zeros(1, 3).long(), (4, 4), "float32 or float64"),
        (
            torch.zeros(1, 4, 3),
            torch.zeros(1, 4).long(),
            (4, 4),
            r"faces: .* \(1, 3\), found \(1, 4\)",
        ),
        (torch.zeros(1, 4, 3), torch.zeros(1, 3), (4, 4), "faces must be integers"),
        (torch.zeros(1, 4, 3), torch.tensor([[0, 1, 4]]), (4, 4), "the 4 vertices"),
        (torch.zeros(1, 4, 3), torch.tensor([[0, 1, -1]]), (4, 4), "the 4 vertices"),
        (torch.zeros(1, 4, 3), torch.zeros(1, 3).long(), (0, 4), "image_size"),
    ],
)
def test_wrong_input_is_named(vertices, faces, image_size, message):
    with pytest.raises(ValueError, match=message):
        rasterize(vertices, faces, image_size)


def test_wrong_meshes_are_named():
    vertices, faces = torch.zeros(2, 4, 3), torch.tensor([[0, 1, 2], [-1, -1, -1]])
    assert not rasterize(vertices, faces, (4, 4)).mask.any()  # a filling row is no mistake
    for rows, message in [
        (faces.expand(3, 2, 3), r"faces: expected shape \(2, 2, 3\), found \(3, 2, 3\)"),
        (torch.tensor([[0, 1, 2], [3, -1, -1]]), "from -1 to 3"),
        (faces.to("meta"), "on one device, got cpu and meta"),
    ]:
        with pytest.raises(ValueError, match=message):
            rasterize(vertices, rows, (4, 4))


def test_a_topology_is_checked_once_and_finds_its_edges_once(monkeypatch):
    vertices, faces, _ = screen_sphere((16, 16))
    topology = MeshTopology(faces)
    settings = RasterSettings(silhouette="edge")
    first = rasterize(vertices, topology, (16, 16), settings=settings)
    monkeypatch.setattr(torch.Tensor, "min", None)
    monkeypatch.setattr("fitter.raster.topology._edges", None)
    second = rasterize(vertices, topology, (16, 16), settings=settings)
    assert torch.equal(first.alpha, second.alpha)
    with pytest.raises(ValueError, match="the 20 vertices"):
        rasterize(vertices[:, :20], topology, (16, 16), settings=settings)


def test_edges_of_a_mesh():
    # Two triangles that share a side, a third on the same side (a fin), and a filling row.
    faces = torch.tensor([[0, 1, 2], [2, 1, 3], [-1, -1, -1], [1, 2, 4]])
    edges = MeshTopology(faces).edges.tolist()
    assert [1, 2, 0, 3] in edges and [1, 2, 3, 4] in edges and [1, 2, 4, -1] in edges
    assert sorted(edges) == sorted(
        [[1, 2, 0, 3], [1, 2, 3, 4], [1, 2, 4, -1]]
        + [[0, 1, 2, -1], [0, 2, 1, -1], [1, 3, 2, -1], [2, 3, 1, -1], [1, 4, 2, -1], [2, 4, 1, -1]]
    )
    closed, sphere, _ = screen_sphere((16, 16))
    edges = MeshTopology(sphere).edges
    assert len(edges) == len(sphere) * 3 // 2 and (edges >= 0).all()  # no border
    assert closed.shape[1] - len(edges) + len(sphere) == 2  # Euler


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="near"):
        RasterSettings(near=0.0)
    with pytest.raises(ValueError, match="backend"):
        rasterize(torch.zeros(1, 3, 3), torch.zeros(1, 3).long(), (4, 4), backend="metal")
