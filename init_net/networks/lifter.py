"""`HandLifter`: what the detector says and has seen of a hand, to the hand in 3D.

    keypoints, weak depth and bones  -> dense \\
                                                fusion -> residual blocks -> heads
    features of the landmark network -> dense /

The network that finds landmarks has learned from real hands, which nothing of ours has; what it
read them off says more than they do. A hand without such features is lifted from its keypoints.

A residual network of dense layers (the kind of Martinez et al. 2017, "A simple yet effective
baseline for 3d human pose estimation", with LayerNorm before each block, so that a hand's result
does not depend on its batch). It corrects what the detector says and does not repeat it: its
keypoints are the observed ones, brought to the depths that the detector gives, plus what it adds.

It sees every hand upright, its palm pointing up in the image, as the landmark network does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from fitter.conventions import BONES
from fitter.detection.networks.shapes import FEATURES
from init_net.networks.config import LifterConfig
from init_net.networks.rotations import to_rotations
from init_net.records import LiftedHands, LifterInputs

STD_RANGE = (2e-3, 0.5)
"""Least and largest standard deviation that is ever said, crop units: about a quarter of a
millimetre and half a hand."""

SIZE_STD_RANGE = (0.02, 0.5)
"""Least and largest standard deviation of the logarithm of a hand's size that is ever said."""

TYPICAL_METRES = 0.16
"""Metres of a crop unit of a common hand: where the size starts."""

_KEYPOINT_UNIT = 0.1
"""Crop units of an output of 1 for keypoints: what the last layer says before training is small."""

_OBSERVED = 21 * (2 + 1 + 1 + 1 + 1) + 20 * (3 + 1) + 1
_COUNTS = {
    "keypoints": 20 * 3,
    "std": 20 * 2,
    "rotations": 16 * 6,
    "visibility": 21,
    "size": 2,
}
_PALM_ENDS = [palm for palm, _ in BONES]
_TIP_ENDS = [tip for _, tip in BONES]
_WRIST, _FIRST_JOINTS = 0, [5, 9, 13]


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

    def upright(self) -> Tensor:
        """(B, 3, 3) rotations about the line of sight that make the palm point up.

        The palm's direction is that from the wrist to the first joints of three fingers; a hand of
        which these were not seen is left as it is.
        """
        palm = self.positions[:, _FIRST_JOINTS].mean(1) - self.positions[:, _WRIST]
        known = self.seen[:, [_WRIST, *_FIRST_JOINTS]].all(1)
        length = palm.norm(dim=-1)
        known = known & (length > 0)
        # Up is the negative y axis; a hand that is not turned has (0, -1).
        unit = torch.where(known[:, None], palm / length.clamp_min(1e-9)[:, None], 0)
        sine, cosine = -unit[:, 0], torch.where(known, -unit[:, 1], 1)
        zero, one = torch.zeros_like(sine), torch.ones_like(sine)
        rows = [cosine, -sine, zero, sine, cosine, zero, zero, zero, one]
        return torch.stack(rows, -1).unflatten(-1, (3, 3))

    def turned(self, rotation: Tensor) -> _Observed:
        """The same of hands turned about the line of sight."""
        return replace(
            self,
            positions=self.positions @ rotation[:, :2, :2].mT,
            bones=self.bones @ rotation.mT,
        )

    def numbers(self, confidence: Tensor, focal: Tensor) -> Tensor:
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


