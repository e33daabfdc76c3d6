"""Things to hold, as closed meshes in metres: bottles, mugs, boxes, tools, pens, rings.

All of them are generated, of random proportions: lathed outlines, those of
`datasets.synthetic.objects` among them, boxes and bent tubes, and what is put together of those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import trimesh

from datasets.synthetic.arms import Mesh
from datasets.synthetic.objects import SHAPES, VARIED
from datasets.synthetic.records import OBJECT
from fitter.contact import ObjectMesh

Rng = np.random.Generator
EDGE = 0.014
"""Metres of a mesh's edges, about: light is worked out at vertices."""
SECTIONS = 28
"""Of a body around its axis."""
MOST_FACES = 6000


@dataclass(frozen=True)
class Thing:
    """Something to hold.

    Attributes:
        mesh: closed, its axis along z, where it is held at the origin.
        drawn: the same for the renderer, corners with surface coordinates of their own.
    """

    mesh: ObjectMesh
    drawn: Mesh


def lathe(radii: np.ndarray, heights: np.ndarray, square: float = 2.0) -> trimesh.Trimesh:
    """A closed body around z.

    Args:
        radii: (N,) metres of its outline, from the bottom to the top, and inside again of a hollow
            one; heights: (N,) metres.
        square: exponent of the cross-section, 2 round, 8 nearly a square.
    """
    outline = np.stack([np.concatenate([[0], radii, [0]]), heights[[0, *range(len(heights)), -1]]])
    angle = np.arange(SECTIONS) * (2 * np.pi / SECTIONS)
    direction = np.stack([np.cos(angle), np.sin(angle)], 1)
    norm = (np.abs(direction) ** square).sum(axis=1) ** (1 / square)
    across = direction / norm[:, None]
    rings = outline[0, 1:-1, None, None] * across
    count = len(rings)
    z = np.broadcast_to(outline[1, 1:-1, None, None], (count, SECTIONS, 1))
    vertices = np.concatenate([rings, z], 2).reshape(-1, 3)
    vertices = np.concatenate([vertices, [[0, 0, heights[0]], [0, 0, heights[-1]]]])
    rows = np.arange(count * SECTIONS).reshape(count, SECTIONS)
    after = np.roll(rows, -1, axis=1)
    bottom, top = len(vertices) - 2, len(vertices) - 1
    a, b, c, d = rows[:-1], after[:-1], after[1:], rows[1:]
    faces = np.concatenate([
        np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3),
        np.stack([after[0], rows[0], np.full(SECTIONS, bottom)], 1),
        np.stack([rows[-1], after[-1], np.full(SECTIONS, top)], 1),
    ])  # fmt: skip
    return trimesh.Trimesh(vertices, faces, process=False)


def _outline(rng: Rng, profile: tuple[float, ...], radius: float, length: float) -> trimesh.Trimesh:
    """A body of an outline at equal steps along its axis."""
    steps = max(2, round(length / EDGE))
    share = np.linspace(0, 1, steps + 1)
    radii = radius * np.interp(share, np.linspace(0, 1, len(profile)), profile)
    square = float(rng.choice([2.0, 2.0, 2.0, 3.0, 6.0]))
    return lathe(radii.clip(0.0015), length * (share - 0.5), square)


def _lathed(rng: Rng) -> trimesh.Trimesh:
    """Of an outline that held things have in other samples, as well."""
    shapes = SHAPES | VARIED
    profile = shapes[str(rng.choice(list(shapes)))]
    return _outline(rng, profile, rng.uniform(0.016, 0.038), rng.uniform(0.07, 0.2))


def _bottle(rng: Rng) -> trimesh.Trimesh:
    radius, height = rng.uniform(0.026, 0.038), rng.uniform(0.16, 0.24)
    neck, shoulder = rng.uniform(0.25, 0.45), rng.uniform(0.55, 0.72)
    share = np.array([0, 0.01, 0.2, 0.4, shoulder, shoulder + 0.06, shoulder + 0.12,
                      shoulder + 0.18, 0.95, 0.955, 1.0])  # fmt: skip
    radii = np.array([0.9, 1, 1, 1, 1, 0.93, 0.72, neck, neck, neck * 1.15, neck * 1.15])
    return lathe(radius * radii, height * (share - 0.35))


