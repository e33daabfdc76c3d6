"""Things in front of a hand: pixels that are nobody's, and not background.

A mask shows the part of a hand that is seen. Where a held thing hides the rest, the mask's border
is no outline of the hand, and a mesh that is compared with it shrinks away from the thing. Nobody
says where things are; they are found by what they hide: inside the mesh that was fitted to the
keypoints, in one piece with a place deep inside it, no hand in the mask, and of another colour than
the hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fitter.masks.geometry import distance_to, hand_scale
from fitter.masks.hand_mask import HandMask
from fitter.records import HandCrop


@dataclass(frozen=True)
class HidingSettings:
    """Thresholds, chosen on renders of the open hand. Lengths in units of `hand_scale`.

    Attributes:
        depth: how deep inside the mesh a piece has to reach: a mesh that lies beside its hand has a
            rim of background that is narrower.
        reach: distance from such a piece within which no mask is believed that says background.
        unlike: standard deviations of the hand's own colours beyond which a colour is another one.
        spread: least standard deviation of a channel of CIELAB in the hand, in units of L* .
        least: pixels of the hand without which its colours are not known.
    """

    depth: float = 0.14
    reach: float = 0.06
    unlike: float = 4.0
    spread: float = 4.0
    least: int = 64


def without_hidden(
    mask: HandMask, crop: HandCrop, silhouette: np.ndarray, settings: HidingSettings | None = None
) -> HandMask:
    """The mask, not believed where something hides the hand; the same where nothing does.

    Args:
        mask: of the hand in its crop.
        crop: of the hand.
        silhouette: (S, S) in [0, 1], of the mesh fitted to the keypoints, in the same crop.
        settings: thresholds; None is `HidingSettings()`.
    """
    settings = settings or HidingSettings()
    hidden = hiding_pixels(mask, crop, silhouette, settings)
    if not hidden.any():
        return mask
    near = distance_to(hidden) <= settings.reach * hand_scale(crop.seen_keypoints)
    weight = np.where(near & (mask.mask < 0.5), 0, mask.weight)
    return replace(mask, weight=weight.astype(np.float32))


def hiding_pixels(
    mask: HandMask, crop: HandCrop, silhouette: np.ndarray, settings: HidingSettings
) -> np.ndarray:
    """(S, S) bool: pixels of things that stand in front of a hand, inside its silhouette; arguments
    as of `without_hidden`."""
    mesh = silhouette > 0.5
    hand = mesh & (mask.mask > 0.8) & (mask.weight > 0.5)
    nothing = np.zeros_like(mesh)
    scale = hand_scale(crop.seen_keypoints)
    if hand.sum() < settings.least or scale == 0:
        return nothing
    missing = mesh & (mask.mask < 0.5) & (mask.weight > 0)
    missing &= _unlike(crop.pixels, hand, settings)
    deep = missing & (distance_to(~mesh) >= settings.depth * scale)
    if not deep.any():
        return nothing
    count, pieces = cv2.connectedComponents(missing.astype(np.uint8))
    reaches = np.zeros(count, dtype=bool)
    reaches[pieces[deep]] = True
    return reaches[pieces] & missing


def _unlike(pixels: np.ndarray, hand: np.ndarray, settings: HidingSettings) -> np.ndarray:
    """(S, S) bool: of another colour than the hand, by the distance of Mahalanobis in CIELAB."""
    # A light that falls from one side changes L* far more than the tint.
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    own = lab[hand]
    middle = np.median(own, axis=0)
    covariance = np.cov((own - middle).T) + settings.spread**2 * np.eye(3)
    off = lab - middle
    squared = np.einsum("hwi,ij,hwj->hw", off, np.linalg.inv(covariance), off)
    unlike: np.ndarray = squared > settings.unlike**2
    return unlike
