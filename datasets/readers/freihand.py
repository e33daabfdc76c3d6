"""FreiHAND (Zimmermann et al., "FreiHAND", ICCV 2019), as published.

    training/rgb/%08d.jpg  training/mask/%08d.jpg  evaluation/rgb/%08d.jpg
    training_{K,xyz,mano,verts}.json  evaluation_{K,xyz,mano,verts}.json

The lists have an entry for each sample; only K has to be there. Each training sample was
photographed once and is then shown with several backgrounds: image i shows sample i modulo the
number of samples, and so does its mask. The lists do not say for which size of the images they are;
it is the same for a whole split (224 x 224 in FreiHAND, others in sets of its layout). Orders,
units and the meaning of ``mano`` are those of the public code, github.com/lmb-freiburg/freihand,
``utils/model.py``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from datasets.annotations import (
    AnnotatedDefinition,
    AnnotatedHand,
    AnnotatedImages,
    Annotation,
    ManoAnnotation,
)
from datasets.readers.files import JsonRows, read_raw_image, require_folder
from datasets.readers.names import NumberedNames
from datasets.readers.parameters import project
from fitter.errors import InputError
from fitter.inputs.camera_matrices import check_intrinsics
from fitter.inputs.images import opened

_DATASET = "FreiHAND"
_NUMBERED = re.compile(r"[0-9]{8}\.jpg")
"""Names of images."""

_LOOKED_AT = 9
"""How many images are looked at to find the size that those of a split have."""

_PLACED_KEYPOINT = 9
"""``mano`` says where this keypoint is: the joint of the posed chain (``pose_by_root``), not the
joint regressor's on the posed vertices."""


@dataclass(frozen=True)
class FreiHand(AnnotatedImages):
    """A split of FreiHAND. Build it with `open_freihand`.

    Attributes:
        lists: what -> the JSON list of it, for each of K, xyz, mano and verts that is there.
        samples: how many entries the longest list has.
        has_masks: whether there is a folder of masks.
    """

    root: Path
    split: str
    names: NumberedNames
    lists: Mapping[str, JsonRows]
    samples: int
    has_masks: bool
    dataset: str = "freihand"
    definition: AnnotatedDefinition = "freihand"

    def entry(self, place: int) -> int:
        """The place in the lists of what image `place` shows.

        Raises:
            InputError: `dataset.which_entry`: the images do not come in whole rounds of samples.
        """
        if place < self.samples or self.split == "evaluation":
            return place
        if len(self) % self.samples:
            raise InputError(
                "dataset.which_entry",
                file=self.lists["K"].path,
                images=len(self),
                found=self.samples,
                image=self.names[place],
            )
        return place % self.samples

    def scene(self, place: int) -> int:
        """See `AnnotatedImages.scene`: what `entry` says."""
        return self.entry(place)

    @cached_property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the split's images: what most of the first ones have."""
        sizes: Counter[tuple[int, int]] = Counter()
        for place in range(min(_LOOKED_AT, len(self))):
            with suppress(InputError), opened(self.path(place)) as image:
                sizes[image.size] += 1
        return sizes.most_common(1)[0][0] if sizes else None

    def annotation(self, place: int) -> Annotation:
        """See `AnnotatedImages.annotation`; positions in the image are the projected ones."""
        name, entry = self.names[place], self.entry(place)
        rows = self.lists
        where = f"{rows['K'].path}, entry {entry}"
        K = check_intrinsics(rows["K"].row(entry, (3, 3), name), where)
        keypoints = np.full((21, 3), np.nan)
        if "xyz" in rows:
            keypoints = rows["xyz"].row(entry, (21, 3), name)
        hand = AnnotatedHand(
            side="right",
            keypoints_2d=project(keypoints, K),
            keypoints_3d=keypoints,
            mano=_mano(rows["mano"].row(entry, (1, 61), name)[0], K) if "mano" in rows else None,
            vertices=rows["verts"].row(entry, (-1, 3), name) if "verts" in rows else None,
        )
        return Annotation(name, K, (hand,), size=self.size)

    def masks(self, place: int) -> np.ndarray | None:
        """(1, H, W) bool, what is lit above half: the files are JPEG, grey in three channels."""
        if not self.has_masks:
            return None
        path = self.root / self.split / "mask" / f"{self.entry(place):08d}.jpg"
        values = read_raw_image(path)
        return (values if values.ndim == 2 else values[..., 1])[None] > 127


def open_freihand(root: Path, split: str) -> FreiHand:
    """Open a split.

    Args:
        root: folder that holds ``evaluation_K.json`` and the rest.
        split: "evaluation" or "training".

    Raises:
        InputError: the folder, its images or its list of K are missing, or a list is no list.
    """
    root = require_folder(root, _DATASET)
    kinds = ("K", "xyz", "mano", "verts")
    lists = {
        kind: JsonRows.open(root / f"{split}_{kind}.json", _DATASET)
        for kind in kinds
        if kind == "K" or (root / f"{split}_{kind}.json").exists()
    }
    samples = max(map(len, lists.values()))
    images = _image_count(require_folder(root / split / "rgb", _DATASET))
    names = NumberedNames(f"{split}/rgb/{{:08d}}.jpg", max(images, samples))
    return FreiHand(root, split, names, lists, samples, (root / split / "mask").is_dir())


def _image_count(folder: Path) -> int:
    """One more than the highest number of an image."""
    numbers = [int(path.stem) for path in folder.iterdir() if _NUMBERED.fullmatch(path.name)]
    return max(numbers, default=-1) + 1


def _mano(row: np.ndarray, K: np.ndarray) -> ManoAnnotation:
    """From 48 angles, 10 betas, a position in the image and a scale in pixels a metre, under weak
    perspective with the mean focal length (``recover_root`` of the public code)."""
    position, scale = row[58:60], row[60]
    focal = 0.5 * (K[0, 0] + K[1, 1])
    return ManoAnnotation(
        global_orient=row[:3],
        hand_pose=row[3:48],
        betas=row[48:58],
        translation=np.append(position - K[:2, 2], focal) / scale,
        pose_space="mean",
        placed_keypoint=_PLACED_KEYPOINT,
    )
