"""Scores hands against a data set, some images at a time, and sums up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from datasets.annotations import AnnotatedImages
from datasets.evaluation import scores
from datasets.evaluation.evaluation import Curves, Evaluation, Part
from datasets.evaluation.matching import FREIHAND, MatchRule, match_image
from datasets.evaluation.measures import MEASURES, Measure
from datasets.evaluation.notes import size_ratios, source_notes, unit_notes
from datasets.evaluation.options import EvaluationOptions, check_penalty, check_ranges
from datasets.evaluation.records import EstimatedImage, Estimates, Lost, Pair
from datasets.evaluation.truth import TrueMeshes, TruthChunk, truth_in_chunks
from fitter import metrics
from fitter.conventions import KEYPOINT_NAMES
from fitter.errors import InputError

NOTES_SHOWN = 3
"""Damaged samples that are named one by one."""


def evaluate(
    estimates: Estimates,
    images: AnnotatedImages,
    options: EvaluationOptions | None = None,
    label: str | None = None,
    told: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Score hands against a data set.

    Memory grows with the number of hands by about a kilobyte each; images are read some at a time.
    An image whose annotation is damaged is left out and named in the notes.

    Args:
        estimates: of the data set's images.
        images: the data set.
        options: how; None for `EvaluationOptions()`.
        label: what it is called in tables; None for the source's file name.
        told: how many images are scored, again and again.

    Raises:
        InputError: a range leaves the data set; the penalty is no length; the source is damaged;
            none of the data set's hands can be compared with anything.
    """
    options = options or EvaluationOptions()
    check_penalty(options.missing_as_mm)
    check_ranges(options.ranges, images.root, len(images))
    rule = options.match or ("best" if images.dataset == FREIHAND else "place")
    scored = _Scored(estimates, TrueMeshes(options.mano, options.model), rule)
    for chunk in truth_in_chunks(images, scored.damaged):
        scored.add(chunk)
        told(min(len(images), len(scored.read) + len(scored.damage)))
    named = [(f"{part.start}:{part.stop}", part) for part in options.ranges]
    every = [("all", range(len(images))), *named]
    whole, *parts = (scored.part(name, places, options) for name, places in every)
    curves = scored.curves()
    by_joint = dict(zip(KEYPOINT_NAMES, _column_means(1e3 * curves.joints), strict=True))
    fingers = metrics.per_finger(1e3 * curves.joints)
    by_finger = {name: _mean(values) for name, values in fingers.items()}
    return Evaluation(
        label or estimates.path.stem,
        estimates.path,
        images.dataset,
        images.root,
        images.split,
        rule,
        options.missing_as_mm,
        estimates.definition,
        images.definition,
        estimates.is_posed,
        estimates.iterations,
        whole,
        tuple(parts),
        by_joint,
        by_finger,
        (*source_notes(estimates, images), *scored.notes()),
        curves,
    )


