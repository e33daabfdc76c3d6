"""What a fitted hand shows of its own quality, as numbers: one row a hand, NaN where unknown.

Lengths in 3D are millimetres after alignment by a similarity, as the error that is predicted. What
depends on an option's weight or scale is not used: energies have the default options' scales.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import cv2
import numpy as np
from torch import Tensor

from fitter import metrics
from fitter.config.options import FitConfig
from fitter.energies.inputs import KeypointInputs
from fitter.energies.keypoints import KeypointTargets
from fitter.energies.table import ENERGIES
from fitter.fitting.fit_model import FitModel
from fitter.hand_models.keypoint_jacobian import by_finger
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.quality.inputs import JudgedHands
from fitter.records import HandCrop, HandObservation

ENERGY_NAMES = ("relative_depth", "bone_directions", "limits", "pose_prior", "shape_prior")
"""Energies of the fitted hand that are features."""

DETECTOR = (
    "detection_score",
    "presence",
    "side_score",
    "mean_confidence",
    "least_confidence",
    "looks_apart",
    "looks_apart_tips",
)
"""Of the detector: how sure it is, and how far apart its looks are. Keypoints that were given have
none of it: what their confidences mean is their maker's affair."""

WEAK_3D = (
    "relative_depth",
    "bone_directions",
    "fit_from_world",
    "fit_from_world_most",
    "fit_turned_from_world",
    "network_from_world",
)
"""Against the detector's weak 3D keypoints."""

NETWORK = (
    "network_std",
    "network_std_depth",
    "fit_from_network",
    "fit_from_network_most",
    "fit_turned_from_network",
    "networks_apart",
    "network_seen",
)
"""Of networks: how sure they are, and how far from the fit and from each other."""

MASK = ("mask_agreement", "mask_iou", "mask_rejected")
"""Of the mask."""

IMAGE = ("brightness", "contrast", "saturation", "fine_detail", "coarse_detail")
"""Of the hand's crop."""

FIT = (
    "log_size",
    "aspect",
    "residual",
    "largest_residual",
    "iterations",
    "moved",
    "limits",
    "pose_prior",
    "shape_prior",
    "facing",
    "edge_on",
    "foreshortened",
    "bend_thumb",
    "bend_least",
    "bend_most",
    "visible",
    "least_visible",
    "outside",
    "others",
)
"""Of the hand in its image and of the fit; always known."""

FEATURES = (*DETECTOR, *WEAK_3D, *NETWORK, *MASK, *IMAGE, *FIT)
"""Names of the columns of `features_of`."""

_TIPS = (4, 8, 12, 16, 20)
_PALM = (0, 5, 17)


def features_of(judged: JudgedHands, model: FitModel, visibility: Tensor) -> np.ndarray:
    """(B, F) float64 by `FEATURES`.

    Args:
        judged: B hands.
        model: right-hand model of the fit.
        visibility: (B, 21) in [0, 1] of their keypoints.
    """
    columns = {name: np.full(len(judged.observed), np.nan) for name in FEATURES}
    usable = (judged.hands.is_usable & judged.right.transl.isfinite().all(-1)).nonzero().flatten()
    if len(usable):
        places = usable.tolist()
        for part in (_seen, _fitted, _compared, _pictured):
            for name, values in part(judged, usable, model).items():
                columns[name][places] = values
        seen = visibility[usable].cpu().numpy()
        columns["visible"][places] = seen.mean(1)
        columns["least_visible"][places] = np.sort(seen, 1)[:, :3].mean(1)
    return np.stack([columns[name] for name in FEATURES], axis=1)


Columns = dict[str, np.ndarray]


def _seen(judged: JudgedHands, usable: Tensor, model: FitModel) -> Columns:
    """What was detected."""
    hands = [judged.observed[place] for place in usable.tolist()]
    sizes = judged.image_sizes[usable].cpu().numpy()

    def column(value: Callable[[HandObservation], float]) -> np.ndarray:
        return np.array([value(hand) for hand in hands])

    def detected(value: Callable[[HandObservation], float]) -> np.ndarray:
        return column(lambda hand: value(hand) if is_detected(hand) else np.nan)

    extent = np.stack([hand.box[2:] - hand.box[:2] for hand in hands])
    outside = [
        ((hand.keypoints < 0) | (hand.keypoints > size)).any(1).mean()
        for hand, size in zip(hands, sizes, strict=True)
    ]
    return {
        "detection_score": detected(lambda hand: hand.score),
        "presence": column(lambda hand: np.nan if hand.presence is None else hand.presence),
        "side_score": detected(lambda hand: hand.side_score),
        "mean_confidence": detected(lambda hand: hand.confidence.mean()),
        "least_confidence": detected(lambda hand: np.sort(hand.confidence)[:3].mean()),
        "looks_apart": detected(lambda hand: _apart(hand.confidence)),
        "looks_apart_tips": detected(lambda hand: _apart(hand.confidence[list(_TIPS)])),
        "log_size": np.log(extent.max(1).clip(1)),
        "aspect": extent.min(1) / extent.max(1).clip(1),
        "outside": np.array(outside),
    }


