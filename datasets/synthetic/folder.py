"""The folder of a rendered data set: what it was made from, and whether a run may go on in it.

Light, so that a command can refuse a folder at once.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets.synthetic.settings import SyntheticSettings
from datasets.synthetic_layout import DESCRIPTION, FOLDERS, FRAMES, RIG, SPLIT, VERTICES
from fitter.errors import InputError
from fitter.system.files import write_whole

VERSION = 1
"""Of the engine: samples of the same number are other ones when it changes."""

SMALLEST, LARGEST = 16, 2048
"""Pixels of an image's side."""


@dataclass(frozen=True)
class SyntheticRequest:
    """What is to be written.

    Attributes:
        out: folder; count: samples 0 to count - 1; seed: of the data set.
        size: pixels of an image's side.
        settings: of the data set.
        device: where images are rendered.
        workers: processes.
        overwrite: remove what is in the folder first.
    """

    out: Path
    count: int
    seed: int = 0
    size: int = 224
    settings: SyntheticSettings = field(default_factory=SyntheticSettings)
    device: str = "cpu"
    workers: int = 1
    overwrite: bool = False

    def description(self) -> dict[str, Any]:
        """What samples depend on, as `DESCRIPTION` says it."""
        return {
            "engine": VERSION,
            "seed": self.seed,
            "size": self.size,
            **self.settings.description(),
        }

    @property
    def folders(self) -> tuple[str, ...]:
        """Those that samples are written to, below `out`."""
        return tuple(f"{SPLIT}/{folder}" for folder in FOLDERS)


def check_folder(request: SyntheticRequest) -> None:
    """Make sure that the samples may be written, and leave everything as it is.

    Raises:
        InputError: the folder is a file, or holds something else or other samples.
    """
    out, path = request.out, request.out / DESCRIPTION
    if out.exists() and not out.is_dir():
        raise InputError("output.is_file", file=out)
    if not (out.is_dir() and any(out.iterdir())):
        return
    if not path.exists():
        raise InputError("synthetic.out_filled", file=out)
    if not request.overwrite:
        _compare(path, request.description())


def prepare_folder(request: SyntheticRequest) -> None:
    """Make the folders; `overwrite` removes what is there first.

    Raises:
        InputError: see `check_folder`; the folder cannot be written.
    """
    check_folder(request)
    out = request.out
    if request.overwrite:
        for name in _content(out):
            target = out / name
            shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    try:
        for folder in request.folders:
            (out / folder).mkdir(parents=True, exist_ok=True)
        write_whole(
            out / DESCRIPTION, json.dumps(request.description(), indent=1).encode(), durable=False
        )
    except OSError as error:
        raise InputError("output.cannot_write", file=out, reason=error.strerror) from error


def _content(out: Path) -> list[str]:
    """Names of what a run may have written to a folder; its description comes last."""
    lists = [f"{SPLIT}_{what}.json" for what in ("K", "xyz", "scale")]
    found = _description(out / DESCRIPTION) or {}
    cameras = found.get("rig", [])
    names = [each.get("name") for each in cameras if isinstance(each, dict)]
    own = [name for name in names if isinstance(name, str) and is_folder_name(name)]
    return [SPLIT, *lists, RIG, FRAMES, VERTICES, *own, DESCRIPTION]


def is_folder_name(name: str) -> bool:
    """Whether a camera of this name can have a folder of its own beside what else is there."""
    taken = {"", ".", "..", RIG, FRAMES, VERTICES, DESCRIPTION}
    return name not in taken and not set(name) & set("/\\\0*?[]{}")


def _description(path: Path) -> dict[str, Any] | None:
    """What a folder says of itself; None where that cannot be read."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _compare(path: Path, description: dict[str, Any]) -> None:
    found = _description(path)
    if found is None:
        raise InputError("synthetic.description", file=path)
    for name in [*description, *(name for name in found if name not in description)]:
        if found.get(name) != description.get(name):
            where, had, wanted = _difference(name, found.get(name), description.get(name))
            raise InputError(
                "synthetic.other_samples", file=path.parent, name=where, found=had, expected=wanted
            )


def _difference(name: str, found: Any, expected: Any) -> tuple[str, Any, Any]:
    """Where two unequal values of an option differ first, and how: of a rig, which cameras it has,
    or which of them in what."""
    if name != "rig":
        return name, found, expected
    mine, others = _by_name(found), _by_name(expected)
    for camera in mine if list(mine) == list(others) else ():
        for option in {**others[camera], **mine[camera]}:
            had, wanted = (rig[camera].get(option) for rig in (mine, others))
            if had != wanted:
                return f"{option} of camera {camera!r}", had, wanted
    return "rig of cameras", ", ".join(mine) or None, ", ".join(others) or None


def _by_name(rig: Any) -> dict[str, dict[str, Any]]:
    """The cameras that a description has; none of what is no rig."""
    cameras = rig if isinstance(rig, list) else []
    return {str(each.get("name")): each for each in cameras if isinstance(each, dict)}
