"""`KeypointLifter`: 2D keypoints with the detector's hints of depth to a hand in 3D.

A residual network of dense layers (the kind of Martinez et al. 2017, "A simple yet effective
baseline for 3d human pose estimation", with LayerNorm before each block, so that a hand's result
does not depend on its batch). It corrects what the detector says and does not repeat it: its
keypoints are the observed ones, brought to the depths that the detector gives, plus what it adds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fitter.conventions import BONES
from init_net.networks.config import LifterConfig
from init_net.networks.rotations import to_rotations
from init_net.records import LiftedHands, LifterInputs

STD_RANGE = (2e-3, 0.5)
"""Least and largest standard deviation that is ever said, crop units: about a quarter of a
millimetre and half a hand."""

_KEYPOINT_UNIT = 0.1
"""Crop units of an output of 1 for keypoints: what the last layer says before training is small."""

_FEATURES = 21 * (2 + 1 + 1 + 1 + 1) + 20 * (3 + 1) + 1
_COUNTS = {"keypoints": 20 * 3, "std": 20 * 2, "rotations": 16 * 6}
_PALM_ENDS = [palm for palm, _ in BONES]
_TIP_ENDS = [tip for _, tip in BONES]


@dataclass(frozen=True)
class _Observed:
    """What is known of the keypoints, zeros for the rest.

    Attributes:
        seen: (B, 21) bool: confidence above 0 and a position.
        positions: (B, 21, 2) crop units.
        depth_known: (B, 21) bool.
        depth: (B, 21) crop units.
        bones_known: (B, 20) bool.
        bones: (B, 20, 3).
    """

    seen: Tensor
    positions: Tensor
    depth_known: Tensor
    depth: Tensor
    bones_known: Tensor
    bones: Tensor

    @classmethod
    def of(cls, inputs: LifterInputs) -> _Observed:
        """Keypoints of confidence 0 lose their depth and the bones that end in them, too."""
        seen = (inputs.confidence > 0) & inputs.positions.isfinite().all(-1)
        depth_known = seen & inputs.depth.isfinite()
        bones_known = inputs.bones.isfinite().all(-1)
        bones_known = bones_known & seen[:, _PALM_ENDS] & seen[:, _TIP_ENDS]
        return cls(
            seen,
            torch.where(seen[..., None], inputs.positions, 0),
            depth_known,
            torch.where(depth_known, inputs.depth, 0),
            bones_known,
            torch.where(bones_known[..., None], inputs.bones, 0),
        )

    def features(self, confidence: Tensor, focal: Tensor) -> Tensor:
        """(B, F) what the network's first layer sees."""
        flags = torch.cat([self.seen, self.depth_known, self.bones_known], 1)
        known = torch.where(self.seen, confidence, 0)
        return torch.cat(
            [
                self.positions.flatten(1),
                known,
                self.depth,
                self.bones.flatten(1),
                flags.to(known.dtype),
                focal.log()[:, None],
            ],
            1,
        )

    def keypoints(self, correction: Tensor, focal: Tensor) -> Tensor:
        """(B, 21, 3) keypoints relative to the wrist, crop units: the observed ones, corrected.

        A point seen at p whose depth is ``z = focal (Z - Z_wrist) / Z_wrist`` lies at
        ``focal X / Z_wrist = p (1 + z / focal)``, exactly. A keypoint without a position starts at
        the wrist, and the wrist without one at the middle of the crop.
        """
        depth = self.depth + correction[..., 2]
        placed = self.positions * (1 + depth / focal[:, None])[..., None]
        across = torch.where(self.seen[..., None], placed - self.positions[:, :1], 0)
        keypoints = torch.cat([across + correction[..., :2], depth[..., None]], -1)
        return torch.cat([torch.zeros_like(keypoints[:, :1]), keypoints[:, 1:]], 1)


class KeypointLifter(nn.Module):
    """`LifterInputs` to `LiftedHands`.

    Attributes:
        config: as given.
    """

    def __init__(self, config: LifterConfig) -> None:
        super().__init__()
        self.config = config
        counts = {**_COUNTS, "betas": config.betas}
        self._counts = list(counts.values())
        self.embed = nn.Linear(_FEATURES, config.width)
        self.blocks = nn.ModuleList(
            _Block(config.width, config.dropout) for _ in range(config.blocks)
        )
        self.head = nn.Sequential(
            nn.LayerNorm(config.width), nn.Linear(config.width, sum(self._counts))
        )

    def forward(self, inputs: LifterInputs) -> LiftedHands:
        """Lift B hands.

        A keypoint of confidence 0, or without a finite position, has no influence.

        Returns:
            In the dtype of `inputs`; the wrist's joint is 0, its std the least there is.
        """
        observed = _Observed.of(inputs)
        features = self.embed(observed.features(inputs.confidence, inputs.focal))
        for block in self.blocks:
            features = block(features)
        # Under mixed precision the layers give halves, too coarse for positions and rotations.
        values = self.head(features).to(inputs.positions.dtype)
        keypoints, std, rotations, betas = values.split(self._counts, 1)
        correction = nn.functional.pad(
            _KEYPOINT_UNIT * keypoints.unflatten(1, (20, 3)), (0, 0, 1, 0)
        )
        return LiftedHands(
            keypoints=observed.keypoints(correction, inputs.focal),
            std=_std(std.unflatten(1, (20, 2))),
            rotations=to_rotations(rotations.unflatten(1, (16, 6)), "6d"),
            betas=betas,
        )


class _Block(nn.Module):
    """A residual block: LayerNorm, then two dense layers with GELU between them."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)


def _std(values: Tensor) -> Tensor:
    """(B, 21, 2) within `STD_RANGE`, geometrically, of (B, 20, 2) of any size."""
    least, largest = (math.log(bound) for bound in STD_RANGE)
    std = (least + (largest - least) * values.sigmoid()).exp()
    return torch.cat([torch.full_like(std[:, :1], STD_RANGE[0]), std], 1)
