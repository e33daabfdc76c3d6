"""The networks at work: what they say of hands that a detector has found.

normalised hands, crops -> `Networks` -> `fitter.fitting.initializer.Predictions`. Each network sees
all hands of a batch at once.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from fitter.camera import back_project, rotation_to
from fitter.errors import InputError
from fitter.fitting.initializer import Prediction, Predictions
from fitter.hand_models import load_hand_model
from fitter.records import HandCrop, NormalisedHands
from init_net.networks.build import AnyNetwork
from init_net.offer import OFFER, InitNetOptions
from init_net.posing import regressed_keypoints
from init_net.records import CropInputs
from init_net.view_frame import in_camera, lifter_inputs, view_focal
from init_net.weights import load_network, weights_file

if TYPE_CHECKING:
    from init_net.networks.handnet import HandNet
    from init_net.networks.segmentation import HandSegmentation

_LARGEST_BATCH = 16
"""Crops that a network sees at once: on a CPU each takes twice as long in a batch of 64, whose maps
leave the cache."""

_NEAREST = 0.05
"""Metres from the camera that a wrist has at least."""


def load_networks(
    options: InitNetOptions, names: Collection[str], margin: float, device: torch.device
) -> Networks:
    """The networks that a configuration asks for: the `InitializerFactory` of this package.

    Args:
        options: which weights.
        names: of the networks that are needed, see `init_net.offer.OFFER`.
        margin: of the crops that they will see: side of the square over the longer side of the
            keypoints' box.
        device: where they are to compute.

    Raises:
        InputError: weights cannot be read, are of another network or hand model, take the
            features of another detector, or were trained on crops of another margin.
    """
    networks: dict[str, AnyNetwork] = {}
    digests: dict[str, str] = {}
    for name in names:
        given = getattr(options, name)
        if given is None:
            raise InputError("network.not_wanted", file=f"init.{name}")
        path = weights_file(name, given)
        networks[name] = network = load_network(path, device, name)
        learned = getattr(network.config, "margin", margin)
        if not math.isclose(learned, margin):
            raise InputError("network.other_margin", file=path, expected=learned, found=margin)
        digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return Networks(networks, device, digests)


class Networks:
    """An `Initializer` of trained networks, any of which may be missing."""

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        device: torch.device,
        digests: Mapping[str, str] | None = None,
    ) -> None:
        """Take networks.

        Args:
            networks: kind -> network in eval mode, on the device.
            device: where they compute.
            digests: kind -> sha256 of its weights.
        """
        self._networks, self._device, self._digests = networks, device, digests or {}
        # Networks of adults' shapes alone leave those of children at 0.
        model = load_hand_model(children=True).keypoint_model()
        self._model = model.to(torch.float32).to(device)

    @property
    def digests(self) -> Mapping[str, str]:
        """See `Initializer.digests`."""
        return self._digests

    def __call__(self, hands: NormalisedHands, crops: Sequence[HandCrop | None]) -> Predictions:
        """See `Initializer.__call__`."""
        index = hands.is_usable.nonzero().flatten()
        masks: list[np.ndarray | None] = [None] * len(crops)
        said = {name: _nothing(hands) for name in OFFER.initialisations if name in self._networks}
        if len(index) == 0:
            return Predictions(said, masks)
        usable = hands[index]
        places = index.tolist()
        seen = _Crops.of([crops[i] for i in places])
        with torch.no_grad():
            if "lifter" in self._networks:
                said["lifter"] = said["lifter"].with_hands(index, self._lifted(usable))
            if seen and "handnet" in self._networks:
                rows = torch.tensor(seen.rows, device=index.device)
                regressed = self._regressed(usable[rows], seen)
                said["handnet"] = said["handnet"].with_hands(index[rows], regressed)
            if seen and "segmentation" in self._networks:
                asked = seen.without_masks()
                for row, mask in zip(asked.rows, self._masks(asked), strict=True):
                    masks[places[row]] = mask
        return Predictions(said, masks)

    def _lifted(self, hands: NormalisedHands) -> Prediction:
        lifted = self._networks["lifter"](lifter_inputs(hands).to(self._device))
        keypoints = in_camera(lifted.keypoints.to(hands.view_direction), hands)
        visibility = lifted.visibility.sigmoid().to(hands.view_direction)
        return Prediction(keypoints, lifted.std.to(hands.view_direction), visibility)

    def _regressed(self, usable: NormalisedHands, seen: _Crops) -> Prediction:
        """What `HandNet` says. It does not say how sure it is: its std is NaN."""
        network, like = cast("HandNet", self._networks["handnet"]), usable.view_direction
        hands = [network(part) for part in self._inputs(seen, network.config.input_size)]
        points = torch.cat([regressed_keypoints(self._model, part) for part in hands]).to(like)
        scale = torch.cat([part.camera[:, 0] for part in hands]).to(like)
        K, side = (torch.as_tensor(array).to(like) for array in (seen.intrinsics, seen.sides))
        middle = (0.5 * side)[:, None, None].expand(-1, 1, 2)
        ray = normalize(back_project(middle, torch.ones_like(middle[..., 0]), K)[:, 0], dim=-1)
        focal = usable.intrinsics[:, 0, 0]
        distance = view_focal(K[:, 0, 0] / side, ray) / scale
        # The camera's scale is that of the mean depth, a prediction's unit that of the wrist's.
        unit = focal / (distance - points[..., 2].mean(1)).clamp_min(_NEAREST)
        keypoints = unit[:, None, None] * (points @ rotation_to(ray).mT)
        unknown = torch.full_like(keypoints[..., :2], torch.nan)
        return Prediction(keypoints, unknown, unknown[..., 0].clone())

    def _masks(self, seen: _Crops) -> list[np.ndarray]:
        if not seen:
            return []
        network = cast("HandSegmentation", self._networks["segmentation"])
        parts = self._inputs(seen, network.config.input_size)
        found = torch.cat([network(part).sigmoid() for part in parts]).float().cpu().numpy()
        sides = seen.sides.tolist()
        return [_resized(mask, side) for mask, side in zip(found, sides, strict=True)]

    def _inputs(self, seen: _Crops, size: int) -> list[CropInputs]:
        """Crops in the size that a network takes, as many at once as it may see."""
        images = np.stack([_resized(crop.pixels, size) for crop in seen.crops])
        keypoints = np.stack([crop.keypoints for crop in seen.crops])
        keypoints = keypoints * (size / seen.sides)[:, None, None]
        confidence = np.stack([crop.confidence for crop in seen.crops])

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(self._device, torch.float32)

        image = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2).float() / 255
        inputs = CropInputs(image, tensor(keypoints), tensor(confidence))
        firsts = range(0, len(image), _LARGEST_BATCH)
        return [inputs[first : first + _LARGEST_BATCH] for first in firsts]


@dataclass(frozen=True)
class _Crops:
    """Those of N hands that have a crop; `rows` are their numbers among the N."""

    rows: list[int]
    crops: list[HandCrop]

    @classmethod
    def of(cls, crops: Sequence[HandCrop | None]) -> _Crops:
        rows = [row for row, crop in enumerate(crops) if crop is not None]
        return cls(rows, [crop for crop in crops if crop is not None])

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def intrinsics(self) -> np.ndarray:
        return np.stack([crop.intrinsics for crop in self.crops])

    @property
    def sides(self) -> np.ndarray:
        return np.array([len(crop.pixels) for crop in self.crops])

    def without_masks(self) -> _Crops:
        """Those for which nobody gave a mask."""
        kept = [k for k, crop in enumerate(self.crops) if crop.given is None]
        return _Crops([self.rows[k] for k in kept], [self.crops[k] for k in kept])


def _nothing(hands: NormalisedHands) -> Prediction:
    keypoints = hands.confidence.new_full((*hands.confidence.shape, 3), torch.nan)
    return Prediction(keypoints, keypoints[..., :2].clone(), keypoints[..., 0].clone())


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    """A square image with another side, pixels."""
    if len(image) == size:
        return image
    smaller = size < len(image)
    return cv2.resize(
        image, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )
