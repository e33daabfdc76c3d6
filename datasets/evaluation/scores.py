"""The errors of hands that are held against annotated ones, one figure each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from datasets.evaluation.records import Pair
from fitter import metrics

REFERENCES = ("detector_world", "detector_xyz")
"""What `EstimatedHand.references` may hold."""
LEAST_POINTS = 4
"""Annotated keypoints that an alignment by a similarity needs: fewer can be met by any hand's."""

Errors = dict[str, np.ndarray]


def keypoint_errors(pairs: Sequence[Pair]) -> Errors:
    """Errors of the 3D and 2D keypoints of N pairs.

    Returns:
        (N, 21), NaN where a keypoint is not annotated: "camera", "root_aligned", "bone_aligned",
        "aligned", "reflected" in metres, see `fitter.metrics.points`; "image" in pixels. A hand
        that is annotated relative to its wrist has no "camera".
    """
    truth = _stacked([pair.truth.keypoints_3d for pair in pairs])
    estimate = _stacked([pair.estimate.keypoints_3d for pair in pairs])
    known = metrics.known_points(truth)
    relative = np.array([pair.truth.is_root_relative for pair in pairs])
    camera = metrics.point_errors(estimate, truth)
    camera[relative] = np.nan
    bone = metrics.point_errors(metrics.bone_scale_aligned(estimate, truth), truth)
    rooted = metrics.point_errors(metrics.root_aligned(estimate), metrics.root_aligned(truth))
    errors = {"camera": camera, "root_aligned": rooted, "bone_aligned": bone}
    few = known.sum(axis=1) < LEAST_POINTS
    for name, reflected in (("aligned", False), ("reflected", True)):
        moved = metrics.procrustes_aligned(estimate, truth, reflected, known)
        errors[name] = metrics.point_errors(moved, truth)
        errors[name][few] = np.nan
    marks = _stacked([pair.truth.keypoints_2d for pair in pairs])
    errors["image"] = metrics.point_errors(
        _stacked([pair.estimate.keypoints_2d for pair in pairs]), marks
    )
    return errors


def keypoint_figures(errors: Errors) -> Errors:
    """One figure per hand from `keypoint_errors`: their means over the annotated keypoints, and the
    areas under the curves; (N,), NaN where nothing is annotated."""
    names = {
        "mpjpe_mm": "camera",
        "root_aligned_mpjpe_mm": "root_aligned",
        "bone_aligned_mpjpe_mm": "bone_aligned",
        "pa_mpjpe_mm": "aligned",
        "reflected_pa_mpjpe_mm": "reflected",
    }
    figures = {name: 1e3 * _mean(errors[of]) for name, of in names.items()}
    figures["wrist_mm"] = 1e3 * errors["camera"][:, 0]
    figures["kp2d_px"] = _mean(errors["image"])
    areas = {"auc_j": "aligned", "reflected_auc_j": "reflected", "camera_auc_j": "camera"}
    for name, of in areas.items():
        figures[name] = metrics.auc_per_hand(errors[of], known=np.isfinite(errors[of]))
    return figures


def reference_figures(pairs: Sequence[Pair]) -> Errors:
    """The aligned errors of what the source's detector alone says, (N,) mm."""
    truth = _stacked([pair.truth.keypoints_3d for pair in pairs])
    nothing = np.full((21, 3), np.nan)
    figures = {}
    for name in REFERENCES:
        said = _stacked([pair.estimate.references.get(name, nothing) for pair in pairs])
        known = metrics.known_points(truth)
        figures[f"{name}_pa_mpjpe_mm"] = 1e3 * metrics.pa_mpjpe(said, truth, known=known)
    return figures


def vertex_figures(
    pairs: Sequence[Pair],
    vertices: Sequence[np.ndarray | None],
    faces: Callable[[Pair], np.ndarray | None],
) -> tuple[Errors, np.ndarray]:
    """The errors of meshes, where both sides have vertices of one topology.

    Args:
        pairs: N hands.
        vertices: N annotated meshes (V, 3) metres in the camera, or None.
        faces: of a hand's mesh (F, 3), or None.

    Returns:
        (N,) figures, NaN where there are no meshes; and (N, T) each hand's curve of aligned
        vertices at `metrics.AUC_THRESHOLDS`.
    """
    count = len(pairs)
    figures: Errors = {name: np.full(count, np.nan) for name in VERTEX_MEASURES}
    curves = np.full((count, len(metrics.AUC_THRESHOLDS)), np.nan)
    for row, (pair, truth) in enumerate(zip(pairs, vertices, strict=True)):
        estimate = pair.estimate.vertices
        if truth is None or estimate is None or truth.shape != estimate.shape:
            continue
        found, true = np.asarray(estimate, float)[None], truth[None]
        moved = metrics.procrustes_aligned(found, true)
        of_hand, curves[row] = _aligned_mesh(moved, true)
        mirrored = metrics.similarity_onto(found, true, allow_reflection=True)
        reflected = of_hand
        if np.linalg.det(mirrored.rotation[0]) < 0:
            reflected, _ = _aligned_mesh(mirrored.apply(found), true)
        of_hand |= {f"reflected_{name}": value for name, value in reflected.items()}
        if not pair.truth.is_root_relative:
            errors = metrics.point_errors(found, true)
            of_hand["mpvpe_mm"] = 1e3 * errors.mean()
            of_hand["camera_auc_v"] = metrics.auc(errors)
            scores = metrics.fscore(found, true)[0]
            of_hand["camera_f5"], of_hand["camera_f15"] = scores
        wrists = (pair.estimate.keypoints_3d[0], pair.truth.keypoints_3d[0])
        rooted = [mesh - wrist for mesh, wrist in zip((found, true), wrists, strict=True)]
        of_hand["root_aligned_mpvpe_mm"] = 1e3 * metrics.mpjpe(*rooted)[0]
        mesh = faces(pair)
        if mesh is not None:
            of_hand["edge_mm"] = 1e3 * metrics.edge_error(found, true, mesh)[0]
            of_hand["normal"] = metrics.normal_error(moved, true, mesh)[0]
        for name, value in of_hand.items():
            figures[name][row] = value
    return figures, curves


