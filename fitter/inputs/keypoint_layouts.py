"""What a file says of one picture's hands, told apart by its content.

OpenPose
    ``people``, each with ``hand_left_keypoints_2d`` and ``hand_right_keypoints_2d`` (until 2018
    without the ending), 63 numbers (u, v, confidence) x 21; all zeros mean no hand. See
    github.com/CMU-Perceptual-Computing-Lab/openpose, ``doc/02_output.md``.
Ours
    A list of hands, each with ``side``, ``keypoints`` and perhaps ``relative_depth``.
COCO-WholeBody
    A list of people with ``lefthand_kpts`` and ``righthand_kpts``, 63 numbers each, or with all 133
    as ``keypoints``; see github.com/jin-s13/COCO-WholeBody, ``data_format.md``. In annotations the
    third number says whether a keypoint is marked, in results how sure it is.
mmpose
    A list of people or hands with ``keypoints`` and ``keypoint_scores``; see
    github.com/open-mmlab/mmpose, ``mmpose/structures/utils.py`` (split_instances).
MediaPipe
    See `fitter.inputs.mediapipe_hands`.
Arrays
    21 rows are a right hand, as FreiHAND has them; 133, and the others of
    `fitter.conventions.BODY_HANDS`, a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from fitter.conventions import BODY_HANDS
from fitter.errors import InputError
from fitter.inputs.given_hands import (
    CONFIDENCES,
    SIDE_UNTOLD,
    Size,
    is_sure,
    numbers,
    require_pixels,
    unjudged_hand,
    whole_number,
)
from fitter.inputs.mediapipe_hands import is_mediapipe, mediapipe_hands
from fitter.records import HandObservation

SCORES = (-1.0, 20.0)
"""Least and largest score of mmpose's that is taken for one, and clipped to [0, 1]: those of its
networks without heat maps (SimCC) are not normalised, and above 1 for keypoints in plain sight."""

_WRAPPERS = ("predictions", "instance_info", "instances", "hands")
_SIDES = ("left", "right")
_Placed = tuple[str, HandObservation]
_PARAMETERS = ("lhand_pose", "rhand_pose", "smplx_lhand_pose", "mano_pose", "mano_param")


def hands_in(
    content: object, where: str, size: Size | None, least: float = 0.0
) -> list[HandObservation]:
    """The hands of one picture, in the file's order.

    Args:
        content: JSON's value, in any of the layouts above.
        where: what to name in messages.
        size: (width, height) of the upright picture, or None where it is not known.
        least: `fitter.inputs.given_hands.sureness` below which a hand will be left out, so that
            its positions are not judged: programs that always write both hands put the one that
            they do not see anywhere.

    Returns:
        With `side_score` `fitter.inputs.given_hands.SIDE_UNTOLD` where nothing says which hand it
        is.

    Raises:
        InputError: it is in no layout, or a hand is malformed.
    """
    hands = []
    for place, hand in _placed(_unwrapped(content, where, size), where, size):
        if is_sure(hand, least):
            require_pixels(hand, place)
        hands.append(hand)
    return hands


def _placed(content: object, where: str, size: Size | None) -> Iterator[_Placed]:
    """The hands of one picture, and where each stands, for messages."""
    if isinstance(content, Mapping):
        if "people" in content:
            yield from _openpose(content["people"], where)
            return
        if is_mediapipe(content):
            yield from _of_mediapipe(content, where, size)
            return
        if _is_parameters(content):
            raise InputError("keypoints.parameters", file=where)
        if "keypoints" not in content and not _is_coco(content):
            raise InputError("keypoints.no_list", file=where, found="dict")
        content = [content]
    if content is None:
        return
    if not isinstance(content, list):
        raise InputError("keypoints.no_list", file=where, found=type(content).__name__)
    if content and isinstance(content[0], list):
        yield from _array(content, where)
        return
    for number, entry in enumerate(content):
        yield from _entry(entry, f"{where}, hand {number}", size)


def _of_mediapipe(
    content: Mapping[str, object], where: str, size: Size | None
) -> Iterator[_Placed]:
    for hand in mediapipe_hands(content, where, size):
        yield where, hand


def _unwrapped(content: object, where: str, size: Size | None) -> object:
    """What stands within the objects and lists that mmpose and COCO put around it."""
    while True:
        if isinstance(content, Mapping):
            if "annotations" in content:
                return _annotations(content, where, size)
            key = next((key for key in _WRAPPERS if key in content), None)
            if key is None:
                return content
            content = content[key]
        elif _is_nested(content):
            assert isinstance(content, list)
            content = content[0]
        else:
            return content


def _is_nested(content: object) -> bool:
    """Whether it is a list around the one list of a picture's hands."""
    return (
        isinstance(content, list)
        and len(content) == 1
        and isinstance(content[0], list)
        and (not content[0] or isinstance(content[0][0], Mapping))
    )


def _is_parameters(content: Mapping[str, object]) -> bool:
    """Whether it is what Hand4Whole and its like say of a model of a body or a hand."""
    return any(key in content for key in _PARAMETERS) or {"pose", "shape"} <= set(content)


def _is_coco(entry: Mapping[str, object]) -> bool:
    return any(f"{side}hand_kpts" in entry for side in _SIDES)


def _annotations(picture: Mapping[str, object], where: str, size: Size | None) -> list[object]:
    """COCO's annotations of a picture, whose third numbers are made confidences.

    Raises:
        InputError: they are those of a picture of another size.
    """
    sides = [picture.get(key) for key in ("width", "height")]
    if size is not None and None not in sides:
        told = tuple(whole_number(side, "width and height", where) for side in sides)
        if told != size:
            raise InputError("keypoints.other_size", file=where, expected=size, found=told)
    annotations = picture["annotations"]
    if not isinstance(annotations, list):
        raise InputError("keypoints.no_list", file=where, found=type(annotations).__name__)
    return [{**each, "_marked": True} for each in annotations if isinstance(each, Mapping)]


def _entry(entry: object, where: str, size: Size | None) -> Iterator[_Placed]:
    """The hands of one entry: a hand, or a person."""
    if not isinstance(entry, Mapping):
        raise InputError("keypoints.no_hand", file=where)
    if is_mediapipe(entry):
        yield from _of_mediapipe(entry, where, size)
    elif _is_coco(entry):
        yield from _coco(entry, where)
    elif "keypoints" not in entry:
        raise InputError("keypoints.no_hand", file=where)
    elif "keypoint_scores" in entry:
        yield from _mmpose(entry, where)
    elif _is_flat(entry["keypoints"]):
        yield from _person(_flat(entry["keypoints"], where), entry, where)
    else:
        depth = entry.get("relative_depth")
        yield where, unjudged_hand(entry["keypoints"], entry.get("side"), where, depth)


def _openpose(people: object, where: str) -> Iterator[_Placed]:
    if not isinstance(people, list):
        raise InputError("keypoints.no_people", file=where)
    for number, person in enumerate(people):
        if not isinstance(person, Mapping):
            raise InputError("keypoints.no_person", file=where, number=number)
        if person and not any("keypoints" in key for key in person):
            raise InputError("keypoints.no_fields", file=where, found=", ".join(person))
        for side in _SIDES:
            key = f"hand_{side}_keypoints_2d"
            key = key if key in person else key.removesuffix("_2d")
            # OpenPose run without its hand detector leaves the lists out or empty.
            if not person.get(key):
                continue
            place = f"{where}, person {number}, {key}"
            flat = numbers(person[key], [(63,)], place)
            if np.any(flat != 0):
                yield place, unjudged_hand(flat.reshape(21, 3), side, place)


def _coco(entry: Mapping[str, object], where: str) -> Iterator[_Placed]:
    for side in _SIDES:
        key = f"{side}hand_kpts"
        if not entry.get(key) or entry.get(f"{side}hand_valid") is False:
            continue
        points = numbers(entry[key], [(63,)], f"{where}, {key}").reshape(21, 3)
        yield from _if_seen(_confident(points, entry), side, f"{where}, {key}")


