"""Videos in the viewer: the slider of frames, and the player. No browser is needed to drive it."""

from dataclasses import replace
from itertools import groupby, pairwise

import pytest

from fitter.inputs.frame_names import frame_name
from tests.support.fitted_stores import image_row, posed_hand, write_store
from tests.support.viewer_pages import until

TIMES = (0.0, 0.04, 0.1, 0.12)


@pytest.fixture(scope="module")
def viewer(tmp_path_factory):
    """Of a photograph, a video of four frames, and another of one."""
    pytest.importorskip("viser", reason="needs the package viser")
    from fitter.viewer import ViewerOptions, open_viewer

    rows = {"a.jpg": image_row(posed_hand(0))}
    for k, time in enumerate(TIMES):
        rows[frame_name("clip.mp4", 10 + k)] = replace(image_row(posed_hand(k)), time=time)
    rows[frame_name("other.mp4", 0)] = replace(image_row(posed_hand(5)), time=0.0)
    path = tmp_path_factory.mktemp("playing") / "r.zarr"
    write_store(path, rows)
    with open_viewer(path, options=ViewerOptions(port=0)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def at_rest(viewer):
    viewer.page.controls._play.value = False
    viewer.page.controls.go(0)
    until(lambda: viewer.page.scene.place == 0)


def test_frames_of_a_video_have_a_slider(viewer):
    controls = viewer.page.controls
    assert not controls._video.visible
    controls.go(3)
    assert controls._video.visible and controls._slider.value == 4
    assert (controls._frame.min, controls._frame.max, controls._frame.value) == (1, 4, 3)
    until(lambda: viewer.page.scene.place == 3)
    assert viewer.page.scene.time == pytest.approx(0.1)
    assert "0.100 s" in controls.said.content
    controls.go(5)
    assert not controls._video.visible


def test_playing_goes_through_the_frames_and_begins_again(viewer):
    controls, seen = viewer.page.controls, []
    draw = viewer.page._drawing.draw

    def noted(scene, *rest):
        seen.append(scene.place)
        draw(scene, *rest)

    viewer.page._drawing.draw = noted
    try:
        controls.go(1)
        controls._play.value = True
        until(lambda: len(seen) > 10)
        controls._play.value = False
        until(lambda: viewer.page.wait_until_drawn(0.1))
    finally:
        viewer.page._drawing.draw = draw
    order = [place for place, _ in groupby(seen)]
    steps = {(after - before) % 4 for before, after in pairwise(order)}
    assert steps == {1} and set(order) <= {1, 2, 3, 4}
    stopped = viewer.page.scene.place
    assert controls.place == stopped


def test_a_photograph_is_not_played(viewer):
    viewer.page.controls._play.value = True
    assert not viewer.page.controls.is_playing


def test_a_frame_is_due_when_its_video_says(viewer, monkeypatch):
    """At half the speed the third frame comes 0.12 s after the second."""
    import fitter.viewer.page as page_module

    page, controls = viewer.page, viewer.page.controls
    controls.go(2)
    until(lambda: page.scene.place == 2)
    controls._speed.value = "0.5"
    page._due = 50.0
    monkeypatch.setattr(page_module.time, "monotonic", lambda: 50.0)
    page._play_on()
    monkeypatch.undo()
    assert controls.place == 3 and page._due == pytest.approx(50.0 + 0.06 / 0.5)
