"""Frames that are given to the Python door: what belongs to no image of theirs is refused."""

from dataclasses import replace

import numpy as np
import pytest

from fitter.inputs.given_frames import GivenFrames
from fitter.rig import Rig
from tests.support.errors import raises
from tests.support.rig_folders import SIZE, turning_rig

RIG = turning_rig(["a", "b"])
IMAGE = np.zeros((*SIZE[::-1], 3), np.uint8)
FRAME = {"a": IMAGE, "b": IMAGE}
HAND = {"side": "left", "keypoints": np.full((21, 2), 100.0)}


@pytest.mark.parametrize(
    ("what", "given"),
    [
        ("keypoints", np.zeros((2, 21, 2))),
        ("keypoints", [HAND]),
        ("masks", np.zeros(SIZE[::-1], bool)),
        ("masks", "mask.png"),
        ("masks", 0),
    ],
)
def test_what_is_given_as_for_one_image_is_refused_by_name(what, given):
    with raises("frames.by_camera", file=f"{what} of frame 0", found=type(given).__name__):
        GivenFrames.of(FRAME, RIG, **{what: given})
    with raises("frames.by_camera", file=f"{what} of frame 1"):
        GivenFrames.of([FRAME, FRAME], RIG, **{what: [None, given]})


@pytest.mark.parametrize(
    ("what", "given"), [("keypoints", [HAND]), ("masks", np.ones(SIZE[::-1], bool))]
)
def test_what_is_given_for_an_image_that_is_not_there_is_refused(what, given):
    for frame in ({"a": IMAGE}, {"a": IMAGE, "b": None}):
        with raises("frames.no_view", file=f"{what} of frame 0", found="b"):
            GivenFrames.of(frame, RIG, **{what: {"b": given}})
        GivenFrames.of(frame, RIG, **{what: {"a": given, "b": None}})
    with raises("frames.camera", file=f"{what} of frame 0", found="c"):
        GivenFrames.of(FRAME, RIG, **{what: {"c": given}})


def test_all_images_of_a_camera_have_one_size():
    bare = Rig(tuple(replace(camera, size=None) for camera in RIG.cameras))
    half = IMAGE[::2, ::2].copy()
    first, second = GivenFrames.of([FRAME, {"a": IMAGE, "b": half}], bare).frames
    for view in (*first.views, second.views[0]):
        view.record()
    with raises("view.size", camera="b", expected=SIZE, found=(160, 120)):
        second.views[1].record()
    tiny = np.zeros((20, 20, 3), np.uint8)
    (one,) = GivenFrames.of({"a": tiny}, bare).frames
    with raises("rig.centre", expected=(20, 20), found=(163.0, 118.0)):
        one.views[0].record()
    crop = Rig((replace(RIG.cameras[0], size=(20, 20)),))
    GivenFrames.of({"a": tiny}, crop).frames[0].views[0].record()  # said: it may be a crop


def test_each_view_has_what_is_given_for_it():
    mask = np.ones(SIZE[::-1], bool)
    given = GivenFrames.of([FRAME, {"b": IMAGE}], RIG, [{"a": [HAND], "b": []}, None], [None, {}])
    first, second = given.frames
    assert [view and view.given_hands is not None for view in first.views] == [True, True]
    assert len(first.views[0].hands) == 1 and first.views[1].hands == []
    assert second.views[0] is None and second.views[1].hands is None
    (one,) = GivenFrames.of(FRAME, RIG, masks={"b": mask}).frames
    assert one.views[0].record()[1] is None and one.views[1].record()[1].all()
