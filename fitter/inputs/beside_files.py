"""Folders that mirror the pictures': what is given of ``a/b.jpg`` is ``a/b`` with another ending.

`BesideFolder` finds such files and refuses folders that belong to other pictures. What a file holds
is the affair of who builds on it, such as `fitter.inputs.mask_files.MaskFolder`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import ClassVar, Self

from fitter.errors import InputError
from fitter.inputs.escaped_names import unescaped
from fitter.inputs.images import ImageEntry
from fitter.inputs.names import first_shared_stem

MOST_LISTED = 8
"""Subfolders whose names are remembered; the one not asked for longest is forgotten first."""


@dataclass(frozen=True)
class FolderCodes:
    """Codes of the errors of a kind of folder.

    Attributes:
        no_folder: there is nothing at its place.
        not_a_folder: there is a file.
        unlistable: it, or a part of it, cannot be listed.
        is_the_image: it holds the pictures themselves under the names looked for.
        none: it has a file of none of the pictures.
        shared: one file would belong to two pictures.
    """

    no_folder: str
    not_a_folder: str
    unlistable: str
    is_the_image: str
    none: str
    shared: str


@dataclass(frozen=True)
class BesideFolder:
    """The files of the pictures of a listing, at most one a picture.

    Build it with `open`. It remembers the names in the `MOST_LISTED` subfolders that it was asked
    about last. Pictures in the order of their names need the one they are in and those around it,
    since pictures beside a subfolder stand before and after the ones in it.

    Attributes:
        folder: where the files lie.
        listed: subfolder -> names of all files in it that may count, both relative to `folder`;
            the subfolder asked for last is the last one.
        is_part: whether `listed` is all that there is to know, see `part`.
        suffixes: endings in the order in which they are looked for, each also in capitals.
        codes: of the errors.
    """

    folder: Path
    listed: dict[str, frozenset[str]] = field(default_factory=dict, compare=False)
    is_part: bool = False

    suffixes: ClassVar[tuple[str, ...]]
    codes: ClassVar[FolderCodes]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Raises:
        InputError: there is no such folder.
        """
        folder = Path(folder)
        if not folder.is_dir():
            code = cls.codes.not_a_folder if folder.exists() else cls.codes.no_folder
            raise InputError(code, file=folder)
        return cls(folder)

    def require_for(self, entries: Iterable[ImageEntry]) -> None:
        """Make sure that these are the files of these pictures.

        Args:
            entries: all pictures listed, at least one; can be gone through several times.

        Raises:
            InputError: a part of the folder cannot be listed, it has a file for none of the
                pictures, it holds the pictures themselves under the files' names, or one file
                would belong to two pictures that differ in their ending alone.
        """
        first, found_any = "", False
        for entry in entries:
            first = first or entry.name
            path = self.path_of(entry.name)
            if path and _is_same_file(path, entry.path):
                raise InputError(self.codes.is_the_image, file=self.folder, image=entry.name)
            found_any = found_any or path is not None
        if not found_any:
            wanted = _stem(first) + self.suffixes[0]
            raise InputError(self.codes.none, file=self.folder, wanted=wanted, image=first)
        shared = first_shared_stem(entry.name for entry in entries if self.path_of(entry.name))
        if shared is not None:
            one, other = shared
            path = self.path_of(one)
            name = "" if path is None else path.name
            raise InputError(self.codes.shared, file=self.folder, one=one, other=other, shared=name)

    def path_of(self, name: str) -> Path | None:
        """The file of the picture `name`, None where there was none when its subfolder was listed.

        Raises:
            InputError: the subfolder cannot be listed.
        """
        name = unescaped(name)
        parent = _parent(name)
        names = self.listed.get(parent, frozenset()) if self.is_part else self._names(parent)
        found = next((file for file in self._candidates(_stem(name)) if file in names), None)
        return None if found is None else self.folder / found

    def part(self, names: Sequence[str]) -> Self:
        """What is needed for these pictures; it lists nothing any more.

        Raises:
            InputError: a subfolder cannot be listed.
        """
        listed: dict[str, set[str]] = {}
        for name in names:
            path = self.path_of(name)
            if path is not None:
                file = path.relative_to(self.folder).as_posix()
                listed.setdefault(_parent(unescaped(name)), set()).add(file)
        return replace(self, listed={p: frozenset(n) for p, n in listed.items()}, is_part=True)

    def absolute(self) -> Self:
        """The same for a process in another working directory."""
        return replace(self, folder=self.folder.absolute())

    def _names(self, parent: str) -> frozenset[str]:
        names = self.listed.pop(parent, None)
        if names is None:
            names = self._names_in(parent)
        if len(self.listed) >= MOST_LISTED:
            self.listed.pop(next(iter(self.listed)))
        self.listed[parent] = names
        return names

    def _names_in(self, parent: str) -> frozenset[str]:
        """Names below `folder` of all that lies in one of its subfolders, not further down.

        One listing a folder, where asking for the endings of every picture would be several
        questions a picture. A link to nothing is listed: a file that is missing is not the same as
        none that was meant.
        """
        try:
            with os.scandir(self.folder / parent) as listing:
                return frozenset(
                    str(PurePosixPath(parent, item.name))
                    for item in listing
                    if item.name.lower().endswith(self.suffixes)
                )
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()  # pictures of which nothing is given
        except OSError as error:
            raise InputError(
                self.codes.unlistable, file=self.folder / parent, reason=error.strerror
            ) from error

    def _candidates(self, stem: str) -> Iterator[str]:
        for suffix in self.suffixes:
            yield stem + suffix
            yield stem + suffix.upper()


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _parent(name: str) -> str:
    return str(PurePosixPath(name).parent)


def _is_same_file(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False  # one of them is gone or locked, which reading it will say
