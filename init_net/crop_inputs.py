"""Crops of hands in the size and the numbers in which networks take them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from fitter.records import HandCrop
from init_net.records import CropInputs

_LARGEST_BATCH = 16
"""Crops that a network sees at once: on a CPU each takes twice as long in a batch of 64, whose maps
leave the cache."""


def some_at_once(crops: Sequence[HandCrop], size: int, device: torch.device) -> list[CropInputs]:
    """Crops, at least one, as of `crop_inputs`, as many at once as a network may see."""
    inputs = crop_inputs(crops, size, device)
    firsts = range(0, len(crops), _LARGEST_BATCH)
    return [inputs[first : first + _LARGEST_BATCH] for first in firsts]


def crop_inputs(crops: Sequence[HandCrop], size: int, device: torch.device) -> CropInputs:
    """Crops, at least one, as networks take them: resized to `size` pixels, on a device."""
    sides = np.array([crop.side for crop in crops])
    images = np.stack([resized(crop.pixels, size) for crop in crops])
    keypoints = np.stack([crop.keypoints for crop in crops])
    keypoints = keypoints * (size / sides)[:, None, None]
    confidence = np.stack([crop.confidence for crop in crops])

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device, torch.float32)

    image = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255
    return CropInputs(image, tensor(keypoints), tensor(confidence))


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """A square image with another side, pixels."""
    if len(image) == size:
        return image
    smaller = size < len(image)
    return cv2.resize(
        image, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )
