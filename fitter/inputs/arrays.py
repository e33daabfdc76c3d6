"""Images and masks that come as arrays: checked where they enter, never guessed at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fitter.errors import InputError
from fitter.inputs.images import DEFAULT_LIMITS, ReadLimits, check_size

_RANGES = (1, 255, 65535)
"""Largest values of masks: truth values, 8 bits and 16 bits."""


def check_pixels(value: object, where: str, limits: ReadLimits = DEFAULT_LIMITS) -> np.ndarray:
    """Turn a value from outside into an image.

    Args:
        value: what should be (H, W, 3) uint8 RGB, upright.
        where: what to name in messages.
        limits: sizes to accept.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous; the value itself where it is that already.

    Raises:
        InputError: it has other numbers (`array.dtype`), another number of dimensions
            (`array.shape`), other channels (`array.channels`), no pixels (`array.empty`), or a
            size outside `limits` (`image.too_small`, `image.too_large`).
    """
    pixels = _array(value, where, "an array of uint8")
    if pixels.dtype != np.uint8:
        found = pixels.dtype.name
        raise InputError("array.dtype", file=where, expected="uint8, 0 to 255", found=found)
    if pixels.ndim != 3:
        shape = pixels.shape
        raise InputError("array.shape", file=where, expected="(height, width, 3)", shape=shape)
    if pixels.shape[2] != 3:
        raise InputError("array.channels", file=where, found=pixels.shape[2])
    height, width = pixels.shape[:2]
    if not height * width:
        raise InputError("array.empty", file=where, shape=pixels.shape)
    check_size(where, (width, height), limits)
    return np.ascontiguousarray(pixels)


def check_mask(value: object, size: tuple[int, int], where: str) -> np.ndarray:
    """Turn a value from outside into the mask of an image.

    Args:
        value: what should be (H, W), bool or whole numbers; of numbers counts as hand what counts
            in a mask's file, see `hand_pixels`.
        size: (width, height) of the image in pixels.
        where: what to name in messages.

    Returns:
        (H, W) bool.

    Raises:
        InputError: it has other numbers (`array.dtype`), another shape (`array.shape`), or values
            that leave open what is hand (`image.grey_range`, `mask.labels`).
    """
    mask = _array(value, where, "an array of bool or whole numbers")
    if mask.dtype != bool and not np.issubdtype(mask.dtype, np.integer):
        found = mask.dtype.name
        raise InputError("array.dtype", file=where, expected="bool or whole numbers", found=found)
    if mask.shape != (size[1], size[0]):
        expected = f"({size[1]}, {size[0]}) of the image"
        raise InputError("array.shape", file=where, expected=expected, shape=mask.shape)
    return mask if mask.dtype == bool else hand_pixels(mask, where)


def hand_pixels(values: np.ndarray, where: Path | str) -> np.ndarray:
    """Which pixels of a mask are hand: those above half of its range.

    The range is the smallest of 1, 255 and 65,535 that holds the largest value.

    Args:
        values: (H, W) bool or whole numbers, at least one.
        where: what to name in messages.

    Returns:
        (H, W) bool.

    Raises:
        InputError: a value is negative or exceeds 16 bits (`image.grey_range`), or none is above
            half of the range and some are above 0 (`mask.labels`).
    """
    least, most = values.min().item(), values.max().item()
    span = next((span for span in _RANGES if span >= most), None)
    if span is None or least < 0:
        raise InputError("image.grey_range", file=where, least=least, most=most)
    mask = values > span / 2
    if most and not mask.any():
        raise InputError("mask.labels", file=where, span=span, least=least, most=most)
    return mask


def _array(value: object, where: str, expected: str) -> np.ndarray:
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        found = type(value).__name__
        raise InputError("array.dtype", file=where, expected=expected, found=found) from error
