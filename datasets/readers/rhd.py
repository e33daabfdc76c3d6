"""RHD, the Rendered Handpose Dataset (Zimmermann and Brox, ICCV 2017), as published: both hands.

    SPLIT/anno_SPLIT.pickle  SPLIT/color/%05d.png  SPLIT/mask/%05d.png  SPLIT/depth/%05d.png

The pickle is one dictionary by the image's number. Nothing that it asks to be run is run. Orders,
units and the meaning of the masks are those of the public code, github.com/lmb-freiburg/hand3d,
``create_binary_db.py`` and ``data/BinaryDbReader.py``; depth is as ``view_samples.py`` reads it,
which comes with the data set. A hand is annotated where one of its keypoints can be seen in the
image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.annotations import AnnotatedDefinition, AnnotatedHand, AnnotatedImages, Annotation
from datasets.readers.files import (
    member,
    numbers,
    read_layer,
    read_pickled,
    require_file,
    require_folder,
)
from datasets.readers.names import ChosenNames
from fitter.conventions import KEYPOINT_ORDERS
from fitter.errors import InputError
from fitter.inputs.camera_matrices import check_intrinsics
from fitter.records import Side

_DATASET = "RHD"
_SIZE = (320, 320)
_SIDES: tuple[Side, Side] = ("left", "right")
_ORDER = list(KEYPOINT_ORDERS["rhd"])
_MASKED: tuple[tuple[int, int], tuple[int, int]] = ((2, 17), (18, 255))
"""First and last value in the masks of the left hand's parts and the right hand's; 0 is the
background and 1 the person."""
_DEPTH_RANGE = 5.0
"""Metres that the greatest depth stands for."""


@dataclass(frozen=True)
class Rhd(AnnotatedImages):
    """A split of RHD. Build it with `open_rhd`.

    Attributes:
        positions: (N, 2, 21, 3) float32 u, v and whether it is visible, left hand first.
        keypoints: (N, 2, 21, 3) float32 metres in the camera; intrinsics: (N, 3, 3) float32.
        refused: place -> why an image cannot be used.
    """

    root: Path
    split: str
    names: ChosenNames
    positions: np.ndarray
    keypoints: np.ndarray
    intrinsics: np.ndarray
    refused: Mapping[int, InputError]
    dataset: str = "rhd"
    definition: AnnotatedDefinition = "rhd"

    def annotation(self, place: int) -> Annotation:
        """See `AnnotatedImages.annotation`."""
        if place in self.refused:
            raise self.refused[place].about()
        name = self.names[place]
        K = check_intrinsics(self.intrinsics[place].astype(np.float64), f"{name}, K")
        hands = tuple(self._hand(place, side) for side in self._seen(place))
        return Annotation(name, K, hands, size=_SIZE)

    def masks(self, place: int) -> np.ndarray:
        """(hands, H, W) bool: the parts of each annotated hand."""
        parts = self._layer("mask", place, 2)
        ranges = [_MASKED[side] for side in self._seen(place)]
        masks = [(parts >= first) & (parts <= last) for first, last in ranges]
        return np.array(masks, bool).reshape(len(masks), *parts.shape)

    def depth(self, place: int) -> np.ndarray | None:
        """(H, W) float32 metres, or None without a folder of depths."""
        if not (self.root / self.split / "depth").is_dir():
            return None
        values = self._layer("depth", place, 3).astype(np.float32)
        # Red holds the high bits, green the low ones.
        return (256 * values[..., 0] + values[..., 1]) * np.float32(_DEPTH_RANGE / (2**16 - 1))

    def _layer(self, kind: str, place: int, dimensions: int) -> np.ndarray:
        """The values of a mask or a depth image as stored."""
        path = self.root / self.split / kind / f"{self.names.numbers[place]:05d}.png"
        return read_layer(path, dimensions, kind)

    def _seen(self, place: int) -> list[int]:
        """The hands that can be seen, as places in `_SIDES`."""
        return [side for side in (0, 1) if self.positions[place, side, :, 2].any()]

    def _hand(self, place: int, side: int) -> AnnotatedHand:
        positions = self.positions[place, side, _ORDER].astype(np.float64)
        return AnnotatedHand(
            side=_SIDES[side],
            keypoints_2d=positions[:, :2],
            keypoints_3d=self.keypoints[place, side, _ORDER].astype(np.float64),
            visible=positions[:, 2] > 0,
        )


def open_rhd(root: Path, split: str) -> Rhd:
    """Open a split.

    Args:
        root: folder that holds ``training`` and ``evaluation``, such as RHD_published_v2.
        split: "evaluation" or "training".

    Raises:
        InputError: the folder, its images or its annotations are missing, or the annotations are
            no pickle of numbered samples, or one that would run something.
    """
    root = require_folder(root, _DATASET)
    require_folder(root / split / "color", _DATASET)
    path = require_file(root / split / f"anno_{split}.pickle", _DATASET)
    samples = read_pickled(path, _DATASET, int)
    if not samples:
        raise InputError("dataset.empty", file=path)
    chosen = sorted(samples)
    positions, keypoints = (np.full((len(chosen), 42, 3), np.nan, np.float32) for _ in range(2))
    intrinsics = np.full((len(chosen), 3, 3), np.nan, np.float32)
    refused = {}
    for place, number in enumerate(chosen):
        sample, what = samples[number], f"of sample {number}"
        try:
            for key, array in (("uv_vis", positions), ("xyz", keypoints), ("K", intrinsics)):
                values = member(sample, key, path)
                array[place] = numbers(values, array.shape[1:], path, f"{key} {what}")
        except InputError as error:
            refused[place] = error
    return Rhd(
        root=root,
        split=split,
        names=ChosenNames(f"{split}/color/{{:05d}}.png", np.array(chosen, np.int64)),
        positions=positions.reshape(-1, 2, 21, 3),
        keypoints=keypoints.reshape(-1, 2, 21, 3),
        intrinsics=intrinsics,
        refused=refused,
    )
