"""Stores of models with other joints than MANO's."""

from dataclasses import replace

import numpy as np
import pytest

from fitter.hand_models.skeleton import NIMBLE_SKELETON
from fitter.store.result_store import ResultStore
from tests.support.errors import raises
from tests.support.store_rows import SPEC, fake_hand, fake_row

NIMBLE = replace(
    SPEC, joints=NIMBLE_SKELETON.names, pose_joints=NIMBLE_SKELETON.pose_names, num_betas=20
)


def nimble_row(i: int):
    row = fake_row(i)
    rng = np.random.default_rng(i)

    def with_joints(hand):
        pose, joints = rng.random((19, 3)), rng.random((25, 3))
        return replace(hand, hand_pose=pose, joints_3d=joints, betas=rng.random(20))

    return replace(row, hands=tuple(with_joints(hand) for hand in row.hands))


def test_the_dimensions_are_those_of_the_model(tmp_path):
    with ResultStore.create(tmp_path / "r.zarr", NIMBLE) as store:
        for block in store.blocks():
            store.write_block(block, [nimble_row(i) for i in range(block.start, block.stop)])
    data = ResultStore.open(tmp_path / "r.zarr").dataset()
    assert tuple(data.joint.values) == NIMBLE_SKELETON.names
    assert tuple(data.pose_joint.values) == NIMBLE_SKELETON.pose_names
    expected = nimble_row(0).hands[0]
    found = data.hand_pose.sel(pose_joint="ring_cmc")[0, 0].values
    row = NIMBLE_SKELETON.pose_names.index("ring_cmc")
    np.testing.assert_array_equal(found, expected.hand_pose[row].astype(np.float32))
    tip = data.joints_3d.sel(joint="little_tip")[0, 0].values
    np.testing.assert_array_equal(tip, expected.joints_3d[-1].astype(np.float32))
    assert data.sizes["shape_component"] == 20


def test_poses_of_another_model_are_no_rows_of_it(tmp_path):
    store = ResultStore.create(tmp_path / "r.zarr", NIMBLE)
    row = replace(fake_row(0), hands=(replace(fake_hand(0), betas=None),))
    with pytest.raises(ValueError, match="hand_pose must have shape"):
        store.write_block(store.blocks()[0], [row] * 4)


def test_a_run_with_another_model_does_not_go_on_with_it(tmp_path):
    path = tmp_path / "r.zarr"
    ResultStore.create(path, SPEC).close()
    with raises("store.other_value", file=path, name="sizes.joint", was=16, now=25):
        ResultStore.resume(path, replace(NIMBLE, num_betas=SPEC.num_betas))
