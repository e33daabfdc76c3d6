"""Small meshes and degenerate cases on which all rasterisers must agree."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import trimesh
from torch import Tensor

from fitter.raster import Fragments, MeshTopology, RasterSettings, rasterize, stack_meshes

NEAR = 0.05


@dataclass(frozen=True)
class Case:
    """Vertices (B, V, 3) float64, faces (F, 3) or (B, F, 3), picture (H, W)."""

    vertices: Tensor
    faces: Tensor
    image_size: tuple[int, int] = (32, 32)


def random_triangles(seed: int, count: int, image_size: tuple[int, int], batch: int = 2):
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor([image_size[1], image_size[0], 1.0])
    vertices = torch.rand((batch, 3 * count, 3), generator=generator) * 1.4 - 0.2
    vertices = vertices * scale + torch.tensor([0.0, 0.0, 0.4])
    faces = torch.randint(0, 3 * count, (count, 3), generator=generator)
    return vertices, faces


def posed(mesh: trimesh.Trimesh, seed: int, image_size: tuple[int, int] = (32, 32)) -> Case:
    """A mesh of about unit size in a random attitude, filling most of the picture."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    points = torch.tensor(mesh.vertices, dtype=torch.float64) @ turn.T
    points = points + torch.tensor([0.1, -0.05, 4.0]) + 0.1 * torch.rand(3, generator=generator)
    centre = torch.tensor([image_size[1] / 2, image_size[0] / 2])
    place = points[:, :2] / points[:, 2:] * 1.4 * min(image_size) + centre
    return Case(torch.cat([place, points[:, 2:]], 1)[None], torch.tensor(mesh.faces), image_size)


def ring(seed: int, image_size: tuple[int, int] = (32, 32)) -> Case:
    """200 faces that hide each other: a torus."""
    mesh = trimesh.creation.torus(0.9, 0.35, major_sections=10, minor_sections=10)
    return posed(mesh, seed, image_size)


def ball(seed: int, image_size: tuple[int, int] = (32, 32)) -> Case:
    """80 faces."""
    return posed(trimesh.creation.icosphere(subdivisions=1, radius=1.1), seed, image_size)


def _moved(case: Case, *by: float) -> Case:
    return Case(case.vertices + torch.tensor(by), case.faces, case.image_size)


def _with_vertex(case: Case, row: int, *value: float) -> Case:
    vertices = case.vertices.clone()
    vertices[:, row] = torch.tensor(value, dtype=vertices.dtype)
    return Case(vertices, case.faces, case.image_size)


def _flat(points: list[list[float]], faces: list[list[int]], image_size=(32, 32)) -> Case:
    return Case(torch.tensor([points], dtype=torch.float64), torch.tensor(faces), image_size)


def _two_meshes() -> Case:
    first, second = ring(1), ball(2)
    points, topology = stack_meshes(
        [first.vertices[0], second.vertices[0]], [first.faces, second.faces]
    )
    return Case(points, topology.faces)


_TRIANGLE = [[6.3, 4.1, 1.0], [25.2, 9.4, 1.3], [11.7, 27.9, 0.8]]


