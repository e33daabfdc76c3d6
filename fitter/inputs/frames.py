"""Which frames a run with several views has: the images of all cameras, put together by name.

A camera's images are in a folder, or match a pattern, below the folder of all images. Images of
several cameras are one frame where what is left of their names is equal:

a folder (``left``)
    the path in it without the ending: ``left/take1/0001.png`` is of the frame ``take1/0001``.
a pattern with ``{frame}`` (``{frame}_left.png``, ``take1/{frame}/cam0.jpg``)
    what stands in the place of ``{frame}``, which has no slash.
any other pattern (``cam0/**/*.png``)
    the path behind the folders that come before the first wildcard, without the ending.

Listing takes memory that does not depend on how many images there are, as in
`fitter.inputs.listing`.
"""

from __future__ import annotations

import contextlib
import fnmatch
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fitter.errors import InputError
from fitter.inputs.listing import has_wildcard, pictures
from fitter.inputs.names import sorted_unique
from fitter.inputs.picture_formats import IMAGE_SUFFIXES
from fitter.inputs.rig_files import RigFile
from fitter.rig import BETWEEN, FrameNames

FIELD = "{frame}"


class _Entry(NamedTuple):
    frame: str
    view: int
    image: str

    @property
    def text(self) -> str:
        return BETWEEN.join((self.frame, f"{self.view:06d}", self.image))

    @classmethod
    def of_text(cls, text: str) -> _Entry:
        frame, view, image = text.split(BETWEEN)
        return cls(frame, int(view), image)