@dataclass
class _Scored:
    """The errors of all pairs so far.

    Attributes:
        place: of each pair's image; `figures` and `errors` have as many rows.
    """

    estimates: Estimates
    meshes: TrueMeshes
    rule: MatchRule
    place: list[int] = field(default_factory=list)
    other_side: list[bool] = field(default_factory=list)
    figures: list[scores.Errors] = field(default_factory=list)
    joints: list[np.ndarray] = field(default_factory=list)
    image: list[np.ndarray] = field(default_factory=list)
    vertex_curve: np.ndarray | None = None
    vertex_hands: int = 0
    frames: list[tuple[str, int, str] | None] = field(default_factory=list)
    moving: list[np.ndarray] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    left_over: Counter[int] = field(default_factory=Counter)
    read: list[int] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    no_mesh: str | None = None
    """Why there are no meshes, where the model that poses them is missing."""

    def damaged(self, place: int, error: InputError) -> None:
        """Remember a sample that could not be read."""
        self.damage.append(str(error))

    def add(self, chunk: TruthChunk) -> None:
        """Score the hands of some images."""
        pairs: list[Pair] = []
        masks: list[np.ndarray | None] = []
        wanted = any(mask is not None for mask in chunk.masks) or any(
            self.meshes.are_known(hand) for a in chunk.annotations for hand in a.hands
        )
        found = self._estimated(chunk, wanted)
        for place, annotation, of_image, estimate in zip(
            chunk.places, chunk.annotations, chunk.masks, found, strict=True
        ):
            self.read.append(place)
            of_place, lost, left_over = match_image(place, annotation, estimate, self.rule)
            self.lost += lost
            self.left_over[place] += left_over
            pairs += of_place
            masks += [None if of_image is None else of_image[pair.number] for pair in of_place]
        if pairs:
            self._score(pairs, masks)

    def _estimated(self, chunk: TruthChunk, wanted: bool) -> list[EstimatedImage]:
        """What the source has; without meshes where the model that poses them is missing."""
        if wanted and self.no_mesh is None:
            try:
                return self.estimates.images(chunk.places, chunk.annotations, True)
            except InputError as error:
                if error.code.startswith("store."):
                    raise
                self.no_mesh = str(error)
        return self.estimates.images(chunk.places, chunk.annotations, False)

    def _score(self, pairs: list[Pair], masks: list[np.ndarray | None]) -> None:
        self.ratios += size_ratios(pairs)
        errors = scores.keypoint_errors(pairs)
        figures = scores.keypoint_figures(errors) | scores.reference_figures(pairs)
        vertices = [
            None if pair.estimate.vertices is None else self.meshes.vertices(pair.truth)
            for pair in pairs
        ]
        of_vertices, curves = scores.vertex_figures(pairs, vertices, self._faces)
        figures |= of_vertices | scores.mask_figures(pairs, masks, self._faces)
        there = np.isfinite(curves).all(axis=1)
        if there.any():
            total = curves[there].sum(axis=0)
            self.vertex_curve = total if self.vertex_curve is None else self.vertex_curve + total
            self.vertex_hands += int(there.sum())
        self.place += [pair.place for pair in pairs]
        self.other_side += [pair.is_other_side for pair in pairs]
        self.figures.append(figures)
        self.joints.append(errors["aligned"])
        self.image.append(errors["image"])
        for pair in pairs:
            annotation = pair.annotation
            if annotation.sequence is None or annotation.frame is None:
                self.frames.append(None)
                continue
            hand = pair.truth.side or str(pair.number)
            self.frames.append((annotation.sequence, annotation.frame, hand))
            points = np.stack([pair.estimate.keypoints_3d, pair.truth.keypoints_3d])
            rooted = pair.truth.is_root_relative
            self.moving.append(points - points[:, :1] if rooted else points)

    def _faces(self, pair: Pair) -> np.ndarray | None:
        if self.no_mesh is not None:
            return None
        try:
            return self.estimates.faces(pair.estimate.side or pair.truth.side or "right")
        except InputError as error:
            self.no_mesh = str(error)
            return None

    def curves(self) -> Curves:
        """What plots are made of."""
        nothing = np.empty((0, len(KEYPOINT_NAMES)))
        vertices = None if self.vertex_curve is None else self.vertex_curve / self.vertex_hands
        return Curves(
            np.concatenate([nothing, *self.joints]),
            vertices,
            np.concatenate([nothing, *self.image]),
        )

    def notes(self) -> tuple[str, ...]:
        """What could not be measured and why."""
        said = [f"Left out, {sentence.rstrip('.')}." for sentence in self.damage[:NOTES_SHOWN]]
        if len(self.damage) > NOTES_SHOWN:
            said.append(f"{len(self.damage)} images were left out in all.")
        if self.no_mesh is not None:
            said.append(f"Meshes are not compared: {self.no_mesh.rstrip('.')}.")
        return (*said, *unit_notes(self.estimates, self.ratios))

    def part(self, name: str, places: range, options: EvaluationOptions) -> Part:
        """The figures of a range of images."""
        place = np.array(self.place, int)
        inside = (place >= places.start) & (place < places.stop)
        lost = [hand for hand in self.lost if hand.place in places]
        found = int(inside.sum())
        values = self._values(inside, lost, options.missing_as_mm)
        figures = {key: _mean(of) for key, (of, _) in values.items()}
        intervals = {}
        if options.resamples:
            intervals = {
                key: metrics.bootstrap_interval(
                    of, images, seed=options.seed, resamples=options.resamples
                )
                for key, (of, images) in values.items()
            }
        return Part(
            name,
            sum(read in places for read in self.read),
            found + len(lost),
            found,
            Counter(hand.why for hand in lost),
            sum(count for image, count in self.left_over.items() if image in places),
            int(np.array(self.other_side, bool)[inside].sum()),
            figures,
            intervals,
        )

    def _values(
        self, inside: np.ndarray, lost: Sequence[Lost], penalty: float | None
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Measure -> its values, charges included, and the image of each."""
        place = np.array(self.place, int)
        found = {}
        for key, measure in MEASURES.items():
            values = self._all(key)
            # Of a mesh of another topology nothing is known of found hands: then the others are
            # not charged either.
            if not np.isfinite(values).any() and (len(place) or penalty is None):
                continue
            known = inside & np.isfinite(values)
            of, images = values[known], place[known]
            if penalty is not None:
                charged = [hand.place for hand in lost if self._has(hand, measure)]
                of = np.concatenate([of, np.full(len(charged), _charge(measure, penalty))])
                images = np.concatenate([images, np.array(charged, int)])
            if len(of) or len(place):
                found[key] = (of, images)
        return found

    def _all(self, key: str) -> np.ndarray:
        """(N,) a measure of every pair."""
        if key != "acceleration_mm":
            return np.concatenate([np.empty(0), *(figures[key] for figures in self.figures)])
        values = np.full(len(self.place), np.nan)
        rows = [row for row, frame in enumerate(self.frames) if frame is not None]
        if rows:
            frames = [frame for frame in self.frames if frame is not None]
            points = np.stack(self.moving)
            values[rows] = scores.acceleration_figures(frames, points[:, 0], points[:, 1])
        return values

    def _has(self, hand: Lost, measure: Measure) -> bool:
        """Whether a measure is annotated of a hand that was not found."""
        truth = hand.truth
        points = bool(np.isfinite(truth.keypoints_3d).any())
        meshes = self.no_mesh is None and self.meshes.are_known(truth)
        return {
            "": False,
            "points": points,
            "camera": points and not truth.is_root_relative,
            "vertices": meshes,
            "camera vertices": meshes and not truth.is_root_relative,
        }[measure.needs]


def _charge(measure: Measure, penalty: float) -> float:
    """What a hand that was not found is charged in a measure's unit."""
    return penalty if measure.charge == "length" else metrics.auc(np.array([penalty / 1e3]))


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _column_means(values: np.ndarray) -> list[float]:
    return [_mean(column) for column in values.T]
