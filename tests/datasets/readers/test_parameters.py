"""From data sets' axes and cameras to ours, as equations."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from datasets.annotations import ManoAnnotation
from datasets.readers.parameters import moved_root, project, to_axis_angle, to_matrix
from datasets.readers.posing import hand_params
from fitter import camera
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from fitter.records import HandParams
from tests.support.known_hands import known_hand, model


def test_a_moved_hand_is_the_hand_moved(tmp_path):
    rng = np.random.default_rng(0)
    hand = model(tmp_path, "right")
    known = known_hand(tmp_path, 0)
    rotation = Rotation.random(random_state=1).as_matrix()
    offset = rng.normal(size=3)
    orient, translation = moved_root(
        known.flat("global_orient"), known.flat("transl"), known.joints[0], (rotation, offset)
    )
    params = HandParams(
        torch.as_tensor(orient)[None],
        known.params.hand_pose,
        known.params.betas,
        torch.as_tensor(translation)[None],
    )
    moved = hand(params).vertices[0].numpy()
    np.testing.assert_allclose(moved, known.vertices @ rotation.T + offset, atol=1e-9)


def test_rotations_are_scipys():
    vectors = np.random.default_rng(2).normal(size=(20, 3))
    for vector in vectors:
        matrix = to_matrix(vector)
        np.testing.assert_allclose(matrix, Rotation.from_rotvec(vector).as_matrix(), atol=1e-12)
        np.testing.assert_allclose(to_axis_angle(matrix), Rotation.from_matrix(matrix).as_rotvec())


def test_projection_is_the_cameras():
    points = np.random.default_rng(3).normal(size=(30, 3)) + [0, 0, 3]
    K = np.array([[500.0, 2.0, 300.0], [0.0, 480.0, 200.0], [0.0, 0.0, 1.0]])
    expected = camera.project(torch.as_tensor(points)[None], torch.as_tensor(K)[None])[0].numpy()
    seen = project(points, K)
    front = points[:, 2] > camera.NEAR
    np.testing.assert_allclose(seen[front], expected[front])
    assert np.isnan(project(-np.abs(points), K)).all()
    assert np.isnan(project(np.full((1, 3), np.nan), K)).all()


def test_every_way_to_say_a_pose_is_the_same_hand(tmp_path):
    hand = model(tmp_path, "right")
    known = known_hand(tmp_path, 4)
    shared = {"global_orient": known.flat("global_orient"), "betas": known.flat("betas")}
    ways = {
        "flat": known.flat("hand_pose"),
        "mean": known.pose_from_mean,
        "pca": known.coefficients,
    }
    placed = KeypointDefinition.of(hand, "mano").keypoints(known.params)[0, 13].numpy()
    for space, pose in ways.items():
        for keypoint, translation in ((None, known.flat("transl")), (13, placed)):
            said = ManoAnnotation(
                **shared,
                hand_pose=pose,
                translation=translation,
                pose_space=space,
                placed_keypoint=keypoint,
            )
            vertices = hand(hand_params(said, hand)).vertices[0].numpy()
            np.testing.assert_allclose(vertices, known.vertices, atol=1e-9)
