"""What the detector found in the images of a pass, read from its rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fitter.kept_hands import KeptHands
from fitter.store.layout import Block
from fitter.store.reader import StoreReader


@dataclass(frozen=True)
class KeptDetections:
    """The rows of a complete pass, asked for what was found; see `fitter.inputs.sources.Kept`.

    Attributes:
        path: of the store with the rows, absolute: it may travel to other processes.
    """

    path: Path

    @cached_property
    def _rows(self) -> StoreReader:
        return StoreReader(self.path)

    def of(self, start: int, stop: int) -> list[KeptHands | None]:
        """What was found in the images from place `start` to `stop` (exclusive); None of those that
        failed or were left out, and of all where the rows keep nothing: those of given keypoints,
        and of runs that were begun before anything was kept.

        Raises:
            InputError: the rows are damaged.
        """
        if "detections" not in self._rows.variable_names:
            return [None] * (stop - start)
        names = ("detections", "file_size", "file_time", "inputs_digest")
        part = Block(0, start, stop)
        columns = (self._rows.read(name, part).tolist() for name in names)
        return [
            KeptHands(text, None if np.isnan(changed) else (size, changed), digest)
            if text
            else None
            for text, size, changed, digest in zip(*columns, strict=True)
        ]
