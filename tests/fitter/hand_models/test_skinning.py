"""The skinning core: published formula, symmetries, derivatives, and the keypoint-only form."""

import dataclasses
from importlib import resources

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from scipy.spatial.transform import Rotation

from fitter.conventions import KEYPOINT_NAMES, MODEL_TO_KEYPOINTS, PARENTS
from fitter.hand_models import load_hand_model
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.hand_models.kinematics import forward_kinematics
from fitter.hand_models.mano import ManoOptions, load_mano, side_of
from fitter.hand_models.model_data import HandModelData
from fitter.hand_models.open_hand import load_open_hand, read_open_hand
from fitter.hand_models.skinning import HandModel
from fitter.hand_models.uv_layout import UvAtlas
from fitter.records import HandParams
from tests.support.errors import raises
from tests.support.mano_files import fabricate, random_params

MIRROR = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
FIELDS = ("global_orient", "hand_pose", "betas", "transl")


def make_data(n_vertices=96, with_posedirs=True):
    arrays = fabricate(seed=2, n_vertices=n_vertices, n_faces=2 * n_vertices)
    return HandModelData(
        name="mano",
        side="right",
        v_template=arrays["v_template"],
        faces=arrays["f"].astype(np.int64),
        shapedirs=arrays["shapedirs"],
        posedirs=10 * arrays["posedirs"] if with_posedirs else None,
        skin_weights=arrays["weights"] / arrays["weights"].sum(axis=1, keepdims=True),
        joint_regressor=arrays["J_regressor"],
        tip_vertices=(15, 3, 6, 12, 9),
        hands_mean=arrays["hands_mean"],
        hands_components=arrays["hands_components"],
        layout=UvAtlas(
            np.random.default_rng(0).uniform(size=(n_vertices, 2)), arrays["f"].astype(np.int64)
        ),
        sha256="0" * 64,
    )


@pytest.fixture(scope="module", params=[True, False], ids=["posedirs", "plain"])
def model(request):
    return HandModel(make_data(with_posedirs=request.param), torch.float64)


def at_rest(batch=1, n_betas=10):
    zeros = torch.zeros(batch, 16, 3, dtype=torch.float64)
    return HandParams(
        zeros[:, 0], zeros[:, 1:], torch.zeros(batch, n_betas).double(), zeros[:, 0].clone()
    )


def close(actual, expected, atol=1e-12):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def skinned_by_the_book(data, params):
    """SMPL eqs. 2-10 for one hand, joint by joint and vertex by vertex, with 4x4 matrices."""
    turns = np.concatenate([params.global_orient.numpy(), params.hand_pose[0].numpy()])
    rotations = Rotation.from_rotvec(turns).as_matrix()
    shaped = data.v_template + data.shapedirs @ params.betas[0].numpy()
    joints = data.joint_regressor @ shaped
    if data.posedirs is not None:
        shaped = shaped + data.posedirs @ (rotations[1:] - np.eye(3)).ravel()
    world = []
    for joint, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        world.append(local if parent < 0 else world[parent] @ local)
    relative = []
    for joint in range(16):
        undo = np.eye(4)
        undo[:3, 3] = -joints[joint]
        relative.append(world[joint] @ undo)
    vertices = np.stack(
        [
            (np.tensordot(weights, relative, 1) @ [*point, 1.0])[:3]
            for weights, point in zip(data.skin_weights, shaped, strict=True)
        ]
    )
    transl = params.transl[0].numpy()
    return vertices + transl, np.stack(world)[:, :3, 3] + transl


