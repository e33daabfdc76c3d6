"""Cameras: perspective and weak perspective projection, square crops, mirror images.

Everything is batched, batch first, differentiable, and works in float32 and float64. Frames, units
and the place of pixel centres are those of `fitter.conventions`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from fitter.rotations import roma
from fitter.shapes import check_shapes

NEAR = 0.01
"""Depth in metres in front of which a point counts as too near to be imaged."""


def project(points: Tensor, K: Tensor, near: float = NEAR) -> Tensor:
    """Full perspective projection ``(u, v, 1) ~ K (x, y, z)``.

    For z >= `near` this is exact. For smaller z, points behind the camera included, 1/z is
    replaced by its tangent at `near`, ``(2 near - z) / near^2``: the result then is no image
    position but a finite number far outside the image that moves back toward it as the point moves
    forward, with finite gradients everywhere and no jump in value or slope. Ask `in_front` which
    points have true image positions.

    Args:
        points: (B, N, 3) metres, camera axes.
        K: (B, 3, 3) pixels; its last row is (0, 0, 1).
        near: metres, positive.

    Returns:
        (B, N, 2) pixels.

    Raises:
        ValueError: points or K have another shape.
    """
    check_shapes(points=(points, ("B", "N", 3)), K=(K, ("B", 3, 3)))
    depth = points[..., 2:]
    is_front = depth >= near
    # The branch not taken must not produce infinities either: they turn gradients into nan.
    inverse = 1.0 / torch.where(is_front, depth, torch.full_like(depth, near))
    inverse = torch.where(is_front, inverse, (2.0 * near - depth) / near**2)
    return points[..., :2] * inverse @ K[:, :2, :2].transpose(1, 2) + K[:, None, :2, 2]


def in_front(points: Tensor, near: float = NEAR) -> Tensor:
    """(B, N) bool: which points (B, N, 3) lie at least `near` metres in front of the camera."""
    return points[..., 2] >= near


def back_project(pixels: Tensor, depth: Tensor, K: Tensor) -> Tensor:
    """The points at given depths that project to given pixels; inverse of `project`.

    Args:
        pixels: (B, N, 2) pixels.
        depth: (B, N) metres along the optical axis.
        K: (B, 3, 3) pixels.

    Returns:
        (B, N, 3) metres, camera axes.

    Raises:
        ValueError: a tensor has another shape.
    """
    check_shapes(pixels=(pixels, ("B", "N", 2)), depth=(depth, ("B", "N")), K=(K, ("B", 3, 3)))
    rays = torch.linalg.solve(K[:, :2, :2], (pixels - K[:, None, :2, 2]).transpose(1, 2))
    rays = torch.cat([rays.transpose(1, 2), torch.ones_like(pixels[..., :1])], dim=-1)
    return rays * depth[..., None]


def project_weak(points: Tensor, scale: Tensor, translation: Tensor) -> Tensor:
    """Weak perspective projection ``(u, v) = scale (x, y) + translation``.

    The camera c = (t, delta) of Seeber et al. 2021, section 3.1: t is a translation on the image
    plane, delta a scale factor. The paper fixes neither unit; here both are in pixels.

    Args:
        points: (B, N, 3) metres, relative to the point that lands on `translation`.
        scale: (B,) delta, pixels a metre, positive.
        translation: (B, 2) t, pixels.

    Returns:
        (B, N, 2) pixels.
    """
    return scale[:, None, None] * points[..., :2] + translation[:, None]


def weak_to_metric(scale: Tensor, translation: Tensor, K: Tensor) -> Tensor:
    """The point in space that a weak perspective camera implies for its origin.

    It is the point that K projects to `translation`, at the depth where a small length parallel to
    the image measures `scale` pixels a metre, ``z = sqrt(fx fy) / scale``: there full and weak
    perspective agree to first order.

    Args:
        scale: (B,) pixels a metre, positive.
        translation: (B, 2) pixels.
        K: (B, 3, 3) pixels of the same image.

    Returns:
        (B, 3) metres, camera axes.
    """
    depth = (K[:, 0, 0] * K[:, 1, 1]).sqrt() / scale
    return back_project(translation[:, None], depth[:, None], K)[:, 0]


def metric_to_weak(position: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Weak perspective camera at a point in space; exact inverse of `weak_to_metric`.

    Args:
        position: (B, 3) metres, camera axes, in front of the camera.
        K: (B, 3, 3) pixels.

    Returns:
        scale (B,) pixels a metre, translation (B, 2) pixels.
    """
    scale = (K[:, 0, 0] * K[:, 1, 1]).sqrt() / position[:, 2]
    return scale, project(position[:, None], K)[:, 0]


@dataclass(frozen=True)
class SquareCrop:
    """B square windows of an image, each resized to the same number of pixels.

    Attributes:
        centre: (B, 2) pixels of the full image.
        size: (B,) side of the window in pixels of the full image, positive.
        output_size: side of the resized window in its own pixels.
    """

    centre: Tensor
    size: Tensor
    output_size: int

    @property
    def origin(self) -> Tensor:
        """(B, 2) top-left corner of the window in pixels of the full image."""
        return self.centre - 0.5 * self.size[:, None]

    @property
    def scale(self) -> Tensor:
        """(B,) pixels of the crop per pixel of the full image."""
        return self.output_size / self.size

    @staticmethod
    def around(points: Tensor, margin: float, output_size: int) -> SquareCrop:
        """Windows centred on the boxes of points.

        Args:
            points: (B, N, 2) pixels of the full image.
            margin: side of the window as a multiple of the box's longer side.
            output_size: pixels.
        """
        low, high = points.amin(dim=1), points.amax(dim=1)
        size = ((high - low).amax(dim=1) * margin).clamp_min(1.0)
        return SquareCrop(0.5 * (low + high), size, output_size)