class HandLifter(nn.Module):
    """`LifterInputs` to `LiftedHands`.

    Attributes:
        config: as given.
    """

    def __init__(self, config: LifterConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        counts = {**_COUNTS, "betas": config.betas}
        self._counts = list(counts.values())
        self.embed = nn.Linear(_OBSERVED, width)
        self.looks = _Looks(width, config.feature_dropout)
        self.fusion = _Fusion(width, config.fusion_ratio)
        self.blocks = nn.ModuleList(_Block(width, config.dropout) for _ in range(config.blocks))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, sum(self._counts)))

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """See `init_net.networks.parts.HasParts`; the names are those of `HandNet`'s parts."""
        return {
            "image_front": self.looks,
            "keypoint_front": self.embed,
            "fusion": self.fusion,
            "tail": self.blocks,
            "head": self.head,
        }

    @property
    def optional_parts(self) -> frozenset[str]:
        """See `HasParts`: either front goes together with the fusion."""
        return frozenset({"image_front", "keypoint_front", "fusion"})

    def absence_fault(self, absent: frozenset[str]) -> str | None:
        """See `HasParts.absence_fault`."""
        fronts = {"image_front", "keypoint_front"} - absent
        if not absent or ("fusion" in absent and len(fronts) == 1):
            return None
        return "nothing is left out, or fusion and one front"

    def forward(self, inputs: LifterInputs, absent: frozenset[str] = frozenset()) -> LiftedHands:
        """Lift B hands.

        A keypoint of confidence 0, or without a finite position, has no influence.

        Args:
            inputs: of the hands.
            absent: parts that are left out: none, or the fusion and one front, so that the other
                feeds the blocks. Keypoints keep turning the hand upright and are still what is
                corrected when their front is absent: what the layers say is then told by the
                features alone.

        Returns:
            In the dtype of `inputs`; the wrist's joint is 0, its std the least there is.

        Raises:
            ValueError: it cannot do without these parts.
        """
        # Mixed precision is for the layers: halves are too coarse for positions and rotations.
        exact = torch.autocast(inputs.positions.device.type, enabled=False)
        given = _Observed.of(inputs)
        with exact:
            upright = given.upright()
            observed = given.turned(upright)
        fused = self._fused(inputs, observed, absent)
        for block in self.blocks:
            fused = block(fused)
        values = self.head(fused).to(inputs.positions.dtype)
        with exact:
            return self._said(values, observed, upright, inputs.focal)

    def _fused(self, inputs: LifterInputs, observed: _Observed, absent: frozenset[str]) -> Tensor:
        """(B, width) that the blocks see."""
        fronts = {
            "image_front": lambda: self.looks(inputs.features),
            "keypoint_front": lambda: self.embed(observed.numbers(inputs.confidence, inputs.focal)),
        }
        seen = [front() for name, front in fronts.items() if name not in absent]
        if not absent:
            return self.fusion(*seen)
        if absent <= self.optional_parts and "fusion" in absent and len(seen) == 1:
            return seen[0]
        raise ValueError(
            f"expected nothing absent, or the fusion and one front, found {sorted(absent)}"
        )

    def _said(
        self, values: Tensor, observed: _Observed, upright: Tensor, focal: Tensor
    ) -> LiftedHands:
        """What the last layer's numbers (B, N) say of hands that were turned by `upright`."""
        keypoints, std, rotations, visibility, size, betas = values.split(self._counts, 1)
        correction = nn.functional.pad(
            _KEYPOINT_UNIT * keypoints.unflatten(1, (20, 3)), (0, 0, 1, 0)
        )
        turned = to_rotations(rotations.unflatten(1, (16, 6)), "6d")
        wrist = upright.mT[:, None] @ turned[:, :1]
        spread = _within(std.unflatten(1, (20, 2)), STD_RANGE)
        least = torch.full_like(spread[:, :1], STD_RANGE[0])
        return LiftedHands(
            keypoints=observed.keypoints(correction, focal) @ upright,
            std=torch.cat([least, spread], 1),
            rotations=torch.cat([wrist, turned[:, 1:]], 1),
            betas=betas,
            visibility=visibility,
            log_size=torch.stack(
                [math.log(TYPICAL_METRES) + size[:, 0], _within(size[:, 1], SIZE_STD_RANGE)], 1
            ),
        )


class _Looks(nn.Module):
    """The features of two looks (B, 2, F), each or both of which may be missing, to (B, width)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(FEATURES)
        self.dropout = nn.Dropout(dropout)
        self.embed = nn.Linear(2 * FEATURES + 2, width)

    def forward(self, features: Tensor) -> Tensor:
        known = features.isfinite().all(-1, keepdim=True)
        normed = self.norm(torch.where(known, features, 0).to(self.norm.weight.dtype))
        seen = torch.where(known, self.dropout(normed), 0)
        return self.embed(torch.cat([seen.flatten(1), known[..., 0].to(seen.dtype)], 1))


class _Fusion(nn.Module):
    """Weighs the features of two branches against each other (Seeber et al., section 3.1), as
    `init_net.networks.handnet.FusionBlock` does place by place:

        X = [X_img, X_kp];   w = sigmoid(dense(ReLU(dense(X))));   Y = dense(w * X)
    """

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        both = 2 * width
        self.reduce = nn.Linear(both, max(both // ratio, 1))
        self.expand = nn.Linear(max(both // ratio, 1), both)
        self.project = nn.Linear(both, width)

    def forward(self, image: Tensor, keypoints: Tensor) -> Tensor:
        features = torch.cat([image, keypoints], 1)
        return self.project(self.expand(self.reduce(features).relu()).sigmoid() * features)


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


def _within(values: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Numbers of any size brought between bounds, geometrically."""
    least, largest = (math.log(bound) for bound in bounds)
    return (least + (largest - least) * values.sigmoid()).exp()
