"""The networks by PyTorch, for a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from fitter.detection.networks.landmark import LandmarkNetwork
from fitter.detection.networks.palm import PalmNetwork
from fitter.detection.networks.runtime import LandmarkValues, PalmValues
from fitter.detection.networks.weights import ASSETS, read_weights

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
        self._palm, self._landmark = PalmNetwork(), LandmarkNetwork()
        read_weights("palm", folder).load_into(self._palm)
        read_weights("landmark", folder).load_into(self._landmark)
        for network in (self._palm, self._landmark):
            network.eval().to(self.device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def palms(self, windows: np.ndarray) -> PalmValues:
        """See `HandNetworks.palms`."""
        parts = [self._palm(part) for part in self._batches(windows)]
        values, logits = (torch.cat(each).cpu().numpy() for each in zip(*parts, strict=True))
        return PalmValues(values, logits)

    @torch.inference_mode()
    def landmarks(self, windows: np.ndarray) -> LandmarkValues:
        """See `HandNetworks.landmarks`."""
        parts = [self._landmark(part) for part in self._batches(windows)]
        columns = (torch.cat(each).cpu().numpy() for each in zip(*parts, strict=True))
        landmarks, presence, handedness, world, features = columns
        shape = (len(windows), 21, 3)
        return LandmarkValues(
            landmarks.reshape(shape), presence, handedness, world.reshape(shape), features
        )

    def _batches(self, windows: np.ndarray) -> list[torch.Tensor]:
        """At least one, which may be empty."""
        images = torch.tensor(windows).to(self.device).permute(0, 3, 1, 2)
        images = images.float().div(255).contiguous(memory_format=torch.channels_last)
        return list(images.split(LARGEST_BATCH)) if len(images) else [images]
