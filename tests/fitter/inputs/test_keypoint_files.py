"""Keypoints from files: which picture each part is of, and what is wrong with one of them."""

import contextlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from fitter.inputs.given_hands import hand_observation
from fitter.inputs.images import ImageEntry
from fitter.inputs.keypoint_files import KeypointFiles
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
    assert [hand.side for hand in hands] == ["left", "right"]  # of one score, as in the file
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
        write(tmp_path / "given" / "keypoints.txt", {"people": []})
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
    keypoints[0, 0] *= -1
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
    right, left = files.hands_for(ENTRIES[2], 2)  # the surest first
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
        ({"people": []}, "keypoints.one_picture", {"count": 3}),
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
    assert hand_observation(keypoints, "Right", "hand 0").side == "right"
    with raises("keypoints.side", file="hand 0", found=None):
        hand_observation(keypoints, None, "hand 0")
    with raises("keypoints.shape", file="hand 0", expected="21x2 or 21x3", found="20x3"):
        hand_observation(keypoints[:20], "left", "hand 0")


def a_hand(confidence):
    return [[40.0 + k, 50.0 + k, confidence] for k in range(21)]


def test_the_surest_hand_comes_first(tmp_path):
    people = [{"hand_left_keypoints_2d": np.ravel(a_hand(c)).tolist()} for c in (0.03, 0.8, 0.4)]
    write(tmp_path / "a_keypoints.json", {"people": people})
    hands = KeypointFiles.open(tmp_path).hands_for(ENTRIES[0], 0)
    assert [round(hand.score, 2) for hand in hands] == [0.8, 0.4, 0.03]


class TestFolders:
    @pytest.mark.parametrize("name", ["c_keypoints.json", "c.json", "c.png.json", "results_c.json"])
    def test_a_file_for_each_picture(self, tmp_path, name):
        entry = {"side": "left", "keypoints": a_hand(0.9)}
        write(tmp_path / "inner" / name, [entry])
        files = KeypointFiles.open(tmp_path)
        names = [entry.name for entry in ENTRIES]
        files.require_for(names, 3)
        assert [hand.side for hand in files.hands_for(ENTRIES[2], 2)] == ["left"]
        assert files.missing(names) == (2, "a.jpg")

    def test_files_of_other_pictures_are_refused(self, tmp_path):
        write(tmp_path / "inner" / "x_keypoints.json", {"people": []})
        with raises(
            "keypoints.other_files",
            file=tmp_path,
            image="a.jpg",
            expected=Path("a_keypoints.json"),
            found=Path("inner/x_keypoints.json"),
        ):
            KeypointFiles.open(tmp_path).require_for([entry.name for entry in ENTRIES], 3)


