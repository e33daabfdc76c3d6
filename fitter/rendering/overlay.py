"""Fitted hands and known objects rendered over their photograph, in a style of `OverlayStyle`."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fitter.errors import InputError
from fitter.rendering.overlay_annotations import render_skeleton, write_caption
from fitter.rendering.overlay_folder import UNFINISHED
from fitter.rendering.overlay_hand import OverlayHand, OverlayMesh, OverlayObject
from fitter.rendering.overlay_lines import blend_outlines, line_width
from fitter.rendering.overlay_scene import (
    blend_meshes,
    blend_skins,
    bounds,
    projected,
    render_scene,
)
from fitter.rendering.overlay_style import OverlayStyle
from fitter.rendering.overlay_views import render_view
from fitter.system.files import whole_file


def render_overlay(
    pixels: np.ndarray,
    hands: Sequence[OverlayHand],
    intrinsics: np.ndarray,
    style: OverlayStyle | None = None,
    objects: Sequence[OverlayObject] = (),
) -> np.ndarray:
    """Render hands and known objects over a photograph; what is nearer hides what is farther.

    Beside it go, to the right, the photograph's overlay where the style is "side-by-side", and a
    panel of the photograph's height for each of the style's views.

    Args:
        pixels: (H, W, 3) uint8 RGB; left as it is.
        hands: any number of hands, also none.
        intrinsics: (3, 3) K in pixels of `pixels`.
        style: None is `OverlayStyle()`.
        objects: of the photograph; the look "appearance" leaves them out.

    Returns:
        (H, W, 3) uint8 RGB; W is that of the photograph and of what is beside it.

    Raises:
        ValueError: when the image is not (H, W, 3) uint8 or K is not 3x3, or hands lack the skin
            that the style shows.
    """
    if pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")
    if np.shape(intrinsics) != (3, 3):
        raise ValueError(f"intrinsics must be (3, 3), got {np.shape(intrinsics)}")
    chosen = (style or OverlayStyle()).resolved
    image = np.array(pixels, order="C", copy=True)
    meshes: list[OverlayMesh] = [*hands]
    if chosen.look != "appearance":
        meshes += objects
    screens = [projected(mesh, intrinsics) for mesh in meshes]
    # Line and letter sizes that stay readable from a 256 pixel crop to a 24 megapixel photograph.
    unit = max(image.shape[:2]) / 640
    margin = 2 * line_width(unit) if chosen.look == "outline" else 0
    scene = render_scene(image.shape, meshes, screens, margin)
    if scene is not None:
        if chosen.look == "outline":
            blend_outlines(image, scene, float(intrinsics[0, 0]), chosen.opacity)
        elif chosen.look == "appearance":
            blend_skins(image, scene, chosen.opacity)
        else:
            blend_meshes(image, scene, chosen.opacity)
    if chosen.skeleton:
        for hand in hands:
            if hand.keypoints is not None:
                render_skeleton(image, hand.keypoints, hand.visibility, unit)
    if chosen.captions:
        for hand, screen in zip(hands, screens, strict=False):
            write_caption(image, hand, screen, unit)
    beside = (image.shape[0], min(image.shape[:2]))
    # What the photograph does not show has no place beside it: of several cameras' hands each shows
    # its own.
    shown = [
        mesh
        for mesh, screen in zip(meshes, screens, strict=True)
        if bounds(screen, image.shape) is not None
    ]
    views = [render_view(shown, view, beside, chosen.look) for view in chosen.views]
    photograph = [pixels] if chosen.look == "side-by-side" else []
    return np.hstack([*photograph, image, *views]) if photograph or views else image


def write_overlay(
    path: Path,
    pixels: np.ndarray,
    hands: Sequence[OverlayHand],
    intrinsics: np.ndarray,
    style: OverlayStyle | None = None,
    objects: Sequence[OverlayObject] = (),
) -> None:
    """Render as `render_overlay` does and write the image; the ending chooses the format.

    Raises:
        InputError: when the file cannot be written or its ending names no image format.
    """
    image = Image.fromarray(render_overlay(pixels, hands, intrinsics, style, objects))
    try:
        image.save(path, quality=92) if _is_jpeg(path) else image.save(path)
    except (OSError, ValueError) as error:
        raise InputError("overlay.unwritable", file=path, reason=error) from error


def _is_jpeg(path: Path) -> bool:
    return path.suffix.lower() in (".jpg", ".jpeg")


def write_image_overlay(
    path: Path,
    pixels: np.ndarray,
    hands: Sequence[OverlayHand],
    intrinsics: np.ndarray,
    style: OverlayStyle | None = None,
    objects: Sequence[OverlayObject] = (),
) -> None:
    """Render hands and known objects over their photograph.

    The overlay appears whole or not at all, so that one that is there need not be rendered again.

    Args:
        path: the file to make, and the folders on the way to it.
        pixels: (H, W, 3) uint8 RGB, the photograph.
        hands: fitted to it.
        intrinsics: (3, 3) K of the photograph.
        style: None is `OverlayStyle()`.
        objects: of the photograph.

    Raises:
        InputError: the folder is gone, or cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("overlay.no_folder", file=path.parent, reason=error.strerror) from error
    # Its own name, whoever else renders into the folder, from this machine or another.
    unfinished = path.with_name(f"{UNFINISHED}{uuid.uuid4().hex}.jpg")
    try:
        with whole_file(path, durable=False, partial=unfinished):
            write_overlay(unfinished, pixels, hands, intrinsics, style, objects)
    except OSError as error:
        raise InputError("overlay.unwritable", file=path, reason=error.strerror) from error
