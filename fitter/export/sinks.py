"""Where the hands of an export go: the formats that are one file.

An image after another goes in, nothing is kept of it; the file gets its name when it is whole.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from fitter.errors import InputError
from fitter.export.selection import ImageHands
from fitter.export.summary import ExportSummary, ManoErrors
from fitter.export.two_lists import TwoLists
from fitter.formats.coco import HEAD, coco_image, coco_person
from fitter.formats.freihand import VERTICES, FreiHandEntries
from fitter.formats.hand_record import HandRecord
from fitter.formats.tables import csv_header, csv_lines, csv_row, json_object
from fitter.results import FrameResults, Results
from fitter.store.files import refused_as
from fitter.store.row_kinds import FRAMES
from fitter.store.schema import ImageRow
from fitter.system.files import whole_file
from fitter.system.messages import count

if TYPE_CHECKING:
    from fitter.export.request import ExportRequest
    from fitter.formats.mano_fit import ManoConverter


@dataclass
class Source:
    """What hands are exported from, and what was counted so far.

    Attributes:
        request: of the export.
        results: the store.
        summary: of the export.
    """

    request: ExportRequest
    results: Results | FrameResults
    summary: ExportSummary

    def converter(self) -> ManoConverter:
        """What makes MANO's of hands, and counts how well.

        Raises:
            InputError: the hands are not MANO's and no MANO file was given, or it is none.
        """
        from fitter.formats.mano_fit import ManoConverter, load_mano_meshes

        meshes, request = self.results.meshes, self.request
        if meshes.data.name == "mano":
            # A submission has the vertices themselves; parameters have no offsets.
            has_offsets = "vertex_offsets" in self.results.store.variable_names
            if has_offsets and request.format == "mano-npz":
                self.summary.mano = ManoErrors()
            return ManoConverter(meshes, meshes)
        if request.mano is None:
            raise self.no_mano()
        self.summary.mano = ManoErrors()
        return ManoConverter(meshes, load_mano_meshes(request.mano))

    def require_hands(self) -> None:
        """Make sure that there was something to export.

        Raises:
            InputError: there was nothing.
        """
        if self.summary.hands == 0:
            images = len(self.results)
            found = f"none that is valid and asked for in {count(images, self.summary.unit)}"
            if self.summary.pending:
                found += f", {self.summary.pending:,} of which fit-hands has not reached yet"
            raise InputError("export.no_hand", file=self.request.store, found=found)

    def no_mano(self) -> InputError:
        """What to say of hands that are not MANO's."""
        data = self.results.meshes.data
        return InputError(
            "export.mano_needed",
            file=self.request.store,
            format=self.request.format,
            model=data.name,
            vertices=len(data.v_template),
        )


class Sink(ABC):
    """Takes the hands of one image after another."""

    def __init__(self, source: Source) -> None:
        """Take what hands are exported from."""
        self.source = source

    @abstractmethod
    def add(self, image: ImageHands) -> None:
        """Write an image's hands, and count them."""

    @abstractmethod
    def finish(self) -> None:
        """Write what was held back until all images were seen."""

    def count(self, hands: int) -> None:
        """Count hands of an image that were written."""
        self.source.summary.hands += hands
        self.source.summary.images += hands > 0


class CsvSink(Sink):
    """One row a hand."""

    def __init__(self, source: Source, file: IO[bytes]) -> None:
        """Begin the file."""
        super().__init__(source)
        self._file = file
        file.write(csv_lines([csv_header(source.results.store.kind is FRAMES)]).encode())

    def add(self, image: ImageHands) -> None:
        """See `Sink.add`."""
        self._file.write(csv_lines([csv_row(record) for record in image.hands]).encode())
        self.count(len(image.hands))

    def finish(self) -> None:
        """See `Sink.finish`: nothing is left to write."""


class JsonSink(Sink):
    """A list of objects, one a hand and a line."""

    def __init__(self, source: Source, file: IO[bytes]) -> None:
        """Begin the file."""
        super().__init__(source)
        self._file = file
        self._meshes = source.results.meshes if source.request.save_vertices else None
        file.write(b"[")

    def add(self, image: ImageHands) -> None:
        """See `Sink.add`."""
        for place, record in enumerate(image.hands):
            is_first = self.source.summary.hands == 0 and place == 0
            line = json_object(record, self._meshes)
            self._file.write((b"\n" if is_first else b",\n") + line.encode())
        self.count(len(image.hands))

    def finish(self) -> None:
        """See `Sink.finish`."""
        self._file.write(b"\n]\n")


