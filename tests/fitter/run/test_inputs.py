"""What a run is given, looked at before anything is loaded."""

import json

import pytest
from PIL import Image

from fitter.config.options import load_config
from fitter.run.inputs import opened_inputs
from fitter.run.request import RunRequest
from tests.support.errors import raises


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        Image.new("RGB", (32, 32)).save(tmp_path / "in" / name)
    return tmp_path / "in"


def known(folder, *names):
    folder.mkdir()
    for name in names:
        (folder / name).write_text(json.dumps({"people": []}))
    return folder


def opened(photos, keypoints):
    request = RunRequest(photos, photos.parent / "r.zarr", keypoints=keypoints)
    with opened_inputs(request, load_config(None, ["refine.stages={}"])) as inputs:
        return inputs


def test_pictures_without_keypoints_are_told_before_the_run(photos, tmp_path):
    given = known(tmp_path / "some", "b_keypoints.json")
    (warning,) = opened(photos, given).warnings
    assert warning == f"2 of 3 images will fail, such as a.jpg: {given} has no file for them"
    whole = known(tmp_path / "all", *(f"{stem}_keypoints.json" for stem in "abc"))
    assert opened(photos, whole).warnings == []
    assert opened(photos, None).warnings == []


def test_keypoints_of_other_pictures_are_refused_before_the_run(photos, tmp_path):
    given = known(tmp_path / "others", "x_keypoints.json")
    with raises("keypoints.other_files", file=given, image="a.jpg"):
        opened(photos, given)
