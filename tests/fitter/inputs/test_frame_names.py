"""Names of frames: they lead back to their video, and sort as frames are shown."""

from __future__ import annotations

import pytest

from fitter.inputs.frame_names import MOST_FRAMES, frame_name, video_of


@pytest.mark.parametrize(
    "video", ["clip.mp4", "a/b c/clip.mp4", "no ending", "00000001", "/x/é.mkv"]
)
@pytest.mark.parametrize("number", [0, 12, MOST_FRAMES - 1])
def test_a_name_leads_back_to_the_video_and_the_number(video: str, number: int) -> None:
    assert video_of(frame_name(video, number)) == (video, number)


def test_names_sort_as_frames_are_shown() -> None:
    names = [frame_name("clip.mp4", number) for number in (0, 9, 10, 99, 100, 12345678)]
    assert names == sorted(names)
    assert names[0] == "clip.mp4/00000000"


@pytest.mark.parametrize(
    "name", ["a.jpg", "clip.mp4", "clip.mp4/12", "clip.mp4/000000012", "clip.mp4/00000012.jpg"]
)
def test_other_names_are_of_no_video(name: str) -> None:
    assert video_of(name) is None


@pytest.mark.parametrize("number", [-1, MOST_FRAMES])
def test_a_number_that_has_no_name_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=str(number)):
        frame_name("clip.mp4", number)
