"""Rig files: what they say is taken as it is, and what is none is refused in one sentence."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fitter.inputs.rig_files import RigFile, check_rig
from fitter.rig import Rig, RigCamera
from tests.support.errors import raises
from tests.support.rig_folders import LENS, turning_rig, write_rig

RIG = turning_rig(["left", "right"], LENS)
EYE = np.eye(3).tolist()


def test_a_file_says_what_was_written(tmp_path):
    path = write_rig(tmp_path / "rig.json", RIG)
    found = RigFile.open(path)
    assert found.rig.names == ("left", "right") and found.images == ("left", "right")
    for camera, wanted in zip(found.rig.cameras, RIG.cameras, strict=True):
        for name in ("intrinsics", "rotation", "translation", "distortion"):
            np.testing.assert_array_equal(getattr(camera, name), getattr(wanted, name))
        assert camera.size == wanted.size
    again = Rig.of_json(found.rig.as_json())
    assert again.as_json() == RIG.as_json() == check_rig(RIG).as_json()
    assert check_rig(json.loads(path.read_text())).as_json() == RIG.as_json()


def test_a_rig_of_one_camera_needs_neither_lens_nor_size(tmp_path):
    path = tmp_path / "rig.json"
    path.write_text(json.dumps({"cameras": [{"name": "a", "K": EYE, "R": EYE, "t": [0, 0, 0]}]}))
    (camera,) = RigFile.open(path).rig.cameras
    assert camera.size is None and camera.distortion.shape == (0,)
    np.testing.assert_array_equal(camera.centre, np.zeros(3))


def test_the_centre_is_where_the_camera_sees_nothing():
    for camera in RIG.cameras:
        seen = camera.rotation @ camera.centre + camera.translation
        np.testing.assert_allclose(seen, 0, atol=1e-15)


TURNED = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
BAD = {
    "K of another shape": ({"K": [[1, 0], [0, 1]]}, "intrinsics.shape", "K", {}),
    "K that is not finite": ({"K": [[1, 0, 0], [0, 1, 0], [0, 0, float("nan")]]}, "", "K", {}),
    "no K": ({"K": None}, "rig.lacks", None, {"found": "K"}),
    "no R": ({"R": None}, "rig.lacks", None, {"found": "R"}),
    "no t": ({"t": None}, "rig.lacks", None, {"found": "t"}),
    "t of two numbers": ({"t": [1, 2]}, "rig.shape", "t", {"expected": "3", "found": "2"}),
    "t of words": ({"t": ["a", "b", "c"]}, "rig.no_numbers", "t", {"found": "['a', 'b', 'c']"}),
    "t of numbers as words": ({"t": ["0", "0", "1"]}, "rig.no_numbers", "t", {}),
    "t with infinity": ({"t": [1, 2, float("inf")]}, "rig.not_finite", "t", {}),
    "R of a scale": (
        {"R": (1.01 * np.array(TURNED)).tolist()}, "rig.no_rotation", "R", {},
    ),
    "R of zeros": ({"R": np.zeros((3, 3)).tolist()}, "rig.no_rotation", "R", {"found": 1.0}),
    "a reflection": ({"R": np.diag([1.0, 1.0, -1.0]).tolist()}, "rig.reflection", "R", {}),
    "three coefficients": ({"distortion": [1, 2, 3]}, "rig.distortion", "distortion", {"found": 3}),
    "coefficients that turn round": (
        {"distortion": [-5.0, 0, 0, 0, 0]}, "rig.lens", "distortion", {"least": 0.5},
    ),
    "coefficients of another kind": (
        {"distortion": [5.0, 5, 5, 5, 5]}, "rig.lens", "distortion", {},
    ),
    "a key of none": ({"focal": 3}, "rig.unknown_key", None, {"found": "focal"}),
    "a size of one": ({"size": [640]}, "rig.size", "size", {}),
    "a size of halves": ({"size": [640.5, 480]}, "rig.size", "size", {}),
    "a folder elsewhere": ({"images": "../other"}, "rig.outside", None, {"found": "../other"}),
    "images of no text": ({"images": 3}, "rig.images", None, {}),
    "one place of images twice": (
        {"images": "left"}, "rig.same_images", "", {"one": "left", "other": "right"},
    ),
    "lengths in millimetres": (
        {"t": [-400.0, 0.0, 30.0]}, "rig.far", "", {"one": "left", "other": "right", "most": 20.0},
    ),
    "two fields": ({"images": "{frame}/{frame}.png"}, "rig.two_fields", None, {}),
    "images of one alone": ({"images": "r"}, "rig.some_placed", "", {"camera": "left"}),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_camera_that_is_none_is_refused_by_name(tmp_path, case):
    change, code, part, facts = BAD[case]
    placed = {"images": "./left"} if code == "rig.same_images" else {}
    path = write_rig(tmp_path / "rig.json", RIG, right=change, left=placed)
    where = f"{path}, camera 'right'" + (f", {part}" if part else "")
    if part == "":
        where = path
    with raises(code or "intrinsics.not_finite", file=where, **facts):
        RigFile.open(path)


@pytest.mark.parametrize("shape", [(1, -1), (-1, 1)])
def test_vectors_are_taken_as_opencv_gives_them(tmp_path, shape):
    """The coefficients of a lens are a row or a column there, and t is a column."""
    given = RIG.cameras[1]
    lens, t = given.distortion.reshape(shape), given.translation.reshape(shape)
    path = write_rig(
        tmp_path / "rig.json", RIG, right={"distortion": lens.tolist(), "t": t.tolist()}
    )
    door = Rig((RIG.cameras[0], replace(given, distortion=lens, translation=t)))
    for found in (RigFile.open(path).rig, check_rig(door)):
        assert found.as_json() == RIG.as_json()


@pytest.mark.parametrize("shape", [(2, 3), (1, 1, 3)])
def test_no_other_shapes_are_flattened(tmp_path, shape):
    path = write_rig(tmp_path / "rig.json", RIG, right={"t": np.zeros(shape).tolist()})
    sizes = " x ".join(map(str, shape))
    with raises("rig.shape", file=f"{path}, camera 'right', t", expected="3", found=sizes):
        RigFile.open(path)


def test_how_far_a_matrix_is_from_a_rotation_is_said(tmp_path):
    path = write_rig(tmp_path / "rig.json", RIG, right={"R": (1.01 * np.array(TURNED)).tolist()})
    with raises("rig.no_rotation") as told:
        RigFile.open(path)
    assert told.value.facts["found"] == pytest.approx(1.01**2 - 1)
    rounded = np.round(RIG.cameras[1].rotation, 4)
    found = RigFile.open(write_rig(path, RIG, right={"R": rounded.tolist()}))  # of few digits
    rotation = found.rig.cameras[1].rotation
    assert np.abs(rounded @ rounded.T - np.eye(3)).max() > 1e-6
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(rotation, rounded, atol=1e-4)
    assert check_rig(found.rig).as_json() == found.rig.as_json()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "json.invalid"),
        ("[]", "rig.layout"),
        ('{"camera": []}', "rig.layout"),
        ('{"cameras": []}', "rig.no_camera"),
        ('{"cameras": [3]}', "rig.camera"),
        ('{"cameras": [{"name": 3, "K": 1, "R": 1, "t": 1}]}', "rig.name"),
        ('{"cameras": [], "unit": "mm"}', "rig.unknown_key"),
    ],
)
def test_a_file_that_is_no_rig_is_refused(tmp_path, text, code):
    path = tmp_path / "rig.json"
    path.write_text(text)
    with raises(code):
        RigFile.open(path)


def test_a_missing_file_and_two_cameras_of_one_name(tmp_path):
    with raises("json.missing", file=tmp_path / "rig.json"):
        RigFile.open(tmp_path / "rig.json")
    path = write_rig(tmp_path / "rig.json", RIG, right={"name": "left"})
    with raises("rig.twice", file=path, camera="left"):
        RigFile.open(path)


def test_rigs_of_python_are_checked_alike():
    good = RIG.cameras[0]
    with raises("rig.kind", found="list"):
        check_rig([good])
    with raises("rig.no_camera", file="rig"):
        check_rig({"cameras": []})
    with raises("rig.lacks", file="rig, camera 'left'", found="K"):
        check_rig({"cameras": [{"name": "left"}]})
    with raises("rig.no_camera"):
        check_rig(Rig(()))
    with raises("rig.no_rotation", file="rig, camera 'b', R"):
        bad = RigCamera("b", good.intrinsics, 2 * good.rotation, good.translation)
        check_rig(Rig((good, bad)))
    with raises("rig.twice", camera="left"):
        check_rig(Rig((good, good)))
    others: tuple[Any, ...] = (1, {"name": "a"}, None)
    for other in others:
        with raises("rig.camera_kind", file="rig, camera 1", found=type(other).__name__):
            check_rig(Rig((good, other)))
    for size in (64, (64,), "64", (64.0, 48.0), np.array([64, 48])):
        with raises("rig.size", file="rig, camera 'left', size"):
            check_rig(Rig((replace(good, size=size),)))
    with raises("rig.far", file="rig", one="left", other="right"):
        check_rig(Rig((good, replace(RIG.cameras[1], translation=np.array([0.0, 300.0, 0.0])))))
