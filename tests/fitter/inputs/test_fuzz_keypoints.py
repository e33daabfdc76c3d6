"""Files of keypoints with other kinds of values than their layouts have: hands, or one sentence."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest

from fitter.errors import InputError
from fitter.inputs.images import ImageEntry
from fitter.inputs.keypoint_files import KeypointFiles
from tests.support.errors import raises

SIZE = (640, 480)
POINTS = [[100.0 + k, 60.0 + 3 * k] for k in range(21)]
FLAT = [number for x, y in POINTS for number in (x, y, 0.9)]
SHARES = [{"x": x / 640, "y": y / 480, "z": 0.01} for x, y in POINTS]
HAND = {"keypoints": POINTS, "keypoint_scores": [0.9] * 21}
COCO = {
    "id": 3,
    "image_id": 1,
    "lefthand_kpts": FLAT,
    "lefthand_valid": True,
    "keypoints": [1, 2, 2] * 17,
}
TOLD = {"index": 0, "score": 0.9}

LAYOUTS = {
    "ours": {"a.jpg": [{"side": "left", "keypoints": POINTS, "relative_depth": [0.0] * 21}]},
    "openpose": {"people": [{"hand_left_keypoints_2d": FLAT, "hand_right_keypoints_2d": []}]},
    "arrays": [POINTS],
    "coco": {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}],
        "annotations": [COCO],
    },
    "results of coco": [{**COCO, "image_id": "a.jpg", "score": 2.5}],
    "mmpose": {"a.jpg": {"predictions": [[HAND]]}},
    "mmpose, one picture": {"meta_info": {}, "instance_info": [HAND]},
    "mmpose, a video": {"instance_info": [{"frame_id": 0, "instances": [HAND]}]},
    "mmpose, a list of frames": [{"frame_id": 0, "instances": [HAND]}],
    "named entries": [{"image": "a.jpg", "hands": [{"side": "left", "keypoints": POINTS}]}],
    "tasks": {
        "a.jpg": {
            "handedness": [[{**TOLD, "category_name": "Left"}]],
            "hand_landmarks": [SHARES],
        }
    },
    "solutions": {
        "multi_hand_landmarks": [{"landmark": SHARES}],
        "multi_handedness": [{"classification": [{**TOLD, "label": "Left"}]}],
    },
    "holistic": {"left_hand_landmarks": {"landmark": SHARES}, "right_hand_landmarks": None},
    "mediapipe, a label": [[{"label": "Left", "score": 0.9, "side": "left", "landmarks": SHARES}]],
}  # fmt: skip

WRONG = (
    None, True, -1, 0, 1.5, 1e308, 10**400, float("nan"), float("inf"), "", "word", "1", "frame_id",
    [], [[]], [5], ["image_id"], [None], {}, {"a": 1}, [{}], [[[1.0]]], [[1, 2], [3]],
)  # fmt: skip


def places(value, path=()):
    """Where in a document a value stands; of a list its first entry speaks for the others."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def changed(document, path, value):
    if not path:
        return value
    document = copy.deepcopy(document)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return document


def without(document, path):
    document = copy.deepcopy(document)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return document


def image_of(layout):
    return "clip.mp4/00000000" if "frame" in layout or "video" in layout else "a.jpg"


def hands_of(path, content, image):
    path.write_text(json.dumps(content))
    files = KeypointFiles.open(path)
    files.require_for([image], 1)
    return files.part(0, [image]).hands_for(ImageEntry(image, Path(image)), 0, SIZE)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_as_it_is_meant_there_is_a_hand(tmp_path, layout):
    assert len(hands_of(tmp_path / "k.json", LAYOUTS[layout], image_of(layout))) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_kinds_of_values_end_in_hands_or_in_one_sentence(tmp_path, layout):
    document = LAYOUTS[layout]
    variants = [changed(document, path, value) for path in places(document) for value in WRONG]
    variants += [without(document, path) for path in places(document) if path]
    refused = 0
    for variant in variants:
        try:
            hands = hands_of(tmp_path / "k.json", variant, image_of(layout))
        except InputError as error:
            refused += 1
            assert error.facts["file"] is not None and "\n" not in str(error)
        else:
            for hand in hands:
                assert hand.keypoints.shape == (21, 2) and np.isfinite(hand.keypoints).all()
                assert hand.side in ("left", "right") and 0 <= hand.score <= 1
                assert hand.relative_depth is None or np.isfinite(hand.relative_depth).all()
    assert refused > 0


@pytest.mark.parametrize("number", [1, 1.0, "1", "1.0"])
def test_numbers_of_frames_and_pictures_as_other_programs_write_them(tmp_path, number):
    frames = [{"frame_id": 0, "instances": []}, {"frame_id": number, "instances": [HAND]}]
    assert len(hands_of(tmp_path / "k.json", frames, "clip.mp4/00000001")) == 1
    content = copy.deepcopy(LAYOUTS["coco"])
    content["images"][0]["width"] = str(float(SIZE[0])) if isinstance(number, str) else 640.0
    content["annotations"][0]["image_id"] = number if number != "1.0" else 1.0
    assert len(hands_of(tmp_path / "k.json", content, "a.jpg")) == 1


@pytest.mark.parametrize(
    "content, code, facts",
    [
        ([{"frame_id": None, "instances": []}], "whole_number", {"found": None}),
        ([{"frame_id": 0.5, "instances": []}], "whole_number", {"found": 0.5}),
        ({"images": [{"file_name": "a.jpg", "id": [1]}], "annotations": []}, "identity",
         {"found": [1]}),
        ({"images": [{"file_name": "a.jpg", "id": 1}], "annotations": [{"image_id": {}}]},
         "identity", {"found": {}}),
        ({"a.jpg": {"annotations": {"x": 1}}}, "no_list", {"found": "dict"}),
        ({"a.jpg": [{**HAND, "keypoint_scores": 0.5}]}, "shape", {"expected": "1x2"}),
        ({"a.jpg": [{**HAND, "keypoint_scores": [[1, 1]] * 21}]}, "shape", {"expected": "42x2"}),
        ({"a.jpg": [{"side": ["left"], "keypoints": POINTS}]}, "side", {"found": ["left"]}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, content, code, facts):
    with raises(f"keypoints.{code}", **facts):
        hands_of(tmp_path / "k.json", content, "a.jpg")


def test_a_picture_of_another_size_is_named_whether_its_size_is_text_or_numbers(tmp_path):
    content = copy.deepcopy(LAYOUTS["coco"])
    content["images"][0]["width"] = "1280"
    with raises("keypoints.other_size", expected=SIZE, found=(1280, 480)):
        hands_of(tmp_path / "k.json", content, "a.jpg")
