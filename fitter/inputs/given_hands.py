"""One hand's 2D keypoints from outside, checked and turned into an observation."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fitter.errors import InputError
from fitter.records import HandObservation

Size = tuple[int, int]
"""(width, height) of an upright picture in pixels."""

LARGEST_METRES = 10.0
"""Coordinates that all lie below this are metres or shares of a picture's sides, not pixels."""

LARGEST_PIXELS = 1e6
"""Coordinates beyond this are a mistake, not a keypoint outside its picture."""

CONFIDENCES = (-0.5, 2.0)
"""Least and largest confidence that is taken for one, and clipped to [0, 1]: maxima of heat maps,
as OpenPose writes them, lie up to 1.4 and slightly below 0, and the flags of COCO are 0, 1 and 2.
What lies beyond is another number, such as a depth."""

SIDE_UNTOLD = 0.5
"""`side_score` of a hand whose maker does not say which it is: either is as likely."""


def hand_observation(
    keypoints: object,
    side: object,
    where: str,
    relative_depth: object = None,
    confidences: tuple[float, float] = CONFIDENCES,
) -> HandObservation:
    """Turn one hand's keypoints from outside into an observation.

    Args:
        keypoints: what should be 21x2 (u, v) or 21x3 (u, v, confidence), in canonical order and
            pixels of the upright image; a missing confidence counts as 1.
        side: what should be "left" or "right", in capitals or not.
        where: what to name in messages.
        relative_depth: what should be 21 numbers, in pixels relative to the wrist, positive away
            from the camera; or None.
        confidences: least and largest that are taken for confidences.

    Returns:
        The hand, its arrays float64 and copies, confidences clipped to [0, 1]; its score is their
        mean.

    Raises:
        InputError: the side is neither; or there are other shapes, numbers that are not finite,
            positions that are no pixels, or confidences beyond `confidences`.
    """
    hand = unjudged_hand(keypoints, side, where, relative_depth, confidences)
    require_pixels(hand, where)
    return hand


def unjudged_hand(
    keypoints: object,
    side: object,
    where: str,
    relative_depth: object = None,
    confidences: tuple[float, float] = CONFIDENCES,
) -> HandObservation:
    """The same, but its positions are not judged: `require_pixels` does so for hands that count."""
    named = side.lower() if isinstance(side, str) else side
    if named not in ("left", "right"):
        raise InputError("keypoints.side", file=where, found=side)
    depth = None
    if relative_depth is not None:
        depth = numbers(relative_depth, [(21,)], f"{where}, relative_depth").copy()
        require_reachable(depth, f"{where}, relative_depth")
    array = numbers(keypoints, [(21, 2), (21, 3)], where)
    confidence = array[:, 2] if array.shape[1] == 3 else np.ones(21)
    least, most = float(confidence.min()), float(confidence.max())
    if least < confidences[0] or most > confidences[1]:
        # Metres with their depth are told as such, and not as confidences.
        _require_pixels(array[:, :2], confidence > 0, where)
        low, high = confidences
        raise InputError(
            "keypoints.confidence", file=where, low=low, high=high, least=least, most=most
        )
    confidence = np.clip(confidence, 0.0, 1.0)
    return HandObservation(
        keypoints=array[:, :2].copy(),
        confidence=confidence,
        side=named,
        side_score=1.0,
        score=float(confidence.mean()),
        relative_depth=depth,
    )


def of_untold_side(
    keypoints: object, where: str, confidences: tuple[float, float] = CONFIDENCES
) -> HandObservation:
    """The same for a hand whose maker does not say which it is; its `side_score` is `SIDE_UNTOLD`.

    Raises:
        InputError: see `hand_observation`.
    """
    hand = hand_observation(keypoints, "right", where, confidences=confidences)
    return replace(hand, side_score=SIDE_UNTOLD)


def require_pixels(hand: HandObservation, where: str) -> None:
    """Refuse a hand whose positions are no pixels.

    Raises:
        InputError: they are shares of a picture, metres, or beyond any picture.
    """
    _require_pixels(hand.keypoints, hand.seen, where)


