"""Frames: which images of several cameras belong together."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fitter.inputs.frames import FrameSource
from fitter.inputs.rig_files import RigFile
from fitter.rig import FrameNames
from tests.support.errors import raises
from tests.support.rig_folders import turning_rig, write_rig


def source(folder: Path, names: list[str], images: list[str] | None = None) -> FrameSource:
    changes = {n: {"images": place} for n, place in zip(names, images or [], strict=False)}
    path = write_rig(folder.parent / f"{folder.name}.json", turning_rig(names), **changes)
    return FrameSource.of(str(folder), RigFile.open(path))


def make(folder: Path, *files: str) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def frames(found: FrameSource) -> dict[str, tuple[str, ...]]:
    names = [FrameNames.of_text(text) for text in found.names()]
    return {frame.name: frame.images for frame in names}


def test_folders_go_by_the_paths_in_them_whatever_their_endings(tmp_path):
    folder = make(
        tmp_path / "in", "left/a/1.png", "left/2.jpg", "right/2.PNG", "right/a/1.png",
        "right/3.jpg", "left/notes.txt", "third/2.jpg",
    )  # fmt: skip
    found = source(folder, ["left", "right"])
    assert frames(found) == {
        "2": ("left/2.jpg", "right/2.PNG"),
        "3": ("", "right/3.jpg"),
        "a/1": ("left/a/1.png", "right/a/1.png"),
    }
    assert dict(found.skipped) == {".txt": 1}


@pytest.mark.parametrize(
    ("patterns", "files", "expected"),
    [
        (
            ["{frame}_left.png", "{frame}_right.png"],
            ["001_left.png", "001_right.png", "002_left.png", "_left.png"],
            {"001": ("001_left.png", "001_right.png"), "002": ("002_left.png", "")},
        ),
        (
            ["{frame}/cam[0]*.png", "{frame}/cam[!0]*.png"],
            ["a.b/cam0x.png", "a.b/cam1x.png", "c/d/cam0x.png"],
            {"a.b": ("a.b/cam0x.png", "a.b/cam1x.png")},
        ),
        (
            ["cam0/*.png", "deep/cam1/**/*.png"],
            ["cam0/1.png", "cam0/1.jpg", "deep/cam1/1.png", "deep/cam1/x/1.png"],
            {"1": ("cam0/1.png", "deep/cam1/1.png"), "x/1": ("", "deep/cam1/x/1.png")},
        ),
        (
            ["**/{frame}_l.png", "**/{frame}_r.png"],
            ["one/1_l.png", "two/1_r.png", "2_r.png", ".hidden/3_r.png"],
            {"1": ("one/1_l.png", "two/1_r.png"), "2": ("", "2_r.png")},
        ),
        (
            ["(a)/{frame}.png", "b+/{frame}?.png"],
            ["(a)/1.png", "b+/1x.png", "b+/1.png"],
            {"1": ("(a)/1.png", "b+/1x.png")},
        ),
        (  # as of fnmatch: ^ is a character like any other
            ["a/*[^x].png", "b/*.png"],
            ["a/1x.png", "a/1^.png", "a/1y.png", "b/1x.png"],
            {"1x": ("a/1x.png", "b/1x.png"), "1^": ("a/1^.png", "")},
        ),
        (
            ["a/{frame}[[]*.png", "b/{frame}[a&&b--~]*[]^].png"],
            ["a/1[z.png", "b/1&].png", "b/1b^.png", "b/2a].png"],
            {"1": ("a/1[z.png", "b/1&].png"), "2": ("", "b/2a].png")},
        ),
    ],
)
def test_patterns_go_by_what_stands_in_the_field_or_behind_the_folders(
    tmp_path, patterns, files, expected
):
    assert frames(source(make(tmp_path / "in", *files), ["l", "r"], patterns)) == expected


def test_a_camera_without_images_is_refused_by_name(tmp_path):
    folder = make(tmp_path / "in", "left/1.png", "right/words.txt")
    with raises("rig.no_folder", folder=folder / "third"):
        source(folder, ["left", "third"])
    with raises("rig.no_image", found=folder / "right"):
        frames(source(folder, ["left", "right"]))
    with raises("rig.no_match", found=folder / "r*/*.png"):
        frames(source(folder, ["a", "b"], ["l*/*.png", "r*/*.png"]))
    with raises("rig.no_match", found=folder / "gone/*.png"):
        frames(source(folder, ["a", "b"], ["l*/*.png", "gone/*.png"]))
    with raises("frames.no_folder"):
        source(tmp_path / "nowhere", ["left"])


def test_frames_that_no_two_cameras_share_are_refused_with_an_example(tmp_path):
    folder = make(tmp_path / "in", "left/1_l.png", "right/1_r.png")
    with raises("frames.none_shared", first="'1_l' of 'left'", second="'1_r' of 'right'"):
        frames(source(folder, ["left", "right"]))
    assert frames(source(folder, ["left"])) == {"1_l": ("left/1_l.png",)}


def test_two_images_of_one_frame_are_refused(tmp_path):
    folder = make(tmp_path / "in", "left/1.png", "left/1.jpg", "right/1.png")
    with raises("frames.two_images", camera="left", frame="1", one="left/1.jpg"):
        frames(source(folder, ["left", "right"]))


@pytest.mark.filterwarnings("error")
def test_a_pattern_of_any_characters_is_a_pattern(tmp_path):
    folder = make(tmp_path / "in", "left/1.png", "right/1.png")
    for pattern in ("left/[z-a].png", "left/{frame}[z-a].png", "left/[[]*.png", "left/[a&&b]*.png"):
        with raises("rig.no_match", found=folder / pattern):
            frames(source(folder, ["left", "right"], [pattern, "right"]))
    with raises("rig.field_in_brackets", found="left/[{frame}].png"):
        source(folder, ["left", "right"], ["left/[{frame}].png", "right"])


def test_one_image_of_two_cameras_is_refused(tmp_path):
    folder = make(tmp_path / "in", "all/1.png", "all/2.png")
    with raises("frames.image_twice", image="all/1.png", one="left", other="right"):
        frames(source(folder, ["left", "right"], ["all", "all/*.png"]))


stems = st.text("ab1_.é", min_size=1, max_size=4).filter(lambda name: not name.startswith("."))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.differing_executors])
@given(names=st.lists(st.sets(stems, min_size=1, max_size=6), min_size=2, max_size=3))
def test_the_frames_are_those_of_any_camera_in_order(names, tmp_path_factory):
    cameras = [f"c{number}" for number in range(len(names))]
    files = [f"{camera}/{n}.png" for camera, own in zip(cameras, names, strict=True) for n in own]
    folder = make(tmp_path_factory.mktemp("frames") / "in", *files)
    every = sorted(set().union(*names))
    found = source(folder, cameras)
    if not any(sum(name in own for own in names) > 1 for name in every):
        with raises("frames.none_shared"):
            frames(found)
        return
    assert list(frames(found)) == every
    for name, images in frames(found).items():
        pairs = zip(cameras, names, strict=True)
        assert images == tuple(f"{c}/{name}.png" if name in own else "" for c, own in pairs)
