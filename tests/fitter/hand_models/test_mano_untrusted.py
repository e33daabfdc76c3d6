"""MANO files that are not what they claim: broken ones, and those made to do harm."""

import collections
import copyreg
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from fitter.errors import InputError
from fitter.hand_models import assets
from fitter.hand_models.assets import read_pickle
from fitter.hand_models.mano import load_mano
from tests.support import mano_files
from tests.support.errors import raises


@pytest.fixture(scope="module")
def arrays():
    return mano_files.fabricate()


def write(path, value, protocol=2):
    path.write_bytes(pickle.dumps(value, protocol))
    return path


class TestBrokenFiles:
    def refuses(self, path, code, **facts):
        with raises(code, file=path, **facts) as caught:
            load_mano(path)
        message = str(caught.value)
        assert "expected" in message and "found" in message
        assert "\n" not in message and not message.endswith(".")

    def test_missing(self, tmp_path):
        self.refuses(tmp_path / "MANO_RIGHT.pkl", "model.missing")

    def test_folder(self, tmp_path):
        self.refuses(tmp_path, "model.folder")

    def test_web_page(self, tmp_path):
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_text("\n<!DOCTYPE html><html><body>Please sign in.</body></html>")
        self.refuses(path, "model.other_format", found="a web page")

    def test_archive(self, tmp_path):
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_bytes(b"PK\x03\x04rest")
        self.refuses(path, "model.other_format", found="a zip archive")

    def test_empty(self, tmp_path):
        path = tmp_path / "MANO_RIGHT.pkl"
        path.touch()
        self.refuses(path, "model.truncated", size=0)

    @pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999999])
    @pytest.mark.parametrize("protocol", [0, 2, 4])
    def test_truncated(self, arrays, tmp_path, share, protocol):
        path = mano_files.write_plain(tmp_path / "MANO_RIGHT.pkl", arrays, protocol)
        content = path.read_bytes()
        kept = content[: int(share * len(content))]
        path.write_bytes(kept)
        self.refuses(path, "model.truncated", size=len(kept))

    def test_another_kind_of_file(self, tmp_path):
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))
        self.refuses(path, "model.no_pickle")

    def test_not_a_dictionary(self, tmp_path):
        path = write(tmp_path / "MANO_RIGHT.pkl", [1, 2])
        self.refuses(path, "model.no_dictionary", found="list")

    def test_missing_arrays(self, arrays, tmp_path):
        kept = {key: value for key, value in arrays.items() if key not in ("posedirs", "f")}
        path = write(tmp_path / "MANO_RIGHT.pkl", kept)
        self.refuses(path, "model.keys_missing", missing="f, posedirs")

    def test_a_body_model(self, arrays, tmp_path):
        path = write(tmp_path / "MANO_RIGHT.pkl", {**arrays, "v_template": np.zeros((6890, 3))})
        found = {"array": "v_template", "shape": (778, 3), "found": (6890, 3)}
        self.refuses(path, "model.array_shape", **found)

    @pytest.mark.parametrize("key", ["weights", "J_regressor", "hands_mean", "posedirs", "f"])
    def test_wrong_shape(self, arrays, tmp_path, key):
        wrong = {**arrays, key: arrays[key][..., :-1]}
        path = write(tmp_path / "MANO_RIGHT.pkl", wrong)
        self.refuses(path, "model.array_shape", array=key, found=wrong[key].shape)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    @pytest.mark.parametrize("key", ["v_template", "shapedirs", "weights", "hands_components"])
    def test_not_finite(self, arrays, tmp_path, key, value):
        broken = arrays[key].copy()
        broken.flat[7] = value
        path = write(tmp_path / "MANO_RIGHT.pkl", {**arrays, key: broken})
        self.refuses(path, "model.array_not_finite", array=key, count=1)

    def test_faces_out_of_range(self, arrays, tmp_path):
        path = write(tmp_path / "MANO_RIGHT.pkl", {**arrays, "f": arrays["f"] + 1})
        self.refuses(path, "model.face_indices", vertices=778)

    @pytest.mark.parametrize(
        ("key", "value", "numbers", "found"),
        [
            ("weights", "heavy", "numbers", "str"),
            ("weights", [[1.0], [2.0, 3.0]], "numbers", "list"),
            ("weights", np.ones((778, 16), bool), "numbers", "bool"),
            ("f", np.zeros((1538, 3)), "integers", "float64"),
        ],
    )
    def test_another_type(self, arrays, tmp_path, key, value, numbers, found):
        path = write(tmp_path / "MANO_RIGHT.pkl", {**arrays, key: value})
        self.refuses(path, "model.array_type", array=key, numbers=numbers, found=found)

    def test_another_skeleton(self, arrays, tmp_path):
        table = arrays["kintree_table"].copy()
        table[0, 1:] = range(15)
        path = write(tmp_path / "MANO_RIGHT.pkl", {**arrays, "kintree_table": table})
        self.refuses(path, "model.skeleton", found=(-1, *range(15)))


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


