"""Cameras as calibrations write them, each in its own way, and what is none of them."""

import json

import cv2
import numpy as np
import pytest

from fitter.inputs.camera_exif import CameraExif
from fitter.inputs.camera_files import read_cameras
from fitter.inputs.images import ImageEntry
from fitter.inputs.intrinsics import Intrinsics
from fitter.lens import Lens
from tests.support.errors import raises

K = [[520.0, 0.0, 330.0], [0.0, 515.0, 236.0], [0.0, 0.0, 1.0]]
HALF = np.array(K) + [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
FIVE = [-0.3, 0.1, 0.001, -0.002, 0.01]
SIZE = (640, 480)
EIGHT = [0.1, -0.2, 0.001, 0.002, 0.03, 0.2, -0.1, 0.02]
FOUR = [0.03, -0.01, 0.004, -0.001]


def camera(path, size=SIZE, name="a.jpg"):
    """K of an image, by the option."""
    entry = ImageEntry(name, path.with_name(name))
    found = Intrinsics.from_option(str(path))
    matrix, source = found.intrinsics_for(entry, 0, size, CameraExif())
    assert source == "given"
    return matrix


def opencv(path, content):
    file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for name, value in content.items():
        file.write(name, value)
    file.release()
    return path


@pytest.mark.parametrize(
    "name, text",
    [
        ("k.json", json.dumps(K)),
        ("k.json", json.dumps(np.ravel(K).tolist())),
        ("k.yaml", f"- {K[0]}\n- {K[1]}\n- {K[2]}\n"),
        ("k.txt", "520 0 330\n0 515 236\n0 0 1\n"),
        ("k.txt", "5.2e2, 0, 330, 0, 515, 236, 0, 0, 1"),
        ("k.txt", "520 515 330 236"),
        ("k.txt", "[[520. 0. 330.]\n [0. 515. 236.]\n [0. 0. 1.]]"),
        ("k.txt", "520 0 330 0\n0 515 236 0\n0 0 1 0"),
        ("k.json", json.dumps([[*row, 0] for row in K] + [[0, 0, 0, 1]])),
        ("k.json", json.dumps({"K": K})),
        ("k.json", json.dumps({"a.jpg": K, "b.jpg": K})),
    ],
)
def test_k_of_a_file_of_every_kind(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    np.testing.assert_array_equal(camera(tmp_path / name), K)


@pytest.mark.parametrize(
    "save",
    [
        lambda path: np.save(path.with_suffix(".npy"), np.float32(K)),
        lambda path: np.savez(path.with_suffix(".npz"), np.array(K)),
        lambda path: np.savez(path.with_suffix(".npz"), **{"a.jpg": K, "b.jpg": np.eye(3)}),
        lambda path: np.savez(path.with_suffix(".npz"), **{"a.jpg": K}),
        lambda path: np.savez(path.with_suffix(".npz"), many=np.array([K])),
    ],
    ids=["one", "one of an archive", "by name", "one by name", "in order"],
)
def test_k_of_numpy_files(tmp_path, save):
    save(tmp_path / "k")
    (path,) = tmp_path.iterdir()
    np.testing.assert_array_equal(camera(path), K)


WRONG = {
    "transposed": np.transpose(K),
    "projection": np.array(K)
    @ np.column_stack([cv2.Rodrigues(np.array([0.1, 0, 0]))[0], [1, 2, 3]]),
    "pose": np.column_stack([cv2.Rodrigues(np.array([0.1, 0.2, 0]))[0], [1.0, 2, 3]]),
    "opengl": [[1.6, 0, 0, 0], [0, 2.1, 0, 0], [0, 0, -1.002, -0.2], [0, 0, -1, 0]],
    "inverse": np.linalg.inv(K),
    "shares": [[0.81, 0, 0.516], [0, 1.07, 0.49], [0, 0, 1]],
    "device": [[2.2, 0, 0.03], [0, 2.2, -0.02], [0, 0, 1]],
    "other_resolution": np.diag([6.3, 6.3, 1]) @ [[480, 0, 320], [0, 480, 240], [0, 0, 1]],
    "turned": [[520, 0, 244], [0, 515, 316], [0, 0, 1]],
    "far_centre": [[1400, 0, 960], [0, 1400, 540], [0, 0, 1]],
    "not_square": [[520, 0, 330], [0, 100, 236], [0, 0, 1]],
    "form": [[520, 0, 330], [0, 515, 236], [0, 0.1, 1]],
    "not_finite": [[520, 0, 330], [0, np.nan, 236], [0, 0, 1]],
}


@pytest.mark.parametrize("kind", WRONG)
def test_another_matrix_is_refused_as_what_it_is(tmp_path, kind):
    np.save(tmp_path / "k.npy", np.array(WRONG[kind], float))
    with raises(f"intrinsics.{kind}", file=str(tmp_path / "k.npy")):
        camera(tmp_path / "k.npy")


def test_k_of_another_resolution_says_what_to_multiply_it_by(tmp_path):
    (tmp_path / "k.txt").write_text("3000 0 2016 0 3000 1512 0 0 1")
    with raises("intrinsics.other_resolution", whole=(4032, 3024), share=640 / 4032):
        camera(tmp_path / "k.txt")


@pytest.mark.parametrize("share", [0.5, 1.0, 6.3])
def test_k_of_the_portrait_picture_is_none_of_the_landscape_one(tmp_path, share):
    """At any resolution: cameras calibrate at another one than they record at."""
    scale = np.diag([share, share, 1.0])
    upright = scale @ [[620, 0, 240], [0, 620, 320], [0, 0, 1]]
    np.savetxt(tmp_path / "k.txt", upright)
    whole = (round(480 * share), round(640 * share))
    with raises("intrinsics.turned", image="a.jpg", width=640, height=480, whole=whole):
        camera(tmp_path / "k.txt")
    if share == 1:
        np.testing.assert_array_equal(camera(tmp_path / "k.txt", size=(480, 640)), upright)


def test_the_quarter_turn_is_asked_of_no_crop_and_of_no_square(tmp_path):
    swapped = [[620, 0, 240], [0, 620, 320], [0, 0, 1]]
    path = tmp_path / "k.json"
    path.write_text(json.dumps({"a.jpg": swapped, "b.jpg": K}))
    np.testing.assert_array_equal(camera(path), swapped)
    path.write_text(json.dumps({"a.jpg": [[620, 0, 120], [0, 620, 160], [0, 0, 1]]}))
    assert camera(path)[0, 2] == 120
    path.write_text(json.dumps({"a.jpg": swapped}))
    with raises("intrinsics.turned"):
        camera(path)
    path.write_text(json.dumps([[480, 0, 108], [0, 480, 116], [0, 0, 1]]))
    assert camera(path, size=(224, 224))[0, 2] == 108


def test_crops_have_their_principal_points_anywhere(tmp_path):
    """As crops of one image of 4032 x 3024: of the corners, of the middle, of a strip."""
    crops = {"a.jpg": (2016, 1512), "b.jpg": (-700, 80), "c.jpg": (320, 240), "d.jpg": (960, 90)}
    entries = {name: [[3000, 0, x], [0, 3000, y], [0, 0, 1]] for name, (x, y) in crops.items()}
    path = tmp_path / "k.json"
    path.write_text(json.dumps(entries))
    for name in crops:
        np.testing.assert_array_equal(camera(path, name=name), entries[name])


@pytest.mark.parametrize("ending", ["yml", "xml", "json"])
@pytest.mark.parametrize("coefficients, model", [(FIVE, None), (EIGHT, None), (FOUR, 1), (FOUR, 0)])
def test_opencv_calibrations(tmp_path, ending, coefficients, model):
    content = {
        "calibration_time": "Mon",
        "camera_matrix": np.array(K),
        "distortion_coefficients": np.array(coefficients)[:, None],
        "image_width": 640,
        "image_height": 480,
    }
    if model is not None:
        content["fisheye_model"] = model
    found = read_cameras(opencv(tmp_path / f"c.{ending}", content)).one
    assert isinstance(found, Lens) and found.size == SIZE
    assert found.model == ("fisheye" if model else "pinhole")
    np.testing.assert_allclose(found.intrinsics, HALF)
    np.testing.assert_allclose(found.distortion, coefficients)


def test_arrays_of_a_calibration_have_no_size_and_take_the_images(tmp_path):
    np.savez(tmp_path / "c.npz", mtx=K, dist=[FIVE], rvecs=np.zeros((7, 3)), tvecs=np.zeros((7, 3)))
    found = read_cameras(tmp_path / "c.npz").one
    assert found.size is None and found.distortion.tolist() == FIVE
    with raises("intrinsics.other_resolution"):
        camera(tmp_path / "c.npz", size=(1280, 960))


ROS = f"""
image_width: 640
image_height: 480
camera_name: head
camera_matrix: {{rows: 3, cols: 3, data: {np.ravel(K).tolist()}}}
distortion_model: MODEL
distortion_coefficients: {{rows: 1, cols: COUNT, data: DATA}}
"""

KALIBR = f"""
cam0:
  camera_model: KIND
  intrinsics: [520.0, 515.0, 330.0, 236.0]
  distortion_model: MODEL
  distortion_coeffs: {FOUR}
  resolution: [640, 480]
  rostopic: /cam0/image_raw
"""


@pytest.mark.parametrize(
    "said, coefficients, model",
    [
        ("plumb_bob", FIVE, "pinhole"),
        ("rational_polynomial", EIGHT, "pinhole"),
        ("equidistant", FOUR, "fisheye"),
    ],
)
def test_ros_camera_infos(tmp_path, said, coefficients, model):
    text = ROS.replace("MODEL", said).replace("COUNT", str(len(coefficients)))
    (tmp_path / "c.yaml").write_text(text.replace("DATA", str(coefficients)))
    found = read_cameras(tmp_path / "c.yaml").one
    assert (found.model, found.size, found.distortion.tolist()) == (model, SIZE, coefficients)
    np.testing.assert_allclose(found.intrinsics, HALF)


@pytest.mark.parametrize("said, model", [("radtan", "pinhole"), ("equidistant", "fisheye")])
def test_kalibr_camchains(tmp_path, said, model):
    (tmp_path / "c.yaml").write_text(KALIBR.replace("KIND", "pinhole").replace("MODEL", said))
    found = read_cameras(tmp_path / "c.yaml").one
    assert (found.model, found.size, found.distortion.tolist()) == (model, SIZE, FOUR)
    np.testing.assert_allclose(found.intrinsics, HALF)


COLMAP = {
    "SIMPLE_PINHOLE": ("500 320 240", "pinhole", (500, 500), []),
    "PINHOLE": ("500 510 320 240", "pinhole", (500, 510), []),
    "SIMPLE_RADIAL": ("500 320 240 0.1", "pinhole", (500, 500), [0.1, 0, 0, 0]),
    "RADIAL": ("500 320 240 0.1 0.2", "pinhole", (500, 500), [0.1, 0.2, 0, 0]),
    "OPENCV": ("500 510 320 240 .1 .2 .3 .4", "pinhole", (500, 510), [0.1, 0.2, 0.3, 0.4]),
    "FULL_OPENCV": (
        "500 510 320 240 .1 .2 .3 .4 .5 .6 .7 .8", "pinhole", (500, 510),
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
    ),
    "SIMPLE_RADIAL_FISHEYE": ("500 320 240 0.1", "fisheye", (500, 500), [0.1, 0, 0, 0]),
    "RADIAL_FISHEYE": ("500 320 240 0.1 0.2", "fisheye", (500, 500), [0.1, 0.2, 0, 0]),
    "OPENCV_FISHEYE": ("500 510 320 240 .1 .2 .3 .4", "fisheye", (500, 510), [0.1, 0.2, 0.3, 0.4]),
}  # fmt: skip


@pytest.mark.parametrize("name", COLMAP)
def test_colmap_cameras(tmp_path, name):
    numbers, model, (fx, fy), coefficients = COLMAP[name]
    (tmp_path / "cameras.txt").write_text(f"# Number of cameras: 1\n1 {name} 640 480 {numbers}\n")
    found = read_cameras(tmp_path / "cameras.txt").one
    assert (found.model, found.size, found.distortion.tolist()) == (model, SIZE, coefficients)
    np.testing.assert_array_equal(found.intrinsics, [[fx, 0, 320], [0, fy, 240], [0, 0, 1]])


@pytest.mark.parametrize(
    "said, half",
    [
        ({"K": K, "distortion": FIVE}, 0.0),  # ours
        ({"K": K, "distortion": FOUR, "model": "fisheye", "size": SIZE}, 0.0),
        ({"K": K, "dist": FIVE}, 0.5),
        ({"K": K, "D": FIVE}, 0.5),
        ({"K": K, "D": FIVE, "distortion": FIVE}, 0.5),
        ({"k": K, "d": FIVE}, 0.5),
        ({"k": K, "distortion": FIVE}, 0.5),
        ({"mtx": K, "dist": FIVE}, 0.5),
        ({"cameraMatrix": K, "distCoeffs": FIVE}, 0.5),
        ({"camera_matrix": K, "distortion": FIVE}, 0.5),
        ({"camera_matrix": K, "distortion_coefficients": FIVE}, 0.5),
        ({"camera_matrix": K, "dist_coeffs": []}, 0.5),
        ({"intrinsic_matrix": K, "distortion_coeffs": FIVE}, 0.5),
        ({"intrinsics": [520, 515, 330, 236], "dist": FIVE}, 0.5),
        ({"fx": 520, "fy": 515, "cx": 330, "cy": 236, "distortion": FIVE}, 0.5),
        ({"K": K}, 0.0),  # no lens: K as it is
        ({"k": K}, 0.0),
        ({"mtx": K}, 0.0),
        ({"camera_matrix": K, "size": SIZE}, 0.0),
        ({"cam_matrix": K}, 0.0),
        ({"intrinsics": [520, 515, 330, 236], "width": 640, "height": 480}, 0.0),
        ({"fx": 520, "fy": 515, "cx": 330, "cy": 236}, 0.0),
    ],
)
def test_half_a_pixel_is_added_where_coefficients_are_and_not_ours(tmp_path, said, half):
    (tmp_path / "c.json").write_text(json.dumps(said))
    found = read_cameras(tmp_path / "c.json").one
    np.testing.assert_array_equal(found.intrinsics, K + np.array([[0, 0, half]] * 2 + [[0, 0, 0]]))


REGION = "roi: {x_offset: 0, y_offset: 0, height: 480, width: 640, do_rectify: false}\n"


@pytest.mark.parametrize(
    "region, is_whole",
    [
        (REGION, True),
        (REGION.replace("480", "0").replace("640", "0"), True),
        (REGION.replace("480", "240"), False),
        (REGION.replace("x_offset: 0", "x_offset: 8"), False),
        (REGION.replace("640", "0"), False),
    ],
)
def test_ros_regions_that_are_the_whole_image_are_none(tmp_path, region, is_whole):
    path = tmp_path / "c.yaml"
    text = ROS.replace("MODEL", "plumb_bob").replace("COUNT", "5").replace("DATA", str(FIVE))
    path.write_text(text + region)
    if is_whole:
        np.testing.assert_allclose(read_cameras(path).one.intrinsics, HALF)
        return
    with raises("lens.binned", name="roi"):
        read_cameras(path)


TWO = "1 SIMPLE_PINHOLE 640 480 500 320 240\n2 SIMPLE_RADIAL 640 480 400 320 240 -0.1\n"


def test_colmap_images_say_which_camera_is_theirs(tmp_path):
    (tmp_path / "cameras.txt").write_text(TWO)
    with raises("lens.no_images", found=2):
        read_cameras(tmp_path / "cameras.txt")
    lines = (
        "# two lines an image\n5 1 0 0 0 0 0 0 2 day 1/b.jpg\n\n7 1 0 0 0 0 0 0 1 a.jpg\n1 2 -1\n"
    )
    (tmp_path / "images.txt").write_text(lines)
    found = read_cameras(tmp_path / "cameras.txt").by_name
    assert found["a.jpg"].is_straight and found["day 1/b.jpg"].distortion[0] == -0.1
    assert camera(tmp_path / "cameras.txt")[0, 0] == 500
    with raises("intrinsics.no_entry", image="c.jpg"):
        camera(tmp_path / "cameras.txt", name="c.jpg")


def test_a_lens_is_scaled_to_resized_images_and_no_others(tmp_path):
    (tmp_path / "cameras.txt").write_text("1 OPENCV 1280 960 900 910 650 470 -0.1 0 0 0\n")
    given = Intrinsics.from_option(str(tmp_path / "cameras.txt"))
    entry = ImageEntry("a.jpg", tmp_path / "a.jpg")
    lens = given.through(entry, 0, SIZE).lens
    assert (lens.size, lens.scale) == (SIZE, 0.5)
    np.testing.assert_allclose(lens.intrinsics, [[450, 0, 325], [0, 455, 235], [0, 0, 1]])
    with raises("lens.other_camera", expected=(1280, 960), found=(640, 360)):
        given.through(entry, 0, (640, 360))


REFUSED = {
    "lens.model": ROS.replace("MODEL", "thin_prism_fisheye").replace("COUNT", "4"),
    "lens.broken_matrix": ROS.replace("MODEL", "plumb_bob").replace("COUNT", "4"),
    "lens.coefficients": ROS.replace("MODEL", "equidistant").replace("COUNT", "5"),
    "lens.which_model": ROS.replace("distortion_model: MODEL", "").replace("COUNT", "4"),
    "lens.not_finite": ROS.replace("MODEL", "plumb_bob").replace("COUNT", "5"),
    "lens.no_size": ROS.replace("MODEL", "plumb_bob").replace("COUNT", "5").replace("image_", "x_"),
    "lens.binned": ROS.replace("MODEL", "plumb_bob").replace("COUNT", "5") + "binning_x: 2\n",
    "lens.several": KALIBR + KALIBR.replace("cam0", "cam1"),
    "lens.broken_file": ROS[: ROS.index("distortion_coefficients") + 40],
    "lens.size": ROS.replace("MODEL", "none").replace("COUNT", "5").replace("480", "[4, 8]"),
}
DATA = {
    "lens.model": FOUR,
    "lens.broken_matrix": FIVE,
    "lens.which_model": FOUR,
    "lens.not_finite": "[.nan, 0, 0, 0, 0]",
}


@pytest.mark.parametrize("code", REFUSED)
def test_lens_files_that_are_refused(tmp_path, code):
    path = tmp_path / "c.yaml"
    path.write_text(REFUSED[code].replace("DATA", str(DATA.get(code, FIVE))))
    with raises(code) as raised:
        read_cameras(path)
    assert str(raised.value).startswith(str(path))


@pytest.mark.parametrize("kind", ["omni", "eucm", "ds"])
def test_other_cameras_of_kalibr_are_refused_by_name(tmp_path, kind):
    (tmp_path / "c.yaml").write_text(KALIBR.replace("KIND", kind).replace("MODEL", "none"))
    with raises("lens.model", expected="pinhole", found=kind) as raised:
        read_cameras(tmp_path / "c.yaml")
    assert "undistort the pictures" in str(raised.value)  # the way out


@pytest.mark.parametrize(
    "name, content, code",
    [
        ("cameras.txt", "1 FOV 640 480 500 500 320 240 0.9\n", "lens.model"),
        ("cameras.txt", "1 OPENCV 640 480 500 500 320 240 0.9\n", "lens.line"),
        ("k.txt", "520 0 330 0 515\n", "intrinsics.nine_numbers"),
        ("k.txt", "", "intrinsics.empty_file"),
        ("k.yaml", " \n", "intrinsics.empty_file"),
        ("k.txt", "fx 520\n", "intrinsics.unknown_file"),
        ("k.txt", b"\xff\xfe\x00", "intrinsics.unknown_file"),
        ("k.npz", b"PK\x03\x04 broken", "intrinsics.no_arrays"),
        ("k.xml", "<opencv_storage><camera_matrix>", "lens.broken_file"),
        ("k.xml", '<!DOCTYPE a [<!ENTITY b "c">]><a><d>&b;</d></a>', "lens.broken_file"),
        ("k.json", '"K"', "intrinsics.layout"),
    ],
)
def test_files_that_hold_no_camera(tmp_path, name, content, code):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with raises(code):
        read_cameras(path)


def test_a_folder_is_no_file_of_cameras(tmp_path):
    with raises("intrinsics.folder"):
        Intrinsics.from_option(str(tmp_path))
