"""Energies between projected and detected 2D keypoints, for first-order solvers.

Each returns one unweighted value a hand, (B,), differentiable in the projected keypoints. Positions
are of one unit throughout (pixels of the crop, crop units, normalised coordinates): the unit is not
published (S2HAND, Zhao) and the caller's choice. `fitter.energies.keypoints` holds the energies
with analytic second derivatives that the Levenberg-Marquardt stage minimises.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from fitter.conventions import BONES
from fitter.energies.declare import energy


@energy("keypoints_smooth_l1", "projected", "detected", "view.confidence", "stage.keypoint_beta")
def smooth_l1_keypoints(
    projected: Tensor, detected: Tensor, confidence: Tensor, beta: float = 1.0
) -> Tensor:
    """S2HAND (Chen et al. 2021) eq. 3: ``1/k sum_i con_i SmoothL1(j_de_i, j_pro_i)``, k = 21.

    SmoothL1 of a point is the sum of SmoothL1 of its x and its y (not published):
    ``d^2 / (2 beta)`` for ``|d| < beta``, else ``|d| - beta / 2``.

    Args:
        projected: (B, 21, 2).
        detected: (B, 21, 2), the same unit.
        confidence: (B, 21) in [0, 1].
        beta: in that unit, where the loss turns from quadratic to linear. Not published; 1 is
            that of Girshick, "Fast R-CNN", 2015, eq. 3, where the loss comes from.

    Returns:
        (B,).
    """
    loss = functional.smooth_l1_loss(projected, detected, reduction="none", beta=beta)
    return (confidence * loss.sum(-1)).mean(-1)


@energy("bone_orientation", "projected", "detected", "view.confidence")
def bone_orientation(projected: Tensor, detected: Tensor, confidence: Tensor) -> Tensor:
    """S2HAND eq. 4: ``1/m sum_i con_bone_i ||v_de_i - v_pro_i||^2`` over the m = 20 bones.

    v are the bones' unit vectors in the picture and con_bone the product of the confidences of both
    ends. A bone of no length has no direction, v = 0, and no gradient (not published). With all
    confidences 1 it is Zhao's L_bone (3.5), whose norm over all bones is a sum, divided by m.

    Args:
        projected: (B, 21, 2).
        detected: (B, 21, 2), any unit.
        confidence: (B, 21) in [0, 1].

    Returns:
        (B,) in [0, 4].
    """
    palm, tip = (list(ends) for ends in zip(*BONES, strict=True))
    difference = _directions(detected[:, tip] - detected[:, palm]) - _directions(
        projected[:, tip] - projected[:, palm]
    )
    weight = confidence[:, palm] * confidence[:, tip]
    return (weight * difference.square().sum(-1)).mean(-1)


@energy("keypoints_l2", "projected", "detected", "view.confidence")
def squared_l2_keypoints(
    projected: Tensor, detected: Tensor, confidence: Tensor | None = None
) -> Tensor:
    """Zhao 3.5: ``L_2d = ||J_gt_pro - J_pred_pro||_2^2``, summed over the 21 keypoints.

    Args:
        projected: (B, 21, 2).
        detected: (B, 21, 2), the same unit.
        confidence: (B, 21); a keypoint of none was not seen, may be written down anywhere, such as
            at (0, 0), and does not count (not published). None: all count.

    Returns:
        (B,) that unit squared.
    """
    if confidence is not None:
        detected = torch.where((confidence > 0)[..., None], detected, projected.detach())
    return (projected - detected).square().sum((1, 2))


def _directions(vectors: Tensor) -> Tensor:
    """Unit vectors (..., 2); 0, with no gradient, for a vector of no length."""
    squared = vectors.square().sum(-1, keepdim=True)
    # Compared this way round so that NaN is not taken for zero.
    none = squared <= torch.finfo(vectors.dtype).tiny
    return torch.where(none, 0, vectors) / torch.where(none, 1, squared).sqrt()