def is_detected(hand: HandObservation) -> bool:
    """Whether a detector found the hand whose confidences are known to this module: one that says
    weak 3D keypoints too."""
    return hand.relative_xyz is not None


def _apart(confidence: np.ndarray) -> float:
    """Mean of ``sqrt(1 / c - 1)``, by which the detector's looks differ in its own scale."""
    return float(np.sqrt(1 / confidence.clip(0.01, 1) - 1).mean())


def _fitted(judged: JudgedHands, usable: Tensor, model: FitModel) -> Columns:
    """Residuals and energies of the fit."""
    params, hands = judged.right[usable], judged.hands[usable]
    points = pose_keypoints(model.keypoints, params)[1]
    inputs = KeypointInputs(
        hand=params,
        points=by_finger(points),
        targets=KeypointTargets.of(hands),
        space=model.pose_space,
        size=model.size,
        fit=FitConfig(),
    )
    energies = {name: ENERGIES[name].quadratic(inputs).value.cpu().numpy() for name in ENERGY_NAMES}
    has_depth = (hands.depth_weight > 0).any(-1).cpu().numpy()
    has_bones = (hands.bone_weight > 0).any(-1).cpu().numpy()
    energies["relative_depth"] = np.where(has_depth, energies["relative_depth"], np.nan)
    energies["bone_directions"] = np.where(has_bones, energies["bone_directions"], np.nan)
    residual = _residuals(judged, usable)
    return (
        energies
        | _posture(points.cpu().numpy(), hands.view_direction.cpu().numpy())
        | {
            "residual": np.sqrt(np.nanmean(residual**2, 1)),
            "largest_residual": np.nanmax(residual, 1),
            "iterations": judged.fit.iterations[usable].double().cpu().numpy(),
        }
    )


def _posture(points: np.ndarray, view: np.ndarray) -> Columns:
    """How a hand is held and seen: keypoints (N, 21, 3), and lines of sight (N, 3).

    A finger's bend is 1 less its tip's distance from the knuckle over the length of its bones.
    """
    facing = (_palm_normal(points) * view).sum(-1)
    along = points[:, 9] - points[:, 0]
    along = along / np.linalg.norm(along, axis=-1, keepdims=True).clip(1e-12)
    fingers = points[:, 1:].reshape(-1, 5, 4, 3)
    length = np.linalg.norm(np.diff(fingers, axis=2), axis=-1).sum(-1)
    reach = np.linalg.norm(fingers[:, :, -1] - fingers[:, :, 0], axis=-1)
    bend = 1 - reach / length.clip(1e-12)
    return {
        "facing": facing,
        "edge_on": 1 - np.abs(facing),
        "foreshortened": np.abs((along * view).sum(-1)),
        "bend_thumb": bend[:, 0],
        "bend_least": bend[:, 1:].min(1),
        "bend_most": bend[:, 1:].max(1),
    }


def _residuals(judged: JudgedHands, usable: Tensor) -> np.ndarray:
    """(N, 21) distance of fitted and detected keypoints over the hand's size, NaN where not
    seen; 0 for a hand of which none was."""
    rows = []
    for place in usable.tolist():
        hand = judged.observed[place]
        found = judged.image_keypoints[place].cpu().numpy()
        distance = np.linalg.norm(found - hand.keypoints, axis=1)
        size = max((hand.box[2:] - hand.box[:2]).max(), 1.0)
        rows.append(
            np.where(hand.seen, distance / size, np.nan) if hand.seen.any() else 0 * distance
        )
    return np.stack(rows)


def _compared(judged: JudgedHands, usable: Tensor, model: FitModel) -> Columns:
    """How far fit, networks and the detector's weak 3D keypoints are from each other, mm."""

    def keypoints(hands: Tensor) -> np.ndarray:
        return hands.cpu().numpy().astype(float)

    fitted = keypoints(pose_keypoints(model.keypoints, judged.right[usable])[1])
    before = keypoints(pose_keypoints(model.keypoints, judged.fit.params[usable])[1])
    world = np.stack([_world(judged.observed[place]) for place in usable.tolist()])
    says = [each[usable] for each in judged.predictions.initialisations.values()]
    said = [keypoints(each.keypoints) for each in says]
    none = np.full(len(usable), np.nan)
    first = next(iter(said), np.full_like(fitted, np.nan))
    pairs = [1e3 * metrics.pa_mpjpe(_in_metres(a, fitted), b) for a, b in combinations(said, 2)]
    scale = _millimetres(judged, usable)
    std = [keypoints(each.std).mean(1) * scale[:, None] for each in says]
    surest = _least(std) if std else np.stack([none, none], 1)
    seen = [keypoints(each.visible).mean(1) for each in says]
    from_world, from_network = _apart_in_3d(world, fitted), _apart_in_3d(first, fitted)
    return {
        "fit_from_world": from_world[0],
        "fit_from_world_most": from_world[1],
        "fit_turned_from_world": from_world[2],
        "network_from_world": 1e3 * metrics.pa_mpjpe(world, _in_metres(first, fitted)),
        "fit_from_network": from_network[0],
        "fit_from_network_most": from_network[1],
        "fit_turned_from_network": from_network[2],
        "networks_apart": _greatest(pairs) if pairs else none,
        "network_std": surest[:, 0],
        "network_std_depth": surest[:, 1],
        "network_seen": _greatest(seen) if seen else none,
        "moved": 1e3 * metrics.pa_mpjpe(before, fitted),
    }


