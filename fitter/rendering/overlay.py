"""Fitted hands rendered over their photograph: shaded meshes, keypoint skeleton, side and score."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import torch
from PIL import Image

from fitter.camera import in_front, project
from fitter.conventions import BONES
from fitter.errors import InputError
from fitter.numba_kernels import compile_kernel
from fitter.raster import rasterize
from fitter.records import Side
from fitter.rendering.shading import AmbientDirectionalLight, vertex_normals
from fitter.store.schema import HandRow
from fitter.system.files import whole_file

SIDE_COLOURS = {"right": (70, 190, 200), "left": (245, 150, 70)}
"""RGB of a mesh: blue-green for right hands, orange for left ones."""

FINGER_COLOURS = ((235, 64, 52), (250, 176, 5), (64, 192, 87), (34, 139, 230), (190, 75, 219))
"""RGB of the skeleton's thumb, index, middle, ring and little finger."""

_LIGHT = AmbientDirectionalLight(
    direction=torch.tensor([-0.35, -0.6, -1.0]),
    diffuse=torch.tensor([0.75]),
    ambient=torch.tensor([0.3]),
)
_LARGEST_RENDERING = 4_000_000
"""Supersampled pixels above which a pixel is sampled once: its steps are then too fine to see."""


@dataclass(frozen=True)
class OverlayHand:
    """One hand to render.

    Attributes:
        vertices: (V, 3) metres, camera axes.
        faces: (F, 3) integer, counter-clockwise seen from outside.
        side: chooses the colour and is written beside the hand.
        keypoints: (21, 2) pixels of the image for the skeleton, or None for no skeleton.
        score: in [0, 1], written behind the side, or None.
        note: short text written behind the score, such as a reason for failure.
        focal_scale: focal length that the hand was fitted with over that of the image's K.
        visibility: (21,) probability that each keypoint is seen; those that are not are drawn as
            rings. None where it is not known.
    """

    vertices: np.ndarray
    faces: np.ndarray
    side: Side
    keypoints: np.ndarray | None = None
    score: float | None = None
    note: str = ""
    focal_scale: float = 1.0
    visibility: np.ndarray | None = None

    @classmethod
    def of(cls, hand: HandRow, vertices: np.ndarray, faces: np.ndarray) -> Self:
        """A fitted hand with its mesh: vertices (V, 3) metres, camera frame, and faces (F, 3)."""
        assert hand.side is not None  # every hand that was fitted has one
        return cls(
            vertices=vertices,
            faces=faces,
            side=hand.side,
            keypoints=hand.keypoints_2d,
            visibility=hand.keypoint_visibility,
            score=hand.score,
            focal_scale=1.0 if hand.focal_scale is None else hand.focal_scale,
        )

    @property
    def caption(self) -> str:
        """What is written beside the hand, e.g. "right 0.93"."""
        score = "" if self.score is None else f"{self.score:.2f}"
        return " ".join(part for part in (self.side, score, self.note) if part)


@dataclass(frozen=True)
class OverlayStyle:
    """How to render.

    Attributes:
        opacity: of the mesh, 0 leaves the photograph, 1 hides what is behind the hand.
        skeleton: render the keypoints of hands that have them.
        captions: write side and score.
    """

    opacity: float = 0.75
    skeleton: bool = True
    captions: bool = True


def render_overlay(
    pixels: np.ndarray,
    hands: Sequence[OverlayHand],
    intrinsics: np.ndarray,
    style: OverlayStyle | None = None,
) -> np.ndarray:
    """Render hands over a photograph; nearer hands hide farther ones.

    Args:
        pixels: (H, W, 3) uint8 RGB; left as it is.
        hands: any number of hands, also none.
        intrinsics: (3, 3) K in pixels of `pixels`.
        style: None is `OverlayStyle()`.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: when the image is not (H, W, 3) uint8 or K is not 3x3.
    """
    if pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")
    if np.shape(intrinsics) != (3, 3):
        raise ValueError(f"intrinsics must be (3, 3), got {np.shape(intrinsics)}")
    style = style or OverlayStyle()
    image = np.array(pixels, order="C", copy=True)
    screens = [_project(hand, intrinsics) for hand in hands]
    _blend_meshes(image, hands, screens, style.opacity)
    # Line and letter sizes that stay readable from a 256 pixel crop to a 24 megapixel photograph.
    unit = max(image.shape[:2]) / 640
    if style.skeleton:
        for hand in hands:
            if hand.keypoints is not None:
                _render_skeleton(image, hand.keypoints, hand.visibility, unit)
    if style.captions:
        for hand, screen in zip(hands, screens, strict=True):
            _write_caption(image, hand, screen, unit)
    return image


