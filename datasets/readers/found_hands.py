"""The hands that our own detector finds in pictures: looked for once, by processes, and kept.

    pictures -> `find_hands` -> a folder of parts -> `KeptHands.picture` -> `FoundPicture`

A part is a JSON file of `PART` consecutive pictures, written whole or not at all: work that was
stopped or killed goes on with the parts that are missing. The list of all pictures is written
first, so that a part's pictures stay the same. The detector finds what `fit-hands` finds by its
own defaults (`fitter.workers.ImageDetector`), on a CPU, so that every machine finds the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from fitter.config.options import Config
from fitter.errors import InputError
from fitter.inputs.escaped_names import path_of
from fitter.inputs.image_files import LocalFile
from fitter.inputs.image_task import ImageTask
from fitter.inputs.intrinsics import Intrinsics
from fitter.inputs.json_files import load_json
from fitter.records import HandObservation, IntrinsicsSource
from fitter.system.files import write_whole
from fitter.system.lock import WriterLock

if TYPE_CHECKING:
    from fitter.fitting.detected_image import DetectedImage
    from fitter.inputs.frame_sources import Task
    from fitter.workers.image_detector import ImageDetector

PART = 32
"""Pictures that are looked at, and kept, together."""

LIST = "pictures.json"
"""File of the names of all pictures, in order."""

_LAYOUT = 1


@dataclass(frozen=True)
class FoundPicture:
    """What the detector found in a picture.

    Attributes:
        name: of the picture, relative to its folder.
        length: bytes of its file when it was looked at, or None.
        size: (width, height) pixels, upright; None where it could not be read.
        intrinsics: (3, 3) float64 K in pixels of the picture, as `fit-hands` takes it; or None.
        source: where K comes from, "exif" or "default"; or None.
        hands: all that were found, the surest first.
        error: why it could not be read, without its name; empty where it could.
    """

    name: str
    length: int | None
    size: tuple[int, int] | None
    intrinsics: np.ndarray | None
    source: IntrinsicsSource | None
    hands: tuple[HandObservation, ...]
    error: str = ""

    @classmethod
    def of(cls, name: str, found: DetectedImage) -> Self:
        """What is kept of what was detected."""
        length = None if found.file is None else found.file[0]
        source = found.intrinsics_source
        hands = tuple(found.hands)
        return cls(name, length, found.size, found.intrinsics, source, hands, found.error)

    def entry(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "length": self.length,
            "size": self.size,
            "K": None if self.intrinsics is None else self.intrinsics.tolist(),
            "source": self.source,
            "error": self.error,
            "hands": [
                {
                    "side": hand.side,
                    "side_score": float(hand.side_score),
                    "score": float(hand.score),
                    "keypoints": np.asarray(hand.keypoints, np.float64).tolist(),
                    "confidence": np.asarray(hand.confidence, np.float64).tolist(),
                }
                for hand in self.hands
            ],
        }

    @classmethod
    def of_entry(cls, entry: dict[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError for what `entry` did not make."""
        hands = tuple(
            HandObservation(
                keypoints=np.array(hand["keypoints"], np.float64).reshape(21, 2),
                confidence=np.array(hand["confidence"], np.float64).reshape(21),
                side=hand["side"],
                side_score=hand["side_score"],
                score=hand["score"],
            )
            for hand in entry["hands"]
        )
        matrix, size = entry["K"], entry["size"]
        return cls(
            name=entry["name"],
            length=entry["length"],
            size=None if size is None else (int(size[0]), int(size[1])),
            intrinsics=None if matrix is None else np.array(matrix, np.float64).reshape(3, 3),
            source=entry["source"],
            hands=hands,
            error=entry["error"],
        )


@dataclass
class FoundSummary:
    """What was found in pictures, counted.

    Attributes:
        pictures: looked at.
        hands: found in them.
        without: pictures without a hand.
        sources: where K comes from -> pictures.
        unreadable: a sentence for each picture that could not be read.
    """

    pictures: int = 0
    hands: int = 0
    without: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

    def add(self, found: FoundPicture) -> None:
        """Count a picture."""
        self.pictures += 1
        if found.error:
            self.unreadable.append(f"{found.name}: {found.error}")
            return
        self.hands += len(found.hands)
        self.without += not found.hands
        source = str(found.source)
        self.sources[source] = self.sources.get(source, 0) + 1

    def __str__(self) -> str:
        hands = "hand" if self.hands == 1 else "hands"
        pictures = "picture" if self.pictures == 1 else "pictures"
        said = f"{self.hands} {hands} found in {self.pictures} {pictures}, none in {self.without}"
        if self.unreadable:
            said += (
                f"; {len(self.unreadable)} cannot be read, the first because {self.unreadable[0]}"
            )
        words = {"exif": "EXIF", "default": "a usual lens, where there is no EXIF"}
        known = ", ".join(f"{words[name]} ({self.sources[name]})" for name in words
                          if name in self.sources)  # fmt: skip
        return f"{said}; K from {known}" if known else said


