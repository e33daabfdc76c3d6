"""The MANO loader: parity with smplx on the same file, and files that are not what they claim."""

import collections
import copyreg
import hashlib
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fitter.conventions import FINGERTIP_VERTICES
from fitter.hand_models import ManoOptions, assets, load_hand_model
from fitter.hand_models.assets import read_pickle
from fitter.hand_models.mano import load_mano
from fitter.hand_models.skinning import HandModel
from fitter.records import HandParams, InputError
from tests import mano_files

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


def write(path, value, protocol=2):
    path.write_bytes(pickle.dumps(value, protocol))
    return path


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
        path = mano_files.write_plain(tmp_path / "MANO_LEFT.pkl", arrays)
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
        assert b"numpy.core.multiarray" in content
        path.write_bytes(content.replace(b"numpy.core.multiarray", b"numpy._core.multiarray"))
        assert_holds(load_mano(path), arrays)

    def test_other_mesh_in_the_same_layout(self, tmp_path):
        small = mano_files.fabricate(n_vertices=64, n_faces=100)
        path = mano_files.write_plain(tmp_path / "MANO_RIGHT.pkl", small)
        data = load_mano(path, ManoOptions(fingertips=(1, 2, 3, 4, 63)))
        assert data.tip_vertices == (1, 2, 3, 4, 63)
        with pytest.raises(InputError, match="fingertip vertices below 64"):
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
        with pytest.raises(InputError, match=r"convention out of smplx.*found 'toes'"):
            load_mano(right, ManoOptions(fingertips="toes"))

    def test_left_shapedirs_fix(self, arrays, tmp_path):
        path = mano_files.write_plain(tmp_path / "MANO_LEFT.pkl", arrays)
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
        assert load_mano(write_as(tmp_path, "mano_left_v2.pkl", arrays)).side == "left"
        unnamed = write_as(tmp_path, "hand.pkl", arrays)
        assert load_mano(unnamed).side == "right"
        assert load_mano(unnamed, ManoOptions(side="left")).side == "left"
        mirrored = load_mano(unnamed).mirrored()
        other = {**arrays, "v_template": mirrored.v_template, "hands_mean": mirrored.hands_mean}
        assert load_mano(write_as(tmp_path, "left_or_right.pkl", other)).side == "left"
        flat = {**arrays, "hands_mean": np.zeros(45)}
        with pytest.raises(InputError, match="name the side"):
            load_mano(write_as(tmp_path, "hand.pkl", flat))

    def test_wanted_side_is_given_by_mirroring(self, right):
        left = load_hand_model(right, "left", torch.float64)
        assert left.data.side == "left"
        params = mano_files.random_params(4)
        expected = HandModel(load_mano(right), torch.float64)(params).vertices
        mirrored = left(params.mirrored()).vertices * torch.tensor([-1.0, 1.0, 1.0]).double()
        torch.testing.assert_close(mirrored, expected, rtol=0, atol=1e-12)


def write_as(folder, name, arrays):
    return mano_files.write_plain(folder / name, arrays)


