"""Where the hands of an export go: the formats that are a folder of files."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

from fitter.export.selection import ImageHands
from fitter.export.sinks import Sink, Source, score_of
from fitter.export.textures import ImageTextures
from fitter.formats.files import write_files
from fitter.formats.hand_asset import HandAsset
from fitter.formats.hand_record import HandRecord
from fitter.formats.mano_npz import mano_npz
from fitter.formats.meshes import MeshFormat, mesh_files
from fitter.results import Results
from fitter.store.files import refused_as
from fitter.system.file_names import name_below
from fitter.textures.texture import HandTexture

_LONGEST_ENDING = "_999_right.measured.png.partial"
"""What a file may have behind its image's or its person's name, as long as it is not whole."""


class FolderSink(Sink):
    """A file for each hand, each image or each person, below a folder that is made on demand."""

    def __init__(self, source: Source) -> None:
        """Take what hands are exported from."""
        super().__init__(source)
        self._persons: dict[tuple[str, str], HandRecord] = {}

    def add(self, image: ImageHands) -> None:
        """See `Sink.add`."""
        fitted = [record for record in image.hands if not record.hand.has_failed]
        self.source.summary.without_mesh += len(image.hands) - len(fitted)
        unit = self.source.request.unit
        if unit == "person":
            self.keep_surest(fitted)
            self.source.summary.less_sure += len(fitted)
            return
        stem = name_below(image.name, _LONGEST_ENDING).removesuffix(_LONGEST_ENDING)
        if unit == "image" and fitted:
            self._write(stem, fitted)
        for record in fitted if unit == "hand" else ():
            self._write(f"{stem}_{record.slot}_{record.hand.side}", [record])
        self.count(len(fitted))

    def finish(self) -> None:
        """See `Sink.finish`."""
        people: dict[str, list[HandRecord]] = {}
        for (person, _), record in sorted(self._persons.items()):
            people.setdefault(person, []).append(record)
        for person, records in people.items():
            stem = name_below(person, _LONGEST_ENDING).removesuffix(_LONGEST_ENDING)
            self._write(stem, records)
            self.source.summary.hands += len(records)
            self.source.summary.less_sure -= len(records)
        places = {record.place for records in people.values() for record in records}
        self.source.summary.images += len(places)

    @abstractmethod
    def contents(self, stem: str, hands: Sequence[HandRecord]) -> Mapping[str, bytes]:
        """The files of some hands: name -> content, the one that points at the others last."""

    def _write(self, stem: str, hands: Sequence[HandRecord]) -> None:
        path = self.source.request.out / stem
        files = self.contents(path.name, hands)
        with refused_as("output.cannot_write", path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_files(path.parent, files)
        self.source.summary.files += len(files)

    def keep_surest(self, hands: Sequence[HandRecord]) -> None:
        """Of each person and side the hand with the best score, the first of equals."""
        for record in hands:
            person, side = record.hand.person, record.hand.side
            if person is None or side is None:
                continue
            kept = self._persons.get((person, side))
            if kept is None or score_of(record) > score_of(kept):
                self._persons[person, side] = record


class MeshSink(FolderSink):
    """GLB, OBJ and PLY."""

    def __init__(self, source: Source) -> None:
        """Take what hands are exported from."""
        super().__init__(source)
        folder = source.request.textures
        results, self._textures = source.results, None
        if folder is not None and isinstance(results, Results):  # frames have been refused
            self._textures = ImageTextures(folder, results, source.summary)

    def contents(self, stem: str, hands: Sequence[HandRecord]) -> Mapping[str, bytes]:
        """See `FolderSink.contents`."""
        meshes = self.source.results.meshes
        sides = Counter(record.hand.side for record in hands)
        assets = []
        for record in hands:
            side = str(record.hand.side)
            name = side if sides[record.hand.side] == 1 else f"{side}_{record.slot}"
            texture = self._texture_of(record)
            assets.append(HandAsset.of(record.hand, meshes, name, texture, record.facts))
        request = self.source.request
        kind = cast(MeshFormat, request.format)
        return mesh_files(kind, assets, stem, alone=request.unit == "hand")

    def keep_surest(self, hands: Sequence[HandRecord]) -> None:
        """See `FolderSink.keep_surest`; every image adds to the person's texture."""
        super().keep_surest(hands)
        for record in hands if self._textures is not None else ():
            if record.hand.person is not None and self._textures is not None:
                self._textures.add(record.hand.person, record)

    def _texture_of(self, record: HandRecord) -> HandTexture | None:
        if self._textures is None:
            return None
        if self.source.request.unit == "person" and record.hand.person is not None:
            assert record.hand.side is not None
            return self._textures.of_person(record.hand.person, record.hand.side)
        return self._textures.of_hand(record)


class ManoSink(FolderSink):
    """MANO's parameters as npz."""

    def __init__(self, source: Source) -> None:
        """Load MANO.

        Raises:
            InputError: the hands are not MANO's, and cannot be made so.
        """
        super().__init__(source)
        self._converter = source.converter()

    def contents(self, stem: str, hands: Sequence[HandRecord]) -> Mapping[str, bytes]:
        """See `FolderSink.contents`."""
        found = [self._converter(record.hand) for record in hands]
        if self.source.summary.mano is not None:
            for hand in found:
                self.source.summary.mano.add(hand)
        pairs = list(zip(hands, found, strict=True))
        return {f"{stem}.npz": mano_npz(pairs, self._converter.target.data)}


@contextmanager
def folder_sink(source: Source) -> Iterator[Sink]:
    """The sink of a format that is a folder of files, each of which is whole when it is seen.

    Raises:
        InputError: a file cannot be written (`output.cannot_write`); those before it stay.
    """
    kind = ManoSink if source.request.format == "mano-npz" else MeshSink
    sink = kind(source)
    yield sink
    sink.finish()
    source.require_hands()
