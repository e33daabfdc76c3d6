"""What a training run writes down: a line of JSON for each mean of losses and each validation."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from fitter.errors import InputError
from fitter.system.files import write_whole

METRICS = "metrics.jsonl"
EVENTS = "tensorboard"
VALIDATION = "validation/"
"""What the names of a validation's figures begin with."""


class MetricsLog:
    """``metrics.jsonl`` and, where the package is installed, TensorBoard's events.

    The lines hold nothing that depends on the machine, so that two runs of one configuration can
    be compared byte by byte.
    """

    def __init__(self, folder: Path, step: int, validated: int) -> None:
        """Open the log of a run.

        Args:
            folder: of the run.
            step: steps that it has done; lines about later ones are dropped.
            validated: steps that it had done when it was validated last; likewise.

        Raises:
            InputError: it cannot be written.
        """
        self._path = folder / METRICS
        try:
            # A run that was killed went on for a while after its last checkpoint.
            write_whole(self._path, "".join(_lines_until(self._path, step, validated)).encode())
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise _refused(self._path, error) from error
        self._events = _event_writer(folder / EVENTS, step)

    def write(self, step: int, values: Mapping[str, float], about: Mapping[str, str]) -> None:
        """Add figures of a step.

        Args:
            step: steps done.
            values: the figures, by name.
            about: what else the line says.

        Raises:
            InputError: the disk refuses.
        """
        shown = {name: value if math.isfinite(value) else None for name, value in values.items()}
        try:
            self._file.write(json.dumps({"step": step, **about, **shown}) + "\n")
            self._file.flush()
            self.tell_events(step, values)
        except OSError as error:
            raise _refused(self._path, error) from error

    def tell_events(self, step: int, values: Mapping[str, float]) -> None:
        """Tell TensorBoard alone, of what depends on the machine."""
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(name, value, step)

    @property
    def shows_pictures(self) -> bool:
        """Whether there is somewhere to show them."""
        return self._events is not None

    def show(self, step: int, name: str, picture: np.ndarray) -> None:
        """Show TensorBoard a picture (H, W, 3) uint8 sRGB.

        Raises:
            InputError: the disk refuses.
        """
        if self._events is not None:
            try:
                self._events.add_image(name, picture, step, dataformats="HWC")
            except OSError as error:
                raise _refused(self._path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._events is not None:
            self._events.close()


def _lines_until(path: Path, step: int, validated: int) -> list[str]:
    """The whole lines about steps up to `step`, and about validations up to `validated`."""
    kept: list[str] = []
    if step == 0 or not path.exists():
        return kept
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            found = json.loads(line)
            last = validated if any(name.startswith(VALIDATION) for name in found) else step
            if not line.endswith("\n") or found["step"] > last:
                break
        except (ValueError, KeyError, TypeError):  # cut off as the machine went down
            break
        kept.append(line)
    return kept


def _event_writer(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


def _refused(path: Path, error: OSError) -> InputError:
    return InputError("training.cannot_log", file=path, reason=error.strerror or str(error))
