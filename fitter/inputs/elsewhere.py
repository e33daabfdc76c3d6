"""Which arguments mean images that are no files in folders of this machine: addresses, tar files.

What is asked for there is imported when it is: most runs need neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fitter.errors import InputError
from fitter.inputs.addresses import is_address
from fitter.inputs.listing import LIST_SUFFIXES, ImageSource

_COMPRESSED = (
    ".tgz",
    ".tbz2",
    ".txz",
    *(f".tar.{packed}" for packed in ("gz", "bz2", "xz", "zst", "lz4")),
)


def source_elsewhere(arguments: Sequence[str], index: Path | None) -> ImageSource | None:
    """The source of arguments that are addresses or tar files, None for others.

    Args:
        arguments: see `ImageSource.of`.
        index: folder in which to keep where the members of tar files are, or None.

    Raises:
        InputError: see `fitter.inputs.shards` and `fitter.inputs.address_listing`.
    """
    one = arguments[0] if arguments else ""
    for given in arguments:
        ending = compressed_ending(given)
        if ending and not Path(given).is_dir():
            raise InputError("shard.compressed", file=given, found=ending)
    shards = _shards(arguments)
    if shards is not None:
        from fitter.inputs.shards import shard_files, shard_places

        title = one if len(arguments) == 1 else f"{len(arguments)} shards"
        files = shard_files(shard_places(shards), index)
        broken: list[str] = []
        names = partial(files.names, broken=broken)
        return ImageSource(Path(), title, names, "shard.no_image", files=files, broken=broken)
    if not any(map(is_address, arguments)):
        return None
    from fitter.inputs.address_listing import addressed_images

    title = one if len(arguments) == 1 else f"{len(arguments)} addresses"
    found = addressed_images(arguments, LIST_SUFFIXES)
    return ImageSource(
        Path(), title, found.names, found.nothing, is_folder=found.is_folder, files=found.files
    )


def compressed_ending(name: str) -> str:
    """The ending of a compressed tar file's name; an empty text for other files."""
    return next((ending for ending in _COMPRESSED if name.lower().endswith(ending)), "")


def _shards(arguments: Sequence[str]) -> list[str] | None:
    """The tar files that the arguments name, or a list that is the only one; None for others."""
    are_shards = [
        given.lower().endswith(".tar") and not Path(given).is_dir() for given in arguments
    ]
    if any(are_shards):
        if not all(are_shards):
            other = arguments[are_shards.index(False)]
            found = "something else"
            raise InputError("list.one_of_several", file=other, endings=".tar", found=found)
        return list(arguments)
    if len(arguments) != 1 or not arguments[0].lower().endswith(LIST_SUFFIXES):
        return None
    from fitter.inputs.shards import shards_in_list

    return shards_in_list(arguments[0])
