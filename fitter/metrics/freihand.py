"""FreiHAND's own evaluation, to the digit that it prints.

Zimmermann et al., "FreiHAND", ICCV 2019; github.com/lmb-freiburg/freihand, `eval.py`. Its rules:

- Joints and vertices are aligned separately, each by a similarity that may be a reflection.
- A mesh of another topology than the truth's has no vertex errors. Its F-scores are of the mesh
  moved by the joints' similarity, about its own mean.
- A keypoint is correct if its error is not above the threshold; an F-score counts distances
  strictly below 5 and 15 mm.
- The area is over 0 to 50 mm in 100 steps and averaged over the curves of 21 joints, or 778
  vertices.
- Errors are means of the means per joint; lengths are printed in cm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitter.metrics.curves import auc
from fitter.metrics.points import point_errors, procrustes_aligned, similarity_onto
from fitter.metrics.surfaces import fscore


@dataclass(frozen=True)
class FreiHandScores:
    """What FreiHAND's evaluation prints; lengths in cm, None where it has nothing to measure.

    Attributes:
        xyz_mean3d, xyz_auc3d: joints in the camera.
        xyz_al_mean3d, xyz_al_auc3d: joints, aligned.
        mesh_mean3d, mesh_auc3d: vertices in the camera.
        mesh_al_mean3d, mesh_al_auc3d: vertices, aligned.
        f_score_5, f_score_15: of vertices in the camera.
        f_al_score_5, f_al_score_15: of aligned vertices.
    """

    xyz_mean3d: float
    xyz_auc3d: float
    xyz_al_mean3d: float
    xyz_al_auc3d: float
    mesh_mean3d: float | None = None
    mesh_auc3d: float | None = None
    mesh_al_mean3d: float | None = None
    mesh_al_auc3d: float | None = None
    f_score_5: float | None = None
    f_al_score_5: float | None = None
    f_score_15: float | None = None
    f_al_score_15: float | None = None

    def printed(self) -> str:
        """The lines that it prints, with its digits."""
        lines = [
            "Evaluation 3D KP results:",
            f"auc={self.xyz_auc3d:.3f}, mean_kp3d_avg={self.xyz_mean3d:.2f} cm",
            "Evaluation 3D KP ALIGNED results:",
            f"auc={self.xyz_al_auc3d:.3f}, mean_kp3d_avg={self.xyz_al_mean3d:.2f} cm",
        ]
        if self.mesh_mean3d is not None:
            lines += [
                "Evaluation 3D MESH results:",
                f"auc={self.mesh_auc3d:.3f}, mean_kp3d_avg={self.mesh_mean3d:.2f} cm",
                "Evaluation 3D MESH ALIGNED results:",
                f"auc={self.mesh_al_auc3d:.3f}, mean_kp3d_avg={self.mesh_al_mean3d:.2f} cm",
            ]
        if self.f_score_5 is not None:
            lines += [
                "F-scores",
                f"F@5.0mm = {self.f_score_5:.3f} \tF_aligned@5.0mm = {self.f_al_score_5:.3f}",
                f"F@15.0mm = {self.f_score_15:.3f} \tF_aligned@15.0mm = {self.f_al_score_15:.3f}",
            ]
        return "\n".join(lines)


def freihand_scores(
    estimate: np.ndarray,
    truth: np.ndarray,
    estimate_vertices: np.ndarray | None = None,
    truth_vertices: np.ndarray | None = None,
) -> FreiHandScores:
    """Score N hands by FreiHAND's rules, see the module.

    Args:
        estimate: (N, 21, 3) metres, camera frame.
        truth: (N, 21, 3).
        estimate_vertices: (N, V, 3), or None.
        truth_vertices: (N, W, 3), or None. F-scores alone where V and W differ.
    """
    estimate, truth = np.asarray(estimate, float), np.asarray(truth, float)
    aligned = procrustes_aligned(estimate, truth, allow_reflection=True)
    joints = _mean_and_auc("xyz", estimate, truth) | _mean_and_auc("xyz_al", aligned, truth)
    if estimate_vertices is None or truth_vertices is None:
        return FreiHandScores(**joints)
    found, true = np.asarray(estimate_vertices, float), np.asarray(truth_vertices, float)
    mesh: dict[str, float] = {}
    if found.shape == true.shape:
        moved = procrustes_aligned(found, true, allow_reflection=True)
        mesh = _mean_and_auc("mesh", found, true) | _mean_and_auc("mesh_al", moved, true)
    else:
        moved = _moved_as_the_joints(found, estimate, truth)
    scores = fscore(found, true).mean(axis=0)
    aligned_scores = fscore(moved, true).mean(axis=0)
    return FreiHandScores(
        **joints,
        **mesh,
        f_score_5=float(scores[0]),
        f_al_score_5=float(aligned_scores[0]),
        f_score_15=float(scores[1]),
        f_al_score_15=float(aligned_scores[1]),
    )


def _moved_as_the_joints(
    vertices: np.ndarray, estimate: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """Vertices moved by the joints' similarity, about their own mean, as FreiHAND's script does.

    The script scales by the size of the true joints and does not divide by that of the estimated
    ones, so such a mesh shrinks; its figures are repeated here, not mended.
    """
    found = similarity_onto(estimate, truth, allow_reflection=True)
    mean = vertices.mean(axis=1, keepdims=True)
    source = np.linalg.norm(estimate - found.source, axis=(1, 2))
    rotated = (vertices - mean) @ found.rotation.transpose(0, 2, 1)
    scale = (found.scale * source)[:, None, None]
    return scale * rotated + (found.target - found.source) + mean


def _mean_and_auc(name: str, estimate: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    errors = point_errors(estimate, truth)
    return {
        f"{name}_mean3d": 100 * float(errors.mean(axis=0).mean()),
        f"{name}_auc3d": auc(errors),
    }
