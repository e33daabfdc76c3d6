"""`HandNet`: a crop, and keypoints where there are some, to a hand and its mask (Seeber 3.1).

    image    (3 channels)   -> front \\
                                       fusion -> tail -> pooling -> dense -> parameters
    heatmaps (21 channels)  -> front /       \\      \\
                               image front ---> segmentation decoder -> mask

The fronts are alike but for their first convolution, and share no weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from fitter.rotations import roma
from init_net.networks.config import HandNetConfig
from init_net.networks.encoders import split_encoder, staged
from init_net.networks.heatmaps import channels_last, check_size, keypoint_heatmaps
from init_net.networks.parts import NOTHING
from init_net.networks.rotations import COUNTS, to_rotations
from init_net.records import CropInputs, CropPredictions, RegressedHands

LAST_STRIDE = 32
"""Pixels of the crop along a cell of the encoder's last map."""

TYPICAL_SCALE = 4.0
"""Crop units a metre of a hand of common size in its crop: where the camera's scale starts."""

FRONTS = frozenset({"image_front", "keypoint_front"})
"""The parts of which one alone is enough, and both need `fusion`."""


class HandNet(nn.Module):
    """`CropInputs` to `CropPredictions`; a network of parts (`init_net.networks.parts.HasParts`).

    Attributes:
        config: as given.
        image_front, keypoint_front, fusion, tail, pool, head, segmentation: its modules, in order;
            `segmentation` is None without `HandNetConfig.decoder_channels`.
    """

    def __init__(self, config: HandNetConfig) -> None:
        """A network with PyTorch's own random weights.

        Raises:
            InputError: there is no such encoder, it cannot be cut there, or has not the stages that
                the decoder needs.
        """
        super().__init__()
        self.config = config
        encoder = split_encoder(config.encoder, config.split, 3)
        self._front_ends, self._tail_ends = encoder.front_ends, encoder.tail_ends
        self.image_front, self.tail = encoder.front, encoder.tail
        self.keypoint_front = split_encoder(config.encoder, config.split, 21).front
        self.fusion = FusionBlock(encoder.split_channels, config.fusion_ratio)
        self._counts = [16 * COUNTS[config.rotation], config.betas, 3]
        self.pool, features = _pooling(encoder.channels[-1], config)
        sizes = [features, *config.hidden]
        hidden = [layer for sides in pairwise(sizes) for layer in (nn.Linear(*sides), nn.ReLU())]
        self.head = nn.Sequential(*hidden, nn.Linear(sizes[-1], sum(self._counts)))
        self.segmentation: nn.Module | None = None
        if config.decoder_channels is not None:
            # A large package, which networks without a decoder do without.
            from init_net.networks.segmentation import MaskDecoder

            self.segmentation = MaskDecoder(config.encoder, encoder, config.decoder_channels)
        # Convolutions of few channels take half the time so, on a CPU; the numbers are the same.
        self.to(memory_format=torch.channels_last)

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """See `HasParts.parts`; `tail` holds the pooling too."""
        parts: dict[str, nn.Module] = {
            "image_front": self.image_front,
            "keypoint_front": self.keypoint_front,
            "fusion": self.fusion,
            "tail": nn.ModuleList([self.tail, self.pool]),
            "head": self.head,
        }
        return parts if self.segmentation is None else {**parts, "segmentation": self.segmentation}

    @property
    def optional_parts(self) -> frozenset[str]:
        """See `HasParts.optional_parts`: all but the tail, though not any of them together, see
        `absence_fault`."""
        return frozenset(self.parts) - {"tail"}

    def absence_fault(self, absent: frozenset[str]) -> str | None:
        """See `HasParts.absence_fault`."""
        return absence_fault(absent, frozenset(self.parts))

    def forward(self, inputs: CropInputs, absent: frozenset[str] = NOTHING) -> CropPredictions:
        """Look at B hands; those without keypoints, of confidence 0, by their image alone.

        Args:
            inputs: B crops.
            absent: parts that are left out. Without `fusion` the one front that is there feeds the
                tail; without `head` or `segmentation` there is nothing of what they say.

        Raises:
            ValueError: the crops are not of the configured size, or the network cannot do without
                these parts (`absence_fault`).
        """
        check_size(inputs, self.config.input_size)
        fault = self.absence_fault(absent)
        if fault is not None:
            raise ValueError(f"parts that a HandNet can do without expected, but {fault}")
        image, maps = self._fronts(inputs, absent)
        maps += staged(self.tail, maps[-1], self._tail_ends)
        hands = base = pose = logits = None
        if "head" not in absent:
            base = self.head[:-1](self.pool(maps[-1]))
            # Under mixed precision the layers give halves, too coarse for rotations.
            values = self.head[-1](base).to(inputs.image.dtype)
            base = base.to(inputs.image.dtype)
            hands, pose = self._hands(values)
        if self.segmentation is not None and "segmentation" not in absent:
            logits = self.segmentation(image, maps).to(inputs.image.dtype)
        return CropPredictions(hands, logits, base, pose)

    def regress(self, inputs: CropInputs, absent: frozenset[str] = NOTHING) -> RegressedHands:
        """The hands alone, whether or not the head is among those that are `absent`; see
        `forward`."""
        others = absent - {"head"} | (self.optional_parts & {"segmentation"})
        hands = self(inputs, others).hands
        assert hands is not None  # the head is there
        return hands

    def segment(self, inputs: CropInputs, absent: frozenset[str] = NOTHING) -> Tensor:
        """The (B, S, S) logits of the masks alone, see `forward`.

        Raises:
            ValueError: the network has no decoder, or see `forward`.
        """
        if self.segmentation is None:
            raise ValueError("a HandNet with a segmentation decoder expected, got one without")
        logits = self(inputs, absent | {"head"}).mask_logits
        assert logits is not None  # the decoder is there
        return logits

    def _fronts(self, inputs: CropInputs, absent: frozenset[str]) -> tuple[Tensor, list[Tensor]]:
        """The picture as the image's front sees it, and the maps of the stages up to the cut.

        The first ones are those of the image alone, the last one, which the tail goes on with, is
        fused (Seeber 3.1). Which skip is the first fused one is not published.
        """
        # Colours about 0; the statistics of natural images are for trained encoders.
        image = channels_last(2 * inputs.image - 1)
        maps: list[list[Tensor]] = []
        if "image_front" not in absent:
            maps.append(staged(self.image_front, image, self._front_ends))
        if "keypoint_front" not in absent:
            size = self.config.input_size
            heatmaps = keypoint_heatmaps(
                inputs.keypoints, inputs.confidence, size, self.config.heatmap_sigma * size
            )
            maps.append(staged(self.keypoint_front, channels_last(heatmaps), self._front_ends))
        first = maps[0]
        if "fusion" in absent:
            return image, first
        return image, [*first[:-1], self.fusion(first[-1], maps[1][-1])]

    def _hands(self, values: Tensor) -> tuple[RegressedHands, Tensor]:
        """What numbers (B, N) of the last layer mean, and the pose as axis-angle (B, 48)."""
        numbers, betas, camera = values.split(self._counts, 1)
        rotations = to_rotations(numbers.unflatten(1, (16, -1)), self.config.rotation)
        is_vector = self.config.rotation == "axis_angle"
        pose = numbers if is_vector else roma.rotmat_to_rotvec(rotations).flatten(1)
        scale = TYPICAL_SCALE * camera[:, :1].exp()
        return RegressedHands(rotations, betas, torch.cat([scale, camera[:, 1:]], 1)), pose


