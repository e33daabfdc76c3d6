"""The PyTorch3D adapter: against a transcription of its conventions, and itself where installed."""

import importlib.util
import math
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from fitter.camera import project
from fitter.raster import MeshTopology, RasterSettings, rasterize
from fitter.raster.pytorch3d import (
    cameras_from_intrinsics,
    intrinsics_4x4,
    rasterize_pytorch3d,
)

needs_pytorch3d = pytest.mark.skipif(
    importlib.util.find_spec("pytorch3d") is None, reason="PyTorch3D is not installed"
)
SIZES = [(48, 64), (64, 48), (50, 50)]


def cameras(count: int, skew: float, dtype=torch.float64):
    generator = torch.Generator().manual_seed(11)

    def random(*shape):
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    K = torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)
    K[:, 0, 0], K[:, 1, 1] = 60 + 40 * random(count), 55 + 40 * random(count)
    K[:, :2, 2] = 20 + 20 * random(count, 2)
    K[:, 0, 1] = skew * (random(count) - 0.5)
    R = torch.linalg.qr(random(count, 3, 3) - 0.5).Q
    R = R * torch.linalg.det(R)[:, None, None]
    t = torch.cat([random(count, 2) - 0.5, 2.0 + random(count, 1)], dim=1)
    points = random(count, 30, 3) - 0.5
    return K.to(dtype), R.to(dtype), t.to(dtype), points.to(dtype)


def to_pixels(points, R, T, K, in_ndc, image_size):
    """Image positions as PyTorch3D computes them, by its page on cameras, in NumPy.

    World to view and view to projection with row vectors and homogeneous coordinates; for cameras
    in screen space the principal point is taken off twice and pixels become NDC; NDC, x left and y
    up with the shorter side from -1 to 1, become screen positions, x right and y down.
    """
    height, width = image_size
    view = points @ R + T[:, None]
    homogeneous = np.concatenate([view, np.ones_like(view[..., :1])], axis=-1)
    projected = homogeneous @ K.transpose(0, 2, 1)
    position = projected[..., :2] / projected[..., 3:]
    half = min(height, width) / 2
    middle = np.array([width / 2, height / 2])
    if not in_ndc:
        position = position - 2.0 * K[:, None, :2, 2]
        position = (position + middle) / half
    return -(position * half - middle), projected[..., 2] / projected[..., 3]


class Recorded(SimpleNamespace):
    """A camera that only remembers what it was made of."""

    def __init__(self, **arguments):
        super().__init__(**arguments)