def write_overlay(
    path: Path,
    pixels: np.ndarray,
    hands: Sequence[OverlayHand],
    intrinsics: np.ndarray,
    style: OverlayStyle | None = None,
) -> None:
    """Render as `render_overlay` does and write the image; the ending chooses the format.

    Raises:
        InputError: when the file cannot be written or its ending names no image format.
    """
    image = Image.fromarray(render_overlay(pixels, hands, intrinsics, style))
    try:
        image.save(path, quality=92) if _is_jpeg(path) else image.save(path)
    except (OSError, ValueError) as error:
        raise InputError("overlay.unwritable", file=path, reason=error) from error


def _is_jpeg(path: Path) -> bool:
    return path.suffix.lower() in (".jpg", ".jpeg")


def _project(hand: OverlayHand, intrinsics: np.ndarray) -> np.ndarray:
    """(V, 3) x px, y px, depth m of a hand's vertices; NaN for those not in front of the camera."""
    points = torch.from_numpy(np.asarray(hand.vertices, dtype=np.float64))[None]
    matrix = np.array(intrinsics, dtype=np.float64)
    matrix[:2, :2] *= hand.focal_scale
    pixels = project(points, torch.from_numpy(matrix)[None])
    screen = torch.cat([pixels, points[..., 2:]], dim=-1)
    return torch.where(in_front(points)[..., None], screen, torch.nan)[0].numpy()