class TestBrokenFiles:
    def refuses(self, path, *parts):
        with pytest.raises(InputError) as caught:
            load_mano(path)
        message = str(caught.value)
        for part in (str(path), "expected", "found", *parts):
            assert part in message, message
        assert "\n" not in message and message.endswith(".")

    def test_missing(self, tmp_path):
        self.refuses(tmp_path / "MANO_RIGHT.pkl", "no such file")

    def test_folder(self, tmp_path):
        self.refuses(tmp_path, "folder")

    def test_web_page(self, tmp_path):
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_text("\n<!DOCTYPE html><html><body>Please sign in.</body></html>")
        self.refuses(path, "a web page")

    def test_archive(self, tmp_path):
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_bytes(b"PK\x03\x04rest")
        self.refuses(path, "a zip archive")

    def test_empty(self, tmp_path):
        path = tmp_path / "MANO_RIGHT.pkl"
        path.touch()
        self.refuses(path, "ends too early, after 0 bytes")

    @pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999999])
    @pytest.mark.parametrize("protocol", [0, 2, 4])
    def test_truncated(self, arrays, tmp_path, share, protocol):
        path = mano_files.write_plain(tmp_path / "MANO_RIGHT.pkl", arrays, protocol)
        content = path.read_bytes()
        kept = content[: int(share * len(content))]
        path.write_bytes(kept)
        self.refuses(path, f"ends too early, after {len(kept)} bytes")

    def test_another_kind_of_file(self, tmp_path):
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))
        self.refuses(path, "cannot be read as a pickle")

    def test_not_a_dictionary(self, tmp_path):
        self.refuses(write(tmp_path / "MANO_RIGHT.pkl", [1, 2]), "a pickled list")

    def test_missing_arrays(self, arrays, tmp_path):
        kept = {key: value for key, value in arrays.items() if key not in ("posedirs", "f")}
        self.refuses(write(tmp_path / "MANO_RIGHT.pkl", kept), "without f, posedirs")

    def test_a_body_model(self, arrays, tmp_path):
        path = write(tmp_path / "MANO_RIGHT.pkl", {**arrays, "v_template": np.zeros((6890, 3))})
        self.refuses(path, "v_template of shape (778, 3)", "(6890, 3)")

    @pytest.mark.parametrize("key", ["weights", "J_regressor", "hands_mean", "posedirs", "f"])
    def test_wrong_shape(self, arrays, tmp_path, key):
        wrong = {**arrays, key: arrays[key][..., :-1]}
        self.refuses(write(tmp_path / "MANO_RIGHT.pkl", wrong), key, str(wrong[key].shape))

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    @pytest.mark.parametrize("key", ["v_template", "shapedirs", "weights", "hands_components"])
    def test_not_finite(self, arrays, tmp_path, key, value):
        broken = arrays[key].copy()
        broken.flat[7] = value
        path = write(tmp_path / "MANO_RIGHT.pkl", {**arrays, key: broken})
        self.refuses(path, f"finite numbers in {key}", "found 1 that")

    def test_faces_out_of_range(self, arrays, tmp_path):
        path = write(tmp_path / "MANO_RIGHT.pkl", {**arrays, "f": arrays["f"] + 1})
        self.refuses(path, "faces f that index 778 vertices")

    @pytest.mark.parametrize(
        ("key", "value", "found"),
        [
            ("weights", "heavy", "numbers as weights, found str"),
            ("weights", [[1.0], [2.0, 3.0]], "numbers as weights, found list"),
            ("weights", np.ones((778, 16), bool), "numbers as weights, found bool"),
            ("f", np.zeros((1538, 3)), "integers as f, found float64"),
        ],
    )
    def test_another_type(self, arrays, tmp_path, key, value, found):
        path = write(tmp_path / "MANO_RIGHT.pkl", {**arrays, key: value})
        self.refuses(path, f"an array of {found}")

    def test_another_skeleton(self, arrays, tmp_path):
        table = arrays["kintree_table"].copy()
        table[0, 1:] = range(15)
        self.refuses(
            write(tmp_path / "MANO_RIGHT.pkl", {**arrays, "kintree_table": table}), "skeleton"
        )


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