def degenerate_cases() -> dict[str, Case]:
    """What hands in photographs and optimisers gone astray do to a rasteriser."""
    ring_vertices = ring(3).vertices
    nearest = ring_vertices[..., 2].min().item()
    half = ring_vertices[..., 2].mean().item()
    twice = [*_TRIANGLE, *_TRIANGLE]
    return {
        "equally near faces": _flat(twice, [[3, 4, 5], [0, 1, 2], [4, 5, 3]]),
        "sides through pixel centres": _flat(
            [[4.5, 4.5, 1], [20.5, 4.5, 1], [20.5, 20.5, 1], [4.5, 20.5, 1]], [[0, 1, 2], [2, 3, 0]]
        ),
        "crossing the near plane": _moved(ring(3), 0.0, 0.0, NEAR - half),
        "touching the near plane": _moved(ring(3), 0.0, 0.0, NEAR - nearest),
        "behind the camera": _moved(ring(3), 0.0, 0.0, -2 * half),
        "faces without area": _flat(
            [*_TRIANGLE, [15.75, 6.75, 1.15]], [[0, 3, 1], [0, 0, 1], [2, 2, 2], [0, 1, 2]]
        ),
        "not a number": _with_vertex(ball(4), 7, math.nan, 3.0, 1.0),
        "infinite": _with_vertex(ball(4), 9, 3.0, math.inf, 1.0),
        "infinitely far": _with_vertex(ball(4), 9, 3.0, 4.0, math.inf),
        "very far": _with_vertex(ball(4), 9, 9e8, 4.0, 1.0),
        "nothing in view": _moved(ball(4), 1000.0, 0.0, 0.0),
        "just out of view": _flat([[-9, 3, 1], [-0.2, 12, 1], [-7, 25, 1]], [[0, 1, 2]]),
        "no faces": Case(ball(4).vertices, ball(4).faces[:0]),
        "one pixel": _flat([[-1, -1, 1], [1.4, -0.2, 1], [0.1, 1.4, 1]], [[0, 1, 2]], (1, 1)),
        "larger than the picture": _flat([[-90, -70, 1], [130, -60, 2], [20, 190, 3]], [[0, 1, 2]]),
        "truncated by the border": _moved(ring(5), 14.0, -11.0, 0.0),
        "smaller than a pixel": _flat([[9.1, 9.2, 1], [9.4, 9.2, 1], [9.3, 9.4, 1]], [[0, 1, 2]]),
        "wide picture": ring(6, (18, 40)),
        "tall picture": ring(6, (40, 9)),
        "crossing triangles": Case(*(t.double() if t.is_floating_point() else t for t in (
            random_triangles(8, 40, (32, 32))))),
        "two meshes": _two_meshes(),
    }  # fmt: skip


def draw(
    case: Case, backend: str | None = None, dtype: torch.dtype = torch.float64, **settings: object
) -> tuple[Fragments, Tensor, list[Tensor]]:
    """Fragments, the vertices that they depend on, and the differentiable outputs."""
    vertices = case.vertices.to(dtype).requires_grad_()
    fragments = rasterize(
        vertices,
        MeshTopology(case.faces),
        case.image_size,
        settings=RasterSettings(**{"near": NEAR, **settings}),
        backend=backend,
    )
    outputs = [fragments.barycentrics, fragments.depth]
    if fragments.alpha is not None:
        outputs.append(fragments.alpha)
    return fragments, vertices, outputs


def random_gradient(vertices: Tensor, outputs: list[Tensor], seed: int = 0) -> Tensor:
    """The vertices' gradient for random cotangents of all outputs together."""
    generator = torch.Generator().manual_seed(seed)
    outputs = [t for t in outputs if t.requires_grad]  # without a face nothing may depend on them
    cotangents = [
        torch.randn(t.shape, generator=generator, dtype=torch.float64).to(t) for t in outputs
    ]
    return torch.autograd.grad(outputs, vertices, cotangents, retain_graph=True)[0]


def assert_parity(left: tuple, right: tuple) -> None:
    """Two results of `draw` agree, forward and, relative to the largest component, backward.

    Backward less closely: on edges far shorter than a pixel the oracle's automatic differentiation
    adds terms of opposite signs that the kernels know to be zero together.
    """
    (first, *left), (second, *right) = left, right
    forward, backward = (1e-12, 1e-6) if first.depth.dtype == torch.float64 else (1e-6, 1e-5)
    assert torch.equal(first.face_index, second.face_index)
    if first.contour_edge is not None:
        assert torch.equal(first.contour_edge, second.contour_edge)
    for a, b in zip(left[1], right[1], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=forward)
        assert torch.isfinite(a).all()
    expected, found = random_gradient(*left), random_gradient(*right)
    assert torch.isfinite(expected).all()
    tolerance = backward * expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
