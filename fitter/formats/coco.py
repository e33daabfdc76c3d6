"""Hands as annotations of COCO-WholeBody (Jin et al. 2020), which pycocotools reads.

An annotation is a person. Where nobody says which hands are one person's, each hand is a person of
its own. Of a person there are only the hands: the 17 keypoints of the body, the feet and the face
are zeros, and not valid. See github.com/jin-s13/COCO-WholeBody, ``data_format.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fitter.formats.hand_record import HandRecord, numbers, plain
from fitter.records import Side
from fitter.store.schema import ImageRow

VISIBLE, HIDDEN = 2, 1
"""COCO's v of a keypoint; 0 is one that was not marked, which a fitted hand has none of."""

_SIDES: tuple[Side, Side] = ("left", "right")
_BODY, _FOOT, _FACE, _HAND = 17, 6, 68, 21
"""Keypoints of each part."""

HEAD: dict[str, Any] = {
    "info": {"description": "hands fitted by fit-hands"},
    "licenses": [],
    "categories": [
        {"id": 1, "name": "person", "supercategory": "person", "keypoints": [], "skeleton": []}
    ],
}
"""What stands in the file beside images and annotations."""


def coco_image(name: str, number: int, image: ImageRow) -> dict[str, Any]:
    """An entry of ``images``.

    Args:
        name: of the image.
        number: its id.
        image: what is known of it.
    """
    return {
        "id": number,
        "file_name": name,
        "width": image.image_width,
        "height": image.image_height,
    }


def coco_person(hands: Sequence[HandRecord], image: int, number: int) -> dict[str, Any]:
    """An entry of ``annotations``.

    Args:
        hands: of one person, at most one of each side.
        image: id of their image.
        number: the annotation's own.

    Returns:
        Keypoints are pixels as everywhere here, the centre of the top-left one at (0.5, 0.5), in
        canonical order, which is COCO-WholeBody's. Boxes are x, y, width, height. Beside COCO's
        own fields, ``score`` is the hands' mean score.
    """
    by_side = {record.hand.side: record for record in hands}
    corners = [record.hand.box for record in hands if record.hand.box is not None]
    box = np.zeros(4) if not corners else _around(np.array(corners, np.float64))
    scores = [float(record.hand.score) for record in hands if record.hand.score is not None]
    entry: dict[str, Any] = {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": plain(box),
        "area": float(box[2] * box[3]),
        "keypoints": [0] * (3 * _BODY),
        "num_keypoints": 0,
        "foot_kpts": [0] * (3 * _FOOT),
        "foot_valid": False,
        "face_box": [0.0] * 4,
        "face_kpts": [0] * (3 * _FACE),
        "face_valid": False,
    }
    for side in _SIDES:
        entry |= _hand(side, by_side.get(side))
    if scores:
        entry["score"] = plain(np.float32(np.mean(scores)))
    return entry


def _hand(side: Side, record: HandRecord | None) -> dict[str, Any]:
    """The fields of one side."""
    marks: list[float | None] = [0] * (3 * _HAND)
    box: list[float | None] = [0.0] * 4
    hand = None if record is None else record.hand
    valid = hand is not None and hand.keypoints_2d is not None
    if hand is not None and hand.keypoints_2d is not None:
        seen = np.ones(_HAND) if hand.keypoint_visibility is None else hand.keypoint_visibility
        flags = np.where(seen >= 0.5, VISIBLE, HIDDEN)
        marks = []
        for point, flag in zip(hand.keypoints_2d, flags.tolist(), strict=True):
            marks += [*numbers(point), flag]
        around = hand.keypoints_2d if hand.box is None else hand.box.reshape(2, 2)
        corners = np.concatenate([around.min(axis=0), around.max(axis=0)]).astype(np.float64)
        box = numbers(_around(corners[None]))
    return {f"{side}hand_kpts": marks, f"{side}hand_box": box, f"{side}hand_valid": valid}


def _around(corners: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) of x0, y0, x1, y1 -> x, y, width, height (4,) around all of them."""
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    return np.concatenate([low, high - low])
