"""Readers of the field's data sets, each in the layout that is published.

`open_dataset` opens one by name. A reader is a `datasets.annotations.AnnotatedImages`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fitter.inputs.datasets import dataset_offer

if TYPE_CHECKING:
    from datasets.annotations import AnnotatedImages

__all__ = ["open_dataset"]


def open_dataset(name: str, folder: Path, split: str | None = None) -> AnnotatedImages:
    """A data set as it lies on disk.

    ```python
    from datasets.readers import open_dataset

    images = open_dataset("freihand", "FreiHAND_pub_v2_eval", "evaluation")
    sample = images[0]
    sample.pixels.shape, sample.annotation.hands[0].keypoints_3d.shape  # (224, 224, 3), (21, 3)
    ```

    Args:
        name: of an installed reader, such as ``freihand``.
        folder: of the data set.
        split: its name; None for the one that evaluations are made on.

    Raises:
        InputError: there is no such reader or split, or the folder is not what it should be.
    """
    images: AnnotatedImages = dataset_offer(name).open(name, Path(folder), split)
    return images
