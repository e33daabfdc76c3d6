"""Cameras: projection, weak perspective, crops exact to the pixel, mirror images."""

import math

import numpy as np
import pytest
import torch

from fitter.camera import (
    NEAR,
    SquareCrop,
    back_project,
    crop_intrinsics,
    crop_pixels,
    field_of_view,
    in_front,
    metric_to_weak,
    mirror_intrinsics,
    mirror_points,
    project,
    project_weak,
    to_crop,
    weak_to_metric,
)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def cameras(count):
    """Cameras with unequal focal lengths, skew and a principal point off the centre."""
    step = torch.arange(count, dtype=torch.float64)
    K = torch.zeros(count, 3, 3, dtype=torch.float64)
    K[:, 0, 0] = 500 + 10 * step
    K[:, 1, 1] = 480 - 5 * step
    K[:, 0, 1] = 3.0
    K[:, 0, 2] = 130 + step
    K[:, 1, 2] = 90 - step
    K[:, 2, 2] = 1
    return K


def hands(count, generator):
    points = 0.1 * torch.randn(count, 21, 3, dtype=torch.float64, generator=generator)
    return points + torch.tensor([0.02, -0.05, 0.6], dtype=torch.float64)


def test_project_is_the_pinhole_equation(generator):
    K, points = cameras(3), hands(3, generator)
    homogeneous = points @ K.transpose(1, 2)
    expected = homogeneous[..., :2] / homogeneous[..., 2:]
    torch.testing.assert_close(project(points, K), expected, rtol=1e-12, atol=1e-9)