def _bounds(points: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    """x0, y0, x1, y1 of the image's part that finite points (N, 2+) span; None when empty."""
    finite = points[np.isfinite(points).all(axis=-1)]
    if not len(finite):
        return None
    low = np.clip(np.floor(finite[:, :2].min(axis=0)), 0, (shape[1], shape[0])).astype(int)
    high = np.clip(np.ceil(finite[:, :2].max(axis=0)), 0, (shape[1], shape[0])).astype(int)
    return None if (low >= high).any() else (low[0], low[1], high[0], high[1])


def _blend_meshes(
    image: np.ndarray,
    hands: Sequence[OverlayHand],
    screens: Sequence[np.ndarray],
    opacity: float,
) -> None:
    """Blend all meshes into the image in place, as one scene so that depth is mutual."""
    box = _bounds(np.concatenate(screens), image.shape) if hands else None
    if box is None:
        return
    x0, y0, x1, y1 = box
    scale = 2 if 4 * (x1 - x0) * (y1 - y0) <= _LARGEST_RENDERING else 1
    offsets = np.cumsum([0, *(len(hand.vertices) for hand in hands)])
    faces = np.concatenate([hand.faces + o for hand, o in zip(hands, offsets, strict=False)])
    screen = (np.concatenate(screens) - [x0, y0, 0]) * [scale, scale, 1]
    fragments = rasterize(
        torch.from_numpy(screen.astype(np.float32))[None],
        torch.from_numpy(faces.astype(np.int64)),
        ((y1 - y0) * scale, (x1 - x0) * scale),
    )
    colours = np.concatenate([_vertex_colours(hand) for hand in hands])

    _composite(
        image[y0:y1, x0:x1],
        fragments.face_index[0].numpy(),
        fragments.barycentrics[0].numpy(),
        colours[faces],
        opacity,
    )


@compile_kernel
def _composite(
    image: np.ndarray,
    face_index: np.ndarray,
    barycentrics: np.ndarray,
    face_colours: np.ndarray,
    opacity: float,
) -> None:
    """Average the samples of every pixel and blend them into the image (H, W, 3) in place.

    Samples are (sH, sW) with a whole number s; face_colours is (F, 3 corners, RGB) in 0-255.
    """
    scale = face_index.shape[0] // image.shape[0]
    share = opacity / scale**2
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            covered = 0
            red, green, blue = 0.0, 0.0, 0.0
            for y in range(row * scale, (row + 1) * scale):
                for x in range(column * scale, (column + 1) * scale):
                    face = face_index[y, x]
                    if face < 0:
                        continue
                    covered += 1
                    for corner in range(3):
                        weight = barycentrics[y, x, corner]
                        red += weight * face_colours[face, corner, 0]
                        green += weight * face_colours[face, corner, 1]
                        blue += weight * face_colours[face, corner, 2]
            if covered == 0:
                continue
            rest = 1.0 - share * covered
            colour = (red, green, blue)
            for channel in range(3):
                value = rest * image[row, column, channel] + share * colour[channel]
                image[row, column, channel] = np.uint8(min(value + 0.5, 255.0))


def _vertex_colours(hand: OverlayHand) -> np.ndarray:
    """(V, 3) float32 RGB in 0-255: the side's colour under a fixed light from over the shoulder."""
    vertices = torch.from_numpy(np.asarray(hand.vertices, dtype=np.float32))[None]
    normals = vertex_normals(vertices, torch.from_numpy(hand.faces.astype(np.int64)))[0]
    shade = _LIGHT.irradiance(normals).numpy()
    return np.minimum(shade * np.array(SIDE_COLOURS[hand.side], dtype=np.float32), 255)


def _render_skeleton(
    image: np.ndarray, keypoints: np.ndarray, visibility: np.ndarray | None, unit: float
) -> None:
    """Draw 20 bones and 21 joints in place, with sub-pixel positions; joints that are hidden as
    rings."""
    hidden = np.zeros(len(keypoints), bool) if visibility is None else visibility < 0.5
    shift = 4
    limit = 8 * max(image.shape)  # keeps OpenCV's fixed-point numbers in range
    usable = np.isfinite(keypoints).all(axis=-1)
    # OpenCV puts the centre of the top-left pixel at 0.
    safe = np.clip(np.where(usable[:, None], keypoints, 0.0) - 0.5, -limit, limit)
    points = np.round(safe * 2**shift).astype(int).tolist()
    # Lines of a small hand stay thin enough to leave its mesh to be seen.
    extent = np.ptp(keypoints[usable], axis=0).max() if usable.any() else 0.0
    unit = min(unit, extent / 160)
    width = max(1, round(1.4 * unit))
    for palm_side, tip_side in BONES:
        if usable[palm_side] and usable[tip_side]:
            colour = FINGER_COLOURS[(tip_side - 1) // 4]
            cv2.line(image, points[palm_side], points[tip_side], colour, width, cv2.LINE_AA, shift)
    radius = round(max(1.0, 2.6 * unit) * 2**shift)
    for index in np.flatnonzero(usable):
        colour = (255, 255, 255) if index == 0 else FINGER_COLOURS[(index - 1) // 4]
        line = max(1, round(0.8 * unit)) if hidden[index] else cv2.FILLED
        cv2.circle(image, points[index], radius, colour, line, cv2.LINE_AA, shift)


def _write_caption(image: np.ndarray, hand: OverlayHand, screen: np.ndarray, unit: float) -> None:
    """Write side and score above the hand, or inside the image where there is no room above."""
    points = screen if hand.keypoints is None else np.vstack([screen[:, :2], hand.keypoints])
    box = _bounds(points[:, :2], image.shape)
    if box is None:
        return
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, max(0.35, 0.5 * unit)
    width = max(1, round(1.2 * unit))
    (text_width, text_height), _ = cv2.getTextSize(hand.caption, font, scale, width)
    margin = round(max(3, 4 * unit))
    x = int(np.clip(box[0], margin, max(margin, image.shape[1] - text_width - margin)))
    y = int(np.clip(box[1] - margin, text_height + margin, image.shape[0] - margin))
    for colour, thickness in (((0, 0, 0), width + 2), (SIDE_COLOURS[hand.side], width)):
        cv2.putText(image, hand.caption, (x, y), font, scale, colour, thickness, cv2.LINE_AA)


def write_image_overlay(
    path: Path, pixels: np.ndarray, hands: Sequence[OverlayHand], intrinsics: np.ndarray
) -> None:
    """Render hands over their photograph.

    The overlay appears whole or not at all, so that one that is there need not be rendered again.

    Args:
        path: the file to make, and the folders on the way to it.
        pixels: (H, W, 3) uint8 RGB, the photograph.
        hands: fitted to it.
        intrinsics: (3, 3) K of the photograph.

    Raises:
        InputError: the folder is gone, or cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("overlay.no_folder", file=path.parent, reason=error.strerror) from error
    # Its own name, whoever else renders into the folder, from this machine or another.
    unfinished = path.with_name(f".unfinished-{uuid.uuid4().hex}.jpg")
    try:
        with whole_file(path, durable=False, partial=unfinished):
            write_overlay(unfinished, pixels, hands, intrinsics)
    except OSError as error:
        raise InputError("overlay.unwritable", file=path, reason=error.strerror) from error
