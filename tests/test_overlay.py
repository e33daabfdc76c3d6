"""Shading formulas, and overlays that show the right hand in the right place."""

import math
import time

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from fitter.overlay import SIDE_COLOURS, OverlayHand, OverlayStyle, draw_overlay, write_overlay
from fitter.raster import rasterize
from fitter.records import InputError
from fitter.shading import (
    AmbientDirectionalLight,
    SphericalHarmonicsLight,
    interpolate,
    sample_texture,
    vertex_normals,
)

PLAIN = OverlayStyle(opacity=1.0, skeleton=False, captions=False)


def intrinsics(height: int, width: int) -> np.ndarray:
    focal = 1.5 * min(height, width)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def ball(centre, side="right", radius=0.1, **extra) -> OverlayHand:
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    return OverlayHand(sphere.vertices + np.array(centre), sphere.faces, side, **extra)


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def is_side(colour: np.ndarray, side: str) -> bool:
    """Whether a shaded colour has the hue of a side."""
    target = np.array(SIDE_COLOURS[side], float)
    cosine = colour @ target / (np.linalg.norm(colour) * np.linalg.norm(target))
    return bool(cosine > 0.995)


def test_normals_of_a_sphere_point_outward():
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=0.1)
    vertices = torch.from_numpy(np.array(sphere.vertices))[None]
    normals = vertex_normals(vertices, torch.from_numpy(np.array(sphere.faces)))
    assert (torch.sum(normals * vertices / 0.1, -1) > 0.999).all()


def test_normals_are_area_weighted_and_zero_without_faces():
    # Vertex 0 touches a face of area 2 facing z and one of area 1/2 facing x.
    vertices = torch.tensor(
        [[[0.0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 1, 0], [0, 0, 1], [9, 9, 9]]], dtype=torch.float64
    )
    normals = vertex_normals(vertices, torch.tensor([[0, 1, 2], [0, 3, 4]]))
    expected = torch.tensor([0.5, 0.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(normals[0, 0], expected / expected.norm())
    assert (normals[0, 5] == 0).all()


def test_interpolation_of_position_gives_depth_and_follows_its_own_face_table():
    sphere = trimesh.creation.icosphere(subdivisions=2, radius=0.1)
    points = sphere.vertices + np.array([0.0, 0.0, 0.5])
    camera = intrinsics(40, 50)
    image = points @ camera.T
    screen = torch.from_numpy(np.concatenate([image[:, :2] / image[:, 2:], points[:, 2:]], 1))[None]
    faces = torch.from_numpy(np.array(sphere.faces))
    fragments = rasterize(screen, faces, (40, 50))
    depth = interpolate(fragments, faces, torch.from_numpy(points))[..., 2]
    torch.testing.assert_close(depth, fragments.depth)
    own_table = torch.arange(faces.numel()).reshape(-1, 3)
    unwelded = torch.from_numpy(points)[faces.reshape(-1)]
    torch.testing.assert_close(interpolate(fragments, own_table, unwelded)[..., 2], depth)


def test_texture_corners_and_bilinear_middle():
    texture = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])  # v points up: row 0 is v = 1
    uv = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.5, 0.5], [0.25, 0.5]])
    expected = torch.tensor([1.0, 2.0, 3.0, 4.0, 2.5, 2.0])
    torch.testing.assert_close(sample_texture(texture, uv)[:, 0], expected)


def test_lambert_light():
    light = AmbientDirectionalLight(
        torch.tensor([0.0, 0.0, -2.0]), torch.tensor([0.8]), torch.tensor([0.1])
    )
    slant = [math.sin(1.0), 0.0, -math.cos(1.0)]
    normals = torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0], slant])
    expected = torch.tensor([0.9, 0.1, 0.1 + 0.8 * math.cos(1.0)])
    torch.testing.assert_close(light.irradiance(normals)[:, 0], expected)


