"""The MANO loader: parity with smplx on the same file, layouts of the file, and options."""

import hashlib

import numpy as np
import pytest
import torch

from fitter.conventions import FINGERTIP_VERTICES
from fitter.hand_models import ManoOptions, load_hand_model
from fitter.hand_models.mano import load_mano
from fitter.hand_models.skinning import HandModel
from fitter.records import HandParams
from tests.support import mano_files
from tests.support.errors import raises

try:
    import smplx
except ModuleNotFoundError:  # its licence is for research only, so not everyone has it
    smplx = None

needs_smplx = pytest.mark.skipif(smplx is None, reason="smplx is not installed")

N_POSES = 1000
TENSORS = ("global_orient", "hand_pose", "betas", "transl")


@pytest.fixture(scope="module")
def arrays():
    return mano_files.fabricate()


@pytest.fixture(scope="module")
def right(arrays, tmp_path_factory):
    return mano_files.write_plain(tmp_path_factory.mktemp("mano") / "MANO_RIGHT.pkl", arrays)


def leaves(params):
    return [getattr(params, name).requires_grad_() for name in TENSORS]


def gradients(params, vertices, joints):
    """Of one random functional of the output, the same for both implementations."""
    generator = torch.Generator().manual_seed(3)

    def random(like):
        noise = torch.randn(like.shape, generator=generator, dtype=torch.float64)
        return (noise / like.shape[1]).to(like)

    loss = (vertices * random(vertices)).sum() + (joints * random(joints)).sum()
    return torch.autograd.grad(loss, leaves(params))


@needs_smplx
class TestParityWithSmplx:
    def test_float32(self, right):
        params = mano_files.random_params(N_POSES, dtype=torch.float32)
        inputs = leaves(params)
        reference = smplx.MANO(str(right), use_pca=False, flat_hand_mean=True)
        theirs = reference(
            global_orient=inputs[0],
            hand_pose=inputs[1].flatten(1),
            betas=inputs[2],
            transl=inputs[3],
        )
        ours = load_hand_model(right)(params)
        torch.testing.assert_close(ours.vertices, theirs.vertices, rtol=0, atol=1e-6)
        torch.testing.assert_close(ours.joints, theirs.joints, rtol=0, atol=1e-6)
        for mine, other in zip(
            gradients(params, ours.vertices, ours.joints),
            gradients(params, theirs.vertices, theirs.joints),
            strict=True,
        ):
            torch.testing.assert_close(mine, other, rtol=0, atol=1e-6)

    def test_float64(self, right):
        # smplx's own axis-angle conversion adds 1e-8 to every component, so its layer is fed
        # rotation matrices: the matrix exponential of the axis-angle vectors.
        params = mano_files.random_params(N_POSES)
        inputs = leaves(params)
        rotations = torch.linalg.matrix_exp(
            cross_matrix(torch.cat([inputs[0][:, None], inputs[1]], 1))
        )
        reference = smplx.MANOLayer(
            str(right), is_rhand=True, flat_hand_mean=True, dtype=torch.float64
        )
        theirs = reference(
            global_orient=rotations[:, :1],
            hand_pose=rotations[:, 1:],
            betas=inputs[2],
            transl=inputs[3],
        )
        ours = load_hand_model(right, dtype=torch.float64)(params)
        torch.testing.assert_close(ours.vertices, theirs.vertices, rtol=0, atol=1e-9)
        torch.testing.assert_close(ours.joints, theirs.joints, rtol=0, atol=1e-9)
        for mine, other in zip(
            gradients(params, ours.vertices, ours.joints),
            gradients(params, theirs.vertices, theirs.joints),
            strict=True,
        ):
            torch.testing.assert_close(mine, other, rtol=0, atol=1e-9)

    @pytest.mark.parametrize("flat_hand_mean", [True, False])
    @pytest.mark.parametrize("components", [6, 44, 45])
    def test_pose_space(self, right, components, flat_hand_mean):
        reference = smplx.MANO(
            str(right),
            num_pca_comps=components,
            flat_hand_mean=flat_hand_mean,
            dtype=torch.float64,
        )
        params = mano_files.random_params(16)
        coefficients = params.hand_pose.flatten(1)[:, :components]
        theirs = reference(
            global_orient=params.global_orient,
            hand_pose=coefficients,
            betas=params.betas,
            transl=params.transl,
        )
        model = load_hand_model(right, dtype=torch.float64)
        # smplx takes 45 coefficients for a pose outside its pose space.
        to_pose = model.pose_from_full if components == 45 else model.pose_from_pca
        pose = to_pose(coefficients, flat_hand_mean)
        ours = model(HandParams(params.global_orient, pose, params.betas, params.transl))
        # The bias of smplx's axis-angle conversion, 1e-8 rad, over chains of three joints.
        torch.testing.assert_close(ours.vertices, theirs.vertices, rtol=0, atol=2e-8)

    def test_left_file_as_it_is(self, arrays, tmp_path):
        path = mano_files.write_plain(tmp_path / "MANO_LEFT.pkl", mano_files.left_of(arrays))
        params = mano_files.random_params(16, dtype=torch.float32)
        theirs = smplx.MANO(str(path), use_pca=False, flat_hand_mean=True)(
            global_orient=params.global_orient,
            hand_pose=params.hand_pose.flatten(1),
            betas=params.betas,
            transl=params.transl,
        )
        model = load_hand_model(path, "left", mano=ManoOptions(fix_left_shapedirs=False))
        torch.testing.assert_close(model(params).vertices, theirs.vertices, rtol=0, atol=1e-6)


