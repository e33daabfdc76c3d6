"""Energies between the photograph and the rendered picture.

Each returns one unweighted value a hand, (B,), differentiable in the rendered picture and in the
silhouette. Pictures are (B, H, W, 3) RGB in [0, 1] (colour range not published by S2HAND, Zhao).
What the rendered picture shows where there is no hand is up to the caller.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fitter.energies.declare import energy
from fitter.energies.skin_pixels import median
from fitter.energies.structural import SsimSettings, ssim


@energy("photometric_pixel", "view.image", "foreground", "fixed_alpha", "confidence_sum")
def pixel_l2(image: Tensor, rendered: Tensor, silhouette: Tensor, confidence_sum: Tensor) -> Tensor:
    """S2HAND (Chen et al. 2021) eq. 6: colour distance over the rendered silhouette,
    ``con_sum / |S| sum_{(u, v) in S} ||I_uv - I_re_uv||_2``.

    A soft silhouette counts each pixel by
    its value, and |S| is the sum of them (not published: S is a set in print). A silhouette that is
    not detached lets the mean fall by leaving out pixels that differ. 0 where S is empty.

    Args:
        image: (B, H, W, 3) photograph.
        rendered: (B, H, W, 3).
        silhouette: (B, H, W) in [0, 1], or bool.
        confidence_sum: (B,) sum of the confidences of the 21 detected keypoints.

    Returns:
        (B,).
    """
    silhouette = silhouette.to(image.dtype)
    total = (silhouette * _colour_distance(image, rendered)).sum((1, 2))
    area = silhouette.sum((1, 2))
    return confidence_sum * total / torch.where(area == 0, 1, area)


@energy("photometric_ssim", "view.image", "rendered", "alpha")
def ssim_foreground(
    image: Tensor, rendered: Tensor, silhouette: Tensor, settings: SsimSettings | None = None
) -> Tensor:
    """S2HAND eq. 7: ``E_SSIM = 1 - SSIM(I * S, I_re)``.

    The rendered picture is to be black where the silhouette is 0, as the product is (its background
    is not published).

    Args:
        image: (B, H, W, 3) photograph.
        rendered: (B, H, W, 3).
        silhouette: (B, H, W) in [0, 1], or bool.
        settings: of SSIM, not published; None is `SsimSettings()`.

    Returns:
        (B,) in [0, 2].
    """
    return 1 - ssim(image * silhouette[..., None], rendered, settings)


@energy("photometric_rgb", "view.image", "rendered")
def rgb_all_pixels(image: Tensor, rendered: Tensor, settings: SsimSettings | None = None) -> Tensor:
    """Zhao 3.5: ``L_rgb = 1 / (H W) sum_uv ||I_uv - I_re_uv||_2 + (1 - SSIM(I, I_re))``.

    Over all pixels, the background's too, whose rendered colour is not published.

    Args:
        image: (B, H, W, 3) photograph.
        rendered: (B, H, W, 3).
        settings: of SSIM, not published; None is `SsimSettings()`.

    Returns:
        (B,).
    """
    return _colour_distance(image, rendered).mean((1, 2)) + 1 - ssim(image, rendered, settings)


@energy("photometric_robust", "view.image", "foreground", "skin_alpha", "stage.photometric_scale")
def robust_pixels(image: Tensor, rendered: Tensor, weight: Tensor, scale: float) -> Tensor:
    """Colour distance that takes little notice of pixels that are no bare skin, ours:
    ``sum w s rho(d / s) / sum w``, d the distance ``||I_uv - I_re_uv||_2`` of a pixel, rho
    that of Geman and McClure, 1987, ``rho(q) = q / (1 + q)``, and s = scale * median d.

    Where d is small that is the distance itself, as of S2HAND's eq. 6. A pixel pulls with
    ``w / (1 + q)^2`` of the force that it has there: a ring or a sleeve at three times s with a
    sixteenth. The scale is the hand's own: while its colours are still far off it is large and all
    pixels count. It is taken at the current colours and held in the gradient. As s falls with the
    distances, so does the value (distances c times as large cost c times as much), so values of
    different iterations can be compared. s is never below a step of 8-bit colour. 0 where no pixel
    has a weight.

    Args:
        image: (B, H, W, 3) photograph.
        rendered: (B, H, W, 3).
        weight: (B, H, W) of the pixels, in [0, 1].
        scale: of s, in medians; the median is that of every second pixel of every second row.

    Returns:
        (B,).
    """
    distance = _colour_distance(image, rendered)
    with torch.no_grad():
        seen, few = weight[:, ::2, ::2].flatten(1) > 0.5, distance[:, ::2, ::2].flatten(1)
        s = (scale * median(few, seen)).clamp_min(1 / 255)[:, None, None]
    total = (weight * s * distance / (s + distance)).sum((1, 2))
    area = weight.sum((1, 2))
    return total / torch.where(area == 0, 1, area)


def _colour_distance(first: Tensor, second: Tensor) -> Tensor:
    """(B, H, W) L2 norm of the difference of two colours; no gradient where they are equal."""
    # Channels first: a reduction over an innermost dimension of 3 takes far longer.
    difference = (first - second).permute(3, 0, 1, 2).contiguous()
    squared = (difference * difference).sum(0)
    # Below the clamp, whose root is 0 for all purposes, no gradient passes.
    return squared.clamp_min(torch.finfo(squared.dtype).tiny).sqrt()
