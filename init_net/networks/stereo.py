"""`StereoHandNet`: two crops of one hand to what each shows, and how far to trust which (Seeber
3.3).

    right crop -> HandNet -> right hand                            \\
                     X_right (512) \\                                 init_net.stereo_fusion
                                     X_stereo (1024) -> dense -> w /
                     X_left  (512) /                               /
    left crop  -> HandNet -> left hand                            /
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from init_net.networks.config import StereoConfig
from init_net.networks.handnet import HandNet
from init_net.networks.parts import NOTHING
from init_net.records import (
    CropInputs,
    CropPredictions,
    RegressedHands,
    StereoInputs,
    StereoPredictions,
)

POSE = 48
"""Axis-angle numbers of a hand's pose, each of which has a weight."""

Pictures = Literal["rendered", "real"]
"""What the crops are: which of its two image fronts a network looks at them with."""


class StereoHandNet(nn.Module):
    """`StereoInputs` to `StereoPredictions`; a network of parts (`HasParts`).

    "Mostly by duplicating the mono architecture" leaves open whether the views share their weights
    (not published): `StereoConfig.shared`.

    The synthetic adaptation retrains the front of images, and on real pictures the original one is
    used (3.5). So the network holds both: `original_front` is never trained, and takes the place of
    the other where pictures are real.

    Attributes:
        config: as given.
        views: the `HandNet` of both views, or those of the right and of the left one.
        original_front: the front of images as the mono network came.
        stereo: the dense layer from X_stereo to 48 weights.
    """

    def __init__(self, config: StereoConfig) -> None:
        """A network with PyTorch's own random weights, but for the last layer: its zeros are the
        mean of both views.

        Raises:
            InputError: there is no such encoder, or see `HandNet`.
        """
        super().__init__()
        self.config = config
        mono = HandNet(config.mono)
        copies = [] if config.shared else [copy.deepcopy(mono)]
        self.views = nn.ModuleList([mono, *copies])
        self.original_front = copy.deepcopy(mono.image_front)
        last = mono.head[-1]
        assert isinstance(last, nn.Linear)
        self.stereo = nn.Linear(2 * last.in_features, POSE)
        nn.init.zeros_(self.stereo.weight)
        nn.init.constant_(self.stereo.bias, 0.0 if config.sigmoid else 0.5)

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """See `HasParts.parts`: those of a `HandNet`, of both views together, and its own two."""
        views = [view.parts for view in self._both]
        parts: dict[str, nn.Module] = {
            name: nn.ModuleList([view[name] for view in views]) for name in views[0]
        }
        return {**parts, "original_front": self.original_front, "stereo": self.stereo}

    @property
    def optional_parts(self) -> frozenset[str]:
        """See `HasParts.optional_parts`."""
        return frozenset({"stereo", "original_front", "segmentation"}) & frozenset(self.parts)

    def begin_with(self, mono: HandNet) -> None:
        """Take the weights of a trained mono network for both views."""
        for view in self._both:
            view.load_state_dict(mono.state_dict())
        self.original_front.load_state_dict(mono.image_front.state_dict())

    def forward(
        self,
        inputs: StereoInputs,
        absent: frozenset[str] = NOTHING,
        pictures: Pictures = "rendered",
    ) -> StereoPredictions:
        """Look at B pairs.

        A view whose image is not finite is not there: what is said of it is NaN, and nothing else
        is touched by it. A keypoint that is not finite leaves no trace.

        Args:
            inputs: of the pairs.
            absent: parts that are left out: without `stereo` there are no weights.
            pictures: what the crops are. Rendered ones, as in training, are seen by the adapted
                front of images, real ones by the original.

        Raises:
            ValueError: the crops are not of the configured size, or the network cannot do without
                these parts.
        """
        unknown = absent - self.optional_parts
        if unknown:
            raise ValueError(f"parts that can be left out expected, found {sorted(unknown)}")
        if pictures == "real" and "original_front" in absent:
            raise ValueError("real pictures need the original_front, which is absent")
        right, left = (_Crops.of(crops) for crops in (inputs.right, inputs.left))
        said = self._said(right.crops, left.crops, pictures)
        weights = None
        if "stereo" not in absent:
            features = torch.cat([_regressed(each)[1] for each in said], 1)
            weights = self.stereo(features).to(inputs.right.image.dtype)
            weights = weights.sigmoid() if self.config.sigmoid else weights  # not published
        (hands, pose), (left_hands, left_pose) = right.of_those(said[0]), left.of_those(said[1])
        return StereoPredictions(hands, left_hands, pose, left_pose, weights)

    @property
    def _both(self) -> list[HandNet]:
        """One network or two, as the type that a `ModuleList` forgets."""
        return [view for view in self.views if isinstance(view, HandNet)]

    def _said(
        self, right: CropInputs, left: CropInputs, pictures: Pictures
    ) -> tuple[CropPredictions, CropPredictions]:
        """What the mono networks say of either view."""
        if len(self.views) == 2:
            networks = self._both
            return (
                self._look(networks[0], right, pictures),
                self._look(networks[1], left, pictures),
            )
        count = len(right.image)
        together = CropInputs(
            *(
                torch.cat(both)
                for both in zip(vars(right).values(), vars(left).values(), strict=True)
            )
        )
        said = self._look(self._both[0], together, pictures)
        return _rows(said, slice(count)), _rows(said, slice(count, None))

    def _look(self, mono: HandNet, crops: CropInputs, pictures: Pictures) -> CropPredictions:
        # Masks are asked of the mono network, one view at a time.
        absent = mono.optional_parts & {"segmentation"}
        if pictures == "rendered":
            said: CropPredictions = mono(crops, absent)
            return said
        front = self.original_front
        tensors = chain(front.named_parameters(), front.named_buffers())
        original = {f"image_front.{name}": tensor for name, tensor in tensors}
        real: CropPredictions = functional_call(mono, original, (crops, absent))
        return real


@dataclass(frozen=True)
class _Crops:
    """One view of B pairs, those that are not there blank; `seen` (B,) says which are."""

    crops: CropInputs
    seen: Tensor

    @classmethod
    def of(cls, crops: CropInputs) -> _Crops:
        seen = crops.image.isfinite().flatten(1).all(1)
        image = torch.where(seen[:, None, None, None], crops.image, 0)
        return cls(CropInputs(image, crops.keypoints, crops.confidence), seen)

    def of_those(self, said: CropPredictions) -> tuple[RegressedHands, Tensor]:
        """Hands and poses, NaN where there is no view of them."""

        def there(tensor: Tensor) -> Tensor:
            seen = self.seen.view(-1, *[1] * (tensor.dim() - 1))
            return torch.where(seen, tensor, torch.nan)

        hands, _, pose = _regressed(said)
        return hands.map(there), there(pose)


def _rows(said: CropPredictions, rows: slice) -> CropPredictions:
    hands, base, pose = _regressed(said)
    return CropPredictions(hands[rows], None, base[rows], pose[rows])


def _regressed(said: CropPredictions) -> tuple[RegressedHands, Tensor, Tensor]:
    """Hands, features and poses: the head is never left out."""
    assert said.hands is not None and said.base is not None and said.pose is not None
    return said.hands, said.base, said.pose
