"""JSON files that the user gives."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from fitter.errors import InputError


def load_json(path: Path, content: str, missing: str = "json.missing") -> object:
    """The value in a JSON file.

    Args:
        path: the file, in UTF-8.
        content: what it should hold, for messages ("intrinsics").
        missing: code of the error where there is no such file.

    Raises:
        InputError: there is no such file, it cannot be read, or it is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(missing, file=path, content=content) from error
    except OSError as error:
        raise InputError("json.unreadable", file=path, reason=error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise InputError("json.invalid", file=path, content=content, reason=str(error)) from error


def some_entries(
    by_name: Mapping[str, object] | None,
    by_index: Mapping[int, object] | None,
    start: int,
    names: Sequence[str],
) -> tuple[Mapping[str, object] | None, Mapping[int, object] | None]:
    """Of what a file gives for each picture, the entries of consecutive pictures.

    Args:
        by_name: entries by picture name, or None.
        by_index: entries by place in the listing, or None.
        start: place of the first of these pictures.
        names: of these pictures.

    Returns:
        Both, without the entries of other pictures; places stay those of the whole listing.
    """
    if by_name is not None:
        by_name = {name: by_name[name] for name in names if name in by_name}
    if by_index is not None:
        places = range(start, start + len(names))
        by_index = {place: by_index[place] for place in places if place in by_index}
    return by_name, by_index
