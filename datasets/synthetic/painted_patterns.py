"""Flat and far backgrounds, painted: cloth, tiles, skies, streets, pages, leaves of noise.

They go beside the rooms of `datasets.synthetic.painted_backgrounds`, whose generators they leave
alone.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Rng = np.random.Generator
Painter = Callable[[int, Rng], np.ndarray]


def sample_pattern(name: str, side: int, generator: Rng) -> np.ndarray:
    """A background (side, side, 3) uint8 sRGB.

    Args:
        name: a key of `PATTERNS`.
        side: pixels.
        generator: decides everything.
    """
    image = PATTERNS[name](side, generator)
    shade = _clouds(side, generator, 2, 3) * generator.uniform(0.0, 0.2)
    image = image * (1 + shade[..., None])
    blur = generator.uniform(0.0, 2.5)
    if blur > 0.4:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    return image.clip(0, 255).round().astype(np.uint8)


def _colours(generator: Rng, count: int) -> np.ndarray:
    """(count, 3) float, sRGB 0-255: of any hue, muted or strong, dark or light."""
    pixels = np.stack(
        [
            generator.uniform(0, 180, count),
            255 * generator.beta(1.2, 2.0, count),
            generator.uniform(25, 250, count),
        ],
        axis=1,
    )
    return cv2.cvtColor(pixels[None].astype(np.uint8), cv2.COLOR_HSV2RGB)[0].astype(float)


def _clouds(side: int, generator: Rng, first: int, octaves: int) -> np.ndarray:
    """(side, side) smooth noise of standard deviation 1, `first` cells at its coarsest."""
    total = np.zeros((side, side))
    for octave in range(octaves):
        cells = max(2, first * 2**octave)
        grid = generator.normal(0, 0.55**octave, (cells, cells))
        total += cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    return (total - total.mean()) / (total.std() + 1e-9)


def _plane(side: int, generator: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (side, side) in [-1, 1] of a surface that is seen rotated and at a slant."""
    y, x = np.mgrid[0:side, 0:side] / (side - 1) * 2 - 1
    angle, slant = generator.uniform(0, np.pi), generator.uniform(0, 0.45)
    depth = 1 / (1 - slant * y)
    x, y = x * depth, y * depth
    return np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y


