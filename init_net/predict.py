"""The networks at work: what they say of hands that a detector has found.

observations, crops -> `Networks` -> `fitter.initializer.Guesses`. Each network sees all hands of a
batch at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn.functional import normalize

from fitter.camera import back_project, rotation_to
from fitter.config import InitConfig, Network
from fitter.crops import HandCrop
from fitter.energies.keypoints import KeypointTargets
from fitter.hand_models import load_hand_model
from fitter.initializer import Guess, Guesses
from fitter.observations import ObservationBatch, normalise
from init_net.losses import regressed_keypoints
from init_net.records import CropInputs
from init_net.view_frame import in_camera, lifter_inputs
from init_net.weights import load_network

SHIPPED = Path(__file__).parent / "shipped"
"""Folder of the weights that ship, each named after its kind of network."""

_LARGEST_BATCH = 64
"""Crops that a network sees at once."""


def load_networks(config: InitConfig, kinds: Collection[Network], device: torch.device) -> Networks:
    """The networks that a configuration asks for: the entry point of `fitter`.

    Args:
        config: which weights.
        kinds: of the networks that are needed.
        device: where they are to compute.

    Raises:
        InputError: weights cannot be read, or are of another network or hand model.
    """
    networks = {}
    for kind in kinds:
        given = getattr(config, kind)
        path = SHIPPED / f"{kind}.safetensors" if given == "shipped" else Path(given)
        networks[kind] = load_network(path, device, kind)
    return Networks(networks, device)


class Networks:
    """An `Initializer` of trained networks, any of which may be missing."""

    def __init__(self, networks: dict[str, nn.Module], device: torch.device) -> None:
        """Take networks.

        Args:
            networks: kind -> network in eval mode, on the device.
            device: where they compute.
        """
        self._networks, self._device = networks, device
        model = load_hand_model().keypoint_model()
        self._model = model.to(torch.float32).to(device)

    @property
    def names(self) -> tuple[str, ...]:
        """See `Initializer.names`."""
        return tuple(name for name in ("lifter", "handnet") if name in self._networks)

    def __call__(self, observed: ObservationBatch, crops: Sequence[HandCrop | None]) -> Guesses:
        """See `Initializer.__call__`."""
        targets = normalise(observed)
        starts = {}
        with torch.no_grad():
            if "lifter" in self._networks:
                starts["lifter"] = self._lifted(targets)
            shown = [i for i, crop in enumerate(crops) if crop is not None]
            inputs = {
                size: self._crop_inputs([crops[i] for i in shown], size)
                for size in {self._networks[kind].config.input_size
                             for kind in ("handnet", "segmentation") if kind in self._networks}
            } if shown else {}  # fmt: skip
            if "handnet" in self._networks:
                starts["handnet"] = self._regressed(targets, crops, shown, inputs)
            masks = self._masks(crops, shown, inputs)
        return Guesses(starts, masks)

    def _lifted(self, targets: KeypointTargets) -> Guess:
        """What the lifter says; NaN for hands without finite keypoints."""
        usable = targets.finite()
        joints = targets.keypoints.new_full((len(usable), 21, 3), torch.nan)
        spread = joints[..., :2].clone()
        if bool(usable.any()):
            seen = targets[usable]
            lifted = self._networks["lifter"](lifter_inputs(seen).to(self._device))
            joints[usable] = in_camera(lifted.joints.to(joints), seen)
            spread[usable] = lifted.spread.to(spread)
        return Guess(joints, spread)

    def _regressed(
        self,
        targets: KeypointTargets,
        crops: Sequence[HandCrop | None],
        shown: Sequence[int],
        inputs: dict[int, CropInputs],
    ) -> Guess:
        """What `HandNet` says. It does not say how sure it is: its spread is NaN."""
        joints = targets.keypoints.new_full((len(targets.view), 21, 3), torch.nan)
        spread = joints[..., :2].clone()
        if not shown:
            return Guess(joints, spread)
        network = self._networks["handnet"]
        hands = [network(part) for part in _parts(inputs[network.config.input_size])]
        points = torch.cat([regressed_keypoints(self._model, part) for part in hands])
        scale = torch.cat([part.camera[:, 0] for part in hands]).to(joints)
        K = torch.as_tensor(np.stack([crops[i].intrinsics for i in shown])).to(joints)
        side = torch.tensor([len(crops[i].pixels) for i in shown]).to(joints)
        middle = (0.5 * side)[:, None, None].expand(-1, 1, 2)
        ray = normalize(back_project(middle, torch.ones_like(middle[..., 0]), K)[:, 0], dim=-1)
        # A crop away from the optical axis is stretched: by 1 / cos^2 along the way from the middle
        # of the picture and by 1 / cos across it.
        stretch = ray[:, 2] ** -1.5
        of_target = targets.intrinsics[shown, 0, 0] / (K[:, 0, 0] / side)
        unit = scale / stretch * of_target
        turned = points.to(joints) @ rotation_to(ray).mT
        joints[shown] = unit[:, None, None] * turned
        return Guess(joints, spread)

    def _masks(
        self,
        crops: Sequence[HandCrop | None],
        shown: Sequence[int],
        inputs: dict[int, CropInputs],
    ) -> list[np.ndarray | None]:
        masks: list[np.ndarray | None] = [None] * len(crops)
        if "segmentation" not in self._networks or not shown:
            return masks
        network = self._networks["segmentation"]
        found = torch.cat(
            [network(part).sigmoid() for part in _parts(inputs[network.config.input_size])]
        )
        for i, mask in zip(shown, found.float().cpu().numpy(), strict=True):
            masks[i] = _resized(mask, len(crops[i].pixels))
        return masks

    def _crop_inputs(self, crops: Sequence[HandCrop], size: int) -> CropInputs:
        """Crops in the size that a network takes."""
        pictures = np.stack([_resized(crop.pixels, size) for crop in crops])
        scale = np.array([size / len(crop.pixels) for crop in crops])[:, None, None]
        image = torch.from_numpy(pictures).to(self._device).permute(0, 3, 1, 2).float() / 255
        keypoints = torch.from_numpy(scale * np.stack([crop.keypoints for crop in crops]))
        confidence = torch.from_numpy(np.stack([crop.confidence for crop in crops]))
        return CropInputs(
            image, keypoints.float().to(self._device), confidence.float().to(self._device)
        )


def _parts(inputs: CropInputs) -> list[CropInputs]:
    starts = range(0, len(inputs.image), _LARGEST_BATCH)
    return [inputs[start : start + _LARGEST_BATCH] for start in starts]


def _resized(picture: np.ndarray, size: int) -> np.ndarray:
    """A square picture with another side, pixels."""
    if len(picture) == size:
        return picture
    smaller = size < len(picture)
    return cv2.resize(
        picture, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )
