"""One hand of one image or frame, as tables and JSON take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fitter.store.frame_schema import ViewHandRow
from fitter.store.schema import HandRow, ImageRow

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class HandRecord:
    """A hand and where it comes from.

    Attributes:
        image_name: of its image or frame.
        place: of the image or frame in its store, from 0 on; None for one of none.
        slot: of the hand in it, from 0 on; None where it is not known.
        image: what is known of the image; nothing of a frame.
        hand: what is known of the hand.
        views: of a frame what each camera saw of the hand, by the camera's name; None of an image.
    """

    image_name: str
    place: int | None
    slot: int | None
    image: ImageRow
    hand: HandRow
    views: Mapping[str, ViewHandRow] | None = None

    @property
    def track(self) -> int | None:
        """The number of the hand's track in its results; None for a hand of none."""
        return track_of(self.hand)

    @property
    def facts(self) -> dict[str, object]:
        """What a file of meshes tells of the hand, JSON-able."""
        facts: dict[str, object] = {
            "image" if self.views is None else "frame": self.image_name,
            "hand": self.slot,
            "side": self.hand.side,
            "score": None if self.hand.score is None else float(self.hand.score),
        }
        of_image = {
            "intrinsics": None if self.image.intrinsics is None else self.image.intrinsics.tolist(),
            "image_size": [self.image.image_width, self.image.image_height],
            "lens": None if self.image.lens is None else self.image.lens.as_json(),
        }
        if self.views is None:
            facts |= of_image
        return {name: value for name, value in facts.items() if value is not None}


def track_of(hand: HandRow) -> int | None:
    """The number of a hand's track in its results, from 1 on; None for a hand of none."""
    return hand.track or None


def plain(value: object) -> object:
    """A value of a row as JSON has it: lists and numbers, None for what is not a number.

    Numbers of single precision have the nine digits that tell them apart.
    """
    import numpy as np

    if isinstance(value, np.ndarray):
        if value.dtype.kind in "iub":
            return value.tolist()
        return _nested(numbers(value), value.shape)
    if isinstance(value, np.generic):
        value = value.item() if not isinstance(value, np.float32) else number(float(value), 9)
    if isinstance(value, float):
        return number(value, 17)
    return value


def numbers(array: np.ndarray) -> list[float | None]:
    """The elements of an array of floating-point numbers, in order, as `plain` has them."""
    digits = digits_of(array)
    return [number(item, digits) for item in array.ravel().tolist()]


def digits_of(array: object) -> int:
    """Decimal digits that tell the numbers of an array's type apart."""
    return 9 if getattr(array, "dtype", None) == "float32" else 17


def number(value: float, digits: int) -> float | None:
    """A number with so many digits; None for what is none."""
    return float(f"{value:.{digits}g}") if value - value == 0 else None


def _nested(flat: list[float | None], shape: tuple[int, ...]) -> object:
    if len(shape) <= 1:
        return flat if shape else flat[0]
    step = len(flat) // shape[0] if shape[0] else 0
    return [_nested(flat[k * step : (k + 1) * step], shape[1:]) for k in range(shape[0])]
