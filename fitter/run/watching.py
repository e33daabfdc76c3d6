"""How far a run is, image by image although batches of them are fitted at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from fitter.run.progress import ProgressLine
from fitter.store.row_kinds import Row
from fitter.system.messages import count


class Watched:
    """Counts what is seen and what is fitted, and shows it.

    To find an image's hands is half of its work, to fit them the other half (on a CPU they take
    about as long): so the line moves with every image that was seen, and reaches its end with the
    last one that was fitted.
    """

    def __init__(self, line: ProgressLine, before: int) -> None:
        """Begin where `before` images or frames were done in earlier runs."""
        self._line, self._before = line, before
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
        with self._lock:
            self._fitted += len(rows)
            self._hands += sum(hand.valid for row in rows for hand in row.hands)
            self._failed += sum(row.status == "failed" for row in rows)
            self._show()

    def _show(self) -> None:
        done = 0.5 * (max(self._seen, self._fitted) + self._fitted)
        details = f"{count(self._hands, 'hand')}, {self._failed} failed"
        self._line.show(self._before + done, details)
