"""Every reader with a small data set in its layout: one table for whoever goes through them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.annotations import AnnotatedImages
from datasets.readers import open_dataset
from tests.support.dexycb_files import write_dexycb
from tests.support.freihand_files import write_freihand
from tests.support.ho3d_files import write_ho3d


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
        places = [place for place in range(len(images)) if images.path(place).is_file()]
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


FIXTURES: dict[str, Callable[[Path], WrittenSet]] = {
    "freihand": _freihand,
    "ho3d": _ho3d,
    "dexycb": _dexycb,
}
"""Name of a reader -> what writes a data set of it into an empty folder."""
