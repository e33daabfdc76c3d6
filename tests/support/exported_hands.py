"""Fitted hands of several models, posed and not fitted, for exports."""

from dataclasses import replace
from functools import cache

import numpy as np
import torch

from fitter.hand_models import HandModel, load_hand_model, load_open_hand
from fitter.hand_models.model_data import HandModelData
from fitter.meshes import HandMeshes
from fitter.records import HandParams, Side
from fitter.store.schema import HandRow
from fitter.textures.texture import HandTexture
from tests.support.fitted_stores import posed_hand
from tests.support.small_mano import small_mano


@cache
def open_hand() -> HandMeshes:
    return HandMeshes(load_hand_model("open_hand", dtype=torch.float64))


@cache
def with_blend_shapes() -> HandMeshes:
    """MANO's layout and size, a real hand's mesh, pose blend shapes, more than four influences."""
    arrays, rng = small_mano(), np.random.default_rng(0)
    weights = arrays["weights"] + 0.01 * rng.random(arrays["weights"].shape)
    data = replace(
        load_open_hand(keypoint_offsets=False),
        name="mano",
        v_template=arrays["v_template"],
        faces=arrays["f"].astype(np.int64),
        shapedirs=arrays["shapedirs"],
        posedirs=1e-3 * rng.normal(size=arrays["posedirs"].shape),
        skin_weights=weights / weights.sum(axis=1, keepdims=True),
        joint_regressor=arrays["J_regressor"],
        tip_vertices=(744, 320, 443, 554, 671),
        layout=None,
    )
    return HandMeshes(HandModel(data, torch.float64))


def texture(side: int = 32, seed: int = 0) -> HandTexture:
    """Random colours, a few of them measured."""
    rng = np.random.default_rng(seed)
    colours = rng.random((side, side, 3)).astype(np.float32)
    return HandTexture(colours, rng.integers(0, 2, (side, side)).astype(np.float32))


def offset_hand(seed: int, side: Side, data: HandModelData) -> HandRow:
    """A hand with millimetres added to its vertices."""
    random = np.random.default_rng(seed).normal(size=data.v_template.shape)
    return posed_hand(seed, side, vertex_offsets=(2e-3 * random).astype(np.float32))


def params_of(row: HandRow) -> HandParams:
    values = (row.global_orient, row.hand_pose, row.betas, row.transl)
    return HandParams(*(torch.as_tensor(value, dtype=torch.float64)[None] for value in values))
