"""Keypoints from files: three layouts, and what is wrong with them said picture by picture."""

import contextlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from fitter.errors import InputError
from fitter.inputs.images import ImageEntry
from fitter.inputs.keypoint_files import KeypointFiles

ENTRIES = [ImageEntry(name, Path(name)) for name in ("a.jpg", "b.jpg", "inner/c.png")]


@pytest.fixture
def keypoints():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.uniform(10, 200, (21, 2)), rng.uniform(0, 1, (21, 1))], axis=1)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_openpose_folder(tmp_path, keypoints):
    flat = keypoints.ravel().tolist()
    people = [
        {"hand_left_keypoints_2d": flat, "hand_right_keypoints_2d": [0] * 63},
        {"hand_left_keypoints_2d": [], "hand_right_keypoints_2d": flat},
    ]
    write(tmp_path / "a_keypoints.json", {"people": people})
    write(tmp_path / "b_keypoints.json", {"people": []})
    write(tmp_path / "inner/c_keypoints.json", {"people": people[:1]})
    files = KeypointFiles.open(tmp_path)
    hands = files.hands_for(ENTRIES[0], 0)
    assert [hand.side for hand in hands] == ["left", "right"]
    for hand in hands:
        np.testing.assert_array_equal(hand.keypoints, keypoints[:, :2])
        np.testing.assert_array_equal(hand.confidence, keypoints[:, 2])
    assert files.hands_for(ENTRIES[1], 1) == []
    assert len(files.hands_for(ENTRIES[2], 2)) == 1


class TestSearch:
    def test_a_file_far_down_is_found(self, tmp_path):
        write(tmp_path / "a" / "b" / ".c" / "d_keypoints.json", {"people": []})
        write(tmp_path / "e.txt", "words")
        assert KeypointFiles.open(tmp_path).by_name is None

    def test_links_to_folders_and_other_files_do_not_count(self, tmp_path):
        write(tmp_path / "elsewhere" / "a_keypoints.json", {"people": []})
        write(tmp_path / "given" / "keypoints.json", {"people": []})
        (tmp_path / "given" / "link").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "given" / "loop").symlink_to(tmp_path / "given")
        with pytest.raises(InputError, match=r"named <image>_keypoints\.json, found none\.$"):
            KeypointFiles.open(tmp_path / "given")

    def test_it_ends_with_the_first_file(self, tmp_path, monkeypatch):
        for i in range(50):
            write(tmp_path / f"{i}_keypoints.json", {"people": []})
        seen = []

        @contextlib.contextmanager
        def counted(folder):
            with scandir(folder) as listing:
                yield (seen.append(entry) or entry for entry in listing)

        scandir = os.scandir
        monkeypatch.setattr(os, "scandir", counted)
        KeypointFiles.open(tmp_path)
        assert len(seen) == 1

    def test_a_folder_that_cannot_be_listed_does_not_end_it(self, tmp_path, monkeypatch):
        (tmp_path / "locked").mkdir()
        write(tmp_path / "open" / "a_keypoints.json", {"people": []})

        def refusing(folder):
            if Path(folder).name == "locked":
                raise PermissionError
            return scandir(folder)

        scandir = os.scandir
        monkeypatch.setattr(os, "scandir", refusing)
        KeypointFiles.open(tmp_path)


def test_pictures_that_share_an_openpose_file_are_refused(tmp_path):
    write(tmp_path / "a_keypoints.json", {"people": []})
    files = KeypointFiles.open(tmp_path)
    names = ["a.jpg", "b/a.jpg", "ab.jpg", "b/a.png"]
    files.require_for(names[:3], 3)
    with pytest.raises(InputError) as caught:
        files.require_for(names, 4)
    assert str(caught.value) == (
        f"{tmp_path}: expected a file of OpenPose's for every picture, found that 'b/a.jpg' and "
        "'b/a.png' share a_keypoints.json."
    )
    KeypointFiles.open(write(tmp_path / "own.json", {})).require_for(names, 4)


def test_freihand_list_with_and_without_confidence(tmp_path, keypoints):
    content = [keypoints.tolist(), keypoints[:, :2].tolist()]
    files = KeypointFiles.open(write(tmp_path / "uv.json", content))
    first, second = (files.hands_for(ENTRIES[i], i)[0] for i in range(2))
    assert first.side == second.side == "right"
    np.testing.assert_array_equal(first.keypoints, keypoints[:, :2])
    np.testing.assert_array_equal(first.confidence, keypoints[:, 2])
    np.testing.assert_array_equal(second.keypoints, keypoints[:, :2])
    assert (second.confidence == 1).all()


def test_metres_are_refused(tmp_path, keypoints):
    path = write(tmp_path / "evaluation_xyz.json", [(keypoints / 300).tolist()])
    with pytest.raises(InputError, match=r"evaluation_xyz\.json.*pixels.*metres"):
        KeypointFiles.open(path).hands_for(ENTRIES[0], 0)