def test_back_project_inverts_project(generator):
    K, points = cameras(3), hands(3, generator)
    restored = back_project(project(points, K), points[..., 2], K)
    torch.testing.assert_close(restored, points, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("depth", [-10.0, -NEAR, 0.0, 0.5 * NEAR, NEAR, 1.0])
def test_project_is_finite_everywhere(depth):
    points = torch.tensor([[[0.03, -0.02, depth]]], dtype=torch.float64, requires_grad=True)
    pixels = project(points, cameras(1))
    (gradient,) = torch.autograd.grad(pixels.sum(), points)
    assert pixels.isfinite().all()
    assert gradient.isfinite().all()
    assert in_front(points).item() == (depth >= NEAR)


def test_project_continues_smoothly_through_the_near_plane():
    def value_and_slope(depth):
        points = torch.tensor([[[0.03, 0.0, depth]]], dtype=torch.float64, requires_grad=True)
        u = project(points, cameras(1))[0, 0, 0]
        (gradient,) = torch.autograd.grad(u, points)
        return u.item(), gradient[0, 0, 2].item()

    before, behind = value_and_slope(NEAR * (1 + 1e-9)), value_and_slope(NEAR * (1 - 1e-9))
    assert behind == pytest.approx(before, rel=1e-6)
    # Behind the camera, moving forward still moves the point back toward the image.
    assert value_and_slope(-1.0)[0] > value_and_slope(-0.5)[0] > value_and_slope(0.0)[0]


def test_project_passes_gradcheck_on_both_sides_of_the_near_plane():
    points = torch.tensor(
        [[[0.03, -0.02, 0.5], [0.01, 0.02, 0.4 * NEAR], [0.01, 0.02, -0.2]]],
        dtype=torch.float64,
        requires_grad=True,
    )
    assert torch.autograd.gradcheck(project, (points, cameras(1).requires_grad_()))


def test_weak_perspective_is_scale_and_shift(generator):
    points = hands(2, generator)
    scale = torch.tensor([900.0, 700.0], dtype=torch.float64)
    translation = torch.tensor([[100.0, 50.0], [20.0, 30.0]], dtype=torch.float64)
    expected = points[1, 4, :2] * 700 + torch.tensor([20.0, 30.0])
    torch.testing.assert_close(project_weak(points, scale, translation)[1, 4], expected)


def test_weak_and_metric_cameras_are_inverse():
    K = cameras(2)
    scale = torch.tensor([900.0, 300.0], dtype=torch.float64)
    translation = torch.tensor([[100.0, 50.0], [220.0, 130.0]], dtype=torch.float64)
    position = weak_to_metric(scale, translation, K)
    again = metric_to_weak(position, K)
    torch.testing.assert_close(again[0], scale, rtol=1e-12, atol=0)
    torch.testing.assert_close(again[1], translation, rtol=1e-12, atol=1e-9)
    torch.testing.assert_close(position[:, 2], (K[:, 0, 0] * K[:, 1, 1]).sqrt() / scale)


def test_full_perspective_tends_to_weak_for_small_objects(generator):
    """The gap is of second order: a tenth of the size leaves a hundredth of it."""
    K = torch.tensor([[[500.0, 0, 128], [0, 500, 128], [0, 0, 1]]], dtype=torch.float64)
    scale = torch.tensor([1000.0], dtype=torch.float64)
    translation = torch.tensor([[128.0, 128.0]], dtype=torch.float64)
    position = weak_to_metric(scale, translation, K)
    shape = torch.randn(1, 21, 3, dtype=torch.float64, generator=generator)

    def gap(size):
        full = project(size * shape + position[:, None], K)
        return (full - project_weak(size * shape, scale, translation)).norm(dim=-1).mean()

    assert gap(1e-4) / gap(1e-3) == pytest.approx(0.01, rel=0.1)


def crops():
    return SquareCrop(
        torch.tensor([[120.3, 88.9], [10.0, 20.0], [150.0, 60.0]], dtype=torch.float64),
        torch.tensor([73.7, 300.0, 20.0], dtype=torch.float64),
        128,
    )


def test_projecting_with_the_crops_camera_maps_the_full_projection(generator):
    K, points = cameras(3), hands(3, generator)
    crop = crops()
    pixels = project(points, K)
    in_crop = project(points, crop_intrinsics(K, crop))
    torch.testing.assert_close(in_crop, to_crop(pixels, crop), rtol=1e-10, atol=1e-8)


def dot_image(centre, width=220, height=180, sigma=2.5):
    """A Gaussian dot at a subpixel position, under the house's pixel convention."""
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    dot = np.exp(-((x - centre[0]) ** 2 + (y[:, None] - centre[1]) ** 2) / (2 * sigma**2))
    return dot.astype(np.float32)


def centroid(image):
    grid = np.arange(image.shape[0]) + 0.5
    return np.array([(image * grid).sum(), (image * grid[:, None]).sum()]) / image.sum()


@pytest.mark.parametrize("size", [29.0, 41.3, 64.0, 90.5, 128.0, 151.7])
@pytest.mark.parametrize("output_size", [32, 64, 150])
def test_a_dot_is_cropped_to_its_predicted_place(size, output_size):
    position = np.array([97.37, 71.81])
    centre = torch.tensor([[100.1, 70.3]], dtype=torch.float64)
    crop = SquareCrop(centre, torch.tensor([size], dtype=torch.float64), output_size)
    predicted = to_crop(torch.as_tensor(position)[None, None], crop)[0, 0].numpy()
    found = centroid(crop_pixels(dot_image(position), crop)[0])
    assert np.abs(found - predicted).max() < 0.05


def test_a_window_equal_to_whole_pixels_copies_them():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    centre = torch.tensor([[20.0, 18.0]], dtype=torch.float64)
    crop = SquareCrop(centre, torch.tensor([16.0], dtype=torch.float64), 16)
    np.testing.assert_array_equal(crop_pixels(image, crop)[0], image[10:26, 12:28])


def test_a_shrunk_window_averages_its_pixels():
    """Stripes one pixel wide would alias to black or white if pixels were only picked."""
    image = np.zeros((64, 64), dtype=np.uint8)
    image[:, ::3] = 210
    crop = SquareCrop(torch.tensor([[32.0, 32.0]]), torch.tensor([48.0]), 16)
    assert np.abs(crop_pixels(image, crop)[0].astype(int) - 70).max() <= 1


def test_outside_the_picture_is_fill():
    image = np.full((30, 20, 3), 255, dtype=np.uint8)
    centres = torch.tensor([[0.0, 0.0], [500.0, 500.0], [-300.0, 10.0]])
    windows = crop_pixels(image, SquareCrop(centres, torch.full((3,), 16.0), 16), fill=7)
    assert (windows[0, :7, :7] == 7).all()
    assert (windows[0, 9:, 9:] == 255).all()
    assert (windows[1:] == 7).all()


def test_windows_of_a_batch_equal_windows_alone():
    image = np.random.default_rng(0).integers(0, 256, (180, 220, 3), dtype=np.uint8)
    crop = crops()
    together = crop_pixels(image, crop)
    for index in range(3):
        alone = SquareCrop(crop.centre[index : index + 1], crop.size[index : index + 1], 128)
        np.testing.assert_array_equal(together[index], crop_pixels(image, alone)[0])


def test_around_contains_the_points_with_its_margin(generator):
    points = 100 * torch.rand(4, 21, 2, dtype=torch.float64, generator=generator)
    crop = SquareCrop.around(points, margin=1.5, output_size=96)
    inside = to_crop(points, crop)
    assert (inside > 0).all()
    assert (inside < 96).all()
    extent = (inside.amax(dim=1) - inside.amin(dim=1)).amax(dim=1)
    torch.testing.assert_close(extent, torch.full((4,), 64.0, dtype=torch.float64))


def test_a_mirrored_scene_projects_to_the_mirrored_picture(generator):
    K, points = cameras(3), hands(3, generator)
    width = torch.tensor([256.0, 300.0, 640.0], dtype=torch.float64)
    flipped = points * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    mirrored = project(flipped, mirror_intrinsics(K, width))
    expected = mirror_points(project(points, K), width)
    torch.testing.assert_close(mirrored, expected, rtol=1e-12, atol=1e-9)
    torch.testing.assert_close(mirror_intrinsics(mirror_intrinsics(K, width), width), K)


def test_mirrored_positions_follow_the_mirrored_pixels():
    position = np.array([97.37, 71.81])
    image = dot_image(position)
    image = image[:180, :180]
    found = centroid(np.ascontiguousarray(image[:, ::-1]))
    predicted = mirror_points(torch.as_tensor(position)[None, None], 180)[0, 0].numpy()
    np.testing.assert_allclose(found, predicted, atol=1e-3)


def test_field_of_view_of_a_centred_camera():
    focal = 320 / math.tan(math.radians(30))
    K = torch.tensor([[[focal, 0, 320], [0, focal, 240], [0, 0, 1]]], dtype=torch.float64)
    angles = field_of_view(K, torch.tensor([[640.0, 480.0]], dtype=torch.float64))
    assert math.degrees(angles[0, 0]) == pytest.approx(60)
    assert angles[0, 1].item() == pytest.approx(2 * math.atan(240 / focal))


def test_wrong_shapes_are_named():
    K, points = cameras(2), torch.zeros(2, 4, 3)
    with pytest.raises(ValueError, match=r"K: expected shape \(2, 3, 3\), found \(1, 3, 3\)"):
        project(points, K[:1])
    with pytest.raises(ValueError, match=r"points: expected shape \(B, N, 3\), found \(4, 3\)"):
        project(points[0], K)
    with pytest.raises(ValueError, match=r"depth: expected shape \(2, 4\), found \(2, 4, 1\)"):
        back_project(points[..., :2], torch.ones(2, 4, 1), K)
