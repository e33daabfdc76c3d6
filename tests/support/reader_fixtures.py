"""Every reader with a small data set in its layout: one table for whoever goes through them all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.annotations import AnnotatedImages
from datasets.readers import open_dataset
from datasets.readers.images import open_images
from datasets.synthetic.files import SyntheticRequest, write_dataset
from tests.support import fitted_stores
from tests.support.annotated_shards import write_annotated_shards
from tests.support.dexycb_files import write_dexycb
from tests.support.freihand_files import write_freihand
from tests.support.ge_files import write_ge
from tests.support.ho3d_files import write_ho3d
from tests.support.interhand_files import write_interhand
from tests.support.marked_files import write_coco, write_hint, write_openpose
from tests.support.paths import ROOT
from tests.support.rhd_files import write_rhd


@dataclass(frozen=True)
class WrittenSet:
    """A data set on disk.

    Attributes:
        images: the opened reader.
        places: of the samples whose files are there.
    """

    images: AnnotatedImages
    places: Sequence[int]

    @classmethod
    def of(cls, name: str, folder: Path, split: str) -> WrittenSet:
        """All samples of a data set whose images are on disk."""
        images = open_dataset(name, folder, split)
        places = [k for k in range(len(images)) if images.file(k).stamp() is not None]
        return cls(images, places)


def _freihand(folder: Path) -> WrittenSet:
    write_freihand(folder / "set", folder)
    return WrittenSet.of("freihand", folder / "set", "training")


def _ho3d(folder: Path) -> WrittenSet:
    write_ho3d(folder / "set", folder)
    return WrittenSet.of("ho3d", folder / "set", "train")


def _dexycb(folder: Path) -> WrittenSet:
    write_dexycb(folder / "set", folder, ((0, 4, 0), (0, 9, 7), (1, 4, 3)))
    return WrittenSet.of("dexycb", folder / "set", "s0_val")


def _interhand(folder: Path) -> WrittenSet:
    write_interhand(folder / "set", folder)
    return WrittenSet.of("interhand", folder / "set", "test")


def _rhd(folder: Path) -> WrittenSet:
    write_rhd(folder / "set", folder)
    return WrittenSet.of("rhd", folder / "set", "training")


def _ge(folder: Path) -> WrittenSet:
    write_ge(folder / "set", folder)
    return WrittenSet.of("ge", folder / "set", "test")


def _coco(folder: Path) -> WrittenSet:
    write_coco(folder / "set", folder)
    return WrittenSet.of("coco", folder / "set", "val")


def _hint(folder: Path) -> WrittenSet:
    write_hint(folder / "set", folder)
    return WrittenSet.of("hint", folder / "set", "")


def _openpose(folder: Path) -> WrittenSet:
    write_openpose(folder / "set", folder, folder / "set" / "json")
    return WrittenSet.of("openpose", folder / "set", "json")


def _images(folder: Path) -> WrittenSet:
    """Two photographs, one of two hands, and what the detector finds in them."""
    (folder / "set" / "more").mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "pinch.jpg", folder / "set")
    shutil.copy(ROOT / "examples" / "two_hands.jpg", folder / "set" / "more")
    open_images(folder / "set", str(folder / "found")).find()
    return WrittenSet.of("images", folder / "set", str(folder / "found"))


def _synthetic(folder: Path) -> WrittenSet:
    list(write_dataset(SyntheticRequest(folder / "set", 8, size=224)))
    return WrittenSet.of("synthetic", folder / "set", "training")


def _store(folder: Path) -> WrittenSet:
    """Of 1,000 images in blocks of 128."""
    hands = [fitted_stores.posed_hand(seed) for seed in range(3)]
    rows = {f"{n:04d}.png": fitted_stores.image_row(hands[n % 3]) for n in range(1000)}
    fitted_stores.write_store(folder / "r.zarr", rows, block_size=128)
    fitted_stores.write_images(folder / "images", list(rows))
    return WrittenSet.of("store", folder / "r.zarr", str(folder / "images"))


def _shards(folder: Path) -> WrittenSet:
    write_annotated_shards(folder / "set", folder)
    return WrittenSet.of("shards", folder / "set", "")


FIXTURES: dict[str, Callable[[Path], WrittenSet]] = {
    "freihand": _freihand,
    "ho3d": _ho3d,
    "dexycb": _dexycb,
    "interhand": _interhand,
    "rhd": _rhd,
    "ge": _ge,
    "coco": _coco,
    "hint": _hint,
    "openpose": _openpose,
    "images": _images,
    "synthetic": _synthetic,
    "store": _store,
    "shards": _shards,
}
"""Name of a reader -> what writes a data set of it into an empty folder. Indices of shards go into
the user's cache folder, so a test sets `XDG_CACHE_HOME`."""
