"""Writes 2D annotations of hands as people and detectors make them: COCO-WholeBody
(github.com/jin-s13/COCO-WholeBody, ``data_format.md``), HInt (github.com/ddshan/hint) and OpenPose
(github.com/CMU-Perceptual-Computing-Lab/openpose, ``doc/02_output.md``)."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.hand_pairs import SIDES, HandPair, hand_pair
from tests.support.known_hands import KnownHand, View, known_hand

VIEW = View((320, 240), 330, 0.7)


def seen(hand: KnownHand) -> np.ndarray:
    """(21, 2) pixels."""
    points = hand.keypoints @ hand.view.intrinsics.T
    return points[:, :2] / points[:, 2:]


def box_of(hand: KnownHand) -> list[float]:
    """x0, y0, x1, y1 around the mask."""
    rows, columns = np.nonzero(hand.mask)
    return [float(v) for v in (columns.min(), rows.min(), columns.max(), rows.max())]


def write_coco(folder: Path, models: Path, split: str = "val") -> dict[str, HandPair]:
    """Three images: of a person, of two people without a hand and with both, of nobody's hands.

    Returns:
        Name -> the hands, of the images with some; in the first keypoint 3 of the left hand is not
        marked, and keypoint 5 has a network's score.
    """
    images, annotations, pairs = [], [], {}
    (folder / f"{split}2017").mkdir(parents=True)
    (folder / "annotations").mkdir()
    for number in range(3):
        pair = hand_pair(models, number, VIEW)
        name = f"{1000 - number:012d}.jpg"
        Image.fromarray(pair.image).save(folder / f"{split}2017" / name)
        images.append({"id": 1000 - number, "file_name": name, "width": 320, "height": 240})
        annotations += [_person(1000 - number, None)] * (number == 1)
        if number < 2:
            pairs[f"{split}2017/{name}"] = pair
            annotations.append(_person(1000 - number, pair))
    for value, keypoint in ((0, 3), (0.04, 5)):
        marks = annotations[0]["lefthand_kpts"]
        marks[3 * keypoint : 3 * keypoint + 3] = [
            *((0, 0) if value == 0 else marks[3 * keypoint : 3 * keypoint + 2]),
            value,
        ]
    # Persons of an image come anywhere.
    content = {"info": {}, "images": images, "annotations": annotations[::-1], "categories": [{}]}
    path = folder / "annotations" / f"coco_wholebody_{split}_v1.0.json"
    path.write_text(json.dumps(content))
    return pairs


def _person(image: int, pair: HandPair | None) -> dict:
    person = {"image_id": image, "category_id": 1, "keypoints": [0] * 51, "face_valid": False}
    for side in SIDES:
        marks, box = np.zeros((21, 3)), [0.0] * 4
        if pair is not None:
            marks = np.column_stack([seen(pair.hands[side]), np.full(21, 2)])
            x0, y0, x1, y1 = box_of(pair.hands[side])
            box = [x0, y0, x1 - x0, y1 - y0]
        person |= {
            f"{side}hand_kpts": marks.ravel().tolist(),
            f"{side}hand_box": box,
            f"{side}hand_valid": pair is not None,
        }
    return person


def write_hint(folder: Path, models: Path) -> dict[str, KnownHand]:
    """Two subsets; name of an image -> the hand in it. The thumb's tip is hidden."""
    hands = {}
    for number, (subset, side) in enumerate(
        [("TEST_newdays_img", "left"), ("TEST_newdays_img", "right"), ("VAL_ego4d_seq", "right")]
    ):
        hand = known_hand(models, number, side, VIEW)
        name = f"{subset}/ND_clip_frame{number:06d}_{side[0]}"
        (folder / subset).mkdir(parents=True, exist_ok=True)
        Image.fromarray(hand.image).save(folder / f"{name}.jpg")
        entry = {
            "keypoints": seen(hand).tolist(),
            "occlusion": [float(k == 4) for k in range(21)],
            "bbox": [box_of(hand)],
        }
        (folder / f"{name}.json").write_text(json.dumps([entry]))
        hands[f"{name}.jpg"] = hand
    return hands


def write_openpose(folder: Path, models: Path, files: Path) -> dict[str, HandPair]:
    """Images in two folders, and files of the people in them elsewhere; name -> the hands.

    The second person has no hands; keypoint 8 of right hands was not found.
    """
    pairs = {}
    for number, stem in enumerate(("a/one", "a/two", "b/one")):
        pair = hand_pair(models, number, VIEW)
        for place in (folder, files):
            (place / stem).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pair.image).save(folder / f"{stem}.png")
        person = {}
        for side in SIDES:
            marks = np.column_stack([seen(pair.hands[side]), np.linspace(0.2, 1, 21)])
            marks[8] *= side == "left"
            person[f"hand_{side}_keypoints_2d"] = marks.ravel().tolist()
        nobody = {key: [0] * 63 for key in person}
        content = {"version": 1.3, "people": [person, nobody]}
        (files / f"{stem}_keypoints.json").write_text(json.dumps(content))
        pairs[f"{stem}.png"] = pair
    return pairs
