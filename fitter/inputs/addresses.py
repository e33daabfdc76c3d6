"""Files at addresses (``s3://``, ``gs://``, ``hf://``, ``https://``, ``memory://`` and whatever
else fsspec knows): read, listed, and what is said when that fails.

Credentials and options are fsspec's own affair: its configuration files and environment variables,
or those of the driver. Each process opens what it needs, when it needs it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fitter.errors import InputError

LARGEST_READ = 1 << 30
"""Bytes that are read at once, for what lies elsewhere may be of any size: 150 million pixels
(`fitter.inputs.images.ReadLimits`) are 600 MB without any compression."""

_GONE = (404, 410)
"""Status by which a web server says that there is nothing."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://?")
"""With one slash too: what `Path` makes of an address."""


def is_address(text: str | Path) -> bool:
    """Whether a text is an address and no path of this machine, such as ``s3://bucket/photos``."""
    return "://" in str(text) and _SCHEME.match(str(text)) is not None


def require_shared(addresses: Sequence[str]) -> None:
    """Refuse addresses in the memory of this process, of which those that detect have none.

    Args:
        addresses: of a run's images, or paths.

    Raises:
        InputError: `address.memory`.
    """
    for address in addresses:
        if is_address(address) and "memory" in re.split("://|::", address):
            raise InputError("address.memory", file=address)


def was_address(path: str | Path) -> bool:
    """Whether a path was an address before `Path` took a slash from it."""
    text = str(path)
    return _SCHEME.match(text) is not None and not Path(text.partition("/")[0]).exists()


def file_system(address: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and the path in it.

    Raises:
        InputError: nobody knows such addresses (`address.protocol`), the package that reads them is
            not installed (`address.package`), or it refuses (`address.unreadable`).
    """
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    protocol = re.split("://|::", address)[0]
    try:
        return url_to_fs(address)
    except ImportError as error:
        cause = error.__cause__
        missing = cause.name if isinstance(cause, ImportError) and cause.name else None
        package = missing or known_implementations.get(protocol, {"class": protocol})["class"]
        raise InputError(
            "address.package", file=address, package=package.split(".")[0], protocol=protocol
        ) from error
    except ValueError as error:
        if protocol not in known_implementations:
            raise InputError("address.protocol", file=address, found=protocol) from error
        raise InputError("address.unreadable", file=address, reason=reason_of(error)) from error


@contextlib.contextmanager
def said_of(name: str, missing: str = "image.missing") -> Iterator[None]:
    """Turn what a driver raises into one sentence about `name`.

    Args:
        name: what to name in messages.
        missing: code of the error where there is nothing.
    """
    try:
        yield
    except InputError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        # fsspec's driver of web pages says so of a server that cannot be reached, too.
        reason = _other_reason(error)
        if reason is None:
            raise InputError(missing, file=name) from error
        raise InputError("address.unreadable", file=name, reason=reason) from error
    except IsADirectoryError as error:
        raise InputError("image.folder", file=name) from error
    except Exception as error:  # each driver has errors of its own
        raise InputError("address.unreadable", file=name, reason=reason_of(error)) from error


def _other_reason(error: OSError) -> str | None:
    """Why a driver says that there is nothing, where that is not because there is nothing."""
    cause = error.__cause__
    if cause is None or isinstance(cause, FileNotFoundError | NotADirectoryError | KeyError):
        return None
    return None if getattr(cause, "status", None) in _GONE else reason_of(cause)


def check_line(line: str, listed_at: str, where: str) -> None:
    """Refuse a line of a list at an address that leads anywhere else: whoever wrote the list must
    not choose which files of this machine, or of others, are read.

    Args:
        line: a name relative to the list's folder, or an address.
        listed_at: address of the list.
        where: what to name in messages.

    Raises:
        InputError: it is an address of another protocol or host, chains several, or is a path from
            the root on.
    """
    home = _home(listed_at)
    leads_away = line.startswith("/") if not is_address(line) else _home(line) != home
    if leads_away or "::" in line:
        raise InputError("address.leads_away", file=where, expected=home, found=line)


def _home(address: str) -> str:
    """An address's protocol and host, or bucket."""
    return "/".join(address.split("/", 3)[:3]).lower()


def reason_of(error: BaseException) -> str:
    """What an error says, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def read_part(
    place: str, offset: int, size: int | None, name: str, largest: int = LARGEST_READ
) -> bytes:
    """Bytes of a file.

    Args:
        place: an address, or the path of a file of this machine.
        offset: of the first byte.
        size: number of bytes; None for all of the file.
        name: what to name in messages.
        largest: number of bytes from which on nothing is read, or not all.

    Raises:
        InputError: there is no such file, it cannot be read, it ends before, or it has more bytes
            than `largest`.
    """
    if size is not None and size > largest:
        raise InputError("address.too_large", file=name, expected=largest, found=size)
    # One byte more than there may be tells a file that is too large without its size.
    asked = largest + 1 if size is None else size
    with said_of(name):
        if is_address(place):
            system, path = file_system(place)
            try:
                content = system.cat_file(path, start=offset, end=offset + asked) if asked else b""
            except FileNotFoundError as error:
                if _other_reason(error) is None and system.isdir(path):
                    raise IsADirectoryError(place) from error
                raise
        else:
            with Path(place).open("rb") as file:
                file.seek(offset)
                content = file.read(asked)
    if size is None and len(content) > largest:
        raise InputError("address.too_large", file=name, expected=largest, found=len(content))
    if size is not None and len(content) > size:
        raise InputError("address.no_parts", file=place)
    if size is not None and len(content) < size:
        raise InputError("shard.ends", file=name, expected=size, found=len(content))
    return content


def size_and_time(address: str) -> tuple[int, float] | None:
    """Size in bytes of what is at an address, and the time of its last change in seconds since
    1970, 0 where the driver does not tell; None where there is nothing, or nothing can be asked."""
    try:
        system, path = file_system(address)
        info = system.info(path)
    except Exception:  # reading it will say so
        return None
    return int(info.get("size") or 0), _time(info)


def _time(info: dict[str, Any]) -> float:
    """The last change as the drivers call it."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = info.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                return datetime.fromisoformat(value).timestamp()
    return 0.0