def _cup(rng: Rng) -> trimesh.Trimesh:
    """A hollow glass."""
    radius, height = rng.uniform(0.028, 0.04), rng.uniform(0.08, 0.14)
    wall, foot = rng.uniform(0.002, 0.004), rng.uniform(0.7, 1.0)
    share = np.linspace(0, 1, 8)
    outer = radius * (foot + (1 - foot) * share)
    radii = np.concatenate([outer, outer[::-1] - wall])
    heights = height * np.concatenate([share, share[::-1].clip(0.08)])
    return lathe(radii, heights - 0.5 * height)


def _mug(rng: Rng) -> trimesh.Trimesh:
    """A full mug with its handle, by which it is held or not."""
    radius, height = rng.uniform(0.034, 0.042), rng.uniform(0.08, 0.1)
    share = np.array([0, 0.02, *np.linspace(0.15, 0.98, 6), 1.0])
    body = lathe(radius * np.array([0.93, *np.ones(7), 0.97]), height * (share - 0.5))
    handle = trimesh.creation.torus(0.3 * height, rng.uniform(0.004, 0.006), 24, 12)
    handle.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    handle.apply_translation([radius, 0, 0])
    whole = _joined(body, handle)
    if rng.random() < 0.3:
        whole.apply_translation([-radius - 0.3 * height, 0, 0])
    return whole


def _box(rng: Rng) -> trimesh.Trimesh:
    width, thick = rng.uniform(0.035, 0.075), rng.uniform(0.008, 0.045)
    return _fine(trimesh.creation.box([thick, width, rng.uniform(0.08, 0.18)]))


def _ball(rng: Rng) -> trimesh.Trimesh:
    ball = trimesh.creation.icosphere(3, rng.uniform(0.02, 0.038))
    ball.apply_scale([1.0, rng.uniform(0.75, 1.0), rng.uniform(0.8, 1.3)])
    return ball


def _capsule(rng: Rng) -> trimesh.Trimesh:
    radius, height = rng.uniform(0.008, 0.03), rng.uniform(0.05, 0.14)
    turn = np.linspace(0, np.pi / 2, 6)[1:]
    rounded = radius * np.sin(turn), radius * (1 - np.cos(turn))
    share = np.linspace(0, 1, max(2, round(height / EDGE)) + 1)[1:-1]
    radii = np.concatenate([rounded[0], np.full(len(share), radius), rounded[0][::-1]])
    top = height + 2 * radius - rounded[1][::-1]
    heights = np.concatenate([rounded[1], radius + share * height, top])
    return lathe(radii, heights - radius - 0.5 * height)


def _torus(rng: Rng) -> trimesh.Trimesh:
    """A ring that is held by its tube: a handle, a steering wheel."""
    large, small = rng.uniform(0.035, 0.08), rng.uniform(0.007, 0.016)
    ring = trimesh.creation.torus(large, small, 40, 14)
    ring.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    ring.apply_translation([large, 0, 0])
    return ring


def _hammer(rng: Rng) -> trimesh.Trimesh:
    radius, length = rng.uniform(0.011, 0.017), rng.uniform(0.18, 0.26)
    handle = _outline(rng, (1.0, 0.9, 0.85, 0.9, 0.9), radius, length)
    handle.apply_translation([0, 0, 0.3 * length])
    head = _fine(trimesh.creation.box([rng.uniform(0.07, 0.11), *rng.uniform(0.02, 0.034, 2)]))
    head.apply_translation([0, 0, 0.8 * length])
    return _joined(handle, head)


def _pen(rng: Rng) -> trimesh.Trimesh:
    radius, length = rng.uniform(0.0035, 0.006), rng.uniform(0.11, 0.16)
    share = np.concatenate([[0, 0.04, 0.09], np.linspace(0.15, 1.0, 9)])
    pen = lathe(
        radius * np.array([0.2, 0.6, *np.ones(10)]), length * (share - rng.uniform(0.3, 0.6))
    )
    return pen