def test_spherical_harmonics_irradiance_is_the_cosine_integral():
    # Integrate a random degree-2 radiance against the clamped cosine numerically.
    generator = torch.Generator().manual_seed(0)
    coefficients = torch.randn((9, 3), generator=generator, dtype=torch.float64)
    n = 400
    z = (torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 - 1
    phi = (torch.arange(2 * n, dtype=torch.float64) + 0.5) / n * math.pi
    z, phi = (t.reshape(-1) for t in torch.meshgrid(z, phi, indexing="ij"))
    ring = torch.sqrt(1 - z**2)
    x, y = ring * torch.cos(phi), ring * torch.sin(phi)
    basis = torch.stack(
        [
            torch.full_like(x, math.sqrt(1 / (4 * math.pi))),
            *(math.sqrt(3 / (4 * math.pi)) * t for t in (y, z, x)),
            *(math.sqrt(15 / (4 * math.pi)) * t for t in (x * y, y * z)),
            math.sqrt(5 / (16 * math.pi)) * (3 * z**2 - 1),
            math.sqrt(15 / (4 * math.pi)) * x * z,
            math.sqrt(15 / (16 * math.pi)) * (x**2 - y**2),
        ],
        dim=-1,
    )
    directions = torch.stack([x, y, z], -1)
    normal = torch.nn.functional.normalize(torch.tensor([[0.3, -0.5, 0.8]]).double(), dim=-1)
    cosine = (directions @ normal[0]).clamp_min(0)
    area = 4 * math.pi / len(x)
    expected = (cosine[:, None] * (basis @ coefficients)).sum(0) * area / math.pi
    actual = SphericalHarmonicsLight(coefficients).irradiance(normal)[0]
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_shading_is_differentiable():
    vertices = torch.rand((1, 5, 3), dtype=torch.float64, requires_grad=True)
    faces = torch.tensor([[0, 1, 2], [2, 3, 4], [0, 3, 1]])
    assert torch.autograd.gradcheck(lambda v: vertex_normals(v, faces), (vertices,))


def test_overlay_covers_the_projection_and_leaves_the_rest():
    picture = grey(120, 160)
    drawn = draw_overlay(picture, [ball([0.02, 0.0, 0.5])], intrinsics(120, 160), PLAIN)
    assert (picture == 128).all()
    changed = (drawn != 128).any(-1)
    radius = 180 * 0.1 / math.sqrt(0.5**2 - 0.1**2)
    assert changed.sum() == pytest.approx(math.pi * radius**2, rel=0.06)
    rows, columns = np.nonzero(changed)
    assert np.mean(columns + 0.5) == pytest.approx(80 + 180 * 0.02 / 0.5, abs=0.8)
    assert np.mean(rows + 0.5) == pytest.approx(60, abs=0.8)


def test_outline_is_anti_aliased():
    black = np.zeros((100, 100, 3), np.uint8)
    drawn = draw_overlay(black, [ball([0, 0, 0.5])], intrinsics(100, 100), PLAIN)
    # Along a row that the outline crosses at a slant some pixels are partly covered.
    brightness = drawn.sum(-1).astype(int)
    rows, columns = np.nonzero(brightness)
    edge = [brightness[r, columns[rows == r].min()] for r in range(rows.min(), rows.max())]
    assert min(edge) < 0.6 * max(edge)


@pytest.mark.parametrize("order", [1, -1])
def test_nearer_hand_hides_farther_whatever_the_order(order):
    hands = [ball([0, 0, 0.4], "left", 0.03), ball([0, 0, 0.7], "right", 0.1)][::order]
    drawn = draw_overlay(grey(100, 100), hands, intrinsics(100, 100), PLAIN)
    assert is_side(drawn[50, 50].astype(float), "left")
    assert is_side(drawn[50, 34].astype(float), "right")


def test_opacity_blends():
    views = [
        draw_overlay(
            grey(60, 60),
            [ball([0, 0, 0.5])],
            intrinsics(60, 60),
            OverlayStyle(opacity, skeleton=False, captions=False),
        )[30, 30].astype(float)
        for opacity in (0.0, 0.5, 1.0)
    ]
    assert (views[0] == 128).all()
    np.testing.assert_allclose(views[1], (views[0] + views[2]) / 2, atol=1.01)


def test_skeleton_is_drawn_at_the_keypoints():
    keypoints = np.stack([np.linspace(20, 180, 21), np.full(21, 40.5)], -1)
    hand = ball([0, 0.1, 0.5], radius=0.02, keypoints=keypoints)
    style = OverlayStyle(captions=False)
    drawn = draw_overlay(np.zeros((200, 200, 3), np.uint8), [hand], intrinsics(200, 200), style)
    lit = np.nonzero(drawn[:60].any(-1))
    assert lit[1].min() == pytest.approx(20, abs=4.5) and lit[1].max() == pytest.approx(
        180, abs=4.5
    )
    assert np.mean(lit[0] + 0.5) == pytest.approx(40.5, abs=0.5)


def test_bad_keypoints_and_vertices_are_left_out():
    keypoints = np.full((21, 2), 30.0)
    keypoints[4] = np.nan
    keypoints[8] = 1e30
    hand = ball([0, 0, 0.5], keypoints=keypoints, score=0.5, note="failed")
    hand.vertices[0] = np.nan
    behind = ball([0, 0, -0.5], score=0.1)
    drawn = draw_overlay(grey(64, 64), [hand, behind], intrinsics(64, 64))
    assert (drawn != 128).any()
    only_behind = draw_overlay(grey(64, 64), [behind], intrinsics(64, 64))
    assert (only_behind == 128).all()


def test_caption_says_side_and_score_and_changes_the_picture():
    hand = ball([0, 0, 0.5], "left", score=0.876, note="drifted")
    assert hand.caption == "left 0.88 drifted"
    style = OverlayStyle(opacity=0.0, skeleton=False)
    for size in ((64, 64), (256, 256), (1200, 1600)):
        drawn = draw_overlay(grey(*size), [hand], intrinsics(*size), style)
        rows, _ = np.nonzero((drawn != 128).any(-1))
        assert len(rows) and rows.max() - rows.min() < 0.4 * size[0]


@pytest.mark.parametrize("hands", [[], [ball([5.0, 0, 0.5])]])
def test_nothing_to_draw(hands):
    assert (draw_overlay(grey(50, 40), hands, intrinsics(50, 40)) == 128).all()


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="uint8"):
        draw_overlay(np.zeros((4, 4, 3)), [], np.eye(3))
    with pytest.raises(ValueError, match="intrinsics"):
        draw_overlay(grey(4, 4), [], np.eye(4))


