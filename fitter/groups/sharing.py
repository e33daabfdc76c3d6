"""What a kind of shared values has to say of itself, so that passes are made for it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, TypeVar

from fitter.inputs.sources import Sources
from fitter.records import HandKey
from fitter.store.reader import StoreReader

Shared = TypeVar("Shared")


class Sharing(Protocol[Shared]):
    """Something that several images share, such as a person's shape.

    A run goes over all images `passes` times. What a pass has found is in a store of its own; when
    it is complete, the shared values are made of its rows, written, and given to the next pass.
    Whatever is written depends on the rows alone, in the order of the images, so that a run that is
    killed and continued ends with the same bits.
    """

    @property
    def name(self) -> str:
        """Of the group of the store that holds the values."""
        ...

    @property
    def passes(self) -> int:
        """At least 2."""
        ...

    @property
    def reads(self) -> frozenset[str]:
        """Those of `fitter.store.optional_variables.OPTIONAL_DIMENSIONS` whose variables `share`
        reads; rows of passes before the last one have no others."""
        ...

    @property
    def pass_sizes(self) -> dict[str, int]:
        """Lengths of optional dimensions that the rows of all passes but the last one need."""
        ...

    def share(self, rows: StoreReader) -> Shared:
        """The values, from the rows of a pass that is complete.

        Memory may grow with the values, not with the images.
        """
        ...

    def write(self, path: Path, shared: Shared) -> None:
        """Write the values to the folder `path`, in one step; one that is there already stays.

        Raises:
            InputError: the disk refuses.
        """
        ...

    def sweep(self, path: Path) -> None:
        """Remove what killed runs left of values that were never put in place at `path`."""
        ...

    def read(self, path: Path) -> Shared:
        """What `write` has written.

        Raises:
            InputError: it is damaged.
        """
        ...

    def asked(self, sources: Sources) -> Sources:
        """The images of the first pass, asked for what the values are made of."""
        ...

    def given(self, sources: Sources, shared: Shared) -> Sources:
        """The images with what is known of them now."""
        ...

    def people_of(self, path: Path) -> list[HandKey]:
        """Whose hands share something, of the values at `path`, in the order in which they are
        stored."""
        ...

    def notes(self, rows: StoreReader, sources: Sources, path: Path) -> list[str]:
        """Sentences for whoever started the run, when its last pass is complete.

        Args:
            rows: of that pass.
            sources: of the run.
            path: of the shared values that it was given.

        Raises:
            InputError: the values are damaged.
        """
        ...
