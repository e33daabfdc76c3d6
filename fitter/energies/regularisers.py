"""Energies on parameters and colours alone, for first-order solvers.

Each returns one unweighted value a hand, (B,), differentiable by autograd. So are the values of
`fitter.energies.priors` (anatomical limits, mixture of poses, shape), which need no twin here.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from fitter.energies.declare import energy
from fitter.energies.priors import PoseSpace
from fitter.hand_models.anatomy import anatomical_angles
from fitter.hand_models.texels import TexelGraph


@energy("appearance_prior", "params.appearance")
@energy("pose_l2", "params.hand_pose")
def squared_norm(parameters: Tensor) -> Tensor:
    """Zhao 3.5: ``||p||_2^2`` of the pose, the shape or the appearance parameters.

    Which pose parameters is not published for a model without Zhao's 30 pose components; the axis-
    angle vectors of `HandParams.hand_pose` are at hand.

    Args:
        parameters: (B, ...), zero at the mean hand.

    Returns:
        (B,).
    """
    return parameters.square().flatten(1).sum(-1)


@energy("shape_norm", "params.betas")
def shape_norm(betas: Tensor) -> Tensor:
    """S2HAND (Chen et al. 2021) 3.4.1: ``E_beta = ||beta - mean beta||``, the mean being 0.

    Not squared, as printed; which norm is not published: L2. No gradient at the mean.

    Args:
        betas: (B, S).

    Returns:
        (B,).
    """
    squared = squared_norm(betas)
    none = squared == 0
    return torch.where(none, 0, torch.where(none, 1, squared).sqrt())


@energy("camera_scale", "camera_scale", "expected_camera_scale")
def camera_scale(scale: Tensor, expected: Tensor | float) -> Tensor:
    """S2HAND 3.4.1: E_s, "to ensure the output hand is of appropriate size", in the form
    ``log(scale / expected)^2``.

    The form is not published (it stands in an appendix that is not printed). In this one twice too
    large costs what twice too small does. Below 1e-6 of the expected scale, and so for scales that
    are not positive, it stays at that scale's value.

    Args:
        scale: (B,) any unit, positive.
        expected: the same unit, (B,) or one for all.

    Returns:
        (B,).
    """
    return (scale / expected).clamp_min(1e-6).log().square()


@energy("texture_range", "colours")
def texture_range(texture: Tensor) -> Tensor:
    """S2HAND 3.4.1: E_C, "to penalize outlier RGB values", in the form
    ``mean max(c - 1, -c, 0)^2``.

    The form is not published. It is the mean over all values, so that no weight depends on how many
    texels or vertices carry colour.

    Args:
        texture: (B, ..., 3) RGB of vertices (B, V, 3) or texels (B, H, W, 3).

    Returns:
        (B,).
    """
    outside = (texture - 1).clamp_min(0) - (-texture).clamp_min(0)
    return outside.square().flatten(1).mean(-1)


@energy("texture_smoothness", "params.texture", "texels")
def texture_smoothness(texture: Tensor, texels: TexelGraph) -> Tensor:
    """How far a free texture changes along the surface, ours: ``sum ||r_i - r_j||^2`` over texels
    side by side, r the change of their logits.

    The sum is the integral of the squared gradient over the atlas, whatever the number of texels.
    Texels are neighbours within a chart, and across a seam where its two sides lie on the mesh; so
    what is not seen takes the change of what is seen around it.

    Args:
        texture: (B, T, T, 3).
        texels: neighbours of the T x T texels.

    Returns:
        (B,).
    """
    # Texels first, so that one is a long row, which is gathered and added at once.
    rows = texture.flatten(1, 2).transpose(0, 1).contiguous()
    first, second = (rows.index_select(0, texels.pairs[:, k]) for k in range(2))
    return (first - second).square().sum((0, 2))


@energy("texture_prior", "params.texture")
def texture_prior(texture: Tensor) -> Tensor:
    """How far a free texture is from the model's skin, ours: ``mean ||r||^2`` over texels, r the
    change of their logits.

    Args:
        texture: (B, T, T, 3).

    Returns:
        (B,); 0 for a texture without texels.
    """
    count = texture.shape[1] * texture.shape[2]
    return texture.square().flatten(1).sum(-1) / max(count, 1)


@energy("limits", "params.hand_pose", "space")
def joint_limits(
    hand_pose: Tensor, space: PoseSpace, hinge: Literal["linear", "squared"] = "squared"
) -> Tensor:
    """Angles beyond their limits: ``sum max(a - u, l - a, 0)^2``, after S2HAND 3.4.1, E_J.

    Angles, ranges and penalty are not published (the appendix is not printed). Here the angles are
    flexion, abduction and twist of `fitter.hand_models.anatomy` with its limits, and the excess, or
    its square, is summed. Squared it is the value of `fitter.energies.priors.anatomical_limits`.

    Args:
        hand_pose: (B, R, 3) axis-angle, see `HandParams.hand_pose`.
        space: axes and limits of the model.
        hinge: what of the excess is summed.

    Returns:
        (B,) radians, or radians squared.

    Raises:
        ValueError: for another hinge.
    """
    if hinge not in ("linear", "squared"):
        raise ValueError(f"hinge must be 'linear' or 'squared', got {hinge!r}")
    angles = anatomical_angles(hand_pose, space.axes)
    excess = (angles - space.upper).clamp_min(0) + (space.lower - angles).clamp_min(0)
    return (excess if hinge == "linear" else excess.square()).flatten(1).sum(-1)
