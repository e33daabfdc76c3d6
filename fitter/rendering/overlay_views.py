"""Hands and known objects from another side, on plain ground beside their photograph: errors of
depth show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from fitter.rendering.overlay_hand import OverlayMesh
from fitter.rendering.overlay_scene import blend_meshes, blend_skins, render_scene
from fitter.rendering.overlay_style import OverlayLook, OverlayView

_ROTATIONS: dict[OverlayView, np.ndarray] = {
    "side": np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]),
    "top": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
    "back": np.array([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]]),
}
"""Camera axes (x right, y down, z forward) to those of a viewer who stands at the camera's right,
above the hands, and behind them."""

_LABELS: dict[OverlayView, str] = {
    "side": "side, camera at the left",
    "top": "top, camera below",
    "back": "back",
}

GROUND = (238, 240, 242)
"""RGB of the plain ground that hands stand on where there is no photograph."""

_INK = (60, 64, 70)
_FILLED = 0.8
"""Share of the panel that the hands reach across, along one of its sides at least."""

_DISTANCE = 100.0
"""Times the scene's extent at which the viewer stands: near enough to no perspective."""


def rotated(points: np.ndarray, view: OverlayView, middle: np.ndarray) -> np.ndarray:
    """Points (N, 3) about a middle (3,), metres in camera axes, in the axes of a viewer of `view`,
    whose origin is the middle."""
    return (points - middle) @ _ROTATIONS[view].T


def scene_middle(meshes: Sequence[OverlayMesh]) -> np.ndarray:
    """(3,) metres: the middle of the box around the vertices of all meshes, camera axes."""
    points = np.concatenate([mesh.vertices for mesh in meshes])
    return (points.min(0) + points.max(0)) / 2


def render_view(
    meshes: Sequence[OverlayMesh], view: OverlayView, size: tuple[int, int], look: OverlayLook
) -> np.ndarray:
    """A panel that shows meshes from another side, without perspective, with a bar for scale.

    Args:
        meshes: any number, also none.
        view: where from.
        size: (H, W) of the panel, pixels.
        look: "appearance" shows the skin of hands, every other one plain colours.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    panel = np.full((*size, 3), GROUND, np.uint8)
    unit = max(size) / 640
    if meshes:
        middle = scene_middle(meshes)
        points = [rotated(np.asarray(mesh.vertices, np.float64), view, middle) for mesh in meshes]
        every = np.concatenate(points)
        extent = np.abs(every).max(0)
        reach = _FILLED / 2 * np.array([size[1], size[0]])
        scale = float((reach / np.maximum(extent[:2], 1e-9)).min())  # pixels a metre
        far = _DISTANCE * float(extent.max())
        centre = np.array([size[1] / 2, size[0] / 2])
        screens = [
            np.column_stack([scale * seen[:, :2] + centre, seen[:, 2] + far]) for seen in points
        ]
        turned = [replace(mesh, vertices=seen) for mesh, seen in zip(meshes, points, strict=True)]
        scene = render_scene(panel.shape, turned, screens)
        assert scene is not None  # its middle is the panel's
        if look == "appearance":
            blend_skins(panel, scene, 1.0)
        else:
            blend_meshes(panel, scene, 1.0)
        _draw_bar(panel, scale, unit)
    for label in (_LABELS[view], view):
        if _width(label, unit) <= size[1] - 20 * unit:
            _write(panel, label, (round(10 * unit), round(22 * unit)), unit)
            break
    return panel


def _draw_bar(panel: np.ndarray, scale: float, unit: float) -> None:
    """A bar of a round length of at most a third of the panel, at its lower left."""
    lengths = [c * 10.0**e for e in range(-3, 3) for c in (1, 2, 5)]
    fitting = [length for length in lengths if length * scale <= panel.shape[1] / 3]
    if not fitting:
        return
    length = fitting[-1]
    x, y = round(10 * unit), panel.shape[0] - round(14 * unit)
    end, width = x + round(length * scale), max(1, round(2 * unit))
    cv2.line(panel, (x, y), (end, y), _INK, width, cv2.LINE_AA)
    text = f"{100 * length:g} cm" if length < 1 else f"{length:g} m"
    _write(panel, text, (x, y - round(6 * unit)), unit)


def _letters(unit: float) -> tuple[float, int]:
    """Scale of the letters and width of their lines."""
    return max(0.35, 0.5 * unit), max(1, round(unit))


def _width(text: str, unit: float) -> int:
    scale, width = _letters(unit)
    return cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, width)[0][0]


def _write(panel: np.ndarray, text: str, place: tuple[int, int], unit: float) -> None:
    scale, width = _letters(unit)
    x, y = place[0], max(place[1], round(32 * scale))  # small letters are no smaller
    cv2.putText(panel, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, width, cv2.LINE_AA)
