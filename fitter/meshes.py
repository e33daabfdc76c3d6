"""The fitted hand model of both sides, posed from what is stored."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch

from fitter.config.options import ModelConfig
from fitter.hand_models import HandModel, HandModelData, ManoOptions, load_hand_model
from fitter.records import HandParams, Side
from fitter.store.schema import HandRow
from fitter.textures.atlas import TextureAtlas


class HandMeshes:
    """Meshes of fitted hands, left ones by the mirrored right-hand model."""

    def __init__(self, right: HandModel) -> None:
        """Take a right-hand model, float64."""
        self.right = right
        self._models: dict[Side, HandModel] = {"right": right, "left": right.mirrored()}
        self._atlases: dict[int, TextureAtlas] = {}

    @classmethod
    def of(cls, config: ModelConfig, device: torch.device) -> Self:
        """Load the model that a configuration names.

        Raises:
            InputError: its file is missing, unsafe, or no hand model.
        """
        tips = config.fingertips
        mano = ManoOptions(
            fingertips=tips if isinstance(tips, str) else tuple(tips),
            fix_left_shapedirs=config.fix_left_shapedirs,
        )
        source = config.path or config.name
        model = load_hand_model(source, "right", torch.float64, mano, config.children)
        return cls(model.to(device))

    @property
    def data(self) -> HandModelData:
        """Of the right-hand model."""
        return self.right.data

    def faces(self, side: Side) -> np.ndarray:
        """(F, 3) int64 vertices of each face, counter-clockwise seen from outside."""
        return self._models[side].data.faces

    def atlas(self, size: int) -> TextureAtlas:
        """Of textures with `size` texels along a side; unfolded once.

        Raises:
            InputError: the model has no texture coordinates (`texture.no_uv`).
        """
        if size not in self._atlases:
            self._atlases[size] = TextureAtlas.of(self.data, size)
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