def _apart_in_3d(points: np.ndarray, fitted: np.ndarray) -> tuple[np.ndarray, ...]:
    """(N,) mean and greatest distance of points (N, 21, 3) from those fitted once they are aligned,
    mm, and radians by which the palm is turned against theirs; NaN where points are."""
    apart = metrics.point_errors(metrics.procrustes_aligned(points, fitted), fitted)
    cosine = (_palm_normal(points) * _palm_normal(fitted)).sum(-1)
    return 1e3 * apart.mean(1), 1e3 * apart.max(1), np.arccos(cosine.clip(-1, 1))


def _palm_normal(points: np.ndarray) -> np.ndarray:
    """(N, 3) unit vector across the palm of keypoints (N, 21, 3)."""
    wrist, index, little = (points[:, k] for k in _PALM)
    normal = np.cross(index - wrist, little - wrist)
    return normal / np.linalg.norm(normal, axis=-1, keepdims=True).clip(1e-12)


def _greatest(values: Sequence[np.ndarray]) -> np.ndarray:
    """The greatest of values (N,), unknown ones left out; NaN where all are unknown."""
    return np.fmax.reduce(np.stack(values))


def _least(values: Sequence[np.ndarray]) -> np.ndarray:
    return np.fmin.reduce(np.stack(values))


def _in_metres(points: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Points (N, 21, 3) in the size of others, metres."""

    def size(hands: np.ndarray) -> np.ndarray:
        return np.sqrt(((hands - hands.mean(1, keepdims=True)) ** 2).sum((1, 2), keepdims=True))

    return points * size(like) / np.maximum(size(points), 1e-12)


def _millimetres(judged: JudgedHands, usable: Tensor) -> np.ndarray:
    """(N,) of a crop unit at the wrist's distance."""
    distance = judged.right.transl[usable, 2]
    return (1e3 * distance / judged.hands.intrinsics[usable, 0, 0]).cpu().numpy()


def _world(hand: HandObservation) -> np.ndarray:
    """(21, 3) the detector's weak 3D keypoints, of a right hand; NaN without."""
    if hand.relative_xyz is None:
        return np.full((21, 3), np.nan)
    return hand.relative_xyz * ([-1.0, 1.0, 1.0] if hand.side == "left" else [1.0, 1.0, 1.0])


def _pictured(judged: JudgedHands, usable: Tensor, model: FitModel) -> Columns:
    """What the hand's crop and mask show."""
    rows = []
    for place in usable.tolist():
        crop, mask = judged.crops[place], judged.masks.get(place)
        row = dict.fromkeys((*IMAGE, *MASK, "others"), np.nan)
        row["others"] = 0.0
        if crop is not None:
            row |= image_features(crop)
            row["others"] = _other_keypoints(crop)
        if mask is not None:
            row["mask_agreement"] = mask.agreement
            row["mask_rejected"] = float(mask.source == "rejected")
            row["mask_iou"] = judged.mask_iou.get(place, np.nan)
        rows.append(row)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _other_keypoints(crop: HandCrop) -> float:
    """Other hands' keypoints in the box of this one's, in hands."""
    own = crop.seen_keypoints
    if np.isnan(own).all():
        return 0.0
    low, high = np.nanmin(own, 0), np.nanmax(own, 0)
    return float(((crop.others >= low) & (crop.others <= high)).all(-1).sum() / len(own))


def image_features(crop: HandCrop) -> dict[str, float]:
    """How bright, rich in contrast, colourful and sharp the hand's part of the image is.

    Detail is the logarithm of the mean absolute Laplacian over the standard deviation of the grey
    values, in the crop's pixels and at a quarter of their number a side: noise raises the fine
    one, blur lowers both.
    """
    side = crop.side
    middle = slice(side // 8, side - side // 8)
    pixels = np.multiply(crop.pixels[middle, middle], 1 / 255, dtype=np.float32)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    red, green, blue = cv2.split(pixels)
    most, least = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    contrast = float(grey.std())
    small = cv2.resize(grey, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)

    def detail(image: np.ndarray) -> float:
        edges = np.abs(cv2.Laplacian(image, cv2.CV_32F)).mean()
        return float(np.log((edges + 1e-4) / (contrast + 1e-2)))

    return {
        "brightness": float(grey.mean()),
        "contrast": contrast,
        "saturation": float((most - least).mean()),
        "fine_detail": detail(grey),
        "coarse_detail": detail(small),
    }
