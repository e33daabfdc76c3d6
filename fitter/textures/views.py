"""One picture of a hand whose mesh is known, and which of its texels the picture shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from fitter.camera import in_front, project
from fitter.raster import rasterize
from fitter.records import Side
from fitter.rendering.shading import linear_from_srgb, vertex_normals
from fitter.textures.atlas import TextureAtlas

LEAST_SIDE, LARGEST_SIDE = 384, 1024
"""Pixels of the longer side of the picture in which visibility is tested: smaller hands are
rendered finer than their picture, larger ones coarser."""
FACING = (0.2, 0.65)
"""Cosine of the angle between normal and line of sight up to which a texel is rejected, and from
which it counts in full."""
BORDER = (0.006, 0.02)
"""Distance from the border of what is seen of the hand up to which a texel is rejected, and from
which it counts in full, as shares of the hand's length in the picture."""
LEAST_BORDER = 1.5
"""Pixels of the picture that are rejected at the border, however small the hand is."""
JUMP = 0.008
"""Metres between neighbouring pixels' depths from which on a border runs between them: a finger in
front of the palm."""
BIAS = 0.0015
"""Metres by which a texel may lie behind what the depth test sees."""
SATURATED = (235, 253)
"""sRGB values from which a pixel counts less, and from which it counts a twentieth."""


@dataclass(frozen=True)
class Occluder:
    """Another mesh of the scene: vertices (N, 3) metres, camera frame, and faces (F, 3)."""

    vertices: np.ndarray
    faces: np.ndarray


@dataclass(frozen=True)
class HandView:
    """One picture of a hand whose mesh is known.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, sRGB, upright.
        intrinsics: (3, 3) K in its pixels, with the fitted focal length.
        vertices: (V, 3) metres, camera frame.
        side: of the hand.
        others: what else is in the scene and may hide it, the image's other hands for one.
        mask: (H, W) bool, the pixels that show hands; None where it is not known.
        lighting: as `FittedHand.lighting`; None has the light estimated.
        linear_light: whether that light multiplies linear colours, as `refine.linear_light` says;
            an estimated one always does.
    """

    pixels: np.ndarray
    intrinsics: np.ndarray
    vertices: np.ndarray
    side: Side
    others: Sequence[Occluder] = ()
    mask: np.ndarray | None = None
    lighting: np.ndarray | None = None
    linear_light: bool = True

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: they do not fit together.
        """
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise ValueError(
                f"pixels must be (H, W, 3) uint8, got {self.pixels.shape} {self.pixels.dtype}"
            )
        if self.mask is not None and self.mask.shape != self.pixels.shape[:2]:
            raise ValueError(
                f"mask must be {self.pixels.shape[:2]}, as its image, got {self.mask.shape}"
            )


@dataclass(frozen=True)
class SeenTexels:
    """What one picture shows of the M texels of an atlas.

    Attributes:
        colours: (M, 3) float64 of the picture, linear RGB; 0 where it shows nothing.
        normals: (M, 3) float64 unit, outward, camera axes.
        weight: (M,) float64 in [0, 1], 0 where it is not seen: how steep, how far from a border,
            how sharp and how exposed.
    """

    colours: np.ndarray
    normals: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class _Window:
    """A part of the image, and how finely it is looked at: (position - origin) * scale."""

    origin: np.ndarray
    scale: float
    shape: tuple[int, int]


def see(atlas: TextureAtlas, view: HandView) -> SeenTexels:
    """Look every texel up in a picture: no texel that is seen is left out, as pixels that are
    mapped into the atlas would leave those that are finer than they are.

    Args:
        atlas: of the model that the hand is a mesh of.
        view: the picture.
    """
    points = np.asarray(view.vertices, np.float64)
    if points.shape != (atlas.vertex_count, 3):
        raise ValueError(f"expected vertices ({atlas.vertex_count}, 3), found {points.shape}")
    faces = atlas.faces if view.side == "right" else atlas.faces[:, ::-1]
    screen = _project(points, view.intrinsics)
    surface = vertex_normals(
        torch.from_numpy(points)[None], torch.from_numpy(np.ascontiguousarray(faces))
    )[0].numpy()
    normals = _unit(atlas.at(surface))
    place, at = atlas.at(points), _project(atlas.at(points), view.intrinsics)
    cosine = -(normals * _unit(place)).sum(1)
    pixels = _pixels_of_texels(atlas, screen)
    nothing = SeenTexels(np.zeros_like(place), normals, np.zeros(len(place)))
    window = _window(screen, view.pixels.shape[:2], LEAST_SIDE, LARGEST_SIDE)
    if window is None:
        return nothing
    seen = _unhidden(view, points, faces, window, (at, place[:, 2], cosine))
    seen *= _ramp(cosine, *FACING) * np.minimum(pixels, 1)
    height, width = view.pixels.shape[:2]
    inside = (at[:, 0] >= 0) & (at[:, 0] <= width) & (at[:, 1] >= 0) & (at[:, 1] <= height)
    rows = np.flatnonzero((seen > 0) & inside)
    if not len(rows):
        return nothing
    sharp = max(1, int(np.sqrt(np.median(pixels[rows]))))
    colours, exposed = _sampled(view.pixels, at[rows], sharp)
    nothing.colours[rows], nothing.weight[rows] = colours, seen[rows] * exposed
    return nothing


def _project(points: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(N, 2) pixels of points (N, 3); NaN for those not in front of the camera."""
    tensor = torch.from_numpy(np.asarray(points, np.float64))[None]
    matrix = torch.from_numpy(np.asarray(intrinsics, np.float64))[None]
    pixels = project(tensor, matrix)
    return torch.where(in_front(tensor)[..., None], pixels, torch.nan)[0].numpy()


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 up to `low`, 1 from `high` on, smooth in between."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.nan_to_num(share * share * (3 - 2 * share))


