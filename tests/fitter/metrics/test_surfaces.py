"""Masks, contours and meshes compared: cases whose answer is known by hand."""

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from fitter.metrics import contour_distance, edge_error, mask_accuracy, mask_iou, normal_error

SPHERE = trimesh.creation.icosphere(2, 0.05)
VERTICES, FACES = np.array(SPHERE.vertices)[None], np.array(SPHERE.faces)


def rectangle(rows, columns, size=(40, 60)):
    mask = np.zeros(size, bool)
    mask[slice(*rows), slice(*columns)] = True
    return mask[None]


def test_iou_of_overlapping_rectangles():
    a, b = rectangle((10, 20), (10, 30)), rectangle((10, 20), (20, 40))
    np.testing.assert_allclose(mask_iou(a, b), 100 / 300)
    np.testing.assert_allclose(mask_iou(a, a), 1)
    np.testing.assert_allclose(mask_iou(a, rectangle((30, 35), (0, 9))), 0)


def test_masks_are_scored_as_torchmetrics_scores_them():
    segmentation = pytest.importorskip("torchmetrics.functional.classification")
    drawn = np.random.default_rng(0).random((2, 6, 20, 30))
    estimate, truth = drawn[0] < 0.4, drawn[1] < 0.7
    scores = [
        [
            float(metric(torch.from_numpy(e).int(), torch.from_numpy(t).int()))
            for e, t in zip(estimate, truth, strict=True)
        ]
        for metric in (segmentation.binary_jaccard_index, segmentation.binary_accuracy)
    ]
    np.testing.assert_allclose(mask_iou(estimate, truth), scores[0], atol=1e-6)
    np.testing.assert_allclose(mask_accuracy(estimate, truth), scores[1], atol=1e-6)


def test_edges_and_normals_are_those_of_trimesh():
    rng = np.random.default_rng(1)
    estimate, truth = (VERTICES + rng.normal(0, 0.004, VERTICES.shape) for _ in range(2))
    meshes = [trimesh.Trimesh(v[0], FACES, process=False) for v in (estimate, truth)]
    lengths = [mesh.edges_unique_length for mesh in meshes]
    np.testing.assert_allclose(
        edge_error(estimate, truth, FACES), np.abs(lengths[0] - lengths[1]).mean()
    )
    edges = np.diff(estimate[0][FACES[:, [0, 1, 2, 0]]], axis=1)
    edges /= np.linalg.norm(edges, axis=-1, keepdims=True)
    expected = np.abs((edges * meshes[1].face_normals[:, None]).sum(-1)).mean()
    np.testing.assert_allclose(normal_error(estimate, truth, FACES), expected)


def test_iou_of_empty_masks():
    empty, full = rectangle((0, 0), (0, 0)), rectangle((1, 5), (1, 5))
    assert mask_iou(empty, empty) == 1
    assert mask_iou(empty, full) == mask_iou(full, empty) == 0


def test_masks_of_a_batch_are_compared_one_by_one():
    a = np.concatenate([rectangle((5, 9), (5, 9)), rectangle((5, 9), (5, 9))])
    b = np.concatenate([rectangle((5, 9), (5, 9)), rectangle((5, 9), (5, 7))])
    np.testing.assert_allclose(mask_iou(a, b), [1, 0.5])
    assert contour_distance(a, b)[0] == 0 < contour_distance(a, b)[1]


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_contours_of_a_strip_that_moves_down(shift):
    # It crosses the picture, so its contour is its first and its last row, `shift` pixels off.
    a, b = rectangle((15, 25), (0, 60)), rectangle((15 + shift, 25 + shift), (0, 60))
    np.testing.assert_allclose(contour_distance(a, b), shift)


def test_contours_of_squares_one_inside_the_other():
    inner, outer = rectangle((18, 22), (28, 32)), rectangle((15, 25), (25, 35))
    # From the 12 pixels of the inner contour 3 each. Of the 36 of the outer one: 3 from 4 pixels of
    # each side, sqrt(9 + k^2) from two pixels each for k = 1, 2, sqrt(18) from the corners.
    sides = 4 * (4 * 3 + 2 * (np.sqrt(10) + np.sqrt(13)))
    outward = (sides + 4 * np.sqrt(18)) / 36
    np.testing.assert_allclose(contour_distance(inner, outer), (3 + outward) / 2)