def test_own_mapping(tmp_path, keypoints):
    depth = list(range(21))
    content = {
        "inner/c.png": [
            {"side": "left", "keypoints": keypoints.tolist(), "relative_depth": depth},
            {"side": "right", "keypoints": keypoints[:, :2].tolist()},
        ]
    }
    files = KeypointFiles.open(write(tmp_path / "own.json", content))
    left, right = files.hands_for(ENTRIES[2], 2)
    assert (left.side, right.side) == ("left", "right")
    np.testing.assert_array_equal(left.relative_depth, depth)
    assert right.relative_depth is None
    assert files.hands_for(ENTRIES[0], 0) == []


def test_a_part_knows_its_own_pictures_and_nothing_else(tmp_path, keypoints):
    hands = [{"side": "left", "keypoints": keypoints.tolist()}]
    named = KeypointFiles.open(write(tmp_path / "own.json", {"a.jpg": hands, "b.jpg": hands}))
    listed = KeypointFiles.open(write(tmp_path / "uv.json", [keypoints.tolist()] * 3))
    for files in (named, listed):
        part = files.part(1, ["b.jpg"])
        assert len(part.by_name or part.by_index) == 1
        (whole,), (found,) = (given.hands_for(ENTRIES[1], 1) for given in (files, part))
        np.testing.assert_array_equal(found.keypoints, whole.keypoints)
        assert part.raw(ENTRIES[1], 1) == files.raw(ENTRIES[1], 1) is not None
        assert part.raw(ENTRIES[0], 0) is None


@pytest.mark.parametrize(
    "content, words",
    [
        ("{broken", "expected JSON"),
        ("3", "found int"),
        ([[]], "found 1"),
        ({"people": []}, "folder"),
        ({"b.png": []}, "such as 'a.jpg', found none of them, but 'b.png'."),
    ],
)
def test_a_bad_file_is_refused_at_once(tmp_path, content, words):
    path = write(tmp_path / "bad.json", content)
    with pytest.raises(InputError) as caught:
        KeypointFiles.open(path).require_for([entry.name for entry in ENTRIES], len(ENTRIES))
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_nothing_there_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing.json"):
        with pytest.raises(InputError, match="found no"):
            KeypointFiles.open(path)


GOOD = np.full((21, 2), 50.0).tolist()


@pytest.mark.parametrize(
    "bad, words",
    [
        ([{"side": "left", "keypoints": GOOD[:20]}], "found 20x2"),
        ([{"side": "up", "keypoints": GOOD}], "'up'"),
        ([{"side": "left"}], '"keypoints"'),
        ([{"side": "left", "keypoints": "abc"}], "21x2 or 21x3"),
        ([{"side": "left", "keypoints": [[float("nan"), 1], *GOOD[1:]]}], "finite"),
        ([{"side": "left", "keypoints": [[50, 50, 50]] * 21}], "confidences"),
        ([{"side": "left", "keypoints": GOOD, "relative_depth": [1, 2]}], "relative_depth"),
        ({"side": "left"}, "found dict"),
        ([7], '"side"'),
    ],
)
def test_one_bad_entry_does_not_stop_the_others(tmp_path, bad, words):
    content = {"a.jpg": bad, "b.jpg": [{"side": "left", "keypoints": GOOD}]}
    files = KeypointFiles.open(write(tmp_path / "own.json", content))
    with pytest.raises(InputError) as caught:
        files.hands_for(ENTRIES[0], 0)
    assert words in str(caught.value)
    assert "own.json" in str(caught.value)
    assert "'a.jpg'" in str(caught.value)
    assert len(files.hands_for(ENTRIES[1], 1)) == 1


@pytest.mark.parametrize(
    "content, words",
    [
        ({"people": [{"hand_left_keypoints_2d": [1, 2, 3]}]}, "expected 63 numbers, found 3"),
        ({"people": [5]}, "person 0"),
        ({"people": 5}, '"people"'),
        ([], '"people"'),
        ("{", "expected JSON"),
    ],
)
def test_one_bad_openpose_file_does_not_stop_the_others(tmp_path, content, words):
    write(tmp_path / "a_keypoints.json", content)
    write(tmp_path / "b_keypoints.json", {"people": []})
    files = KeypointFiles.open(tmp_path)
    with pytest.raises(InputError) as caught:
        files.hands_for(ENTRIES[0], 0)
    assert words in str(caught.value)
    assert "a_keypoints.json" in str(caught.value)
    assert files.hands_for(ENTRIES[1], 1) == []
    with pytest.raises(InputError, match=r"c_keypoints\.json"):
        files.hands_for(ENTRIES[2], 2)
