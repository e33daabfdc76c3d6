"""The mask of one hand in its square crop: one given by the user, a network's, or GrabCut's.

A mask says which pixels show the hand; a weight beside it says where that may be believed:

behind the wrist
    The forearm has the hand's colour, and a user's mask may end anywhere on it. Pixels behind the
    line through the wrist at right angles to the direction wrist -> palm weigh nothing.
another hand
    Pixels that show skin and are nearer to the bones of another hand or its forearm weigh nothing:
    which of the two hands lies in front is not known. The background about the other hand counts
    as usual. Parts of a user's mask that are connected with nothing near the mesh are another
    hand's, too.
outside the image
    Nothing is known there.

A mask that contradicts the keypoints and the mesh fitted to them is `rejected`: its weight is zero
everywhere, so that it cannot pull a hand off its keypoints.

Lengths are relative to the hand's scale, see `hand_scale`. Every position is in pixels of the crop,
the centre of the top-left pixel at (0.5, 0.5). A crop that was mirrored for a left hand is a crop
like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from fitter.masks.geometry import (
    before_wrist,
    distance_to,
    distance_to_skeleton,
    hand_scale,
    others_territory,
    resized,
    window_around,
)
from fitter.masks.grabcut import GrabCutSettings, Seeds, grabcut
from fitter.records import HandCrop, MaskSource
from fitter.shapes import check_shapes


@dataclass(frozen=True)
class MaskSettings:
    """Thresholds, chosen on renders of the open hand. Lengths in units of `hand_scale`.

    Attributes:
        reach: distance from the fitted mesh and the skeleton beyond which nothing is hand.
        core_depth, core_width: pixels that are hand for sure lie this deep inside the mesh, and
            this near to the skeleton.
        bone: half the width of a finger: a bone is this deep inside the hand.
        doubt: depth inside or outside the mesh or the bones that is worth log-odds of one that a
            pixel is hand or is not.
        snap_reach: distance by which the border of a given mask may move.
        snap_gap: half the width of gaps in a given mask that may be closed.
        snap_doubt: as `doubt`, inside or outside a given mask.
        context: width of the surroundings that teach the background's colours.
        cut: weights of GrabCut.
        flesh: distance from the skeleton within which another hand's pixels count as its own.
        near: distance from the mask at which a keypoint still counts as lying in it.
        agreement: least `agreement` of a mask that is used.
        working_size: side in pixels above which GrabCut works on a smaller copy of the crop.
    """

    reach: float = 0.22
    core_depth: float = 0.15
    core_width: float = 0.10
    bone: float = 0.07
    doubt: float = 0.05
    snap_reach: float = 0.06
    snap_gap: float = 0.14
    snap_doubt: float = 0.02
    context: float = 0.30
    cut: GrabCutSettings = field(default_factory=GrabCutSettings)
    flesh: float = 0.25
    near: float = 0.06
    agreement: float = 0.6
    working_size: int = 128


@dataclass(frozen=True)
class HandMask:
    """The mask of one hand in its crop.

    Attributes:
        mask: (S, S) float32 in [0, 1], share of the pixel that shows this hand.
        weight: (S, S) float32 in [0, 1], how far `mask` is to be believed; zero for a rejected one.
        source: "given", "grabcut", "network" or "rejected".
        agreement: in [0, 1], see `agreement`.
    """

    mask: np.ndarray
    weight: np.ndarray
    source: MaskSource
    agreement: float

    def rejected(self) -> HandMask:
        """The mask as one that is not believed."""
        return replace(self, weight=np.zeros_like(self.weight), source="rejected")


def given_mask(
    crop: HandCrop,
    silhouette: np.ndarray,
    snap: bool = False,
    settings: MaskSettings | None = None,
) -> HandMask:
    """The part of a user's mask that belongs to one hand.

    Args:
        crop: of the hand, with a given mask.
        silhouette: (S, S) in [0, 1], of the mesh fitted to the keypoints, in the same crop.
        snap: move the mask's border onto the image's edges and close its gaps by the image's
            colours; else the mask is taken as it is.
        settings: thresholds; None is `MaskSettings()`.

    Raises:
        ValueError: nobody gave a mask, or the silhouette is of another size.
    """
    settings = settings or MaskSettings()
    _check(crop, silhouette)
    share = crop.given_share
    if share is None:
        raise ValueError("expected a crop with a given mask")
    if snap:
        share = _snapped(share, crop, settings)
    keypoints = crop.seen_keypoints
    others = others_territory(keypoints, crop.others, crop.side)
    others |= _apart(share, keypoints, silhouette, settings)
    # Where the mask holds no hand at all the pixel is background for this one, too.
    weight = _confidence(crop) * np.where(others, 1 - share, 1)
    mask = np.where(others, 0, share)
    return _judged((mask, weight, "given"), crop, silhouette, settings)


def grabcut_mask(
    crop: HandCrop, silhouette: np.ndarray, settings: MaskSettings | None = None
) -> HandMask:
    """Find a hand's pixels from the mesh that was fitted to its keypoints.

    The mesh, shrunk and near the skeleton, is hand for sure; far from it there is none; in between
    GrabCut decides by colour, by edges and by how deep inside or how far outside mesh and bones a
    pixel lies. What is not connected with the part that is sure is dropped.

    Args:
        crop: of the hand.
        silhouette: (S, S) in [0, 1], of the mesh, in the same crop.
        settings: thresholds; None is `MaskSettings()`.

    Returns:
        A mask of zeros and ones, and values in between along the border where the crop is
        larger than `MaskSettings.working_size`. It is rejected where there is no mesh in view, or
        no background about it to compare with.

    Raises:
        ValueError: the crop's pixels are not 8-bit RGB, or the silhouette is of another size.
    """
    settings = settings or MaskSettings()
    _check(crop, silhouette)
    side = crop.side
    found = _cut(crop, silhouette, settings).astype(np.float32)
    if found.shape != (side, side):
        found = np.asarray(
            cv2.resize(found, (side, side), interpolation=cv2.INTER_LINEAR), dtype=np.float32
        )
    others = others_territory(crop.seen_keypoints, crop.others, side, settings.flesh)
    weight = _confidence(crop) * ~others
    mask = np.where(others, 0, found)
    return _judged((mask, weight, "grabcut"), crop, silhouette, settings)


def network_mask(
    share: np.ndarray,
    crop: HandCrop,
    silhouette: np.ndarray,
    settings: MaskSettings | None = None,
) -> HandMask:
    """The mask that a network sees.

    Args:
        share: (S, S) in [0, 1], how likely each pixel shows the hand.
        crop: of the hand.
        silhouette: (S, S) in [0, 1], of the mesh fitted to the keypoints, in the same crop.
        settings: thresholds; None is `MaskSettings()`.

    Raises:
        ValueError: the silhouette is of another size than the crop.
    """
    settings = settings or MaskSettings()
    _check(crop, silhouette)
    share = np.asarray(share, dtype=np.float32)
    others = others_territory(crop.seen_keypoints, crop.others, crop.side, settings.flesh)
    weight = _confidence(crop) * ~others
    mask = np.where(others, 0, share)
    return _judged((mask, weight, "network"), crop, silhouette, settings)


def agreement(
    mask: np.ndarray,
    weight: np.ndarray,
    crop: HandCrop,
    silhouette: np.ndarray,
    near: float = MaskSettings.near,
) -> float:
    """How far a mask agrees with a hand's keypoints and mesh, where the mask is to be believed.

    The product of three shares, each with a tolerance of `near` times the hand's scale, because a
    mesh fitted to keypoints and a mask drawn by hand both miss the outline by some pixels: of the
    keypoints, weighted by confidence, that lie in the mask; of the mask's area that lies in the
    mesh; of the mesh's area that lies in the mask. A mask elsewhere fails in all, one that is far
    too large in the second, one that shows a part of the hand in the third.

    Args:
        mask, weight: (S, S) in [0, 1].
        crop: of the hand.
        silhouette: (S, S) in [0, 1], of the mesh, in the same crop.
        near: in units of `hand_scale`.

    Returns:
        A number in [0, 1]; 0 where nothing can be compared.
    """
    keypoints = crop.seen_keypoints
    tolerance = near * hand_scale(keypoints)
    near_mask = distance_to(mask > 0.5) <= tolerance
    near_mesh = distance_to(silhouette > 0.5) <= tolerance
    side = len(mask)
    cells = np.floor(np.nan_to_num(keypoints, nan=-1)).astype(int)
    in_crop = ((cells >= 0) & (cells < side)).all(axis=1)
    columns, rows = np.clip(cells, 0, side - 1).T
    return (
        _share(near_mask[rows, columns], crop.confidence * in_crop * weight[rows, columns])
        * _share(near_mesh, mask * weight)
        * _share(near_mask, silhouette * weight)
    )


def _check(crop: HandCrop, silhouette: np.ndarray) -> None:
    check_shapes(
        pixels=(crop.pixels, ("S", "S", 3)),
        keypoints=(crop.keypoints, (21, 2)),
        confidence=(crop.confidence, (21,)),
        others=(crop.others, ("N", 21, 2)),
        silhouette=(silhouette, ("S", "S")),
    )
    if crop.pixels.dtype != np.uint8:
        raise ValueError(f"pixels: expected uint8, found {crop.pixels.dtype}")


def _share(holds: np.ndarray, weights: np.ndarray) -> float:
    total = float(weights.sum())
    return float(weights[holds].sum()) / total if total > 0 else 0.0


def _judged(
    found: tuple[np.ndarray, np.ndarray, MaskSource],
    crop: HandCrop,
    silhouette: np.ndarray,
    settings: MaskSettings,
) -> HandMask:
    """Mask, weight and source as a mask, rejected where it contradicts keypoints and mesh."""
    mask, weight, source = found
    mask, weight = mask.astype(np.float32), weight.astype(np.float32)
    agreed = agreement(mask, weight, crop, silhouette, settings.near)
    judged = HandMask(mask, weight, source, agreed)
    return judged.rejected() if agreed < settings.agreement else judged


def _confidence(crop: HandCrop) -> np.ndarray:
    """(S, S) in [0, 1]: in the image and before the wrist, with a ramp of one pixel."""
    before = before_wrist(crop.seen_keypoints, crop.confidence, crop.side)
    return crop.inside_share * np.clip(before + 0.5, 0, 1)


def _cut(crop: HandCrop, silhouette: np.ndarray, settings: MaskSettings) -> np.ndarray:
    """(W, W) bool, W the smaller of `working_size` and the crop's side: the hand by GrabCut;
    nothing where it cannot be seeded."""
    side = min(crop.side, settings.working_size)
    factor = side / crop.side
    keypoints, others = crop.seen_keypoints * factor, crop.others * factor
    pixels = resized(crop.pixels, side)
    mesh = resized(silhouette.astype(np.float32), side) > 0.5
    scale = hand_scale(keypoints)
    nothing = np.zeros((side, side), dtype=bool)
    if scale == 0 or not mesh.any():
        return nothing
    known = resized(crop.inside_share, side) > 0.5
    known &= before_wrist(keypoints, crop.confidence, side) > 0
    known &= ~others_territory(keypoints, others, side, settings.flesh)
    skeleton = distance_to_skeleton(keypoints, side) / scale
    core = mesh & known & (skeleton < settings.core_width)
    depth = np.where(mesh, distance_to(~mesh), -distance_to(mesh)) / scale
    # A hand seen edge-on is nowhere that deep; its deeper half must do.
    core &= depth > min(settings.core_depth, 0.5 * depth.max(where=core, initial=0))
    if not core.any():
        return nothing
    depth = np.maximum(depth, settings.bone - skeleton)
    reached = depth > -settings.reach
    labels = np.full(mesh.shape, cv2.GC_BGD, dtype=np.uint8)
    # Where nothing may be learned nothing is forced either: a forearm goes where its colour says.
    labels[reached | ~known] = cv2.GC_PR_BGD
    labels[mesh] = cv2.GC_PR_FGD
    labels[core] = cv2.GC_FGD
    place = depth / settings.doubt
    window = window_around(reached, settings.context * scale)
    cut = grabcut(pixels[window], Seeds(labels[window], place[window], known[window]), settings.cut)
    if cut is None:
        return nothing
    found = nothing.copy()
    found[window] = cut
    return _parts_that_reach(found, core)


def _snapped(share: np.ndarray, crop: HandCrop, settings: MaskSettings) -> np.ndarray:
    """(S, S) in [0, 1]: the mask with its border on the image's edges, by GrabCut within
    `snap_reach` of it and in gaps narrower than twice `snap_gap`; the mask itself where there is
    nothing to learn from."""
    keypoints, pixels = crop.seen_keypoints, crop.pixels
    scale = hand_scale(keypoints)
    mask = share > 0.5
    if scale == 0 or not mask.any():
        return share
    depth = np.where(mask, distance_to(~mask), -distance_to(mask)) / scale
    radius = max(1, round(settings.snap_gap * scale))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    padded = np.pad(mask.astype(np.uint8), radius)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc)[radius:-radius, radius:-radius] > 0
    labels = np.full(mask.shape, cv2.GC_BGD, dtype=np.uint8)
    labels[closed | (depth > -settings.snap_reach)] = cv2.GC_PR_BGD
    labels[mask] = cv2.GC_PR_FGD
    labels[depth > settings.snap_reach] = cv2.GC_FGD
    place = depth / settings.snap_doubt
    known = crop.inside_share > 0.5
    known &= before_wrist(keypoints, crop.confidence, crop.side) > 0
    window = window_around(closed, settings.context * scale)
    cut = grabcut(pixels[window], Seeds(labels[window], place[window], known[window]), settings.cut)
    if cut is None:
        return share
    found = np.zeros_like(share)
    found[window] = cut
    return found


def _apart(
    share: np.ndarray, keypoints: np.ndarray, silhouette: np.ndarray, settings: MaskSettings
) -> np.ndarray:
    """(S, S) bool: parts of a user's mask that nowhere come near the mesh, such as a second hand
    that was not detected."""
    near = distance_to(silhouette > 0.5) <= settings.near * hand_scale(keypoints)
    return (share > 0) & ~_parts_that_reach(share > 0, near)


def _parts_that_reach(mask: np.ndarray, region: np.ndarray) -> np.ndarray:
    """The connected parts of a mask that have a pixel in a region, (S, S) bool all three."""
    count, parts = cv2.connectedComponents(mask.astype(np.uint8))
    reach = np.zeros(count, dtype=bool)
    reach[parts[region & mask]] = True
    return reach[parts]
