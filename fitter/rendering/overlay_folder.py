"""A folder of overlays that all have one style, however often a run that fills it is continued."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fitter.errors import InputError
from fitter.rendering.overlay_style import OverlayStyle
from fitter.system.files import whole_file

UNFINISHED = ".unfinished-"
"""How the name of an overlay begins that is being written."""

STYLE_FILE = ".overlay-style.json"
"""Says in a folder which style its overlays have; a folder without it holds the default one's."""


_DEFAULT = OverlayStyle().resolved


@dataclass(frozen=True)
class OverlayFolder:
    """Where overlays go, and how they look.

    Attributes:
        path: the folder.
        style: of every overlay in it.
        is_file: whether `path` is the file of the only overlay, a video.
    """

    path: Path
    style: OverlayStyle = field(default_factory=OverlayStyle)
    is_file: bool = False

    def absolute(self) -> OverlayFolder:
        """The same for a process in another working directory."""
        return replace(self, path=self.path.absolute())

    def check(self) -> None:
        """Refuse a folder whose overlays have another style: a continued run keeps those that are
        there, and the folder would show two styles.

        Raises:
            InputError: it has (`overlay.other_style`), or what says so cannot be read.
        """
        if self.is_file:
            return
        found, asked = self._style_found(), asdict(self.style.resolved)
        for name, was in (found or {}).items():
            now = asked[name]
            if was != now:
                raise InputError("overlay.other_style", file=self.path, name=name, was=was, now=now)

    def prepare(self) -> None:
        """Make the folder, and keep its style there if it is not the default one.

        Raises:
            InputError: it cannot be made or written, or see `check`.
        """
        folder = self.path.parent if self.is_file else self.path
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError("overlay.no_folder", file=folder, reason=error.strerror) from error
        if self.is_file:
            return
        self.check()
        file = self.path / STYLE_FILE
        try:
            if self.style.resolved == _DEFAULT:
                file.unlink(missing_ok=True)
                return
            # Its own name, whoever else renders into the folder, from this machine or another.
            partial = file.with_name(f"{STYLE_FILE}.{uuid.uuid4().hex}")
            with whole_file(file, durable=False, partial=partial):
                partial.write_text(json.dumps(asdict(self.style.resolved)), encoding="utf-8")
        except OSError as error:
            raise InputError("overlay.unwritable", file=file, reason=error.strerror) from error

    def _style_found(self) -> dict[str, Any] | None:
        """The style of the overlays that are there; None where there are none yet."""
        found = (file for ending in ("*.jpg", "*.mp4") for file in self.path.rglob(ending))
        if all(file.name.startswith(UNFINISHED) for file in found):
            return None
        file = self.path / STYLE_FILE
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
            return {name: said[name] for name in asdict(_DEFAULT)} | {"views": tuple(said["views"])}
        except FileNotFoundError:
            return asdict(_DEFAULT)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError("overlay.style_file", file=file, reason=str(error)) from error
