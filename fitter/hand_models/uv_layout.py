"""Where the faces of a mesh lie in its texture: as a file says, or made when it is first asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np


class UvLayout(Protocol):
    """Texture coordinates of a mesh with F faces."""

    @property
    def uv(self) -> np.ndarray:
        """(T, 2) float64 in [0, 1], u to the right and v up."""

    @property
    def faces(self) -> np.ndarray:
        """(F, 3) int64 rows of `uv`, in the order of the mesh's faces."""


@dataclass(frozen=True)
class UvAtlas:
    """Texture coordinates that are there; see `UvLayout`."""

    uv: np.ndarray
    faces: np.ndarray


@dataclass(frozen=True)
class MirroredLayout:
    """The layout of the other hand, wound the other way round; made when it is asked for."""

    other: UvLayout

    @property
    def uv(self) -> np.ndarray:
        """See `UvLayout`."""
        return self.other.uv

    @cached_property
    def faces(self) -> np.ndarray:
        """See `UvLayout`."""
        return np.ascontiguousarray(self.other.faces[:, ::-1])


def mirrored_layout(layout: UvLayout) -> UvLayout:
    """The layout of the mirrored mesh; that of a mirrored one is the first again."""
    return layout.other if isinstance(layout, MirroredLayout) else MirroredLayout(layout)
