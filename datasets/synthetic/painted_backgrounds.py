"""Cluttered, out-of-focus backgrounds, painted from random boxes, leaves, books and lamps."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Colour = tuple[float, float, float]


def sample_background(
    theme: str, size: tuple[int, int], generator: np.random.Generator
) -> np.ndarray:
    """A background (H, W, 3) float32, sRGB 0-255, already out of focus.

    Args:
        theme: a key of `THEMES`.
        size: (H, W) in pixels.
        generator: places and colours everything.
    """
    height, width = size
    canvas = np.zeros((height, width, 3), np.float32)
    blur = THEMES[theme](canvas, generator)
    return cv2.GaussianBlur(canvas, (0, 0), blur * height / 480)


def _gradient(canvas: np.ndarray, top: Colour, bottom: Colour) -> None:
    t = np.linspace(0, 1, canvas.shape[0], dtype=np.float32)[:, None, None]
    canvas[:] = (1 - t) * np.array(top, np.float32) + t * np.array(bottom, np.float32)


def _unevenness(
    canvas: np.ndarray, generator: np.random.Generator, strength: float, cells: tuple[int, int]
) -> None:
    """Multiply smooth random brightness into the canvas."""
    grid = generator.normal(0, strength, cells).astype(np.float32)
    field = cv2.resize(grid, canvas.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    canvas *= 1 + field[..., None]


def _polygon(canvas: np.ndarray, points: np.ndarray, colour: np.ndarray) -> None:
    scaled = np.round(points * [canvas.shape[1], canvas.shape[0]]).astype(np.int32)
    cv2.fillPoly(canvas, [scaled], [float(c) for c in colour], cv2.LINE_AA)


def _box(canvas: np.ndarray, corners: tuple[float, ...], colour: np.ndarray) -> None:
    x0, y0, x1, y1 = corners
    _polygon(canvas, np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), colour)


def _palette(generator: np.random.Generator) -> np.ndarray:
    """A muted colour of things in a room."""
    hue, saturation = generator.uniform(0, 180), generator.uniform(30, 150)
    value = generator.uniform(50, 225)
    pixel = np.array([[[hue, saturation, value]]], np.uint8)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].astype(float)


def _bookshelf(canvas: np.ndarray, generator: np.random.Generator) -> float:
    _gradient(canvas, (92, 74, 60), (70, 54, 44))
    for shelf in np.arange(-0.12, 1.0, 0.36):
        x = -0.02
        while x < 1.0:
            wide, tall = generator.uniform(0.018, 0.055), generator.uniform(0.2, 0.3)
            if generator.random() < 0.12:
                x += wide * 2
                continue
            lean = generator.normal(0, 0.006)
            bottom = shelf + 0.33
            corners = [[x, bottom], [x + wide, bottom], [x + wide + lean, bottom - tall]]
            colour = _palette(generator)
            _polygon(canvas, np.array([*corners, [x + lean, bottom - tall]]), colour)
            stripe = bottom - tall * generator.uniform(0.6, 0.85)
            _box(canvas, (x + 0.003, stripe, x + wide - 0.003, stripe + 0.03), colour * 0.5 + 110)
            x += wide + 0.002
        _box(canvas, (0, shelf + 0.33, 1, shelf + 0.37), np.array([150, 112, 78]))
    _unevenness(canvas, generator, 0.1, (4, 5))
    return 5.0


def _window(canvas: np.ndarray, generator: np.random.Generator) -> float:
    _gradient(canvas, (178, 172, 162), (150, 140, 128))
    _box(canvas, (0.52, -0.1, 1.1, 0.68), np.array([232, 232, 226]))
    for pane in (0.55, 0.79):
        _box(canvas, (pane, -0.1, pane + 0.21, 0.64), np.array([196, 214, 222]))
        for _ in range(60):
            at = generator.uniform((pane, 0.15), (pane + 0.21, 0.64))
            leaf = at + generator.normal(0, 0.025, (5, 2))
            leaf[:, 0] = leaf[:, 0].clip(pane, pane + 0.21)
            colour = np.array([96, 128, 70]) * generator.uniform(0.6, 1.5)
            _polygon(canvas, leaf[np.argsort(np.arctan2(*(leaf - at).T))], colour)
    _box(canvas, (0, 0.8, 1, 1.1), np.array([138, 104, 76]))
    _box(canvas, (0.06, 0.1, 0.36, 0.5), np.array([72, 66, 62]))
    _box(canvas, (0.08, 0.13, 0.34, 0.47), np.array([206, 188, 150]))
    for _ in range(12):
        x, y = generator.uniform((0.1, 0.16), (0.3, 0.4))
        _box(canvas, (x, y, x + 0.05, y + 0.05), _palette(generator))
    for x in (0.1, 0.2, 0.42):
        tall = generator.uniform(0.1, 0.22)
        _box(canvas, (x, 0.84 - tall, x + 0.06, 0.84), _palette(generator))
    _unevenness(canvas, generator, 0.05, (3, 4))
    return 6.0


def _garden(canvas: np.ndarray, generator: np.random.Generator) -> float:
    _gradient(canvas, (150, 172, 140), (72, 96, 52))
    for _ in range(420):
        at = generator.uniform(-0.05, 1.05, 2)
        size = generator.uniform(0.015, 0.07)
        leaf = at + generator.normal(0, size, (6, 2))
        light = generator.uniform(0.45, 1.5) * (1.2 - 0.5 * at[1])
        colour = np.array([98, 132, 62]) * light + generator.normal(0, 8, 3)
        _polygon(canvas, leaf[np.argsort(np.arctan2(*(leaf - at).T))], colour.clip(0, 255))
    canvas[:] = cv2.GaussianBlur(canvas, (0, 0), canvas.shape[0] / 60)
    for _ in range(45):
        at = (generator.uniform(0, 1, 2) * [canvas.shape[1], canvas.shape[0] * 0.7]).astype(int)
        radius = int(canvas.shape[0] * generator.uniform(0.012, 0.04))
        disc = np.zeros(canvas.shape[:2], np.float32)
        cv2.circle(disc, at.tolist(), radius, (1.0,), -1, cv2.LINE_AA)
        canvas += disc[..., None] * np.array([60, 62, 30]) * generator.uniform(0.3, 1.0)
    np.clip(canvas, 0, 255, out=canvas)
    return 3.0


def _kitchen(canvas: np.ndarray, generator: np.random.Generator) -> float:
    _gradient(canvas, (196, 204, 204), (172, 180, 182))
    for row, y in enumerate(np.arange(0, 0.72, 0.12)):
        for x in np.arange(-0.1 + 0.08 * (row % 2), 1.0, 0.16):
            tint = np.array([206, 214, 210]) * generator.uniform(0.9, 1.06)
            _box(canvas, (x + 0.003, y + 0.004, x + 0.157, y + 0.116), tint.clip(0, 255))
    _box(canvas, (0, 0.72, 1, 1.1), np.array([92, 84, 80]))
    _box(canvas, (0, 0.72, 1, 0.755), np.array([150, 140, 132]))
    for _ in range(11):
        x, tall, wide = generator.uniform(-0.03, 0.97), *generator.uniform(0.08, 0.3, 2)
        wide = 0.03 + 0.25 * wide
        colour = _palette(generator)
        _box(canvas, (x, 0.74 - tall, x + wide, 0.75), colour)
        _box(canvas, (x, 0.74 - tall, x + wide, 0.74 - 0.8 * tall), colour * 0.6)
        _box(canvas, (x + 0.01, 0.72 - 0.6 * tall, x + 0.02, 0.73), colour * 0.4 + 150)
    _unevenness(canvas, generator, 0.07, (3, 5))
    return 4.5


def _desk(canvas: np.ndarray, generator: np.random.Generator) -> float:
    """A table top from above: boards, papers, a keyboard, a cup."""
    for y in np.arange(0, 1, 0.14):
        board = np.array([168, 126, 86]) * generator.uniform(0.85, 1.1)
        _box(canvas, (0, y, 1, y + 0.14), board)
        for _ in range(14):
            line, x = y + generator.uniform(0, 0.14), generator.uniform(-0.3, 0.9)
            tint = board * generator.uniform(0.82, 0.97)
            _box(canvas, (x, line, x + generator.uniform(0.2, 0.8), line + 0.004), tint)
        _box(canvas, (0, y, 1, y + 0.004), board * 0.5)
    for at, size, angle in (((0.18, 0.25), (0.3, 0.42), -0.2), ((0.86, 0.75), (0.26, 0.4), 0.3)):
        corner = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array(size) / 2
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        _polygon(canvas, corner @ rotation.T + at, np.array([228, 226, 218]))
        for line in np.linspace(-0.4, 0.4, 11):
            end = generator.uniform(0.1, 0.42)
            bar = np.array([[-0.42, line], [end, line], [end, line + 0.018], [-0.42, line + 0.018]])
            _polygon(canvas, bar * np.array(size) @ rotation.T + at, np.array([120, 120, 128]))
    for row in range(4):
        for key in range(12):
            x, y = 0.62 + 0.034 * key, 0.02 + 0.052 * row
            _box(canvas, (x, y, x + 0.029, y + 0.044), np.array([58, 60, 66]))
    centre = (int(0.1 * canvas.shape[1]), int(0.84 * canvas.shape[0]))
    for radius, colour in ((0.12, (196, 86, 66)), (0.1, (222, 214, 202)), (0.09, (72, 44, 28))):
        cv2.circle(canvas, centre, int(radius * canvas.shape[0]), colour, -1, cv2.LINE_AA)
    _unevenness(canvas, generator, 0.06, (3, 4))
    return 3.2


def _lamps(canvas: np.ndarray, generator: np.random.Generator) -> float:
    """A room in the evening with points of light out of focus."""
    _gradient(canvas, (58, 54, 70), (44, 36, 38))
    for _ in range(16):
        x, y = generator.uniform(-0.1, 1, 2)
        wide, tall = generator.uniform(0.05, 0.3, 2)
        _box(canvas, (x, y, x + wide, y + tall), _palette(generator) * 0.42)
    canvas[:] = cv2.GaussianBlur(canvas, (0, 0), canvas.shape[0] / 50)
    for _ in range(38):
        at = (generator.uniform(0, 1, 2) * canvas.shape[1::-1]).astype(int)
        radius = int(canvas.shape[0] * generator.uniform(0.018, 0.05))
        disc = np.zeros(canvas.shape[:2], np.float32)
        cv2.circle(disc, at.tolist(), radius, (0.75,), -1, cv2.LINE_AA)
        cv2.circle(disc, at.tolist(), radius, (1.0,), max(1, radius // 8), cv2.LINE_AA)
        tint = np.array([190, 138, 70]) if generator.random() < 0.7 else np.array([90, 130, 190])
        canvas += disc[..., None] * tint * generator.uniform(0.25, 0.9)
    np.clip(canvas, 0, 255, out=canvas)
    return 2.0


THEMES: dict[str, Callable[[np.ndarray, np.random.Generator], float]] = {
    "bookshelf": _bookshelf,
    "window": _window,
    "garden": _garden,
    "kitchen": _kitchen,
    "desk": _desk,
    "lamps": _lamps,
}
"""Each paints on a canvas and returns its blur in pixels at a height of 480."""
