"""Data sets that installed packages can read: their names, their splits, who opens them.

A package offers a reader by an entry point of the group `fit_hands.datasets`, whose name is the
data set's and which names a `DatasetOffer`. So a run can take its images from a data set while the
engine knows none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from fitter.errors import InputError
from fitter.inputs.addresses import is_address

ENTRY_POINTS = "fit_hands.datasets"
"""Group of the entry points; the name of one is what `--dataset` says."""


@dataclass(frozen=True)
class DatasetOffer:
    """A data set that can be read. Importing it must be light: it opens nothing.

    Attributes:
        summary: one line, for help texts.
        splits: their names, the one that is meant without a name first; empty where the reader
            takes any text.
        opener: where the reader is, "module:function" of ``(folder, split)``; the module is
            imported when it is needed. The function returns the images as
            `datasets.annotations.AnnotatedImages` describes them.
        takes_addresses: whether the folder may be an address as `fitter.inputs.addresses` knows
            them, which is then handed over as a text; otherwise it is a `Path`.
    """

    summary: str
    splits: tuple[str, ...]
    opener: str
    takes_addresses: bool = False

    def chosen(self, name: str, folder: Path | str, split: str | None = None) -> str:
        """The split that is meant; arguments and errors as of `open`."""
        chosen = (self.splits[0] if self.splits else "") if split is None else split
        if self.splits and chosen not in self.splits:
            known = ", ".join(self.splits)
            raise InputError("dataset.split", file=folder, dataset=name, known=known, found=chosen)
        return chosen

    def open(self, name: str, folder: Path | str, split: str | None = None) -> Any:
        """The data set in a folder.

        Args:
            name: of the data set, for what is said.
            folder: of the data set as it is published.
            split: one of `splits`; None for the first.

        Raises:
            InputError: there is no such split, or the folder is an address and the reader takes
                none; or see the reader.
        """
        chosen = self.chosen(name, folder, split)
        if is_address(folder) and not self.takes_addresses:
            raise InputError("dataset.address", file=folder, dataset=name)
        module, _, function = self.opener.partition(":")
        place = str(folder) if is_address(folder) else Path(folder)
        return getattr(import_module(module), function)(place, chosen)


@lru_cache
def dataset_names() -> Sequence[str]:
    """Of all data sets that installed packages can read, sorted."""
    return tuple(sorted(point.name for point in entry_points(group=ENTRY_POINTS)))


@lru_cache
def dataset_offer(name: str) -> DatasetOffer:
    """Who reads a data set.

    Raises:
        InputError: `dataset.not_offered`: nobody.
    """
    offered = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in offered:
        known = ", ".join(dataset_names()) or "none"
        raise InputError("dataset.not_offered", file="--dataset", known=known, found=name)
    offer: DatasetOffer = offered[name].load()
    return offer
