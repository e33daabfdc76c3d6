"""Pictures as the networks know them: grey, dark, overexposed and red-blue swapped ones changed.

The networks were trained on photographs in colour, and lean on the colour of skin. What is changed
here is what they see, never what is fitted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Curve:
    """A change of each channel: ``factor * value ** exponent``, of values from 0 to 1.

    Attributes:
        factors: of red, green and blue.
        exponents: of red, green and blue.
    """

    factors: tuple[float, float, float] = (1.0, 1.0, 1.0)
    exponents: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __call__(
        self, pixels: np.ndarray, limits: tuple[float, float] = (0.0, 255.0)
    ) -> np.ndarray:
        """A picture (H, W, 3) uint8 changed, after its values at `limits` became 0 and 255."""
        low, high = limits
        value = ((np.arange(256.0) - low) / max(high - low, 1.0)).clip(0, 1)
        table = np.array(self.factors)[:, None] * value ** np.array(self.exponents)[:, None]
        return _through(pixels, 255 * table)


GREY = 2.0
"""Mean difference of the channels, of 255 and after a stretch, up to which a picture counts as
grey."""

SKIN = Curve((1.0, 0.9, 0.8), (0.45, 1.0, 1.3))
"""What a grey picture is seen through first: of those tried on grey renders the one with which most
hands are found."""

FURTHER = (
    (1.0, 99.0, Curve((1.0, 1.0, 1.0), (0.5, 1.0, 1.2))),
    (1.0, 99.0, Curve((1.0, 0.9, 0.75), (0.6, 1.1, 1.3))),
    (0.0, 95.0, Curve((1.0, 0.95, 0.9), (0.35, 0.7, 0.9))),
)
"""What a grey picture in which no hand is found so is seen through, one after the other: the
percentiles that become black and white, and the curve."""

DARK = 100.0
"""Value below which the `LESS_BRIGHT` percentile of a picture that counts as dark lies."""

BRIGHTEST, SMOOTHED = 95.0, 0.7
"""Percentile of a dark picture's values that is made white, and by what standard deviation in
pixels its steps, few and far between, are smoothed."""

LESS_BRIGHT, LAMPLIGHT = 99.0, (0.8, 1.0, 1.1)
"""The percentile, and exponents of red, green and blue, of a dark picture in which no hand is found
so."""

LAMP = 90.0
"""Percentile of a picture's values below which it may be dark though a lamp or a window is in it:
half of `DARK`. # not published"""

WHITE, MUCH_WHITE = 250, 0.1
"""Value from which on a channel is overexposed, and the share of such ones of an overexposed
picture."""

DARKER = 1.5
"""Exponent that an overexposed picture is seen with."""

_SAMPLES = 256
"""Rows and columns of a picture that its statistics are taken over, at most."""


def seen_by_networks(pixels: np.ndarray) -> np.ndarray:
    """A picture as it is shown to the networks: a dark one stretched, a grey one in skin's colours.

    Args:
        pixels: (H, W, 3) uint8 RGB.

    Returns:
        (H, W, 3) uint8 RGB; the same array where nothing is to be changed.
    """
    seen = _stretched(pixels, BRIGHTEST) if _is_dark(pixels) else pixels
    return SKIN(seen) if _is_grey(seen) else seen


def other_appearances(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """What to look at where no hand was found, (H, W, 3) uint8 RGB each.

    A grey picture is seen in other colours, a dark one less bright, one that is dark but for a lamp
    brighter, an overexposed one darker, and one with more blue than red has them swapped: hands are
    red.
    """
    is_dark = _is_dark(pixels)
    seen = _stretched(pixels, BRIGHTEST) if is_dark else pixels
    sample = _sample(seen)
    if not is_dark and 0 < float(np.percentile(sample, LAMP)) < DARK / 2:
        lit = _stretched(pixels, LAMP)
        yield SKIN(lit) if _is_grey(lit) else lit
    if _is_grey(seen):
        for black, white, curve in FURTHER:
            low, high = np.percentile(sample, [black, white])
            yield curve(seen, (float(low), float(high)))
    elif is_dark:
        yield Curve(exponents=LAMPLIGHT)(_stretched(pixels, LESS_BRIGHT))
    if float((sample >= WHITE).mean()) > MUCH_WHITE:
        yield Curve(exponents=(DARKER, DARKER, DARKER))(seen)
    if _bluish(sample) > _bluish(sample[..., ::-1]):
        yield np.ascontiguousarray(seen[..., ::-1])


def _is_dark(pixels: np.ndarray) -> bool:
    return 0 < float(np.percentile(_sample(pixels), LESS_BRIGHT)) < DARK


def _is_grey(pixels: np.ndarray) -> bool:
    return float(_spread(_sample(pixels)).mean()) <= GREY


def _stretched(pixels: np.ndarray, percentile: float) -> np.ndarray:
    """A dark picture with the percentile of its values made white, smoothed."""
    gain = 255.0 / max(1.0, float(np.percentile(_sample(pixels), percentile)))
    return cv2.GaussianBlur(_through(pixels, _table(gain)), (0, 0), SMOOTHED)


def _table(gain: float) -> np.ndarray:
    """(3, 256) values times a factor."""
    return np.tile(np.minimum(gain * np.arange(256.0), 255), (3, 1))


def _spread(sample: np.ndarray) -> np.ndarray:
    """By how much the channels (..., 3) of each pixel differ."""
    return sample.max(axis=-1) - sample.min(axis=-1)


def _bluish(sample: np.ndarray) -> float:
    """The share of pixels whose colours fall from blue over green to red, as those of skin do from
    red to blue."""
    red, green, blue = sample[..., 0], sample[..., 1], sample[..., 2]
    return float(((blue > green + 4) & (green > red)).mean())


def _sample(pixels: np.ndarray) -> np.ndarray:
    """(h, w, 3) int16, some rows and columns of a picture, evenly spread."""
    rows, columns = (-(-n // _SAMPLES) for n in pixels.shape[:2])
    return pixels[::rows, ::columns].astype(np.int16)


def _through(pixels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Each channel of a picture through its row of a table (3, 256)."""
    values = np.round(table).astype(np.uint8)
    if (values == np.arange(256)).all():
        return pixels
    return np.stack([values[channel][pixels[..., channel]] for channel in range(3)], axis=-1)
