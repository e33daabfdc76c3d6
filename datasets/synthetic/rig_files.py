"""A synthetic data set of several cameras on disk.

Every camera's folder is a data set of its own, as `datasets.synthetic.files` writes it, in the
camera's frame. Beside them are ``rig.json``, ``truth/%08d.json`` with what is true of a frame in
the rig's frame, written last of all, ``vertices/%08d.npy`` on demand, and ``synthetic.json``.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np
import torch

from datasets.keypoint_states import STATE_NAMES
from datasets.poses.sampler import pose_modes
from datasets.synthetic.files import (
    engine_of,
    prepare,
    rounded,
    write_lists,
    write_missing,
    write_samples,
)
from datasets.synthetic.records import SampleSpecs, SyntheticBatch
from datasets.synthetic.rig_request import RigRequest, rig_json
from datasets.synthetic.rig_scenes import RigEngine, whole_images
from datasets.synthetic.rigs import moved_hand
from datasets.synthetic_layout import DESCRIPTION, FRAMES, RIG, VERTICES
from fitter.records import HandParams
from fitter.rig import RigCamera
from fitter.system.files import write_whole


def write_rig_dataset(request: RigRequest) -> Iterator[int]:
    """Write what is missing, then the lists.

    Args:
        request: whose rig `check_rig_to_render` lets pass.

    Yields:
        How many frames are written or kept so far, after every batch; the first number is what was
        kept.

    Raises:
        InputError: the folder holds something else, or other samples; there are no backgrounds; no
            camera sees a hand where the rig looks.
    """
    if request.workers == 1:
        _rig_engine(request)
    prepare(request)
    for name in request.rig.names:
        said = json.dumps({**request.view_description(), "camera": name}, indent=1)
        write_whole(request.out / name / DESCRIPTION, said.encode(), durable=False)
    write_whole(request.out / RIG, rig_json(request.rig), durable=False)
    yield from write_missing(request, request.out / FRAMES, _write_batch)
    for name in request.rig.names:
        write_lists(request.out / name)


class _ByContent:
    """A request as a key: NumPy's arrays in it are none."""

    def __init__(self, request: RigRequest) -> None:
        self.request = request
        self._key = json.dumps([request.description(), request.device], default=str)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByContent) and other._key == self._key


def _rig_engine(request: RigRequest) -> RigEngine:
    return _kept_engine(_ByContent(request))


@cache
def _kept_engine(key: _ByContent) -> RigEngine:
    """One engine a process."""
    request = key.request
    return RigEngine(engine_of(request.size, request.settings, request.device), request.rig)


def _write_batch(task: tuple[RigRequest, list[int]]) -> int:
    request, indices = task
    engine = _rig_engine(request)
    scenes = engine.sample(request.seed, indices)
    views = [whole_images(v.to("cpu"), request.image_size) for v in engine.render(scenes)]
    for name, view in zip(request.rig.names, views, strict=True):
        write_samples(request.out / name, view)
    camera = request.rig.cameras[int(scenes.poses.scene_camera[0])]
    hands = _in_rig(scenes.specs, camera, engine)
    for row, index in enumerate(indices):
        if request.vertices:
            own = views[0].vertices[row].numpy() - request.rig.cameras[0].translation
            buffer = io.BytesIO()
            np.save(buffer, (own @ request.rig.cameras[0].rotation).astype(np.float32))
            target = request.out / VERTICES / f"{index:08d}.npy"
            write_whole(target, buffer.getvalue(), durable=False)
        said = json.dumps(_truth(request, views, hands, row)).encode()
        write_whole(request.out / FRAMES / f"{index:08d}.json", said, durable=False)
    return len(indices)


def _in_rig(specs: SampleSpecs, camera: RigCamera, engine: RigEngine) -> HandParams:
    """Hands of specs in a camera's frame, in the rig's frame."""
    count = len(specs)
    turn = torch.from_numpy(camera.rotation.T.copy()).expand(count, 3, 3)
    centre = torch.from_numpy(camera.centre).expand(count, 3)
    model = engine.engine.arms.model
    return moved_hand(specs.hand.to(engine.engine.device), turn, centre, model).to("cpu")


def _truth(
    request: RigRequest, views: list[SyntheticBatch], hands: HandParams, row: int
) -> dict[str, Any]:
    """What is true of one frame: metres in the rig's frame, pixels of each camera."""
    first, camera = views[0], request.rig.cameras[0]
    keypoints = (first.keypoints_3d[row].numpy() - camera.translation) @ camera.rotation
    return {
        "index": int(first.specs.index[row]),
        "mode": list(pose_modes())[int(first.specs.mode[row])],
        "xyz": rounded(torch.from_numpy(keypoints), 6),
        "hand": {f.name: rounded(getattr(hands, f.name)[row], 9) for f in fields(hands)},
        "cameras": {
            name: {
                "xyz": rounded(view.keypoints_3d[row], 6),
                "uv": rounded(view.keypoints_2d[row], 3),
                "keypoint_state": [STATE_NAMES[k] for k in view.keypoint_state[row].tolist()],
            }
            for name, view in zip(request.rig.names, views, strict=True)
        },
    }
