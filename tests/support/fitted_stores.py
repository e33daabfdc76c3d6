"""Result stores of hands that are posed, not fitted, with images that show nothing."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fitter.camera import project
from fitter.hand_models import HandModel, load_hand_model
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from fitter.records import HandParams, Side
from fitter.store.layout import StoreSpec
from fitter.store.result_store import ResultStore
from fitter.store.schema import HandRow, ImageRow
from tests.support.mano_files import random_params

WIDTH, HEIGHT = 96, 64
K = np.array([[90.0, 0.0, 47.0], [0.0, 91.0, 33.0], [0.0, 0.0, 1.0]])


def posed_hand(seed: int, side: Side = "right", **changes: object) -> HandRow:
    """A hand 0.6 m in front of the camera as `fit-hands` stores it, in float32."""
    model = load_hand_model("open_hand", dtype=torch.float64)
    random = random_params(1, seed)
    params = HandParams(
        random.global_orient,
        0.2 * random.hand_pose,
        0.5 * random.betas,
        0.1 * random.transl + torch.tensor([0.0, 0.0, 0.6]),
    )
    points = keypoints(model, params, side)
    seen = project(points[None], torch.from_numpy(K)[None])[0].numpy()
    rng = np.random.default_rng(seed)
    values = {
        "valid": True,
        "side": side,
        "side_score": 0.9,
        "detection_score": 0.8,
        "box": np.concatenate([seen.min(0), seen.max(0)]),
        "keypoints_2d_detected": seen,
        "keypoint_confidence": rng.random(21),
        "global_orient": params.global_orient[0].numpy(),
        "hand_pose": params.hand_pose[0].numpy(),
        "betas": params.betas[0].numpy(),
        "transl": params.transl[0].numpy(),
        "keypoints_3d": points.numpy(),
        "keypoints_2d": seen,
        "keypoint_visibility": rng.random(21),
        "predicted_error_mm": 4.0 + seed,
        "score": 1 / (1 + seed),
        "fit_status": "converged",
    }
    return HandRow(**values | changes)


def keypoints(model: HandModel, params: HandParams, side: Side) -> torch.Tensor:
    """(21, 3) of a hand whose left parameters are those of the mirrored model."""
    definition = KeypointDefinition.of(model, "mediapipe")
    if side == "right":
        return definition.keypoints(params)[0]
    return definition.keypoints(params.mirrored())[0] * torch.tensor([-1.0, 1.0, 1.0])


def image_row(*hands: HandRow) -> ImageRow:
    """A row of an image whose hands are these."""
    return ImageRow(
        image_status="ok" if hands else "no_hand",
        image_width=WIDTH,
        image_height=HEIGHT,
        intrinsics=K,
        intrinsics_source="given",
        hands=hands,
    )


def store_spec(names: list[str], block_size: int = 4) -> StoreSpec:
    """Of images of these names, each with up to two open hands."""
    return StoreSpec(
        images=names,
        max_hands=2,
        block_size=block_size,
        num_betas=10,
        config={"model": {"name": "open_hand"}, "output": {"keypoint_definition": "mediapipe"}},
        model={"name": "open_hand", "sha256": load_hand_model("open_hand").data.sha256},
    )


def write_store(
    path: Path,
    rows: Mapping[str, ImageRow],
    dataset: Mapping[str, str] | None = None,
    block_size: int = 4,
) -> None:
    """A finished store of these rows by image name; `dataset` is its `StoreSpec.dataset`."""
    spec = replace(store_spec(list(rows), block_size), dataset=dataset or {})
    with ResultStore.create(path, spec) as store:
        listed = list(rows.values())
        for block in store.pending_blocks():
            store.write_block(block, listed[block.start : block.stop])


def write_heavy_store(path: Path, rows: Mapping[str, ImageRow], texels: int) -> None:
    """A store of hands with offsets, colours and textures of their own."""
    count = len(load_hand_model("open_hand").data.v_template)
    vertices = dict.fromkeys(("offset_vertex", "colour_vertex"), count)
    sizes = vertices | dict.fromkeys(("texel_row", "texel_column"), texels)
    spec = replace(store_spec(list(rows)), optional_sizes=sizes)
    with ResultStore.create(path, spec) as store:
        store.write_block(store.blocks()[0], list(rows.values()))


def write_images(folder: Path, names: list[str]) -> None:
    """Grey images under these names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT), (90, 90, 90)).save(folder / name)
