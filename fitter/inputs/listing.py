"""Which pictures a run has, in memory that does not depend on how many they are.

`ImageSource.of` understands what a user may give in the place of the pictures; addresses and tar
files are the affair of `fitter.inputs.elsewhere`. `ImageSource.names` lists them, sorted by code
point and each once, whatever order the disk or a list has them in: an external sort
(`sorted_unique`) keeps one run of names in memory and the others in temporary files.

Text lists
    Files that end in .txt or .lst, and standard input: one path a line, absolute or
    relative to the list's folder (of standard input: to the current one). Blank lines and lines
    that start with # are left out; ``./#a.jpg`` is a picture called ``#a.jpg``. The pictures need
    not be there: what is missing is said when it is read.
Patterns
    Components as of `fnmatch`, and ``**`` for any number of folders. As in a shell, wildcards match
    no name that starts with a dot, and only a component other than ``**`` follows a link to a
    folder.
"""

from __future__ import annotations

import codecs
import contextlib
import fnmatch
import os
import posixpath
import stat
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from fitter.errors import InputError
from fitter.inputs.escaped_names import escaped
from fitter.inputs.names import sorted_unique
from fitter.inputs.picture_formats import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from fitter.inputs.image_files import ImageFiles

LIST_SUFFIXES = (".txt", ".lst")
"""File name endings of text lists, compared in lower case."""

RENDERED = "synthetic.json"
"""In a folder of `synth-hands`, whose masks and depth are no photographs."""

OTHER_ENDINGS = "other endings"
"""Key of `ImageSource.skipped` for the files whose endings were too many to be counted apart."""

_OPEN_FOLDERS = 64
"""Folders open at a time, one inside the other."""

_COUNTED_ENDINGS = 100
"""Endings counted apart. Frames called video.000001 and so on each have their own."""

_LONGEST_LINE = 1 << 15
"""Bytes of a line of a list; the longest paths have 4096. A file without line breaks is no list."""

_ENDINGS = ", ".join(IMAGE_SUFFIXES)

_consumed: TextIO | None = None
"""The standard input that was read: its lines are gone."""


@dataclass(frozen=True)
class ImageSource:
    """Where a run's pictures are: a folder, a picture or several, a pattern, a list, or "-".

    Build it with `ImageSource.of`.

    Attributes:
        root: the folder that names are relative to, see `fitter.inputs.escaped_names.path_of` (an
            absolute name is the path itself).
        title: what the user gave, for messages.
        unsorted: the names in any order and any number of times; it counts into its argument.
        nothing: code of the error that refuses a source without pictures.
        skipped: ending in lower case with its dot, or "no ending" -> number of files that are in
            the folder, or match the pattern, but are no pictures. Complete when `names` has yielded
            its first name. Beyond 100 endings, further ones count as `OTHER_ENDINGS`.
        is_folder: whether all pictures in a folder are meant, those too that come into it later.
        files: where the pictures are by their names, where they are no files below `root`.
        broken: a sentence for each tar file that breaks off. Complete as `skipped` is.
    """

    root: Path
    title: str
    unsorted: Callable[[Counter[str]], Iterator[str]] = field(repr=False)
    nothing: str = field(repr=False)
    skipped: Counter[str] = field(default_factory=Counter, compare=False)
    is_folder: bool = False
    files: ImageFiles | None = None
    broken: list[str] = field(default_factory=list, compare=False)

    @staticmethod
    def of(arguments: Sequence[str], index: Path | None = None) -> ImageSource:
        """What the user's arguments mean.

        Args:
            arguments: one of: a folder, a picture, a pattern (as the user quoted it), a text list,
                "-" for a list on standard input; or several pictures (a pattern that the shell
                expanded), which count as a list relative to the current folder. All of them may be
                addresses, and tar files in place of pictures.
            index: folder in which to keep where the members of tar files are, or None.

        Raises:
            InputError: there is nothing at a single argument, it is a file of another kind, the
                folder in front of a pattern is missing, one of several arguments is no picture, or
                the folder is one of rendered samples.
        """
        from fitter.inputs.elsewhere import source_elsewhere  # it makes sources too

        elsewhere = source_elsewhere(arguments, index)
        if elsewhere is not None:
            return elsewhere
        if len(arguments) != 1:
            return _of_several(arguments)
        given, path = arguments[0], Path(arguments[0])
        if given == "-":
            return _of_list(Path(), "standard input", _standard_input)
        mode = _mode(given)
        if mode is None:
            if has_wildcard(given):
                return _of_pattern(given)
            raise InputError("list.nothing_there", file=path)
        if stat.S_ISDIR(mode):
            if (path / RENDERED).is_file():
                raise InputError("list.rendered", file=path, folder=path)
            read = partial(pictures, path, ("**",))
            return ImageSource(path, str(path), read, "list.empty_folder", is_folder=True)
        if path.suffix.lower() in LIST_SUFFIXES:
            return _of_list(path.parent, str(path), lambda: path.open("rb"))
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise InputError("list.ending", file=path, endings=_ENDINGS, found=path.suffix)
        name = escaped(path.name)
        return ImageSource(path.parent, str(path), lambda skipped: iter([name]), "list.empty")

    def names(self, scratch: Path | None = None) -> Iterator[str]:
        """The pictures' names, sorted by code point, each once.

        Everything is read before the first name comes, and all errors are raised by then, none
        before the first name is asked for. May be called again, but not for standard input.

        Args:
            scratch: folder for the temporary files of a long listing, by default the system's.

        Yields:
            Names with forward slashes, relative to `root` or absolute. The same name twice is one
            picture; two names of the same file are two.

        Raises:
            InputError: a folder or a list cannot be read, a line of a list is no path of a picture,
                there is no picture, or `scratch` is full.
        """
        self.skipped.clear()
        with contextlib.closing(sorted_unique(self.unsorted(self.skipped), scratch)) as ordered:
            first = next(ordered, None)
            if first is None and self.skipped[".tar"]:
                raise InputError("list.only_shards", file=self.title, folder=self.title)
            if first is None:
                raise InputError(self.nothing, file=self.title, endings=_ENDINGS)
            yield first
            yield from ordered


