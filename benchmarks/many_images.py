"""The small data sets of the tests with thousands of images, each a file of its own.

A reader that kept something of every image that it read would not be found out by a few images gone
through again and again. The further images are hard links: their pixels are those of the first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from datasets.annotations import AnnotatedImages
from datasets.readers import open_dataset


def with_more_images(images: AnnotatedImages, count: int) -> AnnotatedImages:
    """The data set opened anew with `count` images or somewhat more.

    Args:
        images: of one of the readers in `GROWING`, as the tests write it.
        count: of the images.
    """
    times = -(-count // len(images))
    GROWING[images.dataset](images, times)
    return open_dataset(images.dataset, images.root, images.split)


def _freihand(images: AnnotatedImages, times: int) -> None:
    """Lists as often as `times`, one after the other, and images and masks of each entry."""
    root, split = images.root, images.split
    samples = len(json.loads((root / f"{split}_K.json").read_text()))
    versions, more = len(images) // samples, samples * times
    for path in root.glob(f"{split}_*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) * times))
    for kind, rounds in (("rgb", versions), ("mask", 1)):
        folder = root / split / kind
        kept = folder.rename(folder.with_name(f"{kind}_few"))
        folder.mkdir()
        for place in range(more * rounds):
            version, entry = divmod(place, more)
            source = kept / f"{version * samples + entry % samples:08d}.jpg"
            os.link(source, folder / f"{place:08d}.jpg")


def _hint(images: AnnotatedImages, times: int) -> None:
    """Images and their JSON files under further names, whose endings say the side."""
    for name in list(images.names):
        stem = Path(name).stem
        for number in range(1, times):
            for suffix in (".jpg", ".json"):
                source = (images.root / name).with_suffix(suffix)
                os.link(source, source.with_name(f"{stem[:-2]}_{number:06d}{stem[-2:]}{suffix}"))


GROWING: dict[str, Callable[[AnnotatedImages, int], None]] = {"freihand": _freihand, "hint": _hint}
"""Name of a reader -> what gives its data set as many times the images."""
