"""Cameras of which a rig file says no size: their images have one, and K is of it."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fitter.errors import InputError
from fitter.inputs.frame_sources import FrameSources
from fitter.inputs.images import read_image, read_size
from fitter.inputs.view_sizes import first_sizes
from fitter.rig import FrameNames, Rig
from tests.support.errors import raises
from tests.support.rig_folders import turning_rig

RIG = turning_rig(["a", "b"])
BARE = Rig(tuple(replace(camera, size=None) for camera in RIG.cameras))


def put(path, size, turn=1):
    path.parent.mkdir(exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.new("RGB", size).save(path, exif=exif)


def frames(count):
    return [(f"a/{n}.jpg", f"b/{n}.jpg") for n in range(count)]


@pytest.fixture
def folder(tmp_path):
    """The first image of b is broken, the third one of half the size."""
    for number in range(3):
        put(tmp_path / f"a/{number}.jpg", (320, 240))
        put(tmp_path / f"b/{number}.jpg", (320, 240) if number < 2 else (160, 120))
    (tmp_path / "b/0.jpg").write_bytes(b"words")
    return tmp_path


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_size_is_that_of_the_upright_image(tmp_path, turn):
    put(tmp_path / "x.jpg", (30, 20), turn)
    size = read_size(tmp_path / "x.jpg")
    assert size == read_image(tmp_path / "x.jpg").shape[1::-1]
    assert size == ((20, 30) if turn > 4 else (30, 20))


def test_a_camera_without_size_has_that_of_its_first_image_that_can_be_read(folder):
    assert first_sizes(BARE, folder, frames(3)) == ((320, 240), (320, 240))
    assert first_sizes(BARE, folder, [("a/0.jpg", ""), ("", "b/2.jpg")]) == ((320, 240), (160, 120))
    assert first_sizes(BARE, folder, frames(1)) == ((320, 240), None)
    assert first_sizes(RIG, folder / "nowhere", iter(())) == ((320, 240), (320, 240))


def test_an_image_of_another_size_than_the_first_fails(folder):
    names = [str(number) for number in range(3)]
    given = FrameSources(folder, BARE, folder / "rig.json").of_store(names, frames(3))
    tasks = given.tasks(0, 3)
    assert tasks[1].views[1].file.read()[0].shape == (240, 320, 3)
    with raises("view.size", camera="b", expected=(320, 240), found=(160, 120)):
        tasks[2].views[1].file.read()
    assert given.kinds["views"]["b"].keys() == {"K", "R", "t"}  # the rig is what the user said


def test_a_rig_whose_size_no_image_of_a_camera_has_is_refused(folder):
    """One of the first that has it is enough; images that cannot be read say nothing."""
    right = replace(RIG.cameras[1], size=(160, 120))
    texts = [FrameNames(str(n), images).text for n, images in enumerate(frames(3))]
    given = FrameSources(folder, Rig((RIG.cameras[0], right)), folder / "rig.json")
    given.check(texts)
    facts = {"expected": (160, 120), "found": (320, 240), "count": "1 image", "image": "b/1.jpg"}
    with raises("rig.other_size", file=f"{folder / 'rig.json'}, camera 'b'", **facts):
        given.check(texts[:2])
    given.check(texts[:1])


def test_a_centre_that_lies_in_no_image_is_refused_before_anything_is_done(folder):
    far = replace(
        BARE.cameras[1], intrinsics=10 * np.eye(3) + [[0, 0, 3200], [0, 0, 100], [0, 0, -9]]
    )
    texts = [FrameNames(str(n), images).text for n, images in enumerate(frames(3))]
    given = FrameSources(folder, Rig((BARE.cameras[0], far)), folder / "rig.json")
    where = f"{folder / 'rig.json'}, camera 'b'"
    with raises("rig.centre", file=where, expected=(320, 240), found=(3200.0, 100.0)):
        given.check(texts)
    said = Rig((BARE.cameras[0], replace(far, size=(320, 240))))
    FrameSources(folder, said, folder / "rig.json").check(texts)


def test_a_lens_that_shows_too_little_of_the_first_image_is_refused(folder):
    lens = replace(BARE.cameras[0], distortion=np.array([-9.0, 0, 0, 0, 0]))
    given = FrameSources(folder, Rig((lens, BARE.cameras[1])), folder / "rig.json")
    texts = [FrameNames(str(n), images).text for n, images in enumerate(frames(3))]
    with pytest.raises(InputError) as told:
        given.check(texts)
    assert told.value.code == "rig.lens"
