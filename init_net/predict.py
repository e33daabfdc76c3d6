"""The networks at work: what they say of hands that a detector has found.

normalised hands, crops -> `Networks` -> `fitter.fitting.initializer.Predictions`. Each network sees
all hands of a batch at once.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from fitter.config.networks import NetworkOptions
from fitter.errors import InputError
from fitter.fitting.initializer import Prediction, Predictions, ViewedRows
from fitter.hand_models import load_hand_model
from fitter.records import HandCrop, NormalisedHands
from init_net.crop_inputs import resized, some_at_once
from init_net.networks.build import AnyNetwork
from init_net.offer import (
    AUTOENCODERS,
    CAMERAS,
    HANDNET,
    MESH_NETS,
    NETWORK_KINDS,
    SHIPPED,
    shipped_file,
)
from init_net.placing import CropViews, PosedHands, placed
from init_net.posing import regressed_keypoints
from init_net.predict_autoencoder import AutoencoderHands
from init_net.predict_mesh import MeshHands
from init_net.predict_pairs import PairNetwork
from init_net.records import CropInputs, RegressedHands
from init_net.stereo_fusion import wrist_place
from init_net.view_frame import in_camera, lifter_inputs
from init_net.weights import load_network, weights_file

if TYPE_CHECKING:
    from init_net.networks.autoencoder import HandAutoencoder
    from init_net.networks.handnet import HandNet
    from init_net.networks.mesh_net import MeshNet
    from init_net.networks.segmentation import HandSegmentation
    from init_net.networks.stereo import StereoHandNet

_ALONE = ("lifter", HANDNET, *NETWORK_KINDS)
"""Initialisations by networks that look at each view of a hand alone."""


def load_networks(
    options: NetworkOptions, names: Collection[str], margin: float, device: torch.device
) -> Networks:
    """The networks that a configuration asks for: the `InitializerFactory` of this package.

    Args:
        options: which weights, those of an offer of `init_net.offer`.
        names: of the networks that are needed, of the same offer.
        margin: of the crops that they will see: side of the square over the longer side of the
            keypoints' box.
        device: where they are to compute.

    Raises:
        InputError: weights cannot be read, are of another network or hand model, take the
            features of another detector, were trained on crops of another margin, have no decoder
            where masks are asked of it, or project hands as another paper's network does.
    """
    networks: dict[str, AnyNetwork] = {}
    digests: dict[str, str] = {}
    loaded: dict[tuple[str, Path], AnyNetwork] = {}
    for name in names:
        # A mask may be asked of the decoder of the HandNet's own weights.
        of_handnet = name == "segmentation" and getattr(options, name) == HANDNET
        kind = HANDNET if of_handnet else name
        given = getattr(options, kind)
        if given is None:
            code = "network.no_decoder_weights" if of_handnet else "network.not_wanted"
            raise InputError(code, file=f"init.{kind}")
        if given == SHIPPED and shipped_file(kind) is None:
            raise InputError("network.not_shipped", file=f"init.{kind}")
        path = weights_file(kind, given)
        if (kind, path) not in loaded:
            posed = getattr(options, "hand_model", None) if kind in NETWORK_KINDS else None
            loaded[kind, path] = load_network(path, device, NETWORK_KINDS.get(kind, kind), posed)
        networks[name] = network = loaded[kind, path]
        _require_camera(kind, path, network)
        if of_handnet and getattr(network, "segmentation", None) is None:
            raise InputError("weights.no_decoder", file=path)
        learned = getattr(network.config, "margin", margin)
        if not math.isclose(learned, margin):
            raise InputError("network.other_margin", file=path, expected=learned, found=margin)
        digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return Networks(networks, device, digests)


def _require_camera(name: str, path: Path, network: AnyNetwork) -> None:
    """Refuse an autoencoder that projects hands as those of another paper do."""
    found = getattr(network.config, "camera", None)
    if name in CAMERAS and found != CAMERAS[name]:
        (other,) = (each for each, camera in CAMERAS.items() if camera == found)
        raise InputError(
            "weights.other_camera",
            file=path,
            network=name,
            expected=CAMERAS[name],
            found=found,
            other=other,
        )


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
            networks: name among those of the offers of `init_net.offer` -> network in eval mode, on
                the device; of those that give initialisations the most trusted first. The
                segmentation may be the HandNet itself, which then looks once.
            device: where they compute.
            digests: kind -> sha256 of its weights.
        """
        self._networks, self._device, self._digests = networks, device, digests or {}
        stereo = cast("StereoHandNet | None", networks.get("stereo"))
        self._pairs = None if stereo is None else PairNetwork(stereo)
        self._posing: dict[str, AutoencoderHands | MeshHands] = {}
        for name, network in networks.items():
            if name in AUTOENCODERS:
                self._posing[name] = AutoencoderHands(cast("HandAutoencoder", network), device)
            elif name in MESH_NETS:
                self._posing[name] = MeshHands(cast("MeshNet", network), device)
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
        said = {name: _nothing(hands) for name in self._networks if name in _ALONE}
        if len(index) == 0:
            return Predictions(said, masks)
        usable = hands[index]
        places = index.tolist()
        seen = _Crops.of([crops[i] for i in places])
        rows = torch.tensor(seen.rows, dtype=torch.int64, device=index.device)
        with torch.no_grad():
            if "lifter" in self._networks:
                said["lifter"] = _among(hands, index, self._lifted(usable))
            regressed, found = self._looked_at(seen)
            if regressed:
                prediction = self._placed(usable[rows], seen, regressed)
                said[HANDNET] = _among(hands, index[rows], prediction)
            for name, network in self._posing.items():
                if seen:
                    said[name] = _among(hands, index[rows], network(seen.crops, usable[rows]))
            for row, mask in found.items():
                masks[places[row]] = mask
        return Predictions(said, masks)

    def together(self, rows: ViewedRows) -> Mapping[str, Prediction]:
        """See `Initializer.together`."""
        return {} if self._pairs is None else {"stereo": self._pairs.prediction(rows)}

    def _lifted(self, hands: NormalisedHands) -> Prediction:
        lifted = self._networks["lifter"](lifter_inputs(hands).to(self._device))
        keypoints = in_camera(lifted.keypoints.to(hands.view_direction), hands)
        visibility = lifted.visibility.sigmoid().to(hands.view_direction)
        return Prediction(keypoints, lifted.std.to(hands.view_direction), visibility)

    def _looked_at(self, seen: _Crops) -> tuple[list[RegressedHands], dict[int, np.ndarray]]:
        """What the networks that see images say of crops: hands, batch after batch, none without a
        HandNet, and masks by the crop's row, where nobody has given one."""
        hands = cast("HandNet | None", self._networks.get("handnet"))
        segmenter = cast("HandNet | HandSegmentation | None", self._networks.get("segmentation"))
        if not seen or (hands is None and segmenter is None):
            return [], {}
        if hands is not None and hands is segmenter:
            looks = [hands(part) for part in self._inputs(seen, hands.config.input_size)]
            masks = _masks(seen, [look.mask_logits for look in looks])
            asked = seen.without_masks()
            return [look.hands for look in looks], {row: masks[row] for row in asked.rows}
        regressed, masks = [], {}
        if hands is not None:
            parts = self._inputs(seen, hands.config.input_size)
            regressed = [hands.regress(part) for part in parts]
        asked = seen.without_masks()
        if segmenter is not None and asked:
            parts = self._inputs(asked, segmenter.config.input_size)
            masks = _masks(asked, [segmenter.segment(part) for part in parts])
        return regressed, masks

    def _placed(
        self, usable: NormalisedHands, seen: _Crops, hands: Sequence[RegressedHands]
    ) -> Prediction:
        """What `HandNet` says of its crops. It does not say how sure it is: its std is NaN."""
        like = usable.view_direction
        points = torch.cat([regressed_keypoints(self._model, part) for part in hands]).to(like)
        rotations, betas, camera = (
            torch.cat([getattr(part, name) for part in hands]).to(like)
            for name in ("rotations", "betas", "camera")
        )
        views = CropViews.of(seen.crops, like)
        # The camera's scale is that of the mean depth.
        wrist = wrist_place(points, camera, views.focal)
        return placed(PosedHands(points, wrist, rotations, betas), views, usable)

    def _inputs(self, seen: _Crops, size: int) -> list[CropInputs]:
        """Crops in the size that a network takes, as many at once as it may see."""
        return some_at_once(seen.crops, size, self._device)


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
    def sides(self) -> np.ndarray:
        return np.array([len(crop.pixels) for crop in self.crops])

    def without_masks(self) -> _Crops:
        """Those for which nobody gave a mask."""
        kept = [k for k, crop in enumerate(self.crops) if crop.given is None]
        return _Crops([self.rows[k] for k in kept], [self.crops[k] for k in kept])


def _masks(seen: _Crops, logits: Sequence[Tensor]) -> dict[int, np.ndarray]:
    """Masks of crops in their own sizes, by row, of logits (B, S, S) that follow each other."""
    found = torch.cat([part.sigmoid() for part in logits]).float().cpu().numpy()
    sides = seen.sides.tolist()
    return {
        row: resized(mask, side) for row, mask, side in zip(seen.rows, found, sides, strict=True)
    }


def _nothing(hands: NormalisedHands) -> Prediction:
    keypoints = hands.confidence.new_full((*hands.confidence.shape, 3), torch.nan)
    return Prediction(keypoints, keypoints[..., :2].clone(), keypoints[..., 0].clone())


def _among(hands: NormalisedHands, index: Tensor, part: Prediction) -> Prediction:
    """What is said of those of B hands at `index`; NaN for the others."""

    def among(values: Tensor) -> Tensor:
        unknown = values.new_full((len(hands.is_usable), *values.shape[1:]), torch.nan)
        return unknown.index_copy(0, index, values)

    return part.map(among)
