"""What people write of MediaPipe's results as JSON.

Its landmarks are shares of the picture's sides, and the depth in the unit of x. Two generations of
its interface name things differently, Python and JavaScript spell them differently, and all occur:

    Tasks      hand_landmarks, landmarks          handedness, handednesses
    solutions  multi_hand_landmarks               multi_handedness
    Holistic   left_hand_landmarks and right_hand_landmarks, which is the hand's side

A hand is a list of 21 landmarks, or an object with them as ``landmark`` (a protocol buffer); a
landmark is an object with x, y and z, or three numbers. Which hand it is stands in ``label``,
``category_name`` or ``categoryName``, within one or two more lists or objects.

**MediaPipe names hands as in a mirror**: it takes a picture for that of a camera for selfies, which
has been mirrored. In any other picture its "Left" is a right hand. So the label is turned round
here, which is right for the picture that MediaPipe has seen, mirrored or not. Holistic's two names
come from the person's pose and stay. See github.com/google-ai-edge/mediapipe,
``docs/solutions/hands.md`` (MULTI_HANDEDNESS).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fitter.errors import InputError
from fitter.inputs.given_hands import (
    LARGEST_METRES,
    Size,
    hand_observation,
    numbers,
    of_untold_side,
)
from fitter.records import HandObservation

_LANDMARKS = ("handlandmarks", "landmarks", "multihandlandmarks", "landmark")
_HANDEDNESS = ("handedness", "handednesses", "multihandedness", "label")
_HOLISTIC = {"lefthandlandmarks": "left", "righthandlandmarks": "right"}
_LABELS = ("label", "categoryname", "displayname")
_MIRRORED = {"left": "right", "right": "left"}


def is_mediapipe(content: Mapping[str, object]) -> bool:
    """Whether an object holds landmarks of hands."""
    plain = _plain(content)
    return any(key in plain for key in (*_LANDMARKS, *_HOLISTIC))


def mediapipe_hands(
    content: Mapping[str, object], where: str, size: Size | None
) -> list[HandObservation]:
    """The hands of one result of MediaPipe's, or of a part of it with one hand.

    Args:
        content: an object as the module's text says.
        where: what to name in messages.
        size: of the picture, or None where it is not known.

    Returns:
        With the score of the hand's side as every confidence, as MediaPipe says no other.

    Raises:
        InputError: it is no such result, or its size is needed and not known.
    """
    plain = _plain(content)
    key = next((key for key in _LANDMARKS if plain.get(key)), None)
    listed = [] if key is None else _listed(plain[key])
    told = next((plain[key] for key in _HANDEDNESS if plain.get(key)), None)
    sides = _each(told, len(listed), where)
    hands = []
    for number, (landmarks, label) in enumerate(zip(listed, sides, strict=True)):
        place = f"{where}, landmarks {number}"
        side, score = ("", 1.0) if label is None else _side(label, place)
        own = str(plain.get("side")).lower()
        if own in _MIRRORED:  # of our own layout: the hand's true side
            side = own
        elif isinstance(plain.get("score"), int | float) and len(listed) == 1:
            score = float(str(plain["score"]))
        hands.append(_hand(landmarks, (side, score), place, size))
    for key, side in _HOLISTIC.items():
        if plain.get(key):
            place = f"{where}, {side} hand"
            hands += [_hand(each, (side, 1.0), place, size) for each in _listed(plain[key])]
    return hands


def _plain(content: Mapping[str, object]) -> dict[str, object]:
    """Keys without what tells Python's spelling from JavaScript's."""
    return {key.replace("_", "").lower(): value for key, value in content.items()}


def _listed(given: object) -> list[object]:
    """A list of hands; a single hand is a list of landmarks or an object around it."""
    if isinstance(given, Mapping):
        return [given]
    if not isinstance(given, list):
        return [given]
    first = given[0]
    is_point = isinstance(first, Mapping) and "x" in first
    is_row = isinstance(first, list) and bool(first) and isinstance(first[0], int | float)
    return [given] if is_point or is_row else list(given)


def _each(told: object, count: int, where: str) -> Sequence[object]:
    """Of each hand what is said of its side, or None."""
    if told is None or count == 0:
        return [None] * count
    each = told if isinstance(told, list) and (count > 1 or len(told) == 1) else [told]
    if len(each) != count:
        raise InputError("keypoints.handedness", file=where, expected=count, found=len(each))
    return each


def _side(told: object, where: str) -> tuple[str, float]:
    """The true side and its score, of whatever stands around MediaPipe's word for it."""
    score: object = None
    while not isinstance(told, str):
        if isinstance(told, list) and told:
            told = told[0]
        elif isinstance(told, Mapping):
            plain = _plain(told)
            score = plain.get("score", score)
            told = next((plain[key] for key in _LABELS if plain.get(key)), None)
            told = plain.get("classification") if told is None else told
        else:
            raise InputError("keypoints.label", file=where, found=told)
    if told.lower() not in _MIRRORED:
        raise InputError("keypoints.label", file=where, found=told)
    sure = float(score) if isinstance(score, int | float) else 1.0
    return _MIRRORED[told.lower()], sure


def _hand(
    landmarks: object, told: tuple[str, float], where: str, size: Size | None
) -> HandObservation:
    if isinstance(landmarks, Mapping):
        landmarks = _plain(landmarks).get("landmark")
    if isinstance(landmarks, list):
        landmarks = [_point(each) for each in landmarks]
    points = numbers(landmarks, [(21, 2), (21, 3)], where)
    side, score = told
    positions, depth = points[:, :2], None
    if float(np.abs(positions).max()) < LARGEST_METRES:
        if size is None:
            raise InputError("keypoints.no_size", file=where)
        # Half a pixel, as of our own detector, which is MediaPipe's.
        positions = positions * size + 0.5
        if points.shape[1] == 3 and points[:, 2].any():
            depth = (points[:, 2] - points[0, 2]) * size[0]
    marked = np.column_stack([positions, np.full(21, score)])
    hand = hand_observation(marked, side, where) if side else of_untold_side(marked, where)
    return hand if depth is None else replace(hand, relative_depth=depth)


def _point(landmark: object) -> object:
    """A landmark as numbers; what is none stays, and is refused as such."""
    if not isinstance(landmark, Mapping):
        return landmark
    plain = _plain(landmark)
    return [plain.get(axis, 0.0 if axis == "z" else None) for axis in "xyz"]
