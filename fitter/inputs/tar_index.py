"""Where in a tar file its members are, so that any of them is read without the others.

The index is made once, by going through the headers, and kept as a JSON file; it counts as long as
the tar file has the same size and time of change.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import posixpath
import tarfile
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from fitter.errors import InputError
from fitter.inputs.addresses import (
    file_system,
    is_address,
    read_part,
    said_of,
    size_and_time,
)
from fitter.inputs.sidecars import LARGEST_SIDECAR, SIDECAR_SUFFIXES
from fitter.system.files import whole_file
from fitter.system.messages import count

_BLOCK = 512
"""Bytes of a tar file's header and of the unit in which members are padded."""

_FORMAT = 2
"""Of the JSON file."""

_LINKS = "links"
_SPECIAL = "sparse or special files"

_COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
}
"""First bytes of compressed files, whose members cannot be read one by one."""


@dataclass(frozen=True)
class Member:
    """A file in a tar file.

    Attributes:
        offset: of its first byte.
        size: bytes.
        time: of its last change, seconds since 1970.
        digest: of the content of what may hold an image's K, see `fitter.inputs.sidecars`; an empty
            text for all other members.
    """

    offset: int
    size: int
    time: float
    digest: str = ""


@dataclass(frozen=True)
class TarIndex:
    """The whole files in a tar file.

    Attributes:
        place: an address, or a path.
        members: by name, sorted; of two of one name the later, as when a tar file is unpacked.
        broken: the sentence that says where it breaks off, or an empty text.
        left_out: number of other members by what they are. A hard link is a member like any other
            where what it links to is one.
        time: of the tar file's own last change, seconds since 1970; 0 where that is not known.
    """

    place: str
    members: dict[str, Member]
    broken: str = ""
    left_out: dict[str, int] = field(default_factory=dict)
    time: float = 0.0

    def time_of(self, member: str) -> float:
        """The time of change that counts for a member, seconds since 1970: the tar file's own,
        because tools that make equal tar files of equal content give all members one; the member's
        where that is not known."""
        return self.time or self.members[member].time


def tar_index(place: str, folder: Path | None = None) -> TarIndex:
    """The index of a tar file, as it was kept or made anew.

    A tar file that breaks off, or is none, has an index of the members before.

    Args:
        place: an address, or the path of a file of this machine.
        folder: where indices are kept, made where it is missing; None to keep none.

    Raises:
        InputError: there is no such file, it cannot be read, or the server reads no parts of it.
    """
    stamp = _stamp(place)
    kept = None if folder is None else folder / f"{_digest(place)}.json"
    if kept is not None and (found := _read(kept, place, stamp)) is not None:
        return found
    if is_address(place):
        read_part(place, 0, min(_BLOCK, stamp[0]), place)  # whether parts can be read at all
    with said_of(place, "shard.missing"), _opened(place) as file:
        index = replace(_gone_through(file, stamp[0], place), time=stamp[1])
    if kept is not None:
        _keep(kept, index, stamp)
    return index


def _stamp(place: str) -> tuple[int, float]:
    if is_address(place):
        system, path = file_system(place)  # says what is wrong with the address itself
        stamp = size_and_time(place)
        if stamp is None:
            with said_of(place, "shard.missing"):
                system.info(path)  # once more, for why nothing is told
    else:
        try:
            found = Path(place).stat()
            stamp = (found.st_size, found.st_mtime)
        except OSError:
            stamp = None
    if stamp is None:
        raise InputError("shard.missing", file=place)
    return stamp


@contextlib.contextmanager
def _opened(place: str) -> Iterator[BinaryIO]:
    if is_address(place):
        system, path = file_system(place)
        with system.open(path, "rb") as file:
            yield file
    else:
        with Path(place).open("rb") as file:
            yield file


def _gone_through(file: BinaryIO, size: int, place: str) -> TarIndex:
    """The index of a tar file of `size` bytes."""
    start = file.read(_BLOCK)
    file.seek(0)
    packed = next((name for magic, name in _COMPRESSIONS.items() if start.startswith(magic)), None)
    if packed is not None:
        return TarIndex(place, {}, str(InputError("shard.compressed", file=place, found=packed)))
    members: dict[str, Member] = {}
    left_out: Counter[str] = Counter()
    end = 0
    try:
        # Without a compression to be guessed: each guess would read the file once more.
        with tarfile.open(fileobj=file, mode="r:", encoding="utf-8") as tar:
            while (info := tar.next()) is not None:
                end = tar.offset
                if end - (-info.size % _BLOCK) > size:
                    break  # its content is not all there
                found = _found(info, members)
                if isinstance(found, Member):
                    members[_inside(info.name)] = _with_digest(found, info.name, file)
                elif found is not None:
                    left_out[found] += 1
            file.seek(end)
            is_whole = file.read(_BLOCK) == bytes(_BLOCK)
    except (tarfile.TarError, EOFError) as error:
        if not end:
            return TarIndex(
                place, {}, str(InputError("shard.no_tar", file=place, reason=str(error)))
            )
        is_whole = False
    broken = ""
    if not is_whole:
        whole = count(len(members), "whole file")
        broken = str(InputError("shard.breaks_off", file=place, size=size, whole=whole))
    return TarIndex(place, dict(sorted(members.items())), broken, dict(left_out))


def _found(info: tarfile.TarInfo, members: dict[str, Member]) -> Member | str | None:
    """Where a member is, or as what it is left out; None for a folder."""
    if info.isdir():
        return None
    if info.islnk():
        return members.get(_inside(info.linkname), _LINKS)
    if info.issym():
        return _LINKS
    if not info.isreg() or info.issparse():
        return _SPECIAL
    return Member(info.offset_data, info.size, float(info.mtime))


def _with_digest(member: Member, name: str, file: BinaryIO) -> Member:
    """With the digest of what may hold an image's K. Taken here, since far away the content goes by
    anyway, it costs no request of its own, and a tool that makes equal tar files of equal content
    gives all members one time, which tells nothing."""
    if not name.lower().endswith(SIDECAR_SUFFIXES) or member.size > LARGEST_SIDECAR:
        return member
    file.seek(member.offset)
    return replace(member, digest=hashlib.sha256(file.read(member.size)).hexdigest()[:24])


def _inside(name: str) -> str:
    """A member's name without what would lead out of the folder it is unpacked in."""
    return posixpath.normpath("/" + name).lstrip("/")


def _digest(place: str) -> str:
    name = place if is_address(place) else str(Path(place).absolute())
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _read(kept: Path, place: str, stamp: tuple[int, float]) -> TarIndex | None:
    """The index that was kept, None where it is missing, damaged or of another tar file."""
    try:
        content = json.loads(kept.read_text(encoding="utf-8"))
        if (content["format"], tuple(content["stamp"])) != (_FORMAT, stamp):
            return None
        members = {name: Member(*values) for name, values in content["members"].items()}
        return TarIndex(place, members, content["broken"], content["left_out"], stamp[1])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _keep(kept: Path, index: TarIndex, stamp: tuple[int, float]) -> None:
    content = {
        "format": _FORMAT,
        "stamp": stamp,
        "broken": index.broken,
        "left_out": index.left_out,
        "members": {name: [*asdict(m).values()] for name, m in index.members.items()},
    }
    # Several runs, on several machines, may keep the same index at a time.
    partial = kept.with_name(f"{kept.name}.{uuid.uuid4().hex}.partial")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(kept, durable=False, partial=partial):
            partial.write_text(json.dumps(content), encoding="utf-8")
    except OSError as error:
        raise InputError("output.cannot_write", file=kept, reason=error.strerror) from error
