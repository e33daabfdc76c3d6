"""What an overlay shows: of a hand its mesh, what is written beside it, and its skin; and known
objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from fitter.contact.records import PosedObject
from fitter.records import Side
from fitter.rendering.skin import Skin
from fitter.store.schema import HandRow

SIDE_COLOURS = {"right": (70, 190, 200), "left": (245, 150, 70)}
"""RGB of a mesh: blue-green for right hands, orange for left ones."""

_SHARP = np.radians(30.0)
"""Angle between an object's faces from which on their edge is sharp."""

OBJECT_COLOUR = (168, 168, 172)
"""RGB of known objects."""


@dataclass(frozen=True)
class OverlayHand:
    """One hand to render.

    Attributes:
        vertices: (V, 3) metres, camera axes.
        faces: (F, 3) integer, counter-clockwise seen from outside.
        side: chooses the colour and is written beside the hand.
        keypoints: (21, 2) pixels of the image for the skeleton, or None for no skeleton.
        score: in [0, 1], written behind the side, or None.
        note: short text written behind the score, such as a reason for failure.
        focal_scale: focal length that the hand was fitted with over that of the image's K.
        visibility: (21,) probability that each keypoint is seen; those that are not are drawn as
            rings. None where it is not known.
        skin: its colours, for overlays that show its appearance; None where they are not known.
    """

    vertices: np.ndarray
    faces: np.ndarray
    side: Side
    keypoints: np.ndarray | None = None
    score: float | None = None
    note: str = ""
    focal_scale: float = 1.0
    visibility: np.ndarray | None = None
    skin: Skin | None = None

    @classmethod
    def of(
        cls, hand: HandRow, vertices: np.ndarray, faces: np.ndarray, skin: Skin | None = None
    ) -> Self:
        """A fitted hand with its mesh: vertices (V, 3) metres, camera frame, and faces (F, 3)."""
        assert hand.side is not None  # every hand that was fitted has one
        return cls(
            vertices=vertices,
            faces=faces,
            side=hand.side,
            keypoints=hand.keypoints_2d,
            visibility=hand.keypoint_visibility,
            score=hand.score,
            focal_scale=1.0 if hand.focal_scale is None else hand.focal_scale,
            skin=skin,
        )

    @property
    def colour(self) -> tuple[int, int, int]:
        """RGB of its mesh and its outline."""
        return SIDE_COLOURS[self.side]

    @property
    def caption(self) -> str:
        """What is written beside the hand, e.g. "right 0.93"."""
        score = "" if self.score is None else f"{self.score:.2f}"
        return " ".join(part for part in (self.side, score, self.note) if part)


@dataclass(frozen=True)
class OverlayObject:
    """One known object to render.

    Attributes:
        vertices: (V, 3) metres, camera axes; those on sharp edges stand there once for either side,
            so that shading and outlines show the edge.
        faces: (F, 3) integer, counter-clockwise seen from outside.
        colour: RGB of its mesh and its outline.
        focal_scale: its place is that of the image's K.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colour: tuple[int, int, int] = OBJECT_COLOUR
    focal_scale: float = 1.0

    @classmethod
    def of(cls, known: PosedObject) -> Self:
        """An object where its image shows it."""
        import trimesh  # takes a second, and most overlays show no objects

        whole = trimesh.Trimesh(known.vertices, known.mesh.faces, process=False)
        split = trimesh.graph.smooth_shade(whole, angle=_SHARP)
        return cls(np.asarray(split.vertices), np.asarray(split.faces))


OverlayMesh = OverlayHand | OverlayObject
"""What can hide something else."""
