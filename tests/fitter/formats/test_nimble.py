"""NIMBLE's hands, 25 joints and three maps, leave as other hands do."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fitter.formats.glb import glb
from fitter.formats.hand_asset import HandAsset
from fitter.formats.mano_fit import ManoConverter, load_mano_meshes
from fitter.hand_models import load_hand_model
from fitter.hand_models.skeleton import NIMBLE_SKELETON
from fitter.meshes import HandMeshes
from tests.support.fitted_stores import posed_hand
from tests.support.glb_files import CAMERA, Glb, validated
from tests.support.nimble_files import nimble_folder
from tests.support.small_mano import write_small_mano


@pytest.fixture(scope="module")
def nimble():
    return HandMeshes(load_hand_model(nimble_folder(), dtype=torch.float64))


def hand(side="right"):
    rng = np.random.default_rng(0)
    return replace(
        posed_hand(1, side),
        hand_pose=0.1 * rng.normal(size=(NIMBLE_SKELETON.rotations, 3)),
        betas=0.5 * rng.normal(size=20),
        appearance=None,
    )


@pytest.mark.parametrize("side", ["right", "left"])
def test_glb(nimble, side, tmp_path):
    asset = HandAsset.of(hand(side), nimble, side)
    (tmp_path / "hand.glb").write_bytes(glb([asset]))
    found = Glb.read((tmp_path / "hand.glb").read_bytes())
    assert len(found.json["skins"][0]["joints"]) == 25
    shown = found.skinned() @ CAMERA
    assert np.abs(shown - asset.vertices[asset.corners.vertices]).max() < 1e-6
    assert len(found.json["images"]) == 2 and "TANGENT" in found.attributes(0)
    issues = validated(tmp_path / "hand.glb")
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]


def test_mano(nimble, tmp_path):
    target = load_mano_meshes(write_small_mano(tmp_path / "MANO_RIGHT.pkl"))
    row = hand()
    found = ManoConverter(nimble, target)(row)
    assert found.row.hand_pose.shape == (15, 3) and found.row.betas.shape == (10,)
    assert 0 < found.vertex_error_mm < 1.5
    nearest = np.linalg.norm(
        target.vertices(found.row)[:, None] - nimble.vertices(row)[None], axis=-1
    ).min(axis=1)
    assert np.median(nearest) < 5e-3
