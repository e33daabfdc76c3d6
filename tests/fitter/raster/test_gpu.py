"""The Triton kernels against the oracle: compiled where there is a GPU, else interpreted."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation
from torch.utils._python_dispatch import TorchDispatchMode

from fitter.raster import RasterSettings, rasterize
from fitter.raster.reference import rasterize_reference
from fitter.raster.topology import MeshTopology, stack_meshes
from fitter.raster.types import MAX_POSITION
from tests.support.paths import ROOT

pytest.importorskip("triton")
gpu = pytest.importorskip("fitter.raster.gpu.autograd")

HAS_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if HAS_GPU else "cpu")
# The interpreter's time goes with the number of operations, not with their size.
BLOCKS = gpu.Blocks() if HAS_GPU else gpu.Blocks(16, 64, 256, 16, 256, 128)
SILHOUETTES = ("none", "soft", "edge")
FORWARD = {torch.float64: 1e-12, torch.float32: 1e-6}
BACKWARD = {torch.float64: 1e-11, torch.float32: 1e-5}
"""Absolute, and relative to the largest component; float64 differs in the order of sums alone."""


def draw(function, vertices, topology, image_size, settings, cotangents=None, **options):
    """Fragments and the gradient of their inner product with the cotangents."""
    vertices = vertices.detach().clone().requires_grad_()
    fragments = function(vertices, topology, image_size, settings, **options)
    names = ("barycentrics", "depth", "alpha")
    outputs = [getattr(fragments, name) for name in names]
    if cotangents is None:
        generator = torch.Generator().manual_seed(5)
        cotangents = [
            None if o is None else torch.randn(o.shape, generator=generator) for o in outputs
        ]
    pairs = [(o, c.to(o)) for o, c in zip(outputs, cotangents, strict=True) if None not in (o, c)]
    pairs = [(o, c) for o, c in pairs if o.requires_grad]
    if pairs:
        torch.autograd.backward([o for o, _ in pairs], [c for _, c in pairs])
    return fragments, torch.zeros_like(vertices) if vertices.grad is None else vertices.grad


def assert_same(vertices, faces, image_size, settings, cotangents=None, blocks=BLOCKS):
    """The kernels agree with the oracle in every output and in the gradient; returns both's."""
    vertices, topology = vertices.to(DEVICE), MeshTopology(faces.to(DEVICE))
    expected, expected_gradient = draw(
        rasterize_reference, vertices, topology, image_size, settings, cotangents
    )
    found, gradient = draw(
        gpu.rasterize_gpu, vertices, topology, image_size, settings, cotangents, blocks=blocks
    )
    assert torch.equal(found.face_index, expected.face_index)
    for name in ("barycentrics", "depth", "alpha"):
        left, right = getattr(found, name), getattr(expected, name)
        assert (left is None) == (right is None), name
        if left is not None:
            assert left.dtype == right.dtype == vertices.dtype
            torch.testing.assert_close(left, right, rtol=0, atol=FORWARD[vertices.dtype])
    if settings.silhouette == "edge":
        assert torch.equal(found.contour_edge, expected.contour_edge)
    assert torch.isfinite(gradient).all()
    scale = float(expected_gradient.abs().max()) if expected_gradient.numel() else 0.0
    tolerance = BACKWARD[vertices.dtype] * max(scale, 1e-30)
    torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=tolerance)
    return found, gradient


def two_bodies(image_size, poses):
    """A ball before a ring, 200 faces, screen vertices (poses, V, 3) from all sides."""
    ball = trimesh.creation.icosphere(subdivisions=1, radius=0.05)
    ring = trimesh.creation.torus(0.07, 0.025, major_sections=10, minor_sections=6)
    points = np.concatenate([ball.vertices + [0.03, 0.0, 0.0], ring.vertices])
    faces = np.concatenate([ball.faces, ring.faces + len(ball.vertices)])
    assert len(faces) == 200
    turns = Rotation.random(poses, random_state=np.random.RandomState(3)).as_matrix()
    turned = points @ turns.transpose(0, 2, 1) + [0.0, 0.01, 0.4]
    height, width = image_size
    focal = 2.0 * min(image_size)
    centre = np.array([width / 2, height / 2])
    screen = np.concatenate(
        [focal * turned[..., :2] / turned[..., 2:] + centre, turned[..., 2:]], axis=-1
    )
    return torch.from_numpy(screen), torch.from_numpy(faces)


