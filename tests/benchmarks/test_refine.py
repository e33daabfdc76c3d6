"""The synthetic test of the refinement: scenes are what they say, a fit sees what it may see."""

from dataclasses import replace

import numpy as np
import pytest
import refine_data
import refine_figures
import torch
from measuring import BenchmarkError
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_gradient_magnitude

from fitter.camera import project
from fitter.hand_models import load_hand_model
from fitter.hand_models.anatomy import anatomical_angles, anatomy_of

DISC = np.hypot(*np.mgrid[-3:4, -3:4]) <= 3
SEED = 30_009
"""A light hand before a dark background: its outline is easy to find."""


@pytest.fixture(scope="module")
def model():
    return load_hand_model("open_hand", dtype=torch.float64)


@pytest.fixture(scope="module")
def scene(model):
    return refine_data.render_scene(model, SEED)


def projected(scene, points):
    K = torch.from_numpy(scene.intrinsics)[None]
    return project(torch.from_numpy(points)[None], K)[0].numpy()


def test_a_scene_depends_on_its_seed_alone(model, scene):
    np.random.seed(3)
    torch.manual_seed(5)
    again = refine_data.render_scene(model, SEED)
    np.testing.assert_array_equal(again.image, scene.image)
    np.testing.assert_array_equal(again.vertices, scene.vertices)


def test_the_parameters_of_a_scene_give_its_mesh_within_anatomy(model, scene):
    mesh = model(scene.params)
    np.testing.assert_allclose(mesh.vertices[0].numpy(), scene.vertices, atol=1e-12)
    np.testing.assert_allclose(mesh.joints[0].numpy(), scene.joints, atol=1e-12)
    np.testing.assert_allclose(mesh.keypoints[0].numpy(), scene.keypoints, atol=1e-12)
    anatomy = anatomy_of(model.data)
    angles = anatomical_angles(scene.params.hand_pose, anatomy.axes)[0].numpy()
    # The axes follow the hand's shape, the limits' are the mean hand's: a few degrees of slack.
    assert (angles > anatomy.lower - 0.15).all() and (angles < anatomy.upper + 0.15).all()


def test_the_whole_hand_is_in_the_picture_and_fills_a_good_part_of_it(scene):
    places = projected(scene, scene.vertices)
    assert places.min() > 4 and places.max() < refine_figures.SIZE - 4
    assert 0.5 < np.ptp(places, axis=0).max() / refine_figures.SIZE < 0.95


def test_masks_share_out_the_picture(model, scene):
    K = torch.from_numpy(scene.intrinsics)[None]
    (drawn,) = refine_figures.silhouette(scene.vertices[None], model.faces, K)
    assert not (scene.hand_mask & scene.arm_mask).any()
    np.testing.assert_array_equal(scene.hand_mask | scene.covered, drawn)
    assert (scene.covered <= scene.arm_mask).all() and scene.arm_mask.any()


def test_the_mask_lies_on_the_picture_to_a_pixel(scene):
    # Along the mask's outline the picture changes most where the outline is not shifted.
    change = gaussian_gradient_magnitude(scene.image.astype(float), (1, 1, 0)).sum(axis=2)
    outline = scene.hand_mask & ~binary_erosion(scene.hand_mask)
    outline &= ~binary_dilation(scene.arm_mask, iterations=6)
    shifts = [(dy, dx) for dy in range(-4, 5) for dx in range(-4, 5)]
    score = [change[np.roll(outline, shift, axis=(0, 1))].mean() for shift in shifts]
    assert np.abs(shifts[int(np.argmax(score))]).max() <= 1


def test_a_scene_comes_back_as_it_was_written(tmp_path, scene):
    refine_data.save_scene(tmp_path, scene)
    (back,) = refine_data.load_scenes(tmp_path)
    for name, value in vars(scene).items():
        if name != "params":
            np.testing.assert_array_equal(getattr(back, name), value)
    for name, value in vars(scene.params).items():
        assert torch.equal(getattr(back.params, name), value)
    with pytest.raises(BenchmarkError, match=r"expected 2 scenes .* found 1"):
        refine_data.load_scenes(tmp_path, 2)


