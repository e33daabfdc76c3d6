"""Cameras whose parameters have a name each: NeRF's, camodocal's, and fx, fy, cx, cy."""

import json

import numpy as np
import pytest

from fitter.inputs.camera_files import read_cameras
from tests.support.errors import raises

K = np.array([[520.0, 0.0, 330.0], [0.0, 515.0, 236.0], [0.0, 0.0, 1.0]])
HALF = K + [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
NERF = {"fl_x": 520, "fl_y": 515, "cx": 330, "cy": 236, "w": 640, "h": 480}
PLAIN = {"fx": 520, "fy": 515, "cx": 330, "cy": 236}
KANNALA = """%YAML:1.0
---
model_type: KANNALA_BRANDT
camera_name: head
image_width: 640
image_height: 480
projection_parameters:
   k2: 1.0e-02
   k3: -2e-03
   k4: 3.0e-04
   k5: 4.0e-05
   mu: 520
   mv: 515
   u0: 330
   v0: 236
"""
VINS = """%YAML:1.0
---
model_type: PINHOLE
image_width: 640
image_height: 480
distortion_parameters: {k1: -0.3, k2: 0.1, p1: 0.001, p2: -0.002}
projection_parameters: {fx: 520, fy: 515, cx: 330, cy: 236}
"""


def read(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_cameras(path).one


@pytest.mark.parametrize(
    "said, model, coefficients",
    [
        ({}, "pinhole", [0] * 5),
        ({"camera_model": "PINHOLE", "frames": [{"file_path": "a.jpg"}]}, "pinhole", [0] * 5),
        (
            {"camera_model": "OPENCV", "k1": 0.1, "k2": 0.2, "p1": 0.3, "p2": 0.4, "k4": 0},
            "pinhole",
            [0.1, 0.2, 0.3, 0.4, 0],
        ),
        ({"k1": 0.1, "k2": 0.2, "k3": 0.3, "is_fisheye": False}, "pinhole", [0.1, 0.2, 0, 0, 0.3]),
        (
            {"camera_model": "OPENCV_FISHEYE", "k1": 0.1, "k2": 0.2, "k3": 0.3, "k4": 0.4, "p1": 0},
            "fisheye",
            [0.1, 0.2, 0.3, 0.4],
        ),
        ({"is_fisheye": True, "k1": 0.1}, "fisheye", [0.1, 0, 0, 0]),
    ],
)
def test_nerf_has_pixel_centres_as_ours(tmp_path, said, model, coefficients):
    lens = read(tmp_path / "transforms.json", NERF | said)
    np.testing.assert_array_equal(lens.intrinsics, K)
    assert (lens.model, lens.size, lens.distortion.tolist()) == (model, (640, 480), coefficients)


@pytest.mark.parametrize(
    "said, code, facts",
    [
        ({"camera_model": "EQUIRECTANGULAR"}, "lens.model", {"found": "EQUIRECTANGULAR"}),
        ({"camera_model": "OPENCV", "is_fisheye": True}, "lens.model", {}),
        ({"camera_model": "OPENCV_FISHEYE", "p1": 0.1}, "lens.other_coefficients", {"found": "p1"}),
        ({"k4": 0.1}, "lens.other_coefficients", {"found": "k4", "model": "pinhole"}),
        ({"frames": [{"fl_x": 1}, {"fl_x": 2}]}, "lens.several", {}),
        ({"fl_y": None}, "lens.lacks", {"found": "fl_y"}),
        ({"cx": "x"}, "intrinsics.no_numbers", {}),
        ({"w": None}, "lens.size", {}),
    ],
)
def test_nerf_that_is_not_clear_is_refused(tmp_path, said, code, facts):
    with raises(code, **facts):
        read(tmp_path / "transforms.json", NERF | said)


def test_an_angle_alone_is_no_whole_camera(tmp_path):
    with raises("lens.lacks", found="fl_x"):
        read(tmp_path / "transforms.json", {"camera_angle_x": 0.7, "frames": []})


@pytest.mark.parametrize("name, file", [("kannala", KANNALA), ("vins", VINS)])
def test_camodocal_has_pixel_centres_as_opencv(tmp_path, name, file):
    lens = read(tmp_path / "c.yaml", file)
    np.testing.assert_array_equal(lens.intrinsics, HALF)
    said = {"kannala": ("fisheye", [0.01, -0.002, 3e-4, 4e-5])}
    expected = said.get(name, ("pinhole", [-0.3, 0.1, 0.001, -0.002]))
    assert (lens.model, lens.distortion.tolist()) == expected and lens.size == (640, 480)


@pytest.mark.parametrize(
    "file, code, facts",
    [
        (KANNALA.replace("KANNALA_BRANDT", "MEI"), "lens.model", {"found": "MEI"}),
        (KANNALA.replace("   mv: 515\n", ""), "lens.lacks", {"found": "mv"}),
        (KANNALA.replace("   k5: 4.0e-05\n", ""), "lens.lacks", {"found": "k5"}),
        (KANNALA.replace("model_type: KANNALA_BRANDT\n", ""), "lens.lacks", {}),
        (KANNALA.replace("image_", "x_"), "lens.no_size", {}),
        (VINS.replace("distortion_", "x_"), "lens.lacks", {"found": "distortion_parameters"}),
    ],
)
def test_camodocal_that_is_not_whole_is_refused(tmp_path, file, code, facts):
    with raises(code, **facts):
        read(tmp_path / "c.yaml", file)


def test_four_names_are_k_of_all_images_or_of_each(tmp_path):
    lens = read(tmp_path / "c.json", PLAIN | {"width": 640, "height": 480})
    np.testing.assert_array_equal(lens.intrinsics, K)
    assert lens.is_straight and lens.size == (640, 480)
    (tmp_path / "c.json").write_text(json.dumps({"a.jpg": PLAIN}))
    assert read_cameras(tmp_path / "c.json").by_name == {"a.jpg": PLAIN}


@pytest.mark.parametrize(
    "said, code, facts",
    [
        ({"k1": 0.1, "k2": 0.2}, "lens.apart", {"found": "k1, k2"}),
        ({"cy": None}, "lens.lacks", {"found": "cy"}),
        ({"camera_model": "fisheye"}, "lens.coefficients", {"found": 0}),
        ({"camera_model": "spherical"}, "lens.model", {"found": "spherical"}),
    ],
)
def test_four_names_beside_a_lens_that_is_not_clear(tmp_path, said, code, facts):
    with raises(code, **facts):
        read(tmp_path / "c.json", PLAIN | said)


@pytest.mark.parametrize("said", [{"camera_model": "pinhole"}, {"K": None, "D": [0.1] * 5}])
def test_a_missing_matrix_is_said_as_missing(tmp_path, said):
    with raises("lens.lacks", found="camera_matrix, K or intrinsics"):
        read(tmp_path / "c.json", said)
