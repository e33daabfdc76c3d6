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
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(missing, file=path, content=content) from error
    except OSError as error:
        raise InputError("json.unreadable", file=path, reason=error.strerror) from error
    except (ValueError, RecursionError) as error:
        reason = json_fault(error)
        raise InputError("json.invalid", file=path, content=content, reason=reason) from error


def json_fault(error: ValueError | RecursionError) -> str:
    """What was found in place of JSON, in words.

    Args:
        error: of `json.loads`, or of what decoded its text.
    """
    if isinstance(error, UnicodeDecodeError):
        return "something that is no text"
    if isinstance(error, RecursionError):
        return "values that lie too deep in one another"
    if not isinstance(error, json.JSONDecodeError):
        return "a number of too many digits"
    if not error.doc.strip():
        return "an empty file"
    end = len(error.doc.rstrip())
    if error.pos >= end:
        line = error.doc.count("\n", 0, end) + 1
        return f"one that ends in line {line} before it is complete"
    if not error.doc[: error.pos].strip():
        return "a file of another kind"
    return f"a mistake in line {error.lineno}, column {error.colno}"


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
