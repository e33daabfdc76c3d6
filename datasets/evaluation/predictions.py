"""The hands of a JSON file that any tool may have written, as an evaluation sees them.

Two forms are read:

- ``[xyz, verts]``, FreiHAND's submission: lists with one entry for each image of the data set, in
  its order; xyz 21x3 and verts Vx3 numbers, metres in the camera. ``verts`` may be empty or left
  out. An entry of null is an image without a hand.
- ``{"NAME": HAND or [HAND, ...]}``: images by name, as in the data set or by their file names;
  HAND is ``{"xyz": 21x3, "verts": Vx3, "side": "left" or "right", "uv": 21x2, "score": number}``,
  of which only xyz is needed. ``uv`` are pixels; without them xyz is projected by the image's K.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from datasets.annotations import AnnotatedImages, Annotation
from datasets.evaluation.matching import places_in_dataset, project
from datasets.evaluation.records import ABSENT, EstimatedHand, EstimatedImage, Estimates
from fitter.errors import InputError
from fitter.records import Side

_FIELDS = ("xyz", "verts", "side", "uv", "score")


class PredictionEstimates(Estimates):
    """The hands of a file of predictions."""

    def __init__(
        self,
        path: Path,
        images: AnnotatedImages,
        faces: Mapping[Side, np.ndarray] | None = None,
    ) -> None:
        """Read the file.

        Args:
            path: of the JSON file.
            images: the data set.
            faces: of the vertices' mesh, by side, where they are known.

        Raises:
            InputError: it cannot be read, is in neither form, has another number of entries than
                the data set has images, or none of its images.
        """
        self.path = path
        self._faces = faces or {}
        names = images.names
        found = _read(path)
        if isinstance(found, dict):
            keys = list(found)
            places = places_in_dataset(path, keys, images)
            hands = {place: found[keys[row]] for place, row in places.items()}
            self._hands = {p: _hands(path, names[p], entry) for p, entry in hands.items()}
            known = set(places.values())
            self.unknown_names = [key for row, key in enumerate(keys) if row not in known]
        else:
            self._hands = _submission(path, found, names)

    def faces(self, side: Side) -> np.ndarray | None:
        """(F, 3) faces of a hand's mesh, or None where they are not known."""
        return self._faces.get(side)

    def images(
        self, places: Sequence[int], annotations: Sequence[Annotation], with_meshes: bool
    ) -> list[EstimatedImage]:
        """Of some images of the data set; see `Estimates.images`."""
        return [
            self._image(place, annotation)
            for place, annotation in zip(places, annotations, strict=True)
        ]

    def _image(self, place: int, annotation: Annotation) -> EstimatedImage:
        if place not in self._hands:
            return ABSENT
        hands = self._hands[place]
        if not hands:
            return EstimatedImage("no_hand")
        return EstimatedImage("ok", tuple(_placed(hand, annotation.intrinsics) for hand in hands))


def _placed(hand: EstimatedHand, K: np.ndarray | None) -> EstimatedHand:
    """A hand with its keypoints in the image, where these can be known."""
    if np.isfinite(hand.keypoints_2d).any() or K is None or (hand.keypoints_3d[:, 2] <= 0).any():
        return hand
    marks = project(hand.keypoints_3d, K)
    return replace(hand, keypoints_2d=marks)


def _read(path: Path) -> Any:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("predictions.unreadable", file=path, reason=error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise InputError("predictions.not_json", file=path, reason=str(error)) from error
    is_lists = isinstance(found, list) and 1 <= len(found) <= 2
    if not (is_lists and all(isinstance(part, list) for part in found)) and not (
        isinstance(found, dict) and found
    ):
        raise InputError("predictions.form", file=path)
    return found


def _submission(
    path: Path, found: list[list[Any]], names: Sequence[str]
) -> dict[int, list[EstimatedHand]]:
    """The hands of FreiHAND's form, by place in the data set."""
    xyz = found[0]
    vertices = found[1] if len(found) > 1 and found[1] else [None] * len(names)
    for what, part in (("xyz", xyz), ("verts", vertices)):
        if len(part) != len(names):
            raise InputError(
                "predictions.entries", file=path, what=what, found=len(part), expected=len(names)
            )
    return {
        place: []
        if xyz[place] is None
        else _hands(path, name, {"xyz": xyz[place], "verts": vertices[place]})
        for place, name in enumerate(names)
    }


def _hands(path: Path, image: str, entry: Any) -> list[EstimatedHand]:
    given = entry if isinstance(entry, list) else [] if entry is None else [entry]
    return [_hand(path, image, hand) for hand in given]


def _hand(path: Path, image: str, given: Any) -> EstimatedHand:
    if not isinstance(given, dict) or "xyz" not in given or set(given) - set(_FIELDS):
        raise InputError("predictions.hand", file=path, image=image, fields=", ".join(_FIELDS))
    xyz = _points(path, image, "xyz", given["xyz"], 21, 3)
    vertices = given.get("verts")
    marks = given.get("uv")
    side = given.get("side")
    if side not in ("left", "right", None):
        raise InputError("predictions.side", file=path, image=image, found=side)
    score = given.get("score", 0.0)
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise InputError("predictions.score", file=path, image=image, found=score)
    return EstimatedHand(
        xyz,
        np.full((21, 2), np.nan) if marks is None else _points(path, image, "uv", marks, 21, 2),
        side,
        float(score),
        _points(path, image, "verts", vertices, None, 3) if vertices else None,
    )


def _points(
    path: Path, image: str, what: str, given: Any, rows: int | None, columns: int
) -> np.ndarray:
    """(rows, columns) float64, finite."""
    try:
        points = np.array(given, float)
    except (ValueError, TypeError):
        points = None
    fits = points is not None and points.ndim == 2 and points.shape[1] == columns
    if points is None or not (fits and rows in (None, len(points)) and np.isfinite(points).all()):
        raise InputError(
            "predictions.points",
            file=path,
            image=image,
            what=what,
            expected=f"{'V' if rows is None else rows}x{columns}",
            found=_described(points),
        )
    return points


def _described(points: np.ndarray | None) -> str:
    """What was found in the place of points."""
    if points is None:
        return "something else"
    if not np.isfinite(points).all():
        return "nan or infinity"
    return "x".join(map(str, points.shape)) or "one number"
