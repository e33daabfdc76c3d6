"""Rigs to render with: a stereo pair on a head, a dome of cameras; and where a rig looks.

The generated rigs have axes as a camera has them: x right, y down, z forward.
"""

from __future__ import annotations

import math

import numpy as np

from fitter.errors import InputError
from fitter.rig import Rig, RigCamera

STEREO_VIEW, DOME_VIEW = math.radians(60.0), math.radians(55.0)
"""Fields of view of the cameras, edge to edge."""
STEREO_FOCUS = 0.45
"""Metres in front of cameras that look the same way at which hands are: an arm's reach from a
head."""
DOME_RADIUS = 0.42
"""Metres from a dome's middle to its cameras."""
LEAST_BASELINE, LARGEST_BASELINE = 0.01, 0.3
"""Metres between the cameras of a stereo pair."""
DOME_BASELINE = 0.1
"""Metres that neighbouring cameras of a dome are at least apart."""
_ELEVATIONS = math.radians(-25.0), math.radians(70.0)
"""Below and above the horizon of a dome's middle."""
_PARALLEL = 1e-3
"""Least mean squared sine of the angle between lines of sight that meet somewhere."""


def intrinsics_of(size: tuple[int, int], field_of_view: float) -> np.ndarray:
    """(3, 3) K of an image of (width, height) pixels whose longer side spans an angle, radians."""
    focal = 0.5 * max(size) / math.tan(0.5 * field_of_view)
    return np.array([[focal, 0, 0.5 * size[0]], [0, focal, 0.5 * size[1]], [0, 0, 1.0]])


def stereo_rig(baseline: float, size: tuple[int, int]) -> Rig:
    """Two cameras of a headset side by side that look the same way: "left" and "right".

    Args:
        baseline: metres between them; the rig's origin is half way.
        size: (width, height) pixels of their images.

    Raises:
        InputError: `synthetic.baseline`: it is outside `LEAST_BASELINE` to `LARGEST_BASELINE`.
    """
    if not LEAST_BASELINE <= baseline <= LARGEST_BASELINE:
        raise InputError(
            "synthetic.baseline",
            file="--stereo",
            found=baseline,
            least=LEAST_BASELINE,
            most=LARGEST_BASELINE,
        )
    K = intrinsics_of(size, STEREO_VIEW)
    return Rig(
        tuple(
            RigCamera(name, K, np.eye(3), np.array([side * baseline, 0.0, 0.0]), size=size)
            for name, side in (("left", 0.5), ("right", -0.5))
        )
    )


def dome_rig(cameras: int, size: tuple[int, int], radius: float = DOME_RADIUS) -> Rig:
    """Cameras around a working volume that all look at its middle: "camera0", "camera1", ...

    They stand evenly, along a spiral, on the part of a sphere between two elevations; the first
    ones are the highest. One camera alone stands in front, at the horizon.

    Args:
        cameras: how many, at least one.
        size: (width, height) pixels of their images.
        radius: metres from the middle, the rig's origin.

    Raises:
        InputError: `synthetic.dome`: two neighbours would be nearer than `DOME_BASELINE`.
    """
    places = _spiral(cameras) * radius
    if cameras > 1:
        distance = np.linalg.norm(places[:, None] - places, axis=-1) + 1e9 * np.eye(cameras)
        if distance.min() < DOME_BASELINE:
            raise InputError(
                "synthetic.dome", file="--dome", found=cameras, expected=DOME_BASELINE,
                baseline=round(float(distance.min()), 3),
            )  # fmt: skip
    K = intrinsics_of(size, DOME_VIEW)
    rotations = [_looking(-place) for place in places]
    return Rig(
        tuple(
            RigCamera(f"camera{number}", K, rotation, -rotation @ place, size=size)
            for number, (rotation, place) in enumerate(zip(rotations, places, strict=True))
        )
    )


def _spiral(count: int) -> np.ndarray:
    """(count, 3) unit directions: equal steps of height (Archimedes: of area), golden angle."""
    if count == 1:
        return np.array([[0.0, 0.0, -1.0]])
    low, high = np.sin(_ELEVATIONS)
    height = high - (np.arange(count) + 0.5) / count * (high - low)
    angle = np.arange(count) * np.pi * (3 - math.sqrt(5.0))
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.sin(angle), -height, -ring * np.cos(angle)], axis=1)


def _looking(direction: np.ndarray) -> np.ndarray:
    """(3, 3) rotation to a camera that looks along `direction`, upright: the rig's y is down."""
    forward = direction / np.linalg.norm(direction)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


def rig_focus(rig: Rig) -> np.ndarray:
    """(3,) metres, rig frame: the point nearest to all lines of sight, in least squares; of cameras
    that look the same way `STEREO_FOCUS` in front of the middle between them."""
    axes = np.stack([camera.rotation[2] for camera in rig.cameras])
    centres = np.stack([camera.centre for camera in rig.cameras])
    across = np.eye(3) - axes[:, :, None] * axes[:, None]
    values, vectors = np.linalg.eigh(across.mean(axis=0))
    if values[0] < _PARALLEL:
        middle = axes.mean(axis=0)
        return np.asarray(centres.mean(axis=0) + STEREO_FOCUS * middle / np.linalg.norm(middle))
    wanted = (across @ centres[..., None])[..., 0].mean(axis=0)
    return np.asarray(vectors @ ((vectors.T @ wanted) / values))
