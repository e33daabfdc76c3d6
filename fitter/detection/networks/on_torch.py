"""The networks by PyTorch, for a GPU: pictures are cut there, and what comes back are numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from fitter.detection.networks.device_picture import DevicePicture
from fitter.detection.networks.landmark import LandmarkNetwork
from fitter.detection.networks.palm import PalmNetwork
from fitter.detection.networks.runtime import LandmarkValues, PalmValues
from fitter.detection.networks.shapes import LANDMARK_PIXELS, PALM_PIXELS
from fitter.detection.networks.weights import ASSETS, read_weights
from fitter.detection.windows import Picture, Window

LARGEST_BATCH = 64
"""Windows at once. Cut by their place, so that a window's numbers depend on no other call."""


class TorchNetworks:
    """`HandNetworks` on any device of PyTorch's."""

    def __init__(self, device: torch.device | str, folder: Path = ASSETS) -> None:
        """Load both networks.

        Raises:
            InputError: a weight file is not there, cut off, or another network's.
        """
        self.device = torch.device(device)
        self._last: DevicePicture | None = None
        self._palm, self._landmark = PalmNetwork(), LandmarkNetwork()
        read_weights("palm", folder).load_into(self._palm)
        read_weights("landmark", folder).load_into(self._landmark)
        for network in (self._palm, self._landmark):
            network.eval().to(self.device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def palms(self, picture: Picture, windows: Sequence[Window]) -> PalmValues:
        """See `HandNetworks.palms`."""
        images = self._moved(picture).cut(windows, PALM_PIXELS)
        parts = [self._palm(part) for part in _batches(images)]
        values, logits = (torch.cat(each).cpu().numpy() for each in zip(*parts, strict=True))
        return PalmValues(values, logits)

    @torch.inference_mode()
    def landmarks(self, picture: Picture, windows: Sequence[Window]) -> LandmarkValues:
        """See `HandNetworks.landmarks`."""
        images = self._moved(picture).cut(windows, LANDMARK_PIXELS, repeats=True)
        parts = [self._landmark(part) for part in _batches(images)]
        columns = (torch.cat(each).cpu().numpy() for each in zip(*parts, strict=True))
        landmarks, presence, handedness, world, features = columns
        shape = (len(windows), 21, 3)
        return LandmarkValues(
            landmarks.reshape(shape), presence, handedness, world.reshape(shape), features
        )

    def _moved(self, picture: Picture) -> DevicePicture:
        """A picture on the device: the last one stays there, for it is asked about again."""
        if self._last is None or self._last.picture is not picture:
            self._last = DevicePicture(picture, self.device)
        return self._last


def _batches(images: torch.Tensor) -> list[torch.Tensor]:
    """Images (N, 3, S, S) of values up to 255 in batches, at least one, which may be empty."""
    images = images.div(255).contiguous(memory_format=torch.channels_last)
    return list(images.split(LARGEST_BATCH)) if len(images) else [images]
