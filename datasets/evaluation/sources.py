"""What can be evaluated: stores of `fit-hands`, and predictions of any tool."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from datasets.annotations import AnnotatedImages
from datasets.evaluation.predictions import PredictionEstimates
from datasets.evaluation.records import Estimates
from datasets.evaluation.stores import StoreEstimates
from datasets.evaluation.truth import TrueMeshes
from fitter.store.reader import StoreReader


class StoredDataset(NamedTuple):
    """The data set that a store was made of.

    Attributes:
        name: of its reader.
        folder: where it lay; a path or an address.
        split: of it.
    """

    name: str
    folder: str
    split: str


def stored_dataset(path: Path) -> StoredDataset | None:
    """The data set that a store says it was made of, with `fit-hands --dataset`; None without.

    Raises:
        InputError: there is no store, or it is damaged.
    """
    said = StoreReader.open(Path(path)).dataset_place
    if said is None:
        return None
    return StoredDataset(said["name"], said["folder"], said["split"])


def open_estimates(
    path: str | Path,
    images: AnnotatedImages,
    definition: str | None = None,
    mano: Path | None = None,
) -> Estimates:
    """The hands of a store or of a JSON file of predictions.

    Args:
        path: a store, which is a folder, or a file.
        images: the data set that they are compared with.
        definition: of a store's keypoints; None for its own.
        mano: a MANO file whose faces predicted vertices have, or None.

    Raises:
        InputError: it cannot be read, or holds none of the images; there is no such definition; the
            MANO file is none.
    """
    path = Path(path)
    if path.is_file():
        return PredictionEstimates(path, images, TrueMeshes(mano).faces())
    return StoreEstimates(StoreReader.open(path), images, definition)
