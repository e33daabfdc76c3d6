"""A `HandAutoencoder` at work: from crops to hands as the fit begins at them, and how they look.

crops -> `HandAutoencoder` -> HandCode -> `HandDecoder` -> `AutoencoderHands` -> Prediction

The fit has the picture's camera and a hand model in metres. So of a hand that is s times as large
as the model's, the model's is taken at 1 / s of the distance; and of a hand under a focal length of
the network's own, the same hand where it is as large under the picture's. Either looks as the
network draws it. An orthographic hand is placed where a perspective camera sees its mean depth at
its scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from fitter.fitting.initializer import Looks, Prediction
from fitter.records import HandCrop, NormalisedHands, TensorBatch
from fitter.rotations import roma
from init_net.autoencoder_records import AutoencoderInputs, HandCode
from init_net.crop_inputs import some_at_once
from init_net.hand_decoder import HandDecoder
from init_net.placing import CropViews, PosedHands, placed
from init_net.stereo_fusion import wrist_place

if TYPE_CHECKING:
    from init_net.networks.autoencoder import HandAutoencoder

_Batch = TypeVar("_Batch", bound=TensorBatch)


class AutoencoderHands:
    """What a trained network says of crops."""

    def __init__(self, network: HandAutoencoder, device: torch.device) -> None:
        """Take a network and load the hand model that it poses.

        Args:
            network: in eval mode, on the device.
            device: where it computes.

        Raises:
            InputError: its hand model cannot be read.
        """
        self._network, self._device = network, device
        self._decoder = HandDecoder(network.config).to(device)

    def __call__(self, crops: Sequence[HandCrop], usable: NormalisedHands) -> Prediction:
        """What is said of B hands.

        Args:
            crops: of them, at least one.
            usable: the same hands.
        """
        like = usable.view_direction
        views = CropViews.of(crops, like)
        parts = some_at_once(crops, self._network.config.input_size, self._device)
        focals = views.focal.to(self._device, torch.float32).split([len(p.image) for p in parts])
        hands, looks = [], []
        for part, focal in zip(parts, focals, strict=True):
            code = self._code(AutoencoderInputs(part.image, focal))
            hands.append(self.posed(code, focal))
            looks.append(looks_of(code))
        said, seen = _joined(hands), _joined(looks)
        device, dtype = like.device, like.dtype
        return placed(said.to(device, dtype), views, usable, seen.to(device, dtype))

    def _code(self, inputs: AutoencoderInputs) -> HandCode:
        """What the 3D branch says; the 2D branch is for training alone (S2HAND 3.3)."""
        absent = frozenset({"estimator"}) & self._network.parts.keys()
        code = self._network(inputs, absent).code
        assert code is not None  # its encoder is not left out
        return code

    def posed(self, code: HandCode, focal: Tensor) -> PosedHands:
        """The hands of B codes under the focal lengths (B,) of their crops, crop units."""
        decoder = self._decoder
        keypoints = decoder(code, focal).keypoints
        points = keypoints - keypoints[:, :1]
        if decoder.config.camera == "orthographic":
            camera = torch.cat([code.scale[:, None], code.transl[:, :2]], 1)
            wrist = wrist_place(points, camera, focal)
        else:
            points = points / code.scale[:, None, None]
            wrist = keypoints[:, 0] / code.scale[:, None]
            wrist = torch.cat([wrist[:, :2], wrist[:, 2:] / code.log_focal.exp()[:, None]], 1)
        pose = decoder.model.pose_from_pca(code.pose, flat_hand_mean=False)
        vectors = torch.cat([code.global_orient[:, None], pose], 1)
        # The fit poses hands in double precision.
        return PosedHands(points, wrist, roma.rotvec_to_rotmat(vectors.double()), code.betas)


def looks_of(code: HandCode) -> Looks:
    """How the hands of B codes look, lights in their crops' view frames."""

    def said(values: Tensor | None, *shape: int) -> Tensor:
        unsaid = code.scale.new_full((len(code.scale), *shape), torch.nan)
        return unsaid if values is None else values

    return Looks(said(code.colours, 1, 3), said(code.appearance, 1), said(code.lighting, 11))


def _joined(parts: Sequence[_Batch]) -> _Batch:
    """Batches one after the other, at least one."""
    names = [field.name for field in fields(parts[0])]
    joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
    return replace(parts[0], **joined)
