"""What the reader of an evaluation's figures has to know of how source and data set agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from datasets.annotations import AnnotatedImages
from datasets.evaluation.records import Estimates, Pair
from fitter.inputs.addresses import is_address

OTHER_UNIT = 30.0
"""Estimated and annotated hands whose sizes differ by more than this factor are in different units.
Hands are all alike within a factor of 3, and the next unit, centimetres, is 100 away: this is the
middle of the two, and millimetres lie beyond it."""


def source_notes(estimates: Estimates, images: AnnotatedImages) -> list[str]:
    """What a source says that does not go with the data set: another origin, unknown names."""
    return [*_other_origin(estimates, images), *_unknown_names(estimates, images)]


def size_ratios(pairs: Iterable[Pair]) -> list[float]:
    """Of each pair the size of the estimated hand by that of the annotated one.

    The size is the root of the mean squared distance of the keypoints from their mean, over those
    that are annotated; a pair with fewer than two of them, or without extent, has none.
    """
    found = []
    for pair in pairs:
        known = np.isfinite(pair.truth.keypoints_3d).all(axis=-1)
        if known.sum() < 2:
            continue
        true, estimated = (
            points[known].std(axis=0)
            for points in (pair.truth.keypoints_3d, pair.estimate.keypoints_3d)
        )
        if true.any() and estimated.any():
            found.append(float(np.linalg.norm(estimated) / np.linalg.norm(true)))
    return found


def unit_notes(estimates: Estimates, ratios: Sequence[float]) -> list[str]:
    """A hint where hands are of no hand's size, because they are not in metres."""
    if not ratios:
        return []
    ratio = float(np.median(ratios))
    if 1 / OTHER_UNIT <= ratio <= OTHER_UNIT:
        return []
    return [
        f"The hands of {estimates.path.name} are {ratio:.3g} times as large as the annotated ones: "
        "their lengths have to be metres."
    ]


def _other_origin(estimates: Estimates, images: AnnotatedImages) -> list[str]:
    made_of = estimates.made_of
    if made_of is None or not _is_elsewhere(made_of, images):
        return []
    return [
        f"{estimates.path.name} was made of {_called(made_of['name'], made_of['split'])} in "
        f"{made_of['folder']}, not of {_called(images.dataset, images.split)} in {images.root}: "
        "images are held against each other by name alone."
    ]


def _is_elsewhere(made_of: dict[str, str], images: AnnotatedImages) -> bool:
    """Whether the store's images are other ones than the data set's, as far as this can be known.

    A data set that was moved is the same one; a folder that is still there is another than the one
    given. Two readers of one folder read the same images.
    """
    folder, root = made_of["folder"], str(images.root)
    if is_address(folder):
        # `Path` takes a slash from an address.
        is_same = root in (folder, str(Path(folder)))
    else:
        is_same = Path(folder).resolve() == Path(root).resolve()
    if made_of["name"] != images.dataset:
        return not is_same
    if made_of["split"] != images.split:
        return True
    return not is_same and (is_address(folder) or Path(folder).exists())


def _called(name: str, split: str) -> str:
    return f"{name} ({split})" if split else name


def _unknown_names(estimates: Estimates, images: AnnotatedImages) -> list[str]:
    unknown = estimates.unknown_names
    if not unknown:
        return []
    many = len(unknown) > 1
    return [
        f"{len(unknown)} image name{'s' * many} of {estimates.path.name} {'are' if many else 'is'} "
        f"not of the data set{', such as' if many else ':'} {unknown[0]}."
    ]
