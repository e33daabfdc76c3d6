"""Images in tar files, as webdataset and `tar` make them, read member by member where they lie.

Shards are given as one or several ``.tar`` files, on this machine or at addresses; as a pattern,
with ``*`` or with ``{000..004}`` and ``{a,b}``; or as a text list of them. An image's name is that
of its shard, relative to the folder that all shards have in common, and its own in the shard:
``000.tar/session1/a.jpg``.

Of a sample ``key.jpg``, ``key.mask.png``, ``key.json`` the image is the one whose ending is all
that stands behind the key; where there is none, as of ``key.rgb.png``, every image counts.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from fitter.errors import InputError
from fitter.inputs.addresses import check_line, file_system, is_address, read_part, said_of
from fitter.inputs.escaped_names import escaped, unescaped
from fitter.inputs.image_files import FilePart, ImageFile, ImagesAlone, MissingFile
from fitter.inputs.listing import has_wildcard
from fitter.inputs.picture_formats import IMAGE_SUFFIXES
from fitter.inputs.sidecars import SIDECAR_SUFFIXES, Sidecar
from fitter.inputs.tar_index import Member, TarIndex, tar_index
from fitter.inputs.walking import walk

SHARD_SUFFIX = ".tar"
"""Ending of a shard, compared in lower case."""

_HELD = 4
"""Indices of shards in memory; images in the order of their names need one after the other."""

_LONGEST_LINE = 1 << 15
"""Bytes of a line of a list."""

_SHARD_END = re.compile(re.escape(SHARD_SUFFIX) + "/", re.IGNORECASE)

_RANGE = re.compile(r"(\d+)\.\.(\d+)")


@dataclass(frozen=True)
class ShardFiles(ImagesAlone):
    """The images in shards.

    Attributes:
        places: name of a shard in the images' names -> an address, or a path.
        index: folder in which the shards' indices are kept, or None.
        held: indices used last, by the shard's name.
    """

    places: dict[str, str]
    index: Path | None
    held: dict[str, TarIndex] = field(default_factory=dict, compare=False, repr=False)

    def names(self, skipped: Counter[str], broken: list[str]) -> Iterator[str]:
        """The images' names, shard by shard, from indices that are of the shards as they are now.

        Args:
            skipped: gets the number of other files by ending, or by what they are.
            broken: gets a sentence for each shard that breaks off.

        Raises:
            InputError: a shard is missing or cannot be read, or none of those that break off has
                an image.
        """
        self.held.clear()
        broken.clear()
        found_any = False
        for shard, place in self.places.items():
            index = tar_index(place, self.index)
            if index.broken:
                broken.append(index.broken)
            images = image_members(index)
            beside = {name_beside(index, name, SIDECAR_SUFFIXES) for name in images}
            skipped.update(index.left_out)
            for name in index.members.keys() - images - beside:
                if not _is_hidden(name):
                    skipped[_endings(name)[1] or "no ending"] += 1
            for name in images:
                found_any = True
                yield escaped(f"{shard}/{name}")
        if broken and not found_any:
            raise InputError("shard.none_whole", reason=broken[0])

    def file_of(self, name: str) -> ImageFile:
        """The image of this name."""
        on_disk = unescaped(name)
        ends = (match.end() - 1 for match in _SHARD_END.finditer(on_disk))
        shard = next((on_disk[:end] for end in ends if on_disk[:end] in self.places), None)
        if shard is None:
            return MissingFile(name)
        place, member = self.places[shard], on_disk[len(shard) + 1 :]
        index = self._index(shard, place)
        found = index.members.get(member)
        if found is None:
            return MissingFile(name)
        beside = name_beside(index, member, SIDECAR_SUFFIXES)
        sidecar = None
        if beside is not None:
            at = index.members[beside]
            sidecar = Sidecar(posixpath.splitext(beside)[1], at.offset, at.size, at.digest)
        return FilePart(place, name, found.offset, found.size, index.time_of(member), sidecar)

    def __getstate__(self) -> dict[str, object]:
        # Another process reads the indices that it needs itself.
        return self.__dict__ | {"held": {}}

    def absolute(self) -> ShardFiles:
        """The same for a process in another working directory."""
        places = {
            name: place if is_address(place) else str(Path(place).absolute())
            for name, place in self.places.items()
        }
        return replace(self, places=places, index=self.index and self.index.absolute())

    def _index(self, shard: str, place: str) -> TarIndex:
        found = self.held.pop(shard, None)
        if found is None:
            found = tar_index(place, self.index)
        if len(self.held) >= _HELD:
            self.held.pop(next(iter(self.held)))
        self.held[shard] = found
        return found


def image_members(index: TarIndex) -> set[str]:
    """Names of the members of a shard that are the images of its samples, see the module."""
    images = [
        name
        for name in index.members
        if name.lower().endswith(IMAGE_SUFFIXES) and not _is_hidden(name)
    ]
    plain = {name for name in images if _endings(name)[1].lower() in IMAGE_SUFFIXES}
    keys = {_endings(name)[0] for name in plain}
    return plain | {name for name in images if _endings(name)[0] not in keys}


def members_beside(index: TarIndex, image: str, endings: Sequence[str]) -> list[Member | None]:
    """The files beside an image, one for each of these endings, such as ``.mask.png``; None for
    those that are not there."""
    names = (name_beside(index, image, (ending,)) for ending in endings)
    return [None if name is None else index.members[name] for name in names]


def name_beside(index: TarIndex, image: str, endings: Sequence[str]) -> str | None:
    """The name of the first file beside an image that has one of these endings; None for none.

    The image's whole stem goes before its key, and then an ending before those behind it."""
    stems = dict.fromkeys((posixpath.splitext(image)[0], sample_key(image)))
    names = (stem + ending for stem, ending in itertools.product(stems, endings))
    return next((name for name in names if name in index.members), None)