def test_contour_distance_is_symmetric_and_grows_with_radius():
    y, x = np.mgrid[:80, :80] + 0.5
    radius = np.hypot(x - 40, y - 40)[None]
    a, b = radius < 20, radius < 25
    assert contour_distance(a, b) == contour_distance(b, a)
    np.testing.assert_allclose(contour_distance(a, b), 5, atol=0.3)
    assert contour_distance(a, radius < 30) > contour_distance(a, b)


def test_contours_of_empty_and_full_masks():
    empty, some = rectangle((0, 0), (0, 0)), rectangle((5, 9), (5, 9))
    assert contour_distance(empty, empty) == 0
    np.testing.assert_allclose(contour_distance(empty, some), np.hypot(40, 60))
    np.testing.assert_allclose(contour_distance(some, empty), np.hypot(40, 60))
    assert contour_distance(~empty, ~empty) == 0


def test_edge_error_of_a_scaled_mesh_is_the_share_of_its_mean_edge():
    expected = 0.2 * SPHERE.edges_unique_length.mean()
    np.testing.assert_allclose(edge_error(1.2 * VERTICES, VERTICES, FACES), expected)


def test_edge_error_counts_an_edge_of_two_faces_once():
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)[None]
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    folded = square.copy()
    folded[0, 2, :2] = 2  # the diagonal grows from sqrt 2 to 2 sqrt 2, two sides to sqrt 5
    expected = (np.sqrt(2) + 2 * (np.sqrt(5) - 1)) / 5
    np.testing.assert_allclose(edge_error(folded, square, faces), expected)


def test_edge_error_does_not_see_rigid_motion():
    moved = Rotation.from_rotvec([0.3, -1.0, 0.4]).apply(VERTICES[0])[None] + [0.1, 0.2, 0.3]
    np.testing.assert_allclose(edge_error(moved, VERTICES, FACES), 0, atol=1e-15)


def test_normal_error_of_a_plane_that_is_tilted():
    # Edges along x stay in the plane, those along y leave it by the tilt's sine.
    triangle = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0]]], float)
    faces = np.array([[0, 1, 2]])
    tilt = Rotation.from_rotvec([0.3, 0, 0])
    diagonal = np.sin(0.3) / np.sqrt(2)
    expected = (0 + np.sin(0.3) + diagonal) / 3
    tilted = tilt.apply(triangle[0])[None]
    np.testing.assert_allclose(normal_error(tilted, triangle, faces), expected)


def test_normal_error_sees_neither_size_nor_place():
    np.testing.assert_allclose(normal_error(3 * VERTICES + 1, VERTICES, FACES), 0, atol=1e-12)
    rough = VERTICES + np.random.default_rng(0).normal(0, 0.002, VERTICES.shape)
    rougher = VERTICES + np.random.default_rng(0).normal(0, 0.004, VERTICES.shape)
    fine, coarse = (normal_error(v, VERTICES, FACES) for v in (rough, rougher))
    assert 0 < fine < coarse < 1


def test_normal_error_does_not_reward_collapse_and_skips_faces_without_area():
    assert normal_error(0 * VERTICES, VERTICES, FACES) == 1
    with_sliver = np.concatenate([FACES, [[0, 0, 1]]])
    turned = Rotation.from_rotvec([0, 0.2, 0]).apply(VERTICES[0])[None]
    np.testing.assert_allclose(
        normal_error(turned, VERTICES, with_sliver), normal_error(turned, VERTICES, FACES)
    )
    assert np.isnan(normal_error(VERTICES, 0 * VERTICES, FACES))


@pytest.mark.parametrize("metric", [edge_error, normal_error])
def test_a_hand_that_is_not_finite_is_nan_and_leaves_the_others_alone(metric):
    truth = np.concatenate([VERTICES, VERTICES])
    estimate = 1.1 * np.stack([VERTICES[0], VERTICES[0, ::-1]])
    alone = metric(estimate[1:], truth[1:], FACES)
    estimate[0, 3, 1] = np.nan
    both = metric(estimate, truth, FACES)
    assert np.isnan(both[0])
    np.testing.assert_allclose(both[1:], alone, rtol=1e-12)
