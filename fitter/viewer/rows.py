"""The rows of a store by their places, read when they are looked at.

However long the store is, what is held is the chunks that were read last, and what is read is the
chunk that holds a row; `run` and `next_hand` read names, or scores, on their way and nothing else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fitter.fitted_hand import FittedHand
from fitter.frame_hand import FrameHand
from fitter.inputs.frame_names import video_of
from fitter.posed_hand import PosedHand
from fitter.results import FrameResults, Results
from fitter.rig import FrameNames
from fitter.store.block_sizes import chunk_length
from fitter.store.layout import Block
from fitter.store.variables import Variable

_CHUNKS = 3
"""Chunks that are held: the one that is looked at, and its neighbours."""

_TEXELS = frozenset(("texel_row", "texel_column"))
"""Dimensions of what is too large to be read for a chunk; it is read for the row that is shown."""


class StoreRows:
    """Images or frames of a store, by their place in it from 0 on."""

    def __init__(self, results: Results | FrameResults) -> None:
        """Take an open store."""
        self.results, self.store = results, results.store
        self._step = chunk_length(self.store.block_size)
        self._chunks: OrderedDict[int, Sequence[Any]] = OrderedDict()
        self._has_textures = "texture" in self.store.variable_names

    def __len__(self) -> int:
        return len(self.store.names)

    def name(self, place: int) -> str:
        """The name of an image or frame."""
        return self.store.names[place]

    def row(self, place: int) -> Any | None:
        """What is stored of an image (`ImageRow`) or frame (`FrameRow`), without meshes and
        textures; None where it was not reached yet.

        Raises:
            InputError: the store is damaged.
        """
        chunk = place // self._step
        rows = self._chunks.get(chunk)
        if rows is None:
            rows = self._read(chunk * self._step, _is_light)
            if all(row.status is not None for row in rows):  # others may be written meanwhile
                self._chunks[chunk] = rows
                while len(self._chunks) > _CHUNKS:
                    self._chunks.popitem(last=False)
        else:
            self._chunks.move_to_end(chunk)
        found = rows[place - chunk * self._step]
        return None if found.status is None else found

    def hands(self, place: int) -> Sequence[PosedHand]:
        """The hands of an image or frame with their meshes, by their slots.

        Raises:
            InputError: the store is damaged, or its hand model is not there.
        """
        row = self.row(place)
        if row is None or not row.hands:
            return []
        if self._has_textures:
            (row,) = self.store.read_block(self._part(place, place + 1))
        name, results = self.name(place), self.results
        if isinstance(results, FrameResults):
            names = FrameNames(name, self.store.frame_images[place])
            slots = range(len(row.hands))
            return [FrameHand.of(names, row, k, results.rig, results.meshes) for k in slots]
        return [FittedHand.of(name, row, hand, results.meshes) for hand in row.hands]

    def run(self, place: int) -> range:
        """The places of all frames of the video that an image is a frame of; the place alone of
        what is no frame. Frames of a video stand together in a store."""
        found = video_of(self.name(place))
        if found is None:
            return range(place, place + 1)

        def is_same(other: int) -> bool:
            there = video_of(self.name(other))
            return there is not None and there[0] == found[0]

        first = place - _reach(lambda far: is_same(place - far), place)
        last = place + _reach(lambda far: is_same(place + far), len(self) - 1 - place)
        return range(first, last + 1)

    def read(self, variable: str, places: range) -> np.ndarray | None:
        """A variable of neighbouring rows, (rows, ...); None where the store has none of it.

        Raises:
            InputError: it is damaged.
        """
        if variable not in self.store.variable_names:
            return None
        return self.store.read(variable, self._part(places.start, places.stop))

    def next_hand(self, place: int, step: int, min_score: float) -> int | None:
        """The nearest place with a valid hand of at least a score.

        Args:
            place: from which it is looked for, not counted itself.
            step: 1 for the places behind, -1 for those before.
            min_score: that a hand needs; one without a score has 0.
        """
        at = place + step
        while 0 <= at < len(self):
            start = at // self._step * self._step
            part = range(start, min(start + self._step, len(self)))
            valid, score = self.read("valid", part), self.read("score", part)
            assert valid is not None
            scores = np.zeros(valid.shape) if score is None else np.nan_to_num(score)
            good = (valid.astype(bool) & (scores >= min_score)).any(axis=1)
            found = [part.start + k for k in np.flatnonzero(good).tolist()]
            found = [other for other in found if (other - place) * step > 0]
            if found:
                return found[0] if step > 0 else found[-1]
            at = part.stop if step > 0 else part.start - 1
        return None

    def find(self, text: str, place: int) -> int | None:
        """The next place whose name contains a text, behind `place` first and then from the start;
        a name that is the text itself comes before all others."""
        text, behind, before = text.lower(), None, None
        for other, name in enumerate(self.store.names):
            lower = name.lower()
            if lower == text:
                return other
            if text in lower and other > place and behind is None:
                behind = other
            if text in lower and before is None:
                before = other
        return before if behind is None else behind

    def _read(self, start: int, wanted: Callable[[Variable], bool]) -> Sequence[Any]:
        part = self._part(start, min(start + self._step, len(self)))
        return self.store.read_block(part, wanted)

    def _part(self, start: int, stop: int) -> Block:
        return Block(start // self.store.block_size, start, stop)


def _is_light(variable: Variable) -> bool:
    return not ({"vertex"} | _TEXELS) & set(variable.dims)


def _reach(holds: Callable[[int], bool], most: int) -> int:
    """The largest distance up to `most` for which `holds`, which is true of 0 and, once false,
    stays false; found in a number of steps that grows with its logarithm."""
    good, step = 0, 1
    while good + step <= most and holds(good + step):
        good, step = good + step, 2 * step
    bad = min(good + step, most + 1)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    return good
