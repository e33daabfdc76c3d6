"""One fitted hand with all that a file of meshes may hold of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fitter.formats.rig import Rig
from fitter.formats.skin import HandSkin
from fitter.hand_models.model_data import HandModelData
from fitter.rendering.shading import vertex_normals
from fitter.store.schema import HandRow

if TYPE_CHECKING:
    from fitter.meshes import HandMeshes
    from fitter.textures.texture import HandTexture


@dataclass(frozen=True, eq=False)
class HandAsset:
    """A hand for GLB, OBJ and PLY.

    Attributes:
        name: of the hand in its file, such as "right" or "left_2".
        data: the model of the hand's side: faces, texture coordinates, skeleton.
        vertices: (V, 3) float64 of the fitted mesh, metres, camera frame.
        rig: its rest mesh, skeleton and pose.
        skin: its colours.
        facts: what is told beside it, JSON-able: image, side, score.
    """

    name: str
    data: HandModelData
    vertices: np.ndarray
    rig: Rig
    skin: HandSkin
    facts: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        row: HandRow,
        meshes: HandMeshes,
        name: str,
        texture: HandTexture | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> HandAsset:
        """Put a hand together.

        Args:
            row: a hand that was fitted.
            meshes: the model it was fitted with.
            name: see `name`.
            texture: of the hand, in the atlas of the model, or None.
            facts: see `facts`.
        """
        assert row.side is not None
        data = meshes.model(row.side).data
        found = row.vertices if row.vertices is not None else meshes.vertices(row)
        vertices = found.astype(np.float64)
        return cls(
            name=name,
            data=data,
            vertices=vertices,
            rig=Rig.of(data, row, vertices),
            skin=HandSkin.of(row, meshes, texture),
            facts=facts or {},
        )

    @property
    def normals(self) -> np.ndarray:
        """(V, 3) unit normals of the fitted mesh, camera frame."""
        return normals_of(self.vertices, self.data.faces)

    @property
    def rest_normals(self) -> np.ndarray:
        """(V, 3) unit normals of the rest mesh, the frame of the hand model."""
        return normals_of(self.rig.rest_vertices, self.data.faces)

    @cached_property
    def corners(self) -> Corners:
        """The vertices as files need them that give each one texture coordinate."""
        return Corners.of(self.data)


@dataclass(frozen=True)
class Corners:
    """Vertices split where the atlas has a seam: one for each pair of vertex and texel.

    Attributes:
        vertices: (C,) int64, the vertex of each.
        uv: (C, 2) float64 texture coordinates, v up; None without an atlas.
        faces: (F, 3) int64 into these C.
    """

    vertices: np.ndarray
    uv: np.ndarray | None
    faces: np.ndarray

    @classmethod
    def of(cls, data: HandModelData) -> Corners:
        """Split a model's vertices."""
        count = len(data.v_template)
        if data.uv is None or data.uv_faces is None:
            return cls(np.arange(count), None, data.faces)
        # A pair as one number: sorting those takes a tenth of the time.
        texels = len(data.uv)
        found, places = np.unique(data.faces * texels + data.uv_faces, return_inverse=True)
        return cls(found // texels, data.uv[found % texels], places.reshape(-1, 3))


def normals_of(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) float64 unit normals; a vertex that no face with an area touches gets the z axis.

    The validator of glTF and some readers refuse normals of no length.
    """
    import torch

    found = vertex_normals(torch.as_tensor(vertices)[None], torch.as_tensor(faces))[0].numpy()
    found[~found.any(axis=1)] = (0.0, 0.0, 1.0)
    return found
