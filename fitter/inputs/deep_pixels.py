"""Pictures of more than 8 bits a channel made 8-bit ones, by what they contain.

White
    is the largest value of the fewest bits (8, 10, 12, 14, 16) that hold the picture, so that 12
    bits in a file of 16 are as bright as they were meant; for floating-point numbers it may be 1,
    too. A picture that uses all of its 16 bits stays as it is.
Black
    is 0. A picture whose values span less than a quarter of the range up to white, or leave 0 to
    65,535, as those of thermal cameras do, is stretched: its own darkest and brightest values
    become black and white.

Outliers, such as a sensor's hot pixels, decide nothing: a picture is what lies between the 0.1 and
99.9 percentiles of its values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fitter.errors import InputError
from fitter.inputs.image_content import ImageContent, named, stream

LEAST, MOST = 0.1, 99.9
"""Percentiles between which a picture's values lie that are no outliers."""

_WHITES = tuple(2.0**bits - 1 for bits in (8, 10, 12, 14, 16))

_SPAN = 0.25
"""Share of the range up to white that a picture spans, or else it is stretched. Each of `_WHITES`
is four times the one before, so that no picture that begins at 0 is stretched."""

_SAMPLES = 512
"""Rows and columns that percentiles are taken over, at most."""


@dataclass(frozen=True)
class Range:
    """The values that become 0 and 255.

    Attributes:
        black: becomes 0, and so does what is below it or no number.
        white: becomes 255, and so does what is above it.
    """

    black: float
    white: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Values (...) of any kind as uint8."""
        if np.issubdtype(values.dtype, np.floating):
            share = (values.astype(np.float64) - self.black) / (self.white - self.black)
            return np.round(255 * np.nan_to_num(share, nan=0.0).clip(0, 1)).astype(np.uint8)
        black, span = round(self.black), round(self.white) - round(self.black)
        above = (values.astype(np.int64) - black).clip(0, span)
        return ((above * 255 + span // 2) // span).astype(np.uint8)


def range_of(sample: np.ndarray) -> Range:
    """The range of a picture, see the module.

    Args:
        sample: (N,) values of it, at least one.
    """
    low, high = np.percentile(sample.astype(np.float64), [LEAST, MOST], method="nearest")
    whites = _WHITES if np.issubdtype(sample.dtype, np.integer) else (1.0, *_WHITES)
    white = next((white for white in whites if white >= high), None)
    is_usual = white is not None and low >= 0 and high - low >= _SPAN * white
    if white is not None and low >= 0 and (is_usual or high == low):
        return Range(0.0, white)
    # A picture of one value is no picture; what is above it is white.
    return Range(float(low), float(high) if high > low else float(low) + 1.0)


def sample_of(image: Image.Image) -> np.ndarray:
    """(h, w, ...) some rows and columns of a loaded picture, evenly spread."""
    width, height = (min(side, _SAMPLES) for side in image.size)
    return np.asarray(image.resize((width, height), Image.Resampling.NEAREST))


def grey_range(sample: np.ndarray, where: Path | str) -> Range:
    """The range of a grey picture.

    Args:
        sample: of its whole or floating-point numbers.
        where: the picture, for messages.

    Raises:
        InputError: none of the values is a finite number (`image.no_numbers`).
    """
    numbers = sample[np.isfinite(sample)]
    if not numbers.size:
        raise InputError("image.no_numbers", file=where)
    return range_of(numbers)


def is_deep_colour(image: Image.Image) -> bool:
    """Whether an opened picture, not yet decoded, has 16 bits a channel, of which Pillow keeps the
    upper 8."""
    tiles = getattr(image, "tile", None)
    if image.mode not in ("RGB", "RGBA", "RGBX") or not tiles:
        return False
    arguments = tiles[0][3]
    return ";16" in str(arguments[0] if isinstance(arguments, tuple) else arguments)


def brightened(content: ImageContent, image: Image.Image) -> Image.Image:
    """A colour picture of 16 bits a channel that uses few of them; others as they are.

    Args:
        content: the picture's file, or its bytes.
        image: decoded from it by Pillow: the upper 8 bits.

    Raises:
        InputError: its lower bits cannot be read (`image.damaged`).
    """
    import cv2

    sample = sample_of(image)[..., :3]
    low, high = np.percentile(sample, [LEAST, MOST], method="nearest")
    if int(high) - int(low) >= 256 * _SPAN:
        return image
    with stream(content) as file:
        data = np.frombuffer(file.read(), np.uint8)
    try:
        values = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        values = None
    if values is None or values.dtype != np.uint16 or values.shape[:2] != image.size[::-1]:
        raise InputError("image.damaged", file=named(content), reason="its lower bits are missing")
    order = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}[values.shape[2]]
    values = cv2.cvtColor(values, order).astype(np.uint16, copy=False)
    colours = values[..., :3]
    steps = [-(-side // _SAMPLES) for side in colours.shape[:2]]
    pixels = range_of(colours[:: steps[0], :: steps[1]].ravel())(colours)
    if values.shape[2] == 4:
        pixels = np.dstack([pixels, (values[..., 3] // 256).astype(np.uint8)])
    bright = Image.fromarray(pixels)
    bright.info = image.info
    bright.getexif().update(image.getexif())
    return bright
