"""Images at addresses: a folder, an image or several, a pattern, a text list.

Folders are listed one at a time, so that memory does not grow with the number of images in all.
"""

from __future__ import annotations

import fnmatch
import posixpath
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fitter.errors import InputError
from fitter.inputs.addresses import check_line, file_system, is_address, read_part, said_of
from fitter.inputs.escaped_names import escaped, unescaped
from fitter.inputs.image_files import FilePart, ImageFile, ImagesAlone
from fitter.inputs.listing import has_wildcard, name_in_line
from fitter.inputs.picture_formats import IMAGE_SUFFIXES


@dataclass(frozen=True)
class AddressFiles(ImagesAlone):
    """Images below an address.

    Attributes:
        root: the address; empty where names are whole addresses.
    """

    root: str

    def file_of(self, name: str) -> ImageFile:
        """The image of this name."""
        name = unescaped(name)
        address = name if is_address(name) or not self.root else f"{self.root}/{name}"
        return FilePart(address, address)

    def absolute(self) -> AddressFiles:
        """The same: an address is one everywhere."""
        return self


Names = Callable[[Counter[str]], Iterator[str]]
"""Lists names, and counts other files by their endings."""


@dataclass(frozen=True)
class AddressedImages:
    """What addresses given for images mean.

    Attributes:
        files: where the images are.
        names: their names.
        nothing: code of the error where there is none.
        is_folder: whether all images in a folder are meant.
    """

    files: AddressFiles
    names: Names
    nothing: str
    is_folder: bool = False


def addressed_images(arguments: Sequence[str], list_suffixes: tuple[str, ...]) -> AddressedImages:
    """What a user means by addresses.

    Args:
        arguments: one folder, image, pattern or text list; or several images.
        list_suffixes: endings of text lists.

    Raises:
        InputError: nobody knows such addresses, the package that reads them is missing, there is
            nothing, or one of several is no image.
    """
    if len(arguments) > 1:
        for given in arguments:
            if not given.lower().endswith(IMAGE_SUFFIXES):
                raise InputError(
                    "list.one_of_several",
                    file=given,
                    endings=", ".join(IMAGE_SUFFIXES),
                    found=f"a name that ends in {posixpath.splitext(given)[1]!r}",
                )
            if is_address(given):
                file_system(given)
        names = tuple(map(escaped, arguments))
        return AddressedImages(AddressFiles(""), lambda _: iter(names), "list.no_arguments")
    address = arguments[0].rstrip("/")
    system, path = file_system(address)
    root, _, last = address.rpartition("/")
    if has_wildcard(address.partition("://")[2]):
        with said_of(address, "list.nothing_there"):
            is_pattern = not system.exists(path)
        if is_pattern:
            return _pattern(address)
    if last.partition("?")[0].lower().endswith(IMAGE_SUFFIXES):  # with a query, as http has it
        return AddressedImages(AddressFiles(root), lambda _: iter([escaped(last)]), "list.empty")
    if last.lower().endswith(list_suffixes):
        return AddressedImages(AddressFiles(root), partial(_listed, address), "list.empty")
    with said_of(address, "list.nothing_there"):
        if not system.isdir(path):
            raise FileNotFoundError(address)
    names_below = partial(_below, system, path, None)
    return AddressedImages(AddressFiles(address), names_below, "list.empty_folder", is_folder=True)


def _pattern(address: str) -> AddressedImages:
    """Images that match a pattern, its names relative to the folder before the first wildcard."""
    parts = address.split("/")
    first = next(k for k, part in enumerate(parts) if has_wildcard(part))
    root = "/".join(parts[:first])
    system, path = file_system(root)
    names = partial(_below, system, path, parts[first:])
    return AddressedImages(AddressFiles(root), names, "list.no_match")


def _below(
    system: Any, root: str, pattern: Sequence[str] | None, skipped: Counter[str]
) -> Iterator[str]:
    """Names of the images in a folder and below, those that match `pattern` where there is one."""
    root = root.rstrip("/")
    depth = None if pattern is None or "**" in pattern else len(pattern)
    with said_of(str(system.unstrip_protocol(root)), "list.nothing_there"):
        for folder, folders, files in system.walk(root, depth, on_error="raise"):
            folders[:] = [name for name in folders if not name.startswith(".")]
            below = folder.rstrip("/")[len(root) :].strip("/")
            for file in files:
                name = posixpath.join(below, file)
                if not file or file.startswith(".") or not _matches(name, pattern):
                    continue
                if name.lower().endswith(IMAGE_SUFFIXES):
                    yield escaped(name)
                else:
                    skipped[posixpath.splitext(file)[1].lower() or "no ending"] += 1


def _matches(name: str, pattern: Sequence[str] | None) -> bool:
    """Whether a name matches the parts of a pattern, ``**`` for any number of folders."""
    return pattern is None or _parts_match(name.split("/"), pattern)


def _parts_match(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_parts_match(parts[k:], pattern[1:]) for k in range(len(parts) + 1))
    return (
        bool(parts)
        and fnmatch.fnmatchcase(parts[0], pattern[0])
        and _parts_match(parts[1:], pattern[1:])
    )


def _listed(address: str, skipped: Counter[str]) -> Iterator[str]:
    """Names in a text list; `skipped` stays as it is, since other endings are refused."""
    lines = read_part(address, 0, None, address).splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        where = f"{address}, line {number}"
        text = line.decode("utf-8", "replace").strip()
        if is_address(text):
            check_line(text, address, where)
            yield escaped(text)
        elif (name := name_in_line(line, where)) is not None:
            check_line(name, address, where)
            yield name
