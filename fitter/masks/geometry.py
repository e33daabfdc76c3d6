"""Lengths, regions and windows in the square crop of one hand, for masks.

Lengths are relative to the hand's scale, see `hand_scale`. Every position is in pixels of the crop
of S x S pixels, the centre of the top-left pixel at (0.5, 0.5). A crop that was mirrored for a left
hand is a crop like any other.
"""

from __future__ import annotations

import cv2
import numpy as np

from fitter.camera import SquareCrop, crop_pixels
from fitter.conventions import BONES

_WRIST, _KNUCKLES = 0, (5, 9, 13, 17)
_PALM = (*((_WRIST, knuckle) for knuckle in _KNUCKLES), (1, 5), (5, 9), (9, 13), (13, 17))
_SKELETON = tuple(dict.fromkeys(BONES + _PALM))


def hand_scale(keypoints: np.ndarray) -> float:
    """The longest of the palm's lengths and the finger bones of (21, 2) keypoints, NaN where not
    seen: about 9 cm in the image, however the hand is turned; 0 where no bone is seen."""
    ends = keypoints[np.array(_SKELETON)]
    lengths = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1)
    return float(np.nan_to_num(lengths).max())


def resample_mask(mask: np.ndarray, crop: SquareCrop) -> np.ndarray:
    """An image's mask in B square crops, averaged over each pixel's area.

    Args:
        mask: (H, W) bool, of the upright image.
        crop: B windows of S x S pixels.

    Returns:
        (B, S, S) float32 in [0, 1]; 0 outside the image.
    """
    # `crop_pixels` interpolates between samples where the window shrinks by less than two; on a
    # grid at least as fine as the image's own nothing is lost, and blocks of it are averaged.
    side, image = crop.output_size, mask.astype(np.float32)
    shares = []
    for i in range(len(crop.size)):
        finer = min(max(int(np.ceil(float(crop.size[i]) / side)), 2), 8)
        window = SquareCrop(crop.centre[i : i + 1], crop.size[i : i + 1], finer * side)
        fine = crop_pixels(image, window)[0]
        shares.append(fine.reshape(side, finer, side, finer).mean(axis=(1, 3), dtype=np.float32))
    return np.stack(shares)


def inside_image(size: tuple[int, int], crop: SquareCrop) -> np.ndarray:
    """(B, S, S) float32: the share of each pixel of B crops that lies in an image of (H, W)."""
    side = crop.output_size
    origin = crop.origin.detach().cpu().double().numpy()
    step = (crop.size.detach().cpu().double().numpy() / side)[:, None]
    shares = []
    for axis, length in ((1, size[0]), (0, size[1])):
        edges = origin[:, axis : axis + 1] + step * np.arange(side + 1)
        clipped = np.clip(edges, 0, length)
        shares.append(np.diff(clipped, axis=1) / step)
    return (shares[0][:, :, None] * shares[1][:, None, :]).astype(np.float32)


def before_wrist(keypoints: np.ndarray, confidence: np.ndarray, side: int) -> np.ndarray:
    """How far on the palm's side of the wrist a pixel lies.

    Args:
        keypoints: (21, 2) pixels of the crop, NaN where not seen.
        confidence: (21,) in [0, 1], of the keypoints.
        side: S of the crop.

    Returns:
        (S, S) float64 pixels from the line through the wrist at right angles to the direction wrist
        -> palm, positive on the palm's side; infinite everywhere when the wrist or all knuckles
        were not seen, or coincide.
    """
    wrist, knuckles = keypoints[_WRIST], keypoints[list(_KNUCKLES)]
    weights = np.where(np.isfinite(knuckles[:, 0]), confidence[list(_KNUCKLES)], 0)
    everywhere = np.full((side, side), np.inf)
    if not np.isfinite(wrist).all() or weights.sum() <= 0:
        return everywhere
    direction = (weights @ np.nan_to_num(knuckles)) / weights.sum() - wrist
    length = np.linalg.norm(direction)
    if length == 0:
        return everywhere
    centres = np.arange(side) + 0.5
    x, y = (centres - wrist[:, None]) * (direction / length)[:, None]
    return y[:, None] + x[None, :]


def others_territory(
    keypoints: np.ndarray, others: np.ndarray, side: int, within: float = np.inf
) -> np.ndarray:
    """Which pixels are another hand's rather than this one's.

    Args:
        keypoints: (21, 2) pixels of the crop, NaN where not seen.
        others: (N, 21, 2) those of the image's other hands.
        side: S of the crop.
        within: reach of another hand, in units of its scale.

    Returns:
        (S, S) bool: no further from the skeleton of another hand than from this hand's, lengths in
        units of each hand's scale, and within that many of them.
    """
    nearest = np.full((side, side), np.inf)
    for other in others:
        scale = hand_scale(other)
        if scale > 0:
            distance = distance_to_skeleton(other, side, forearm=True)
            nearest = np.minimum(nearest, distance / scale)
    own_scale = hand_scale(keypoints)
    if own_scale == 0 or np.isinf(nearest).all():
        return np.zeros((side, side), dtype=bool)
    own = distance_to_skeleton(keypoints, side) / own_scale
    return (nearest <= own) & (nearest < within)


def distance_to_skeleton(keypoints: np.ndarray, side: int, forearm: bool = False) -> np.ndarray:
    """Distance from the bones of one hand, those just outside the crop included.

    Args:
        keypoints: (21, 2) pixels of the crop, NaN where not seen.
        side: S of the crop.
        forearm: whether a forearm counts as a bone, twice as long as the palm and in line with it.

    Returns:
        (S, S) float32 pixels from the nearest bone whose ends are both seen, to about half a pixel;
        infinite where there is none.
    """
    # Bones outside the crop count, too, as long as they lie within half a crop of it.
    pad = side // 2
    canvas = np.zeros((side + 2 * pad, side + 2 * pad), dtype=np.uint8)
    bits = 4
    limit = 64 * side  # keeps OpenCV's fixed-point numbers in range
    elbow = keypoints[_WRIST] - 2 * (keypoints[list(_KNUCKLES)].mean(axis=0) - keypoints[_WRIST])
    bones = (*_SKELETON, (_WRIST, len(keypoints))) if forearm else _SKELETON
    points = np.clip(np.vstack([keypoints, elbow]) - 0.5, -limit, limit) + pad
    for a, b in bones:
        if np.isfinite(points[[a, b]]).all():
            start, end = np.rint(points[[a, b]] * 2**bits).astype(int)
            cv2.line(canvas, start.tolist(), end.tolist(), (255,), 1, cv2.LINE_8, bits)
    return distance_to(canvas > 0)[pad : pad + side, pad : pad + side]


def distance_to(mask: np.ndarray) -> np.ndarray:
    """(H, W) float32: pixels from each pixel of a bool mask (H, W) to the nearest set one; infinite
    where none is set."""
    if not mask.any():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """A square image (S, S) or (S, S, 3) with another side, averaged over area."""
    if len(image) == side:
        return image
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def window_around(mask: np.ndarray, margin: float) -> tuple[slice, slice]:
    """Rows and columns that hold all set pixels and `margin` pixels about them, cut to the image.

    Args:
        mask: (H, W) bool; at least one pixel must be set.
        margin: in pixels, rounded up.
    """
    extra = int(np.ceil(margin))
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(rows[0] - extra, 0), rows[-1] + extra + 1),
        slice(max(columns[0] - extra, 0), columns[-1] + extra + 1),
    )