def _mmpose(entry: Mapping[str, object], where: str) -> Iterator[_Placed]:
    scores = _array_of(entry["keypoint_scores"], where)
    positions = _array_of(entry["keypoints"], where)
    if positions.ndim != 2 or positions.shape[1] not in (2, 3) or scores.size != len(positions):
        found = "x".join(map(str, positions.shape))
        expected = f"{scores.size}x2"
        raise InputError("keypoints.shape", file=where, expected=expected, found=found or "none")
    points = np.column_stack([positions[:, :2], scores.reshape(-1)])
    yield from _person(points, entry, where, SCORES)


def _array(content: object, where: str) -> Iterator[_Placed]:
    """Rows of a picture: FreiHAND's right hand, or a person."""
    array = _array_of(content, where)
    if array.ndim == 2 and len(array) != 21 and len(array) in _SETS and array.shape[1] in (2, 3):
        if array.shape[1] == 2:
            array = np.column_stack([array, np.ones(len(array))])
        yield from _person(array, {}, where, SCORES)
        return
    yield where, unjudged_hand(content, "right", where)


_SETS = {count: {"left": left, "right": right} for count, left, right in BODY_HANDS.values()}


def _person(
    points: np.ndarray,
    entry: Mapping[str, object],
    where: str,
    confidences: tuple[float, float] = CONFIDENCES,
) -> Iterator[_Placed]:
    """The hands among (K, 3) keypoints (u, v, confidence) of a hand or a person."""
    points = _confident(points, entry)
    if len(points) == 21:
        if (side := entry.get("side")) is not None:
            yield where, unjudged_hand(points, side, where, confidences=confidences)
        elif np.any(points[:, 2] > 0):
            hand = unjudged_hand(points, "right", where, confidences=confidences)
            yield where, replace(hand, side_score=SIDE_UNTOLD)
        return
    if len(points) not in _SETS:
        known = sorted(_SETS)
        raise InputError("keypoints.number", file=where, known=known, found=len(points))
    for side, index in _SETS[len(points)].items():
        place = f"{where}, {side} hand"
        yield from _if_seen(points[list(index)], side, place, confidences)


def _if_seen(
    points: np.ndarray, side: str, where: str, confidences: tuple[float, float] = CONFIDENCES
) -> Iterator[_Placed]:
    """A hand of a person, if it has any confidence."""
    if np.any(points[:, 2] > 0):
        yield where, unjudged_hand(points, side, where, confidences=confidences)


def _confident(points: np.ndarray, entry: Mapping[str, object]) -> np.ndarray:
    """Keypoints with confidences in place of the flags of COCO's annotations.

    Of hands the flags may be fractions; above 0 a keypoint is to be relied on (COCO-WholeBody,
    ``data_format.md``), also where all of them are the whole numbers up to 2.
    """
    flags = points[:, 2]
    if "_marked" in entry or (flags.max(initial=0) == 2 and np.isin(flags, (0, 1, 2)).all()):
        return np.column_stack([points[:, :2], (flags > 0).astype(np.float64)])
    return points


def _is_flat(keypoints: object) -> bool:
    """Whether they are one list of numbers."""
    return (
        isinstance(keypoints, list)
        and bool(keypoints)
        and all(isinstance(number, int | float) for number in keypoints)
    )


def _flat(keypoints: object, where: str) -> np.ndarray:
    array = _array_of(keypoints, where)
    if array.size % 3:
        raise InputError(
            "keypoints.shape", file=where, expected="three for each keypoint", found=array.size
        )
    return array.reshape(-1, 3)


def _array_of(value: object, where: str) -> np.ndarray:
    """A value from outside as an array of float64, of any shape, finite."""
    try:
        shape = np.asarray(value, dtype=np.float64).shape
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            "keypoints.no_numbers", file=where, expected="keypoints as", reason=str(error)
        ) from error
    return numbers(value, [shape], where)
