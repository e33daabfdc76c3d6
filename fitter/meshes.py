"""The fitted hand model of both sides, posed from what is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Self

import numpy as np
import torch

from fitter.config.options import ModelConfig
from fitter.errors import InputError
from fitter.hand_models import (
    Appearance,
    HandModel,
    HandModelData,
    ManoOptions,
    load_appearance,
    load_hand_model,
)
from fitter.records import HandParams, Side
from fitter.rendering.fitted_light import light_of
from fitter.rendering.shading import srgb_from_linear, vertex_normals
from fitter.rendering.skin import Skin, TexturedSkin, VertexSkin
from fitter.store.schema import HandRow
from fitter.textures import HandTexture, TextureAtlas

_PLAIN_LIGHT = (0.7, 1.0, 1.0, 1.0, 0.3, 1.0, 1.0, 1.0, 0.0, 0.0, -1.0)
"""S2HAND's 11 numbers of the light of hands whose light was not fitted: white, part of it from the
camera."""

_TEXELS = 256
"""Along a side of the maps of a skin that has no texture of its own: twice what stages compare a
crop with unless told otherwise, since a photograph shows more."""


class HandMeshes:
    """Meshes of fitted hands, left ones by the mirrored right-hand model.

    What was loaded by a configuration is pickled as that alone: it is loaded again, once in a
    process, when it is first asked for. Of a model that was given, the model travels.
    """

    def __init__(
        self, right: HandModel | Callable[[], HandModel], linear_light: bool = True
    ) -> None:
        """Take a model.

        Args:
            right: a right-hand model, float64, or what loads it.
            linear_light: whether colours at the vertices of its hands are linear light, see
                `refine.linear_light`; else they are sRGB.
        """
        self._given, self.linear_light = right, linear_light
        self._source: _Source | None = None
        self._atlases: dict[int, TextureAtlas] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        if self._source is None:
            return HandMeshes, (self.right, self.linear_light)
        return _known, (self._source,)

    @classmethod
    def of(cls, config: ModelConfig, device: torch.device, linear_light: bool = True) -> Self:
        """Load the model that a configuration names.

        Args:
            config: which model.
            device: where it poses hands.
            linear_light: see `HandMeshes`.

        Raises:
            InputError: its file is missing, unsafe, or no hand model.
        """
        model = _loaded(config)
        found = cls(model.to(device), linear_light)
        found._source = _Source(config.model_dump_json(), model.data.sha256, linear_light)
        return found

    @cached_property
    def right(self) -> HandModel:
        """The right-hand model, float64.

        Raises:
            InputError: of meshes from another process: its file is gone or another one.
        """
        return self._given if isinstance(self._given, HandModel) else self._given()

    @cached_property
    def _models(self) -> dict[Side, HandModel]:
        return {"right": self.right, "left": self.right.mirrored()}

    @property
    def data(self) -> HandModelData:
        """Of the right-hand model."""
        return self.right.data

    @cached_property
    def appearance(self) -> Appearance:
        """The skin's colours of the model, of both sides, on the CPU."""
        return load_appearance(self.data)

    def model(self, side: Side) -> HandModel:
        """The model of a side."""
        return self._models[side]

    def faces(self, side: Side) -> np.ndarray:
        """(F, 3) int64 vertices of each face, counter-clockwise seen from outside."""
        return self._models[side].data.faces

    def atlas(self, size: int) -> TextureAtlas:
        """Of textures with `size` texels along a side; unfolded once.

        Raises:
            InputError: the model has no texture coordinates (`texture.no_uv`).
        """
        if size not in self._atlases:
            self._atlases[size] = TextureAtlas.of(self.data, size, self.appearance)
        return self._atlases[size]

    def vertices(self, row: HandRow) -> np.ndarray:
        """(V, 3) float32 mesh of a fitted hand in metres, camera frame."""
        assert row.side is not None
        like = self.right.v_template
        params = HandParams(
            *(
                torch.as_tensor(value, dtype=like.dtype, device=like.device)[None]
                for value in (row.global_orient, row.hand_pose, row.betas, row.transl)
            )
        )
        vertices = self._models[row.side](params).vertices[0].float().cpu().numpy()
        return vertices if row.vertex_offsets is None else vertices + row.vertex_offsets

    def skin(self, row: HandRow, vertices: np.ndarray, texture: HandTexture | None = None) -> Skin:
        """The skin of a fitted hand in its fitted light.

        Args:
            row: of the hand. Where no stage fitted its appearance it is the model's mean skin,
                where none fitted its light it is white light, part of it from the camera.
            vertices: (V, 3) metres, camera frame, of its mesh.
            texture: of the hand, in place of its own: the one that a stage fitted, or else the
                colours at its vertices.

        Returns:
            Colours at the vertices, or textures where the hand has one or its model has maps of
            normals and highlights: as the stages draw it.
        """
        assert row.side is not None
        coefficients = torch.zeros(1, self.appearance.count)
        if row.appearance is not None:
            coefficients = torch.as_tensor(row.appearance, dtype=torch.float32)[None]
        if texture is None and row.texture is None and not self.appearance.is_mapped:
            return self._skin_of_vertices(row, vertices, coefficients)
        own = row.texture if texture is None else texture.colours
        return self._skin_of_maps(row, vertices, coefficients, own, texture is None)

    def _skin_of_vertices(
        self, row: HandRow, vertices: np.ndarray, coefficients: torch.Tensor
    ) -> VertexSkin:
        assert row.side is not None
        reflectance = self.appearance.vertex_colours(coefficients)[0]
        if not self.linear_light:
            reflectance = srgb_from_linear(reflectance)
        if row.vertex_colours is not None:
            reflectance = reflectance + torch.as_tensor(row.vertex_colours)
        points = torch.from_numpy(np.asarray(vertices, dtype=np.float64))[None]
        normals = vertex_normals(points, torch.from_numpy(self.faces(row.side)))
        irradiance = light_of(_lighting(row), row.side).irradiance(normals)[0]
        return VertexSkin(
            reflectance.numpy().astype(np.float32),
            irradiance.numpy().astype(np.float32),
            self.linear_light,
        )

    def _skin_of_maps(
        self,
        row: HandRow,
        vertices: np.ndarray,
        coefficients: torch.Tensor,
        texture: np.ndarray | None,
        with_vertex_colours: bool,
    ) -> TexturedSkin:
        """Of a hand with a texture (T, T, 3), None for that of its coefficients."""
        assert row.side is not None
        data = self._models[row.side].data
        assert data.uv is not None and data.uv_faces is not None  # textures are in their atlas
        maps: dict[str, np.ndarray] = {}
        if self.appearance.is_mapped:
            size = _TEXELS if texture is None else len(texture)
            found = vars(self.appearance.maps(coefficients, size))
            maps = {name: values[0].numpy() for name, values in found.items()}
        if texture is not None:
            maps["diffuse"] = texture.astype(np.float32)
        added = row.vertex_colours if with_vertex_colours else None
        return TexturedSkin(
            vertices=np.asarray(vertices, dtype=np.float32),
            uv=data.uv.astype(np.float32),
            uv_faces=data.uv_faces,
            lighting=_lighting(row),
            side=row.side,
            **maps,
            added=None if added is None else added.astype(np.float32),
            linear=self.linear_light,
        )