def _of_several(arguments: Sequence[str]) -> ImageSource:
    for given in arguments:
        mode = _mode(given)
        ending = _ending(_normalised(given))
        found = None
        if given == "-":
            found = "standard input"
        elif mode is not None and stat.S_ISDIR(mode):
            found = "a folder"
        elif ending in LIST_SUFFIXES:
            found = "a list"
        elif mode is None and has_wildcard(given):
            found = "a pattern"
        elif ending not in IMAGE_SUFFIXES:
            found = f"a name that ends in {ending!r}"
        if found:
            raise InputError("list.one_of_several", file=given, endings=_ENDINGS, found=found)
    names = tuple(escaped(_normalised(given)) for given in arguments)
    title = f"{len(names)} arguments"
    return ImageSource(Path(), title, lambda skipped: iter(names), "list.no_arguments")


def _of_pattern(pattern: str) -> ImageSource:
    parts = Path(pattern).parts
    literal = next(i for i, part in enumerate(parts) if has_wildcard(part))
    root = Path(*parts[:literal])
    if not root.is_dir():
        raise InputError("list.no_folder", file=pattern, folder=str(root))
    read = partial(pictures, root, parts[literal:])
    return ImageSource(root, pattern, read, "list.no_match")


def _of_list(
    root: Path, title: str, opened: Callable[[], AbstractContextManager[BinaryIO]]
) -> ImageSource:
    return ImageSource(root, title, partial(_listed, opened, title), "list.empty")


def _mode(given: str) -> int | None:
    """The file mode at a path, None where there is nothing."""
    try:
        return Path(given).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        # Some systems allow no wildcards in a path, and a pattern may be longer than any path.
        if has_wildcard(given):
            return None
        raise InputError("list.unreachable", file=given, reason=error.strerror) from error


def has_wildcard(text: str) -> bool:
    """Whether a text is meant as a pattern, if it is not the name of something."""
    return any(character in text for character in "*?[")


def _ending(name: str) -> str:
    """What `Path.suffix` says in lower case, many times faster; `name` may have folders before."""
    stem, _, ending = name[name.rfind("/") + 1 :].rpartition(".")
    return f".{ending.lower()}" if stem and ending else ""


def _normalised(path: str) -> str:
    return posixpath.normpath(path.replace(os.sep, "/"))


@contextlib.contextmanager
def _standard_input() -> Iterator[BinaryIO]:
    global _consumed
    if sys.stdin is None:
        raise InputError("list.closed", file="standard input")
    if sys.stdin is _consumed:
        raise RuntimeError("standard input was read before")
    _consumed = sys.stdin
    yield sys.stdin.buffer


