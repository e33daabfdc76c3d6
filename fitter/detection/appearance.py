"""Pictures as the networks know them: grey, dark, overexposed and red-blue swapped ones changed.

The networks were trained on photographs in colour, and lean on the colour of skin. What is changed
here is what they see, never what is fitted.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

GREY = 2.0
"""Mean difference of the channels, of 255 and after a stretch, up to which a picture counts as
grey."""

WARM = (0.5, 1.0, 1.2)
"""Exponents of red, green and blue that a grey picture is seen with: of those tried on grey renders
the ones with which most hands are found, 37 of the 46 found in colour, 22 without."""

RED = (1.5, 1.0, 1.0)
"""Factors on red, green and blue of a grey picture in which no hand is found so: 34 of the 46."""

DARK = 100.0
"""Value below which the `BRIGHTEST` share of a picture that counts as dark lies."""

BRIGHTEST = 99.0
"""Percentile of a dark picture's values that is made white."""

WHITE, MUCH_WHITE = 250, 0.1
"""Value from which on a channel is overexposed, and the share of such ones of an overexposed
picture."""

DARKER = 1.5
"""Exponent that an overexposed picture is seen with."""

_SAMPLES = 256
"""Rows and columns of a picture that its statistics are taken over, at most."""


def seen_by_networks(pixels: np.ndarray) -> np.ndarray:
    """A picture as it is shown to the networks: a dark one stretched, a grey one warm.

    Args:
        pixels: (H, W, 3) uint8 RGB.

    Returns:
        (H, W, 3) uint8 RGB; the same array where nothing is to be changed.
    """
    sample = _sample(pixels)
    bright = float(np.percentile(sample, BRIGHTEST))
    gain = 255 / bright if 0 < bright < DARK else 1.0
    table = np.tile(np.minimum(gain * np.arange(256.0), 255), (3, 1))
    if gain * float(_spread(sample).mean()) <= GREY:
        table = 255 * (table / 255) ** np.array(WARM)[:, None]
    return _through(pixels, table)


def other_appearances(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """What to look at where no hand was found, (H, W, 3) uint8 RGB each.

    A grey picture is made red, an overexposed one darker, and one with more blue than red has them
    swapped: hands are red.
    """
    sample = _sample(pixels)
    if float(_spread(sample).mean()) <= GREY:
        yield _through(pixels, np.minimum(np.array(RED)[:, None] * np.arange(256.0), 255))
    if float((sample >= WHITE).mean()) > MUCH_WHITE:
        yield _through(pixels, np.tile(255 * (np.arange(256) / 255) ** DARKER, (3, 1)))
    if _bluish(sample) > _bluish(sample[..., ::-1]):
        yield np.ascontiguousarray(pixels[..., ::-1])


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
