"""Pictures of training samples, and what the detector finds in them when no truth tells it where.

Sightings of rendered samples (`init_net.samples.sightings`) leave out what is far from the true
hand. Who asks how a network bears wrong keypoints needs those as well: here the leading samples are
written as pictures alone, hands are found in them as in anybody's pictures (``dataset: images``),
and what is found is learned from as it is. Only the camera is told, as FreiHAND tells it both
papers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from arms import Plan

from datasets.readers.found_hands import LIST, PART, FoundPicture, KeptHands
from datasets.readers.images import open_images
from fitter.system.files import write_whole
from fitter.system.lock import WriterLock
from init_net.samples.config import DatasetConfig
from init_net.samples.shards import SHARD, ShardedSamples
from init_net.samples.sightings import WRONG_HAND
from init_net.training.sources import learned_from, look_at, prepare

SPAN = 2 * SHARD
"""Samples that are read at once."""


def found_pictures(plan: Plan, count: int) -> dict[str, Any]:
    """A source of `train-hands`: pictures of the leading samples, made where they are missing.

    Args:
        plan: whose samples they are; they lie in its ``work`` folder.
        count: samples.

    Raises:
        InputError: another process is at it.
    """
    folder = plan.work / "pictures"
    pictures, found, cameras = (folder / name for name in ("rgb", "found", "cameras"))
    pictures.mkdir(parents=True, exist_ok=True)
    lock = WriterLock(plan.work / "pictures.arm")
    try:
        _write_pictures(pictures, ShardedSamples(plan.samples, count))
        open_images(pictures, str(found)).find(count)
        _tell_cameras(KeptHands(found), KeptHands(cameras), ShardedSamples(plan.samples, count))
    finally:
        lock.release()
    return {
        "dataset": "images",
        "folder": str(pictures),
        "split": str(cameras),
        "samples": str(folder / "samples"),
        "count": count,
    }


def found_figures(plan: Plan, count: int) -> dict[str, int]:
    """What the detector found in those pictures, and what of it is learned from: hands that it sees
    once more in the crop around them.

    Returns:
        ``pictures``; ``without`` those without a hand found; ``hands`` found; ``wrong`` hands whose
        keypoints lie `WRONG_HAND` or more of the true box from the true ones, mean distance;
        ``left`` hands taken for left ones, all being right; ``learned`` hands learned from, and of
        these ``learned_wrong`` and ``learned_left``.
    """
    source = DatasetConfig(**found_pictures(plan, count))
    prepare(source)
    look_at(source, 1)
    kept = KeptHands(Path(str(source.split)))
    without, wrong, left = 0, [], []
    for number, truth in enumerate(_fields(ShardedSamples(plan.samples, count), "keypoints_2d")):
        hands = kept.picture(number, _name(number)).hands
        extent = np.ptp(truth, axis=0).max()
        without += not hands
        for hand in hands:
            distance = np.linalg.norm(hand.keypoints - truth, axis=1).mean()
            wrong.append(distance >= WRONG_HAND * extent)
            left.append(hand.side == "left")
    learned = learned_from([source], as_seen=True).samples.chosen
    return {
        "pictures": count,
        "without": without,
        "hands": len(wrong),
        "wrong": int(np.sum(wrong)),
        "left": int(np.sum(left)),
        "learned": len(learned),
        "learned_wrong": int(np.sum(np.array(wrong)[learned])),
        "learned_left": int(np.sum(np.array(left)[learned])),
    }


def _name(number: int) -> str:
    return f"{number:06d}.png"


def _fields(samples: ShardedSamples, name: str) -> Iterator[np.ndarray]:
    """One field of every sample, in order."""
    for first in range(0, len(samples), SPAN):
        yield from samples.read(np.arange(first, min(first + SPAN, len(samples))), [name])[name]


def _write_pictures(folder: Path, samples: ShardedSamples) -> None:
    if (folder / _name(len(samples) - 1)).exists():
        return
    for number, pixels in enumerate(_fields(samples, "image")):
        whole, coded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        assert whole
        write_whole(folder / _name(number), coded.tobytes(), durable=False)


def _tell_cameras(found: KeptHands, told: KeptHands, samples: ShardedSamples) -> None:
    """Keep what was found once more, each picture with the K of its sample."""
    starts = range(0, len(samples), PART)
    if all(told.part(start).exists() for start in starts):
        return
    told.folder.mkdir(exist_ok=True)
    write_whole(told.folder / LIST, (found.folder / LIST).read_bytes())
    cameras = list(_fields(samples, "intrinsics"))
    for start in starts:
        pictures = [
            _with_camera(found.picture(number, _name(number)), cameras[number])
            for number in range(start, min(start + PART, len(samples)))
        ]
        content = json.dumps([picture.entry() for picture in pictures])
        write_whole(told.part(start), content.encode())


def _with_camera(picture: FoundPicture, K: np.ndarray) -> FoundPicture:
    return replace(picture, intrinsics=K.astype(np.float64), source="given")