@dataclass(frozen=True)
class FrameSource:
    """Where a run's frames are.

    Build it with `FrameSource.of`.

    Attributes:
        root: the folder that names of images are relative to.
        file: the rig file.
        skipped: ending -> number of files among the images that are none; complete when `names`
            has yielded its first name.
    """

    root: Path
    file: RigFile
    skipped: Counter[str] = field(default_factory=Counter, compare=False)

    is_folder = True
    files = None
    broken: tuple[str, ...] = ()

    @staticmethod
    def of(folder: str, file: RigFile) -> FrameSource:
        """The frames in a folder.

        Raises:
            InputError: there is no such folder (`frames.no_folder`), or none for a camera
                (`rig.no_folder`); or brackets of a pattern hold the field
                (`rig.field_in_brackets`).
        """
        root = Path(folder)
        if not root.is_dir():
            raise InputError("frames.no_folder", file=folder)
        for camera, place in zip(file.rig.names, file.images, strict=True):
            if not _is_pattern(place) and not (root / place).is_dir():
                where = f"{file.path}, camera {camera!r}"
                raise InputError("rig.no_folder", file=where, folder=root / place)
            if FIELD in place and "frame" not in _frame_finder(Path(place).parts).groupindex:
                where = f"{file.path}, camera {camera!r}"
                raise InputError("rig.field_in_brackets", file=where, found=place)
        return FrameSource(root, file)

    @property
    def title(self) -> str:
        """What the user gave, for messages."""
        return str(self.root)

    def names(self, scratch: Path | None = None) -> Iterator[str]:
        """The texts of `FrameNames` of all frames, sorted by the frames' names, each once.

        Args:
            scratch: folder for the temporary files of a long listing, by default the system's.

        Raises:
            InputError: a camera has no image (`rig.no_image`), two of one frame
                (`frames.two_images`), or another's (`frames.image_twice`); no two cameras have a
                frame in common (`frames.none_shared`); or a folder cannot be listed, see
                `fitter.inputs.listing`.
        """
        self.skipped.clear()
        views = len(self.file.rig)
        shared = 0
        with contextlib.closing(sorted_unique(self._texts(), scratch)) as ordered:
            entries = map(_Entry.of_text, ordered)
            for frame, group in itertools.groupby(entries, key=lambda entry: entry.frame):
                images = [""] * views
                for entry in group:
                    self._require_one(entry, images)
                    images[entry.view] = entry.image
                shared += sum(map(bool, images)) > 1
                yield FrameNames(frame, tuple(images)).text
        if views > 1 and not shared:
            first, second = (self._example(view) for view in (0, 1))
            raise InputError("frames.none_shared", file=self.root, first=first, second=second)

    def _require_one(self, entry: _Entry, images: list[str]) -> None:
        """Refuse an image of a frame that has one of that camera, or has it of another camera."""
        names = self.file.rig.names
        if entry.image in images:
            one = names[images.index(entry.image)]
            other = names[entry.view]
            raise InputError(
                "frames.image_twice", file=self.root, image=entry.image, one=one, other=other
            )
        if images[entry.view]:
            camera, other = names[entry.view], images[entry.view]
            raise InputError(
                "frames.two_images",
                file=self.root,
                camera=camera,
                frame=entry.frame,
                one=other,
                other=entry.image,
            )

    def _texts(self) -> Iterator[str]:
        for view, camera in enumerate(self.file.rig.names):
            count = 0
            for entry in self._entries(view):
                if BETWEEN in entry.image:
                    raise InputError("frames.name", file=self.root, found=repr(entry.image))
                count += 1
                yield entry.text
            if not count:
                where = f"{self.file.path}, camera {camera!r}"
                place, endings = self.file.images[view], ", ".join(IMAGE_SUFFIXES)
                code = "rig.no_match" if _is_pattern(place) else "rig.no_image"
                raise InputError(code, file=where, found=self.root / place, endings=endings)

    def _entries(self, view: int) -> Iterator[_Entry]:
        """A camera's images in any order."""
        place = PurePosixPath(self.file.images[view])
        if not _is_pattern(str(place)):
            for name in pictures(self.root / place, ("**",), self.skipped):
                frame = str(PurePosixPath(name).with_suffix(""))
                yield _Entry(frame, view, str(place / name))
            return
        literal = next(i for i, part in enumerate(place.parts) if _is_pattern(part))
        before, parts = PurePosixPath(*place.parts[:literal]), place.parts[literal:]
        frame_of = _frame_finder(parts) if FIELD in str(place) else None
        if not (self.root / before).is_dir():
            return
        wild = [part.replace(FIELD, "*") for part in parts]
        for name in pictures(self.root / before, wild, self.skipped):
            if frame_of is None:
                own = str(PurePosixPath(name).with_suffix(""))
            elif found := frame_of.fullmatch(name):
                own = found["frame"]
            else:
                continue  # nothing stands in the place of the field
            yield _Entry(own, view, str(before / name))

    def _example(self, view: int) -> str:
        entry = next(iter(self._entries(view)))
        return f"{entry.frame!r} of {self.file.rig.names[view]!r}"


def _is_pattern(place: str) -> bool:
    return has_wildcard(place) or FIELD in place


def _frame_finder(parts: tuple[str, ...]) -> re.Pattern[str]:
    """What matches the names that a pattern's components match, and finds the frame in them."""
    pieces = ["(?:[^/]+/)*" if part == "**" else _component(part) + "/" for part in parts[:-1]]
    last = "(?:[^/]+/)*[^/]+" if parts[-1] == "**" else _component(parts[-1])
    return re.compile("".join(pieces) + last, re.DOTALL)


def _component(part: str) -> str:
    """A component of a pattern, as `fnmatch` takes it, as a regular expression without slashes."""
    found = ""
    for piece in re.split(r"(\{frame\}|\[!?\]?[^\]]*\]|\*|\?)", part):
        if piece == FIELD:
            found += "(?P<frame>[^/]+)"
        elif piece == "*":
            found += "[^/]*"
        elif piece == "?":
            found += "[^/]"
        elif len(piece) > 2 and piece.startswith("[") and piece.endswith("]"):
            # `fnmatch.translate` gives (?s:...) and the end of the text.
            found += fnmatch.translate(piece).removeprefix("(?s:").rpartition(")")[0]
        else:
            found += re.escape(piece)
    return found