class TestForward:
    def test_published_formula(self, model):
        params = random_params(3)
        mesh = model(params)
        for index in range(3):
            vertices, joints = skinned_by_the_book(model.data, params[index : index + 1])
            np.testing.assert_allclose(mesh.vertices[index].numpy(), vertices, rtol=0, atol=1e-12)
            np.testing.assert_allclose(mesh.joints[index].numpy(), joints, rtol=0, atol=1e-12)

    def test_zero_is_the_template(self, model):
        mesh = model(at_rest())
        close(mesh.vertices[0], torch.tensor(model.data.v_template))
        close(mesh.joints[0], torch.tensor(model.data.joint_regressor @ model.data.v_template))

    def test_hand_turns_about_its_root_joint(self, model):
        params = random_params(5)
        still = dataclasses.replace(params, global_orient=torch.zeros(5, 3).double())
        turned, straight = model(params), model(still)
        rotation = torch.tensor(Rotation.from_rotvec(params.global_orient.numpy()).as_matrix())
        root = model.rest_joints(params.betas)[:, :1]
        centre = root + params.transl[:, None]
        close(turned.joints[:, :1], centre)
        close(turned.vertices, (straight.vertices - centre) @ rotation.mT + centre)

    def test_keypoints_are_joints_and_tips(self, model):
        mesh = model(random_params(2))
        for slot, source in enumerate(MODEL_TO_KEYPOINTS):
            tip = model.data.tip_vertices[source - 16] if source >= 16 else None
            expected = mesh.joints[:, source] if tip is None else mesh.vertices[:, tip]
            assert KEYPOINT_NAMES[slot].endswith("tip") == (tip is not None)
            close(mesh.keypoints[:, slot], expected, atol=0)

    def test_a_joint_moves_its_descendants_only(self, model):
        for joint in range(1, 16):
            params = at_rest()
            params.hand_pose[0, joint - 1, 2] = 0.5
            moved = (model(params).joints - model(at_rest()).joints).norm(dim=-1)[0] > 1e-6
            below = {
                other
                for other in range(16)
                if joint in (PARENTS[other], PARENTS[PARENTS[other]]) and other > joint
            }
            assert set(moved.nonzero().flatten().tolist()) == below

    def test_hands_do_not_touch_each_other(self, model):
        params = random_params(6)
        together = model(params)
        for index in range(6):
            alone = model(params[index : index + 1])
            close(together.vertices[index], alone.vertices[0])
            close(together.keypoints[index], alone.keypoints[0])

    def test_missing_shape_components_are_zero(self, model):
        params = random_params(2, n_betas=4)
        padded = dataclasses.replace(params, betas=torch.nn.functional.pad(params.betas, (0, 6)))
        close(model(params).vertices, model(padded).vertices)

    def test_too_many_shape_components(self, model):
        with raises("model.betas", available=10, given=11):
            model(random_params(1, n_betas=11))

    def test_another_shape_names_the_field(self, model):
        params = random_params(2)
        wrong = dataclasses.replace(params, hand_pose=params.hand_pose.flatten(1))
        said = r"hand_pose: expected shape \(2, 15, 3\), found \(2, 45\)"
        with pytest.raises(ValueError, match=said):
            model(wrong)

    def test_float32_and_module_conversion(self, model):
        params = random_params(50)
        single = HandModel(model.data)(params.to(torch.float32)).vertices
        assert single.dtype == torch.float32
        close(single.double(), model(params).vertices, atol=1e-6)
        converted = HandModel(model.data, torch.float32).to(torch.float64)
        assert converted(params).vertices.dtype == torch.float64
        assert converted.faces.dtype == torch.int64

    @settings(max_examples=30, deadline=None)
    @given(exponent=st.floats(-12, 0), seed=st.integers(0, 100))
    def test_small_angles_in_float32(self, exponent, seed):
        model = HandModel(make_data(48))
        params = random_params(1, seed)
        params = dataclasses.replace(
            params,
            global_orient=params.global_orient * 10**exponent,
            hand_pose=params.hand_pose * 10**exponent,
        )
        expected = HandModel(model.data, torch.float64)(params).vertices
        close(model(params.to(torch.float32)).vertices.double(), expected, atol=1e-6)

    def test_checkpoints_do_not_carry_the_model(self, model):
        assert model.state_dict() == {}


