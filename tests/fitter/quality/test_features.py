"""Features of fitted hands: what they may depend on, and what is said to be unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fitter.fitting.initializer import Predictions
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.masks.hand_mask import HandMask
from fitter.quality.features import (
    DETECTOR,
    FEATURES,
    FIT,
    IMAGE,
    MASK,
    NETWORK,
    WEAK_3D,
    features_of,
    image_features,
)
from fitter.quality.inputs import JudgedHands
from fitter.refinement.scene import SceneModel
from tests.support.judged_hands import SIDE, judged_hands, mirrored
from tests.support.refine_scenes import perturbed, scene_model, true_hands

SEEN = torch.full((4, 21), 0.75)


@pytest.fixture(scope="module")
def scenes() -> SceneModel:
    return scene_model()


def columns(judged: JudgedHands, scenes: SceneModel) -> dict[str, np.ndarray]:
    rows = features_of(judged, scenes.fit, SEEN[: len(judged.observed)])
    return dict(zip(FEATURES, rows.T, strict=True))


def test_a_perfect_fit_has_no_residuals(scenes) -> None:
    found = columns(judged_hands(scenes, 4), scenes)
    for name in ("residual", "fit_from_world", "fit_from_network", "moved", "limits"):
        np.testing.assert_allclose(found[name], 0, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(found["fit_turned_from_world"], 0, atol=1e-5)
    assert found["visible"] == pytest.approx(0.75) and found["least_visible"] == pytest.approx(0.75)


def test_a_worse_fit_has_larger_residuals(scenes) -> None:
    truth = true_hands(scenes, 4)
    sizes = (0.0, 0.5, 1.0, 2.0)
    found = [
        columns(judged_hands(scenes, 4, perturbed(truth, size=size)), scenes) for size in sizes
    ]
    for name in ("residual", "fit_from_world", "fit_from_network", "fit_turned_from_network"):
        assert (np.diff([each[name] for each in found], axis=0) > 0).all(), name


def test_lengths_do_not_depend_on_the_size_of_what_is_compared(scenes) -> None:
    judged = judged_hands(scenes, 4, perturbed(true_hands(scenes, 4)))
    larger = [replace(h, relative_xyz=1.3 * h.relative_xyz + 0.2) for h in judged.observed]
    before, after = columns(judged, scenes), columns(replace(judged, observed=larger), scenes)
    for name in FEATURES:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-6, atol=1e-6, err_msg=name)


def test_a_left_hand_has_the_features_of_its_mirror_image(scenes) -> None:
    judged = judged_hands(scenes, 4, perturbed(true_hands(scenes, 4)))
    before, after = columns(judged, scenes), columns(mirrored(judged), scenes)
    for name in FEATURES:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-6, atol=1e-6, err_msg=name)


def test_what_nobody_says_is_unknown(scenes) -> None:
    given = columns(judged_hands(scenes, 4, detected=False), scenes)
    assert all(np.isnan(given[name]).all() for name in (*DETECTOR, "fit_from_world"))
    alone = judged_hands(scenes, 4, network_std=None)
    alone = replace(alone, crops=[None] * 4)
    found = columns(alone, scenes)
    assert all(np.isnan(found[name]).all() for name in (*NETWORK, *IMAGE, *MASK))
    assert all(np.isfinite(found[name]).all() for name in FIT)
    both = columns(judged_hands(scenes, 4), scenes)
    assert all(np.isfinite(both[name]).all() for name in (*DETECTOR, *IMAGE, "network_std"))
    assert np.isfinite(both["fit_from_world"]).all() and set(WEAK_3D) < set(FEATURES)
    absent = judged_hands(scenes, 4)
    absent = replace(absent, observed=[replace(hand, presence=None) for hand in absent.observed])
    unsaid = columns(absent, scenes)
    assert {name for name in DETECTOR if np.isnan(unsaid[name]).any()} == {"presence"}


def test_two_networks_are_apart_by_what_they_say(scenes) -> None:
    judged = judged_hands(scenes, 4)
    (said,) = judged.predictions.initialisations.values()
    bent = replace(said, keypoints=said.keypoints.clone())
    bent.keypoints[:, 8] += 0.2
    two = Predictions({"lifter": said, "other": bent}, [None] * 4)
    found = columns(replace(judged, predictions=two), scenes)
    assert (found["networks_apart"] > 1).all()
    same = Predictions({"lifter": said, "other": said}, [None] * 4)
    alike = columns(replace(judged, predictions=same), scenes)
    np.testing.assert_allclose(alike["networks_apart"], 0, atol=1e-6)


def test_the_surest_network_says_how_sure_networks_are(scenes) -> None:
    """In millimetres at the wrist's distance."""
    judged = judged_hands(scenes, 4, network_std=0.02)
    wrist = pose_keypoints(scenes.fit.keypoints, judged.right)[1][:, 0, 2]
    expected = 20 * wrist / judged.hands.intrinsics[:, 0, 0]
    np.testing.assert_allclose(columns(judged, scenes)["network_std"], expected, rtol=0.2)


def test_a_hand_that_was_not_fitted_has_no_features(scenes) -> None:
    judged = judged_hands(scenes, 4)
    lost = judged.right.map(lambda tensor: tensor.index_fill(0, torch.tensor([2]), torch.nan))
    found = features_of(replace(judged, right=lost), scenes.fit, SEEN)
    assert np.isnan(found[2]).all()
    whole = features_of(judged, scenes.fit, SEEN)
    np.testing.assert_allclose(found[[0, 1, 3]], whole[[0, 1, 3]], rtol=1e-9, atol=1e-9)


def test_masks_say_how_far_they_agree(scenes) -> None:
    mask = HandMask(np.ones((SIDE, SIDE)), np.ones((SIDE, SIDE)), "network", 0.8)
    judged = replace(
        judged_hands(scenes, 4), masks={1: mask, 2: mask.rejected()}, mask_iou={1: 0.7}
    )
    found = columns(judged, scenes)
    np.testing.assert_array_equal(found["mask_agreement"], [np.nan, 0.8, 0.8, np.nan])
    np.testing.assert_array_equal(found["mask_rejected"], [np.nan, 0, 1, np.nan])
    np.testing.assert_array_equal(found["mask_iou"], [np.nan, 0.7, np.nan, np.nan])


def test_a_blurred_image_shows_less_detail_and_a_dark_one_as_much(scenes) -> None:
    cv2 = pytest.importorskip("cv2")
    crop = judged_hands(scenes, 1).crops[0]
    smooth = cv2.GaussianBlur(crop.pixels, (0, 0), 1.5)
    plain = replace(crop, pixels=smooth)
    blurred = replace(crop, pixels=cv2.GaussianBlur(smooth, (0, 0), 4))
    assert image_features(blurred)["fine_detail"] < image_features(plain)["fine_detail"] - 0.3
    dark = image_features(replace(plain, pixels=plain.pixels // 2))
    assert dark["brightness"] == pytest.approx(image_features(plain)["brightness"] / 2, rel=0.02)
    assert dark["fine_detail"] == pytest.approx(image_features(plain)["fine_detail"], abs=0.3)