def sample_key(name: str) -> str:
    """What a sample's files have in common: a member's name up to the first dot of its last part,
    which is webdataset's rule."""
    return _endings(name)[0]


def _is_hidden(name: str) -> bool:
    """Whether a member would be hidden in a folder, as what macOS puts beside each file is."""
    return any(part.startswith(".") for part in name.split("/"))


def _endings(name: str) -> tuple[str, str]:
    """A member's key, and all that stands behind it with its dot."""
    folder, last = posixpath.split(name)
    stem, dot, ending = last.partition(".")
    return posixpath.join(folder, stem), dot + ending


def is_shard(text: str) -> bool:
    """Whether a text names shards: a path, an address or a pattern that ends in ``.tar``."""
    return text.lower().endswith(SHARD_SUFFIX)


def shard_places(arguments: Sequence[str]) -> list[str]:
    """The shards that texts name, patterns replaced by what matches them, each once.

    Raises:
        InputError: a pattern matches nothing, or cannot be asked for.
    """
    found: dict[str, None] = {}
    for argument in arguments:
        for text in _expanded(argument):
            found |= dict.fromkeys(_matching(text))
    return list(found)


def shard_files(places: Sequence[str], index: Path | None) -> ShardFiles:
    """Shards under the names that they have in the names of images."""
    folders = [place.split("/")[:-1] for place in places]
    common = 0
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        common += 1
    names = ["/".join(place.split("/")[common:]) for place in places]
    return ShardFiles(dict(sorted(zip(names, places, strict=True))), index)


def shards_in_list(given: str) -> list[str] | None:
    """The shards that a text list names, one a line; None for a list of something else.

    Only as much is read as shows that it is another list.

    Args:
        given: path or address of the list; lines are relative to its folder.

    Raises:
        InputError: the list is at an address and a line of it leads elsewhere.
    """
    folder = posixpath.dirname(given)
    found = []
    with _opened_list(given) as lines:
        for number, raw in enumerate(lines, start=1):
            line = raw.decode("utf-8", "replace").strip()
            if not line or line.startswith("#"):
                continue
            if not is_shard(line):
                return None
            if is_address(given):
                check_line(line, given, f"{given}, line {number}")
            is_whole = is_address(line) or line.startswith("/") or not folder
            found.append(line if is_whole else f"{folder}/{line}")
    return found or None


@contextlib.contextmanager
def _opened_list(given: str) -> Iterator[Iterable[bytes]]:
    """Lines of a list; none of one that cannot be read, which whoever lists images will say."""
    if is_address(given):
        yield read_part(given, 0, None, given).splitlines()
        return
    path = Path(given)
    if not path.is_file() or not os.access(path, os.R_OK):
        yield ()
        return
    with path.open("rb") as file:
        yield iter(partial(file.readline, _LONGEST_LINE), b"")


def _expanded(pattern: str) -> Iterator[str]:
    """A text with each ``{...}`` replaced by all that it stands for, as a shell does."""
    head, brace, rest = pattern.partition("{")
    choices, closing, tail = rest.partition("}")
    if not (brace and closing):
        yield pattern
        return
    match = _RANGE.fullmatch(choices)
    if match:
        first, last = match.groups()
        width = len(first) if first.startswith("0") or len(first) == len(last) else 0
        numbers = range(int(first), int(last) + 1)
        if not numbers:
            raise InputError("shard.range", file=pattern, found=choices)
        options = [str(number).zfill(width) for number in numbers]
    else:
        options = choices.split(",")
    for option in options:
        for rest in _expanded(tail):
            yield head + option + rest


def _matching(text: str) -> list[str]:
    """The shards that a pattern without braces matches; the text itself where it is none."""
    if not has_wildcard(text) or Path(text).exists():
        return [text]
    if not is_address(text):
        parts = Path(text).parts
        literal = next(k for k, part in enumerate(parts) if has_wildcard(part))
        root = Path(*parts[:literal])
        names = walk(root, parts[literal:]) if root.is_dir() else iter(())
        found = sorted(str(root / name) for name in names)
    else:
        system, path = file_system(text)
        with said_of(text, "shard.no_match"):
            found = sorted(system.unstrip_protocol(match) for match in system.glob(path))
    if not found:
        raise InputError("shard.no_match", file=text)
    return found