class TestHostileFiles:
    def refuses(self, path, found):
        with pytest.raises(InputError) as caught:
            load_mano(path)
        assert str(path) in str(caught.value) and found in str(caught.value), str(caught.value)

    @pytest.mark.parametrize("protocol", range(6))
    @pytest.mark.parametrize("function", [os.system, eval, exec])
    def test_commands_are_not_run(self, arrays, tmp_path, function, protocol):
        trace = tmp_path / "trace"
        shell, python = f"touch {trace}", f"open({str(trace)!r}, 'w')"
        attack = Call(function, shell if function is os.system else python)
        content = pickle.dumps({**arrays, "v_template": attack}, protocol)
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_bytes(content)
        self.refuses(path, f"{function.__name__}, which was not run")
        assert not trace.exists()
        pickle.loads(content)  # the attack is a real one
        assert trace.exists()

    @pytest.mark.parametrize(
        ("attack", "found"),
        [
            (
                Call(np.core.multiarray.scalar, np.dtype("f8"), b"\0" * 8),
                "multiarray.scalar, which",
            ),
            (np.float64(1.0), "multiarray.scalar, which"),
            (Call(np.load, "x.npy"), "numpy.load, which"),
            (Call(getattr, "text", "upper"), ".getattr, which"),
            (Call(np.ndarray, (2,)), "cannot be read as a pickle"),
            (Call(np.core.multiarray._reconstruct, np.matrix, (0,), b"b"), "numpy.matrix, which"),
            (Call(np.core.multiarray._reconstruct, set, (0,), b"b"), "that is not numpy.ndarray"),
            (Call(np.core.multiarray._reconstruct, np.ndarray, (0,), b"b"), "without content"),
            (Call(copyreg._reconstructor, set, object, None), "an object that is not an array"),
            (collections.OrderedDict(), "collections.OrderedDict, which"),
            (np.array([object, {}], dtype=object), "an array of 'O8' elements"),
            (np.zeros(3, dtype=[("a", "f8")]), "an array of 'V8' elements"),
            (np.array(["text"]), "an array of 'U4' elements"),
            (scipy.sparse.csr_matrix(np.eye(3)), "csr_matrix, which"),
        ],
    )
    @pytest.mark.parametrize("protocol", [2, 4])
    def test_what_is_no_plain_array(self, arrays, tmp_path, attack, found, protocol):
        path = write(tmp_path / "MANO_RIGHT.pkl", {**arrays, "weights": attack}, protocol)
        self.refuses(path, found)

    def test_forged_dtype(self, arrays, tmp_path):
        # A dtype whose state turns numbers into objects would make NumPy follow raw pointers.
        forged = Call(np.dtype, "f8", False, True)
        forged.reduced += ((3, "|", None, ("a",), {"a": (np.dtype("f8"), 0)}, 8, 1, 63),)
        path = write(tmp_path / "MANO_RIGHT.pkl", {**arrays, "weights": forged})
        self.refuses(path, "an array of structured elements")

    def test_dotted_names(self, tmp_path):
        # Protocol 4 lets a name reach through an admitted module: numpy -> ndarray.tofile.
        program = b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_bytes(program)
        self.refuses(path, "the command numpy.ndarray.tofile")

    @pytest.mark.parametrize(
        ("part", "place", "value", "found"),
        [
            ("indices", 3, 10**6, "an index out of range"),
            ("indices", 3, -1, "an index out of range"),
            # SciPy's own check accepts this one, and then writes outside the array.
            ("indptr", -1, -(10**6), "columns do not add up"),
            ("indptr", 5, 10**6, "cannot be read as a pickle"),
            ("indptr", 0, 1, "columns do not add up"),
            ("_shape", 1, 10**9, "a sparse array of 16 x 1000000000"),
            ("_shape", 0, -16, "a sparse array of -16 x 778"),
        ],
    )
    def test_forged_sparse_array(self, arrays, tmp_path, part, place, value, found):
        matrix = scipy.sparse.csc_matrix(arrays["J_regressor"])
        numbers = list(vars(matrix)[part])
        numbers[place] = value
        forged = tuple(numbers) if part == "_shape" else np.array(numbers, np.int32)
        vars(matrix)[part] = forged
        path = write(tmp_path / "MANO_RIGHT.pkl", {**arrays, "J_regressor": matrix})
        self.refuses(path, found)

    def test_sparse_array_with_repeated_entries(self, tmp_path):
        matrix = scipy.sparse.csc_matrix((4, 3))
        matrix.data, matrix.indices = np.array([1.0, 2.0, 4.0]), np.array([1, 1, 3], np.int32)
        matrix.indptr = np.array([0, 2, 2, 3], np.int32)
        content, _ = read_pickle(write(tmp_path / "sparse.pkl", {"a": matrix}), "a test")
        np.testing.assert_array_equal(content["a"], matrix.toarray())

    def test_forged_memo_index_takes_no_memory(self, arrays, tmp_path):
        program = b"\x80\x02}r" + struct.pack("<I", 2**32 - 1) + b"."
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_bytes(program)
        tracemalloc.start()
        self.refuses(path, "without v_template")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10**7

    def test_forged_length_takes_no_memory(self, tmp_path):
        program = b"\x80\x05\x96" + struct.pack("<Q", 2**33) + b"abc."
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_bytes(program)
        tracemalloc.start()
        self.refuses(path, "expected a MANO model")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10**7

    def test_lists_that_hold_one_another_are_walked_once(self, arrays, tmp_path):
        # 10^40 numbers once every reference is followed.
        nested = [1.0]
        for _ in range(40):
            nested = [nested] * 10
        path = write(tmp_path / "MANO_RIGHT.pkl", {**arrays, "notes": nested})
        load_mano(path)
        path = write(tmp_path / "MANO_RIGHT.pkl", {**arrays, "weights": nested})
        self.refuses(path, "an array of numbers as weights, found list")

    @pytest.mark.parametrize("target", ["numpy dtype", "chumpy.ch Ch", "_codecs encode"])
    def test_a_file_leaves_nothing_behind(self, tmp_path, target):
        # BUILD sets attributes of whatever it is given, here of the stand-ins themselves.
        def contents():
            return {
                name: dict(vars(v)) for name, v in vars(assets).items() if hasattr(v, "__dict__")
            }

        key = b"}X\x01\x00\x00\x00xK\x01s"
        program = b"\x80\x02c" + target.replace(" ", "\n").encode() + b"\nN" + key + b"\x86b."
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_bytes(program)
        before = contents()
        with pytest.raises(InputError):
            load_mano(path)
        assert contents() == before

    @settings(max_examples=300, deadline=None)
    @given(data=st.data(), protocol=st.sampled_from([0, 2, 4]))
    def test_damage_is_refused_or_harmless(self, tmp_path_factory, data, protocol):
        value = {"a": np.arange(6.0).reshape(2, 3), "b": scipy.sparse.csc_matrix(np.eye(3))}
        content = bytearray(pickle.dumps(value, protocol))
        for _ in range(data.draw(st.integers(1, 4))):
            position = data.draw(st.integers(0, len(content) - 1))
            content[position] = data.draw(st.integers(0, 255))
        path = tmp_path_factory.getbasetemp() / "damaged.pkl"
        path.write_bytes(content)
        try:
            result, _ = read_pickle(path, "a test")
        except InputError:
            return
        assert isinstance(result, dict)
