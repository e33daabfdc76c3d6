"""What is behind the hands: a bank of pictures, of which every sample shows windows of its own.

The bank is painted (the default, the same on every machine), read from pictures with free licences
in packages that happen to be installed, or from a user's folder. Samples cut windows of any size,
turn and tint out of it, put two beside each other and lay smooth unevenness over them.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from datasets.synthetic.painted_backgrounds import THEMES, sample_background
from datasets.synthetic.records import BackgroundSpec
from fitter.errors import InputError

SIDE = 288
"""Pixels of a bank picture's side."""
PAINTED = 56
"""Pictures that are painted."""
MOST = 2000
"""Pictures of a folder that are read, evenly spread over the sorted names."""
TILE = 512
"""Pixels of the noise tile's side."""
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
FREE_PICTURES = (
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "public domain (US Navy)"),
    ("matplotlib", "mpl-data/sample_data/Minduka_Present_Blue_Pack.png", "CC0"),
    ("sklearn", "datasets/images/china.jpg", "CC BY 2.0, Yulin Jia"),
    ("sklearn", "datasets/images/flower.jpg", "CC BY 2.0, dany13"),
    ("skimage", "data/coffee.png", "CC0"),
    ("skimage", "data/chelsea.png", "CC0"),
    ("skimage", "data/rocket.jpg", "public domain (SpaceX)"),
    ("skimage", "data/brick.png", "CC0"),
    ("skimage", "data/grass.png", "CC0"),
    ("skimage", "data/gravel.png", "CC0"),
)
"""Package, file in it and licence of pictures that show no hands."""


def painted_bank(seed: int = 0) -> np.ndarray:
    """(PAINTED, SIDE, SIDE, 3) uint8 sRGB, the same on every machine."""
    pictures = []
    themes = list(THEMES)
    for number in range(PAINTED):
        generator = np.random.default_rng([seed, 77, number])
        if number % 8 == 7:
            pictures.append(_plain(generator))
            continue
        side = int(generator.integers(SIDE, 2 * SIDE))
        wide = sample_background(themes[number % len(themes)], (side, side * 4 // 3), generator)
        left = int(generator.integers(0, wide.shape[1] - side + 1))
        square = wide[:, left : left + side]
        small = cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        # Rooms come in every colour,
        # and table tops are of other things than wood.
        spread = 0.25 if themes[number % len(themes)] == "desk" else 0.08
        tint = np.exp(generator.normal(0, spread, 3)) * np.exp(generator.normal(0, 0.2))
        pictures.append((small * tint).clip(0, 255).round().astype(np.uint8))
    return np.stack(pictures)


def _plain(generator: np.random.Generator) -> np.ndarray:
    """A wall: one colour, hardly uneven."""
    colour = generator.uniform(30, 245) * np.exp(generator.normal(0, 0.15, 3))
    field = cv2.resize(
        generator.normal(0, 0.08, (4, 4)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
    )
    return (colour * (1 + field[..., None])).clip(0, 255).round().astype(np.uint8)


def package_images() -> list[Path]:
    """Files of `FREE_PICTURES` that are on this machine."""
    found = []
    for package, name, _ in FREE_PICTURES:
        spec = find_spec(package)
        folders = spec.submodule_search_locations if spec else None
        path = Path(folders[0]) / name if folders else None
        if path is not None and path.is_file():
            found.append(path)
    return found


def folder_images(folder: Path) -> list[Path]:
    """Pictures in a folder and below it, sorted by name, at most `MOST` of them.

    Raises:
        InputError: there is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder of backgrounds {folder}")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise InputError(f"{folder} holds no pictures (JPEG, PNG, WebP or BMP) for backgrounds")
    return [paths[k] for k in np.unique(np.linspace(0, len(paths) - 1, MOST).round().astype(int))]


def read_bank(paths: list[Path]) -> np.ndarray:
    """(N, SIDE, SIDE, 3) uint8 sRGB: the middle square of each picture.

    Raises:
        InputError: a file cannot be read as a picture.
    """
    pictures = []
    for path in paths:
        try:
            pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        except (OSError, cv2.error):
            pixels = None
        if pixels is None:
            raise InputError(f"cannot read {path} as a picture for backgrounds")
        side = min(pixels.shape[:2])
        top, left = ((n - side) // 2 for n in pixels.shape[:2])
        square = pixels[top : top + side, left : left + side, ::-1]
        kind = cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR
        pictures.append(cv2.resize(square, (SIDE, SIDE), interpolation=kind))
    return np.stack(pictures)


def load_bank(backgrounds: str) -> np.ndarray:
    """The bank that `SyntheticSettings.backgrounds` names.

    Raises:
        InputError: nothing can be read there.
    """
    if backgrounds == "procedural":
        return painted_bank()
    if backgrounds == "packages":
        paths = package_images()
        if not paths:
            raise InputError(
                "backgrounds: no package with free pictures is installed (matplotlib has some)"
            )
        return read_bank(paths)
    return read_bank(folder_images(Path(backgrounds)))


def noise_tile(seed: int = 0) -> np.ndarray:
    """(TILE, TILE, 4) float32: three channels of nearly white noise of variance 1, of which half
    is common to them, and one of smooth noise; they wrap around at the borders."""
    generator = np.random.default_rng([seed, 78])
    grain = generator.normal(0, 1, (TILE, TILE, 3)) + generator.normal(0, 0.7, (TILE, TILE, 1))
    wrapped = np.concatenate([grain[-4:], grain, grain[:4]])
    wrapped = np.concatenate([wrapped[:, -4:], wrapped, wrapped[:, :4]], axis=1)
    grain = cv2.GaussianBlur(wrapped, (0, 0), 0.55)[4:-4, 4:-4]
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
    # Only samples with a second picture in sight look it up.
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
    # Mirrored at the border, so that a turned window never leaves the picture.
    u = _mirrored((centre_x + cos * x - sin * y) * (side - 1), side - 1)
    v = _mirrored((centre_y + sin * x + cos * y) * (side - 1), side - 1)
    left, top = u.floor().clamp(0, side - 2), v.floor().clamp(0, side - 2)
    right, down = (u - left)[..., None], (v - top)[..., None]
    picture = (spec.picture[:, number] * count).long().clamp(0, count - 1)[:, None, None]
    index = (picture * side + top.long()) * side + left.long()
    flat = bank.view(-1, 3)
    upper = flat[index] * (1 - right) + flat[index + 1] * right
    lower = flat[index + side] * (1 - right) + flat[index + side + 1] * right
    return (upper * (1 - down) + lower * down) * spec.gain[:, number, None, None]


def _mirrored(position: Tensor, length: int) -> Tensor:
    """Positions folded into [0, length]."""
    return length - (position % (2 * length) - length).abs()