@pytest.mark.parametrize("name", ["overlay.jpg", "overlay.png"])
def test_written_overlay_can_be_read(tmp_path, name):
    hands, camera = [ball([0, 0, 0.5], score=0.9)], intrinsics(64, 80)
    write_overlay(tmp_path / name, grey(64, 80), hands, camera)
    written = np.asarray(Image.open(tmp_path / name)).astype(float)
    drawn = draw_overlay(grey(64, 80), hands, camera)
    assert np.abs(written - drawn).mean() < (3 if name.endswith("jpg") else 1e-9)


@pytest.mark.parametrize("name", ["missing/overlay.png", "overlay.docx"])
def test_unwritable_overlay_names_the_file(tmp_path, name):
    with pytest.raises(InputError, match="overlay"):
        write_overlay(tmp_path / name, grey(8, 8), [], np.eye(3))


def test_a_usual_picture_is_drawn_quickly():
    sphere = trimesh.creation.uv_sphere(radius=0.1, count=[28, 28])
    hand = OverlayHand(sphere.vertices + np.array([0, 0, 0.5]), sphere.faces, "right", score=0.9)
    picture, camera = grey(480, 640), intrinsics(480, 640)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        draw_overlay(picture, [hand], camera)
        seconds.append(time.perf_counter() - start)
    # 17 ms on an idle core; the margin is for busy machines.
    assert min(seconds) < 0.1
