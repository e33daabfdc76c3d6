"""What is said of frames and of their videos by name: each frame is given the right value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fitter.config.options import Config
from fitter.inputs.by_image import ByImage
from fitter.inputs.hand_sizes import HandSizes
from fitter.inputs.image_task import ImageTask
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.keypoint_files import KeypointFiles
from fitter.inputs.listing import ImageSource
from fitter.inputs.mask_files import MaskFolder
from fitter.inputs.people import People
from fitter.inputs.sources import Sources
from fitter.inputs.videos import VideoOptions
from fitter.workers.image_detector import detect_image
from tests.support.errors import raises
from tests.support.video_files import SIZE, Coding, joined, shown, write_video

SMALL = (48, 32)
"""Half of `SIZE`."""
JPEG = Coding("mjpeg", "yuvj420p")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two videos of two frames, one of four of which the last two are half as large, a picture."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "in").mkdir()
    for name in ("a.mp4", "b.mp4"):
        write_video(folder / "in" / name, 2)
    large = write_video(folder / "large.mkv", 2, JPEG)
    small = write_video(folder / "small.mkv", [shown(n, SMALL) for n in range(2)], JPEG)
    joined(folder / "in" / "c.mkv", large, small)
    Image.fromarray(shown(0)).save(folder / "in" / "d.png")
    return folder


NAMES = [
    *(f"{video}/{number:08d}" for video in ("a.mp4", "b.mp4") for number in range(2)),
    *(f"c.mkv/{number:08d}" for number in range(4)),
    "d.png",
]


def tasks(folder: Path, **given: Any) -> dict[str, ImageTask]:
    """Each image's task, by its name, in a run that is given something; no image shows a hand."""
    listed = ImageSource.of([str(folder / "in")], videos=VideoOptions())
    names = list(listed.names())
    assert names == NAMES
    none = KeypointFiles(Path("none.json"), by_name={})
    given = {"intrinsics": Intrinsics(), "keypoints": none, "files": listed.files, **given}
    sources = Sources(listed.root, names, **given)
    sources.check(names)
    return dict(zip(names, sources.tasks(0, len(names)), strict=True))


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def camera(focal: float, size: tuple[int, int] = SIZE) -> list[list[float]]:
    return [[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]]


def test_k_is_that_of_the_frame_or_else_of_its_video(folder, tmp_path):
    content = {"a.mp4": camera(111), "a.mp4/00000001": camera(122), "b.mp4": camera(133)}
    content |= {"c.mkv": camera(144), "d.png": camera(155)}
    path = write(tmp_path / "k.json", content)
    found = tasks(folder, intrinsics=Intrinsics.from_option(str(path)))
    focal = []
    for name in NAMES[:6] + NAMES[8:]:
        image = detect_image(found[name], None, Config())
        assert image.intrinsics_source == "given"
        focal.append(float(image.intrinsics[0, 0]))
    assert focal == [111, 122, 133, 133, 144, 144, 155]


def test_k_of_a_video_is_checked_against_each_frames_own_size(folder, tmp_path):
    content = {"c.mkv": camera(144), "c.mkv/00000003": camera(72, SMALL)}
    content |= {"a.mp4": camera(111), "b.mp4": camera(111), "d.png": camera(111)}
    path = write(tmp_path / "k.json", content)
    found = tasks(folder, intrinsics=Intrinsics.from_option(str(path)))
    images = [detect_image(found[name], None, Config()) for name in NAMES[4:8]]
    assert [image.error_code for image in images] == ["", "", "intrinsics.other_resolution", ""]
    assert "c.mkv/00000002" in images[2].error and "48 x 32" in images[2].error
    for image, size, focal in zip(
        images, [SIZE, SIZE, None, SMALL], [144, 144, 0, 72], strict=True
    ):
        if size is not None:
            assert image.size == size and image.intrinsics[0, 0] == focal


def test_openpose_keypoints_are_those_of_the_frame(folder, tmp_path):
    def file(name: str, x: float) -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        row = np.column_stack([np.full(21, x), np.arange(21), np.full(21, 0.9)])
        write(path, {"people": [{"hand_right_keypoints_2d": row.ravel().tolist()}]})

    file("a_000000000000_keypoints.json", 10)
    file("a_000000000001_keypoints.json", 11)
    file("b.mp4/00000000_keypoints.json", 20)
    file("b.mp4/00000001_keypoints.json", 21)
    file("c_000000000003_keypoints.json", 13)
    file("d_keypoints.json", 30)
    found = tasks(folder, keypoints=KeypointFiles.open(tmp_path))
    places = {}
    for name in [*NAMES[:4], *NAMES[7:]]:
        (hand,) = found[name].keypoints.hands_for(found[name].entry, found[name].place)
        np.testing.assert_array_equal(hand.keypoints[:, 1], np.arange(21))
        places[name] = float(hand.keypoints[0, 0])
    assert list(places.values()) == [10, 11, 20, 21, 13, 30]


def test_masks_stand_at_the_path_of_the_frame(folder, tmp_path):
    for name, width in (("a.mp4/00000001", 10), ("c.mkv/00000002", 20), ("d", 30)):
        size = SMALL if name.startswith("c") else SIZE
        mask = np.zeros((size[1], size[0]), np.uint8)
        mask[:, :width] = 255
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(mask).save(path)
    found = tasks(folder, masks=MaskFolder.open(tmp_path))
    widths = {}
    for name, task in found.items():
        size = SMALL if name in NAMES[6:8] else SIZE
        mask = task.mask_for(size)
        if mask is not None:
            assert mask.shape == (size[1], size[0])
            widths[name] = int(mask[0].sum())
    assert widths == {"a.mp4/00000001": 10, "c.mkv/00000002": 20, "d.png": 30}


def test_people_and_sizes_are_those_of_the_frame_or_else_of_its_video(folder, tmp_path):
    content = "a.mp4,anna\na.mp4/00000001,ben\nb.*,carl\nd.png,dora\n"
    (tmp_path / "p.csv").write_text("image,person\n" + content)
    sizes = {"a.mp4": 0.17, "a.mp4/00000001": 0.18, "b.mp4": 0.19}
    found = tasks(
        folder,
        people=People.open(tmp_path / "p.csv"),
        hand_sizes=HandSizes.open(write(tmp_path / "s.json", sizes)),
    )
    said = [task.people and task.people.of(["left"])[0] for task in found.values()]
    assert said == ["anna", "ben", "carl", "carl", None, None, None, None, "dora"]
    assert [task.hand_size for task in found.values()] == [0.17, 0.18, 0.19, 0.19] + 5 * [None]


@pytest.mark.parametrize(
    ("entry", "may"),
    [
        ("r[1].mkv", True),
        ("r[1].mkv/00000004", True),
        ("r[[]1].mkv/0000001*", True),
        ("r*/????????", True),
        ("r*/[!0-8]*[13579]", True),
        ("*", True),
        ("*[]]*4?", True),
        ("r*/?????????", False),
        ("r*/[!0-9]*", False),
        ("r*/*.jpg", False),
        ("r[1].mkv/*", False),  # of r1.mkv
        ("r[1].mkv/4", False),
        ("other.mkv/00000004", False),
    ],
)
def test_what_may_be_said_of_a_video_before_its_frames_are_counted(entry, may):
    given = ByImage(Path("p.csv"), {entry: 1}, "people.no_image", "people.two_patterns")
    if may:
        given.require_for_video("r[1].mkv")
        return
    facts = {"file": Path("p.csv"), "found": entry, "image": "r[1].mkv/00000000"}
    with raises("people.no_image", **facts):
        given.require_for_video("r[1].mkv")
