"""Which estimated hand is held against which annotated one.

Images are matched by name, see `places_in_dataset`. Within an image there are two rules:

best   The data set annotates one hand an image. Of the valid hands the one with the best score
       counts, wherever it is and whatever side it was given. FreiHAND's annotations are scored so.
place  Hands are paired by side and place in the image. The distance of a pair is the mean distance
       of their 2D keypoints, divided by the annotated hand's size: the longer side of the box
       around its 2D keypoints (of boxes' centres, where the data set annotates only boxes). Pairs
       farther apart than `LIMIT` are none. Among what is left the assignment has the most pairs
       and, of these, the least sum of distances, each with `OTHER_SIDE` added where the sides
       differ (the Hungarian method, `scipy.optimize.linear_sum_assignment`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from datasets.annotations import AnnotatedHand, AnnotatedImages, Annotation
from datasets.evaluation.records import EstimatedHand, EstimatedImage, Loss, Lost, Pair
from fitter.errors import InputError

MatchRule = Literal["best", "place"]

FREIHAND = "freihand"
"""The reader whose data set annotates one hand an image and numbers its images."""
LIMIT = 1.0
"""Sizes of the annotated hand: farther apart is another hand."""
OTHER_SIDE = 0.5
"""Sizes of the annotated hand that another side counts for: of two hands in one place the one of
the right side is taken."""


def places_in_dataset(
    source: Path, found: Iterable[str], images: AnnotatedImages
) -> dict[int, int]:
    """Where the images of a data set are in a source that lists images by name.

    Two names are of one image where they are equal or one ends in the other, whole folders at a
    time: ``rgb/7.png`` and ``train/A/rgb/7.png``. FreiHAND numbers its images, and there the file
    name alone decides, whatever folder it lies in.

    Args:
        source: for what is said.
        found: names in the source.
        images: the data set.

    Returns:
        place in the data set -> place in the source.

    Raises:
        InputError: none of the images is of the data set, or two are the same.
    """
    names = images.names
    by_file: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        by_file[PurePosixPath(name).name].append(place)
    places: dict[int, int] = {}
    for row, name in enumerate(found):
        parts = PurePosixPath(name).parts
        candidates = by_file.get(parts[-1], []) if parts else []
        if images.dataset != FREIHAND:
            ends = [PurePosixPath(names[place]).parts for place in candidates]
            candidates = [
                place
                for place, end in zip(candidates, ends, strict=True)
                if parts[-len(end) :] == end or end[-len(parts) :] == parts
            ]
        for place in candidates:
            if place in places or len(candidates) > 1:
                raise InputError("evaluation.same_name", file=source, name=parts[-1])
            places[place] = row
    if not places:
        raise InputError("evaluation.other_images", file=source, dataset=images.root)
    return places


def match_image(
    place: int, annotation: Annotation, estimate: EstimatedImage, rule: MatchRule
) -> tuple[list[Pair], list[Lost], int]:
    """Hold the hands of an image against the annotated ones.

    Returns:
        the pairs, the annotated hands without an estimate, and how many estimates are left over;
        by the rule "best" none is.
    """
    hands = [h for h in estimate.hands if np.isfinite(h.keypoints_3d).all()]
    if rule == "best":
        order = sorted(range(len(hands)), key=lambda i: -hands[i].score)
        chosen = dict(zip(range(len(annotation.hands)), order[:1], strict=False))
        left_over = 0
    else:
        chosen = _assigned(annotation, hands)
        left_over = len(hands) - len(chosen)
    pairs = [
        Pair(place, number, annotation, annotation.hands[number], hands[found])
        for number, found in sorted(chosen.items())
    ]
    fate = estimate.fate
    why: Loss
    if fate != "ok":
        why = fate
    elif hands and rule == "place":
        why = "missed"
    else:
        why = "refused" if estimate.refused else "failed"
    lost = [
        Lost(place, truth, why)
        for number, truth in enumerate(annotation.hands)
        if number not in chosen
    ]
    return pairs, lost, left_over


def _assigned(annotation: Annotation, hands: Sequence[EstimatedHand]) -> dict[int, int]:
    """Annotated hand -> estimated hand, by the rule "place"."""
    if not hands or not annotation.hands:
        return {}
    distance = np.array(
        [[_distance(truth, hand, annotation) for hand in hands] for truth in annotation.hands]
    )
    other = [
        [None not in (t.side, h.side) and t.side != h.side for h in hands] for t in annotation.hands
    ]
    allowed = distance <= LIMIT
    # Dearer than any number of allowed pairs together, so that the most pairs come first.
    forbidden = 1 + min(distance.shape) * (LIMIT + OTHER_SIDE)
    cost = np.where(allowed, distance + OTHER_SIDE * np.array(other, float), forbidden)
    rows, columns = linear_sum_assignment(cost)
    return {int(r): int(c) for r, c in zip(rows, columns, strict=True) if allowed[r, c]}


def _distance(truth: AnnotatedHand, hand: EstimatedHand, annotation: Annotation) -> float:
    """Between the two hands in the image, in sizes of the annotated one. 0 where one of them has
    no known place in the image: then side alone tells hands apart."""
    marks = truth.keypoints_2d
    if not np.isfinite(marks).all(axis=-1).any():
        marks = _projected(truth, annotation)
    both = np.isfinite(marks).all(axis=-1) & np.isfinite(hand.keypoints_2d).all(axis=-1)
    if both.any():
        size = float(np.nanmax(np.nanmax(marks, axis=0) - np.nanmin(marks, axis=0)))
        apart = np.linalg.norm(marks[both] - hand.keypoints_2d[both], axis=-1).mean()
    elif truth.box is not None and np.isfinite(hand.keypoints_2d).any():
        x0, y0, x1, y1 = truth.box
        size = float(max(x1 - x0, y1 - y0))
        centre = 0.5 * (np.nanmin(hand.keypoints_2d, axis=0) + np.nanmax(hand.keypoints_2d, axis=0))
        apart = np.linalg.norm(centre - [(x0 + x1) / 2, (y0 + y1) / 2])
    else:
        return 0.0
    # A single annotated keypoint has no size: what is not exactly there is somewhere else.
    return float(apart / size) if size > 0 else float(np.inf if apart > 0 else 0)


def _projected(truth: AnnotatedHand, annotation: Annotation) -> np.ndarray:
    if annotation.intrinsics is None or truth.is_root_relative:
        return truth.keypoints_2d
    K = annotation.intrinsics if truth.intrinsics is None else truth.intrinsics
    return project(truth.keypoints_3d, K)


def project(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """(N, 3) metres in the camera and (3, 3) K -> (N, 2) pixels; NaN behind the camera."""
    image = points @ K.T
    depth = np.where(image[:, 2:] > 0, image[:, 2:], np.nan)
    return image[:, :2] / depth