@dataclass(frozen=True)
class _Source:
    """What meshes are loaded by: the model's configuration as JSON, what it read, and the light."""

    config: str
    sha256: str
    linear_light: bool

    def load(self) -> HandModel:
        """The same model again, on the CPU.

        Raises:
            InputError: its file is gone or no model (see `HandMeshes.of`), or another one than it
                was (`model.changed`).
        """
        config = ModelConfig.model_validate_json(self.config)
        model = _loaded(config)
        if model.data.sha256 != self.sha256:
            file = config.path or config.name
            facts = {"expected": self.sha256[:12], "found": model.data.sha256[:12]}
            raise InputError("model.changed", file=file, **facts)
        return model


@lru_cache(maxsize=8)
def _known(source: _Source) -> HandMeshes:
    """The meshes that all hands have which come from one source; nothing is loaded yet."""
    found = HandMeshes(source.load, source.linear_light)
    found._source = source
    return found


def _loaded(config: ModelConfig) -> HandModel:
    """The right-hand model of a configuration, float64."""
    tips = config.fingertips
    mano = ManoOptions(
        fingertips=tips if isinstance(tips, str) else tuple(tips),
        fix_left_shapedirs=config.fix_left_shapedirs,
    )
    source = config.path or config.name
    return load_hand_model(source, "right", torch.float64, mano, config.children, config.mano)


def _lighting(row: HandRow) -> np.ndarray:
    """(11,) or (27,) float32, as it is stored."""
    return np.asarray(_PLAIN_LIGHT if row.lighting is None else row.lighting, dtype=np.float32)
