"""A `Scene` on the page of viser: what is there of the last one is replaced or taken away."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import viser
from viser.transforms import SO3

from fitter.conventions import BONES
from fitter.formats.glb import posed_glb
from fitter.formats.hand_asset import HandAsset
from fitter.rendering.overlay_annotations import FINGER_COLOURS
from fitter.rendering.overlay_hand import SIDE_COLOURS
from fitter.viewer.cameras import SceneCamera
from fitter.viewer.scene import Scene, SceneHand

Surface = Literal["skin", "side", "track", "none"]
SURFACES: tuple[Surface, ...] = get_args(Surface)

_GOLDEN = 0.6180339887498949
"""Steps of this share of the circle of hues keep any number of tracks apart: the golden ratio's
fractional part."""

_CHOSEN = (250, 220, 60)
"""RGB around the hand that was clicked."""

_LINE, _JOINT, _WRIST = 0.0012, 0.0035, 0.006
"""Metres: thickness of bones and trails, and sizes of joints and wrists."""

_FRUSTUM, _FRUSTUM_LINE = (60, 60, 60), 1.5
"""RGB of cameras, and the width of their lines, pixels of the screen."""


@dataclass(frozen=True)
class Look:
    """What is shown of a scene.

    Attributes:
        surface: of meshes: their skin or texture, one colour a side or a track, or no mesh.
        opacity: of meshes of one colour, 0 to 1.
        skeleton: the bones of the 21 keypoints.
        joints: the keypoints.
        wrists: the wrists alone, larger.
        trails: the way of the wrists of tracks.
        cameras: the cameras' frusta.
        pictures: the pictures behind the hands.
    """

    surface: Surface = "skin"
    opacity: float = 1.0
    skeleton: bool = False
    joints: bool = False
    wrists: bool = False
    trails: bool = True
    cameras: bool = True
    pictures: bool = True


class SceneDrawing:
    """Draws scenes, one in place of the other."""

    def __init__(self, scene: viser.SceneApi, on_click: Callable[[int], None]) -> None:
        """Take the page's scene, and what is told the slot of a hand that is clicked."""
        self._scene, self._on_click = scene, on_click
        self._drawn: dict[str, viser.SceneNodeHandle] = {}

    def draw(self, scene: Scene, look: Look, chosen: int | None = None) -> None:
        """Show a scene; `chosen` is the slot of the hand that stands out."""
        before, self._drawn = self._drawn, {}
        for number, camera in enumerate(scene.cameras):
            self._add_camera(f"/cameras/{number}", camera, scene.depth, look)
        for seen in scene.hands:
            self._add_hand(f"/hands/{seen.slot}", seen, look, seen.slot == chosen)
        for trail in scene.trails if look.trails else ():
            name = f"/trails/{trail.track}"
            if len(trail.segments):
                self._drawn[name] = self._scene.add_line_segments(
                    name, trail.segments, track_colour(trail.track), thickness=_LINE
                )
        for name, handle in before.items():
            if name not in self._drawn:
                handle.remove()

    def _add_camera(self, name: str, camera: SceneCamera, depth: float, look: Look) -> None:
        corners = camera.corners(depth)
        turned = SO3.from_matrix(camera.rotation.T).wxyz
        if look.pictures and camera.pixels is not None:
            plane = camera.plane(depth)
            self._drawn[f"{name}/picture"] = self._scene.add_image(
                f"{name}/picture",
                camera.pixels,
                plane.width,
                plane.height,
                format="jpeg",
                jpeg_quality=85,
                wxyz=turned,
                position=plane.centre,
                cast_shadow=False,
                receive_shadow=False,
            )
        if look.cameras:
            rays = np.stack([np.broadcast_to(camera.centre, (4, 3)), corners], axis=1)
            edges = np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)
            self._drawn[f"{name}/frustum"] = self._scene.add_line_segments(
                f"{name}/frustum",
                np.concatenate([rays, edges]).astype(np.float32),
                _FRUSTUM,
                thickness=_FRUSTUM_LINE,
                thickness_units="screen",
            )

    def _add_hand(self, name: str, seen: SceneHand, look: Look, is_chosen: bool) -> None:
        if look.surface != "none":
            self._add_mesh(f"{name}/mesh", seen, look, is_chosen)
        points = seen.hand.keypoints_3d
        if points is None:
            return
        points = points.astype(np.float32)
        if look.skeleton:
            bones = np.stack([points[[a, b]] for a, b in BONES])
            colours = np.array([[FINGER_COLOURS[(b - 1) // 4]] * 2 for _, b in BONES], np.uint8)
            self._drawn[f"{name}/bones"] = self._scene.add_line_segments(
                f"{name}/bones", bones, colours, thickness=_LINE
            )
        if look.joints:
            colours = np.array([(255, 255, 255), *np.repeat(FINGER_COLOURS, 4, axis=0)], np.uint8)
            self._add_points(f"{name}/joints", points, colours, _JOINT)
        if look.wrists:
            colours = np.array([colour_of(seen, look)], np.uint8)
            self._add_points(f"{name}/wrist", points[:1], colours, _WRIST)

    def _add_points(self, name: str, points: np.ndarray, colours: np.ndarray, size: float) -> None:
        self._drawn[name] = self._scene.add_point_cloud(
            name, points, colours, point_size=size, point_shape="circle"
        )

    def _add_mesh(self, name: str, seen: SceneHand, look: Look, is_chosen: bool) -> None:
        hand = seen.hand
        vertices = hand.fitted_vertices()
        handle: Any
        if look.surface == "skin":
            asset = HandAsset.of(hand, hand.meshes, "hand")
            handle = self._scene.add_glb(name, posed_glb(asset), cast_shadow=False)
        else:
            handle = self._scene.add_mesh_simple(
                name,
                vertices,
                hand.faces,
                color=colour_of(seen, look),
                opacity=None if look.opacity >= 1 else look.opacity,
                side="double",
                cast_shadow=False,
            )
        self._drawn[name] = handle
        slot = seen.slot
        handle.on_click(lambda _: self._on_click(slot))
        if is_chosen:
            low, high = vertices.min(axis=0), vertices.max(axis=0)
            self._drawn[f"{name}_box"] = self._scene.add_line_segments(
                f"{name}_box",
                _box_edges(low, high),
                _CHOSEN,
                thickness=_FRUSTUM_LINE,
                thickness_units="screen",
            )


def colour_of(seen: SceneHand, look: Look) -> tuple[int, int, int]:
    """RGB of a hand: of its track where tracks are told apart and it has one, else of its side."""
    if look.surface == "track" and seen.track is not None:
        return track_colour(seen.track)
    assert seen.hand.side is not None  # every hand that was fitted has one
    return SIDE_COLOURS[seen.hand.side]


def track_colour(track: int) -> tuple[int, int, int]:
    """RGB of a track, by its number."""
    red, green, blue = colorsys.hsv_to_rgb((track * _GOLDEN) % 1.0, 0.65, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def _box_edges(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(12, 2, 3) float32, the edges of a box."""
    corners = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, 8).T
    pairs = [(a, b) for a in range(8) for b in range(a) if (a ^ b).bit_count() == 1]
    return np.stack([corners[[a, b]] for a, b in pairs]).astype(np.float32)