def cross_matrix(w):
    """(..., 3) -> (..., 3, 3) skew-symmetric matrices."""
    x, y, z = w.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


class TestFormats:
    @pytest.mark.parametrize("protocol", [0, 1, 2])
    def test_published_layout(self, arrays, tmp_path, protocol):
        data = load_mano(mano_files.write_published(tmp_path / "MANO_RIGHT.pkl", arrays, protocol))
        assert_holds(data, arrays)

    @pytest.mark.parametrize("protocol", range(6))
    def test_resaved_by_python_3(self, arrays, tmp_path, protocol):
        data = load_mano(mano_files.write_plain(tmp_path / "MANO_RIGHT.pkl", arrays, protocol))
        assert_holds(data, arrays)

    def test_newer_numpy_and_big_endian(self, arrays, tmp_path):
        swapped = {**arrays, "v_template": arrays["v_template"].astype(">f8")}
        path = mano_files.write_plain(tmp_path / "MANO_RIGHT.pkl", swapped, 2)
        content = path.read_bytes()
        names = (b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n")
        (written,) = [name for name in names if name in content]
        for name in names:
            path.write_bytes(content.replace(written, name))
            assert_holds(load_mano(path), arrays)

    def test_other_mesh_in_the_same_layout(self, tmp_path):
        small = mano_files.fabricate(n_vertices=64, n_faces=100)
        path = mano_files.write_plain(tmp_path / "MANO_RIGHT.pkl", small)
        data = load_mano(path, ManoOptions(fingertips=(1, 2, 3, 4, 63)))
        assert data.tip_vertices == (1, 2, 3, 4, 63)
        with raises("model.tip_vertices", file=path, vertices=64, found=(1, 2, 3, 4, 64)):
            load_mano(path, ManoOptions(fingertips=(1, 2, 3, 4, 64)))

    def test_digest_is_the_files(self, right):
        assert load_mano(right).sha256 == hashlib.sha256(right.read_bytes()).hexdigest()


def assert_holds(data, arrays):
    np.testing.assert_array_equal(data.v_template, arrays["v_template"])
    np.testing.assert_array_equal(data.shapedirs, arrays["shapedirs"])
    np.testing.assert_array_equal(data.posedirs, arrays["posedirs"])
    np.testing.assert_array_equal(data.skin_weights, arrays["weights"])
    np.testing.assert_array_equal(data.joint_regressor, arrays["J_regressor"])
    np.testing.assert_array_equal(data.hands_mean, arrays["hands_mean"])
    np.testing.assert_array_equal(data.hands_components, arrays["hands_components"])
    np.testing.assert_array_equal(data.faces, arrays["f"])
    assert data.v_template.dtype == np.float64 and data.v_template.dtype.isnative
    assert data.faces.dtype == np.int64
    assert (data.name, data.side) == ("mano", "right")


class TestOptions:
    @pytest.mark.parametrize("name", FINGERTIP_VERTICES)
    def test_fingertips_by_name(self, right, name):
        model = load_hand_model(right, mano=ManoOptions(fingertips=name))
        mesh = model(mano_files.random_params(1, dtype=torch.float32))
        expected = mesh.vertices[:, FINGERTIP_VERTICES[name]]
        torch.testing.assert_close(mesh.keypoints[:, 4::4], expected, rtol=0, atol=0)

    def test_unknown_fingertips(self, right):
        with raises("model.tip_convention", file=right, found="toes"):
            load_mano(right, ManoOptions(fingertips="toes"))

    def test_left_shapedirs_fix(self, arrays, tmp_path):
        path = mano_files.write_plain(tmp_path / "MANO_LEFT.pkl", mano_files.left_of(arrays))
        expected = arrays["shapedirs"].copy()
        expected[:, 0, :] *= -1
        np.testing.assert_array_equal(load_mano(path).shapedirs, expected)
        as_it_is = load_mano(path, ManoOptions(fix_left_shapedirs=False))
        np.testing.assert_array_equal(as_it_is.shapedirs, arrays["shapedirs"])

    def test_fixed_published_left_hand_is_the_mirrored_right_hand(self, arrays, tmp_path):
        # The published fault: everything is mirrored but the shape displacements along x.
        right = load_mano(mano_files.write_plain(tmp_path / "MANO_RIGHT.pkl", arrays))
        mirrored = right.mirrored()
        faulty = {
            **arrays,
            "v_template": mirrored.v_template,
            "f": mirrored.faces,
            "posedirs": mirrored.posedirs,
            "hands_mean": mirrored.hands_mean,
            "hands_components": mirrored.hands_components,
        }
        path = mano_files.write_plain(tmp_path / "MANO_LEFT.pkl", faulty)
        np.testing.assert_array_equal(load_mano(path).shapedirs, mirrored.shapedirs)

    def test_side_by_name_then_content_then_option(self, arrays, tmp_path):
        flat = {**arrays, "hands_mean": np.zeros(45)}
        assert load_mano(write_as(tmp_path, "mano_left_v2.pkl", flat)).side == "left"
        unnamed = write_as(tmp_path, "hand.pkl", arrays)
        assert load_mano(unnamed).side == "right"
        assert load_mano(unnamed, ManoOptions(side="left")).side == "left"
        left = mano_files.left_of(arrays)
        assert load_mano(write_as(tmp_path, "left_or_right.pkl", left)).side == "left"
        assert load_mano(write_as(tmp_path, "LEFT.pkl", left)).side == "left"
        with raises("model.side_unknown", file=unnamed):
            load_mano(write_as(tmp_path, "hand.pkl", flat))

    @pytest.mark.parametrize(("named", "shown"), [("left", "right"), ("right", "left")])
    def test_name_and_content_of_different_sides(self, arrays, tmp_path, named, shown):
        content = arrays if shown == "right" else mano_files.left_of(arrays)
        path = write_as(tmp_path, f"MANO_{named.upper()}.pkl", content)
        with raises("model.side_contradiction", file=path, named=named, shown=shown):
            load_mano(path)
        assert load_mano(path, ManoOptions(side=shown)).side == shown

    def test_wanted_side_is_given_by_mirroring(self, right):
        left = load_hand_model(right, "left", torch.float64)
        assert left.data.side == "left"
        params = mano_files.random_params(4)
        expected = HandModel(load_mano(right), torch.float64)(params).vertices
        mirrored = left(params.mirrored()).vertices * torch.tensor([-1.0, 1.0, 1.0]).double()
        torch.testing.assert_close(mirrored, expected, rtol=0, atol=1e-12)


def write_as(folder, name, arrays):
    return mano_files.write_plain(folder / name, arrays)
