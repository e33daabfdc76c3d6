"""A mesh's outline over its photograph: the contour of its silhouette, and its creases."""

from __future__ import annotations

import cv2
import numpy as np

from fitter.rendering.overlay_scene import Scene, blend_samples

_STEP = 0.004
"""Metres of depth between neighbouring samples above which one part hides another: less than half
of a finger's thickness."""

_STEP_SAMPLES = 3.0
"""The same in widths of a sample on the hand, for hands of few pixels."""

_CREASE = np.cos(np.radians(50.0))
"""Cosine of the angle between the normals of neighbouring samples above which the skin folds."""


def line_width(unit: float) -> int:
    """Pixels of the lines in an image whose longer side measures 640 `unit`s."""
    return max(1, round(1.6 * unit))


def blend_outlines(image: np.ndarray, scene: Scene, focal: float, opacity: float) -> None:
    """Draw the outlines of the meshes of a scene in place, with a dark rim that shows on skin.

    Args:
        image: (H, W, 3) uint8.
        scene: rendered with a margin of at least twice `line_width`.
        focal: length in pixels of the image.
        opacity: of the lines.
    """
    width = line_width(max(image.shape[:2]) / 640) * scene.scale
    part, lines = scene.part(image), outlines(scene, focal)
    drawn = [
        _wider(lines & (scene.mesh_index == number), width) for number in range(len(scene.meshes))
    ]
    rim = _wider(lines, width + 2 * scene.scale) & ~np.any(drawn, axis=0)
    blend_samples(part, np.zeros(3, np.float32), rim, scene.scale, 0.5 * opacity)
    for mesh, mine in zip(scene.meshes, drawn, strict=True):
        colour = np.array(mesh.colour, np.float32)
        blend_samples(part, colour, mine, scene.scale, opacity)


def outlines(scene: Scene, focal: float) -> np.ndarray:
    """(sH, sW) bool: samples of meshes at a border to the ground or to another one, at steps of
    depth where one part hides another, and at folds. Of the two samples at a line it is the nearer.

    Args:
        scene: rendered from a camera of this focal length.
        focal: pixels of the image.
    """
    found = np.zeros(scene.covered.shape, bool)
    depth = np.where(scene.covered, scene.fragments.depth[0].numpy(), np.float32(np.inf))
    normals = scene.normals()
    for axis in (0, 1):
        # Views with the axis first: neighbours are one row apart.
        marks, z, index = (np.moveaxis(each, axis, 0) for each in (found, depth, scene.mesh_index))
        n = np.moveaxis(normals, axis, 0)
        # A slanted surface is no step: the depth has to leave the line on which the samples before
        # and the samples behind go on.
        with np.errstate(invalid="ignore"):  # beside hands the depth is infinite
            slope = np.diff(z, axis=0)
            before = np.abs(slope[1:] - slope[:-1])
        leaves = np.full(slope.shape, np.inf, np.float32)
        leaves[1:], leaves[:-1] = before, np.fmin(leaves[:-1], before)
        leaves[1:-1] = np.fmin(before[:-1], before[1:])
        nearer = np.minimum(z[1:], z[:-1])
        step = np.maximum(_STEP, _STEP_SAMPLES * nearer / (focal * scene.scale))
        fold = (n[1:] * n[:-1]).sum(-1) < _CREASE
        both = (index[1:] >= 0) & (index[:-1] >= 0)
        is_line = (index[1:] != index[:-1]) | (both & ((leaves > step) | fold))
        first = z[:-1] <= z[1:]
        marks[:-1] |= is_line & first
        marks[1:] |= is_line & ~first
    return found


def _wider(lines: np.ndarray, width: int) -> np.ndarray:
    """Lines (H, W) bool made `width` samples wide."""
    if not lines.any():
        return lines
    beside = (~lines).astype(np.uint8)
    return cv2.distanceTransform(beside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= width / 2
