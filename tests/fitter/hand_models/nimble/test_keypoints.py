"""NIMBLE's keypoints by its own regressor, by MANO's, and why not by its rig."""

import pickle

import numpy as np
import pytest
import torch

from fitter.conventions import FINGERTIP_VERTICES, MODEL_TO_KEYPOINTS
from fitter.hand_models import ManoOptions, load_hand_model
from fitter.hand_models.mano import load_mano
from fitter.hand_models.nimble import Nimble
from fitter.hand_models.nimble.keypoint_order import KEYPOINT_JOINTS
from fitter.records import HandParams
from tests.support.errors import raises
from tests.support.nimble_files import nimble_folder

MANO = "MANO_RIGHT.pkl"


@pytest.fixture(scope="module")
def folder():
    return nimble_folder()


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)
    fields = [rng.normal(0, s, shape) for s, shape in
              ((1, (3, 3)), (0.3, (3, 19, 3)), (1, (3, 20)), (1, (3, 3)))]  # fmt: skip
    return HandParams(*map(torch.from_numpy, fields))


def test_by_manos_regressor_and_tips_on_manos_vertices(folder, params):
    """Zhao, section 3.2: skin to MANO's vertices, 16 joints regressed, five vertices appended."""
    model = load_hand_model(folder, dtype=torch.float64, mano_file=folder / MANO)
    layer = Nimble.load(folder, textures=False, dtype=torch.float64)
    mano = load_mano(folder / MANO)
    mesh = model(params)
    vertices = layer.to_mano(mesh.vertices)
    joints = torch.from_numpy(mano.joint_regressor) @ vertices
    tips = vertices[:, list(FINGERTIP_VERTICES["smplx"])]
    expected = torch.cat([joints, tips], 1)[:, list(MODEL_TO_KEYPOINTS)]
    torch.testing.assert_close(mesh.keypoints, expected, rtol=0, atol=1e-7)
    assert model.data.sha256 != load_hand_model(folder).data.sha256


def test_options_of_mano_count(folder, params):
    options = ManoOptions(fingertips="freihand")
    model = load_hand_model(folder, mano=options, mano_file=folder / MANO, dtype=torch.float64)
    layer = Nimble.load(folder, textures=False, dtype=torch.float64)
    mesh = model(params)
    tips = layer.to_mano(mesh.vertices)[:, list(FINGERTIP_VERTICES["freihand"])]
    torch.testing.assert_close(mesh.keypoints[:, 4::4], tips, rtol=0, atol=1e-7)


def test_the_rigs_joints_are_not_manos(folder):
    """Regressed at rest they are MANO's; the rig's of the same names are not."""
    zero = torch.zeros(1, 3, dtype=torch.float64)
    rest = HandParams(zero, zero.new_zeros(1, 19, 3), zero.new_zeros(1, 20), zero)
    mano = load_hand_model(folder / MANO, dtype=torch.float64)
    truth = mano(HandParams(zero, zero.new_zeros(1, 15, 3), zero.new_zeros(1, 10), zero)).keypoints
    own = load_hand_model(folder, dtype=torch.float64)(rest)
    mapped = load_hand_model(folder, dtype=torch.float64, mano_file=folder / MANO)(rest)
    errors = {
        name: float((points - truth).norm(dim=-1).mean())
        for name, points in (
            ("rig", own.joints[:, list(KEYPOINT_JOINTS)]),
            ("own", own.keypoints),
            ("mano", mapped.keypoints),
        )
    }
    assert errors["own"] < 1e-5
    assert errors["mano"] < 0.25 * errors["rig"] and errors["rig"] > 2e-3


def test_another_model_for_the_keypoints(folder, tmp_path):
    arrays = pickle.loads((folder / MANO).read_bytes())
    few = {**arrays}
    for key in ("v_template", "shapedirs", "posedirs", "weights"):
        few[key] = arrays[key][:700]
    few["J_regressor"] = arrays["J_regressor"][:, :700]
    few["f"] = arrays["f"][(arrays["f"] < 700).all(1)]
    path = tmp_path / MANO
    path.write_bytes(pickle.dumps(few))
    options = ManoOptions(fingertips=(1, 2, 3, 4, 5))
    with raises("nimble.mano_vertices", file=path, expected=778, found=700):
        load_hand_model(folder, mano=options, mano_file=path)
    with raises("nimble.mano_side", file=folder / MANO, expected="right", found="left"):
        load_hand_model(folder, mano=ManoOptions(side="left"), mano_file=folder / MANO)
    with raises("model.no_mano", file=str(path)):
        load_hand_model(mano_file=path)
