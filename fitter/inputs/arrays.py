"""Images and masks that come as arrays: checked where they enter, never guessed at."""

from __future__ import annotations

import numpy as np

from fitter.errors import InputError
from fitter.inputs.images import DEFAULT_LIMITS, ReadLimits, check_size
from fitter.inputs.mask_values import hand_pixels


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
        (H, W) bool, or uint16 labels, 0 for none.

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
    return hand_pixels(mask, where)


def _array(value: object, where: str, expected: str) -> np.ndarray:
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        found = type(value).__name__
        raise InputError("array.dtype", file=where, expected=expected, found=found) from error
