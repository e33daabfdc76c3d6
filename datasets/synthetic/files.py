"""A synthetic data set on disk, in FreiHAND's layout, written by any number of processes.

``training/rgb/%08d.jpg`` and ``training/mask/%08d.jpg`` are FreiHAND's, and so are
``training_{K,xyz,scale}.json``. Beside them are ``training/depth/%08d.png`` (16 bits, tenths of a
millimetre, 0 for background) and ``training/truth/%08d.json`` with all that is true of one sample,
written last: a sample whose file is there is complete, and a later run keeps it.
``synthetic.json`` says what the folder was made from.
"""

from __future__ import annotations

import io
import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from PIL import Image

from datasets.keypoint_states import STATE_NAMES
from datasets.poses.sampler import pose_modes
from datasets.synthetic.backgrounds import load_bank
from datasets.synthetic.engine import SyntheticEngine
from datasets.synthetic.folder import SyntheticRequest, prepare_folder
from datasets.synthetic.records import SyntheticBatch
from datasets.synthetic.settings import SyntheticSettings
from datasets.synthetic_layout import DEPTH_UNIT, SPLIT
from fitter.records import TensorBatch
from fitter.system.files import write_whole

Request = TypeVar("Request", bound=SyntheticRequest)
JPEG_QUALITY = 97
BATCH = 32
"""Samples that a process renders at once."""


def write_dataset(request: SyntheticRequest) -> Iterator[int]:
    """Write what is missing, then the lists.

    Yields:
        How many samples are written or kept so far, after every batch; the first number is
        what was kept.

    Raises:
        InputError: the folder holds something else, or other samples; there are no backgrounds.
    """
    prepare(request)
    yield from write_missing(request, request.out / SPLIT / "truth", _write_batch)
    write_lists(request.out)


def prepare(request: SyntheticRequest) -> None:
    """Load what samples are made of, then make the folders: a bad option leaves nothing behind.

    Raises:
        InputError: see `write_dataset`.
    """
    if request.workers == 1:
        engine_of(request.size, request.settings, request.device)
    elif request.settings.backgrounds != "procedural":
        load_bank(request.settings.backgrounds)
    prepare_folder(request)


def write_missing(
    request: Request,
    truth: Path,
    write: Callable[[tuple[Request, list[int]]], int],
    batch: int = BATCH,
) -> Iterator[int]:
    """Write the samples that have no file in the folder `truth`, in this process or in several.

    Args:
        request: what is to be written.
        truth: folder of the files that are written last of each sample.
        write: writes some samples and returns how many; it can be pickled.
        batch: samples that are written together.

    Yields:
        See `write_dataset`.
    """
    missing = [k for k in range(request.count) if not (truth / f"{k:08d}.json").exists()]
    done = request.count - len(missing)
    yield done
    tasks = [(request, missing[k : k + batch]) for k in range(0, len(missing), batch)]
    for count in _work(request.workers, tasks, write):
        done += count
        yield done


def _work(
    workers: int,
    tasks: list[tuple[Request, list[int]]],
    write: Callable[[tuple[Request, list[int]]], int],
) -> Iterator[int]:
    if workers == 1 or len(tasks) <= 1:
        yield from map(write, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(workers, len(tasks)), _one_thread) as pool:
        yield from pool.imap_unordered(write, tasks)


def _one_thread() -> None:
    """Processes instead of threads: each worker keeps to one."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


@cache
def engine_of(size: int, settings: SyntheticSettings, device: str) -> SyntheticEngine:
    """One engine a process."""
    return SyntheticEngine(size, settings, device)


def _write_batch(task: tuple[SyntheticRequest, list[int]]) -> int:
    request, indices = task
    engine = engine_of(request.size, request.settings, request.device)
    write_samples(request.out, engine.batch(request.seed, indices).to("cpu"))
    return len(indices)


def _truth_path(out: Path, index: int) -> Path:
    return out / SPLIT / "truth" / f"{index:08d}.json"


def jpeg(pixels: torch.Tensor) -> bytes:
    """An image (H, W, 3) or (H, W) uint8 as a file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def write_samples(
    out: Path, batch: SyntheticBatch, more: Sequence[Mapping[str, Any]] | None = None
) -> None:
    """Write the samples of a batch on the CPU, each one's truth last, with `more` that is true of
    each."""
    for row in range(len(batch.image)):
        index = int(batch.specs.index[row])
        name = f"{index:08d}"
        for folder, pixels in (("rgb", batch.image[row]), ("mask", batch.mask[row])):
            if folder == "mask":
                pixels = (pixels * 255).round().to(torch.uint8)
            write_whole(out / SPLIT / folder / f"{name}.jpg", jpeg(pixels), durable=False)
        depth = (batch.depth[row].double() / DEPTH_UNIT).round().clamp(0, 65535)
        encoded = cv2.imencode(".png", depth.numpy().astype(np.uint16))[1]
        write_whole(out / SPLIT / "depth" / f"{name}.png", encoded.tobytes(), durable=False)
        truth = {**_truth(batch, row), **(more[row] if more else {})}
        write_whole(_truth_path(out, index), json.dumps(truth).encode(), durable=False)


def _truth(batch: SyntheticBatch, row: int) -> dict[str, Any]:
    """All that is true of one sample; keypoints in 3D to a micrometre."""
    keypoints = batch.keypoints_3d[row]
    # FreiHAND's scale: the length of the middle finger's first bone.
    scale = float((keypoints[9] - keypoints[10]).norm())
    return {
        "index": int(batch.specs.index[row]),
        "K": rounded(batch.intrinsics[row], 4),
        "xyz": rounded(keypoints, 6),
        "scale": round(scale, 6),
        "uv": rounded(batch.keypoints_2d[row], 3),
        "keypoint_state": [STATE_NAMES[state] for state in batch.keypoint_state[row].tolist()],
        "mode": list(pose_modes())[int(batch.specs.mode[row])],
        "specs": _spec(batch.specs, row),
    }


def _spec(record: TensorBatch, row: int) -> dict[str, Any]:
    values = {}
    for entry in fields(record):
        value = getattr(record, entry.name)
        nested = isinstance(value, TensorBatch)
        values[entry.name] = _spec(value, row) if nested else rounded(value[row], 9)
    return values


def rounded(tensor: torch.Tensor, decimals: int) -> Any:
    """A tensor as JSON has it, floating-point numbers with so many decimals."""
    if not tensor.is_floating_point():
        return tensor.tolist()
    return np.round(tensor.double().numpy(), decimals).tolist()


def write_lists(out: Path) -> int:
    """Write FreiHAND's lists of the complete samples from 0 on without a gap; their number."""
    rows: list[dict[str, Any]] = []
    while (path := _truth_path(out, len(rows))).exists():
        rows.append(json.loads(path.read_text("utf-8")))
    for name in ("K", "xyz", "scale"):
        content = json.dumps([row[name] for row in rows])
        write_whole(out / f"{SPLIT}_{name}.json", content.encode(), durable=False)
    return len(rows)