class TestVideos:
    NAMES = ("clip.mp4/00000000", "clip.mp4/00000012")
    FRAMES = tuple(ImageEntry(name, Path(name)) for name in NAMES)

    def hands(self, files):
        files.require_for(list(self.NAMES), 2)
        parts = [files.part(k, [frame.name]) for k, frame in enumerate(self.FRAMES)]
        return [
            [hand.side for hand in part.hands_for(frame, k)]
            for k, (part, frame) in enumerate(zip(parts, self.FRAMES, strict=True))
        ]

    def test_openpose_writes_a_file_for_each_frame(self, tmp_path):
        flat = np.ravel(a_hand(0.9)).tolist()
        people = [{"hand_right_keypoints_2d": flat}]
        write(tmp_path / "clip_000000000012_keypoints.json", {"people": people})
        write(tmp_path / "clip_000000000000_keypoints.json", {"people": []})
        assert self.hands(KeypointFiles.open(tmp_path)) == [[], ["right"]]

    @pytest.mark.parametrize("ending", ["_keypoints.json", ".json"])
    def test_a_folder_of_the_video_has_a_file_for_each_frame(self, tmp_path, ending):
        flat = np.ravel(a_hand(0.9)).tolist()
        people = [{"hand_left_keypoints_2d": flat}]
        write(tmp_path / "clip.mp4" / f"00000012{ending}", {"people": people})
        write(tmp_path / "clip.mp4" / f"00000000{ending}", {"people": []})
        files = KeypointFiles.open(tmp_path)
        assert self.hands(files) == [[], ["left"]]
        (hand,) = files.hands_for(self.FRAMES[1], 1)
        np.testing.assert_array_equal(hand.keypoints, np.array(a_hand(0.9))[:, :2])
        assert files.missing([*self.NAMES, "clip.mp4/00000013"]) == (1, "clip.mp4/00000013")

    def test_two_videos_never_share_the_file_of_a_frame(self, tmp_path):
        names = [f"in/clip.{ending}/{number:08d}" for ending in ("mov", "mp4") for number in (0, 1)]
        write(tmp_path / "in/clip.mov/00000000_keypoints.json", {"people": []})
        write(tmp_path / "in/clip.mp4/00000000_keypoints.json", {"people": []})
        files = KeypointFiles.open(tmp_path)
        files.require_for(names, 4)
        shared = "clip_000000000001_keypoints.json"
        write(tmp_path / "in" / shared, {"people": []})
        facts = {"one": names[1], "other": names[3], "shared": shared}
        with raises("keypoints.shared_file", file=tmp_path, **facts):
            files.require_for(names, 4)

    @pytest.mark.parametrize("whole", ["clip.json", "results_clip.json"])
    def test_two_videos_never_share_the_file_of_all_their_frames(self, tmp_path, whole):
        write(tmp_path / whole, [{"frame_id": 0, "instances": []}])
        files = KeypointFiles.open(tmp_path)
        names = ["clip.mov/00000000", "clip.mp4/00000000"]
        for name in names:
            files.require_for([name], 1)
        facts = {"one": names[0], "other": names[1], "shared": whole}
        with raises("keypoints.shared_file", file=tmp_path, **facts):
            files.require_for(names, 2)
        files.require_for([names[0], "sub/clip.mp4/00000000", "clips.mp4/00000000"], 3)

    @pytest.mark.parametrize("whole", ["clip.json", "results_clip.json"])
    def test_a_picture_and_a_video_never_share_a_file(self, tmp_path, whole):
        names = ["clip.jpg", "clip.mp4/00000000", "clip.mp4/00000001", "other.jpg"]
        write(tmp_path / whole, [{"frame_id": 0, "instances": []}])
        files = KeypointFiles.open(tmp_path)
        files.require_for(names[1:], 3)
        facts = {"one": "clip.jpg", "other": names[1], "shared": whole}
        with raises("keypoints.shared_file", file=tmp_path, **facts):
            files.require_for(names, 4)

    def test_a_picture_and_a_video_of_one_stem_with_a_file_each(self, tmp_path):
        names = ["clip.jpg", "clip.mp4/00000000"]
        write(tmp_path / "clip_keypoints.json", {"people": []})
        frame = write(tmp_path / "clip_000000000000_keypoints.json", {"people": []})
        files = KeypointFiles.open(tmp_path)
        files.require_for(names, 2)
        frame.unlink()
        write(tmp_path / "clip.json", [{"frame_id": 0, "instances": []}])
        files.require_for(names, 2)
        assert files.missing(names) == (0, "")

    @pytest.mark.parametrize("first", [0, 1])
    @pytest.mark.parametrize("in_folder", [True, False])
    def test_mmpose_writes_one_file_and_counts_from_0_or_1(self, tmp_path, first, in_folder):
        hand = {"side": "left", "keypoints": a_hand(0.9)}
        frames = [
            {"frame_id": number + first, "instances": [hand] if number == 12 else []}
            for number in range(14)
        ]
        content = frames if first == 0 else {"meta_info": {}, "instance_info": frames}
        name = "clip.json" if first == 0 else "results_clip.json"
        path = write(tmp_path / name, content)
        files = KeypointFiles.open(tmp_path if in_folder else path)
        assert self.hands(files) == [[], ["left"]]

    def test_one_file_is_not_for_two_videos(self, tmp_path):
        path = write(tmp_path / "v.json", [{"frame_id": 0, "instances": []}])
        names = ["a.mp4/00000000", "b.mp4/00000000"]
        facts = {"one": names[0], "other": names[1], "shared": "00000000"}
        with raises("keypoints.shared_entry", file=path, **facts):
            KeypointFiles.open(path).require_for(names, 2)


