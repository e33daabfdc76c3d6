"""What a file says of images by their names, or by patterns that names match.

What is said of a video holds for its frames, where nothing is said of a frame by its own name.
A name of its own goes before patterns, also where it could be a pattern itself, such as
``hand[1].jpg``; ``*`` in a pattern is any number of characters, slashes too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

from fitter.errors import InputError
from fitter.inputs.frame_names import entry_of, frame_name, names_of, video_of

Value = TypeVar("Value")

_WILD = frozenset("*?[")

_PARTS = re.compile(r"\[!?+\]?+[^\]]*+\]|.", re.DOTALL)
"""Of a pattern, each of which is any number of characters or one, as `fnmatch` has them."""


@dataclass(frozen=True)
class ByImage(Generic[Value]):
    """Values of the images of a listing.

    Attributes:
        path: the file that says them, for messages.
        entries: by the name of an image or a pattern, in the order of the file.
        no_image, two_patterns: codes of the errors of `require_for` and `of`.
    """

    path: Path
    entries: Mapping[str, Value]
    no_image: str
    two_patterns: str

    @cached_property
    def _patterns(self) -> list[str]:
        return [entry for entry in self.entries if _WILD & set(entry)]

    def require_for(self, names: Iterable[str]) -> None:
        """Refuse a file that speaks of other images.

        Args:
            names: of all images.

        Raises:
            InputError: a name or pattern in the file matches no image; or an image matches two
                patterns that say different things, and has no entry of its own.
        """
        unmatched = set(self.entries)
        example = ""
        for name in names:
            example = example or name
            unmatched.difference_update(names_of(name))
            unmatched.difference_update(self._matching(name))
            self.of(name)
        if unmatched:
            first = next(entry for entry in self.entries if entry in unmatched)
            raise InputError(self.no_image, file=self.path, found=first, image=example)

    def require_for_video(self, video: str) -> None:
        """`require_for` of the frames of a video of which nobody knows how many there will be.

        Args:
            video: its name.

        Raises:
            InputError: a name or pattern in the file cannot match a frame of the video.
        """
        for entry in self.entries:
            frame = video_of(entry)
            if entry == video or (frame is not None and frame[0] == video):
                continue
            if entry in self._patterns and (
                fnmatchcase(video, entry) or _may_match_a_frame(entry, video)
            ):
                continue
            raise InputError(self.no_image, file=self.path, found=entry, image=frame_name(video, 0))

    def of(self, name: str) -> Value | None:
        """What is said of an image, or None where nothing is.

        Raises:
            InputError: two patterns say different things of it.
        """
        found = self.entries_of(name)
        values = [self.entries[pattern] for pattern in found]
        if any(value != values[0] for value in values):
            raise InputError(self.two_patterns, file=self.path, image=name, found=found)
        return values[0] if values else None

    def entries_of(self, name: str) -> list[str]:
        """Its own name, its video's, or the patterns that one of them matches."""
        own = entry_of(self.entries, name)
        return self._matching(name) if own is None else [own]

    def _matching(self, name: str) -> list[str]:
        names = names_of(name)
        return [p for p in self._patterns if any(fnmatchcase(name, p) for name in names)]


def _may_match_a_frame(pattern: str, video: str) -> bool:
    """Whether a pattern matches the name of a frame of a video, whatever the frame's number."""
    parts = _PARTS.findall(pattern)
    first = frame_name(video, 0)
    number = len(first) - len(video) - 1

    def past_stars(places: Iterable[int]) -> set[int]:
        """The places in the pattern, and those after stars, which may be nothing."""
        found = set(places)
        for place in range(len(parts)):
            if place in found and parts[place] == "*":
                found.add(place + 1)
        return found

    places = past_stars([0])
    for possible in (*first[:-number], *["0123456789"] * number):
        after = set()
        for place in places - {len(parts)}:
            part = parts[place]
            if part == "*":
                after.add(place)
            elif any(fnmatchcase(character, part) for character in possible):
                after.add(place + 1)
        places = past_stars(after)
    return len(parts) in places
