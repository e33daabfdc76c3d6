"""Closed bodies that must not reach into each other, and how far one is from another.

Distances are exact (`fitter.contact.signed_distance`) where they matter: of points that lie near
the other surface. Those further away get a lower bound from the nearest of the points that the
surface is strewn with, which is enough to move by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.spatial import cKDTree

from fitter.contact import Surface, signed_distance

SPACING = 0.007
"""Metres between the points that a surface is strewn with, at most."""
COVERED = SPACING / 3**0.5
"""Metres from any point of a surface to the nearest of those, at most: the middle of a triangle
whose sides are `SPACING`."""
NEAR = 0.01
"""Metres from such a point within which a distance is taken exactly."""
LOOKED = 0.03
"""Metres up to which the nearest of those points is looked for, by bodies that approach."""
CONTACT = 0.002
"""Metres within which a vertex touches another body."""


@dataclass(frozen=True)
class Solid:
    """A closed body, or several in each other.

    Attributes:
        vertices: (V, 3) float64 metres, any frame.
        faces: (F, 3) int64, counter-clockwise seen from outside, each part closed.
    """

    vertices: np.ndarray
    faces: np.ndarray

    @cached_property
    def probes(self) -> np.ndarray:
        """(V + F, 3) vertices and middles of the faces: what must stay out of others."""
        return with_middles(self.vertices[None], self.faces)[0]

    @cached_property
    def _box(self) -> tuple[np.ndarray, np.ndarray]:
        return self.vertices.min(axis=0), self.vertices.max(axis=0)

    def outside_box(self, points: np.ndarray) -> np.ndarray:
        """(P,) metres from points (P, 3) to the box around the body, 0 inside."""
        low, high = self._box
        apart = np.maximum(np.maximum(low - points, points - high), 0.0)
        distance: np.ndarray = np.sqrt(np.einsum("pk,pk->p", apart, apart))
        return distance

    @cached_property
    def _strewn(self) -> cKDTree:
        return cKDTree(strewn(self.vertices, self.faces))

    @cached_property
    def _surface(self) -> Surface:
        return Surface(torch.from_numpy(self.vertices)[None], torch.from_numpy(self.faces))

    def moved(self, rotation: np.ndarray, translation: np.ndarray) -> Solid:
        """``R x + t``."""
        return Solid(self.vertices @ rotation.T + translation, self.faces)

    def exact(self, points: np.ndarray) -> np.ndarray:
        """(P,) signed distances of points (P, 3), negative inside."""
        if not len(points):
            return np.zeros(0)
        found = signed_distance(torch.from_numpy(np.ascontiguousarray(points))[None], self._surface)
        return found.distance[0].numpy()

    def clearance(self, points: np.ndarray, looked: float = LOOKED) -> np.ndarray:
        """(P,) metres to points (P, 3): the signed distance of those near the surface, for others a
        lower bound of it, `looked` at most. A point further inside than `NEAR` counts as outside:
        who moves in smaller steps has met the surface before.
        """
        result = self.outside_box(points)
        close = np.flatnonzero(result < looked)
        if not len(close):
            return result
        far = self._strewn.query(points[close], distance_upper_bound=looked)[0].clip(max=looked)
        result[close] = np.maximum(result[close], far - COVERED)
        near = close[far < NEAR]
        result[near] = self.exact(points[near])
        return result

    def inside(self, points: np.ndarray) -> np.ndarray:
        """(P,) signed distances of points (P, 3) in the box around the body; of others a lower
        bound, which is positive."""
        result = self.outside_box(points)
        near = np.flatnonzero(result < CONTACT)
        result[near] = self.exact(points[near])
        return result


def with_middles(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(B, V + F, 3): vertices (B, V, 3) and the middles of their faces (F, 3)."""
    middles = vertices[:, faces].mean(axis=2)
    return np.concatenate([vertices, middles], axis=1)


def strewn(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(N, 3) points on a surface, so close that none of its points is further than `COVERED` from
    one of them."""
    corners = vertices[faces]
    longest = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2).max(axis=1)
    steps = np.maximum(1, np.ceil(longest / SPACING)).astype(int)
    # Most faces are smaller than that: their corners are vertices, which are taken once.
    parts = [vertices]
    for count in np.unique(steps[steps > 1]):
        first, second = np.meshgrid(*[np.arange(count + 1)] * 2, indexing="ij")
        inside = (first + second <= count) & (np.maximum(first, second) < count)
        inside &= first + second > 0
        weights = np.stack([first[inside], second[inside], count - (first + second)[inside]], 1)
        parts.append(np.einsum("nk,fkc->fnc", weights / count, corners[steps == count]))
    return np.concatenate([part.reshape(-1, 3) for part in parts])


def gap(first: Solid, second: Solid, shift: np.ndarray | float = 0.0) -> float:
    """Least distance in metres between two bodies of which the second is moved by `shift` (3,),
    negative where one reaches into the other; a lower bound where they are far apart."""
    return float(
        min(
            first.clearance(second.probes + shift).min(),
            second.clearance(first.probes - shift).min(),
        )
    )


def limb_gap(first: Solid, second: Solid) -> float:
    """As `gap` of bodies in touch, whatever part of one may be inside the other."""
    return float(min(first.inside(second.probes).min(), second.inside(first.probes).min()))
