"""What is behind the hands: a bank of images, of which every sample shows windows of its own.

The bank is painted (the default, the same on every machine), read from images with free licences
in packages that happen to be installed, or from a user's folder. Samples take windows of any size,
rotation and tint out of it, put two beside each other and lay smooth unevenness over them.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from datasets.synthetic.background_files import background_files
from datasets.synthetic.painted_backgrounds import THEMES, sample_background
from datasets.synthetic.painted_patterns import PATTERNS, sample_pattern
from datasets.synthetic.records import BackgroundSpec
from fitter.errors import InputError

SIDE = 288
"""Pixels of a bank image's side."""
PAINTED = 56
"""Images that are painted."""
PATTERNED = 70
"""Images that are painted besides for "mixed"."""
TILE = 512
"""Pixels of the noise tile's side."""


def painted_bank(seed: int = 0) -> np.ndarray:
    """(PAINTED, SIDE, SIDE, 3) uint8 sRGB, the same on every machine."""
    images = []
    themes = list(THEMES)
    for number in range(PAINTED):
        generator = np.random.default_rng([seed, 77, number])
        if number % 8 == 7:
            images.append(_plain(generator))
            continue
        side = int(generator.integers(SIDE, 2 * SIDE))
        wide = sample_background(themes[number % len(themes)], (side, side * 4 // 3), generator)
        left = int(generator.integers(0, wide.shape[1] - side + 1))
        square = wide[:, left : left + side]
        small = cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        # Rooms come in every colour, and table tops are of other things than wood.
        std = 0.25 if themes[number % len(themes)] == "desk" else 0.08
        tint = np.exp(generator.normal(0, std, 3)) * np.exp(generator.normal(0, 0.2))
        images.append((small * tint).clip(0, 255).round().astype(np.uint8))
    return np.stack(images)


def _plain(generator: np.random.Generator) -> np.ndarray:
    """A wall: one colour, hardly uneven."""
    colour = generator.uniform(30, 245) * np.exp(generator.normal(0, 0.15, 3))
    field = cv2.resize(
        generator.normal(0, 0.08, (4, 4)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
    )
    return (colour * (1 + field[..., None])).clip(0, 255).round().astype(np.uint8)


def pattern_bank(seed: int = 0) -> np.ndarray:
    """(PATTERNED, SIDE, SIDE, 3) uint8 sRGB, the same on every machine."""
    names = list(PATTERNS)
    return np.stack(
        [
            sample_pattern(
                names[number % len(names)], SIDE, np.random.default_rng([seed, 79, number])
            )
            for number in range(PATTERNED)
        ]
    )


def read_bank(paths: list[Path]) -> np.ndarray:
    """(N, SIDE, SIDE, 3) uint8 sRGB: the middle square of each image.

    Raises:
        InputError: a file cannot be read as an image.
    """
    images = []
    for path in paths:
        try:
            pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        except (OSError, cv2.error):
            pixels = None
        if pixels is None:
            raise InputError("background.unreadable", file=path)
        side = min(pixels.shape[:2])
        top, left = ((n - side) // 2 for n in pixels.shape[:2])
        square = pixels[top : top + side, left : left + side, ::-1]
        kind = cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR
        images.append(cv2.resize(square, (SIDE, SIDE), interpolation=kind))
    return np.stack(images)


def load_bank(backgrounds: str) -> np.ndarray:
    """The bank that `SyntheticSettings.backgrounds` names.

    Raises:
        InputError: nothing can be read there.
    """
    paths = background_files(backgrounds)
    if backgrounds == "procedural":
        return painted_bank()
    if backgrounds == "mixed":
        read = [read_bank(paths)] if paths else []
        return np.concatenate([painted_bank(), pattern_bank(), *read])
    return read_bank(paths)


def noise_tile(seed: int = 0) -> np.ndarray:
    """(TILE, TILE, 4) float32: three channels of nearly white noise of variance 1, of which half
    is common to them, and one of smooth noise; they wrap around at the borders."""
    generator = np.random.default_rng([seed, 78])
    grain = generator.normal(0, 1, (TILE, TILE, 3)) + generator.normal(0, 0.7, (TILE, TILE, 1))
    wrapped = np.concatenate([grain[-4:], grain, grain[:4]])
    wrapped = np.concatenate([wrapped[:, -4:], wrapped, wrapped[:, :4]], axis=1)
    grain = np.asarray(cv2.GaussianBlur(wrapped, (0, 0), 0.55)[4:-4, 4:-4], np.float64)
    smooth = np.zeros((TILE, TILE))
    for octave, cells in enumerate((4, 8, 16, 32)):
        grid = np.pad(generator.normal(0, 0.6**octave, (cells, cells)), 2, mode="wrap")
        size = TILE * (cells + 4) // cells
        field = cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
        edge = (size - TILE) // 2
        smooth += field[edge : edge + TILE, edge : edge + TILE]
    together = np.concatenate([grain / grain.std(), smooth[..., None] / smooth.std()], axis=2)
    return together.astype(np.float32)


def tiles(tile: Tensor, shift: Tensor, size: int) -> Tensor:
    """(B, S, S, C) windows of a tile (T, T, C) that wraps around, at shifts (B, 2) in pixels."""
    steps = torch.arange(size, device=tile.device)
    rows = (shift[:, :1] + steps) % len(tile)
    columns = (shift[:, 1:] + steps) % len(tile)
    return tile[rows[:, :, None], columns[:, None]]


def backgrounds(bank: Tensor, tile: Tensor, spec: BackgroundSpec, size: int) -> Tensor:
    """Backgrounds of B samples.

    Args:
        bank: (N, SIDE, SIDE, 3) float32 linear RGB.
        tile: (T, T, 4) of `noise_tile`.
        spec: of B samples.
        size: S, pixels.

    Returns:
        (B, S, S, 3) float32 linear RGB.
    """
    steps = (torch.arange(size, device=bank.device) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    first = _window(bank, spec, 0, x, y)
    beyond = (x * spec.edge[:, 0, None, None] + y * spec.edge[:, 1, None, None]) * 0.5
    share = ((beyond - spec.edge[:, 2, None, None]) * size / 3 + 0.5).clamp(0, 1)[..., None]
    # Only samples with a second image in sight look it up.
    two = (share > 0).flatten(1).any(dim=1).nonzero()[:, 0]
    if len(two):
        second = _window(bank, spec[two], 1, x, y)
        first = first.index_copy(0, two, first[two] + share[two] * (second - first[two]))
    uneven = tiles(tile[..., 3:], spec.noise_shift, size) * spec.noise[:, None, None, None]
    return first * (1 + uneven).clamp_min(0.1)


def _window(bank: Tensor, spec: BackgroundSpec, number: int, x: Tensor, y: Tensor) -> Tensor:
    """(B, S, S, 3) bilinear look-up at positions (S, S) in [-1, 1] of a sample's window."""
    count, side = bank.shape[:2]
    # In float64, for the last bit of a cosine depends on where in a batch it is computed.
    window = spec.window[:, number].double()
    cosine, sine = window[:, 3].cos() * window[:, 2], window[:, 3].sin() * window[:, 2]
    columns = torch.stack([window[:, 0], window[:, 1], cosine, sine], 1).float()
    centre_x, centre_y, cos, sin = columns[..., None, None].unbind(1)
    # Mirrored at the border, so that a rotated window never leaves the image.
    u = _mirrored((centre_x + cos * x - sin * y) * (side - 1), side - 1)
    v = _mirrored((centre_y + sin * x + cos * y) * (side - 1), side - 1)
    left, top = u.floor().clamp(0, side - 2), v.floor().clamp(0, side - 2)
    right, down = (u - left)[..., None], (v - top)[..., None]
    image = (spec.picture[:, number] * count).long().clamp(0, count - 1)[:, None, None]
    index = (image * side + top.long()) * side + left.long()
    flat = bank.view(-1, 3)
    upper = flat[index] * (1 - right) + flat[index + 1] * right
    lower = flat[index + side] * (1 - right) + flat[index + side + 1] * right
    return (upper * (1 - down) + lower * down) * spec.gain[:, number, None, None]


def _mirrored(position: Tensor, length: int) -> Tensor:
    """Positions folded into [0, length]."""
    return length - (position % (2 * length) - length).abs()


def cast_shadow(behind: Tensor, coverage: Tensor, cast: Tensor) -> Tensor:
    """Darken what is behind by the blurred and shifted outline of what is in front.

    Args:
        behind: (B, S, S, 3) linear RGB; coverage: (B, S, S).
        cast: (B, 3) shift in x and y as a share of the side, and strength; see `LightSpec`.
    """
    dark = (cast[:, 2] > 0).nonzero()[:, 0]
    if len(dark) == 0:
        return behind
    size, step = coverage.shape[1], max(1, coverage.shape[1] // 32)
    low = torch.nn.functional.avg_pool2d(coverage[dark, None], step, ceil_mode=True)
    for _ in range(2):
        padded = torch.nn.functional.pad(low, (1, 1, 1, 1), mode="replicate")
        rows = padded[..., :-2, :] + padded[..., 1:-1, :] + padded[..., 2:, :]
        low = (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9
    steps = torch.arange(size, device=low.device) + 0.5
    count = low.shape[-1]

    def place(shift: Tensor) -> tuple[Tensor, Tensor]:
        at = ((steps - shift[:, None] * size) / step - 0.5).clamp(0, count - 1)
        first = at.floor().clamp_max(count - 2)
        return first.long(), at - first

    (left, right), (top, down) = place(cast[dark, 0]), place(cast[dark, 1])
    number = torch.arange(len(dark), device=low.device)[:, None, None]
    low = low[:, 0]

    def at(lower: int, righter: int) -> Tensor:
        return low[number, (top + lower)[:, :, None], (left + righter)[:, None]]

    right, down = right[:, None], down[:, :, None]
    upper = at(0, 0) * (1 - right) + at(0, 1) * right
    shadow = upper * (1 - down) + (at(1, 0) * (1 - right) + at(1, 1) * right) * down
    dimmed = behind[dark] * (1 - cast[dark, 2, None, None] * shadow)[..., None]
    return behind.index_copy(0, dark, dimmed)
