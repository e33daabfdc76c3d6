"""Energies between the rendered silhouette and a mask (or, in Zhao's print, the image itself).

Each returns one unweighted value a hand, (B,), differentiable in the silhouette. Silhouettes and
masks are (B, H, W) in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.energies.declare import energy
from fitter.energies.structural import SsimSettings, ssim


@energy("silhouette_l2", "alpha", "view.mask", "view.mask_weight", "stage.pixel_unit")
def squared_l2(
    alpha: Tensor, target: Tensor, weight: Tensor | None = None, pixel_unit: float = 1.0
) -> Tensor:
    """Seeber et al. (RealisticHands) 3.2: ``||S_mesh - S_target||_2^2``, summed over pixels.

    A sum, as printed, so the value grows with the image's resolution, which is not published.

    Args:
        alpha: (B, H, W) rendered silhouette.
        target: (B, H, W) mask.
        weight: (B, H, W) factor of each pixel's square, not published: 0 takes out pixels where the
            mask is unknown. None is 1 everywhere, as printed.
        pixel_unit: pixels along the side of the square that areas are measured in; the side of the
            silhouette for a mean over pixels.

    Returns:
        (B,) squares of that side.
    """
    squares = (alpha - target).square()
    return (squares if weight is None else weight * squares).sum((1, 2)) / pixel_unit**2


@energy("silhouette_iou", "alpha", "view.mask", "view.mask_weight")
def iou_loss(alpha: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """One minus the soft intersection over union, ``1 - sum(a t) / sum(a + t - a t)``
    (Rahman, Wang, "Optimizing intersection-over-union in deep neural networks for image
    segmentation", 2016, eqs. 3 to 5).

    Two empty silhouettes agree: 0, with no gradient.

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


@energy("image_silhouette_ssim", "alpha_in_image", "view.image")
def ssim_silhouette(alpha: Tensor, image: Tensor, settings: SsimSettings | None = None) -> Tensor:
    """Zhao 3.5: ``L_sil = 1 - SSIM(I, I^sil)``, the grey silhouette against the image.

    As printed, I is the photograph. How a silhouette of one channel meets an image of three is not
    published: here it is compared with each, and the mean taken.

    Args:
        alpha: (B, H, W) rendered silhouette.
        image: (B, H, W, C) in [0, 1].
        settings: of SSIM, not published; None is `SsimSettings()`.

    Returns:
        (B,) in [0, 2].
    """
    return 1 - ssim(image, alpha[..., None], settings)


@energy("silhouette_ssim", "alpha", "view.mask", "view.mask_weight")
def ssim_mask(
    alpha: Tensor, mask: Tensor, weight: Tensor, settings: SsimSettings | None = None
) -> Tensor:
    """``1 - SSIM(w M, w I^sil)``: Zhao 3.5, L_sil, with a mask in place of the image (ours).

    SSIM has no weights: both are blackened where the mask is not trusted, so that they agree.

    Args:
        alpha: (B, H, W) rendered silhouette.
        mask: (B, H, W) in [0, 1].
        weight: (B, H, W) in [0, 1], the confidence in each pixel of the mask.
        settings: see `ssim_silhouette`.

    Returns:
        (B,) in [0, 2].
    """
    return ssim_silhouette(weight * alpha, (weight * mask)[..., None], settings)
