"""JSON files that the user gives."""

from __future__ import annotations

import json
from pathlib import Path

from fitter.records import InputError


def load_json(path: Path, content: str, otherwise: str | None = None) -> object:
    """The value in a JSON file.

    Args:
        path: the file, in UTF-8.
        content: what it should hold, for messages ("intrinsics").
        otherwise: what should have been said when there is no such file, or None.

    Raises:
        InputError: there is no such file, it cannot be read, or it is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        missing = f"expected a JSON file with {content}, found nothing."
        raise InputError(f"{path}: {otherwise or missing}") from error
    except OSError as error:
        raise InputError(f"{path}: expected a JSON file, found: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected JSON with {content}, found: {error}.") from error
