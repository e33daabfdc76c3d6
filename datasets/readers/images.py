"""A folder of pictures that nobody has annotated: its hands are those that our detector finds.

Pictures are all that `fit-hands DIR` takes: those of the folder and of the folders below it, in any
format that is read. Of each hand there are side, 2D keypoints where the detector marks them, their
confidence, and its score; nothing in 3D. K is as `fit-hands` takes it without an option, from EXIF
or that of a usual lens, and each hand has it (`AnnotatedHand.intrinsics`): nobody has calibrated
the camera, so the picture has none.

With a folder to keep them in, hands are found once (`FoundImages.find`) and read from there;
without one a picture's hands are found when its annotation is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from datasets.annotations import AnnotatedDefinition, AnnotatedHand, AnnotatedImages, Annotation
from datasets.readers.found_hands import (
    FoundPicture,
    FoundSummary,
    KeptHands,
    Search,
    find_hands,
    find_now,
)
from datasets.readers.names import PackedNames
from fitter.errors import InputError
from fitter.inputs.escaped_names import path_of
from fitter.inputs.listing import ImageSource


@dataclass(frozen=True)
class FoundImages(AnnotatedImages):
    """Pictures and the hands that were found in them. Build it with `open_images`.

    Attributes:
        split: the folder where found hands are kept; empty for nowhere.
    """

    root: Path
    split: str
    names: PackedNames
    dataset: str = "images"
    definition: AnnotatedDefinition = "mediapipe"
    has_intrinsics: bool = False
    is_detected: bool = True

    def annotation(self, place: int) -> Annotation:
        """See `AnnotatedImages.annotation`; without a folder of found hands it looks for them.

        A picture is another one where its file has another length: times change with every copy.

        Raises:
            InputError: the picture could not be read, has changed since, or nobody has looked at
                it (`find`).
        """
        found = self._found(place)
        stamp = self.file(place).stamp()
        if stamp is not None and stamp[0] != found.length:
            raise InputError(
                "found.changed",
                file=self.path(place),
                expected=found.length,
                found=stamp[0],
                kept=self.split,
            )
        if found.error:
            raise InputError("found.unreadable", file=self.path(place), reason=found.error)
        hands = tuple(
            AnnotatedHand(
                side=hand.side,
                keypoints_2d=hand.keypoints,
                keypoints_3d=np.full((21, 3), np.nan),
                confidence=hand.confidence,
                score=float(hand.score),
                intrinsics=found.intrinsics,
            )
            for hand in found.hands
        )
        return Annotation(self.names[place], None, hands, size=found.size)

    def find(
        self,
        count: int | None = None,
        workers: int = 1,
        progress: Callable[[int], None] = lambda count: None,
    ) -> FoundSummary:
        """Have hands found that nobody has looked for yet, and keep them in the folder `split`.

        Args:
            count: leading pictures; None for all.
            workers: processes.
            progress: told how many further pictures are done.

        Returns:
            What is known of these pictures.

        Raises:
            InputError: there is no hand in them (`found.no_hands`), no folder to keep them in
                (`found.nowhere`), or see `find_hands`.
        """
        if not self.split:
            raise InputError("found.nowhere", file=self.root)
        kept = KeptHands(Path(self.split))
        count = len(self) if count is None else min(count, len(self))
        find_hands(Search(self.root, listed(self.root), kept), count, workers, progress)
        summary = FoundSummary()
        for place in range(count):
            summary.add(kept.picture(place, self.names[place]))
        if summary.hands == 0:
            unread = len(summary.unreadable)
            reason = f", the first because {summary.unreadable[0]}" if unread else ""
            raise InputError(
                "found.no_hands", file=self.root, count=count, unread=unread, reason=reason
            )
        return summary

    def path(self, place: int) -> Path:
        """See `AnnotatedImages`."""
        return path_of(self.root, self.names[place])

    def _found(self, place: int) -> FoundPicture:
        name = self.names[place]
        if self.split:
            return KeptHands(Path(self.split)).picture(place, name)
        return _found_now(self.root, place, name, self.file(place).stamp())


def open_images(root: Path, split: str) -> FoundImages:
    """Open a folder of pictures.

    Args:
        root: the folder; pictures are listed in it and in the folders below.
        split: folder in which found hands are kept, absolute or relative to the current one;
            nothing for none.

    Raises:
        InputError: there is no such folder, it is a file, or it has no pictures.
    """
    root = require_pictures_folder(root)
    kept = KeptHands(Path(split)).names() if split else None
    return FoundImages(root, split, PackedNames.of(listed(root) if kept is None else kept))


def require_pictures_folder(path: Path) -> Path:
    """The folder, which is there.

    Raises:
        InputError: `found.no_folder`: it is not, or is a file.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError("found.no_folder", file=path, found="a file" if path.exists() else "none")
    return path


def listed(root: Path) -> list[str]:
    """Names of the pictures in a folder, sorted."""
    return list(ImageSource.of([str(root)]).names())


@lru_cache(maxsize=256)
def _found_now(root: Path, place: int, name: str, stamp: tuple[int, float] | None) -> FoundPicture:
    """The last ones are remembered while their files stay the same: looking takes a second."""
    return find_now(root, place, name)