def _cloth(side: int, generator: Rng) -> np.ndarray:
    """Woven, chequered or striped, with folds."""
    u, v = _plane(side, generator)
    fold = _clouds(side, generator, 3, 2)
    u, v = u + 0.03 * fold, v + 0.03 * np.roll(fold, side // 3, 0)
    ground, one, two = _colours(generator, 3)
    image = np.broadcast_to(ground, (side, side, 3)).copy()
    kind = generator.integers(3)
    rate = generator.uniform(3, 22)
    for place, colour in ((u, one), (v, two)):
        band = np.cos(np.pi * rate * place) > generator.uniform(-0.3, 0.8)
        if kind:
            image += 0.5 * band[..., None] * (colour - image)
        if kind == 1:
            break
    weave = np.sin(90 * u) * np.sin(90 * v) * generator.uniform(0, 0.15)
    return image * (1 + weave + 0.12 * fold)[..., None]


def _tiles(side: int, generator: Rng) -> np.ndarray:
    """Tiles, bricks or planks with joints, each of its own shade."""
    u, v = _plane(side, generator)
    rows, long = generator.uniform(2, 9), generator.choice([1.0, 1.0, 2.2, 6.0])
    row = np.floor(v * rows)
    column = np.floor(u * rows / long + 0.5 * (row % 2) * (generator.random() < 0.6))
    shade = generator.uniform(0.7, 1.2, (64, 64))
    number = shade[row.astype(int) % 64, column.astype(int) % 64]
    ground, joint = _colours(generator, 2)
    image = ground * number[..., None] * (1 + 0.06 * _clouds(side, generator, 24, 2))[..., None]
    fraction_u = (u * rows / long + 0.5 * (row % 2)) % 1
    edge = ((v * rows) % 1 < 0.06) | (fraction_u < 0.06 / long)
    return np.where(edge[..., None], joint, image)


def _sky(side: int, generator: Rng) -> np.ndarray:
    """A sky over hills or roofs."""
    y = np.linspace(0, 1, side)[:, None, None]
    top = np.array([70, 120, 190]) * generator.uniform(0.5, 1.3)
    low = np.array([215, 215, 215]) * generator.uniform(0.6, 1.1, 3)
    image = np.broadcast_to(top + (low - top) * y, (side, side, 3)).copy()
    cloud = (_clouds(side, generator, 3, 5) - generator.uniform(-0.5, 1.5)).clip(0, 1)
    image += cloud[..., None] * (np.array([235, 235, 238]) - image)
    x = np.arange(side)
    for layer in range(int(generator.integers(1, 4))):
        horizon = generator.uniform(0.45, 0.95) * side
        if generator.random() < 0.5:
            ridge = horizon + 0.06 * side * _clouds(side, generator, 4, 4)[layer]
        else:
            ridge = horizon + np.repeat(generator.normal(0, 0.1 * side, 24), side // 24 + 1)[:side]
        colour = _colours(generator, 1)[0] * 0.7
        image[np.arange(side)[:, None] > ridge[x]] = colour
    return image * (1 + 0.06 * _clouds(side, generator, 20, 3))[..., None]


def _page(side: int, generator: Rng) -> np.ndarray:
    """A page, a screen or a poster: lines of words, boxes, a heading."""
    paper, ink, *boxes = _colours(generator, 6)
    if generator.random() < 0.7:
        paper = np.array([236, 234, 228]) * generator.uniform(0.8, 1.05)
        ink = np.array([40, 40, 48]) * generator.uniform(0.3, 2.0)
    image = np.broadcast_to(paper, (side, side, 3)).astype(np.float32).copy()
    step = int(generator.integers(7, 20))
    for top in range(step, side - step, step):
        x = int(0.05 * side)
        while x < 0.93 * side:
            wide = int(generator.integers(step // 2, 4 * step))
            if generator.random() < 0.9:
                cv2.rectangle(image, (x, top), (x + wide, top + step // 2), ink.tolist(), -1)
            x += wide + step // 2
    for colour in boxes[: generator.integers(0, 5)]:
        at = generator.uniform(0, side, 2).astype(int)
        end = at + generator.uniform(0.1 * side, 0.5 * side, 2).astype(int)
        cv2.rectangle(image, at.tolist(), end.tolist(), colour.tolist(), -1)
    angle = generator.normal(0, 25)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), angle, generator.uniform(1.0, 1.6))
    return cv2.warpAffine(image, turn, (side, side), borderMode=cv2.BORDER_REFLECT).astype(float)


def _pebbles(side: int, generator: Rng) -> np.ndarray:
    """Cells: gravel, foliage, a crowd out of focus, a carpet."""
    count = int(np.exp(generator.uniform(np.log(30), np.log(900))))
    places = generator.uniform(0, side, (count, 2)).astype(int)
    seeds = np.full((side, side), 255, np.uint8)
    seeds[places[:, 1], places[:, 0]] = 0
    distance, label = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    palette = _colours(generator, int(generator.integers(2, 7)))
    chosen = palette[generator.integers(0, len(palette), label.max() + 1)]
    chosen = chosen * generator.uniform(0.6, 1.3, (len(chosen), 1))
    relief = 1 - generator.uniform(0, 0.7) * distance / (distance.max() + 1e-9)
    return chosen[label] * relief[..., None]


def _haze(side: int, generator: Rng) -> np.ndarray:
    """Three colours that run into each other, with a grain: plaster, stone, wood, fur."""
    a, b, c = _colours(generator, 3)
    first = int(generator.integers(2, 7))
    one = _clouds(side, generator, first, 5)[..., None]
    two = _clouds(side, generator, first, 3)[..., None]
    image = a + (b - a) * (0.5 + 0.5 * one).clip(0, 1) + (c - a) * (0.4 * two).clip(0, 1)
    noise = generator.normal(0, 1, (side, side)).astype(np.float32)
    long = generator.uniform(0.5, 9.0)
    grain = cv2.GaussianBlur(noise, (0, 0), sigmaX=long, sigmaY=0.7)
    return image * (1 + generator.uniform(0, 0.15) * grain / grain.std())[..., None]


def _shapes(side: int, generator: Rng) -> np.ndarray:
    """Things of all sizes before each other: discs, bars, polygons, some of skin's colours."""
    image = np.broadcast_to(_colours(generator, 1)[0], (side, side, 3)).astype(np.float32).copy()
    for _ in range(int(generator.integers(15, 120))):
        colour = _colours(generator, 1)[0]
        if generator.random() < 0.25:
            # What has the colour of skin is no hand for it.
            colour = np.array([214, 166, 140]) * generator.uniform(0.35, 1.15)
        at = generator.uniform(0, side, 2)
        size = side * np.exp(generator.uniform(np.log(0.02), np.log(0.3)))
        if generator.random() < 0.35:
            cv2.circle(image, at.astype(int).tolist(), int(size / 2), colour.tolist(), -1, 16)
            continue
        corners = int(generator.integers(3, 9))
        turn = np.sort(generator.uniform(0, 2 * np.pi, corners))
        radius = size * generator.uniform(0.3, 1, corners)
        stretch = [1.0, generator.uniform(0.15, 1.0)]
        points = at + radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1) * stretch
        cv2.fillPoly(image, [points.round().astype(np.int32)], colour.tolist(), 16)
    return image.astype(float)


PATTERNS: dict[str, Painter] = {
    "cloth": _cloth,
    "tiles": _tiles,
    "sky": _sky,
    "page": _page,
    "pebbles": _pebbles,
    "haze": _haze,
    "shapes": _shapes,
}
