"""Readers of the field's data sets, each in the layout that is published.

`open_dataset` opens one by name. A reader is a `datasets.annotations.AnnotatedImages`; `usable`
goes through it past damaged samples, `GuardedSamples` gives it to torch's DataLoader, `hand_params`
poses its hands with the user's MANO file, `own_params` with the model that they were rendered or
fitted with.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fitter.inputs.datasets import dataset_offer
from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from datasets.annotations import AnnotatedImages
    from datasets.readers.iteration import (
        DamagedSample,
        GuardedSamples,
        annotation_alone,
        as_is,
        usable,
        usable_of,
    )
    from datasets.readers.posing import hand_params, own_params

__all__ = [
    "DamagedSample",
    "GuardedSamples",
    "annotation_alone",
    "as_is",
    "hand_params",
    "open_dataset",
    "own_params",
    "usable",
    "usable_of",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "DamagedSample": "datasets.readers.iteration",
        "GuardedSamples": "datasets.readers.iteration",
        "annotation_alone": "datasets.readers.iteration",
        "as_is": "datasets.readers.iteration",
        "hand_params": "datasets.readers.posing",
        "own_params": "datasets.readers.posing",
        "usable": "datasets.readers.iteration",
        "usable_of": "datasets.readers.iteration",
    },
)


def open_dataset(name: str, folder: Path | str, split: str | None = None) -> AnnotatedImages:
    """A data set as it lies on disk.

    ```python
    from datasets.readers import open_dataset

    images = open_dataset("freihand", "FreiHAND", "evaluation")
    sample = images[0]
    sample.pixels.shape, sample.annotation.hands[0].keypoints_3d.shape  # (224, 224, 3), (21, 3)
    ```

    Args:
        name: of an installed reader, such as ``freihand``.
        folder: of the data set; for readers that take them also an address.
        split: its name; None for the one that evaluations are made on.

    Raises:
        InputError: there is no such reader or split, or the folder is not what it should be.
    """
    images: AnnotatedImages = dataset_offer(name).open(name, folder, split)
    return images
