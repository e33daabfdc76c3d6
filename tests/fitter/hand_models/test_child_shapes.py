"""The open hand's shape space goes on to children, and adults stay what they were."""

import hashlib

import numpy as np
import pytest
import torch

from fitter.hand_models import HandModel, load_hand_model
from fitter.hand_models.open_hand import load_child_shapes, load_open_hand
from fitter.records import HandParams
from tests.support.errors import raises
from tests.support.paths import ROOT

ASSET = "811c6565d8e44b1d1e65e05c247cc9d323c5c53264e8fc3f7dede7d54a48dcd4"
"""sha256 of the file of adults from before there were children."""
KEPT = ("v_template", "skin_weights", "joint_regressor", "faces", "keypoint_offsets", "hands_mean",
        "hands_components", "tip_vertices")  # fmt: skip


@pytest.fixture(scope="module")
def adults():
    return load_open_hand()


@pytest.fixture(scope="module")
def everybody():
    return load_open_hand(children=True)


def rest(data, betas):
    zero = torch.zeros(1, 3, dtype=torch.float64)
    params = HandParams(zero, zero.expand(15, 3)[None], torch.as_tensor(betas)[None], zero)
    return HandModel(data, torch.float64)(params)


def test_the_file_of_adults_is_the_same():
    content = ROOT / "fitter" / "hand_models" / "assets" / "open_hand.safetensors"
    assert hashlib.sha256(content.read_bytes()).hexdigest() == ASSET


def test_adults_are_the_same_bit_for_bit(adults, everybody):
    for name in KEPT:
        np.testing.assert_array_equal(getattr(everybody, name), getattr(adults, name))
    np.testing.assert_array_equal(everybody.shapedirs[..., :10], adults.shapedirs)
    assert everybody.shapedirs.shape[2] == 11 and adults.shapedirs.shape[2] == 10


def test_the_model_with_children_has_another_identity(adults, everybody):
    assert everybody.sha256 != adults.sha256
    assert load_open_hand().sha256 == adults.sha256


def test_few_coefficients_mean_an_adult(adults, everybody):
    betas = np.random.default_rng(0).normal(0, 1, 10)
    one, other = rest(adults, betas), rest(everybody, betas)
    # Sums over another basis may be taken in another order.
    assert torch.allclose(one.vertices, other.vertices, rtol=0, atol=1e-14)
    assert torch.allclose(one.keypoints, other.keypoints, rtol=0, atol=1e-14)


def test_a_child_is_smaller_in_proportion(everybody):
    shapes = load_child_shapes()
    adult, child = (rest(everybody, betas).joints[0] for betas in (np.zeros(11), shapes.mean))
    size = float(child[4:7].diff(dim=0).norm() / adult[4:7].diff(dim=0).norm())
    assert 0.6 < size < 0.8
    # A child's palm is broader beside its length than an adult's.
    across = [(hand[1] - hand[7]).norm() / (hand[4] - hand[0]).norm() for hand in (child, adult)]
    assert across[0] > across[1]


def test_unit_variance_about_the_adult_with_the_stored_share():
    """What makes `shape_prior` of unit variance the prior of how likely a child is."""
    shapes = load_child_shapes()
    moment = shapes.covariance[-1, -1] + shapes.mean[-1] ** 2
    assert shapes.share * moment == pytest.approx(1.0, rel=2e-3)
    # All else of children is as of adults: about 0, of unit variance.
    np.testing.assert_allclose(shapes.mean[:-1], 0, atol=1e-4)
    assert (np.sqrt(np.diag(shapes.covariance)[:-1]) < 1.2).all()
    np.linalg.cholesky(shapes.covariance)


def test_children_of_another_model_are_refused(tmp_path):
    path = ROOT / "fitter" / "hand_models" / "assets" / "open_hand_mano.pkl"
    with raises("model.no_children", file=str(path)):
        load_hand_model(path, children=True)
