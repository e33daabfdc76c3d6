"""What a detector found in an image, kept for a further look at it: as text, to the last bit."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitter.records import HandObservation

log = logging.getLogger(__name__)

HAND_BYTES = 14_500
"""Of the text of a hand; most of it are the landmark network's features."""

TYPICAL_HANDS = 2
"""Hands in an image, for what its text will take: those of one person. Numbers take their place for
every slot; a text is as long as what was found, and few images have a hand for every slot."""

_PLAIN = ("side", "side_score", "score", "presence")
_ARRAYS = ("keypoints", "confidence", "relative_depth", "relative_xyz", "features")


@dataclass(frozen=True)
class KeptHands:
    """The hands that were found in an image when an earlier pass looked at it.

    Attributes:
        text: of `text_of`.
        file: (size in bytes, time of the last change) of the image's file then, or None for one
            that was not there.
        inputs_digest: of what was given for the image then.
    """

    text: str
    file: tuple[int, float] | None
    inputs_digest: int

    def hands(self, file: tuple[int, float] | None, digest: int) -> list[HandObservation] | None:
        """The hands; None for an image that is to be looked at again, which finds the same: its
        file or inputs are others by now, or the text is damaged."""
        if (file, digest) != (self.file, self.inputs_digest):
            return None
        try:
            return [_hand(said) for said in json.loads(self.text)]
        except (ValueError, TypeError, LookupError) as error:
            log.warning("what was found before is damaged, and is looked for again: %s", error)
            return None


def text_of(hands: Sequence[HandObservation]) -> str:
    """Hands as a detector found them, before anything else is known of them."""
    return json.dumps([_said(hand) for hand in hands])


def _said(hand: HandObservation) -> dict[str, Any]:
    arrays = {name: getattr(hand, name) for name in _ARRAYS}
    return {name: getattr(hand, name) for name in _PLAIN} | {
        name: None if values is None else _packed(values) for name, values in arrays.items()
    }


def _packed(values: np.ndarray) -> list[Any]:
    """Type, shape and content."""
    return [values.dtype.str, values.shape, base64.b64encode(values.tobytes()).decode()]


def _hand(said: dict[str, Any]) -> HandObservation:
    arrays = {
        name: None
        if (packed := said[name]) is None
        else np.frombuffer(bytearray(base64.b64decode(packed[2])), packed[0]).reshape(packed[1])
        for name in _ARRAYS
    }
    return HandObservation(**{name: said[name] for name in _PLAIN} | arrays)
