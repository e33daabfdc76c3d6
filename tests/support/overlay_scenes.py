"""Balls in front of grey ground, hands and objects, whose overlays are known."""

import numpy as np
import trimesh

from fitter.rendering.overlay_hand import OverlayHand, OverlayObject


def intrinsics(height: int, width: int) -> np.ndarray:
    focal = 1.5 * min(height, width)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def ball(centre, side="right", radius=0.1, **extra) -> OverlayHand:
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    return OverlayHand(sphere.vertices + np.array(centre), sphere.faces, side, **extra)


def thing(centre, radius=0.1) -> OverlayObject:
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    return OverlayObject(sphere.vertices + np.array(centre), sphere.faces)


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)
