"""Energies: how far a hand is from what is known of it, and from what hands are like.

An energy is a function of tensors that returns one value a hand, (B,), or a `Quadratic` with its
derivatives for Levenberg-Marquardt. It is neither weighted nor reduced over hands: that is done in
one place, `fitter.energies.weighted`. `ENERGIES` is the table of all energies that a stage may
name, with what each needs and its equation; `energy` and `least_squares` put a function into it.

How far a flat and a bent square, of two faces each, are from being smooth:

    >>> import torch
    >>> from fitter.energies import ENERGIES, SurfaceGraph, normal_consistency
    >>> flat = [[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]
    >>> bent = [[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 1]]
    >>> vertices = torch.tensor([flat, bent]).requires_grad_()
    >>> graph = SurfaceGraph.of(torch.tensor([[0, 1, 2], [2, 1, 3]]), vertex_count=4)
    >>> energy = normal_consistency(vertices, graph)
    >>> [round(value, 3) for value in energy.tolist()]
    [0.0, 0.423]
    >>> torch.autograd.grad(energy.sum(), vertices)[0].shape
    torch.Size([2, 4, 3])
    >>> ENERGIES["normal_consistency"].equation[:21]
    'Seeber et al. eq. 4: '
"""

from fitter.energies.contour import contour_l2
from fitter.energies.declare import Term, energy, least_squares
from fitter.energies.inputs import KeypointInputs, OutlineInputs, SceneInputs
from fitter.energies.keypoints import (
    KeypointTargets,
    bone_directions,
    relative_depth,
    reprojection,
)
from fitter.energies.keypoints_2d import (
    bone_orientation,
    smooth_l1_keypoints,
    squared_l2_keypoints,
)
from fitter.energies.photometric import pixel_l2, rgb_all_pixels, robust_pixels, ssim_foreground
from fitter.energies.priors import PoseSpace, anatomical_limits, pose_prior, shape_prior
from fitter.energies.regularisers import (
    camera_scale,
    joint_limits,
    shape_norm,
    squared_norm,
    texture_prior,
    texture_range,
    texture_smoothness,
)
from fitter.energies.residuals import Quadratic
from fitter.energies.scene import Rendering, SceneParams, SceneView, focal_applied
from fitter.energies.silhouette import iou_loss, squared_l2, ssim_mask, ssim_silhouette
from fitter.energies.size import size_prior
from fitter.energies.structural import SsimSettings, ssim
from fitter.energies.surface import (
    SurfaceGraph,
    edge_length,
    edge_length_change,
    laplacian,
    laplacian_change,
    normal_change,
    normal_consistency,
    vertex_offset,
)
from fitter.energies.table import ENERGIES, Energy
from fitter.energies.weighted import (
    keypoint_quadratic,
    values,
    weighted_quadratic,
    weighted_value,
)

__all__ = [
    "ENERGIES",
    "Energy",
    "KeypointInputs",
    "KeypointTargets",
    "OutlineInputs",
    "PoseSpace",
    "Quadratic",
    "Rendering",
    "SceneInputs",
    "SceneParams",
    "SceneView",
    "SsimSettings",
    "SurfaceGraph",
    "Term",
    "anatomical_limits",
    "bone_directions",
    "bone_orientation",
    "camera_scale",
    "contour_l2",
    "edge_length",
    "edge_length_change",
    "energy",
    "focal_applied",
    "iou_loss",
    "joint_limits",
    "keypoint_quadratic",
    "laplacian",
    "laplacian_change",
    "least_squares",
    "normal_change",
    "normal_consistency",
    "pixel_l2",
    "pose_prior",
    "relative_depth",
    "reprojection",
    "rgb_all_pixels",
    "robust_pixels",
    "shape_norm",
    "shape_prior",
    "size_prior",
    "smooth_l1_keypoints",
    "squared_l2",
    "squared_l2_keypoints",
    "squared_norm",
    "ssim",
    "ssim_foreground",
    "ssim_mask",
    "ssim_silhouette",
    "texture_prior",
    "texture_range",
    "texture_smoothness",
    "values",
    "vertex_offset",
    "weighted_quadratic",
    "weighted_value",
]
