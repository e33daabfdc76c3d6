"""Hands that travel between processes: their numbers, and how to load their model."""

import pickle
import shutil

import numpy as np
import pytest

import fitter
from fitter.meshes import HandMeshes
from tests.support.errors import raises
from tests.support.exported_stores import write_mano_store
from tests.support.fitted_stores import image_row, posed_hand, write_store
from tests.support.small_mano import write_small_mano


@pytest.fixture
def hand(tmp_path):
    write_store(tmp_path / "r.zarr", {"a.jpg": image_row(posed_hand(1, "left"))})
    return fitter.open_results(tmp_path / "r.zarr")["a.jpg"][0]


def test_no_cache_of_the_model_travels(hand, tmp_path):
    alone = len(pickle.dumps(hand.to_dict()))
    assert len(pickle.dumps(hand)) < alone + 4000
    hand.save(tmp_path / "a.glb")
    hand.meshes.atlas(64)
    content = pickle.dumps(hand)
    assert len(content) < alone + 4000
    found, again = pickle.loads(content), pickle.loads(content)
    # One model for all hands of a process, as for those of a store.
    assert found.meshes is again.meshes and "right" not in vars(found.meshes)
    found.save(tmp_path / "b.glb")
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()
    np.testing.assert_array_equal(found.meshes.vertices(found), hand.vertices)
    assert found.meshes.linear_light == hand.meshes.linear_light
    assert found.meshes.data.identity == hand.meshes.data.identity


def test_a_model_that_was_given_travels_itself(hand):
    meshes = HandMeshes(hand.meshes.right, linear_light=False)
    found = pickle.loads(pickle.dumps(meshes))
    np.testing.assert_array_equal(found.vertices(hand), meshes.vertices(hand))
    assert not found.linear_light


def test_a_model_file_that_changed_or_is_gone(tmp_path):
    (tmp_path / "models").mkdir()
    mano = write_small_mano(tmp_path / "models" / "MANO_RIGHT.pkl")
    write_mano_store(tmp_path / "m.zarr", mano, {"a.jpg": image_row(posed_hand(1))})
    content = pickle.dumps(fitter.open_results(tmp_path / "m.zarr")["a.jpg"][0])
    mano.write_bytes(mano.read_bytes() + b" ")
    with raises("model.changed", file=str(mano)):
        pickle.loads(content).save(tmp_path / "a.glb")
    shutil.rmtree(mano.parent)
    found = pickle.loads(content)  # its numbers need no model
    assert found.side == "right" and found.vertices.shape == (778, 3)
    with raises("model.unknown"):
        found.save(tmp_path / "a.glb")