def to_crop(points: Tensor, crop: SquareCrop) -> Tensor:
    """Positions in the crop of positions (B, N, 2) in the full image, both in pixels."""
    return (points - crop.origin[:, None]) * crop.scale[:, None, None]


def crop_intrinsics(K: Tensor, crop: SquareCrop) -> Tensor:
    """K of the crop, so that ``project(x, K_crop) == to_crop(project(x, K), crop)``.

    Args:
        K: (B, 3, 3) pixels of the full image.
        crop: B windows.

    Returns:
        (B, 3, 3) pixels of the crop.
    """
    scaled = K[:, :2] * crop.scale[:, None, None]
    shift = torch.zeros_like(scaled)
    shift[:, :, 2] = crop.origin * crop.scale[:, None]
    return torch.cat([scaled - shift, K[:, 2:]], dim=1)


def crop_pixels(image: np.ndarray, crop: SquareCrop, fill: int = 0) -> np.ndarray:
    """Resample B windows of one image.

    Bilinear; a window that shrinks by two or more is averaged over whole blocks of pixels first, so
    that nothing aliases. Outside the image there is the constant `fill`, blended over half a
    pixel at the border. OpenCV places samples to 1/32 of a source pixel.

    Args:
        image: (H, W) or (H, W, C) uint8 or float32.
        crop: B windows; they may reach outside the image or lie wholly outside.
        fill: value of every channel outside the image.

    Returns:
        (B, S, S) or (B, S, S, C) of the image's dtype.
    """
    origins = crop.origin.detach().cpu().double().numpy()
    sizes = crop.size.detach().cpu().double().numpy()
    windows = [
        _resample(image, origin, float(size), crop.output_size, fill)
        for origin, size in zip(origins, sizes, strict=True)
    ]
    return np.stack(windows)


def _resample(
    image: np.ndarray, origin: np.ndarray, size: float, output_size: int, fill: int
) -> np.ndarray:
    # Blocks larger than the image would average nothing more, and cost memory.
    block = max(1, min(int(size / output_size), max(image.shape[:2])))
    # Only the part under the window, on a grid of whole blocks, with a block to spare: the rest of
    # a large image costs nothing, and OpenCV's limit of 32,767 pixels a side is never met.
    limit = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(origin / block).astype(int) - 1, 0, -(-limit // block)) * block
    high = np.clip(np.ceil((origin + size) / block).astype(int) + 1, 0, -(-limit // block)) * block
    inside = np.minimum(high, limit)
    part = image[low[1] : inside[1], low[0] : inside[0]]
    shape = (output_size, output_size, *image.shape[2:])
    if part.size == 0:
        return np.full(shape, fill, dtype=image.dtype)
    if block > 1:
        right, bottom = high - inside
        part = cv2.copyMakeBorder(part, 0, int(bottom), 0, int(right), cv2.BORDER_REPLICATE)
        target = (part.shape[1] // block, part.shape[0] // block)
        part = cv2.resize(part, target, interpolation=cv2.INTER_AREA)
    step = size / output_size / block
    # Output pixel i has its centre at i + 0.5; OpenCV counts centres at whole numbers.
    start = (origin - low) / block + 0.5 * step - 0.5
    matrix = np.array([[step, 0.0, start[0]], [0.0, step, start[1]]])
    return cv2.warpAffine(
        part,
        matrix,
        (output_size, output_size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(fill,) * 4,
    ).reshape(shape)


def mirror_points(points: Tensor, width: float | Tensor) -> Tensor:
    """Positions (B, N, 2) in the image mirrored about its vertical centre line; its own inverse.

    Args:
        points: (B, N, 2) pixels.
        width: width of the image in pixels, one number or (B,).
    """
    width = torch.as_tensor(width, dtype=points.dtype, device=points.device)
    return torch.stack([width.reshape(-1, 1) - points[..., 0], points[..., 1]], dim=-1)


def mirror_intrinsics(K: Tensor, width: float | Tensor) -> Tensor:
    """K of the mirrored image; its own inverse.

    ``project(x * (-1, 1, 1), mirror_intrinsics(K, W)) == mirror_points(project(x, K), W)``.

    Args:
        K: (B, 3, 3) pixels.
        width: width of the image in pixels, one number or (B,).
    """
    mirrored = K.clone()
    mirrored[:, 0, 1] = -K[:, 0, 1]
    mirrored[:, 0, 2] = torch.as_tensor(width, dtype=K.dtype, device=K.device) - K[:, 0, 2]
    return mirrored


def field_of_view(K: Tensor, size: Tensor) -> Tensor:
    """Angles that an image of a given size spans.

    Args:
        K: (B, 3, 3) pixels.
        size: (B, 2) width and height in pixels.

    Returns:
        (B, 2) radians, horizontal and vertical, edge to edge along the lines through the principal
        point.
    """
    focal = torch.stack([K[:, 0, 0], K[:, 1, 1]], dim=1)
    centre = K[:, :2, 2]
    return torch.atan(centre / focal) + torch.atan((size - centre) / focal)


def rotation_to(direction: Tensor) -> Tensor:
    """(B, 3, 3) the least rotations that take the z axis to unit vectors (B, 3): from the frame of
    a camera that looks along them to the camera's own."""
    z = torch.zeros_like(direction)
    z[:, 2] = 1
    axis = torch.linalg.cross(z, direction)
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, direction[:, 2:])
    return roma.rotvec_to_rotmat(axis / sine.clamp_min(1e-12) * angle)