def _aligned_mesh(moved: np.ndarray, true: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
    """The figures of one aligned mesh (1, V, 3), and its curve."""
    errors = metrics.point_errors(moved, true)
    scores = metrics.fscore(moved, true)[0]
    figures = {
        "pa_mpvpe_mm": 1e3 * float(errors.mean()),
        "auc_v": metrics.auc(errors),
        "f5": float(scores[0]),
        "f15": float(scores[1]),
    }
    return figures, metrics.pck(errors)


VERTEX_MEASURES = (
    "mpvpe_mm",
    "root_aligned_mpvpe_mm",
    "pa_mpvpe_mm",
    "auc_v",
    "camera_auc_v",
    "f5",
    "f15",
    "reflected_pa_mpvpe_mm",
    "reflected_auc_v",
    "reflected_f5",
    "reflected_f15",
    "camera_f5",
    "camera_f15",
    "edge_mm",
    "normal",
)


def mask_figures(
    pairs: Sequence[Pair],
    masks: Sequence[np.ndarray | None],
    faces: Callable[[Pair], np.ndarray | None],
) -> Errors:
    """How well the estimated meshes cover the annotated masks.

    Args:
        pairs: N hands.
        masks: N annotated masks (H, W) bool, or None.
        faces: of a hand's mesh (F, 3), or None.

    Returns:
        (N,) figures, NaN where there is no mask, no mesh or no K.
    """
    figures: Errors = {name: np.full(len(pairs), np.nan) for name in ("mask_iou", "mask_accuracy")}
    for row, (pair, mask) in enumerate(zip(pairs, masks, strict=True)):
        K, vertices = pair.annotation.intrinsics, pair.estimate.vertices
        if mask is None or K is None or vertices is None:
            continue
        mesh = faces(pair)
        if mesh is None:
            continue
        own = K.astype(float)
        own[[0, 1], [0, 1]] *= pair.estimate.focal_scale
        seen = silhouette(vertices, mesh, own, mask.shape)[None]
        figures["mask_iou"][row] = metrics.mask_iou(seen, mask[None])[0]
        figures["mask_accuracy"][row] = metrics.mask_accuracy(seen, mask[None])[0]
    return figures


def silhouette(
    vertices: np.ndarray, faces: np.ndarray, K: np.ndarray, size: tuple[int, ...]
) -> np.ndarray:
    """(H, W) bool: the pixels whose centre a mesh covers.

    Args:
        vertices: (V, 3) metres in the camera.
        faces: (F, 3).
        K: (3, 3) pixels.
        size: (H, W).
    """
    import torch

    from fitter.camera import project
    from fitter.raster import rasterize

    points = torch.from_numpy(np.asarray(vertices, np.float64))[None]
    screen = torch.cat([project(points, torch.from_numpy(K)[None]), points[..., 2:]], dim=-1)
    height, width = size
    seen = rasterize(screen.float(), torch.from_numpy(np.asarray(faces, np.int64)), (height, width))
    return seen.mask[0].numpy().astype(bool)


def acceleration_figures(
    frames: Sequence[tuple[str, int, str]], estimate: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """Acceleration errors of hands in videos, see `metrics.acceleration_error`.

    Args:
        frames: N hands' sequence, frame number, and which hand of the sequence.
        estimate: (N, 21, 3) metres.
        truth: (N, 21, 3).

    Returns:
        (N,) mm per frame squared, NaN for a hand without a hand in the frame before or after. A
        frame is as long as the least step between numbers in the hand's sequence.
    """
    found = np.full(len(frames), np.nan)
    order = sorted(range(len(frames)), key=lambda i: (frames[i][0], frames[i][2], frames[i][1]))
    start = 0
    while start < len(order):
        stop = start
        sequence, _, hand = frames[order[start]]
        while stop < len(order) and frames[order[stop]][::2] == (sequence, hand):
            stop += 1
        rows = np.array(order[start:stop])
        numbers = np.array([frames[row][1] for row in rows])
        steps = np.diff(numbers)
        if len(rows) >= 3 and (steps > 0).any():
            step = steps[steps > 0].min()
            errors = metrics.acceleration_error(estimate[rows], truth[rows])
            regular = (steps[:-1] == step) & (steps[1:] == step)
            found[rows[1:-1]] = np.where(regular, 1e3 * errors, np.nan)
        start = stop
    return found


def _stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([np.asarray(a, float) for a in arrays])


def _mean(errors: np.ndarray) -> np.ndarray:
    """(N,) means of (N, P), NaN left out."""
    known = np.isfinite(errors)
    total, count = np.where(known, errors, 0.0).sum(axis=1), known.sum(axis=1)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
