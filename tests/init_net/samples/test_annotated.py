"""Annotated hands as samples: what is known goes over, what is not is NaN."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fitter.camera import project
from fitter.hand_models import load_hand_model
from fitter.hand_models.keypoint_model import pose_keypoints
from init_net.samples.annotated import hand_sample
from init_net.samples.rendered import shape_count
from init_net.samples.shards import HAND_FIELDS, UNKNOWN, true_hands
from tests.support.annotated_pictures import (
    SIZE,
    Pictures,
    in_the_picture_alone,
    mirrored,
    without_parameters,
)
from tests.support.errors import raises

SIDE = 64


def sample(images: Pictures, row: int = 0) -> dict[str, np.ndarray]:
    return hand_sample(images[row], 0, images.definition, SIDE)


@pytest.fixture(scope="module")
def model():
    return load_hand_model(dtype=torch.float64, children=True).keypoint_model()


@pytest.mark.parametrize("row", range(6))
def test_parameters_pose_what_the_samples_camera_sees(model, row):
    found = sample(Pictures(), row)
    hands = true_hands({name: found[name][None] for name in HAND_FIELDS})
    points = pose_keypoints(model, hands)[1]
    np.testing.assert_allclose(points[0], found["keypoints_3d"], atol=1e-4)
    seen = project(points, torch.from_numpy(found["intrinsics"])[None])[0]
    assert np.linalg.norm(seen.numpy() - found["keypoints_2d"], axis=1).max() < 0.5
    # The hand lies in the middle half.
    low, high = found["keypoints_2d"].min(0), found["keypoints_2d"].max(0)
    np.testing.assert_allclose((low + high) / 2, SIDE / 2, atol=1e-6)
    assert (high - low).max() == pytest.approx(SIDE / 2)


def test_the_mask_lies_on_the_hand():
    found = sample(Pictures())
    inside = np.round(found["keypoints_2d"] - 0.5).astype(int)
    assert found["has_mask"] and (found["mask"][inside[:, 1], inside[:, 0]] > 127).mean() > 0.8


def test_a_left_hand_is_the_right_one_of_the_mirrored_picture():
    class Mirrored(Pictures):
        def annotation(self, place):
            right = super().annotation(place)
            K = right.intrinsics.copy()
            K[0, 2] = SIZE - K[0, 2]
            return replace(right, intrinsics=K, hands=tuple(map(mirrored, right.hands)))

        def pixels(self, place):
            return np.ascontiguousarray(super().pixels(place)[:, ::-1])

        def masks(self, place):
            return super().masks(place)[..., ::-1]

    wanted, found = sample(Pictures(), 2), sample(Mirrored(), 2)
    for name, value in wanted.items():
        if name in ("image", "mask"):
            # Placed to 1/32 of a pixel from either side.
            assert np.abs(found[name].astype(int) - value).mean() < 4
        elif name != "picture_hash":
            np.testing.assert_allclose(found[name], value, atol=1e-9, err_msg=name)


def test_what_is_not_known_is_nan():
    bare = sample(Pictures(without_parameters, masks=False, definition="freihand"))
    assert all(np.isnan(bare[name]).all() for name in HAND_FIELDS)
    assert bare["betas"].shape == (shape_count(),)
    assert not bare["has_mask"] and not bare["mask"].any() and not bare["is_marks"]
    assert np.isfinite(bare["keypoints_3d"]).all() and np.isfinite(bare["intrinsics"]).all()
    flat = sample(Pictures(in_the_picture_alone, intrinsics=False))
    assert np.isnan(flat["keypoints_3d"]).all() and np.isnan(flat["intrinsics"]).all()
    assert np.isfinite(flat["keypoints_2d"]).all() and flat["is_marks"]


def test_a_focal_length_that_was_fitted_with_a_hand_is_the_samples():
    own = np.array([[200.0, 0, 48], [0, 200, 48], [0, 0, 1]])
    found = sample(Pictures(lambda row, hand: replace(hand, intrinsics=own)))["intrinsics"]
    given = sample(Pictures())["intrinsics"]
    true = Pictures()[0].annotation.intrinsics
    assert found[0, 0] / given[0, 0] == pytest.approx(own[0, 0] / true[0, 0])


def test_confidence_score_and_visibility_go_over():
    sure, seen = np.linspace(0, 1, 21), np.arange(21) % 2 == 0
    found = sample(
        Pictures(lambda row, hand: replace(hand, confidence=sure, score=0.3, visible=seen))
    )
    assert (found["label_confidence"] == sure).all() and found["label_score"] == 0.3
    assert ((found["keypoint_state"] == 0) == seen).all()
    plain = sample(Pictures(lambda row, hand: replace(hand, visible=None)))
    assert (plain["label_confidence"] == 1).all() and plain["label_score"] == 1
    assert (plain["keypoint_state"] == UNKNOWN).all()


def test_a_hand_of_which_nobody_says_which():
    images = Pictures(lambda row, hand: replace(hand, side=None))
    with raises("samples.no_side", file="0.png, hand 0"):
        sample(images)


def test_a_hand_of_which_nobody_says_where():
    def hidden(row, hand):
        positions = hand.keypoints_2d.copy()
        positions[3:] = np.nan
        return replace(hand, keypoints_2d=positions)

    with raises("samples.no_place", file="0.png, hand 0", found=3):
        sample(Pictures(hidden))
