"""Cameras that look at two hands or at a grasp, from the owner's head or from anywhere.

All angles, distances and shares are ours (not published).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Rng = np.random.Generator
HEAD = np.array([0.0, 0.36, 0.3])
"""Metres from the hands to the owner's eyes: up and back."""


@dataclass(frozen=True)
class Camera:
    """How a camera sees what is at the origin of the owner's directions.

    Attributes:
        rotation: (3, 3) from the owner's directions (x right, y up, z back) to the camera's.
        place: (3,) metres in the camera's frame.
        field_of_view: radians, of the width of the full image.
        egocentric: it is at the owner's eyes.
    """

    rotation: np.ndarray
    place: np.ndarray
    field_of_view: float
    egocentric: bool


def sample_camera(rng: Rng, view: str, along: np.ndarray | None) -> Camera:
    """A camera; `along` is a direction of the owner along which one thing hides another."""
    egocentric = {"egocentric": True, "third_person": False}.get(view, rng.random() < 0.35)
    if egocentric:
        distance, fov = rng.uniform(0.36, 0.65), np.deg2rad(rng.uniform(60, 100))
        eye = HEAD + rng.normal(0, [0.08, 0.08, 0.08])
    else:
        distance = np.exp(rng.uniform(np.log(0.4), np.log(1.5)))
        fov = np.deg2rad(rng.uniform(35, 75))
        azimuth = np.deg2rad(rng.normal(180, 75))
        height = np.deg2rad(np.clip(rng.normal(12, 25), -70, 80))
        eye = np.array([np.sin(azimuth) * np.cos(height), np.sin(height),
                        np.cos(azimuth) * np.cos(height)])  # fmt: skip
    if along is not None:
        sign = 1.0 if egocentric or rng.random() < 0.5 else -1.0
        eye = sign * along + rng.normal(0, 0.18, 3)
    roll = rng.normal(0, 0.15 if egocentric else 0.25)
    reach = 0.35 * np.tan(fov / 2)
    away = rng.uniform(-1, 1, 2) * [reach, 0.75 * reach]
    place = distance * np.array([*away, 1.0])
    return Camera(_looking(eye, roll), place, float(fov), bool(egocentric))


def _looking(eye: np.ndarray, roll: float) -> np.ndarray:
    """(3, 3) rows: right, down, ahead of a camera that looks from `eye` at the origin."""
    ahead = -eye / np.linalg.norm(eye)
    up = np.array([0.0, 1.0, 0.0]) if abs(ahead[1]) < 0.95 else np.array([0.0, 0.3, -1.0])
    right = np.cross(ahead, up)
    right /= np.linalg.norm(right)
    down = np.cross(ahead, right)
    cos, sin = np.cos(roll), np.sin(roll)
    return np.stack([cos * right + sin * down, cos * down - sin * right, ahead])
