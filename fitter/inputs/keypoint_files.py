"""2D keypoints from files instead of a detector.

`KeypointFiles` reads three layouts, told apart by what is found:

A folder: OpenPose's output
    One ``<image stem>_keypoints.json`` for each picture, with the picture's folder before it when
    it lies in one; two pictures that differ in nothing but their ending would share a file, and are
    refused. Each entry of ``people`` may hold ``hand_left_keypoints_2d`` and
    ``hand_right_keypoints_2d``, 63 numbers (u, v, confidence) x 21; all zeros mean no hand.
A JSON list: FreiHAND's layout
    One 21x2 (u, v) or 21x3 (u, v, confidence) for each picture, in the order of the sorted names;
    right hands. FreiHAND's own ``*_xyz.json`` are 21x3 metres, not these: they are recognised
    because every one of their numbers is below 10 in size, which 21 pixel positions never are,
    and refused.
A JSON object: our own layout
    ``{picture name: [{"side": "left", "keypoints": 21x2 or 21x3, "relative_depth": 21}, ...]}``,
    the depth optional, in pixels relative to the wrist, positive away from the camera. A picture
    that is not named has no hands.

All positions are pixels of the upright picture in canonical keypoint order. A missing confidence
counts as 1. What is wrong with one picture's entry is said when that picture is asked for and
leaves the others alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from fitter.errors import InputError
from fitter.inputs.escaped_names import unescaped
from fitter.inputs.images import ImageEntry
from fitter.inputs.intrinsics import require_a_name
from fitter.inputs.json_files import load_json, some_entries
from fitter.inputs.names import first_shared_stem
from fitter.records import HandObservation

LARGEST_METRES = 10.0
"""Coordinates that all lie below this are metres, not pixels."""

LARGEST_PIXELS = 1e6
"""Coordinates beyond this are a mistake, not a keypoint outside its picture."""

_OPENPOSE_ENDING = "_keypoints.json"


@dataclass(frozen=True)
class KeypointFiles:
    """Keypoints of the pictures of a listing.

    Build it with `KeypointFiles.open`.

    Attributes:
        path: the folder or file.
        by_name: entries by picture name, not yet checked, or None.
        by_index: entries by place in the listing, not yet checked, or None; with neither,
            `path` is a folder of OpenPose files.
    """

    path: Path
    by_name: Mapping[str, object] | None = None
    by_index: Mapping[int, object] | None = None

    @staticmethod
    def open(path: Path) -> KeypointFiles:
        """Find out the layout.

        Args:
            path: folder or JSON file.

        Raises:
            InputError: there is nothing at `path`, it is no JSON, or in no known layout.
        """
        path = Path(path)
        if path.is_dir():
            if not _has_openpose_file(path):
                raise InputError("keypoints.no_files", file=path)
            return KeypointFiles(path)
        content = load_json(path, "keypoints")
        if isinstance(content, dict):
            if "people" in content:
                raise InputError("keypoints.one_openpose_file", file=path)
            return KeypointFiles(path, by_name=content)
        if not isinstance(content, list):
            raise InputError("keypoints.layout", file=path, found=type(content).__name__)
        return KeypointFiles(path, by_index=dict(enumerate(content)))

    def require_for(self, names: Iterable[str], count: int) -> None:
        """Refuse keypoints that belong to other pictures.

        Args:
            names: of the pictures; can be gone through any number of times.
            count: of the pictures.

        Raises:
            InputError: a file names none of the pictures, or is a list of another length; or two
                pictures lie beside each other and differ in their ending alone, so that they
                would share one of OpenPose's files, which names no ending.
        """
        if self.by_index is not None:
            if len(self.by_index) != count:
                raise InputError(
                    "keypoints.count", file=self.path, count=count, found=len(self.by_index)
                )
        elif self.by_name is not None:
            if self.by_name:
                require_a_name(self.path, self.by_name, names)
        elif (shared := first_shared_stem(names)) is not None:
            one, other = shared
            name = self._openpose_path(one).name
            raise InputError(
                "keypoints.shared_file", file=self.path, one=one, other=other, shared=name
            )

    def part(self, start: int, names: Sequence[str]) -> KeypointFiles:
        """What is needed for the pictures from place `start` on, whose names these are."""
        by_name, by_index = some_entries(self.by_name, self.by_index, start, names)
        return replace(self, by_name=by_name, by_index=by_index)

    def raw(self, entry: ImageEntry, index: int) -> object:
        """What was given for one picture, not checked; of an OpenPose file its size in bytes."""
        if self.by_index is not None:
            return self.by_index.get(index)
        if self.by_name is not None:
            return self.by_name.get(entry.name)
        try:
            return self._openpose_path(entry.name).stat().st_size
        except OSError:  # reading it will say so
            return None

    def hands_for(self, entry: ImageEntry, index: int) -> list[HandObservation]:
        """Hands of one picture, in the file's order; an empty list when it has none.

        Args:
            entry: the picture.
            index: its place in the sorted listing.

        Raises:
            InputError: the picture's entry or file is missing or malformed.
        """
        if self.by_index is not None:
            where = f"{self.path}, entry {index} ({entry.name})"
            return [hand_observation(self.by_index[index], "right", where)]
        if self.by_name is not None:
            return self._named(entry, self.by_name)
        return self._openpose(entry)

    def _named(self, entry: ImageEntry, given: Mapping[str, object]) -> list[HandObservation]:
        hands = given.get(entry.name, [])
        if not isinstance(hands, list):
            where = f"{self.path}, entry {entry.name!r}"
            raise InputError("keypoints.no_list", file=where, found=type(hands).__name__)
        observations = []
        for number, hand in enumerate(hands):
            where = f"{self.path}, entry {entry.name!r}, hand {number}"
            if not isinstance(hand, dict) or "keypoints" not in hand:
                raise InputError("keypoints.no_hand", file=where)
            depth = hand.get("relative_depth")
            observations.append(hand_observation(hand["keypoints"], hand.get("side"), where, depth))
        return observations

    def _openpose_path(self, picture: str) -> Path:
        name = PurePosixPath(unescaped(picture))
        return self.path / name.parent / (name.stem + _OPENPOSE_ENDING)

    def _openpose(self, entry: ImageEntry) -> list[HandObservation]:
        path = self._openpose_path(entry.name)
        content = load_json(path, "keypoints")
        people = content.get("people") if isinstance(content, dict) else None
        if not isinstance(people, list):
            raise InputError("keypoints.no_people", file=path)
        observations = []
        for number, person in enumerate(people):
            for side in ("left", "right"):
                key = f"hand_{side}_keypoints_2d"
                where = f"{path}, person {number}, {key}"
                if not isinstance(person, dict):
                    raise InputError("keypoints.no_person", file=path, number=number)
                # OpenPose run without its hand detector leaves the lists out or empty.
                if not person.get(key):
                    continue
                flat = _numbers(person[key], [(63,)], where)
                if np.any(flat != 0):
                    observations.append(hand_observation(flat.reshape(21, 3), side, where))
        return observations


def _has_openpose_file(folder: os.PathLike[str]) -> bool:
    """Whether a folder, or one below it, holds a file of OpenPose's; links to folders are left out.

    Millions of files may lie in one folder: entries are looked at one by one, up to the first such
    file, and none is kept. What cannot be listed counts as empty, and so does what is nested deeper
    than folders can be open.
    """
    with contextlib.suppress(OSError, RecursionError), os.scandir(folder) as listing:
        for entry in listing:
            if entry.name.endswith(_OPENPOSE_ENDING):
                return True
            if entry.is_dir(follow_symlinks=False) and _has_openpose_file(entry):
                return True
    return False


def hand_observation(
    keypoints: object, side: object, where: str, relative_depth: object = None
) -> HandObservation:
    """Turn one hand's keypoints from outside into an observation.

    Args:
        keypoints: what should be 21x2 (u, v) or 21x3 (u, v, confidence), in canonical order and
            pixels of the upright image; a missing confidence counts as 1.
        side: what should be "left" or "right".
        where: what to name in messages.
        relative_depth: what should be 21 numbers, in pixels relative to the wrist, positive away
            from the camera; or None.

    Returns:
        The hand, its arrays float64 and copies; its score is the mean of the confidences.

    Raises:
        InputError: the side is neither; or there are other shapes, numbers that are not finite,
            positions that are no pixels, or confidences outside [0, 1].
    """
    if side not in ("left", "right"):
        raise InputError("keypoints.side", file=where, found=side)
    depth = None
    if relative_depth is not None:
        depth = _numbers(relative_depth, [(21,)], f"{where}, relative_depth").copy()
    array = _numbers(keypoints, [(21, 2), (21, 3)], where)
    largest = float(np.abs(array).max())
    if largest < LARGEST_METRES:
        raise InputError("keypoints.metres", file=where, limit=LARGEST_METRES)
    if largest > LARGEST_PIXELS:
        raise InputError("keypoints.too_far", file=where, found=largest)
    confidence = array[:, 2] if array.shape[1] == 3 else np.ones(21)
    least, most = float(confidence.min()), float(confidence.max())
    if least < 0.0 or most > 1.0:
        raise InputError("keypoints.confidence", file=where, least=least, most=most)
    return HandObservation(
        keypoints=array[:, :2].copy(),
        confidence=confidence.copy(),
        side=side,
        side_score=1.0,
        score=float(confidence.mean()),
        relative_depth=depth,
    )


def _numbers(value: object, shapes: list[tuple[int, ...]], where: str) -> np.ndarray:
    expected = " or ".join("x".join(map(str, shape)) for shape in shapes)
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        reason = str(error)
        raise InputError(
            "keypoints.no_numbers", file=where, expected=expected, reason=reason
        ) from error
    if array.shape not in shapes:
        found = "x".join(map(str, array.shape)) or "a single number"
        raise InputError("keypoints.shape", file=where, expected=expected, found=found)
    if not np.isfinite(array).all():
        raise InputError("keypoints.not_finite", file=where)
    return array
