"""A rig skins its rest mesh into the fitted one, whatever moved that."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fitter.formats.rig import Rig
from fitter.hand_models import load_open_hand
from fitter.hand_models.skeleton import NIMBLE_SKELETON
from tests.support import exported_hands as hands
from tests.support.fitted_stores import posed_hand


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("model", ["open_hand", "with_blend_shapes"])
def test_it_gives_the_fitted_vertices(model, side):
    meshes = getattr(hands, model)()
    data = meshes.model(side).data
    row = hands.offset_hand(3, side, data)
    vertices = meshes.vertices(row)
    rig = Rig.of(data, row, vertices)
    assert np.abs(rig.posed() - vertices).max() < 1e-9


def test_a_hand_of_shape_and_pose_alone_rests_as_its_shape():
    meshes = hands.open_hand()
    row = posed_hand(2)
    rig = Rig.of(meshes.data, row, meshes.vertices(row))
    still = replace(row, global_orient=np.zeros(3), hand_pose=np.zeros((15, 3)),
                    transl=np.zeros(3))  # fmt: skip
    # As exact as the single precision that vertices come in.
    assert np.abs(rig.rest_vertices - meshes.vertices(still)).max() < 1e-6


def test_offsets_turn_with_their_bones():
    """An offset of a vertex on one rigid bone is rotated back by that bone alone."""
    meshes = hands.open_hand()
    data = meshes.data
    rigid = int(np.argmax(data.skin_weights[:, 0] > 1 - 1e-9))
    offsets = np.zeros(data.v_template.shape, np.float32)
    offsets[rigid] = (0.001, 0.002, 0.003)
    row = posed_hand(4)
    plain = Rig.of(data, row, meshes.vertices(row))
    moved = Rig.of(data, replace(row, vertex_offsets=offsets), meshes.vertices(row) + offsets)
    back = Rotation.from_rotvec(row.global_orient).inv().apply(offsets[rigid])
    change = moved.rest_vertices - plain.rest_vertices
    assert np.abs(change[rigid] - back).max() < 1e-7
    assert np.abs(np.delete(change, rigid, 0)).max() < 1e-12


def test_a_blend_that_cannot_be_undone_stays_bounded():
    """Half a vertex on each of two bones that are rotated by 180 degrees: the blend is singular."""
    data = load_open_hand()
    weights = data.skin_weights.copy()
    weights[7] = 0
    weights[7, [0, 1]] = 0.5
    data = replace(data, skin_weights=weights)
    row = posed_hand(1)
    pose = row.hand_pose.copy()
    pose[0] = (np.pi, 0, 0)
    row = replace(row, hand_pose=pose)
    fitted = Rig.of(data, row, np.zeros(data.v_template.shape)).posed()
    rig = Rig.of(data, row, fitted + 0.001)
    assert np.abs(rig.rest_vertices).max() < 1e3 * np.abs(data.v_template).max()
    assert np.abs(np.delete(rig.posed() - fitted - 0.001, 7, 0)).max() < 1e-9


def test_joints_that_do_not_rotate_follow_their_parents():
    """NIMBLE's tree: 25 joints, the ends of the fingers hold still."""
    rng = np.random.default_rng(0)
    data = load_open_hand()
    count = len(data.v_template)
    weights, regressor = rng.random((count, 25)), rng.random((25, count))
    data = replace(
        data,
        skeleton=NIMBLE_SKELETON,
        skin_weights=weights / weights.sum(1, keepdims=True),
        joint_regressor=regressor / regressor.sum(1, keepdims=True),
    )
    pose = 0.3 * rng.normal(size=(NIMBLE_SKELETON.rotations, 3))
    row = replace(posed_hand(5), hand_pose=pose)
    vertices = rng.normal(scale=0.1, size=(count, 3))
    rig = Rig.of(data, row, vertices)
    assert np.abs(rig.posed() - vertices).max() < 1e-9
    rotations, _ = rig.world()
    for name, parent in zip(NIMBLE_SKELETON.names, NIMBLE_SKELETON.parents, strict=True):
        joint = NIMBLE_SKELETON.names.index(name)
        if joint and joint not in NIMBLE_SKELETON.rotating:
            assert name.endswith("_tip")
            np.testing.assert_array_equal(rotations[joint], rotations[parent])