class CocoSink(Sink):
    """Images, and annotations of persons with hands."""

    def __init__(self, source: Source, file: IO[bytes]) -> None:
        """Begin the file."""
        super().__init__(source)
        head = json.dumps(HEAD)[:-1]
        parts = (f'{head}, "images": [', '\n], "annotations": [', "\n]}\n")
        self._lists = TwoLists(file, parts, str(source.request.out.parent))
        place = source.results.store.dataset_place or {}
        self._is_coco = place.get("name") == "coco"
        self._persons = 0

    def add(self, image: ImageHands) -> None:
        """See `Sink.add`."""
        if not isinstance(image.image, ImageRow) or image.image.image_width is None:
            return  # an image that could not be read has no size
        name, number = image.name, image.place
        if self._is_coco:
            # COCO names files and numbers images alike, and knows them by the file's name alone.
            name = PurePosixPath(name).name
            number = int(PurePosixPath(name).stem)
        self._lists.add(0, json.dumps(coco_image(name, number, image.image), ensure_ascii=False))
        written = [record for record in image.hands if record.hand.keypoints_2d is not None]
        for hands in persons_of(written):
            self._persons += 1
            self._lists.add(1, json.dumps(coco_person(hands, number, self._persons)))
        self.source.summary.without_mesh += len(image.hands) - len(written)
        self.count(len(written))

    def finish(self) -> None:
        """See `Sink.finish`."""
        self._lists.finish()


class FreiHandSink(Sink):
    """``[xyz, verts]`` of all images, null where there is no hand."""

    def __init__(self, source: Source, file: IO[bytes]) -> None:
        """Begin the file.

        Raises:
            InputError: the hands are not MANO's, and cannot be made so.
        """
        super().__init__(source)
        self._converter = source.converter()
        target = self._converter.target
        if len(target.data.v_template) != VERTICES:
            raise source.no_mano()
        self._entries = FreiHandEntries(target)
        self._lists = TwoLists(file, ("[[", "\n],[", "\n]]\n"), str(source.request.out.parent))

    def add(self, image: ImageHands) -> None:
        """See `Sink.add`."""
        fitted = [record for record in image.hands if not record.hand.has_failed]
        self.source.summary.without_mesh += len(image.hands) - len(fitted)
        entries: tuple[object, object] = (None, None)
        if fitted:
            best = max(fitted, key=score_of)
            self.source.summary.further += len(fitted) - 1
            found = self._converter(best.hand)
            if self.source.summary.mano is not None:
                self.source.summary.mano.add(found)
            entries = self._entries(found.row)
        for which, entry in enumerate(entries):
            self._lists.add(which, json.dumps(entry))
        self.count(min(len(fitted), 1))

    def finish(self) -> None:
        """See `Sink.finish`."""
        self._lists.finish()


FILE_SINKS: dict[str, Callable[[Source, IO[bytes]], Sink]] = {
    "csv": CsvSink,
    "json": JsonSink,
    "coco": CocoSink,
    "freihand": FreiHandSink,
}


@contextmanager
def file_sink(source: Source) -> Iterator[Sink]:
    """The sink of a format that is one file, which gets its name when the block ends without an
    error; else nothing is left of it, and what was there is kept.

    Raises:
        InputError: the file cannot be written (`output.cannot_write`).
    """
    out: Path = source.request.out
    with (
        refused_as("output.cannot_write", out),
        whole_file(out) as partial,
        partial.open("wb") as f,
    ):
        sink = FILE_SINKS[source.request.format](source, f)
        yield sink
        sink.finish()
        source.require_hands()
        source.summary.files = 1


def persons_of(hands: Sequence[HandRecord]) -> list[list[HandRecord]]:
    """An image's hands by person: one of each side at the most, and a hand of nobody in
    particular by itself."""
    persons: list[list[HandRecord]] = []
    for record in hands:
        person = record.hand.person
        for others in persons if person is not None else ():
            sides = {other.hand.side for other in others}
            if others[0].hand.person == person and record.hand.side not in sides:
                others.append(record)
                break
        else:
            persons.append([record])
    return persons


def score_of(record: HandRecord) -> float:
    """What hands are compared by; below all scores where there is none."""
    return -1.0 if record.hand.score is None else float(record.hand.score)