def test_keypoints_are_noisy_by_what_the_protocol_says(scene):
    truth = projected(scene, scene.keypoints)
    seen = [refine_data.observe(replace(scene, seed=seed)) for seed in range(150)]
    errors = np.stack([observation.hand.keypoints - truth for observation in seen])
    # 6,300 draws: the standard deviation is known to 1 %, the mean to 0.07.
    assert abs(errors.std() / 5.6 - 1) < 0.04
    assert abs(errors.mean()) < 0.3
    correlation = np.corrcoef(errors.reshape(len(seen), -1).T)
    assert np.abs(correlation[np.triu_indices(42, 1)]).mean() < 0.1
    assert all((observation.hand.confidence == 1).all() for observation in seen)
    assert all(observation.hand.relative_depth is None for observation in seen)
    assert all(observation.hand.relative_xyz is None for observation in seen)


def test_masks_are_resized_by_up_to_three_pixels_and_punched(scene):
    least = binary_erosion(scene.hand_mask, DISC)
    most = binary_dilation(scene.hand_mask, DISC)
    radii = set()
    for seed in range(40):
        generator = np.random.default_rng(seed)
        resized = refine_data.resized(scene.hand_mask, generator)
        assert (least <= resized).all() and (resized <= most).all()
        radii.add(int(resized.sum()))
        holed = refine_data.punched(resized, generator)
        assert (holed <= resized).all()
        assert (resized & ~holed).sum() == round(0.05 * resized.sum())
    assert len(radii) == 7  # -3 to 3 pixels
    assert radii >= {int(least.sum()), int(scene.hand_mask.sum()), int(most.sum())}


def test_what_is_seen_depends_on_the_seed_alone(scene):
    one, two = refine_data.observe(scene), refine_data.observe(scene)
    np.testing.assert_array_equal(one.hand.keypoints, two.hand.keypoints)
    np.testing.assert_array_equal(one.mask, two.mask)
    other = refine_data.observe(replace(scene, seed=SEED + 1))
    assert (other.hand.keypoints != one.hand.keypoints).all()


def test_the_truth_is_perfect_and_a_moved_hand_is_off_by_its_way(model, scene):
    batch = refine_figures.SceneBatch.of([scene, scene])
    vertices = np.stack([scene.vertices, scene.vertices + [0.01, 0, 0]])
    keypoints = np.stack([scene.keypoints, scene.keypoints + [0.01, 0, 0]])
    figures = refine_figures.evaluate(
        batch, refine_figures.Estimate(vertices, keypoints), model.faces
    )
    assert set(figures) == set(refine_figures.FIGURES)
    assert figures["iou"][0] == 1 > figures["iou"][1]
    for name in ("contour_px", "error_2d_px", "mpjpe_mm", "vertex_mm"):
        assert figures[name][0] == 0 < figures[name][1]
    np.testing.assert_allclose(figures["mpjpe_mm"][1], 10)
    np.testing.assert_allclose(figures["vertex_mm"][1], 10)
    for name in ("pa_mpjpe_mm", "pa_vertex_mm", "edge_mm", "normal"):
        np.testing.assert_allclose(figures[name], 0, atol=1e-6)


def test_a_hidden_part_of_the_hand_is_not_counted(model, scene):
    # As if the right half of the hand were behind the arm: the true mesh's silhouette stays right.
    behind = scene.hand_mask & (np.arange(refine_figures.SIZE) > 128)
    hidden = replace(
        scene,
        hand_mask=scene.hand_mask & ~behind,
        arm_mask=scene.arm_mask | behind,
        covered=scene.covered | behind,
    )
    truth = refine_figures.Estimate(scene.vertices[None], scene.keypoints[None])
    figures = refine_figures.evaluate(refine_figures.SceneBatch.of([hidden]), truth, model.faces)
    assert figures["iou"] == 1 and figures["contour_px"] == 0
