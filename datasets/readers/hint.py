"""HInt (Pavlakos et al., "Reconstructing Hands in 3D with Transformers", CVPR 2024).

    SUBSET/NAME.jpg  SUBSET/NAME.json         such as TEST_newdays_img, VAL_ego4d_seq

Each JSON file is a list of hands: ``keypoints`` (21 of x, y in canonical order, pixels of the
image), ``occlusion`` (21, above 0 where a keypoint is hidden) and ``bbox`` (a list of one box x0,
y0, x1, y1, or of none). A name that ends in ``_l`` or ``_r`` says which hand it is. So the public
code reads them, github.com/ddshan/hint, ``README.md`` and ``visualize_HInt/draw_hand.py``. There is
no camera and nothing in 3D.

Images have to be where their JSON file is: HInt comes without those of Ego4D.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.annotations import AnnotatedDefinition, AnnotatedHand, AnnotatedImages, Annotation
from datasets.readers.files import member, numbers, read_json, require_folder
from datasets.readers.names import PackedNames
from fitter.errors import InputError
from fitter.records import Side

_DATASET = "HInt"
_ENDINGS: dict[str, Side] = {"_l": "left", "_r": "right"}


@dataclass(frozen=True)
class Hint(AnnotatedImages):
    """Subsets of HInt. Build it with `open_hint`."""

    root: Path
    split: str
    names: PackedNames
    dataset: str = "hint"
    definition: AnnotatedDefinition = "coco"
    has_intrinsics: bool = False

    def annotation(self, place: int) -> Annotation:
        """See `AnnotatedImages.annotation`."""
        path = self.path(place).with_suffix(".json")
        listed = read_json(path, _DATASET)
        if not isinstance(listed, list):
            raise InputError("dataset.no_list", file=path)
        side = _ENDINGS.get(path.stem[-2:])
        hands = tuple(_hand(hand, side, path, number) for number, hand in enumerate(listed))
        return Annotation(self.names[place], None, hands)


def open_hint(root: Path, split: str) -> Hint:
    """Open a subset, or several.

    Args:
        root: folder that holds the subsets, or images and JSON files themselves.
        split: name of a subset, or what the names of several begin with, such as ``TEST``; nothing
            for all.

    Raises:
        InputError: the folder is missing, or there is no JSON file in such a subset.
    """
    root = require_folder(root, _DATASET)
    folders = [Path(), *(Path(name) for name in _listed(root) if (root / name).is_dir())]
    chosen = [folder for folder in folders if folder.name.startswith(split)]
    names = [
        (folder / name).with_suffix(".jpg").as_posix()
        for folder in chosen
        for name in _listed(root / folder)
        if name.endswith(".json")
    ]
    if not names:
        raise InputError("dataset.lacks", file=root / split, what="folder", dataset=_DATASET)
    return Hint(root, split, PackedNames.of(names))


def _listed(folder: Path) -> Sequence[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise InputError("dataset.unreadable", file=folder, reason=error.strerror) from error


def _hand(hand: object, side: Side | None, path: Path, number: int) -> AnnotatedHand:
    what = f"of hand {number}"
    marks = numbers(member(hand, "keypoints", path), (21, 2), path, f"keypoints {what}")
    occlusion = numbers(member(hand, "occlusion", path), (21,), path, f"occlusion {what}")
    boxes = member(hand, "bbox", path)
    return AnnotatedHand(
        side=side,
        keypoints_2d=marks,
        keypoints_3d=np.full((21, 3), np.nan),
        visible=occlusion <= 0,
        box=None if boxes == [] else numbers(boxes, (-1, 4), path, f"bbox {what}")[0],
    )
