"""Light of the example images: a soft environment with shadows, bounce and skin's softness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch

from fitter.raster import rasterize

MAP_WIDTH = 0.34
"""Metres around the hand that a shadow map covers."""
SHADOW_BIAS = 0.0022
"""Metres by which a point must lie behind the first surface to be in its shadow."""
FAR = 200.0
"""Metres from which a direction's shadow map is seen; perspective is then below a micrometre."""
SPECULAR_POWERS = (14.0, 60.0)
SKIN_REFLECTANCE = np.array([0.55, 0.33, 0.24])
"""Linear RGB with which light that hits a hand comes back to its other parts."""


@dataclass(frozen=True)
class LightStyle:
    """A key light, a sky and a ground, linear RGB, camera axes (x right, y down, z forward).

    Attributes:
        key: (3,) direction toward the key light, any length.
        key_colour: (3,) its contribution at right angles.
        softness: angular size, larger is softer; 0.1 is a lamp, 0.5 a window close by.
        sky, ground: (3,) radiance from above and from below.
        rim: (3,) contribution of a second light from behind.
    """

    key: tuple[float, float, float]
    key_colour: tuple[float, float, float]
    softness: float
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]
    rim: tuple[float, float, float]


@dataclass(frozen=True)
class LightDetail:
    """How finely light is computed.

    Attributes:
        directions: number of directions from which light comes.
        map_size: pixels of a square shadow map, which covers `MAP_WIDTH`.
    """

    directions: int = 160
    map_size: int = 384


FULL_DETAIL = LightDetail()


@dataclass(frozen=True)
class VertexLight:
    """What reaches every vertex.

    Attributes:
        diffuse: (V, 3) linear RGB to multiply the albedo with.
        specular: (V, 2, 3) for each of `SPECULAR_POWERS`.
        openness: (V,) share of the sky that is seen, 1 in the open.
    """

    diffuse: np.ndarray
    specular: np.ndarray
    openness: np.ndarray


def environment(style: LightStyle, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions (N, 3) evenly distributed on the sphere and the light (N, 3) from each of them.

    Their number N is `count`. The N weights times cosines sum to an irradiance; a uniform
    environment of radiance 1 gives 1.
    """
    index = np.arange(count) + 0.5
    z = 1 - 2 * index / count
    angle = np.pi * (1 + np.sqrt(5)) * index
    ring = np.sqrt(1 - z**2)
    directions = np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=-1)
    up = (0.5 - 0.5 * directions[:, 1:2]) ** 1.2
    radiance = up * np.array(style.sky) + (1 - up) * np.array(style.ground)
    weight = 4 / count  # integral over the sphere, divided by pi
    light = radiance * weight
    behind = (0.75 * np.sign(-style.key[0]), -0.45, 0.75)
    for toward, colour, softness in (
        (style.key, style.key_colour, style.softness),
        (behind, style.rim, 0.35),
    ):
        toward = np.array(toward) / np.linalg.norm(toward)
        lobe = np.exp((directions @ toward - 1) / softness**2)
        light = light + lobe[:, None] / lobe.sum() * np.array(colour)
    return directions, light


def light_vertices(
    vertices: np.ndarray,
    normals: np.ndarray,
    faces: np.ndarray,
    style: LightStyle,
    focus: np.ndarray,
    detail: LightDetail = FULL_DETAIL,
) -> VertexLight:
    """Light a scene that shadows itself.

    Args:
        vertices: (V, 3) metres, camera frame; normals: (V, 3) unit; faces: (F, 3).
        style: of the light.
        focus: (3,) centre of the region in which shadows are computed.
        detail: how finely.
    """
    directions, light = environment(style, detail.directions)
    to_eye = -vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    diffuse = np.zeros_like(vertices)
    specular = np.zeros((len(vertices), len(SPECULAR_POWERS), 3))
    openness, possible = np.zeros(len(vertices)), np.zeros(len(vertices))
    for direction, colour in zip(directions, light, strict=True):
        cosine = np.maximum(normals @ direction, 0.0)
        seen = cosine * _visibility(vertices - focus, faces, direction, detail.map_size)
        openness += seen
        possible += cosine
        diffuse += seen[:, None] * colour
        halfway = to_eye + direction
        halfway /= np.sqrt(np.einsum("nk,nk->n", halfway, halfway))[:, None] + 1e-9
        facing = np.maximum(np.einsum("nk,nk->n", normals, halfway), 0.0)
        for k, power in enumerate(SPECULAR_POWERS):
            # Blinn's lobe, normalised to reflect what arrives.
            lobe = (power + 8) / 8 * facing**power
            specular[:, k] += (lobe * seen)[:, None] * colour
    openness /= np.maximum(possible, 1e-9)
    bounce = (1 - openness)[:, None] * SKIN_REFLECTANCE * diffuse.mean(axis=0) * 0.8
    return VertexLight(_soften(diffuse + bounce, faces), specular, openness)


def _visibility(
    vertices: np.ndarray, faces: np.ndarray, direction: np.ndarray, size: int
) -> np.ndarray:
    """(V,) in [0, 1]: how much of each vertex is seen from far away in a direction.

    The shadow map of `size` pixels is centred on the origin of `vertices`.
    """
    helper = np.eye(3)[np.argmin(np.abs(direction))]
    across = np.cross(direction, helper)
    across /= np.linalg.norm(across)
    basis = np.stack([across, np.cross(direction, across), -direction])
    local = vertices @ basis.T
    scale = size / MAP_WIDTH
    screen = local * [scale, scale, 1] + [size / 2, size / 2, FAR]
    fragments = rasterize(torch.from_numpy(screen)[None], torch.from_numpy(faces), (size, size))
    first = np.where(fragments.mask[0].numpy(), fragments.depth[0].numpy(), np.inf)
    position = screen[:, :2] - 0.5
    corner = np.floor(position).astype(int)
    share = position - corner
    visible = np.zeros(len(vertices))
    for right in (0, 1):
        for down in (0, 1):
            x, y = corner[:, 0] + right, corner[:, 1] + down
            inside = (x >= 0) & (y >= 0) & (x < size) & (y < size)
            depth = first[np.clip(y, 0, size - 1), np.clip(x, 0, size - 1)]
            weight = np.abs(1 - right - share[:, 0]) * np.abs(1 - down - share[:, 1])
            visible += weight * (~inside | (screen[:, 2] < depth + SHADOW_BIAS))
    return visible


def _soften(light: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """ExecutionOptions light over the surface, red furthest, as it spreads below the skin."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    count = len(light)
    graph = scipy.sparse.coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count)).tocsr()
    graph = graph + graph.T + 4 * scipy.sparse.identity(count)
    average = scipy.sparse.diags(1 / np.asarray(graph.sum(axis=1)).ravel()) @ graph
    softened = light.copy()
    for channel, steps in enumerate((9, 4, 3)):
        for _ in range(steps):
            softened[:, channel] = average @ softened[:, channel]
    return softened
