"""Files with cameras that were made to break what reads them: bounded, and one sentence each."""

import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest

from fitter.errors import InputError
from fitter.inputs.camera_exif import CameraExif
from fitter.inputs.camera_files import read_cameras
from fitter.inputs.images import ImageEntry
from fitter.inputs.intrinsics import Intrinsics
from tests.support.errors import raises

K = [[520.0, 0.0, 330.0], [0.0, 515.0, 236.0], [0.0, 0.0, 1.0]]
SIZE = (640, 480)


def aliases(levels: int) -> str:
    """Ten to the power of `levels` numbers in a few lines."""
    lines = ["a0: &a0 [1]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, levels + 1)]
    return "\n".join([*lines, f"K: *a{levels}"])


@pytest.mark.parametrize(
    "text",
    [
        aliases(2),
        aliases(9),
        "K: &a [*a]",
        "K: &a {K: *a}",
        "&x {cam0: *x}",
        "a: &a {K: 1}\n<<: *a",
        "K: 2001-13-45",
        'K: !!int "abc"',
        'K: !!int ""',
        'K: !!float "abc"',
        'K: !!bool "abc"',
        'K: !!timestamp "abc"',
        "K: " + "1:" * 200 + "1.5",
        "K: !!opencv-matrix [1]",
        "K: !!python/object/apply:os.system [echo]",
        "? [1]\n: 2",
        "K: " + "[" * 5000,
        "a: 1\n---\nb: 2",
    ],
    ids=range(18),
)
def test_yaml_that_is_not_read(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with raises("lens.broken_file"):
        read_cameras(tmp_path / "c.yaml")


def test_an_alias_is_said_with_its_line(tmp_path):
    (tmp_path / "c.yaml").write_text(aliases(1))
    with raises("lens.broken_file", reason="an alias (*), which is not read in line 2"):
        read_cameras(tmp_path / "c.yaml")


def test_a_date_that_is_none_is_said(tmp_path):
    (tmp_path / "c.yaml").write_text("K: 2001-13-45")
    with raises("lens.broken_file", reason="month must be in 1..12"):
        read_cameras(tmp_path / "c.yaml")


@pytest.mark.parametrize("name", ["0", "2001-01-01", "1.5", "null", "true"])
def test_names_that_yaml_takes_for_something_else_are_names(tmp_path, name):
    (tmp_path / "c.yaml").write_text(f"{name}: {{K: {K}}}\n")
    (found,) = read_cameras(tmp_path / "c.yaml").by_name.values()
    assert found == {"K": K}
    with raises("list.other_names"):
        Intrinsics.from_option(str(tmp_path / "c.yaml")).require_for(["a.jpg"], 1)


@pytest.mark.parametrize("number", ["1e-05", "1E5", "-1e5", "+1.e5", ".5e-3", "1.0e-05", "0e0"])
def test_numbers_of_yaml_1_2(tmp_path, number):
    """As yaml-cpp writes them: PyYAML alone takes the first for words."""
    (tmp_path / "c.yaml").write_text(
        f"cam0:\n  camera_model: pinhole\n  intrinsics: [5e2, 500, 320, 240]\n"
        f"  distortion_model: radtan\n  distortion_coeffs: [{number}, 0.0, 0.0, 0]\n"
        f"  resolution: [640, 480]\n"
    )
    lens = read_cameras(tmp_path / "c.yaml").one
    assert lens.distortion.tolist() == [float(number), 0, 0, 0] and lens.intrinsics[0, 0] == 500


@pytest.mark.parametrize("word", ["1e", "e5", "1e5m", "a1e5", "1e-05 mm"])
def test_words_that_begin_like_numbers_are_words(tmp_path, word):
    (tmp_path / "c.yaml").write_text(f"K: {K}\nD: [{word}, 0, 0, 0, 0]\n")
    with raises("lens.no_numbers"):
        read_cameras(tmp_path / "c.yaml")


TEXT = f"<data>{' '.join(map(str, np.ravel(K)))}</data>"
MATRIX = f"<camera_matrix><rows>3</rows><cols>3</cols>{TEXT}</camera_matrix>"
ENTITY = '<!DOCTYPE l [<!ENTITY a "1 2 3">]>'


@pytest.mark.parametrize(
    "text",
    [
        "<o>" + "<a>" * 3000 + "1" + "</a>" * 3000 + "</o>",
        f"{ENTITY}<o><camera_matrix>&a;</camera_matrix></o>",
        f"<?x <!-- ?>{ENTITY}<?y --> ?><o><camera_matrix>&a;</camera_matrix></o>",
        "<o><K>&a;</K></o>",
    ],
    ids=["deep", "entity", "entity between comments that are none", "no entity"],
)
def test_xml_that_is_not_read(tmp_path, text):
    (tmp_path / "c.xml").write_text(text)
    with raises("lens.broken_file"):
        read_cameras(tmp_path / "c.xml")


def test_xml_may_have_comments(tmp_path):
    (tmp_path / "c.xml").write_text(f"<!-- a <b> -- ><o>{MATRIX}</o>".replace("-- >", "-->"))
    np.testing.assert_array_equal(read_cameras(tmp_path / "c.xml").one.intrinsics, K)


def bomb(path, **shapes):
    """An archive of zeros, written in small pieces; a few kB on disk."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, shape in shapes.items():
            header = io.BytesIO()
            said = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(header, said)
            with archive.open(f"{name}.npy", "w") as file:
                file.write(header.getvalue())
                for _ in range(0, int(np.prod(shape)), 9 * 2**17):
                    file.write(bytes(9 * 2**17))
    return path


@pytest.mark.parametrize(
    "shapes, code",
    [
        ({"K": (2**23, 3, 3)}, "intrinsics.too_large"),
        ({"a": (2**23, 3, 3)}, "intrinsics.too_large"),
        ({"K": (2**20, 3, 3), "dist": (2**17, 9)}, "intrinsics.shape"),
        ({"dist": (2**20, 9), "mtx_": (2**17, 9)}, "intrinsics.shape"),
        ({"a": (2**10, 2**10, 9)}, "intrinsics.shape"),
        ({"camera_matrix": (2**20, 9)}, "intrinsics.shape"),
    ],
)
def test_archives_that_unpack_to_more_than_cameras_are_not_unpacked(tmp_path, shapes, code):
    path = bomb(tmp_path / "k.npz", **shapes)
    tracemalloc.start()
    try:
        with raises(code):
            read_cameras(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**27  # K of 2**20 rows as float64 has 2**26, and is no list of Python's numbers


def test_a_header_that_claims_more_than_is_there(tmp_path):
    for name in ("k.npy", "k.npz"):
        header = io.BytesIO()
        said = {"descr": "<f8", "fortran_order": False, "shape": (10**13, 3, 3)}
        np.lib.format.write_array_header_1_0(header, said)
        (tmp_path / "k.npy").write_bytes(header.getvalue())
        if name == "k.npz":
            with zipfile.ZipFile(tmp_path / name, "w") as archive:
                archive.write(tmp_path / "k.npy", "K.npy")
        with raises("intrinsics.no_arrays"):
            read_cameras(tmp_path / name)


def test_what_lies_beside_a_calibration_is_left_out(tmp_path):
    np.savez_compressed(tmp_path / "c.npz", mtx=K, dist=[[0.1] * 5], images=np.zeros((9, 999, 99)))
    assert read_cameras(tmp_path / "c.npz").one.distortion.tolist() == [0.1] * 5


def test_entries_of_an_array_are_those_of_images_in_order(tmp_path):
    many = np.array([np.diag([fx, fx, 1.0]) + [[0, 0, 320], [0, 0, 240], [0, 0, 0]]
                     for fx in np.linspace(400, 800, 600)])  # fmt: skip
    np.savez(tmp_path / "k.npz", many)
    np.save(tmp_path / "k.npy", many)
    for name in ("k.npz", "k.npy"):
        given = Intrinsics.from_option(str(tmp_path / name))
        given.require_for([], 600)
        with raises("intrinsics.count"):
            given.require_for([], 601)
        entry = ImageEntry("a.jpg", tmp_path / "a.jpg")
        for part, place in ((given, 599), (given.part(598, ["z.jpg", "a.jpg"]), 599)):
            found, _ = part.intrinsics_for(entry, place, SIZE, CameraExif())
            np.testing.assert_array_equal(found, many[599])
            assert json.loads(json.dumps(part.raw(entry, place))) == many[599].tolist()
        assert not given.has_lenses


WRONG = [
    None, True, 5, 10**400, float("nan"), "word", [], {}, [[1]], {"rows": 3}, {"a": [1]}, [None] * 9
]  # fmt: skip
NAMES = (
    "K", "camera_matrix", "intrinsics", "distortion", "D", "distortion_model", "model", "size",
    "image_width", "fisheye_model", "binning_x", "roi", "camera_model", "resolution", "fx", "cy",
    "fl_x", "w", "frames", "is_fisheye", "k1", "model_type", "projection_parameters",
)  # fmt: skip
WHOLE = [
    {"K": K, "distortion": [0.1] * 4, "size": SIZE},
    {"camera_matrix": K, "D": [0.1] * 5, "distortion_model": "plumb_bob", "width": 9, "height": 9},
    {"camera_model": "pinhole", "intrinsics": [5, 5, 3, 3], "distortion_model": "radtan",
     "distortion_coeffs": [0.0] * 4, "resolution": SIZE},
    {"fl_x": 520, "fl_y": 515, "cx": 330, "cy": 236, "w": 640, "h": 480},
    {"fx": 520, "fy": 515, "cx": 330, "cy": 236},
    {"model_type": "PINHOLE", "projection_parameters": {"fx": 5, "fy": 5, "cx": 3, "cy": 3},
     "distortion_parameters": {"k1": 0, "k2": 0, "p1": 0, "p2": 0}},
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_values_of_the_wrong_kind_end_in_a_sentence(tmp_path, name):
    path, refused = tmp_path / "c.json", 0
    for whole in WHOLE:
        for value in WRONG:
            path.write_text(json.dumps(whole | {name: value}))
            try:
                read_cameras(path)
            except InputError as error:
                assert str(error).startswith(str(path))
                refused += 1
    assert refused
