"""Textures of the hands of a store, extracted from their images while they are exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fitter.errors import InputError
from fitter.export.summary import ExportSummary
from fitter.fitted_hand import FittedHand
from fitter.formats.hand_record import HandRecord
from fitter.inputs.stored_images import read_stored_image
from fitter.records import Side
from fitter.results import Results
from fitter.textures import HandTexture, TextureFusion

SIZE = 512
"""Texels along a side, as of `FittedHand.extract_texture`."""


class ImageTextures:
    """Extracts textures; a hand whose image cannot be used goes without, which is told.

    One image is in memory at a time, and what was measured of each person's hands.
    """

    def __init__(self, folder: Path, results: Results, summary: ExportSummary) -> None:
        """Take the folder that the images' names belong to.

        Args:
            folder: of the images.
            results: the store.
            summary: counts hands without a texture.
        """
        self._folder, self._results, self._summary = folder, results, summary
        self._place: int | None = None
        self._image: tuple[list[FittedHand], np.ndarray] | InputError | None = None
        self._fused: dict[tuple[str, Side], TextureFusion] = {}

    def of_hand(self, record: HandRecord) -> HandTexture | None:
        """The texture that a hand's image shows; what it hides is filled."""
        assert record.slot is not None
        try:
            hands, pixels = self._opened(record)
            return hands[record.slot].extract_texture(pixels, size=SIZE, others=hands)
        except InputError as error:
            self._summary.untextured.add(f"no texture of a hand in {record.image_name}: {error}")
            return None

    def add(self, person: str, record: HandRecord) -> None:
        """Add what an image shows of a person's hand to what others have shown of that hand."""
        found = self.of_hand(record)
        if found is not None:
            assert record.hand.side is not None
            atlas = self._results.meshes.atlas(SIZE)
            key = (person, record.hand.side)
            self._fused.setdefault(key, TextureFusion(atlas)).add(found)

    def of_person(self, person: str, side: Side) -> HandTexture | None:
        """The texture of all images of a person's hand of one side, where none shows it that of
        the other hand; None where none could be used."""
        others: Side = "left" if side == "right" else "right"
        own, other = self._fused.get((person, side)), self._fused.get((person, others))
        counterpart = None if other is None else other.result()
        return counterpart if own is None else own.result(counterpart)

    def _opened(self, record: HandRecord) -> tuple[list[FittedHand], np.ndarray]:
        """All hands of a record's image, and its pixels."""
        if self._image is None or self._place != record.place:
            self._place, self._image = record.place, self._read(record)
        if isinstance(self._image, InputError):
            raise self._image
        return self._image

    def _read(self, record: HandRecord) -> tuple[list[FittedHand], np.ndarray] | InputError:
        """The same, or why it cannot be read, which is so for each of its hands."""
        try:
            pixels = read_stored_image(self._folder, record.image_name)
        except InputError as error:
            return error
        hands = [
            FittedHand.of(record.image_name, record.image, hand, self._results.meshes)
            for hand in record.image.hands
        ]
        return hands, pixels