def absence_fault(absent: frozenset[str], parts: frozenset[str]) -> str | None:
    """Why a `HandNet` cannot do without some of its parts; None where it can.

    Args:
        absent: names of those that are to be left out.
        parts: of all that it has.
    """
    unknown = absent - parts
    if unknown:
        return f"it has no part {', '.join(sorted(unknown))}"
    fronts = FRONTS - absent
    if "tail" in absent or not fronts:
        return "its tail and one of its fronts are always there"
    if "fusion" in absent and len(fronts) == 2:
        return "without fusion one of its fronts has to be left out"
    if "fusion" not in absent and len(fronts) == 1:
        return "fusion needs both fronts"
    if not {"head", "segmentation"} & (parts - absent):
        return "its head or its segmentation is there, or it says nothing"
    if "segmentation" in parts - absent and "image_front" in absent:
        return "segmentation needs image_front"
    return None


def _pooling(channels: int, config: HandNetConfig) -> tuple[nn.Module, int]:
    """What makes a vector of the last map (B, C, h, w), and its length."""
    if config.pooling == "mean":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), channels
    cells = (config.input_size // LAST_STRIDE) ** 2
    reduced = nn.Sequential(nn.Conv2d(channels, config.grid_channels, 1), nn.ReLU(), nn.Flatten())
    return reduced, cells * config.grid_channels


class FusionBlock(nn.Module):
    """Weigh the features of two branches against each other, place by place (Seeber 3.1).

        X = [X_img, X_kp]                  2C channels
        w = sigmoid(conv(ReLU(conv(X))))   by way of 2C / ratio channels: 128 for C = 512
        Y = conv(w * X)                    C channels, for the tail of the encoder

    The sizes of the convolutions are not published: 3x3, as in the block that the paper is inspired
    by (SSMA of Valada et al. 2019, "Self-Supervised Model Adaptation for Multimodal Semantic
    Segmentation"). Nor is a normalisation after the last one, which that block has: none.

    Attributes:
        reduce, expand, project: the three convolutions, in order.
    """

    def __init__(self, channels: int, ratio: int = 8) -> None:
        """A block with PyTorch's own random weights.

        Args:
            channels: C of each branch and of the output.
            ratio: of 2C to the channels of the bottleneck, which has one at least.
        """
        super().__init__()
        both = 2 * channels
        bottleneck = max(both // ratio, 1)
        self.reduce = nn.Conv2d(both, bottleneck, 3, padding=1)
        self.expand = nn.Conv2d(bottleneck, both, 3, padding=1)
        self.project = nn.Conv2d(both, channels, 3, padding=1)

    def forward(self, image: Tensor, keypoints: Tensor) -> Tensor:
        """Fuse (B, C, H, W) features of the image and of the keypoints to (B, C, H, W)."""
        features = torch.cat([image, keypoints], 1)
        weights = self.expand(self.reduce(features).relu()).sigmoid()
        return self.project(weights * features)
