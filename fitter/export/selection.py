"""The hands of a store that are exported, image after image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from fitter.errors import InputError
from fitter.export.request import MANO_FORMATS, MESHES, ExportRequest
from fitter.formats.hand_record import HandRecord
from fitter.rig import Rig
from fitter.store.block_sizes import chunk_length
from fitter.store.frame_schema import FrameRow, ViewHandRow
from fitter.store.layout import Block
from fitter.store.reader import StoreReader
from fitter.store.row_kinds import Row
from fitter.store.schema import HandRow, ImageRow
from fitter.store.variables import Variable

_MESH = frozenset(("vertex", "offset_vertex"))
_SKIN = frozenset(("colour_vertex", "texel_row", "texel_column"))
"""Dimensions of variables that only meshes need, and those of them that only colours need."""


@dataclass(frozen=True)
class ImageHands:
    """An image, or a frame of several, and those of its hands that are exported.

    Attributes:
        name: of the image or frame.
        place: in the store, from 0 on.
        image: what is known of it; None where it was not reached yet.
        hands: those selected, in the order of their slots.
        others: number of its other hands.
    """

    name: str
    place: int
    image: Row | None
    hands: tuple[HandRecord, ...]
    others: int = 0


@dataclass(frozen=True)
class Selection:
    """Which images and hands.

    Attributes:
        request: says it.
    """

    request: ExportRequest

    def has_image(self, name: str) -> bool:
        """Whether an image is among those asked for."""
        patterns = self.request.only
        return not patterns or any(name == p or fnmatchcase(name, p) for p in patterns)

    def require_images(self, names: Sequence[str]) -> None:
        """Make sure that every name and pattern means an image.

        Raises:
            InputError: one does not.
        """
        unmatched = dict.fromkeys(self.request.only)
        for name in names if unmatched else ():
            for pattern in [p for p in unmatched if name == p or fnmatchcase(name, p)]:
                del unmatched[pattern]
            if not unmatched:
                return
        for pattern in unmatched:
            raise InputError("export.no_image", file=self.request.store, found=pattern)

    def has_hand(self, hand: HandRow) -> bool:
        """Whether a hand is among those asked for."""
        request = self.request
        if not (hand.valid or request.include_invalid):
            return False
        if request.side is not None and hand.side != request.side:
            return False
        score = 0.0 if hand.score is None else hand.score
        return score >= request.min_score

    def images(self, store: StoreReader) -> Iterator[ImageHands]:
        """All images asked for, in the store's order, some in memory at a time.

        Raises:
            InputError: the store is damaged.
        """
        rig = store.rig
        committed = {block.index for block in store.committed_blocks()}
        step = chunk_length(store.block_size)  # what is decompressed as a whole anyway
        for block in store.blocks():
            for start in range(block.start, block.stop, step):
                part = Block(block.index, start, min(start + step, block.stop))
                names = store.names[part.start : part.stop]
                if not any(map(self.has_image, names)):
                    continue
                rows: Sequence[Row | None] = [None] * len(part)
                if block.index in committed:
                    rows = store.read_block(part, self._wanted)
                for offset, (name, row) in enumerate(zip(names, rows, strict=True)):
                    if self.has_image(name):
                        yield self._of_image(name, start + offset, row, rig)

    @property
    def _wanted(self) -> Callable[[Variable], bool]:
        request, left = self.request, {"vertex"}  # meshes are posed, with or without it
        if request.format in MANO_FORMATS:
            left |= _SKIN
        elif not (request.format in MESHES or request.save_vertices):
            left |= _MESH | _SKIN
        return lambda variable: not left & set(variable.dims)

    def _of_image(self, name: str, place: int, row: Row | None, rig: Rig | None) -> ImageHands:
        if row is None:
            return ImageHands(name, place, None, ())
        chosen = tuple(
            HandRecord(
                name,
                place,
                slot,
                _image_of(row),
                hand,
                None if rig is None else _seen(row, slot, rig),
            )
            for slot, hand in enumerate(row.hands)
            if self.has_hand(hand)
        )
        return ImageHands(name, place, row, chosen, len(row.hands) - len(chosen))


def _image_of(row: Row) -> ImageRow:
    return row if isinstance(row, ImageRow) else ImageRow()


def _seen(row: Row, slot: int, rig: Rig) -> dict[str, ViewHandRow]:
    """What each camera saw of a hand of a frame."""
    assert isinstance(row, FrameRow)
    pairs = zip(rig.names, row.views, strict=True)
    return {name: view.hands[slot] if view.hands else ViewHandRow() for name, view in pairs}
