"""A folder of pictures that nobody has annotated: hands are found once, and kept."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from datasets.readers import found_hands, open_dataset
from datasets.readers.found_hands import FoundSummary, detector_config
from datasets.readers.images import open_images
from fitter.inputs.image_task import ImageTask
from fitter.inputs.images import read_image_and_exif
from fitter.inputs.intrinsics import Intrinsics, centred_intrinsics
from fitter.workers import ImageDetector
from tests.support.annotated_pictures import SIZE
from tests.support.errors import raises
from tests.support.found_pictures import CONFIDENCE, finding, found_hand, write_pictures
from tests.support.paths import ROOT
from tests.support.reader_checks import assert_same


@pytest.fixture
def detector(monkeypatch):
    return finding(monkeypatch)


@pytest.fixture
def by_two(monkeypatch):
    monkeypatch.setattr(found_hands, "PART", 2)


@pytest.fixture
def photos(tmp_path):
    return write_pictures(tmp_path / "photos", "1-a.jpg", "0-b.png", "below/2-c.webp")


def test_what_is_known_of_a_picture_is_what_the_detector_finds(photos, tmp_path, detector):
    write_pictures(photos, "1-d.jpg", focal_in_35mm=28)
    images = open_dataset("images", photos, str(tmp_path / "found"))
    summary = images.find()
    assert list(images.names) == ["0-b.png", "1-a.jpg", "1-d.jpg", "below/2-c.webp"]
    assert (summary.pictures, summary.hands, summary.without) == (4, 4, 1)
    assert str(summary).startswith("4 hands found in 4 pictures, none in 1; K from EXIF (1)")
    assert str(FoundSummary(1, 1)) == "1 hand found in 1 picture, none in 0"
    assert summary.sources == {"default": 3, "exif": 1} and not summary.unreadable
    assert [len(images.annotation(place).hands) for place in range(4)] == [0, 1, 1, 2]
    usual = Intrinsics().default_field_of_view
    for place, focal in ((1, SIZE / 2 / np.tan(usual / 2)), (2, 28 * SIZE * 2**0.5 / 43.2666)):
        (hand,) = images.annotation(place).hands
        np.testing.assert_allclose(
            hand.intrinsics, centred_intrinsics((focal, focal), (SIZE, SIZE)), rtol=1e-4
        )
    annotation = images.annotation(3)
    assert annotation.intrinsics is None and annotation.size == (SIZE, SIZE)
    for number, hand in enumerate(annotation.hands):
        wanted = found_hand(number)
        assert (hand.side, hand.score) == (wanted.side, wanted.score)
        np.testing.assert_array_equal(hand.keypoints_2d, wanted.keypoints)
        np.testing.assert_array_equal(hand.confidence, CONFIDENCE)
        assert np.isnan(hand.keypoints_3d).all() and hand.parameters is None
    assert images.masks(3) is None and images[3].pixels.shape == (SIZE, SIZE, 3)


def test_without_a_folder_to_keep_them_hands_are_found_when_asked_for(photos, tmp_path, detector):
    kept, now = open_images(photos, str(tmp_path / "found")), open_images(photos, "")
    kept.find()
    detector.looked.clear()
    for place in (2, 0, 2, 1):
        assert_same(now.annotation(place), kept.annotation(place))
    assert detector.looked == ["below/2-c.webp", "0-b.png", "1-a.jpg"]
    with raises("found.nowhere", file=photos):
        now.find()


def test_nothing_is_looked_at_twice(photos, tmp_path, detector):
    open_images(photos, str(tmp_path / "found")).find()
    looked = list(detector.looked)
    done: list[int] = []
    again = open_images(photos, str(tmp_path / "found")).find(progress=done.append)
    assert detector.looked == looked and again.hands == 3 and sum(done) == 3


def test_a_search_that_was_stopped_goes_on_with_what_is_missing(tmp_path, detector, by_two):
    photos = write_pictures(tmp_path / "photos", *(f"1-{k}.png" for k in range(7)))
    detector.stops = "1-3.png"
    with pytest.raises(KeyboardInterrupt):
        open_images(photos, str(tmp_path / "found")).find()
    assert [file.name for file in (tmp_path / "found").glob("hands*")] == ["hands-000000000.json"]
    detector.stops = None
    detector.looked.clear()
    open_images(photos, str(tmp_path / "found")).find()
    assert detector.looked == [f"1-{k}.png" for k in range(2, 7)]
    open_images(photos, str(tmp_path / "whole")).find()
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "found" / file.name).read_bytes(), file.name


def test_leading_pictures_and_then_more(tmp_path, detector, by_two):
    photos = write_pictures(tmp_path / "photos", *(f"1-{k}.png" for k in range(5)))
    assert open_images(photos, str(tmp_path / "found")).find(3).pictures == 3
    assert len(detector.looked) == 4, "a part is looked at whole"
    assert open_images(photos, str(tmp_path / "found")).find().pictures == 5
    assert detector.looked == [f"1-{k}.png" for k in range(5)]


def test_pictures_that_cannot_be_read_are_named_and_the_others_are_used(photos, tmp_path, detector):
    (photos / "1-cut.jpg").write_bytes((photos / "1-a.jpg").read_bytes()[:200])
    (photos / "1-words.png").write_text("words")
    images = open_images(photos, str(tmp_path / "found"))
    summary = images.find()
    assert summary.hands == 3 and len(summary.unreadable) == 2
    assert summary.unreadable[1].startswith("1-words.png: expected a picture")
    assert "2 cannot be read, the first because 1-cut.jpg: " in str(summary)
    for place, name in enumerate(images.names):
        if name in ("1-cut.jpg", "1-words.png"):
            with raises("found.unreadable", file=photos / name):
                images.annotation(place)
        else:
            images.annotation(place)


class TestRefused:
    def test_no_folder(self, photos):
        for path, found in ((photos / "no", "none"), (photos / "1-a.jpg", "a file")):
            with raises("found.no_folder", file=path, found=found):
                open_images(path, "")

    def test_no_pictures(self, tmp_path):
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "notes.txt").write_text("words")
        with raises("list.empty_folder", file=str(tmp_path / "empty")):
            open_images(tmp_path / "empty", "")

    def test_no_hands(self, tmp_path, detector):
        photos = write_pictures(tmp_path / "photos", "0-a.png", "0-b.png")
        (photos / "c.png").write_text("words")
        for _ in range(2):  # kept as well
            with raises("found.no_hands", file=photos, count=3, unread=1) as raised:
                open_images(photos, str(tmp_path / "found")).find()
        assert "c.png" in str(raised.value)

    def test_other_pictures(self, photos, tmp_path, detector):
        found = tmp_path / "found"
        open_images(photos, str(found)).find()
        write_pictures(photos, "1-new.png")
        (photos / "1-a.jpg").unlink()
        with raises("found.other_pictures", file=photos, added=1, gone=1, image="1-new.png"):
            open_images(photos, str(found)).find()
        shutil.rmtree(found)
        assert open_images(photos, str(found)).find().hands == 3

    def test_a_picture_that_has_changed(self, photos, tmp_path, detector):
        images = open_images(photos, str(tmp_path / "found"))
        images.find()
        length = (photos / "1-a.jpg").stat().st_size
        with (photos / "1-a.jpg").open("ab") as file:
            file.write(b"more")
        found = {"expected": length, "found": length + 4, "kept": str(tmp_path / "found")}
        with raises("found.changed", file=photos / "1-a.jpg", **found):
            images.annotation(1)
        assert images.annotation(2).hands

    def test_a_picture_that_was_mended(self, photos, tmp_path, detector):
        """It is not called damaged any more."""
        whole = (photos / "1-a.jpg").read_bytes()
        (photos / "1-a.jpg").write_bytes(whole[:200])
        images = open_images(photos, str(tmp_path / "found"))
        images.find()
        (photos / "1-a.jpg").write_bytes(whole)
        with raises("found.changed", file=photos / "1-a.jpg", expected=200, found=len(whole)):
            images.annotation(1)
        shutil.rmtree(tmp_path / "found")
        images.find()
        assert len(images.annotation(1).hands) == 1

    def test_nobody_has_looked(self, photos, tmp_path):
        images = open_images(photos, str(tmp_path / "found"))
        with raises("found.nothing_kept", file=tmp_path / "found", image="0-b.png"):
            images.annotation(0)

    @pytest.mark.parametrize("content", ["[]", '[{"name": "0-b.png"}]', "3"])
    def test_damaged_parts(self, photos, tmp_path, detector, content):
        images = open_images(photos, str(tmp_path / "found"))
        images.find()
        (part,) = (tmp_path / "found").glob("hands*")
        part.write_text(content)
        found_hands._read.cache_clear()
        with raises("found.layout", file=part):
            images.annotation(0)
        (tmp_path / "found" / found_hands.LIST).write_text("[]")
        with raises("found.layout", file=tmp_path / "found" / found_hands.LIST):
            open_images(photos, str(tmp_path / "found"))

    def test_a_folder_that_takes_nothing(self, photos, tmp_path, detector):
        (tmp_path / "file").write_text("words")
        with raises("found.cannot_keep", file=tmp_path / "file" / "found"):
            open_images(photos, str(tmp_path / "file" / "found")).find()


def test_our_own_detector_finds_all_hands_as_fit_hands_does(tmp_path):
    """In a process of its own, and in this one."""
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(ROOT / "examples" / "two_hands.jpg", photos)
    images = open_images(photos, str(tmp_path / "found"))
    assert images.find(workers=1).hands == 2
    found = images.annotation(0)
    assert {hand.side for hand in found.hands} == {"left", "right"}
    assert_same(open_images(photos, "").annotation(0), found)
    path = Path(photos / "two_hands.jpg")
    pixels, exif = read_image_and_exif(path)
    task = ImageTask(0, path.name, images.file(0), Intrinsics())
    wanted = ImageDetector(detector_config(), True).detect(task)
    assert wanted.size == (pixels.shape[1], pixels.shape[0])
    matrix, _ = task.intrinsics_for(wanted.size, exif)
    for hand, seen in zip(found.hands, wanted.hands, strict=True):
        np.testing.assert_array_equal(hand.keypoints_2d, seen.keypoints)
        np.testing.assert_array_equal(hand.intrinsics, matrix)