class TestHostileFiles:
    def refuses(self, path, found):
        """The file asks for what is no array; the error says for what."""
        with raises("model.unsafe", file=path) as caught:
            load_mano(path)
        assert found in caught.value.facts["found"]

    def cannot_be_read(self, path):
        with raises("model.no_pickle", file=path):
            load_mano(path)

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
            (Call(np.core.multiarray.scalar, np.dtype("O"), "text"), "an array of 'O8' elements"),
            (Call(np.core.multiarray.scalar, object, b"\0" * 8), "an array without a dtype"),
            (Call(np.load, "x.npy"), "numpy.load, which"),
            (Call(getattr, "text", "upper"), ".getattr, which"),
            (Call(np.ndarray, (2,)), None),
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
        if found is None:
            self.cannot_be_read(path)
        else:
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
            ("indptr", 5, 10**6, None),
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
        if found is None:
            self.cannot_be_read(path)
        else:
            self.refuses(path, found)

    def test_sparse_array_with_repeated_entries(self, tmp_path):
        matrix = scipy.sparse.csc_matrix((4, 3))
        matrix.data, matrix.indices = np.array([1.0, 2.0, 4.0]), np.array([1, 1, 3], np.int32)
        matrix.indptr = np.array([0, 2, 2, 3], np.int32)
        content, _ = read_pickle(write(tmp_path / "sparse.pkl", {"a": matrix}), "a test")
        np.testing.assert_array_equal(content["a"], matrix.toarray())

    @pytest.mark.parametrize("protocol", range(6))
    def test_numpy_numbers_are_plain_numbers(self, tmp_path, protocol):
        numbers = {"single": np.float32(2.5), "whole": np.int64(-3), "flag": np.bool_(True)}
        content, _ = read_pickle(write(tmp_path / "numbers.pkl", numbers, protocol), "a test")
        assert content == {"single": 2.5, "whole": -3, "flag": True}
        assert [type(value) for value in content.values()] == [float, int, bool]

    def test_keys_of_another_type(self, tmp_path):
        path = write(tmp_path / "numbered.pkl", {0: np.arange(2), 1: None})
        content, _ = read_pickle(path, "a test", int)
        assert list(content) == [0, 1] and content[1] is None
        with raises("model.no_dictionary", file=path):
            read_pickle(path, "a test")

    def test_forged_memo_index_takes_no_memory(self, arrays, tmp_path):
        program = b"\x80\x02}r" + struct.pack("<I", 2**32 - 1) + b"."
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_bytes(program)
        tracemalloc.start()
        with raises("model.keys_missing", file=path):
            load_mano(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10**7

    def test_forged_length_takes_no_memory(self, tmp_path):
        program = b"\x80\x05\x96" + struct.pack("<Q", 2**33) + b"abc."
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_bytes(program)
        tracemalloc.start()
        with pytest.raises(InputError):
            load_mano(path)
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
        with raises("model.array_type", file=path, array="weights", found="list"):
            load_mano(path)

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