def signed(a, b, p):
    return (b[..., 0] - a[..., 0]) * (p[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (
        p[..., 0] - a[..., 0]
    )


def naive_rasterize_meshes(meshes, image_size, blur_radius, faces_per_pixel, **options):
    """PyTorch3D's rasteriser as its documentation has it: every face at every pixel, by depth."""
    assert options["perspective_correct"]
    height, width = image_size
    half = min(height, width) / 2
    # x left, y up: the first column has the largest x.
    ys, xs = ((n / 2 - (torch.arange(n) + 0.5)) / half for n in image_size)
    p = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)
    results, first = [], 0
    for vertices, faces in zip(meshes.verts, meshes.faces, strict=True):
        found = zip(*(faces_at(vertices[face], p, options) for face in faces), strict=True)
        z, bary, squared, inside = (torch.stack(field, dim=2) for field in found)
        hit = inside | (squared < blur_radius)
        order = torch.where(hit, z, torch.inf).argsort(dim=2)[:, :, :faces_per_pixel]
        hit = hit.gather(2, order)
        fields = [order + first, z.gather(2, order), bary.take_along_dim(order[..., None], 2)]
        fields.append(torch.where(inside, -squared, squared).gather(2, order))
        results.append([torch.where(hit if f.ndim == 3 else hit[..., None], f, -1) for f in fields])
        first += len(faces)
    return tuple(torch.stack(parts) for parts in zip(*results, strict=True))


def faces_at(corners, p, options):
    """Depth, weights, squared distance and whether inside for one face at pixels (H, W, 2)."""
    a, b, c = corners[:, :2]
    area = signed(a, b, c)
    screen = torch.stack([signed(b, c, p), signed(c, a, p), signed(a, b, p)], dim=-1) / area
    inside = (screen > 0).all(dim=-1)
    over_z = screen / corners[:, 2]
    bary = over_z / over_z.sum(dim=-1, keepdim=True)
    if options.get("clip_barycentric_coords"):
        clipped = bary.clamp(min=0)
        bary = clipped / clipped.sum(dim=-1, keepdim=True).clamp(min=1e-5)
    distances = []
    for start, stop in ((b, c), (c, a), (a, b)):
        along = stop - start
        share = ((p - start) @ along / (along @ along)).clamp(0, 1)
        distances.append(((start + share[..., None] * along - p) ** 2).sum(dim=-1))
    return (bary * corners[:, 2]).sum(dim=-1), bary, torch.stack(distances).amin(dim=0), inside


@pytest.fixture
def stand_in(monkeypatch):
    """Modules of PyTorch3D's names with the transcriptions above in them."""
    modules = {
        name: ModuleType(name)
        for name in (
            *("pytorch3d", "pytorch3d.renderer", "pytorch3d.structures"),
            *("pytorch3d.renderer.mesh", "pytorch3d.renderer.mesh.rasterize_meshes"),
        )
    }
    modules["pytorch3d.renderer"].PerspectiveCameras = Recorded
    modules["pytorch3d.structures"].Meshes = Recorded
    modules["pytorch3d.renderer.mesh.rasterize_meshes"].rasterize_meshes = naive_rasterize_meshes
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("image_size", SIZES)
@pytest.mark.parametrize("in_ndc", [False, True])
def test_4x4_projects_as_the_3x3(image_size, in_ndc):
    K, R, t, points = cameras(4, 8.0)
    camera_points = points @ R.transpose(1, 2) + t[:, None]
    flip = torch.tensor([-1.0, -1.0, 1.0])
    matrix = intrinsics_4x4(K, image_size, in_ndc)
    given = (x.numpy() for x in (points, R.transpose(1, 2) * flip, t * flip, matrix))
    pixels, third = to_pixels(*given, in_ndc, image_size)
    np.testing.assert_allclose(pixels, project(camera_points, K).numpy(), atol=1e-10)
    np.testing.assert_allclose(third, 1.0 / camera_points[..., 2].numpy())


def test_a_3x3_padded_with_the_identity_divides_by_nothing():
    # What the module's docstring warns of.
    K, R, t, points = cameras(1, 0.0)
    padded = torch.eye(4, dtype=torch.float64)[None].clone()
    padded[:, :3, :3] = K
    flip = torch.tensor([-1.0, -1.0, 1.0])
    arguments = [points, R.transpose(1, 2) * flip, t * flip, padded]
    near, _ = to_pixels(*(a.numpy() for a in arguments), False, (48, 64))
    right = project(points @ R.transpose(1, 2) + t[:, None], K)
    assert np.abs(near - right.numpy()).max() > 10


@pytest.mark.parametrize("image_size", SIZES)
def test_cameras_hold_our_projection(stand_in, image_size):
    K, R, t, points = cameras(3, 0.0)
    camera = cameras_from_intrinsics(K, R, t, image_size)
    assert camera.in_ndc is False and camera.image_size.tolist() == [list(image_size)] * 3
    assert camera.R.dtype == camera.K.dtype == torch.float32
    expected = project(points @ R.transpose(1, 2) + t[:, None], K).numpy()
    # By the 4x4 K, and by what PyTorch3D makes of focal length and principal point.
    built = np.zeros((3, 4, 4), np.float32)
    built[:, 0, 0], built[:, 1, 1] = camera.focal_length.T
    built[:, :2, 2] = camera.principal_point
    built[:, 2, 3] = built[:, 3, 2] = 1.0
    np.testing.assert_array_equal(built, camera.K.numpy())
    pixels, _ = to_pixels(
        points.numpy(), camera.R.numpy(), camera.T.numpy(), built, False, image_size
    )
    np.testing.assert_allclose(pixels, expected, atol=1e-4)


def test_gradients_reach_the_intrinsics():
    K, *_ = cameras(2, 3.0)
    for in_ndc in (False, True):
        torch.autograd.gradcheck(
            lambda k, in_ndc=in_ndc: intrinsics_4x4(k, (48, 64), in_ndc), K.requires_grad_()
        )


def some_meshes(image_size):
    generator = torch.Generator().manual_seed(2)
    height, width = image_size
    vertices = torch.rand((2, 12, 3), generator=generator, dtype=torch.float64)
    vertices = vertices * torch.tensor([width, height, 0.5]) + torch.tensor([0.0, 0.0, 0.4])
    vertices[1, 3, 2] = 0.005  # nearer than near
    vertices[1, 4, 0] = math.nan
    faces = torch.arange(12).reshape(1, 4, 3).repeat(2, 1, 1)
    faces[0, 1] = -1
    return vertices, faces


def assert_as_ours(image_size, sigma=1e-3):
    vertices, faces = some_meshes(image_size)
    settings = RasterSettings(silhouette="soft", sigma=sigma)
    generator = torch.Generator().manual_seed(4)
    cotangents = [torch.randn((2, *image_size, *n), generator=generator) for n in ((3,), (), ())]
    found = []
    for draw in (
        lambda v: rasterize_pytorch3d(v, MeshTopology(faces), image_size, settings),
        lambda v: rasterize(v, faces, image_size, settings=settings, backend="reference"),
    ):
        leaf = vertices.clone().requires_grad_()
        fragments = draw(leaf)
        outputs = (fragments.barycentrics, fragments.depth, fragments.alpha)
        torch.autograd.backward(
            outputs, [c.to(o) for o, c in zip(outputs, cotangents, strict=True)]
        )
        found.append((fragments, leaf.grad))
    (theirs, their_gradient), (ours, our_gradient) = found
    assert theirs.mask.any(dim=(1, 2)).all()
    assert torch.equal(theirs.face_index, ours.face_index)
    for name in ("barycentrics", "depth", "alpha"):
        left, right = getattr(theirs, name), getattr(ours, name)
        assert left.dtype == right.dtype
        torch.testing.assert_close(left, right, rtol=0, atol=2e-4)
    scale = float(our_gradient.abs().max())
    torch.testing.assert_close(their_gradient, our_gradient, rtol=0, atol=2e-3 * scale)


@pytest.mark.parametrize("image_size", [(20, 26), (26, 20)])
def test_fragments_are_ours_through_the_transcription(stand_in, image_size):
    assert_as_ours(image_size)


def test_nothing_to_draw(stand_in):
    vertices, faces = some_meshes((8, 9))
    for table in (faces[:, :0], torch.full_like(faces, -1)):
        fragments = rasterize_pytorch3d(vertices, MeshTopology(table), (8, 9))
        assert not fragments.mask.any() and fragments.alpha is None
        assert fragments.barycentrics.shape == (2, 8, 9, 3)


def test_the_edge_silhouette_is_refused(stand_in):
    vertices, faces = some_meshes((8, 9))
    settings = RasterSettings(silhouette="edge")
    with pytest.raises(ValueError, match="no edge silhouette"):
        rasterize_pytorch3d(vertices, MeshTopology(faces), (8, 9), settings)


@needs_pytorch3d
@pytest.mark.parametrize("image_size", SIZES)
@pytest.mark.parametrize("skew", [0.0, 8.0])
def test_cameras_of_pytorch3d_project_as_ours(image_size, skew):
    K, R, t, points = cameras(4, skew)
    camera = cameras_from_intrinsics(K, R, t, image_size)
    pixels = camera.transform_points_screen(points.float())[..., :2]
    expected = project(points @ R.transpose(1, 2) + t[:, None], K)
    torch.testing.assert_close(pixels.double(), expected, rtol=0, atol=1e-3)


@needs_pytorch3d
@pytest.mark.parametrize("image_size", [(20, 26), (26, 20)])
def test_fragments_of_pytorch3d_are_ours(image_size):
    assert_as_ours(image_size)
