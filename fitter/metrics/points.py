"""Errors of points: keypoints or vertices, in the camera or after an alignment."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from fitter.conventions import FINGERS
from fitter.rotations import roma


def point_errors(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Euclidean distances between corresponding points: (..., P, D) twice -> (..., P)."""
    return np.linalg.norm(np.asarray(estimate, float) - np.asarray(truth, float), axis=-1)


def mpjpe(estimate: np.ndarray, truth: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Mean per-joint position error: (B, P, D) twice -> (B,) in their unit.

    In camera coordinates this is the camera-space error; of vertices it is the MPVPE.

    Args:
        estimate: (B, P, D).
        truth: (B, P, D).
        known: (B, P) bool, the points that count; None for all. A hand without any gets NaN.
    """
    errors = point_errors(estimate, truth)
    if known is None:
        return errors.mean(axis=-1)
    total = np.where(known, errors, 0.0).sum(axis=-1)
    count = known.sum(axis=-1)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def keypoint_2d_error(
    estimate: np.ndarray, truth: np.ndarray, known: np.ndarray | None = None
) -> np.ndarray:
    """Mean distance of keypoints in the image: (B, P, 2) pixels twice -> (B,) pixels."""
    return mpjpe(estimate, truth, known)


def known_points(truth: np.ndarray) -> np.ndarray:
    """(..., P) bool of points (..., P, D): those whose every coordinate is finite."""
    return np.isfinite(truth).all(axis=-1)


def per_finger(errors: np.ndarray) -> dict[str, np.ndarray]:
    """Errors of the keypoints (B, 21), averaged per finger, those that are NaN left out.

    Returns:
        (B,) for "wrist" and each of `fitter.conventions.FINGERS`; NaN where all are.
    """
    errors = np.asarray(errors, float)
    found = {"wrist": errors[:, 0]}
    for place, finger in enumerate(FINGERS):
        of_finger = errors[:, 1 + 4 * place : 5 + 4 * place]
        there = np.isfinite(of_finger)
        total, count = np.where(there, of_finger, 0.0).sum(axis=1), there.sum(axis=1)
        found[finger] = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return found


def root_aligned(points: np.ndarray, root: int = 0) -> np.ndarray:
    """Points (B, P, 3) moved so that point `root` (the wrist) is the origin."""
    points = np.asarray(points, float)
    return points - points[:, root : root + 1]


def bone_scale_aligned(
    estimate: np.ndarray, truth: np.ndarray, root: int = 0, end: int = 9
) -> np.ndarray:
    """The estimate scaled and moved so that its root and one bone's length are the truth's.

    The alignment by scale and translation of HO-3D's evaluation (Hampali et al., "HOnnotate", CVPR
    2020; github.com/shreyashampali/ho3d, `eval.py`), whose bone leads from the wrist to the base of
    the middle finger.

    Args:
        estimate: (B, P, 3).
        truth: (B, P, 3).
        root: the point that is moved onto the truth's.
        end: the other end of the bone.

    Returns:
        (B, P, 3); an estimate whose bone has no length is moved and not scaled.
    """
    source, truth = root_aligned(estimate, root), np.asarray(truth, float)
    length = np.linalg.norm(source[:, end], axis=-1)
    wanted = np.linalg.norm(truth[:, end] - truth[:, root], axis=-1)
    scale = np.divide(wanted, length, out=np.ones_like(length), where=length > 0)
    return scale[:, None, None] * source + truth[:, root : root + 1]


def scale_translation_aligned(
    estimate: np.ndarray, truth: np.ndarray, known: np.ndarray | None = None
) -> np.ndarray:
    """The estimate, scaled and moved onto the truth with the least squared distance; not rotated.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    1991, with the identity in the place of the rotation.

    Args:
        estimate: (B, P, 3).
        truth: (B, P, 3).
        known: (B, P) bool, the points that the alignment is made on; None for all.

    Returns:
        (B, P, 3), NaN for hands with values that are not finite where they are known.
    """
    return similarity_onto(estimate, truth, known, rotate=False).apply(estimate)


def procrustes_aligned(
    estimate: np.ndarray,
    truth: np.ndarray,
    allow_reflection: bool = False,
    known: np.ndarray | None = None,
) -> np.ndarray:
    """The estimate, scaled, rotated and moved onto the truth with the least squared distance.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    1991, eqs. 39 to 42.

    Args:
        estimate: (B, P, 3); a hand whose points all coincide is moved to the truth's mean.
        truth: (B, P, 3).
        allow_reflection: permit a mirror image, as the orthogonal Procrustes of FreiHAND's own
            evaluation does; the error can only become smaller. By default a proper rotation.
        known: (B, P) bool, the points that the alignment is made on; None for all. Unknown points
            are moved with the others.

    Returns:
        (B, P, 3), NaN for hands with values that are not finite where they are known.
    """
    return similarity_onto(estimate, truth, known, allow_reflection).apply(estimate)


class Similarities(NamedTuple):
    """``x -> scale * rotation (x - source) + target``, one a hand.

    Attributes:
        scale: (B,).
        rotation: (B, 3, 3), with determinant -1 where a reflection was permitted and is better.
        source: (B, 1, 3) mean of the points that are moved.
        target: (B, 1, 3) mean of the points that they are moved onto.
    """

    scale: np.ndarray
    rotation: np.ndarray
    source: np.ndarray
    target: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """(B, P, 3) points, moved."""
        centred = np.asarray(points, float) - self.source
        with np.errstate(invalid="ignore"):  # infinite points become NaN, as is said
            rotated = centred @ self.rotation.transpose(0, 2, 1)
        return self.scale[:, None, None] * rotated + self.target


def similarity_onto(
    estimate: np.ndarray,
    truth: np.ndarray,
    known: np.ndarray | None = None,
    allow_reflection: bool = False,
    rotate: bool = True,
) -> Similarities:
    """What moves estimates onto the truth with the least squared distance.

    See `procrustes_aligned` for the arguments and the source.

    Args:
        estimate: (B, P, 3).
        truth: (B, P, 3).
        known: (B, P) bool or None.
        allow_reflection: permit a mirror image.
        rotate: False for scale and translation alone.

    Returns:
        NaN for hands with values that are not finite where they are known, or with no known point.
    """
    estimate, truth = np.asarray(estimate, float), np.asarray(truth, float)
    weights = np.ones(truth.shape[:2]) if known is None else np.asarray(known, float)
    counted = weights[..., None] > 0
    finite = (np.isfinite(estimate) & np.isfinite(truth)) | ~counted
    usable = finite.all((1, 2)) & counted.any((1, 2))
    count = np.maximum(weights.sum(1), 1.0)[:, None, None]
    source_points = np.where(counted & usable[:, None, None], estimate, 0.0)
    target_points = np.where(counted & usable[:, None, None], truth, 0.0)
    source_mean = source_points.sum(1, keepdims=True) / count
    target_mean = target_points.sum(1, keepdims=True) / count
    source = np.where(counted, source_points - source_mean, 0.0)
    target = np.where(counted, target_points - target_mean, 0.0)
    covariance = target.transpose(0, 2, 1) @ source
    rotation = np.broadcast_to(np.eye(3), covariance.shape)
    if rotate:
        rotation = roma.procrustes(
            torch.from_numpy(covariance), force_rotation=not allow_reflection, method="svd"
        ).numpy()
    scatter = (source**2).sum((1, 2))
    agreement = (rotation * covariance).sum((1, 2))
    scale = np.divide(agreement, scatter, out=np.zeros_like(scatter), where=scatter > 0)
    scale[~usable] = np.nan
    return Similarities(scale, rotation, source_mean, target_mean)


def pa_mpjpe(
    estimate: np.ndarray,
    truth: np.ndarray,
    allow_reflection: bool = False,
    known: np.ndarray | None = None,
) -> np.ndarray:
    """`mpjpe` after `procrustes_aligned`: (B, P, 3) twice -> (B,)."""
    return mpjpe(procrustes_aligned(estimate, truth, allow_reflection, known), truth, known)
