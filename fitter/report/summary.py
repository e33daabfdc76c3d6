"""What a report says of its run as a whole, counted while its rows are written."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fitter.inputs.photographs import Photographs
from fitter.store.reader import StoreReader
from fitter.store.schema import ImageRow
from fitter.system.messages import count


@dataclass
class ReportSummary:
    """What a report holds.

    Attributes:
        path: of the page.
        size: of the page, bytes.
        images: of the store.
        done: of these, in blocks that are written.
        failed_images: that could not be read.
        without_hands: images in which no hand was found.
        hands: that were found.
        fitted: of these, valid ones.
        refused: hands that were fitted and are not valid.
        unfitted: hands whose fit failed.
        beyond: hands for which their images had no slots.
        scores: sum of those of valid hands.
        photographs: of the images that were to be shown; None where the hands are drawn alone.
    """

    path: Path
    images: int
    size: int = 0
    done: int = 0
    failed_images: int = 0
    without_hands: int = 0
    hands: int = 0
    fitted: int = 0
    refused: int = 0
    unfitted: int = 0
    beyond: int = 0
    scores: float = field(default=0.0, repr=False)
    photographs: Photographs | None = None

    def add(self, row: ImageRow) -> None:
        """Count an image."""
        self.done += 1
        self.failed_images += row.image_status == "failed"
        self.without_hands += row.image_status == "no_hand"
        self.beyond += row.hands_beyond or 0
        for hand in row.hands:
            self.hands += 1
            self.fitted += hand.valid
            self.refused += hand.is_refused
            self.unfitted += hand.has_failed
            self.scores += hand.score or 0.0 if hand.valid else 0.0

    @property
    def totals(self) -> list[tuple[str, str]]:
        """Names and values of the page's summary."""
        found = [
            ("images", self.images),
            ("not reached yet", self.images - self.done),
            ("failed images", self.failed_images),
            ("images without a hand", self.without_hands),
            ("hands fitted", self.fitted),
            ("hands refused", self.refused),
            ("fits failed", self.unfitted),
            ("hands beyond the slots", self.beyond),
        ]
        always = ("images", "hands fitted")
        shown = [(name, f"{value:,}") for name, value in found if value or name in always]
        if self.fitted:
            shown.append(("mean score of fitted hands", f"{self.scores / self.fitted:.2f}"))
        return shown

    @property
    def notes(self) -> list[str]:
        """Sentences about what the page does not show."""
        seen, found = self.photographs, []
        if seen is None:
            found.append("Hands are drawn alone, without their photographs.")
        if seen is not None and seen.unread:
            found.append(
                f"{count(seen.unread, 'photograph')} could not be read, so that hands are drawn "
                f"alone: {seen.first_reason}"
            )
        if seen is not None and seen.other_size:
            found.append(
                f"{count(seen.other_size, 'photograph')} of another size than the images that were "
                "fitted, so that hands are drawn alone."
            )
        return found

    def said(self) -> str:
        """One line about the page."""
        pending = self.images - self.done
        later = f", {count(pending, 'image')} not reached yet" if pending else ""
        size = f"{self.size / 1e6:.1f} MB" if self.size >= 1e6 else f"{self.size / 1e3:.0f} kB"
        return (
            f"{self.path}: {count(self.hands, 'hand')} of {count(self.done, 'image')}, "
            f"{count(self.failed_images, 'image')} failed, {count(self.unfitted, 'fit')} failed"
            f"{later}; {size}"
        )


@dataclass(frozen=True)
class About:
    """What the page says of the run.

    Attributes:
        totals: see `ReportSummary`.
        notes: see `ReportSummary`.
        configuration: resolved, as JSON.
        made_with: the hand model, versions and data set, as JSON.
    """

    totals: list[tuple[str, str]]
    notes: list[str]
    configuration: str
    made_with: str

    @classmethod
    def of(cls, summary: ReportSummary, store: StoreReader) -> About:
        """The run that made a store, of which all rows are counted."""
        made: dict[str, Any] = {"model": store.model, "versions": store.versions}
        if store.dataset_place is not None:
            made["dataset"] = store.dataset_place
        return cls(
            summary.totals,
            summary.notes,
            json.dumps(store.configuration, indent=2, ensure_ascii=False),
            json.dumps(made, indent=2, ensure_ascii=False),
        )
