"""What lens, sensor and file do to images: exposure, focus, motion, noise, compression.

Everything is written with element-wise operations, and with products in float64 where sums are
needed, so that an image does not depend on the batch it is in.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from datasets.synthetic.backgrounds import tiles
from datasets.synthetic.records import LensSpec

KNEE = 0.75
"""Linear light above which highlights are rolled off."""
ENCODING = 8192
"""Entries of the table that encodes linear light; it goes by the square root."""
REACH = 4
"""Pixels to either side that the focus' blur reaches."""
MOTION_STEPS = 5
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Quantisation of the luminance in annex K.1 of ITU-T T.81."""
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99, 99, 99, 99, 99, 99, 99, 99),) * 4,
)
"""Quantisation of the colours in annex K.1 of ITU-T T.81."""


def encoding_table() -> Tensor:
    """(ENCODING,) float32: sRGB of ``s^2`` with a shoulder, for s in [0, 2] in even steps.

    Up to `KNEE` linear light is kept, beyond it rolls off to 1 (IEC 61966-2-1 encodes the result).
    """
    linear = np.linspace(0, 2, ENCODING) ** 2
    over = np.maximum(linear - KNEE, 0)
    soft = np.minimum(linear, KNEE) + (1 - KNEE) * (1 - np.exp(-over / (1 - KNEE)))
    encoded = np.where(soft <= 0.0031308, 12.92 * soft, 1.055 * soft ** (1 / 2.4) - 0.055)
    return torch.from_numpy(encoded).float()


def develop(linear: Tensor, tile: Tensor, table: Tensor, lens: LensSpec, grey: Tensor) -> Tensor:
    """Linear light to a photograph out of a file.

    Args:
        linear: (B, S, S, 3) float32 linear RGB.
        tile: (T, T, 4) noise.
        table: of `encoding_table`.
        lens: of B images.
        grey: (B,) bool, the sensor sees no colours: its noise has none.

    Returns:
        (B, S, S, 3) uint8 sRGB.
    """
    size = linear.shape[1]
    image = linear.permute(0, 3, 1, 2)
    image = moved(focused(image, lens.blur * size), lens.motion * size)
    gain = (lens.exposure[:, None] * lens.balance)[..., None, None]
    image = image * gain * _vignette(size, lens)
    index = (image.clamp(0, 4).sqrt() * ((ENCODING - 1) / 2)).round().long()
    encoded = 255 * table[index]
    contrast = lens.contrast.view(-1, 1, 1, 1)
    encoded = 128 + (encoded - 128) * contrast
    grain = tiles(tile[..., :3], lens.noise_shift, size).permute(0, 3, 1, 2)
    if grey.any():
        grain = torch.where(grey.view(-1, 1, 1, 1), grain[:, :1], grain)
    photons = (encoded.clamp(0, 255) / 255).sqrt() * lens.noise[:, 1].view(-1, 1, 1, 1)
    encoded = encoded + grain * (photons + lens.noise[:, 0].view(-1, 1, 1, 1))
    pixels = encoded.round().clamp(0, 255)
    return compressed(pixels, lens.quality).permute(0, 2, 3, 1).contiguous()


def _vignette(size: int, lens: LensSpec) -> Tensor:
    steps = (torch.arange(size, device=lens.vignette.device) + 0.5) / size - 0.5
    corner = 2 * (steps[:, None] ** 2 + steps**2)
    return 1 - lens.vignette.view(-1, 1, 1, 1) * corner


def focused(image: Tensor, deviation: Tensor) -> Tensor:
    """Gaussian blur of images (B, C, S, S) by standard deviations (B,) in pixels, up to 2."""
    deviation = deviation.double().clamp(0.05, 2.0).view(-1, 1, 1, 1)
    # Each image ends its own kernel, so that leaving out what nobody needs changes nothing.
    own = (2.6 * deviation).ceil()
    weights = [torch.exp(-0.5 * (k / deviation) ** 2) * (k <= own) for k in range(REACH + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    weights = [(weight / total).float() for weight in weights]
    reach = min(REACH, int(own.max()))
    for dim in (2, 3):
        size = image.shape[dim]
        padded = _padded(image, reach, dim)
        result = padded.narrow(dim, reach, size) * weights[0]
        for k in range(1, reach + 1):
            both = padded.narrow(dim, reach - k, size) + padded.narrow(dim, reach + k, size)
            result = result + both * weights[k]
        image = result
    return image


def _padded(image: Tensor, width: int, dim: int) -> Tensor:
    pad = (width, width, 0, 0) if dim == 3 else (0, 0, width, width)
    return torch.nn.functional.pad(image, pad, mode="replicate")


def moved(image: Tensor, way: Tensor) -> Tensor:
    """Motion blur of images (B, C, S, S) along half ways (B, 2) in pixels, x and y."""
    moving = (way.abs().amax(dim=1) > 0.25).nonzero()[:, 0]
    if len(moving) == 0:
        return image
    part, way = image[moving], way[moving]
    size = image.shape[2]
    y, x = torch.meshgrid(*(torch.arange(size, device=image.device),) * 2, indexing="ij")
    flat = part.flatten(2)
    total = torch.zeros_like(part)
    for step in np.linspace(-1, 1, MOTION_STEPS).tolist():
        u = (x + step * way[:, 0, None, None]).clamp(0, size - 1)
        v = (y + step * way[:, 1, None, None]).clamp(0, size - 1)
        left, top = u.floor().clamp_max(size - 2), v.floor().clamp_max(size - 2)
        right, down = (u - left)[:, None], (v - top)[:, None]
        index = (top * size + left).long().flatten(1)[:, None].expand(-1, 3, -1)

        def at(shift: int, index: Tensor = index) -> Tensor:
            return flat.gather(2, index + shift).view_as(part)

        upper = at(0) * (1 - right) + at(1) * right
        total = total + upper * (1 - down) + (at(size) * (1 - right) + at(size + 1) * right) * down
    return image.index_copy(0, moving, total / MOTION_STEPS)


# ---- JPEG


def _cosines(device: torch.device) -> Tensor:
    """(8, 8) float64 orthonormal DCT-II: frequencies of samples."""
    k, n = np.mgrid[0:8, 0:8]
    matrix = np.cos(np.pi * (2 * n + 1) * k / 16) * np.sqrt(np.where(k == 0, 1, 2) / 8)
    return torch.from_numpy(matrix).to(device)


def compressed(pixels: Tensor, quality: Tensor) -> Tensor:
    """JPEG with halved colours, as libjpeg scales its tables, without the file.

    Args:
        pixels: (B, 3, S, S) whole numbers from 0 to 255, RGB.
        quality: (B,) from 1 to 100.

    Returns:
        (B, 3, S, S) uint8.
    """
    size = pixels.shape[2]
    rgb = torch.nn.functional.pad(pixels, (0, -size % 16, 0, -size % 16), mode="replicate")
    red, green, blue = rgb.double().unbind(1)
    # ITU-T T.871, equations for full range.
    luma = (0.299 * red + 0.587 * green + 0.114 * blue).round()
    cb = 0.5 * (blue - luma) / (1 - 0.114)
    cr = 0.5 * (red - luma) / (1 - 0.299)
    chroma = torch.stack([cb, cr], 1)
    chroma = (
        chroma[..., ::2, ::2]
        + chroma[..., 1::2, ::2]
        + chroma[..., ::2, 1::2]
        + chroma[..., 1::2, 1::2]
    ) / 4
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality).double() / 100
    luma = _quantised(luma[:, None] - 128, LUMINANCE, scale)[:, 0] + 128
    chroma = _quantised(chroma.round(), CHROMINANCE, scale)
    cb, cr = chroma.repeat_interleave(2, 2).repeat_interleave(2, 3).unbind(1)
    green = luma - (0.114 * 1.772 * cb + 0.299 * 1.402 * cr) / 0.587
    result = torch.stack([luma + 1.402 * cr, green, luma + 1.772 * cb], 1)
    return result[..., :size, :size].round().clamp(0, 255).to(torch.uint8)


def _quantised(planes: Tensor, table: tuple[tuple[int, ...], ...], scale: Tensor) -> Tensor:
    """Planes (B, C, H, W) after their blocks' frequencies were rounded to steps of the table."""
    batch, channels, height, width = planes.shape
    cosines = _cosines(planes.device)
    steps = torch.tensor(table, dtype=torch.float64, device=planes.device)
    steps = (steps * scale[:, None, None] + 0.5).floor().clamp(1, 255)[:, None, None, None]
    blocks = planes.view(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    frequencies = cosines @ blocks @ cosines.T
    frequencies = (frequencies / steps).round() * steps
    blocks = cosines.T @ frequencies @ cosines
    return blocks.transpose(3, 4).reshape(batch, channels, height, width)
