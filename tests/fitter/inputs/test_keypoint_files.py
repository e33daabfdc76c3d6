"""Keypoints from files: three layouts, and what is wrong with them said picture by picture."""

import contextlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from fitter.inputs.images import ImageEntry
from fitter.inputs.keypoint_files import KeypointFiles, hand_observation
from tests.support.errors import raises

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
        with raises("keypoints.no_files", file=tmp_path / "given"):
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
    shared = {"one": "b/a.jpg", "other": "b/a.png", "shared": "a_keypoints.json"}
    with raises("keypoints.shared_file", file=tmp_path, **shared):
        files.require_for(names, 4)
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
    with raises("keypoints.metres", file=f"{path}, entry 0 ({ENTRIES[0].name})"):
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
    "content, code, facts",
    [
        ("{broken", "json.invalid", {"content": "keypoints"}),
        ("3", "keypoints.layout", {"found": "int"}),
        ([[]], "keypoints.count", {"count": 3, "found": 1}),
        ({"people": []}, "keypoints.one_openpose_file", {}),
        ({"b.png": []}, "list.other_names", {"image": "a.jpg", "found": "b.png"}),
    ],
)
def test_a_bad_file_is_refused_at_once(tmp_path, content, code, facts):
    path = write(tmp_path / "bad.json", content)
    with raises(code, file=path, **facts):
        KeypointFiles.open(path).require_for([entry.name for entry in ENTRIES], len(ENTRIES))


def test_nothing_there_is_refused(tmp_path):
    with raises("keypoints.no_files", file=tmp_path):
        KeypointFiles.open(tmp_path)
    with raises("json.missing", file=tmp_path / "missing.json", content="keypoints"):
        KeypointFiles.open(tmp_path / "missing.json")


GOOD = np.full((21, 2), 50.0).tolist()


@pytest.mark.parametrize(
    "bad, code, facts",
    [
        ([{"side": "left", "keypoints": GOOD[:20]}], "shape", {"found": "20x2"}),
        ([{"side": "up", "keypoints": GOOD}], "side", {"found": "up"}),
        ([{"side": "left"}], "no_hand", {}),
        ([{"side": "left", "keypoints": "abc"}], "no_numbers", {"expected": "21x2 or 21x3"}),
        ([{"side": "left", "keypoints": [[float("nan"), 1], *GOOD[1:]]}], "not_finite", {}),
        ([{"side": "left", "keypoints": [[50, 50, 50]] * 21}], "confidence", {"most": 50.0}),
        ([{"side": "left", "keypoints": [[2e6, 50]] * 21}], "too_far", {"found": 2e6}),
        ([{"side": "left", "keypoints": GOOD, "relative_depth": [1, 2]}], "shape", {"found": "2"}),
        ({"side": "left"}, "no_list", {"found": "dict"}),
        ([7], "no_hand", {}),
    ],
)
def test_one_bad_entry_does_not_stop_the_others(tmp_path, bad, code, facts):
    content = {"a.jpg": bad, "b.jpg": [{"side": "left", "keypoints": GOOD}]}
    files = KeypointFiles.open(write(tmp_path / "own.json", content))
    with raises(f"keypoints.{code}", **facts) as caught:
        files.hands_for(ENTRIES[0], 0)
    assert f"{files.path}, entry 'a.jpg'" in caught.value.facts["file"]
    assert len(files.hands_for(ENTRIES[1], 1)) == 1


@pytest.mark.parametrize(
    "content, code, facts",
    [
        (
            {"people": [{"hand_left_keypoints_2d": [1, 2, 3]}]},
            "keypoints.shape",
            {"expected": "63", "found": "3"},
        ),
        ({"people": [5]}, "keypoints.no_person", {"number": 0}),
        ({"people": 5}, "keypoints.no_people", {}),
        ([], "keypoints.no_people", {}),
        ("{", "json.invalid", {"content": "keypoints"}),
    ],
)
def test_one_bad_openpose_file_does_not_stop_the_others(tmp_path, content, code, facts):
    write(tmp_path / "a_keypoints.json", content)
    write(tmp_path / "b_keypoints.json", {"people": []})
    files = KeypointFiles.open(tmp_path)
    with raises(code, **facts) as caught:
        files.hands_for(ENTRIES[0], 0)
    assert "a_keypoints.json" in str(caught.value.facts["file"])
    assert files.hands_for(ENTRIES[1], 1) == []
    with raises("json.missing", file=tmp_path / "inner" / "c_keypoints.json"):
        files.hands_for(ENTRIES[2], 2)


def test_a_hand_from_arrays(keypoints):
    depth = np.arange(21)
    hand = hand_observation(keypoints, "left", "hand 0", depth)
    np.testing.assert_array_equal(hand.keypoints, keypoints[:, :2])
    np.testing.assert_array_equal(hand.relative_depth, depth)
    assert hand.side == "left" and not np.shares_memory(hand.keypoints, keypoints)
    with raises("keypoints.side", file="hand 0", found=None):
        hand_observation(keypoints, None, "hand 0")
    with raises("keypoints.shape", file="hand 0", expected="21x2 or 21x3", found="20x3"):
        hand_observation(keypoints[:20], "left", "hand 0")