class TestDerivatives:
    @pytest.mark.parametrize("scale", [0.0, 1.0])
    @pytest.mark.parametrize("with_posedirs", [True, False])
    def test_gradcheck(self, scale, with_posedirs):
        model = HandModel(make_data(16, with_posedirs), torch.float64)
        params = random_params(1)
        inputs = [(scale * getattr(params, name)).requires_grad_() for name in FIELDS]

        def outputs(*tensors):
            mesh = model(HandParams(*tensors))
            return mesh.vertices, mesh.joints

        assert torch.autograd.gradcheck(outputs, inputs)

    def test_forward_mode_agrees_at_zero(self, model):
        keypoints = model.keypoint_model()

        def points(pose):
            return pose_keypoints(keypoints, dataclasses.replace(at_rest(), hand_pose=pose))[1]

        zero = torch.zeros(1, 15, 3, dtype=torch.float64)
        forward, reverse = torch.func.jacfwd(points)(zero), torch.func.jacrev(points)(zero)
        assert forward.isfinite().all() and forward.abs().max() > 0.01
        close(forward, reverse)


class TestMirror:
    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 10**6), with_posedirs=st.booleans())
    def test_mirrored_hand_is_the_hand_in_a_mirror(self, seed, with_posedirs):
        model = HandModel(make_data(48, with_posedirs), torch.float64)
        params = random_params(2, seed)
        mesh, mirrored = model(params), model.mirrored()(params.mirrored())
        for field in ("vertices", "joints", "keypoints"):
            close(getattr(mirrored, field) * MIRROR, getattr(mesh, field))

    def test_pose_space_and_outside(self, model):
        other = model.mirrored()
        assert (model.data.side, other.data.side) == ("right", "left")
        coefficients = torch.randn(3, 7, generator=torch.Generator().manual_seed(1)).double()
        for flat in (True, False):
            pose = model.pose_from_pca(coefficients, flat)
            expected = pose * torch.tensor([1.0, -1.0, -1.0]).double()
            close(other.pose_from_pca(coefficients, flat), expected)
        corners = model.v_template[model.faces], other.v_template[other.faces]
        volumes = [torch.linalg.det(triangles).sum() for triangles in corners]
        close(volumes[0], volumes[1])

    def test_texture_stays_on_its_vertices(self, model):
        other = model.mirrored().data
        pairs = [
            set(zip(data.faces.ravel().tolist(), data.uv_faces.ravel().tolist(), strict=True))
            for data in (model.data, other)
        ]
        assert pairs[0] == pairs[1]

    def test_twice_is_the_same_model(self, model):
        twice = model.data.mirrored().mirrored()
        for field in dataclasses.fields(HandModelData):
            expected, actual = getattr(model.data, field.name), getattr(twice, field.name)
            np.testing.assert_array_equal(actual, expected, err_msg=field.name)


class TestPoseSpace:
    def test_mean_and_components(self, model):
        data = model.data
        coefficients = torch.eye(45, dtype=torch.float64)
        flat = model.pose_from_pca(coefficients, True)
        assert flat.shape == (45, 15, 3)
        np.testing.assert_allclose(flat.flatten(1).numpy(), data.hands_components, atol=1e-15)
        close(model.pose_from_pca(coefficients[:, :6], True)[:6], flat[:6])
        mean = model.pose_from_pca(torch.zeros(1, 3).double(), False)
        np.testing.assert_allclose(mean.flatten().numpy(), data.hands_mean, atol=1e-15)

    def test_full_pose(self, model):
        pose = random_params(2).hand_pose
        close(model.pose_from_full(pose.flatten(1), True), pose)
        shifted = model.pose_from_full(pose.flatten(1), False) - pose
        close(shifted, model.hands_mean.view(1, 15, 3).expand(2, -1, -1))


class TestKeypointModel:
    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 10**6), n_betas=st.integers(0, 10), with_posedirs=st.booleans())
    def test_equals_the_full_model(self, seed, n_betas, with_posedirs):
        model = HandModel(make_data(48, with_posedirs), torch.float64)
        params = random_params(3, seed, n_betas=n_betas)
        mesh = model(params)
        joints, keypoints = pose_keypoints(model.keypoint_model(), params)
        close(joints, mesh.joints)
        close(keypoints, mesh.keypoints)

    def test_conversion(self, model):
        params = random_params(3).to(torch.float32)
        _, keypoints = pose_keypoints(model.keypoint_model().to(torch.float32), params)
        assert keypoints.dtype == torch.float32