def _require_pixels(positions: np.ndarray, seen: np.ndarray, where: str) -> None:
    """Refuse positions (21, 2) that are no pixels; `seen` (21,) bool says which count, if any."""
    counted = positions[seen] if seen.any() else positions
    least, most = float(counted.min()), float(counted.max())
    largest = max(-least, most)
    if largest < LARGEST_METRES:
        if least >= 0 and most <= 1 and seen.any():
            raise InputError("keypoints.normalised", file=where, least=least, most=most)
        raise InputError("keypoints.metres", file=where, limit=LARGEST_METRES)
    require_reachable(positions, where)


def require_reachable(pixels: np.ndarray, where: str) -> None:
    """Refuse positions or depths, of any shape, that no picture reaches.

    Raises:
        InputError: one is beyond `LARGEST_PIXELS`.
    """
    largest = float(np.abs(pixels).max())
    if largest > LARGEST_PIXELS:
        raise InputError("keypoints.too_far", file=where, found=largest)


def sureness(hand: HandObservation) -> float:
    """How sure a hand is, in [0, 1]: the mean confidence of those of its keypoints that have any.

    A hand half of which is hidden, with confidences of 0 there, is as sure as one in full view.
    """
    return float(hand.confidence[hand.seen].mean()) if hand.seen.any() else 0.0


def sure_hands(hands: Sequence[HandObservation], least: float) -> list[HandObservation]:
    """The given hands that are sure enough, in their order; see `is_sure`."""
    return [hand for hand in hands if is_sure(hand, least)]


def is_sure(hand: HandObservation, least: float) -> bool:
    """Whether a hand's `sureness` is at least `least`, in [0, 1]; those without any confidence
    stay, to be told as hands that were not seen."""
    return sureness(hand) >= least or not hand.seen.any()


def inside_hands(hands: Sequence[HandObservation], size: Size, where: str) -> list[HandObservation]:
    """The given hands that have a keypoint in the picture, in their order.

    Args:
        hands: with keypoints in the picture's pixels.
        size: (width, height) of the picture.
        where: what to name in messages.

    Raises:
        InputError: there are hands, and every one is outside, so that they belong to another
            picture or another resolution (`keypoints.outside`).
    """
    inside = [hand for hand in hands if not hand.seen.any() or _is_inside(hand, size).any()]
    if hands and not inside:
        points = np.concatenate([hand.keypoints[hand.seen] for hand in hands])
        x, y = points[beyond_edges(points, size).argmax()].tolist()
        raise InputError("keypoints.outside", file=where, width=size[0], height=size[1], x=x, y=y)
    return inside


def beyond_edges(keypoints: np.ndarray, size: Size) -> np.ndarray:
    """How far keypoints (..., 2) lie outside a picture: (...), pixels, 0 inside it."""
    over = np.maximum(-keypoints, keypoints - np.asarray(size, dtype=np.float64))
    return np.maximum(over.max(axis=-1), 0.0)


def _is_inside(hand: HandObservation, size: Size) -> np.ndarray:
    """(21,) whether a keypoint that has any confidence lies in the picture."""
    return hand.seen & (beyond_edges(hand.keypoints, size) == 0)


def numbers(value: object, shapes: Sequence[tuple[int, ...]], where: str) -> np.ndarray:
    """A value from outside as an array of float64 of one of these shapes.

    Raises:
        InputError: it is no such array, or not finite.
    """
    expected = " or ".join("x".join(map(str, shape)) for shape in shapes)
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        reason = str(error)
        raise InputError(
            "keypoints.no_numbers", file=where, expected=expected, reason=reason
        ) from error
    if array.shape not in shapes:
        found = "x".join(map(str, array.shape)) or "a single number"
        raise InputError("keypoints.shape", file=where, expected=expected, found=found)
    if not np.isfinite(array).all():
        raise InputError("keypoints.not_finite", file=where)
    return array


def whole_number(value: object, what: str, where: str) -> int:
    """A whole number from outside, which many programs write as 1.0 or "1".

    Args:
        value: what should be one.
        what: it is, to name in messages.
        where: what to name in messages.

    Raises:
        InputError: it is none.
    """
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        # Neither words nor numbers that no float reaches, nan and infinity among them.
        with contextlib.suppress(ValueError, OverflowError):
            if float(value).is_integer():
                return int(float(value))
    raise InputError("keypoints.whole_number", file=where, what=what, found=value)
