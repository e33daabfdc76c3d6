"""How far a run is, image by image although batches of them are fitted at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from fitter.run.progress import ProgressLine
from fitter.store.row_kinds import Row
from fitter.store.schema import ImageRow
from fitter.system.messages import count


class Watched:
    """Counts what is seen and what is fitted, and shows it.

    To find an image's hands is half of its work, to fit them the other half (on a CPU they take
    about as long): so the line moves with every image that was seen, and reaches its end with the
    last one that was fitted. Images that a pass leaves out take no time: they are taken off the
    total, so that rate and time left are those of the others.
    """

    def __init__(self, line: ProgressLine, total: int, before: int) -> None:
        """Begin where `before` of `total` images or frames were done in earlier runs."""
        self._line, self._total, self._before = line, total, before
        self._lock = threading.Lock()
        self._seen = 0.0
        self._fitted = self._hands = self._failed = 0

    def seen(self, share: float) -> None:
        """The hands of a further image, which is this share of its row, have been looked for."""
        with self._lock:
            self._seen += share
            self._show()

    def fitted(self, rows: Sequence[Row]) -> None:
        """The hands of further images or frames have been fitted."""
        left_out = sum(isinstance(row, ImageRow) and row.is_left_out for row in rows)
        with self._lock:
            self._total -= left_out
            self._seen -= left_out  # each was seen as a whole
            self._fitted += len(rows) - left_out
            self._hands += sum(hand.valid for row in rows for hand in row.hands)
            self._failed += sum(row.status == "failed" for row in rows)
            self._show()

    def _show(self) -> None:
        done = 0.5 * (max(self._seen, self._fitted) + self._fitted)
        details = f"{count(self._hands, 'hand')}, {self._failed} failed"
        self._line.show_of(self._before + done, self._total, details)