def test_forward_kinematics_keeps_bone_lengths():
    params = random_params(4)
    rest = torch.randn(4, 16, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turns = torch.cat([params.global_orient[:, None], params.hand_pose], 1).numpy()
    rotations = torch.tensor(Rotation.from_rotvec(turns.reshape(-1, 3)).as_matrix())
    chained, joints = forward_kinematics(rotations.view(4, 16, 3, 3), rest)
    close(chained @ chained.mT, torch.eye(3).double().expand(4, 16, 3, 3))

    def lengths(points):
        return (points[:, 1:] - points[:, list(PARENTS[1:])]).norm(dim=-1)

    close(lengths(joints), lengths(rest))


class TestOpenHand:
    def test_shipped_model(self):
        data = load_open_hand()
        n_vertices = len(data.v_template)
        assert (data.name, data.side, data.posedirs) == ("open_hand", "right", None)
        assert data.shapedirs.shape == (n_vertices, 3, 10)
        np.testing.assert_allclose(data.skin_weights.sum(axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(data.joint_regressor.sum(axis=1), 1, atol=1e-6)
        assert data.faces.min() == 0 and data.faces.max() == n_vertices - 1
        assert data.uv_faces.shape == data.faces.shape
        assert data.uv_faces.max() == len(data.uv) - 1
        corners = data.v_template[data.faces]
        assert np.linalg.det(corners).sum() > 0  # faces look outside
        assert len(data.sha256) == 64

    def test_mean_pose_shows_the_side(self):
        # Tells the sides of a real hand, by the rule for MANO files whose name does not.
        for data in (load_open_hand(), load_open_hand().mirrored()):
            arrays = {
                "v_template": data.v_template,
                "J_regressor": data.joint_regressor,
                "hands_mean": data.hands_mean,
            }
            assert side_of(arrays) == data.side

    def test_same_model_in_manos_layout(self):
        # MANO has no keypoints off its joints.
        shipped = load_open_hand(keypoint_offsets=False)
        folder = resources.files("fitter.hand_models") / "assets"
        with resources.as_file(folder / "open_hand_mano.pkl") as path:
            data = load_mano(path, ManoOptions(fingertips=shipped.tip_vertices))
        params = random_params(8)
        ours = HandModel(shipped, torch.float64)(params)
        theirs = HandModel(data, torch.float64)(params)
        assert data.side == "right"  # its name says nothing: its mean pose does
        for field in ("vertices", "joints", "keypoints"):
            close(getattr(theirs, field), getattr(ours, field), atol=1e-6)

    def test_loads_as_either_hand(self):
        right, left = load_hand_model(), load_hand_model(side="left")
        assert (right.data.side, left.data.side) == ("right", "left")
        params = random_params(2, dtype=torch.float32)
        mirrored = left(params.mirrored()).vertices * MIRROR.float()
        torch.testing.assert_close(mirrored, right(params).vertices, rtol=0, atol=1e-6)

    def test_layout(self, tmp_path):
        data = make_data(48)
        arrays = {
            "v_template": data.v_template.astype(np.float32),
            "faces": data.faces.astype(np.int32),
            "shapedirs": data.shapedirs.astype(np.float32),
            "skin_weights": data.skin_weights.astype(np.float32),
            "joint_regressor": data.joint_regressor.astype(np.float32),
            "tip_vertices": np.array(data.tip_vertices, np.int32),
            "hands_mean": data.hands_mean.astype(np.float32),
            "hands_components": data.hands_components.astype(np.float32),
            "uv": data.uv.astype(np.float32),
            "uv_faces": data.uv_faces.astype(np.int32),
        }
        path = tmp_path / "hand.safetensors"
        save_file(arrays, path)
        read = read_open_hand(path)
        for key, array in arrays.items():
            value = np.asarray(getattr(read, key))
            np.testing.assert_array_equal(value, array)
            assert value.dtype == (np.float64 if array.dtype == np.float32 else np.int64)
        del arrays["uv"]
        save_file(arrays, path)
        with raises("model.array_missing", file=path, array="uv"):
            read_open_hand(path)

    def test_broken_files(self, tmp_path):
        path = tmp_path / "hand.safetensors"
        with raises("model.missing", file=path):
            read_open_hand(path)
        path.write_bytes(b"<html>")
        with raises("model.no_safetensors", file=path):
            read_open_hand(path)
