"""Joints as a regressor finds them on posed meshes, beside those that posed the meshes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fitter.conventions import MODEL_TO_KEYPOINTS
from fitter.hand_models import HandModel, KeypointDefinition, load_hand_model, pose_keypoints
from init_net.samples.posed_joints import PosedJoints, regressed_model
from init_net.samples.random_hands import RandomHands
from tests.support.nimble_files import nimble_folder

SEED = (3, 1)


@pytest.fixture(scope="module", params=["open_hand", "nimble"])
def model(request) -> HandModel:
    return load_hand_model("open_hand" if request.param == "open_hand" else str(nimble_folder()))


def hands(model, count=6):
    return RandomHands(model).draw(
        count, np.random.default_rng(1), torch.Generator().manual_seed(2)
    )[0]


def test_what_is_regressed_is_regressed_from_the_posed_mesh(model):
    """Yu eq. 2, with the mesh."""
    params = hands(model)
    vertices = model(params).vertices
    if model.data.keypoint_regressor is not None:
        expected = torch.from_numpy(model.data.keypoint_regressor).float() @ vertices
    else:
        joints = torch.from_numpy(np.asarray(model.data.joint_regressor)).float() @ vertices
        both = torch.cat([joints, vertices[:, list(model.data.tip_vertices)]], 1)
        expected = both[:, list(MODEL_TO_KEYPOINTS)]
    found = pose_keypoints(regressed_model(model), params)[1]
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)


def test_samples_are_relative_to_the_true_wrist_and_off_by_the_gap(model):
    samples = PosedJoints(model, 5).sample(40, 7, SEED)
    assert samples.code_noise.shape == (40, 7)
    assert bool((samples.joints[:, 0] == 0).all())
    off = (samples.regressed - samples.joints).norm(dim=-1)
    if model.data.keypoint_regressor is None:
        # At fingertips, which are vertices, there is no gap; at joints there is, of millimetres.
        assert off[:, 4::4].max() < 1e-6 and 1e-4 < off.mean() < 5e-3
    else:
        assert off.max() < 1e-6
    bones = (samples.joints[:, 9] - samples.joints[:, 0]).norm(dim=-1)
    assert bones.min() > 0.06 and bones.max() < 0.13  # metres


def test_joints_scatter_as_far_as_is_asked():
    model = load_hand_model()
    plain, noisy = (PosedJoints(model, 10, noise).sample(400, 1, SEED) for noise in (0.0, 0.02))
    torch.testing.assert_close(plain.joints, noisy.joints, atol=0, rtol=0)
    spread = (noisy.regressed - plain.regressed).flatten(1).std(1)
    assert spread.min() > 0 and spread.max() < 0.025
    assert spread.mean() == pytest.approx(0.01, rel=0.1)  # uniform up to the largest


def test_a_seed_decides_and_a_shape_that_no_network_says_stays_away():
    model = load_hand_model(children=True)
    sampler = PosedJoints(model, 10)
    first, again, other = (sampler.sample(5, 2, seed) for seed in (SEED, SEED, (3, 2)))
    for name in ("regressed", "joints", "code_noise"):
        assert torch.equal(getattr(first, name), getattr(again, name))
        assert not torch.equal(getattr(first, name), getattr(other, name))
    params, rotation = RandomHands(model, 10).draw(
        4, np.random.default_rng(1), torch.Generator().manual_seed(2)
    )
    assert params.betas.shape == (4, 10)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(4))


def test_hands_of_nimble_bend_their_fingers_and_keep_their_metacarpals():
    model = load_hand_model(str(nimble_folder()))
    pose = hands(model).hand_pose
    skeleton = model.skeleton
    assert pose.shape == (6, skeleton.rotations, 3)
    assert bool((pose[:, list(skeleton.metacarpal_rows)] == 0).all())
    assert bool((pose[:, list(skeleton.finger_rows)] != 0).any(-1).all())


def test_true_joints_are_the_definition_of_data_sets():
    model = load_hand_model()
    sampler, definition = PosedJoints(model, 10), KeypointDefinition.of(model, "mano")
    params = hands(model, 3)
    true = pose_keypoints(sampler._true, params)[1]
    torch.testing.assert_close(true, definition.keypoints(params), atol=1e-6, rtol=0)