@pytest.mark.parametrize("silhouette", ["soft", "edge"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_200_faces_in_three_poses(silhouette, dtype):
    vertices, faces = two_bodies((16, 16), poses=3)
    settings = RasterSettings(silhouette=silhouette, sigma=3e-4)
    found, gradient = assert_same(vertices.to(dtype), faces, (16, 16), settings)
    assert found.mask.float().mean() > 0.15
    assert ((found.alpha > 0.01) & (found.alpha < 0.99)).sum() > 100
    assert (gradient.flatten(1).abs().amax(dim=1) > 0).all()


@pytest.mark.parametrize("silhouette", ["soft", "edge"])
@pytest.mark.parametrize("output", [0, 1, 2])
def test_each_output_alone(silhouette, output):
    # Depth's gradient dwarfs the others', so each is compared on its own scale.
    vertices, faces = two_bodies((20, 27), poses=1)
    settings = RasterSettings(silhouette=silhouette, band=1.7)
    cotangents = [torch.randn(1, 20, 27, 3), torch.randn(1, 20, 27), torch.randn(1, 20, 27)]
    cotangents = [c if number == output else None for number, c in enumerate(cotangents)]
    _, gradient = assert_same(vertices, faces, (20, 27), settings, cotangents)
    assert gradient.abs().max() > 0
    if output == 2:
        assert (gradient[..., 2] == 0).all()


def rows(*points):
    return torch.tensor([points], dtype=torch.float64)


GOOD = ((0.6, 0.7, 1.0), (9.3, 0.4, 1.2), (0.2, 9.1, 0.8))
ONE, PAIR = torch.tensor([[0, 1, 2]]), torch.tensor([[0, 1, 3], [0, 1, 2], [3, 1, 2]])
SQUARE = tuple((x, y) for x, y in ((1.5, 1.5), (6.5, 1.5), (6.5, 6.5), (1.5, 6.5)))


def slivers():
    generator = np.random.default_rng(0)
    start, direction = generator.uniform(0, 10, (12, 2)), generator.normal(size=(12, 2))
    steps = generator.uniform(-6, 6, (12, 3, 1))
    points = start[:, None] + steps * direction[:, None]  # collinear up to rounding
    points = np.concatenate([points, generator.uniform(0.3, 1, (12, 3, 1))], -1)
    return torch.from_numpy(points.reshape(1, -1, 3)), torch.arange(36).reshape(12, 3)


DEGENERATE = {
    "nearer than near": (rows(*GOOD, (2.0, 9.0, 0.009)), PAIR),
    "exactly at near": (rows(*GOOD, (2.0, 9.0, 0.01)), PAIR),
    "behind the camera": (rows(*GOOD, (2.0, 9.0, -1.0)), PAIR),
    "z is not a number": (rows(*GOOD, (2.0, 9.0, math.nan)), PAIR),
    "z is infinite": (rows(*GOOD, (2.0, 9.0, math.inf)), PAIR),
    "x is not a number": (rows(*GOOD, (math.nan, 9.0, 1.0)), PAIR),
    "y is infinite": (rows(*GOOD, (2.0, -math.inf, 1.0)), PAIR),
    "too far out": (rows(*GOOD, (2.0, 2 * MAX_POSITION, 1.0)), PAIR),
    "just not too far out": (rows(*GOOD, (2.0, MAX_POSITION, 1.0)), PAIR),
    "no area": (
        rows((1.5, 1.5, 1.0), (4.5, 4.5, 1.0), (7.5, 7.5, 1.0)),
        torch.tensor([[0, 1, 2], [0, 0, 2], [1, 1, 1]]),
    ),
    "slivers": slivers(),
    "borders through pixel centres": (
        rows(*((*p, 1.0) for p in SQUARE)),
        torch.tensor([[0, 1, 2], [0, 2, 3]]),
    ),
    "equally near": (
        rows(*((*p, z) for z in (0.5, 0.4, 0.4) for p in SQUARE[:3])),
        torch.tensor([[0, 1, 2], [6, 7, 8], [3, 4, 5]]),
    ),
    "both windings": (rows(*GOOD), torch.tensor([[0, 2, 1], [0, 1, 2]])),
    "three faces at an edge": (
        rows(*GOOD, (8.0, 8.0, 0.9), (5.0, -3.0, 1.1)),
        torch.tensor([[0, 1, 2], [1, 0, 3], [0, 1, 4]]),
    ),
    "nothing in view": (rows(*GOOD) + torch.tensor([900.0, 0.0, 0.0]), ONE),
    "the whole picture": (rows((-90.0, -80.0, 1.0), (99.0, -70.0, 2.0), (0.0, 120.0, 1.5)), ONE),
    "rows that are no face": (
        rows(*GOOD),
        torch.tensor([[-1, -1, -1], [0, 1, 2], [-1, -1, -1]]),
    ),
    "no face": (rows(*GOOD), ONE[:0]),
    "no vertex": (rows(*GOOD)[:, :0], ONE[:0]),
    "no picture": (rows(*GOOD)[:0], ONE),
    "a vertex of no face": (rows((3.0, 3.0, 1.0), *GOOD), ONE + 1),
}


@pytest.mark.parametrize("silhouette", SILHOUETTES)
@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate(case, silhouette):
    vertices, faces = DEGENERATE[case]
    # A wide band of both kinds, so that dropped faces would be noticed.
    settings = RasterSettings(silhouette=silhouette, sigma=0.02, band=2.0)
    assert_same(vertices, faces, (9, 11), settings)


@pytest.mark.parametrize("silhouette", ["soft", "edge"])
@pytest.mark.parametrize("seed", range(3))
def test_vertices_on_pixel_centres(seed, silhouette):
    # Pixels on edges, equal distances and equal depths everywhere.
    generator = torch.Generator().manual_seed(seed)
    places = torch.randint(-3, 22, (2, 20, 2), generator=generator) + 0.5
    depths = torch.randint(1, 4, (2, 20, 1), generator=generator) / 4
    vertices = torch.cat([places, depths], dim=-1).double()
    faces = torch.randint(0, 20, (2, 24, 3), generator=generator)
    settings = RasterSettings(silhouette=silhouette, sigma=1e-2, band=1.5)
    cotangents = [None, None, torch.randn(2, 17, 19, generator=generator)]
    found, _ = assert_same(vertices, faces, (17, 19), settings, cotangents)
    assert found.mask.any()


@pytest.mark.parametrize("silhouette", ["soft", "edge"])
def test_ties_between_blocks(silhouette):
    # Six times the same face, so every distance and depth is there many times, two at a time.
    vertices = rows(*((x, y, 0.5) for x, y in SQUARE[:3]))
    blocks = gpu.Blocks(8, 2, 16, 2, 2, 16)
    settings = RasterSettings(silhouette=silhouette, sigma=0.02, band=2.0)
    found, _ = assert_same(vertices, ONE.repeat(6, 1), (8, 8), settings, blocks=blocks)
    assert set(found.face_index.unique().tolist()) == {-1, 0}


@pytest.mark.parametrize("silhouette", SILHOUETTES)
@pytest.mark.parametrize("image_size", [(1, 1), (5, 23), (23, 5)])
def test_other_pictures(image_size, silhouette):
    vertices, faces = two_bodies(image_size, poses=1)
    settings = RasterSettings(silhouette=silhouette, sigma=1e-2)
    assert_same(vertices.float(), faces.int(), image_size, settings)


@pytest.mark.parametrize("silhouette", ["soft", "edge"])
def test_meshes_of_different_topology(silhouette):
    vertices, faces = two_bodies((16, 16), poses=3)
    parts = [faces[:80], faces[80:], faces[:0]]
    stacked, topology = stack_meshes(list(vertices), parts)
    settings = RasterSettings(silhouette=silhouette)
    together, _ = assert_same(stacked, topology.faces, (16, 16), settings)
    assert together.mask.flatten(1).any(dim=1).tolist() == [True, True, False]
    cotangents = [torch.randn(1, 16, 16, 3), torch.randn(1, 16, 16), torch.randn(1, 16, 16)]
    for index, part in enumerate(parts):
        assert_same(vertices[index : index + 1], part, (16, 16), settings, cotangents)


def test_any_strides_through_the_public_door():
    vertices, faces = two_bodies((16, 16), poses=2)
    vertices, faces = vertices.to(DEVICE), faces[60:100].to(DEVICE)
    strided = vertices.permute(2, 1, 0).contiguous().permute(2, 1, 0).requires_grad_()
    faces = faces.T.contiguous().T
    fragments = rasterize(
        strided, faces, (16, 16), settings=RasterSettings(silhouette="soft"), backend="gpu"
    )
    # A cotangent with stride 0, too.
    (fragments.alpha.sum() + fragments.barycentrics[..., 0].sum()).backward()
    plain = vertices.clone().requires_grad_()
    expected = rasterize(
        plain, faces, (16, 16), settings=RasterSettings(silhouette="soft"), backend="reference"
    )
    (expected.alpha.sum() + expected.barycentrics[..., 0].sum()).backward()
    torch.testing.assert_close(fragments.alpha, expected.alpha, rtol=0, atol=1e-12)
    torch.testing.assert_close(strided.grad, plain.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("silhouette", ["soft", "edge"])
def test_blocks_and_groups_change_nothing(silhouette, monkeypatch):
    # Two tiles by two of the usual side; more faces than a program of the smaller blocks takes.
    vertices, faces = two_bodies((9, 10), poses=2)
    vertices, topology = vertices.to(DEVICE), MeshTopology(faces[60:84].to(DEVICE))
    settings = RasterSettings(silhouette=silhouette)
    arguments = (gpu.rasterize_gpu, vertices, topology, (9, 10), settings)
    expected, expected_gradient = draw(*arguments, blocks=BLOCKS)
    for blocks in (gpu.Blocks(), gpu.Blocks(4, 4, 32, 2, 8, 16)):
        found, gradient = draw(*arguments, blocks=blocks)
        assert torch.equal(found.face_index, expected.face_index)
        assert torch.equal(found.barycentrics, expected.barycentrics)
        torch.testing.assert_close(found.alpha, expected.alpha, rtol=0, atol=1e-13)
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-10)
    # Lists for one picture at a time.
    monkeypatch.setattr(gpu, "_LIST_BYTES", 1)
    found, gradient = draw(*arguments, blocks=BLOCKS)
    assert torch.equal(found.alpha, expected.alpha)
    assert torch.equal(gradient, expected_gradient)


@pytest.mark.parametrize("silhouette", ["soft", "edge"])
def test_the_same_bits_every_time(silhouette):
    vertices, faces = two_bodies((16, 16), poses=2)
    vertices, topology = vertices.float().to(DEVICE), MeshTopology(faces[40:120].to(DEVICE))
    settings = RasterSettings(silhouette=silhouette, sigma=1e-3)
    first, second = (
        draw(gpu.rasterize_gpu, vertices, topology, (16, 16), settings, blocks=BLOCKS)
        for _ in range(2)
    )
    assert torch.equal(first[0].alpha, second[0].alpha)
    assert torch.equal(first[1], second[1])


class NoWaiting(TorchDispatchMode):
    """Refuses every operation whose result the host would have to wait for."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique", "unique", "is_nonzero")

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert function.overloadpacket.__name__ not in self.WAITS, function
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("silhouette", SILHOUETTES)
def test_nothing_waits_for_the_device(silhouette):
    vertices, faces = two_bodies((16, 16), poses=1)
    vertices, faces = vertices.to(DEVICE).requires_grad_(), faces[40:100].to(DEVICE)
    topology = MeshTopology(faces)
    _ = topology.edges, topology.index_range  # found once
    settings = RasterSettings(silhouette=silhouette)

    def both_ways():
        fragments = gpu.rasterize_gpu(vertices, topology, (16, 16), settings, blocks=BLOCKS)
        outputs = (fragments.depth, fragments.alpha)
        sum(output.sum() for output in outputs if output is not None).backward()

    both_ways()  # compiles
    mode = torch.cuda.get_sync_debug_mode() if HAS_GPU else None
    try:
        if HAS_GPU:
            torch.cuda.set_sync_debug_mode("error")
        with NoWaiting():
            both_ways()
    finally:
        if HAS_GPU:
            torch.cuda.set_sync_debug_mode(mode)
    with pytest.raises(AssertionError, match="scalar"), NoWaiting():
        _ = vertices.sum().item()


@pytest.mark.skipif(sys.platform != "linux", reason="Triton's compiler is for Linux")
@pytest.mark.parametrize(("architecture", "options"), [(80, []), (90, ["--ones"])])
def test_kernels_compile(architecture, options, tmp_path):
    script = ROOT / "tests" / "support" / "compile_kernels.py"
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {
        "TRITON_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(script.parents[1]), *filter(None, sys.path)]),
    }
    done = subprocess.run(
        [sys.executable, script, str(architecture), *options],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    if not HAS_GPU:
        assert "TRITON_INTERPRET=1" in report["refused"]
    names = {
        *("prepare_faces", "list_by_tile", "render_tile", "face_gradients", "gather_vertices"),
        *("prepare_edges", "outline_tile", "edge_gradients"),
    }
    assert set(report["kernels"]) == names
    for name, kernel in report["kernels"].items():
        assert kernel["cubin"] > 0, name
        assert f"sm_{architecture}" in kernel["target"], name
        # A fused edge function would break the rule on shared edges.
        assert kernel["fused"] == 0, name