def _listed(
    opened: Callable[[], AbstractContextManager[BinaryIO]], title: str, skipped: Counter[str]
) -> Iterator[str]:
    """Names in a text list; `skipped` stays as it is, since other endings are refused here."""
    try:
        with opened() as file:
            lines = iter(partial(file.readline, _LONGEST_LINE), b"")
            for number, line in enumerate(lines, start=1):
                content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                name = name_in_line(content, f"{title}, line {number}")
                if name is not None:
                    yield name
    except OSError as error:
        raise InputError("list.unreadable", file=title, reason=error.strerror) from error


def name_in_line(line: bytes, where: str) -> str | None:
    """The name that a line of a list holds, None for a line without one."""
    if len(line) >= _LONGEST_LINE:
        raise InputError("list.long_line", file=where, length=_LONGEST_LINE)
    text = line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
    if not text.strip() or text.startswith("#"):
        return None
    last = text.replace(os.sep, "/").rpartition("/")[2]
    if last in ("", ".", ".."):
        raise InputError("list.line_is_folder", file=where, endings=_ENDINGS, found=text)
    if _ending(last) not in IMAGE_SUFFIXES or "\0" in text:
        raise InputError("list.line_is_no_image", file=where, endings=_ENDINGS, found=text)
    return escaped(_normalised(text))


def pictures(root: Path, parts: Sequence[str], skipped: Counter[str]) -> Iterator[str]:
    """Names of the pictures below a folder that the components of a pattern match.

    Args:
        root: the folder.
        parts: components of the pattern, see `walk`.
        skipped: gets a count of the other files that match, by ending.

    Raises:
        InputError: a folder cannot be listed.
    """
    for name in walk(root, parts):
        ending = _ending(name)
        if ending in IMAGE_SUFFIXES:
            yield escaped(name)
        else:
            kind = ending or "no ending"
            full = len(skipped) >= _COUNTED_ENDINGS and kind not in skipped
            skipped[OTHER_ENDINGS if full else kind] += 1


def walk(root: Path, parts: Sequence[str]) -> Iterator[str]:
    """Names of the files below `root` that the components of a pattern match, in any order.

    A folder stays open while those in it are walked, so that neither files nor folders pile up;
    folders below `_OPEN_FOLDERS` open ones have to wait.
    """
    waiting = [("", _with_skips({0}, parts))]
    # Of each open folder: what stands before its names, the components its names may match, and
    # what was not looked at yet.
    stack: list[tuple[str, set[int], Generator[os.DirEntry[str], None, None]]] = []
    try:
        while waiting or stack:
            if not stack:
                prefix, open_parts = waiting.pop()
                stack.append((prefix, open_parts, _entries(root, prefix)))
            prefix, open_parts, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                continue
            matching = [i for i in open_parts if _matches(parts[i], entry.name)]
            if not matching:
                continue
            if not _is_folder(entry):
                if len(parts) - 1 in matching:
                    yield prefix + entry.name
            elif inside := _parts_inside(entry, matching, parts):
                below = f"{prefix}{entry.name}/"
                if len(stack) < _OPEN_FOLDERS:
                    stack.append((below, inside, _entries(root, below)))
                else:
                    waiting.append((below, inside))
    finally:
        for *_, entries in stack:
            entries.close()


def _entries(root: Path, prefix: str) -> Generator[os.DirEntry[str], None, None]:
    folder = Path(root, prefix)
    try:
        with os.scandir(folder) as listing:
            yield from listing
    except OSError as error:
        raise InputError("list.unlistable", file=folder, reason=error.strerror) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads nowhere, which reading it will say


def _matches(part: str, name: str) -> bool:
    if name.startswith(".") and not part.startswith("."):
        return False
    return part == "**" or fnmatch.fnmatch(name, part)


def _parts_inside(
    entry: os.DirEntry[str], matching: Iterable[int], parts: Sequence[str]
) -> set[int]:
    """Which components the names in a folder may match, when its own name matches `matching`."""
    inside = set()
    for i in matching:
        if parts[i] != "**":
            inside.add(i + 1)
        elif not entry.is_symlink():
            inside.add(i)
    return _with_skips(inside, parts)


def _with_skips(indices: set[int], parts: Sequence[str]) -> set[int]:
    """`indices` of components, and those behind a ``**``, which may stand for no folder at all."""
    reached = set()
    for i in indices:
        while i < len(parts):
            reached.add(i)
            if parts[i] != "**":
                break
            i += 1
    return reached
