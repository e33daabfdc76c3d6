"""The textures of people: the last step of a run, made of all images of each hand.

Rows of the last pass -> `_Hands`: where each group's hands are -> images, in their order ->
`TextureFusion`, whose state is on the disk every few images -> filled, `write_textures`

One group is in memory at a time, whatever the number of its images. The states lie beside the rows
of the passes and go with them; a run that is killed goes on from the last one, to the same bits.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from fitter.errors import InputError
from fitter.groups.people import hands_in, parts_of
from fitter.inputs.image_task import ImageTask
from fitter.records import HandKey
from fitter.run.passes import stoppable, untracked
from fitter.run.progress import ProgressLine, say
from fitter.store.files import refused_as
from fitter.store.layout import PASSES, Block
from fitter.store.people import PEOPLE
from fitter.store.people_textures import TEXTURES, PersonTexture, write_textures
from fitter.store.reader import StoreReader
from fitter.store.schema import ImageRow
from fitter.store.variables import Variable
from fitter.system.files import write_whole
from fitter.system.lock import WriterLock
from fitter.system.messages import count
from fitter.system.stopping import StopRequest
from fitter.textures import HandTexture, TextureAtlas, TextureFusion, extract_texture

if TYPE_CHECKING:
    from fitter.run.work import RunState

log = logging.getLogger(__name__)

EVERY = 8
"""Images of a hand from one state on the disk to the next: what a crash costs at most."""

PART = 256
"""Images whose people are looked up at once."""

_UNUSED = frozenset({"vertex", "texel_row", "colour_vertex", "shape_information_entry"})
"""Dimensions of what is not read of the hands."""


def make_textures(run: RunState, keys: Sequence[HandKey], console: Console) -> bool:
    """Make the textures of people and put them in place, unless they are there.

    Args:
        run: whose last pass is complete.
        keys: whose hands, in the order in which they are stored.
        console: to show progress on.

    Returns:
        Whether they are there. Else the run was stopped, or another share is making them.

    Raises:
        InputError: rows or states are damaged, or the disk refuses.
    """
    place = run.store.path / PEOPLE / TEXTURES
    states = run.store.path / PASSES / TEXTURES
    with ExitStack() as stack:
        try:
            if place.exists():
                return True
            lock = WriterLock(states)
        except OSError as error:
            if place.exists():  # another share has made them, and removed the passes
                return True
            if isinstance(error, FileNotFoundError):
                what = f"{PEOPLE}/{TEXTURES}"
                raise InputError("store.lost", file=run.store.path, what=what) from error
            raise InputError("output.cannot_write", file=states, reason=error.strerror) from error
        except InputError as error:
            if error.code != "run.busy":
                raise
            say(console, "another share makes the textures")
            return False
        stack.callback(lock.release)
        if place.exists():
            return True
        with refused_as("output.cannot_write", states):
            states.mkdir(exist_ok=True)
        atlas = run.workers.engine.meshes.atlas(run.config.people.texture_size)
        maker = _Maker(run, keys, atlas, states)
        if not maker.fuse_all(console):
            return False
        write_textures(place, atlas.size, maker.textured, maker.filled())
        run.events.write("textures", groups=len(maker.textured), left_out=maker.left_out)
        if maker.left_out:
            run.summary.notes.append(
                f"textures: {count(maker.left_out, 'hand')} left out, {maker.reason}"
            )
    return True


class _Maker:
    """Fuses what images show of each group's hand, and fills what none shows."""

    def __init__(
        self, run: RunState, keys: Sequence[HandKey], atlas: TextureAtlas, states: Path
    ) -> None:
        self._run, self._keys, self._atlas, self._states = run, keys, atlas, states
        self._sources = untracked(run.sources)
        self._images: dict[HandKey, int] = {}
        self.left_out, self.reason = 0, ""

    @property
    def textured(self) -> list[HandKey]:
        """The groups of which an image shows this hand, or the other one of the same person."""
        return [key for key in self._keys if self._images[key] or self._images.get(_other(key))]

    def fuse_all(self, console: Console) -> bool:
        """Fuse the images of all groups; False where the run was stopped before the end."""
        hands = _Hands(self._run.store, self._keys, self._states)
        total = sum(hands.counts)
        log.info("textures of %s of %s", count(len(self._keys), "hand"), count(total, "image"))
        with (
            ProgressLine(console, "textures", total) as progress,
            stoppable(progress.say) as stop,
        ):
            done = 0
            for group, key in enumerate(self._keys):
                fusion = self._fused(group, hands.of(group), stop)
                if fusion is None:
                    self._run.summary.was_stopped = True
                    return False
                self._images[key] = fusion.pictures
                done += hands.counts[group]
                progress.show(done, f"{self.left_out} hands left out" if self.left_out else "")
        return True

    def filled(self) -> Iterator[PersonTexture]:
        """The textures of the groups that have one, in order."""
        for key in self.textured:
            other = _other(key)
            counterpart = self._state(other).fusion.result() if self._images.get(other) else None
            found = self._state(key).fusion.result(counterpart)
            yield PersonTexture(found.colours, found.weight, self._images[key])

    def _state(self, key: HandKey) -> _State:
        return _State.read(self._path(self._keys.index(key)), self._atlas)

    def _path(self, group: int) -> Path:
        return self._states / f"{group}.safetensors"

    def _fused(self, group: int, places: np.ndarray, stop: StopRequest) -> TextureFusion | None:
        """All images of a group fused, those that are in its state already not anew."""
        path = self._path(group)
        state = _State.read(path, self._atlas)
        start = state.done
        for done, (image, slot) in enumerate(places[start:].tolist(), start + 1):
            found = self._extracted(image, slot)
            if found is not None:
                state.fusion.add(found)
            if done % EVERY == 0 or done == len(places) or stop.asked:
                _State(state.fusion, done).write(path)
            if stop.asked:
                return None
        return state.fusion

    def _extracted(self, image: int, slot: int) -> HandTexture | None:
        """What an image shows of one of its hands; None, and told, where it cannot be used."""
        (task,) = self._sources.tasks(image, image + 1)
        assert isinstance(task, ImageTask)  # frames share nothing
        row = self._row(image)
        try:
            pixels, mask = _opened(task, row)
        except InputError as error:
            self.left_out += 1
            self.reason = self.reason or f"the first one of {task.name}: {error}"
            self._run.events.write("untextured", image=task.name, hand=slot, reason=str(error))
            return None
        assert row.intrinsics is not None  # a hand of it is valid
        meshes = self._run.workers.engine.meshes
        view = meshes.view(row.hands[slot], row.intrinsics, pixels, row.hands, mask)
        return extract_texture(self._atlas, view)

    def _row(self, image: int) -> ImageRow:
        store = self._run.store

        def wanted(variable: Variable) -> bool:
            return not _UNUSED & set(variable.dims)

        part = Block(image // store.block_size, image, image + 1)
        return store.read_block(part, wanted)[0]


@dataclass(frozen=True)
class _State:
    """How far a group has come: its fusion, and how many of its images are in it or left out."""

    fusion: TextureFusion
    done: int

    @classmethod
    def read(cls, path: Path, atlas: TextureAtlas) -> _State:
        """What `write` has written, or the beginning.

        Raises:
            InputError: it is damaged.
        """
        if not path.exists():
            return cls(TextureFusion(atlas), 0)
        with refused_as("output.cannot_continue", path):
            content = path.read_bytes()
        try:
            fusion = TextureFusion.from_bytes(atlas, content[8:])
        except ValueError as error:
            raise InputError(
                "store.damaged_variable", file=path, variable=TEXTURES, reason=str(error)
            ) from error
        return cls(fusion, int.from_bytes(content[:8], "little"))

    def write(self, path: Path) -> None:
        """Write it whole."""
        with refused_as("output.cannot_write", path):
            write_whole(path, self.done.to_bytes(8, "little") + self.fusion.to_bytes())


class _Hands:
    """Where the valid hands of each group are, in the order of the images.

    They lie in a file without a name, so that memory does not grow with them.
    """

    def __init__(self, rows: StoreReader, keys: Sequence[HandKey], folder: Path) -> None:
        """Go through all rows twice.

        Args:
            rows: of a pass that is complete.
            keys: of the groups; hands of others are left out.
            folder: where the file is for as long as this lasts.
        """
        self._groups = {key: group for group, key in enumerate(keys)}
        self.counts = [0] * len(keys)
        for group, _, _ in self._through(rows):
            self.counts[group] += 1
        self._starts = np.cumsum([0, *self.counts])
        self._places = np.zeros((0, 2), np.int64)
        if self._starts[-1]:
            with tempfile.TemporaryFile(dir=folder) as file:
                shape = (int(self._starts[-1]), 2)
                self._places = np.memmap(file, np.int64, "w+", shape=shape)
        ends = self._starts[:-1].copy()
        for group, image, slot in self._through(rows):
            self._places[ends[group]] = image, slot
            ends[group] += 1

    def of(self, group: int) -> np.ndarray:
        """(N, 2) image and slot of each hand of a group."""
        return self._places[self._starts[group] : self._starts[group + 1]]

    def _through(self, rows: StoreReader) -> Iterator[tuple[int, int, int]]:
        for part in parts_of(rows, PART):
            keys, (images, slots) = hands_in(rows, part)
            for key, image, slot in zip(keys, images.tolist(), slots.tolist(), strict=True):
                if key in self._groups:
                    yield self._groups[key], part.start + image, slot


def _other(key: HandKey) -> HandKey:
    """The other hand of the same person."""
    person, side = key
    return (person, "left" if side == "right" else "right")


def _opened(task: ImageTask, row: ImageRow) -> tuple[np.ndarray, np.ndarray | None]:
    """The pixels of an image that was fitted, and its mask if one was given.

    Raises:
        InputError: it cannot be read, or is another one now.
    """
    taken = task.file.read()[0]
    size = (taken.shape[1], taken.shape[0])
    mask, through = task.mask_for(size), task.through(size)
    pixels = taken if through is None else through.pixels(taken, task.name)
    height, width = pixels.shape[:2]
    if (width, height) != (row.image_width, row.image_height):
        expected = (row.image_width, row.image_height)
        raise InputError(
            "hand.other_image", file=task.name, expected=expected, found=(width, height)
        )
    return pixels, mask if through is None else through.mask(mask)