@dataclass(frozen=True)
class KeptHands:
    """A folder of what was found.

    Attributes:
        folder: with `LIST` and the parts.
    """

    folder: Path

    def names(self) -> list[str] | None:
        """Of all pictures, or None where nothing was looked for yet.

        Raises:
            InputError: the list is damaged.
        """
        file = self.folder / LIST
        if not file.exists():
            return None
        content = load_json(file, "names of pictures")
        table = content if isinstance(content, dict) else {}
        names = table.get("names")
        if not isinstance(names, list) or table.get("layout") != _LAYOUT:
            raise InputError("found.layout", file=file)
        return [str(name) for name in names]

    def part(self, place: int) -> Path:
        """The file of the part that the picture at a place is in."""
        return self.folder / f"hands-{place // PART * PART:09d}.json"

    def picture(self, place: int, name: str) -> FoundPicture:
        """What was found in a picture.

        Args:
            place: in the list.
            name: that it has there.

        Raises:
            InputError: nobody has looked at it, or what is kept is damaged.
        """
        file = self.part(place)
        try:
            pictures = _read(file, file.stat().st_mtime_ns)
        except OSError as error:
            raise InputError("found.nothing_kept", file=self.folder, image=name) from error
        if place % PART >= len(pictures) or pictures[place % PART].name != name:
            raise InputError("found.layout", file=file)
        return pictures[place % PART]


@lru_cache(maxsize=8)
def _read(file: Path, changed: int) -> tuple[FoundPicture, ...]:
    """A part as it was when it was last `changed`; the last ones are remembered."""
    content = load_json(file, "found hands")
    if not isinstance(content, list):
        raise InputError("found.layout", file=file)
    try:
        return tuple(FoundPicture.of_entry(entry) for entry in content)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("found.layout", file=file) from error


@dataclass(frozen=True)
class Search:
    """Pictures whose hands are wanted.

    Attributes:
        root: folder of the pictures.
        names: of all pictures in it, in order.
        kept: where what is found is kept.
    """

    root: Path
    names: Sequence[str]
    kept: KeptHands

    def task(self, place: int) -> ImageTask:
        """A picture as the detector takes it; K as `fit-hands` takes it without an option."""
        return _task(self.root, place, self.names[place])

    def require_same_pictures(self) -> None:
        """Refuse a folder that no longer has the pictures that were looked at.

        Raises:
            InputError: some were added or are gone.
        """
        before = self.kept.names()
        if before is None or before == list(self.names):
            return
        added, gone = set(self.names) - set(before), set(before) - set(self.names)
        raise InputError(
            "found.other_pictures",
            file=self.root,
            expected=len(before),
            added=len(added),
            gone=len(gone),
            image=min(added or gone),
            kept=self.kept.folder,
        )


def find_hands(
    search: Search,
    count: int,
    workers: int = 1,
    progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Have the detector look at pictures that nobody has looked at.

    A picture that ends its process or takes too long is told as unreadable, and so is a damaged
    one.

    Args:
        search: the pictures.
        count: leading ones that are wanted; a part is looked at whole.
        workers: processes.
        progress: told how many further pictures are done.

    Raises:
        InputError: the folder has other pictures than before, somebody else looks for hands in
            them, or what is found cannot be kept.
        LostError: the detector cannot be started.
    """
    search.require_same_pictures()
    folder, total = search.kept.folder, len(search.names)
    starts = range(0, min(count, total), PART)
    missing = [start for start in starts if not search.kept.part(start).exists()]
    absent = set(missing)
    progress(sum(min(PART, total - start) for start in starts if start not in absent))
    if not missing:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = WriterLock(folder)
    except OSError as error:
        raise InputError("found.cannot_keep", file=folder, reason=error.strerror) from error
    try:
        if search.kept.names() is None:
            listed = {"layout": _LAYOUT, "names": list(search.names)}
            _write(folder / LIST, listed)
        _look_at(search, missing, workers, progress)
    finally:
        lock.release()


def _look_at(
    search: Search, starts: Sequence[int], workers: int, progress: Callable[[int], None]
) -> None:
    """Look at parts, and keep each when it is whole."""
    from fitter.workers import DetectionOptions, DetectionPool  # not loaded where all is kept

    total = len(search.names)
    batches: Iterator[list[Task]] = (
        [search.task(place) for place in range(start, min(start + PART, total))]
        for start in starts
    )  # fmt: skip
    with DetectionPool(detector_config(), DetectionOptions(workers=workers)) as pool:
        pool.ready()
        for start, batch in zip(starts, pool.detect(batches), strict=True):
            pairs = zip(batch.tasks, batch.detected, strict=True)
            found = [
                FoundPicture.of(task.name, cast("DetectedImage", seen)) for task, seen in pairs
            ]
            _write(search.kept.part(start), [picture.entry() for picture in found])
            progress(len(found))


def _write(file: Path, content: object) -> None:
    try:
        write_whole(file, json.dumps(content).encode())
    except OSError as error:
        raise InputError("found.cannot_keep", file=file.parent, reason=error.strerror) from error


def find_now(root: Path, place: int, name: str) -> FoundPicture:
    """What the detector finds in one picture, looked for in this process and kept nowhere."""
    return FoundPicture.of(name, _detector().detect(_task(root, place, name)))


def _task(root: Path, place: int, name: str) -> ImageTask:
    return ImageTask(place, name, LocalFile(path_of(root, name)), Intrinsics())


@lru_cache(maxsize=1)
def _detector() -> ImageDetector:
    """Of this process."""
    from fitter.workers import ImageDetector

    return ImageDetector(detector_config(), detects=True)


def detector_config() -> Config:
    """Finding hands as `fit-hands` does, by LiteRT whatever the machine has, and nothing else."""
    return Config.model_validate(
        {
            "detector": {"engine": "litert"},
            "init": {"source": "keypoints"},
            "refine": {"stages": {}},
            "run": {"device": "cpu"},
        }
    )
