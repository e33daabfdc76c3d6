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
import os
import posixpath
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from fitter.errors import InputError
from fitter.inputs.escaped_names import escaped
from fitter.inputs.frame_names import VIDEO_SUFFIXES
from fitter.inputs.names import sorted_unique
from fitter.inputs.picture_formats import IMAGE_SUFFIXES
from fitter.inputs.walking import walk

if TYPE_CHECKING:
    from fitter.inputs.image_files import ImageFiles
    from fitter.inputs.videos import VideoOptions

LIST_SUFFIXES = (".txt", ".lst")
"""File name endings of text lists, compared in lower case."""

RENDERED = "synthetic.json"
"""In a folder of `synth-hands`, whose masks and depth are no photographs."""

OTHER_ENDINGS = "other endings"
"""Key of `ImageSource.skipped` for the files whose endings were too many to be counted apart."""

_COUNTED_ENDINGS = 100
"""Endings counted apart. Frames called video.000001 and so on each have their own."""

_LONGEST_LINE = 1 << 15
"""Bytes of a line of a list; the longest paths have 4096. A file without line breaks is no list."""

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
        broken: a sentence for each tar file or video that breaks off. Complete as `skipped` is.
        endings: of what is taken.
        frames: "frames" -> number of listed frames of videos. Complete as `skipped` is.
    """

    root: Path
    title: str
    unsorted: Callable[[Counter[str]], Iterator[str]] = field(repr=False)
    nothing: str = field(repr=False)
    skipped: Counter[str] = field(default_factory=Counter, compare=False)
    is_folder: bool = False
    files: ImageFiles | None = None
    broken: list[str] = field(default_factory=list, compare=False)
    endings: tuple[str, ...] = IMAGE_SUFFIXES
    frames: Counter[str] = field(default_factory=Counter, compare=False)

    @staticmethod
    def of(
        arguments: Sequence[str], index: Path | None = None, videos: VideoOptions | None = None
    ) -> ImageSource:
        """What the user's arguments mean.

        Args:
            arguments: one of: a folder, a picture, a pattern (as the user quoted it), a text list,
                "-" for a list on standard input; or several pictures (a pattern that the shell
                expanded), which count as a list relative to the current folder. All of them may be
                addresses, and tar files in place of pictures.
            index: folder in which to keep where the members of tar files are, or None.
            videos: how the frames of videos and animated pictures are taken, each a picture of its
                own; None where videos are no pictures. Only files of this machine are videos.

        Raises:
            InputError: there is nothing at a single argument, it is a file of another kind, the
                folder in front of a pattern is missing, one of several arguments is no picture, or
                the folder is one of rendered samples.
        """
        from fitter.inputs.elsewhere import source_elsewhere  # it makes sources too

        # An address of a file of this machine is its path.
        arguments = [given.removeprefix("file://") for given in arguments]
        elsewhere = source_elsewhere(arguments, index)
        if elsewhere is not None:
            return elsewhere
        if videos is None:
            return _of_files(arguments, IMAGE_SUFFIXES)
        from fitter.inputs.videos import with_frames  # it makes sources too

        return with_frames(_of_files(arguments, (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)), videos)

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
                raise InputError(self.nothing, file=self.title, endings=_shown(self.endings))
            yield first
            yield from ordered


def _of_files(arguments: Sequence[str], endings: tuple[str, ...]) -> ImageSource:
    """The source of arguments that are files and folders of this machine."""
    if len(arguments) != 1:
        return _of_several(arguments, endings)
    given, path = arguments[0], Path(arguments[0])
    if given == "-":
        return _of_list(Path(), "standard input", _standard_input, endings)
    mode = _mode(given)
    if mode is None:
        if has_wildcard(given):
            return _of_pattern(given, endings)
        raise InputError("list.nothing_there", file=path)
    if stat.S_ISDIR(mode):
        if (path / RENDERED).is_file():
            raise InputError("list.rendered", file=path, folder=path)
        read = partial(pictures, path, ("**",), endings=endings)
        title = str(path)
        return ImageSource(path, title, read, "list.empty_folder", is_folder=True, endings=endings)
    if path.suffix.lower() in LIST_SUFFIXES:
        return _of_list(path.parent, str(path), lambda: path.open("rb"), endings)
    if path.suffix.lower() not in endings:
        raise InputError("list.ending", file=path, endings=_shown(endings), found=path.suffix)
    name = escaped(path.name)
    one = lambda skipped: iter([name])  # noqa: E731
    return ImageSource(path.parent, str(path), one, "list.empty", endings=endings)


def _of_several(arguments: Sequence[str], endings: tuple[str, ...]) -> ImageSource:
    for given in arguments:
        mode = _mode(given)
        ending = ending_of(_normalised(given))
        found = None
        if given == "-":
            found = "standard input"
        elif mode is not None and stat.S_ISDIR(mode):
            found = "a folder"
        elif ending in LIST_SUFFIXES:
            found = "a list"
        elif mode is None and has_wildcard(given):
            found = "a pattern"
        elif ending not in endings:
            found = f"a name that ends in {ending!r}"
        if found:
            shown = _shown(endings)
            raise InputError("list.one_of_several", file=given, endings=shown, found=found)
    names = tuple(escaped(_normalised(given)) for given in arguments)
    title = f"{len(names)} arguments"
    read = lambda skipped: iter(names)  # noqa: E731
    return ImageSource(Path(), title, read, "list.no_arguments", endings=endings)


def _of_pattern(pattern: str, endings: tuple[str, ...]) -> ImageSource:
    parts = Path(pattern).parts
    literal = next(i for i, part in enumerate(parts) if has_wildcard(part))
    root = Path(*parts[:literal])
    if not root.is_dir():
        raise InputError("list.no_folder", file=pattern, folder=str(root))
    read = partial(pictures, root, parts[literal:], endings=endings)
    return ImageSource(root, pattern, read, "list.no_match", endings=endings)


def _of_list(
    root: Path,
    title: str,
    opened: Callable[[], AbstractContextManager[BinaryIO]],
    endings: tuple[str, ...],
) -> ImageSource:
    read = partial(_listed, opened, title, endings=endings)
    return ImageSource(root, title, read, "list.empty", endings=endings)


def _shown(endings: tuple[str, ...]) -> str:
    """Endings as messages have them; those of videos are too many to be all told."""
    pictures = ", ".join(ending for ending in endings if ending not in VIDEO_SUFFIXES)
    return f"{pictures}; videos such as .mp4" if VIDEO_SUFFIXES[0] in endings else pictures


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


def ending_of(name: str) -> str:
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
    opened: Callable[[], AbstractContextManager[BinaryIO]],
    title: str,
    skipped: Counter[str],
    endings: tuple[str, ...],
) -> Iterator[str]:
    """Names in a text list; `skipped` stays as it is, since other endings are refused here."""
    try:
        with opened() as file:
            lines = iter(partial(file.readline, _LONGEST_LINE), b"")
            for number, line in enumerate(lines, start=1):
                content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                name = name_in_line(content, f"{title}, line {number}", endings)
                if name is not None:
                    yield name
    except OSError as error:
        raise InputError("list.unreadable", file=title, reason=error.strerror) from error


def name_in_line(line: bytes, where: str, endings: tuple[str, ...] = IMAGE_SUFFIXES) -> str | None:
    """The name that a line of a list holds, None for a line without one."""
    if len(line) >= _LONGEST_LINE:
        raise InputError("list.long_line", file=where, length=_LONGEST_LINE)
    text = line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
    if not text.strip() or text.startswith("#"):
        return None
    last = text.replace(os.sep, "/").rpartition("/")[2]
    if last in ("", ".", ".."):
        raise InputError("list.line_is_folder", file=where, endings=_shown(endings), found=text)
    if ending_of(last) not in endings or "\0" in text:
        shown = _shown(endings)
        raise InputError("list.line_is_no_image", file=where, endings=shown, found=text)
    return escaped(_normalised(text))


def pictures(
    root: Path,
    parts: Sequence[str],
    skipped: Counter[str],
    endings: tuple[str, ...] = IMAGE_SUFFIXES,
) -> Iterator[str]:
    """Names of the pictures below a folder that the components of a pattern match.

    Args:
        root: the folder.
        parts: components of the pattern, see `walk`.
        skipped: gets a count of the other files that match, by ending.
        endings: of what is taken.

    Raises:
        InputError: a folder cannot be listed.
    """
    for name in walk(root, parts):
        ending = ending_of(name)
        if ending in endings:
            yield escaped(name)
        else:
            count_skipped(skipped, ending)


def count_skipped(skipped: Counter[str], ending: str) -> None:
    """Count a file that is left out by its ending, which may be empty."""
    kind = ending or "no ending"
    full = len(skipped) >= _COUNTED_ENDINGS and kind not in skipped
    skipped[OTHER_ENDINGS if full else kind] += 1
