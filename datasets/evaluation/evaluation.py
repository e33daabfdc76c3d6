"""The figures of a store or of predictions on a data set: what `eval-hands` reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datasets.evaluation.measures import MEASURES
from fitter.metrics import Interval

LOSSES = ("no_hand", "refused", "failed", "pending", "absent", "missed")
LOST_AS = {
    "no_hand": "no hand",
    "refused": "refused",
    "failed": "failed",
    "pending": "pending",
    "absent": "not in the source",
    "missed": "not at its place",
}
"""What is said of a hand without an estimate, by why there is none."""


class Curves(NamedTuple):
    """What plots are made of: errors over all hands, pooled.

    Attributes:
        joints: (N, 21) metres, aligned; NaN where not annotated.
        vertices: (T,) share of aligned vertices at `metrics.AUC_THRESHOLDS`, or None.
        image: (N, 21) pixels.
    """

    joints: np.ndarray
    vertices: np.ndarray | None
    image: np.ndarray


@dataclass(frozen=True)
class Part:
    """The figures of a range of images.

    Attributes:
        name: "all", or the range as "start:stop".
        images: annotated images in the range.
        hands: annotated hands in them.
        found: hands with a valid estimate; all means are over these, see `EvaluationOptions`.
        lost: number of the other hands by why there is none, see `records.Loss`.
        left_over: valid estimates that are held against no annotated hand.
        other_side: found hands that were said to be the other hand.
        figures: measure of `MEASURES` -> value in its unit. A measure for which the source or the
            data set has nothing is absent.
        intervals: measure -> confidence interval, where they were asked for.
    """

    name: str
    images: int
    hands: int
    found: int
    lost: Mapping[str, int]
    left_over: int
    other_side: int
    figures: dict[str, float]
    intervals: dict[str, Interval]

    def to_json(self) -> dict[str, Any]:
        """Counts and figures in one flat dictionary; NaN as None."""
        counts = {"images": self.images, "hands": self.hands, "found": self.found}
        counts |= {key: self.lost.get(key, 0) for key in LOSSES if key != "absent"}
        counts["not_in_store"] = self.lost.get("absent", 0)
        counts |= {"left_over": self.left_over, "other_side": self.other_side}
        document: dict[str, Any] = counts | {k: _plain(v) for k, v in self.figures.items()}
        if self.intervals:
            document["intervals"] = {
                key: [_plain(bound) for bound in bounds] for key, bounds in self.intervals.items()
            }
        return document


@dataclass(frozen=True)
class Evaluation:
    """A store or a file of predictions scored against a data set.

    Attributes:
        label: what it is called in tables and plots.
        source: path of the store or file.
        dataset: name of the data set, its `folder` and its `split`.
        match: the rule that paired hands.
        missing_as_mm: see `EvaluationOptions`.
        definition: of the keypoints that are scored, None where it is not known; and `annotated`,
            that of the annotations.
        is_posed: whether they were posed from stored parameters.
        iterations: mean number of solver iterations after the keypoints, of a store.
        whole: the figures of all images.
        parts: the figures of the ranges asked for.
        by_joint: mean aligned error of each of the 21 keypoints, mm; NaN where not annotated.
        by_finger: the same of the wrist and each finger.
        notes: what could not be measured and why, in sentences.
        curves: what plots are made of.
    """

    label: str
    source: Path
    dataset: str
    folder: Path
    split: str
    match: str
    missing_as_mm: float | None
    definition: str | None
    annotated: str
    is_posed: bool
    iterations: float | None
    whole: Part
    parts: tuple[Part, ...]
    by_joint: dict[str, float]
    by_finger: dict[str, float]
    notes: tuple[str, ...]
    curves: Curves

    def to_json(self) -> dict[str, Any]:
        """JSON-able: the whole's figures, and under "parts" those of each range."""
        return {
            "store": str(self.source),
            "label": self.label,
            "dataset": str(self.folder),
            "dataset_name": self.dataset,
            "split": self.split,
            "match": self.match,
            "missing_as_mm": self.missing_as_mm,
            "keypoint_definition": self.definition,
            "iterations": self.iterations,
            **self.whole.to_json(),
            "by_joint_mm": {name: _plain(value) for name, value in self.by_joint.items()},
            "by_finger_mm": {name: _plain(value) for name, value in self.by_finger.items()},
            "notes": list(self.notes),
            "parts": {part.name: part.to_json() for part in self.parts},
        }

    def rows(self) -> list[tuple[str, ...] | None]:
        """The lines of its table: a label and one text for the whole and each range; None is a
        line between sections."""
        columns = (self.whole, *self.parts)
        rows: list[tuple[str, ...] | None] = [
            ("found / hands", *(f"{part.found} / {part.hands}" for part in columns))
        ]
        if any(part.images != part.hands for part in columns):
            rows.append(("  images", *(str(part.images) for part in columns)))
        for key, label in LOST_AS.items():
            if any(part.lost.get(key) for part in columns):
                rows.append((f"  {label}", *(str(part.lost.get(key, 0)) for part in columns)))
        for label, numbers in (
            ("  found as the other side", [part.other_side for part in columns]),
            ("  found and not annotated", [part.left_over for part in columns]),
        ):
            if any(numbers):
                rows.append((label, *map(str, numbers)))
        rows.append(None)
        for key, measure in MEASURES.items():
            if measure.is_shown and key in self.whole.figures:
                cells = (_cell(part, key, measure.digits) for part in columns)
                rows.append((measure.heading, *cells))
        return rows

    def caption(self) -> str:
        """What a reader of the figures has to know."""
        said = [MATCH_RULES[self.match]]
        if self.missing_as_mm is None:
            said.append("Hands that were not found are left out of the means.")
        else:
            said.append(
                f"Hands that were not found are charged {self.missing_as_mm:g} mm in the fit's "
                "millimetres and AUC."
            )
        return " ".join([*said, self._definition(), *self.notes])

    def _definition(self) -> str:
        name = self.dataset
        if self.definition is None:
            return f"The annotations of {name} are in the definition {self.annotated}."
        how = "posed from the stored parameters" if self.is_posed else "as stored"
        said = f"Keypoints are in the definition {self.definition}, {how}"
        if self.definition == self.annotated:
            return f"{said}; so are the annotations of {name}."
        return (
            f"{said}; the annotations of {name} are in another, {self.annotated}, and a part of "
            "the error is the difference, see docs/hand_size.md."
        )


MATCH_RULES = {
    "best": "Where several hands were found in an image, the valid one with the best detection "
    "score is scored.",
    "place": "Hands are paired by side and place in the image.",
}
"""What is said of how hands of an image are paired."""


def _cell(part: Part, key: str, digits: int) -> str:
    value = f"{part.figures.get(key, float('nan')):.{digits}f}"
    if key not in part.intervals:
        return value
    low, high = part.intervals[key]
    return f"{value} [{low:.{digits}f}, {high:.{digits}f}]"


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else value