def _pixels_of_texels(atlas: TextureAtlas, screen: np.ndarray) -> np.ndarray:
    """(M,) pixels that a texel covers in the picture; NaN behind the camera."""
    a, b, c = (screen[atlas.corners[:, k]] for k in range(3))
    first, second = b - a, c - a
    area = 0.5 * np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    return area / atlas.areas


def _window(screen: np.ndarray, shape: tuple[int, ...], least: int, largest: int) -> _Window | None:
    """The part of the image that positions (N, 2) span, with a margin; None where it is empty."""
    finite = screen[np.isfinite(screen).all(1)]
    if not len(finite):
        return None
    extent = float(np.ptp(finite, axis=0).max())
    if not 0 < extent < np.inf:
        return None
    scale = float(np.clip(1, least / extent, max(least, largest) / extent))
    margin = 3 / scale
    low = np.clip(finite.min(0) - margin, -margin, np.array(shape[1::-1]) + margin)
    high = np.clip(finite.max(0) + margin, -margin, np.array(shape[1::-1]) + margin)
    width, height = np.ceil((high - low) * scale).astype(int)
    return None if min(width, height) < 1 else _Window(low, scale, (int(height), int(width)))


def _unhidden(
    view: HandView,
    points: np.ndarray,
    faces: np.ndarray,
    window: _Window,
    texels: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> np.ndarray:
    """(M,) 0 where something is in front of a texel or a border is near, 1 far from all.

    Args:
        view: the picture.
        points, faces: of the hand.
        window: where visibility is tested.
        texels: (M, 2) position in the picture, (M,) depth in metres, (M,) cosine of the view angle.
    """
    at, depth, cosine = texels
    scene = [points, *(np.asarray(each.vertices, np.float64) for each in view.others)]
    starts = np.cumsum([0, *(len(each) for each in scene)])
    rows = [
        faces,
        *(np.asarray(e.faces) + s for e, s in zip(view.others, starts[1:], strict=False)),
    ]
    vertices = np.concatenate(scene)
    position = (_project(vertices, view.intrinsics) - window.origin) * window.scale
    screen = torch.from_numpy(np.concatenate([position, vertices[:, 2:]], 1))[None]
    seen = rasterize(screen, torch.from_numpy(np.concatenate(rows)), window.shape)
    index, surface = seen.face_index[0].numpy(), seen.depth[0].numpy()
    own = (index >= 0) & (index < len(faces))
    # To a pixel's border it is half a pixel less than to its middle.
    distance = (_from_border(own, surface, view.mask, window) - 0.5) / window.scale

    pixel = np.floor(np.nan_to_num((at - window.origin) * window.scale, nan=-1)).astype(int)
    column, row = pixel.T
    inside = (row >= 0) & (column >= 0) & (row < window.shape[0]) & (column < window.shape[1])
    row, column = np.where(inside, row, 0), np.where(inside, column, 0)
    # Within a pixel of the test the depth of a slanted surface changes by so much.
    focal = np.sqrt(view.intrinsics[0, 0] * view.intrinsics[1, 1]) * window.scale
    slope = np.sqrt(1 - np.clip(cosine, 0, 1) ** 2) / np.clip(cosine, FACING[0], 1)
    nearest = surface[row, column] + BIAS + depth / focal * slope
    length = np.ptp((screen[0, : len(points), :2].numpy())[np.isfinite(position[: len(points), 0])],
                    axis=0).max() / window.scale  # fmt: skip
    low = max(LEAST_BORDER, BORDER[0] * length)
    far = _ramp(distance[row, column], low, low * BORDER[1] / BORDER[0])
    return np.where(inside & own[row, column] & (depth <= nearest), far, 0)


def _from_border(
    own: np.ndarray, depth: np.ndarray, mask: np.ndarray | None, window: _Window
) -> np.ndarray:
    """(h, w) pixels of the test from the next one that may show something else than this surface:
    another thing, or another part of the hand that lies behind or in front."""
    kernel = np.ones((3, 3), np.uint8)
    depth = np.where(own, depth, 0).astype(np.float32)
    # Where something else is beside it, the depth jumps from 0.
    nearest, farthest = cv2.erode(depth, kernel), cv2.dilate(depth, kernel)
    inner = own & (farthest - nearest < JUMP)
    if mask is not None:
        height, width = window.shape
        x = (window.origin[0] + (np.arange(width) + 0.5) / window.scale).astype(int)
        y = (window.origin[1] + (np.arange(height) + 0.5) / window.scale).astype(int)
        # Beyond the image's border nothing is known, and nothing is a border.
        x, y = x.clip(0, mask.shape[1] - 1), y.clip(0, mask.shape[0] - 1)
        inner &= mask[y[:, None], x[None]]
    padded = np.pad(inner.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]


def _sampled(pixels: np.ndarray, at: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Colours of the picture, bilinear.

    Args:
        pixels: (H, W, 3) uint8 sRGB.
        at: (N, 2) positions in it.
        step: pixels along a side that are averaged first, where they are finer than texels.

    Returns:
        (N, 3) linear RGB, and (N,) how far to believe them: a clipped pixel was brighter.
    """
    low = np.maximum(np.floor(at.min(0)).astype(int) - 2 * step, 0)
    high = np.ceil(at.max(0)).astype(int) + 2 * step
    part = pixels[low[1] : high[1], low[0] : high[0]]
    table = linear_from_srgb(torch.arange(256.0, dtype=torch.float64) / 255).numpy()
    linear = table[part].astype(np.float32)
    exposed = 1 - 0.95 * _ramp(part.max(2).astype(np.float32), *SATURATED).astype(np.float32)
    values = np.concatenate([linear, exposed[..., None]], 2)
    if step > 1:
        height, width = (max(1, n // step) for n in part.shape[:2])
        values = values[: height * step, : width * step]
        values = cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA)
    x, y = ((at - low) / step - 0.5).T
    x, y = x.clip(0, values.shape[1] - 1), y.clip(0, values.shape[0] - 1)
    left = np.minimum(x.astype(int), max(values.shape[1] - 2, 0))
    top = np.minimum(y.astype(int), max(values.shape[0] - 2, 0))
    right, down = (x - left)[:, None], (y - top)[:, None]
    beside = np.minimum(left + 1, values.shape[1] - 1)
    below = np.minimum(top + 1, values.shape[0] - 1)
    upper = values[top, left] * (1 - right) + values[top, beside] * right
    lower = values[below, left] * (1 - right) + values[below, beside] * right
    found = (upper * (1 - down) + lower * down).astype(np.float64)
    return found[:, :3], found[:, 3]
