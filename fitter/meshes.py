"""The fitted hand model of both sides, posed from what is stored."""

from __future__ import annotations

from functools import cached_property
from typing import Self

import numpy as np
import torch

from fitter.config.options import ModelConfig
from fitter.hand_models import (
    AppearanceModel,
    HandModel,
    HandModelData,
    ManoOptions,
    load_appearance,
    load_hand_model,
)
from fitter.records import HandParams, Side
from fitter.store.schema import HandRow


class HandMeshes:
    """Meshes of fitted hands, left ones by the mirrored right-hand model."""

    def __init__(self, right: HandModel, linear_light: bool = True) -> None:
        """Take a model.

        Args:
            right: a right-hand model, float64.
            linear_light: whether colours at the vertices of its hands are linear light, see
                `refine.linear_light`; else they are sRGB.
        """
        self.right, self.linear_light = right, linear_light
        self._models: dict[Side, HandModel] = {"right": right, "left": right.mirrored()}

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
        tips = config.fingertips
        mano = ManoOptions(
            fingertips=tips if isinstance(tips, str) else tuple(tips),
            fix_left_shapedirs=config.fix_left_shapedirs,
        )
        source = config.path or config.name
        model = load_hand_model(source, "right", torch.float64, mano, config.children)
        return cls(model.to(device), linear_light)

    @property
    def data(self) -> HandModelData:
        """Of the right-hand model."""
        return self.right.data

    @cached_property
    def appearance(self) -> AppearanceModel:
        """The skin's colours of the model, of both sides, on the CPU."""
        return load_appearance(self.data)

    def model(self, side: Side) -> HandModel:
        """The model of a side."""
        return self._models[side]

    def faces(self, side: Side) -> np.ndarray:
        """(F, 3) int64 vertices of each face, counter-clockwise seen from outside."""
        return self._models[side].data.faces

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
