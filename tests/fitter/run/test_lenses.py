"""Runs over images that a lens distorts: what is stored is what a pinhole would have seen."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import fitter
from datasets.readers import open_dataset
from fitter.inputs.lens_rays import distorted
from fitter.inputs.through_lens import ThroughLens
from fitter.lens import Lens
from tests.support.rig_folders import example_points

SIZE = (640, 480)
LENS = Lens(
    np.array([[260.0, 0, 322.5], [0, 262.0, 236.5], [0, 0, 1]]),
    "fisheye",
    np.array([0.03, -0.01, 0.004, -0.001]),
    SIZE,
)
CALIBRATION = """%YAML:1.0
---
image_width: 1280
image_height: 960
fisheye_model: 1
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 520., 0., 6.445e+02, 0., 524., 4.725e+02, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 4
   cols: 1
   dt: d
   data: [ 0.03, -0.01, 4.0e-03, -0.001 ]
"""
"""`LENS`, as OpenCV calibrated it at twice the resolution."""

FAST = ["--device", "cpu", "--max-hands", "1", "--set", "refine.stages={}"]
SETTINGS = {"device": "cpu", "max_hands": 1, "options": {"refine.stages": {}}}


def placed() -> tuple[str, np.ndarray]:
    """Side and (21, 3) of a hand at 45 degrees with the axis, where a pinhole of K's focal length
    and size would not show it."""
    ((side, points), *_) = example_points()
    return side, points - points.mean(0) + [0.4, 0.05, 0.4]


def keypoints(points: np.ndarray) -> np.ndarray:
    return distorted(LENS, points[:, :2] / points[:, 2:])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lenses")
    (folder / "photos").mkdir()
    side, points = placed()
    picture = np.random.default_rng(0).integers(0, 255, (*SIZE[::-1], 3), np.uint8)
    Image.fromarray(picture).save(folder / "photos" / "a.png")
    marked = {"a.png": [{"side": side, "keypoints": keypoints(points).tolist()}]}
    (folder / "keypoints.json").write_text(json.dumps(marked))
    (folder / "lens.yml").write_text(CALIBRATION)
    return folder


def test_a_run_stores_the_hand_as_a_pinhole_sees_it_and_the_lens(folder, say, monkeypatch):
    monkeypatch.chdir(folder)
    words = ["photos", "--out", "r.zarr", "--keypoints", "keypoints.json", *FAST]
    told = say(*words, "--intrinsics", "lens.yml", "--overlays", "over")
    assert told.status == 0
    assert "calibrated at another resolution and scaled to that of 1 image" in told.err
    results = fitter.open_results("r.zarr")
    (hand,) = results["a.png"]
    _, points = placed()
    assert (hand.lens.model, hand.lens.size, hand.lens.scale) == ("fisheye", SIZE, 0.5)
    # OpenCV's principal points are half a pixel less, at the resolution of its images.
    np.testing.assert_allclose(hand.lens.intrinsics, LENS.intrinsics, atol=0.26)
    np.testing.assert_allclose(hand.lens.distortion, LENS.distortion)
    pinhole = points @ hand.intrinsics.T
    pinhole = pinhole[:, :2] / pinhole[:, 2:]
    assert (pinhole.max(0) > SIZE).any()
    np.testing.assert_allclose(hand.keypoints_2d_detected, pinhole, atol=1.5)
    sight = points.mean(0) / np.linalg.norm(points.mean(0))
    found = hand.keypoints_3d.mean(0)
    assert np.degrees(np.arccos(found @ sight / np.linalg.norm(found))) < 0.7
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(points.mean(0)), rel=0.12)
    # What is drawn and shown is without distortion.
    (drawn,) = Path("over").iterdir()
    with Image.open(drawn) as overlay:
        assert overlay.size == hand.image_size != SIZE
    photo = np.asarray(Image.open("photos/a.png"))
    assert hand.undistorted(photo).shape[1::-1] == hand.image_size
    assert hand.overlay(photo).shape[1::-1] == hand.image_size
    assert hand.to_dict()["lens"]["model"] == "fisheye"
    data = xr.open_zarr("r.zarr").load()
    assert data.sizes["lens_coefficient"] == 14
    assert (data.lens_width.item(), data.lens_height.item()) == SIZE
    hand.save(folder / "hand.json")
    assert json.loads((folder / "hand.json").read_text())["lens"]["size"] == list(SIZE)
    sample = open_dataset("store", "r.zarr", "photos")[0]
    np.testing.assert_array_equal(sample.pixels, hand.undistorted(photo))
    # Another lens is another run.
    (folder / "other.yml").write_text(CALIBRATION.replace("0.03", "0.05"))
    told = say(*words, "--intrinsics", "other.yml", "--resume")
    assert told.status == 2 and "intrinsics" in told.err


def test_a_hand_through_a_lens_is_the_hand_that_a_pinhole_sees():
    """The same numbers, whether the lens or its user takes the distortion out."""
    side, points = placed()
    picture = np.random.default_rng(0).integers(0, 255, (*SIZE[::-1], 3), np.uint8)
    through = ThroughLens.of(LENS)
    marked = {"side": side, "keypoints": keypoints(points)}
    pinhole = points @ through.straight.intrinsics.T
    straight = {"side": side, "keypoints": pinhole[:, :2] / pinhole[:, 2:]}
    with fitter.HandFitter(**SETTINGS) as fit:
        (one,) = fit(picture, LENS, keypoints=[marked])
        undistorted = through.pixels(picture, "a.png")
        (other,) = fit(undistorted, through.straight.intrinsics, keypoints=[straight])
        bare = replace(LENS, model="pinhole", distortion=np.zeros(0))
        (wrong,) = fit(picture, bare, keypoints=[marked])
    assert one.lens is not None and other.lens is None and wrong.lens is None
    assert one.image_size == other.image_size
    np.testing.assert_allclose(one.keypoints_3d, other.keypoints_3d, atol=1e-4)
    away = [np.linalg.norm(hand.keypoints_3d.mean(0) - points.mean(0)) for hand in (one, wrong)]
    assert away[0] < 0.06 < away[1]
