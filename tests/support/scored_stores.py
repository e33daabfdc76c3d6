"""Small result stores with known keypoints, for tests of evaluations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fitter.hand_models import load_hand_model
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from fitter.records import HandParams
from fitter.store.result_store import ResultStore, StoreSpec
from fitter.store.schema import HandRow, ImageRow
from tests.support.annotated import project


def row_of(points: np.ndarray, score: float = 0.9, side: str = "right", **more: object) -> HandRow:
    """A valid hand of keypoints (21, 3) that the tests' `K` sees."""
    return HandRow(
        **{
            "valid": True,
            "side": side,
            "detection_score": score,
            "keypoints_3d": points,
            "keypoints_2d": project(points),
        }
        | more
    )


def ok(*hands: HandRow) -> ImageRow:
    """An image in which these were found."""
    return ImageRow(image_status="ok", hands=hands)


def write_store(
    path: Path,
    rows: dict[str, ImageRow | None],
    vertices: int | None = None,
    config: dict[str, object] | None = None,
    model: dict[str, object] | None = None,
) -> Path:
    """A store of one image per block; an image whose row is None stays pending."""
    spec = StoreSpec(
        list(rows),
        max_hands=2,
        block_size=1,
        num_betas=10,
        optional_sizes={} if vertices is None else {"vertex": vertices},
        config={"model": {"name": "open_hand"}} | (config or {}),
        model=model or load_hand_model().data.identity,
    )
    with ResultStore.create(path, spec) as store:
        for block, row in zip(store.blocks(), rows.values(), strict=True):
            if row is not None:
                store.write_block(block, [row])
    return path


def posed_row(seed: int, side: str = "right") -> tuple[HandRow, np.ndarray, np.ndarray]:
    """A row with an open hand's parameters and keypoints as the detector marks them; its keypoints
    in "freihand", and its mesh."""
    model = load_hand_model("open_hand", "right", torch.float64)
    generator = torch.Generator().manual_seed(seed)
    pose = 0.2 * torch.randn(1, 15, 3, generator=generator)
    count = model.shapedirs.shape[-1]
    place = torch.tensor([[0.02, 0.01, 0.5]])
    right = HandParams(torch.full((1, 3), 0.3), pose, torch.zeros(1, count), place)
    flip = np.array([-1.0 if side == "left" else 1.0, 1, 1])
    posed = right.to(torch.float64)
    annotated, marks = (
        KeypointDefinition.of(model, name).keypoints(posed)[0].numpy() * flip
        for name in ("freihand", "mediapipe")
    )
    stored = right.mirrored() if side == "left" else right
    values = {name: value[0].numpy() for name, value in vars(stored).items()}
    mesh = model(posed).vertices[0].numpy() * flip
    return replace(row_of(marks, side=side), **values), annotated, mesh
