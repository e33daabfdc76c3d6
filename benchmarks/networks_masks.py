"""How well masks find the hand's pixels in rendered samples: the network's, GrabCut's, and those of
colours that skin is said to have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from networks_figures import Bench, SampleBatch, batches

from fitter.fitting.observations import normalise
from fitter.masks import HandMask, MaskSettings, grabcut_mask, network_mask
from fitter.metrics import mask_iou
from init_net.samples.shards import ShardedSamples
from init_net.training.evaluation import standard_error, weighted_iou

SKIN_RANGES: Mapping[str, tuple[tuple[float, float], tuple[float, float], float]] = {
    "Sobottka & Pitas": ((0.0, 50.0), (0.23, 0.68), 0.0),
    "Tsekeridou & Pitas": ((-25.0, 25.0), (0.2, 0.6), 0.4),
}
"""Name -> hues in degrees, saturations, and least value of skin.

Sobottka & Pitas, "A novel method for automatic face segmentation, facial feature extraction and
tracking", 1998; it is also the range in HSV of Kolkur et al., "Human Skin Detection Using RGB, HSV
and YCbCr Color Models", 2017, where Seeber et al. 4.3 took theirs. Tsekeridou & Pitas, "Facial
feature extraction in frontal views using biometric analogies", 1998.
"""


NEVER_REJECTED = MaskSettings(agreement=0.0)
"""No mask loses its weight; which ones would is told by their agreement."""


@dataclass(frozen=True)
class MaskRow:
    """One line of the table of masks.

    Attributes:
        name: what made the masks.
        figures: "mask_iou", "mask_iou_median" and "pixel_accuracy" of whole crops,
            "believed_iou" and "believed_iou_median" where masks are believed, and "rejected", the
            share of masks that the refinement would not believe (NaN for what it never takes).
        standard_errors: of the two means.
        hands: their number.
    """

    name: str
    figures: dict[str, float]
    standard_errors: dict[str, float]
    hands: int


@dataclass(frozen=True)
class _Found:
    """Masks of B hands, (B, S, S) bool, and which of them the refinement would reject, (B,): NaN
    for what it never takes."""

    masks: np.ndarray
    rejected: np.ndarray

    @classmethod
    def of(cls, judged: Sequence[HandMask]) -> _Found:
        rejected = [float(mask.agreement < MaskSettings.agreement) for mask in judged]
        return cls(np.stack([mask.mask for mask in judged]) > 0.5, np.array(rejected))


def mask_rows(bench: Bench, samples: ShardedSamples, index: np.ndarray) -> list[MaskRow]:
    """What each kind of mask gives, of samples in which the detector found the hand."""
    parts: dict[str, list[dict[str, np.ndarray]]] = {}
    for batch in batches(bench, samples, index):
        found, weight = _masks(bench, batch)
        for name, made in found.items():
            parts.setdefault(name, []).append(
                {
                    "mask_iou": mask_iou(made.masks, batch.masks),
                    "believed_iou": weighted_iou(made.masks, batch.masks, weight),
                    "pixel_accuracy": (made.masks == batch.masks).mean((1, 2)),
                    "rejected": made.rejected,
                }
            )
    rows = []
    for name, measured in parts.items():
        whole = {key: np.concatenate([part[key] for part in measured]) for key in measured[0]}
        overlaps = ("mask_iou", "believed_iou")
        figures = {key: float(values.mean()) for key, values in whole.items()}
        figures |= {f"{key}_median": float(np.median(whole[key])) for key in overlaps}
        errors = {key: standard_error(whole[key]) for key in overlaps}
        rows.append(MaskRow(name, figures, errors, len(index)))
    return rows


def skin_mask(pixels: np.ndarray, skin: str) -> np.ndarray:
    """(S, S) bool: pixels (S, S, 3) uint8 RGB whose colour is in a range of `SKIN_RANGES`."""
    (first, last), (least, most), darkest = SKIN_RANGES[skin]
    hue, saturation, value = cv2.split(
        cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    )
    # From -180 degrees on, so that red lies in the middle.
    hue = (hue + 180) % 360 - 180
    in_hue = (hue >= first) & (hue <= last)
    return in_hue & (saturation >= least) & (saturation <= most) & (value >= darkest)


def _masks(bench: Bench, batch: SampleBatch) -> tuple[dict[str, _Found], np.ndarray]:
    """Name of a row -> its masks; and (B, S, S) how far a mask is believed where it is."""
    silhouettes = bench.silhouettes(bench.fitted(batch), batch).astype(np.float32)
    crops = batch.crops
    found = {}
    if "segmentation" in bench.networks:
        ask = bench.alone["segmentation"]
        for name, shown in (("network", crops), ("network, no keypoints", batch.blind_crops)):
            shares = ask(normalise(batch.observed), shown).masks
            triples = zip(shares, crops, silhouettes, strict=True)
            found[name] = _Found.of([network_mask(*each, NEVER_REJECTED) for each in triples])
    pairs = zip(crops, silhouettes, strict=True)
    grabcut = [grabcut_mask(*pair, NEVER_REJECTED) for pair in pairs]
    found["GrabCut"] = _Found.of(grabcut)
    never = np.full(len(crops), np.nan)
    found["silhouette of the keypoint fit"] = _Found(silhouettes > 0.5, never)
    for skin in SKIN_RANGES:
        found[f"HSV, {skin}"] = _Found(
            np.stack([skin_mask(crop.pixels, skin) for crop in crops]), never
        )
    return found, np.stack([mask.weight for mask in grabcut])
