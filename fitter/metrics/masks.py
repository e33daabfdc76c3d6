"""Errors of silhouettes."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt


def mask_iou(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union of masks: (B, H, W) bool twice -> (B,) in [0, 1].

    Two masks that are both empty agree: 1.
    """
    estimate, truth = np.asarray(estimate, bool), np.asarray(truth, bool)
    union = (estimate | truth).sum((1, 2))
    overlap = (estimate & truth).sum((1, 2))
    return np.divide(overlap, union, out=np.ones(len(union)), where=union > 0)


def mask_accuracy(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of pixels on which masks agree: (B, H, W) bool twice -> (B,) in [0, 1].

    The accuracy of Seeber et al., "RealisticHands", 2021, table 3. It counts the background too,
    so it depends on how much of the image is hand.
    """
    return (np.asarray(estimate, bool) == np.asarray(truth, bool)).mean(axis=(1, 2))


def contour_distance(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Symmetric mean distance between the contours of masks, (B, H, W) bool twice -> (B,) pixels.

    A contour is the set of a mask's pixels of whose four neighbours one lies in the image and not
    in the mask: where the image's border cuts a mask there is no contour. Every pixel of a
    contour is as far off as the nearest pixel of the other one; the two contours' means are
    averaged (the average symmetric surface distance of segmentation, in two dimensions).

    Two masks without a contour agree, 0; if only one has a contour, the distance is the largest
    that the image has room for, its diagonal.
    """
    estimate, truth = np.asarray(estimate, bool), np.asarray(truth, bool)
    distances = np.empty(len(estimate))
    for hand, (found, true) in enumerate(zip(estimate, truth, strict=True)):
        a, b = _contour(found), _contour(true)
        if a.any() and b.any():
            to_a, to_b = distance_transform_edt(~a), distance_transform_edt(~b)
            distances[hand] = 0.5 * (to_b[a].mean() + to_a[b].mean())
        else:
            distances[hand] = np.hypot(a.shape[0], a.shape[1]) if a.any() or b.any() else 0.0
    return distances


def _contour(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels of the mask (H, W) beside one in the image that is not in it."""
    around = np.pad(mask, 1, mode="edge")
    surrounded = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return mask & ~surrounded