def _card(rng: Rng) -> trimesh.Trimesh:
    sides = rng.uniform(0.04, 0.09, 2)
    card = _fine(trimesh.creation.box([rng.uniform(0.001, 0.009), *sides]))
    card.apply_translation([0, *rng.uniform(-0.3, 0.3, 2) * sides])
    return card


def _small(rng: Rng) -> trimesh.Trimesh:
    """A coin, a marble, a die, a finger ring."""
    which = rng.integers(4)
    if which == 0:
        half = rng.uniform(0.001, 0.0015)
        coin = lathe(np.full(2, rng.uniform(0.009, 0.014)), np.array([-half, half]))
        coin.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [0, 1, 0]))
        return coin
    if which == 1:
        return trimesh.creation.icosphere(2, rng.uniform(0.006, 0.014))
    if which == 2:
        return _fine(trimesh.creation.box(rng.uniform(0.01, 0.024, 3)))
    ring = trimesh.creation.torus(rng.uniform(0.009, 0.013), 0.0016, 28, 8)
    ring.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [0, 1, 0]))
    return ring


def _fine(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """A mesh with edges of about `EDGE`; every face is parted alike, so that it stays closed."""
    while mesh.edges_unique_length.max() > 1.5 * EDGE and 4 * len(mesh.faces) < MOST_FACES:
        mesh = mesh.subdivide()
    return mesh


def _joined(first: trimesh.Trimesh, second: trimesh.Trimesh) -> trimesh.Trimesh:
    """Both bodies, each closed; they may lie in each other."""
    faces = [first.faces, second.faces + len(first.vertices)]
    vertices = np.concatenate([first.vertices, second.vertices])
    return trimesh.Trimesh(vertices, np.concatenate(faces), process=False)


IN_HAND: dict[str, Callable[[Rng], trimesh.Trimesh]] = {
    "lathed": _lathed,
    "bottle": _bottle,
    "cup": _cup,
    "mug": _mug,
    "box": _box,
    "ball": _ball,
    "capsule": _capsule,
    "torus": _torus,
    "hammer": _hammer,
}
"""Things that a hand closes around."""
BETWEEN_TIPS: dict[str, Callable[[Rng], trimesh.Trimesh]] = {
    "pen": _pen,
    "card": _card,
    "small": _small,
}
"""Things that are held between thumb and fingertips."""


def sample_thing(rng: Rng, kind: str) -> Thing:
    """Something of a kind: a key of `IN_HAND` or `BETWEEN_TIPS`."""
    mesh = (IN_HAND | BETWEEN_TIPS)[kind](rng)
    if kind in IN_HAND and kind not in ("mug", "hammer", "torus"):
        along = 0.2 * np.ptp(mesh.vertices[:, 2])
        mesh.apply_translation([0, 0, rng.uniform(-along, along)])
    # As the file will have it, so that what is measured is true of that.
    vertices = np.asarray(mesh.vertices, np.float32).astype(np.float64)
    faces = np.asarray(mesh.faces, np.int64)
    return Thing(ObjectMesh(kind, vertices, faces), drawn(vertices, faces))


def drawn(vertices: np.ndarray, faces: np.ndarray) -> Mesh:
    """A mesh as the renderer takes it: share of the length along z, and radians around it."""
    height = vertices[:, 2]
    share = (height - height.min()) / max(np.ptp(height), 1e-9)
    angle = np.arctan2(vertices[:, 1], vertices[:, 0])[faces]
    # The corners of a face lie within half a turn of its first one.
    angle = angle[:, :1] + (angle - angle[:, :1] + np.pi) % (2 * np.pi) - np.pi
    coordinates = np.stack([share[faces], angle], -1).reshape(-1, 2)
    count = len(faces)
    return Mesh(
        faces=torch.from_numpy(faces),
        corners=torch.arange(3 * count).reshape(count, 3),
        coordinates=torch.from_numpy(coordinates).float(),
        part=torch.full((count,), OBJECT),
        skin_of=torch.zeros(count, dtype=torch.int64),
        count=len(vertices),
    )
