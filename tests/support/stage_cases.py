"""Stages that free and weigh what a test asks for."""

from __future__ import annotations

from dataclasses import replace

import torch

from fitter.config.stages import DEFAULT_STAGES, Free, StageConfig
from fitter.energies import SceneParams
from fitter.records import HandParams
from fitter.refinement.scene import FIELDS

CONTOUR = DEFAULT_STAGES["contour"]
EVERYTHING = {
    "keypoints": 1.0,
    "silhouette_l2": 0.003,
    "photometric_rgb": 10.0,
    "pose_l2": 1e-3,
    "vertex_offset": 1e-3,
    "appearance_prior": 1e-3,
    "texture_range": 1.0,
    "camera_scale": 1e-3,
}
RATES = {
    "pose": 0.5,
    "shape": 3.0,
    "camera": 0.1,
    "offsets": 0.02,
    "focal": 0.2,
    "appearance": 3.0,
}

ALL: list[Free] = list(FIELDS)
SHORT = CONTOUR.model_copy(update={"iterations": 3})


def staged(solver: str, free: list[Free], iterations: int = 6, **changes: object) -> StageConfig:
    options = {
        "learning_rate": 0.02 if solver == "adam" else 1e-5,
        "rates": {name: rate for name, rate in RATES.items() if name in free},
        "energies": EVERYTHING,
    }
    return StageConfig(solver=solver, iterations=iterations, free=free, **options | changes)


def same(one: SceneParams, other: SceneParams, rows: list[int], but: tuple[str, ...] = ()) -> None:
    for name, tensor in vars(one).items():
        if name not in but:
            assert torch.equal(tensor[rows], getattr(other, name)[rows]), name


def hurt_hands(hands: HandParams, what: str) -> HandParams:
    spoilt = getattr(hands, what).clone()
    spoilt[1] = torch.nan
    return replace(hands, **{what: spoilt})
