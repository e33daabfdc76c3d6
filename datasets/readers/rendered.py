"""What `synth-hands` wrote: FreiHAND's layout, with depth and all parameters beside it.

``training/rgb/%08d.jpg``, ``training/mask/%08d.jpg``, ``training/depth/%08d.png`` and
``training/truth/%08d.json``, which is written last: a sample without it is not complete and is left
out. ``synthetic.json`` says what the samples were made from. Of a data set of several cameras each
camera's folder is one of these. Annotations come from the truth
files, one a sample, so that opening takes no longer than listing them.

Each sample has one annotated hand, a right one. Another hand in the image has no keypoints and no
mask of its own, and is not annotated, except where hands touch (``--interaction``): there the left
hand is the second one. A hand's `parameters` are those of the model that
``synthetic.json`` names: the open hand, with children's shapes where there are more `betas` than
adults' ones, or NIMBLE.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from datasets.annotations import (
    AnnotatedHand,
    AnnotatedImages,
    AnnotatedObject,
    Annotation,
    ModelParameters,
)
from datasets.keypoint_states import STATE_NAMES, VISIBLE
from datasets.readers.files import (
    member,
    numbers,
    read_json,
    read_raw_image,
    require_file,
    require_folder,
)
from datasets.readers.names import ChosenNames
from datasets.synthetic_layout import DEPTH_UNIT, DESCRIPTION, FOLDERS, SECOND_MASK
from fitter.errors import InputError
from fitter.hand_models.skeleton import MANO_SKELETON, NIMBLE_SKELETON
from fitter.records import Side

_LAYOUT = "synth-hands"
_ROTATIONS = {"open_hand": MANO_SKELETON.rotations, "nimble": NIMBLE_SKELETON.rotations}
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
    path = require_file(require_folder(folder, _LAYOUT) / DESCRIPTION, _LAYOUT)
    for part in FOLDERS:
        require_folder(folder / split / part, _LAYOUT)
    description = read_json(path, _LAYOUT)
    said = member(description, "size", path)
    # Squares have one number.
    sides = numbers(said, (2,) if isinstance(said, list) else (), path, "size")
    width, height = (int(side) for side in np.broadcast_to(sides, 2))
    model = description.get("model", {"name": "open_hand"})
    return RenderedImages(folder, split, (width, height), str(member(model, "name", path)))


class RenderedImages(AnnotatedImages):
    """Rendered samples; make it with `open_rendered`."""

    dataset = "synthetic"

    def __init__(
        self, root: Path, split: str, size: tuple[int, int], model: str = "open_hand"
    ) -> None:
        """List the complete samples in `root`, whose images have the width and height `size` and
        show the hands of the named model."""
        self.model = model
        # The open hand's keypoints are where detectors mark them, NIMBLE's are MANO's joints.
        self.definition = "mediapipe" if model == "open_hand" else "mano"
        self.root = root
        self.split = split
        self._size = size
        self._folder = root / split
        with os.scandir(self._folder / "truth") as listing:
            stems = [e.name[:-5] for e in listing if e.name.endswith(".json")]
        found = np.array(sorted(int(stem) for stem in stems if stem.isdigit()), np.int64)
        if not len(found):
            raise InputError("dataset.empty", file=self._folder / "truth")
        self.names: ChosenNames = ChosenNames(split + "/rgb/{:08d}.jpg", found)

    def annotation(self, place: int) -> Annotation:
        """See `AnnotatedImages`; `visible` are the keypoints that nothing hides."""
        path = self._file("truth", place, "json")
        truth = read_json(path, _LAYOUT)
        hands = [self._hand(truth, "right", member(truth, "specs", path), path)]
        if "second" in truth:
            second = truth["second"]
            hands.append(self._hand(second, "left", second, path))
        return Annotation(
            name=self.names[place],
            intrinsics=numbers(member(truth, "K", path), (3, 3), path, "K"),
            hands=tuple(hands),
            objects=(*_objects(member(truth, "specs", path), path), *self._held(truth, path)),
            size=self._size,
        )

    def _hand(self, truth: object, side: Side, specs: object, path: Path) -> AnnotatedHand:
        return AnnotatedHand(
            side=side,
            keypoints_2d=numbers(member(truth, "uv", path), (21, 2), path, "uv"),
            keypoints_3d=numbers(member(truth, "xyz", path), (21, 3), path, "xyz"),
            visible=_visible(member(truth, "keypoint_state", path), path),
            parameters=_parameters(specs, path, self.model),
        )

    def _held(self, truth: object, path: Path) -> list[AnnotatedObject]:
        """What a hand holds, where its mesh is a file."""
        listed = truth.get("objects", []) if isinstance(truth, dict) else []
        return [
            AnnotatedObject(
                str(member(each, "name", path)),
                numbers(member(each, "rotation", path), (3, 3), path, "rotation"),
                numbers(member(each, "translation", path), (3,), path, "translation"),
                self._folder / str(member(each, "mesh", path)),
            )
            for each in listed
        ]

    def masks(self, place: int) -> np.ndarray:
        """(hands, H, W) bool, pixels at least half of which show the hand."""
        truth = read_json(self._file("truth", place, "json"), _LAYOUT)
        kinds = ["mask", SECOND_MASK] if "second" in truth else ["mask"]
        files = [require_file(self._file(kind, place, "jpg"), _LAYOUT) for kind in kinds]
        return np.stack([read_raw_image(file) > 127 for file in files])

    def depth(self, place: int) -> np.ndarray:
        """(H, W) float32 metres of whatever is nearest, 0 where the background is."""
        steps = read_raw_image(self._file("depth", place, "png"))
        return steps.astype(np.float32) * np.float32(DEPTH_UNIT)

    def _file(self, kind: str, place: int, suffix: str) -> Path:
        return self._folder / kind / f"{int(self.names.numbers[place]):08d}.{suffix}"


def _visible(states: object, path: Path) -> np.ndarray:
    if not isinstance(states, list) or len(states) != 21 or not set(states) <= set(STATE_NAMES):
        raise InputError("dataset.states", file=path, known=", ".join(STATE_NAMES))
    return np.array([state == STATE_NAMES[VISIBLE] for state in states])


def _parameters(specs: object, path: Path, model: str) -> ModelParameters:
    hand = member(specs, "hand", path)
    shapes = {
        "global_orient": (3,),
        "hand_pose": (_ROTATIONS.get(model, -1), 3),
        "betas": (-1,),
        "transl": (3,),
    }
    values = [numbers(member(hand, name, path), shapes[name], path, name) for name in shapes]
    return ModelParameters(model, *values)


def _objects(specs: object, path: Path) -> tuple[AnnotatedObject, ...]:
    """The bodies that are there; each stands along the z of its own frame."""
    objects, n = member(specs, "objects", path), len(_OBJECTS)
    present = numbers(member(objects, "present", path), (n,), path, "present")
    axes = numbers(member(objects, "axes", path), (n, 3, 3), path, "axes")
    centre = numbers(member(objects, "centre", path), (n, 3), path, "centre")
    return tuple(
        AnnotatedObject(name, axes[row].T, centre[row])
        for row, name in enumerate(_OBJECTS)
        if present[row]
    )