PERSON = {"lefthand_kpts": np.ravel(a_hand(0.9)).tolist()}


class TestCoco:
    def test_annotations_know_pictures_by_their_names(self, tmp_path):
        content = {
            "images": [{"id": 4, "file_name": "c.png"}, {"id": 5, "file_name": "b.jpg"}],
            "annotations": [{**PERSON, "image_id": 4}, {**PERSON, "image_id": 4}],
            "categories": [],
        }
        files = KeypointFiles.open(write(tmp_path / "coco.json", content))
        files.require_for([entry.name for entry in ENTRIES], 3)
        assert [len(files.hands_for(entry, k)) for k, entry in enumerate(ENTRIES)] == [0, 0, 2]
        part = files.part(2, ["inner/c.png"])
        assert len(part.by_name) == 1 and len(part.hands_for(ENTRIES[2], 2)) == 2
        assert part.raw(ENTRIES[2], 2) == files.raw(ENTRIES[2], 2) is not None

    @pytest.mark.parametrize("given, name", [(785, "val/000000000785.jpg"), ("b.jpg", "val/b.jpg")])
    def test_results_know_them_by_numbers_or_names(self, tmp_path, given, name):
        content = [{"image_id": given, **PERSON}] * 2
        files = KeypointFiles.open(write(tmp_path / "results.json", content))
        files.require_for(["other.jpg", name], 2)
        assert len(files.hands_for(ImageEntry(name, Path(name)), 1)) == 2

    def test_two_pictures_never_share_an_entry(self, tmp_path):
        path = write(tmp_path / "results.json", [{"image_id": "a.jpg", **PERSON}])
        names = ["a.jpg", "more/a.jpg"]
        facts = {"one": names[0], "other": names[1], "shared": "a.jpg"}
        with raises("keypoints.shared_entry", file=path, **facts):
            KeypointFiles.open(path).require_for(names, 2)

    @pytest.mark.parametrize(
        "content, code, facts",
        [
            ([{"image_id": 3}, {"score": 1}], "keypoints.no_image_id", {"number": 1}),
            ({"images": [{"id": 1}], "annotations": []}, "keypoints.coco_image", {}),
            ([{"image_id": 999}], "list.other_names", {"found": "999", "image": "a.jpg"}),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path, content, code, facts):
        path = write(tmp_path / "coco.json", content)
        with raises(code, file=path, **facts):
            KeypointFiles.open(path).require_for([entry.name for entry in ENTRIES], 3)


def test_a_file_about_one_picture_serves_one_picture(tmp_path):
    entry = {"keypoints": [row[:2] for row in a_hand(1)], "keypoint_scores": [0.7] * 21}
    for content in ([entry], {"people": []}, {"hand_landmarks": []}):
        files = KeypointFiles.open(write(tmp_path / "one.json", content))
        files.require_for(["a.jpg"], 1)
        assert len(files.hands_for(ENTRIES[0], 0)) == (content == [entry])


def test_entries_that_name_their_picture(tmp_path):
    hand = {"side": "right", "keypoints": a_hand(0.9)}
    content = {"images": [{"filename": "photos/b.jpg", "hands": [hand]}]}
    content["images"].append({"filename": "c.png", "hands": []})
    listed = [{"image": "c.png", "hands": [hand]}]
    files = KeypointFiles.open(write(tmp_path / "all.json", content))
    name = "photos/b.jpg"
    assert len(files.hands_for(ImageEntry(name, Path(name)), 0)) == 1
    files = KeypointFiles.open(write(tmp_path / "all.json", listed))
    assert len(files.hands_for(ENTRIES[2], 2)) == 1
