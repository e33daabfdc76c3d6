"""FreiHAND's own evaluation of a store or of predictions; see `fitter.metrics.freihand`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from datasets.annotations import AnnotatedImages
from datasets.evaluation.evaluation import LOST_AS, MATCH_RULES
from datasets.evaluation.matching import FREIHAND, match_image
from datasets.evaluation.notes import size_ratios, source_notes, unit_notes
from datasets.evaluation.records import Estimates, Pair
from datasets.evaluation.truth import TrueMeshes, truth_in_chunks
from fitter.errors import InputError
from fitter.metrics import FreiHandScores, freihand_scores


@dataclass(frozen=True)
class FreiHandEvaluation:
    """Scores by FreiHAND's rules.

    Attributes:
        label: of the source.
        scores: of the hands found.
        found: number of hands that are scored.
        lost: number of the other annotated hands by why there is none, see `records.Loss`; "partly
            annotated" for those that the script does not know.
        notes: what a reader of the figures has to know, in sentences.
    """

    label: str
    scores: FreiHandScores
    found: int
    lost: Mapping[str, int]
    notes: tuple[str, ...] = ()

    @property
    def hands(self) -> int:
        """How many are annotated. FreiHAND's script takes no submission that lacks one."""
        return self.found + sum(self.lost.values())

    def to_json(self) -> dict[str, Any]:
        """JSON-able: the names of FreiHAND's `scores.txt`; lengths in cm."""
        counts = {"label": self.label, "hands": self.hands, "found": self.found}
        return {**counts, **asdict(self.scores), "notes": list(self.notes)}

    def printed(self) -> str:
        """What FreiHAND's script prints, a line where hands are missing, and the notes."""
        lines = [self.scores.printed()]
        if self.lost:
            whys = ", ".join(
                f"{number} {LOST_AS.get(why, why)}" for why, number in self.lost.items()
            )
            lines.append(f"{self.found} of {self.hands} hands; the others: {whys}")
        return "\n".join([*lines, *self.notes])


def freihand_evaluation(
    estimates: Estimates, images: AnnotatedImages, label: str | None = None
) -> FreiHandEvaluation:
    """Score hands by FreiHAND's rules.

    All hands are held in memory, 40 MB for a thousand with meshes.

    Args:
        estimates: of the data set's images.
        images: FreiHAND, or another data set with one annotated hand an image.
        label: what it is called; None for the source's file name.

    Raises:
        InputError: a sample is damaged, or no annotated hand has an estimate.
    """
    pairs, lost = _pairs(estimates, images)
    if not pairs:
        raise InputError("evaluation.no_hands", file=estimates.path, dataset=images.root)
    vertices = [(pair.estimate.vertices, pair.truth.vertices) for pair in pairs]
    meshes = _meshes([found for found, _ in vertices]), _meshes([true for _, true in vertices])
    scores = freihand_scores(
        np.array([pair.estimate.keypoints_3d for pair in pairs]),
        np.array([pair.truth.keypoints_3d for pair in pairs]),
        *meshes,
    )
    notes = source_notes(estimates, images) + unit_notes(estimates, size_ratios(pairs))
    if images.dataset != FREIHAND:
        notes.append(f"{MATCH_RULES['best']} Without --protocol they are paired by place.")
    return FreiHandEvaluation(label or estimates.path.stem, scores, len(pairs), lost, tuple(notes))


def _pairs(estimates: Estimates, images: AnnotatedImages) -> tuple[list[Pair], dict[str, int]]:
    """The pairs that are scored, and the number of the other annotated hands by why."""

    def damaged(place: int, error: InputError) -> None:
        raise error

    pairs: list[Pair] = []
    lost: Counter[str] = Counter()
    for chunk in truth_in_chunks(images, damaged):
        with_meshes = any(
            TrueMeshes().are_known(hand) for a in chunk.annotations for hand in a.hands
        )
        found = estimates.images(chunk.places, chunk.annotations, with_meshes)
        for place, annotation, of_image in zip(chunk.places, chunk.annotations, found, strict=True):
            of_place, of_lost, _ = match_image(place, annotation, of_image, "best")
            whole = [p for p in of_place if np.isfinite(p.truth.keypoints_3d).all()]
            pairs += whole
            lost.update(hand.why for hand in of_lost)
            lost["partly annotated"] += len(of_place) - len(whole)
    return pairs, dict(+lost)


def _meshes(vertices: list[np.ndarray | None]) -> np.ndarray | None:
    """(N, V, 3), or None where one is missing or they are of different topologies."""
    there = [mesh for mesh in vertices if mesh is not None]
    if len(there) < len(vertices) or len({mesh.shape for mesh in there}) != 1:
        return None
    return np.array(there)
