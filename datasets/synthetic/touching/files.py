"""A data set of touching hands on disk: as `datasets.synthetic.files` writes it, with the truth of
the second hand and of what is held.

``training/second_mask/%08d.jpg`` is the second hand's mask. ``training/objects/%08d.ply`` is what
is held, its own frame, and ``training/objects/%08d.json`` where it is, as ``fit-hands --objects``
takes it. The truth's file has ``second``, ``objects`` and ``interaction`` beside what others have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from typing import Any

import torch
import trimesh
from trimesh.exchange.ply import export_ply

from datasets.keypoint_states import STATE_NAMES
from datasets.synthetic.files import (
    engine_of,
    jpeg,
    prepare,
    rounded,
    write_lists,
    write_missing,
    write_samples,
)
from datasets.synthetic.records import SyntheticBatch
from datasets.synthetic.settings import SyntheticSettings
from datasets.synthetic.touching.engine import InteractionEngine
from datasets.synthetic.touching.records import Interaction
from datasets.synthetic.touching.request import InteractionKind, InteractionRequest
from datasets.synthetic_layout import HELD, SECOND_MASK, SPLIT
from fitter.contact import PosedObject
from fitter.system.files import write_whole


def write_interaction_dataset(request: InteractionRequest) -> Iterator[int]:
    """Write what is missing, then the lists.

    Yields:
        How many samples are written or kept so far, after every one; the first number is what was
        kept.

    Raises:
        InputError: the folder holds something else, or other samples; there are no backgrounds.
    """
    prepare(request)
    # One by one: each takes as long as a batch of others, and somebody is waiting.
    yield from write_missing(request, request.out / SPLIT / "truth", _write_batch, 1)
    write_lists(request.out)


@cache
def interaction_engine_of(
    size: int, settings: SyntheticSettings, device: str, what: InteractionKind
) -> InteractionEngine:
    """One engine a process."""
    return InteractionEngine(engine_of(size, settings, device), what)


def _write_batch(task: tuple[InteractionRequest, list[int]]) -> int:
    request, indices = task
    engine = interaction_engine_of(request.size, request.settings, request.device, request.what)
    folder = request.out / SPLIT
    for index in indices:
        scene = engine.sample(request.seed, index)
        hands = [hand.to("cpu") for hand in engine.render(scene)]
        more: dict[str, Any] = {"interaction": scene.truth()}
        if len(hands) == 2:
            mask = (hands[1].mask[0] * 255).round().to(torch.uint8)
            write_whole(folder / SECOND_MASK / f"{index:08d}.jpg", jpeg(mask), durable=False)
            more["second"] = _second(hands[1], scene)
        if scene.held is not None:
            more["objects"] = [_write_held(request, index, scene.held, hands[0])]
        write_samples(request.out, hands[0], [more])
    return len(indices)


def _second(hand: SyntheticBatch, scene: Interaction) -> dict[str, Any]:
    """What is true of a left hand: its parameters are the left model's."""
    params = scene.specs.second.hand.mirrored()
    return {
        "side": "left",
        "xyz": rounded(hand.keypoints_3d[0], 6),
        "uv": rounded(hand.keypoints_2d[0], 3),
        "keypoint_state": [STATE_NAMES[state] for state in hand.keypoint_state[0].tolist()],
        "hand": {f.name: rounded(getattr(params, f.name)[0], 9) for f in fields(params)},
    }


def _write_held(
    request: InteractionRequest, index: int, held: PosedObject, hand: SyntheticBatch
) -> dict[str, Any]:
    """Write a mesh and where it is; what the truth says of it."""
    folder, name = request.out / SPLIT / HELD, f"{index:08d}.ply"
    mesh = trimesh.Trimesh(held.mesh.vertices, held.mesh.faces, process=False)
    write_whole(folder / name, export_ply(mesh), durable=False)
    pose = {"rotation": held.rotation.tolist(), "translation": held.translation.tolist()}
    said = {"objects": [{"mesh": name, **pose}], "K": hand.intrinsics[0].tolist()}
    write_whole(folder / f"{index:08d}.json", json.dumps(said).encode(), durable=False)
    return {"name": held.mesh.name, "mesh": f"{HELD}/{name}", **pose}
