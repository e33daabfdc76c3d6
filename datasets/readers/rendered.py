"""What `synth-hands` wrote: FreiHAND's layout, with depth and all parameters beside it.

``training/rgb/%08d.jpg``, ``training/mask/%08d.jpg``, ``training/depth/%08d.png`` and
``training/truth/%08d.json``, which is written last: a sample without it is not complete and is left
out. ``synthetic.json`` says what the samples were made from. Annotations come from the truth
files, one a sample, so that opening takes no longer than listing them.

Each sample has one annotated hand, a right one. Another hand in the image has no keypoints and no
mask of its own, and is not annotated. A hand's `parameters` are those of the open hand, with
children's shapes where there are more `betas` than adults' ones.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image

from datasets.annotations import (
    AnnotatedHand,
    AnnotatedImages,
    AnnotatedObject,
    Annotation,
    ModelParameters,
)
from datasets.keypoint_states import STATE_NAMES, VISIBLE
from datasets.readers.values import entry, numbers
from datasets.synthetic_layout import DEPTH_UNIT, DESCRIPTION, FOLDERS
from fitter.errors import InputError
from fitter.inputs.images import opened
from fitter.inputs.json_files import load_json

_OBJECTS = ("in_grasp", "in_front")
"""What `datasets.synthetic.records.ObjectSpec` holds, in its order."""


def open_rendered(folder: Path, split: str) -> RenderedImages:
    """A folder of `synth-hands`.

    Args:
        folder: that was given as ``--out``.
        split: ``training``.

    Raises:
        InputError: it is no such folder, or holds no complete sample.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("dataset.no_folder", file=folder)
    for part in (DESCRIPTION, *(f"{split}/{name}" for name in FOLDERS)):
        if not (folder / part).exists():
            raise InputError(
                "dataset.lacks", file=folder, expected="a folder of synth-hands", missing=part
            )
    description = load_json(folder / DESCRIPTION, "a description of rendered samples")
    size = int(numbers(entry(description, "size", folder / DESCRIPTION), (), folder, "size"))
    return RenderedImages(folder, split, size)


class NumberedNames(Sequence[str]):
    """Names that differ in a number, made when they are asked for."""

    def __init__(self, pattern: str, numbers: np.ndarray) -> None:
        """`pattern` is for `str.format`; `numbers` is (N,) int64."""
        self.pattern = pattern
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...

    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return NumberedNames(self.pattern, self.numbers[place])
        return self.pattern.format(int(self.numbers[place]))


class RenderedImages(AnnotatedImages):
    """Rendered samples; make it with `open_rendered`."""

    dataset = "synthetic"
    definition = "mediapipe"

    def __init__(self, root: Path, split: str, size: int) -> None:
        """List the complete samples in `root`, which are `size` pixels wide and high."""
        self.root = root
        self.split = split
        self._size = (size, size)
        self._folder = root / split
        with os.scandir(self._folder / "truth") as listing:
            stems = [e.name[:-5] for e in listing if e.name.endswith(".json")]
        found = np.array(sorted(int(stem) for stem in stems if stem.isdigit()), np.int64)
        if not len(found):
            raise InputError("dataset.empty", file=self._folder / "truth")
        self.names: NumberedNames = NumberedNames(split + "/rgb/{:08d}.jpg", found)

    def annotation(self, place: int) -> Annotation:
        """See `AnnotatedImages`; `visible` are the keypoints that nothing hides."""
        path = self._file("truth", place, "json")
        truth = load_json(path, "a rendered sample's truth")
        hand = AnnotatedHand(
            side="right",
            keypoints_2d=numbers(entry(truth, "uv", path), (21, 2), path, "uv"),
            keypoints_3d=numbers(entry(truth, "xyz", path), (21, 3), path, "xyz"),
            visible=_visible(entry(truth, "keypoint_state", path), path),
            parameters=_parameters(entry(truth, "specs", path), path),
        )
        return Annotation(
            name=self.names[place],
            intrinsics=numbers(entry(truth, "K", path), (3, 3), path, "K"),
            hands=(hand,),
            objects=_objects(entry(truth, "specs", path), path),
            size=self._size,
        )

    def masks(self, place: int) -> np.ndarray:
        """(1, H, W) bool, pixels at least half of which show the hand."""
        return self._pixels("mask", place, "jpg")[None] > 127

    def depth(self, place: int) -> np.ndarray:
        """(H, W) float32 metres of whatever is nearest, 0 where the background is."""
        return self._pixels("depth", place, "png").astype(np.float32) * np.float32(DEPTH_UNIT)

    def _file(self, kind: str, place: int, suffix: str) -> Path:
        return self._folder / kind / f"{int(self.names.numbers[place]):08d}.{suffix}"

    def _pixels(self, kind: str, place: int, suffix: str) -> np.ndarray:
        """(H, W) grey values."""
        path = self._file(kind, place, suffix)
        with opened(path) as image:
            image.load()
            return _grey(image, self._size, path)


def _grey(image: Image.Image, size: tuple[int, int], path: Path) -> np.ndarray:
    if image.size != size:
        found, expected = ("{}x{}".format(*s) for s in (image.size, size))
        raise InputError("dataset.image_size", file=path, found=found, expected=expected)
    return np.asarray(image if image.mode.startswith("I") else image.convert("L"))


def _visible(states: object, path: Path) -> np.ndarray:
    if not isinstance(states, list) or len(states) != 21 or not set(states) <= set(STATE_NAMES):
        raise InputError("dataset.states", file=path, known=", ".join(STATE_NAMES))
    return np.array([state == STATE_NAMES[VISIBLE] for state in states])


def _parameters(specs: object, path: Path) -> ModelParameters:
    hand = entry(specs, "hand", path)
    shapes = {"global_orient": (3,), "hand_pose": (15, 3), "betas": (-1,), "transl": (3,)}
    values = [numbers(entry(hand, name, path), shapes[name], path, name) for name in shapes]
    return ModelParameters("open_hand", *values)


def _objects(specs: object, path: Path) -> tuple[AnnotatedObject, ...]:
    """The bodies that are there; each stands along the z of its own frame."""
    objects, n = entry(specs, "objects", path), len(_OBJECTS)
    present = numbers(entry(objects, "present", path), (n,), path, "present")
    axes = numbers(entry(objects, "axes", path), (n, 3, 3), path, "axes")
    centre = numbers(entry(objects, "centre", path), (n, 3), path, "centre")
    return tuple(
        AnnotatedObject(name, axes[row].T, centre[row])
        for row, name in enumerate(_OBJECTS)
        if present[row]
    )
