"""What is kept of each hand that cameras see, in a CSV file, and figures over many of them.

A line a hand. A file that is there is added to, so that a command that was stopped goes on where it
was; a case is told by its name, which says hands, noise and seed.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from fitter.fitting.detected_frame import DetectedFrame
from fitter.metrics import pa_mpjpe
from fitter.quality.several_views import VIEWED_ERROR
from fitter.store.frame_schema import FrameRow
from fitter.views.matching import match_hands


@dataclass(frozen=True)
class SeenHand:
    """A hand as it was fitted; NaN where no hand was.

    Attributes:
        case: rig and hands.
        number: of the hand in its case.
        placed_mm: mean distance of the joints in the rig's frame; aligned_mm: the same after
            alignment by a similarity.
        keypoints_mm: that of the keypoints after alignment, which `alone_mm` is about.
        alone_mm: the least that one of its views alone expects: what is stored as expected without
            what is known of the others.
        noise: of the keypoints by how far views are from agreeing, see `ViewedHand`; NaN for one.
        agreeing: views that count for more than half of one in full.
        others: hands of its frame beside it; valid: those of them that are stored as valid.
    """

    case: str
    number: int
    placed_mm: float
    aligned_mm: float
    keypoints_mm: float
    alone_mm: float
    noise: float
    agreeing: int
    others: int
    valid: int

    @classmethod
    def of(
        cls,
        case: str,
        number: int,
        frame: DetectedFrame,
        row: FrameRow,
        truth: tuple[np.ndarray, np.ndarray],
    ) -> SeenHand:
        """The nearest hand of a frame.

        Args:
            case: its name.
            number: of the hand.
            frame: as it was detected.
            row: as it was fitted.
            truth: joints (J, 3) and keypoints (21, 3) in the rig's frame, metres.
        """
        joints, keypoints = truth
        places = [k for k, hand in enumerate(row.hands) if hand.joints_3d is not None]
        others = max(len(places) - 1, 0)
        if not places:
            return cls(case, number, *[np.nan] * 5, 0, others, 0)
        apart = {
            k: float(np.linalg.norm(row.hands[k].joints_3d - joints, axis=1).mean()) for k in places
        }
        best = min(apart, key=lambda k: apart[k])
        hand = row.hands[best]
        assert hand.joints_3d is not None and hand.keypoints_3d is not None
        weights = [view.hands[best].view_weight or 0.0 for view in row.views]
        matched = match_hands(frame)[best]
        agreeing = sum(weight > 0.5 for weight in weights) or len(matched.places)
        alone = np.nan if hand.predicted_error_mm is None else hand.predicted_error_mm
        if agreeing > 1 and np.isfinite(matched.noise):
            told = (np.array([value]) for value in (alone, matched.noise, agreeing))
            alone = float(VIEWED_ERROR.alone_mm(*told)[0])
        return cls(
            case,
            number,
            1e3 * apart[best],
            _aligned(hand.joints_3d, joints),
            _aligned(hand.keypoints_3d, keypoints),
            alone,
            matched.noise,
            agreeing,
            others,
            sum(row.hands[k].valid for k in places if k != best),
        )


def _aligned(found: np.ndarray, true: np.ndarray) -> float:
    return float(1e3 * pa_mpjpe(found[None].astype(float), true[None])[0])


@dataclass
class SeenHands:
    """All that was measured so far.

    Attributes:
        path: CSV file in which it is kept; None keeps it in memory alone.
        cases: case -> number -> hand.
    """

    path: Path | None = None
    cases: dict[str, dict[int, SeenHand]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None) -> SeenHands:
        """Those of a file, if it is there."""
        kept = cls(path)
        if path is not None and path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                for line in csv.DictReader(file):
                    kept._keep(_parsed(line))
        return kept

    def add(self, hands: Sequence[SeenHand]) -> None:
        """Keep hands, and write them at once."""
        for hand in hands:
            self._keep(hand)
        if self.path is None:
            return
        is_new = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [each.name for each in fields(SeenHand)])
            if is_new:
                writer.writeheader()
            writer.writerows(_written(hand) for hand in hands)

    def has(self, case: str, numbers: Sequence[int]) -> bool:
        """Whether all of these hands of a case are there."""
        return set(numbers) <= set(self.cases.get(case, {}))

    def figures(self) -> Iterator[tuple[str, Errors]]:
        """Of each case."""
        for case, hands in self.cases.items():
            yield case, Errors.of(list(hands.values()))

    def _keep(self, hand: SeenHand) -> None:
        self.cases.setdefault(hand.case, {})[hand.number] = hand


def _written(hand: SeenHand) -> dict[str, object]:
    return {
        name: f"{value:.5g}" if isinstance(value, float) else value
        for name, value in asdict(hand).items()
    }


def _parsed(line: dict[str, str]) -> SeenHand:
    kinds = {"str": str, "int": int, "float": float}
    return SeenHand(
        **{each.name: kinds[str(each.type)](line[each.name]) for each in fields(SeenHand)}
    )


@dataclass(frozen=True)
class Errors:
    """Over the hands of a case that were found.

    Attributes:
        hands: how many there are, found or not.
        placed: mean distance of joints in the rig's frame and its standard error, mm; aligned: the
            same after alignment; median: of `placed`.
        found: share of the hands that were fitted.
        others: hands of the frames beside these; valid: those of them that are stored as valid.
    """

    hands: int
    placed: tuple[float, float]
    aligned: tuple[float, float]
    median: float
    found: float
    others: int
    valid: int

    @classmethod
    def of(cls, hands: Sequence[SeenHand]) -> Errors:
        """Of the hands of a case."""
        placed = np.array([hand.placed_mm for hand in hands])
        aligned = np.array([hand.aligned_mm for hand in hands])
        found = np.isfinite(placed)
        return cls(
            len(hands),
            _mean(placed[found]),
            _mean(aligned[found]),
            float(np.median(placed[found])),
            float(found.mean()),
            sum(hand.others for hand in hands),
            sum(hand.valid for hand in hands),
        )

    def cells(self) -> list[str]:
        """Of a table."""
        return [
            str(self.hands),
            f"{self.placed[0]:.2f} +- {self.placed[1]:.2f}",
            f"{self.median:.2f}",
            f"{self.aligned[0]:.2f} +- {self.aligned[1]:.2f}",
            f"{self.found:.1%}",
            str(self.others),
            str(self.valid),
        ]


COLUMNS = ("hands", "camera space, mm", "median", "PA, mm", "found", "other hands", "valid")
"""Of `Errors.cells`."""


def _mean(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / np.sqrt(len(values)))
