"""Energies between the rendered silhouette and a mask (or, in Zhao's print, the picture itself).

Each returns one unweighted value a hand, (B,), differentiable in the silhouette. Silhouettes and
masks are (B, H, W) in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.energies.structural import SsimSettings, ssim


def squared_l2(alpha: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Seeber et al. (RealisticHands) 3.2: ``||S_mesh - S_target||_2^2``, summed over pixels.

    A sum, as printed, so the value grows with the picture's resolution, which is not published.

    Args:
        alpha: (B, H, W) rendered silhouette.
        target: (B, H, W) mask.
        weight: (B, H, W) factor of each pixel's square, not published: 0 takes out pixels where the
            mask is unknown. None is 1 everywhere, as printed.

    Returns:
        (B,) pixels.
    """
    squares = (alpha - target).square()
    return (squares if weight is None else weight * squares).sum((1, 2))


def iou_loss(alpha: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """One minus the soft intersection over union, ``1 - sum(a t) / sum(a + t - a t)``.

    Rahman, Wang, "Optimizing intersection-over-union in deep neural networks for image
    segmentation", 2016, eqs. 3 to 5. Two empty silhouettes agree: 0, with no gradient.

    Args:
        alpha: (B, H, W) rendered silhouette.
        target: (B, H, W) mask.
        weight: (B, H, W) how much each pixel counts in both sums, None for 1.

    Returns:
        (B,) in [0, 1].
    """
    intersection = alpha * target
    union = alpha + target - intersection
    if weight is not None:
        intersection, union = weight * intersection, weight * union
    intersection, union = intersection.sum((1, 2)), union.sum((1, 2))
    empty = union == 0
    ratio = intersection / torch.where(empty, 1, union)
    return torch.where(empty, 0, 1 - ratio)


def ssim_silhouette(alpha: Tensor, image: Tensor, settings: SsimSettings | None = None) -> Tensor:
    """Zhao 3.5: ``L_sil = 1 - SSIM(I, I^sil)``, the grey silhouette against the picture.

    As printed, I is the photograph. How a silhouette of one channel meets a picture of three is not
    published: here it is compared with each, and the mean taken. Passed a mask in place of the
    picture, the same equation becomes a silhouette energy proper.

    Args:
        alpha: (B, H, W) rendered silhouette.
        image: (B, H, W, C) picture in [0, 1], or (B, H, W) mask.
        settings: of SSIM, not published; None is `SsimSettings()`.

    Returns:
        (B,) in [0, 2].
    """
    if image.ndim == 3:
        image = image[..., None]
    return 1 - ssim(image, alpha[..., None], settings)
