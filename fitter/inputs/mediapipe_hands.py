"""What people write of MediaPipe's results as JSON.

Its landmarks are shares of the picture's sides, and the depth in the unit of x. Two generations of
its interface name things differently, Python and JavaScript spell them differently, and all occur:

    Tasks      hand_landmarks, landmarks          handedness, handednesses
    solutions  multi_hand_landmarks               multi_handedness
    Holistic   left_hand_landmarks and right_hand_landmarks, which is the hand's side

A hand is a list of 21 landmarks, or an object with them as ``landmark`` (a protocol buffer); a
landmark is an object with x, y and z, or three numbers. Which hand it is stands in ``label``,
``category_name`` or ``categoryName``, within one or two more lists or objects.

**The two generations name opposite sides.** The solutions take a picture for that of a camera for
selfies, which has been mirrored: in any other picture their "Left" is a right hand (see
``MULTI_HANDEDNESS`` in ``docs/solutions/hands.md`` of github.com/google-ai-edge/mediapipe). Tasks
name the hand that the picture shows (``HandLandmarkerResult`` in their reference; measured, see
`fitter.detection.mediapipe_task`). So the label of the solutions, whose word is ``label`` or whose
list is ``multi_handedness``, is turned round here, and ``category_name`` stays. Both are right for
the picture that MediaPipe has seen, mirrored or not. Holistic's two names come from the person's
pose and stay. A bare word, of which neither is known, does not tell the side.
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
    require_reachable,
)
from fitter.records import HandObservation

_LANDMARKS = ("handlandmarks", "landmarks", "multihandlandmarks", "landmark")
_HANDEDNESS = ("handedness", "handednesses", "multihandedness", "label")
_SOLUTIONS = ("multihandlandmarks", "multihandedness", "label")
"""Keys that the older interface alone has; `label` is where Tasks have `category_name`."""
_HOLISTIC = {"lefthandlandmarks": "left", "righthandlandmarks": "right"}
_LABELS = ("label", "categoryname", "displayname")
_TRUE = {"left": "left", "right": "right"}
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
    is_older = any(plain.get(key) for key in _SOLUTIONS)
    sides = _each(told, len(listed), where)
    hands = []
    for number, (landmarks, label) in enumerate(zip(listed, sides, strict=True)):
        place = f"{where}, landmarks {number}"
        side, score = ("", 1.0) if label is None else _side(label, is_older, place)
        if isinstance(plain.get("side"), str):  # of our own: the hand's true side
            side = str(plain["side"])
        elif len(listed) == 1:
            score = _score(plain.get("score"), score, place)
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


def _side(told: object, is_older: bool, where: str) -> tuple[str, float]:
    """The true side and its score, of whatever stands around MediaPipe's word for it.

    Args:
        told: what is said of one hand.
        is_older: whether what stands around that is of the solutions.
        where: what to name in messages.

    Returns:
        Without a side where nothing tells the solutions from Tasks.
    """
    score, key = 1.0, None
    while not isinstance(told, str):
        if isinstance(told, list) and told:
            told = told[0]
        elif isinstance(told, Mapping):
            plain = _plain(told)
            score = _score(plain.get("score"), score, where)
            key = next((key for key in _LABELS if plain.get(key)), None)
            told = plain.get("classification") if key is None else plain[key]
        else:
            raise InputError("keypoints.label", file=where, found=told)
    word = told.lower()
    if word not in _TRUE:
        raise InputError("keypoints.label", file=where, found=told)
    if key == "categoryname":
        return _TRUE[word], score
    return (_MIRRORED[word] if is_older or key == "label" else ""), score


def _score(told: object, otherwise: float, where: str) -> float:
    """What is given as a score, or `otherwise` where nothing is."""
    if told is None:
        return otherwise
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 <= told <= 1:
        raise InputError("keypoints.score", file=where, found=told)
    return float(told)


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
            require_reachable(points[:, 2], where)
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
