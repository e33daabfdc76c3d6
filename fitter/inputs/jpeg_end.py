"""JPEGs that end too soon: whether nothing but the marker of the end is missing.

A file whose last bytes were lost may have all of its pixels. Whether it has is counted: the blocks
that its header promises are walked through, code by code, in every scan, and must end where the
data end. A single missing bit is found, and so are zeros in the place of lost data; codes of other
pixels there are taken for the picture's where they end at the same bit by chance. (ITU-T T.81
(09/92), annex B has the markers.)
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from fitter.inputs.image_content import ImageBytes, ImageContent, named, stream

_MOST_COMPONENTS = 4
"""More channels no picture has that is read, and no progressive JPEG (table B.2)."""

_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""Any that is no restart."""

_GREY, _NEAR_GREY = 128, 2
"""What decoders show of blocks without data, and by how much colours of the blocks beside that are
sampled more coarsely change it."""

_PLAIN, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_RESTARTS, _SCAN, _TABLES, _INTERVAL = range(0xD0, 0xD8), 0xDA, 0xC4, 0xDD


class _UnknownError(Exception):
    """The file breaks a rule, or is of a kind that is not counted (arithmetic coding)."""


def with_its_end(content: ImageContent) -> ImageBytes | None:
    """A JPEG to which nothing but its end's marker is missing, with that marker; None for others.

    Args:
        content: the picture's file, or its bytes.
    """
    data = _data(content)
    return ImageBytes(str(named(content)), data + _END) if _is_whole(data) else None


def is_cut_off(content: ImageContent, image: Image.Image) -> bool:
    """Whether the lower part of a JPEG is missing though Pillow decoded it.

    It does where zeros follow, which are codes, too, and where a marker of the end was set behind
    what is left: what is missing is grey then. All bits are counted of files without such a marker,
    and of those whose last pixel is that grey. A hole in the middle of other files is not found,
    nor a last block cut in two before a marker of the end.

    Args:
        content: the picture's file, or its bytes.
        image: decoded from it.
    """
    data = _data(content)
    end = _place_of_end(data)
    if end is None:
        return not _is_whole(data)
    last = np.asarray(image.crop((image.width - 1, image.height - 1, *image.size)), np.int16)
    return bool((np.abs(last - _GREY) <= _NEAR_GREY).all()) and _is_whole(data[:end]) is False


def _data(content: ImageContent) -> bytes:
    """A file's bytes, without half of an end's marker."""
    with stream(content) as file:
        data = file.read()
    return data[:-1] if data.endswith(b"\xff") else data


def _place_of_end(data: bytes) -> int | None:
    """Where the marker of the end is: not one of a thumbnail, nor of a second picture behind."""
    at = 2
    while found := _MARKER.search(data, at):
        at, kind = found.start(), data[found.start() + 1]
        if kind == _END[1]:
            return at
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def _is_whole(data: bytes) -> bool | None:
    """Whether all of a JPEG's blocks are there, up to the marker of its end; None where it is of
    another kind or breaks a rule."""
    if not data.startswith(b"\xff\xd8"):
        return None
    try:
        return _Walk(data).is_whole()
    except (_UnknownError, IndexError, struct.error):
        return None


@dataclass
class _Component:
    """One of a frame's channels: its sampling factors, its blocks' number across and down without
    those that only fill up, across with them, and the place of its first block among all."""

    sampling: tuple[int, int]
    across: int = 0
    down: int = 0
    stride: int = 0
    start: int = 0
    missing_bits: np.ndarray = field(default_factory=lambda: np.full(64, 99))


class _Walk:
    """Goes through a JPEG from its first marker on."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.components: dict[int, _Component] = {}
        self.mcus = (0, 0)  # across and down
        self.is_progressive = False
        self.interval = 0
        self.codes = np.zeros((8, 17, 3), np.int32)  # of first coefficients, then of others
        self.symbols = np.zeros((8, 256), np.uint8)
        self.blocks = 0
        self.seen = np.zeros((0, 64), bool)

    def is_whole(self) -> bool:
        """Whether all blocks are there, with all bits of every coefficient."""
        at = 2
        while at < len(self.data):
            if self.data[at] != 0xFF:
                raise _UnknownError
            marker = self.data[at + 1]
            if marker == 0xFF:  # fill bytes
                at += 1
                continue
            (length,) = struct.unpack_from(">H", self.data, at + 2)
            body = self.data[at + 4 : at + 2 + length]
            if len(body) != length - 2:
                return False
            at += 2 + length
            if marker in (*_PLAIN, _PROGRESSIVE):
                self._frame(body, marker == _PROGRESSIVE)
            elif marker == _TABLES:
                self._huffman(body)
            elif marker == _INTERVAL:
                (self.interval,) = struct.unpack(">H", body)
            elif marker == _SCAN:
                end = self._end_of_scan(at)
                if not self._scan(body, self.data[at:end]):
                    return False
                at = end
            elif marker == 0xD9 or 0xC0 <= marker <= 0xCF:
                raise _UnknownError
        bits = [component.missing_bits for component in self.components.values()]
        return bool(bits) and not np.any(bits)

    def _frame(self, body: bytes, is_progressive: bool) -> None:
        _, height, width, count = struct.unpack_from(">BHHB", body)
        if self.components or not height * width or not 0 < count <= _MOST_COMPONENTS:
            raise _UnknownError
        self.is_progressive = is_progressive
        for at in range(6, 6 + 3 * count, 3):
            self.components[body[at]] = _Component((body[at + 1] >> 4, body[at + 1] & 15))
        factors = np.array([component.sampling for component in self.components.values()])
        if not (factors.all() and factors.max() <= 4 and len(self.components) == count):
            raise _UnknownError
        most = factors.max(axis=0)
        self.mcus = (-(-width // (8 * int(most[0]))), -(-height // (8 * int(most[1]))))
        for component in self.components.values():
            h, v = component.sampling
            component.across = -(-width * h // (8 * int(most[0])))
            component.down = -(-height * v // (8 * int(most[1])))
            component.start, component.stride = self.blocks, h * self.mcus[0]
            self.blocks += component.stride * v * self.mcus[1]

    def _huffman(self, body: bytes) -> None:
        from fitter.inputs.jpeg_scan import huffman_table  # loads Numba, for such files alone

        while body:
            kind, lengths = body[0], body[1:17]
            count = sum(lengths)
            if kind >> 4 > 1 or kind & 15 > 3 or count > 256 or len(body) < 17 + count:
                raise _UnknownError
            table = 4 * (kind >> 4) + (kind & 15)
            self.codes[table] = huffman_table(lengths)
            self.symbols[table, :count] = np.frombuffer(body[17 : 17 + count], np.uint8)
            body = body[17 + count :]

    def _end_of_scan(self, at: int) -> int:
        """The place of the next marker that is no restart, or of the end of the file."""
        while (at := self.data.find(b"\xff", at)) >= 0 and at + 1 < len(self.data):
            if self.data[at + 1] and self.data[at + 1] not in _RESTARTS:
                return at
            at += 2
        return len(self.data)

    def _scan(self, body: bytes, data: bytes) -> bool:
        """Whether all blocks of a scan are there."""
        from fitter.inputs.jpeg_scan import AC, DC, SEQUENTIAL, walk

        count = body[0]
        chosen = [(self._component(body[1 + 2 * i]), body[2 + 2 * i]) for i in range(count)]
        first, last, bits = body[1 + 2 * count], body[2 + 2 * count], body[3 + 2 * count]
        kind = SEQUENTIAL
        if self.is_progressive:
            kind = AC if first else DC
        else:
            first, last, bits = 0, 63, 0
        if not first <= last < 64 or (kind == AC and count != 1) or not chosen:
            raise _UnknownError
        last = 0 if kind == DC else last
        # Each block takes a bit in some scan: no memory for more of them than there can be, nor
        # for a second frame's, which Pillow would take for the picture's.
        coded = sum(component.across * component.down for component in self.components.values())
        if coded > 8 * len(self.data):
            return False
        if not self.seen.size:
            self.seen = np.zeros((self.blocks, 64), bool)
        mcus = self._blocks(chosen)
        size = self.interval or len(mcus)
        parts = _intervals(data)
        if parts is None or len(parts) != -(-len(mcus) // size):
            return False
        for i, part in enumerate(parts):
            blocks = mcus[i * size : (i + 1) * size].reshape(-1, 3)
            refines = bits >> 4 > 0
            tables = (self.codes, self.symbols)
            if not walk(part, blocks, tables, kind, (first, last), refines, self.seen):
                return False
        for component, _ in chosen:
            component.missing_bits[first : last + 1] = bits & 15
        return True

    def _component(self, name: int) -> _Component:
        if name not in self.components:
            raise _UnknownError
        return self.components[name]

    def _blocks(self, chosen: list[tuple[_Component, int]]) -> np.ndarray:
        """(MCUs, blocks of each, 3) int64, see `fitter.inputs.jpeg_scan.walk`."""
        if len(chosen) == 1:  # an MCU is one block then, and none only fills up
            component, tables = chosen[0]
            y, x = np.mgrid[: component.down, : component.across]
            places = (component.start + y * component.stride + x).reshape(-1, 1)
            return _with_tables(places, tables)
        y, x = (grid.reshape(-1, 1) for grid in np.mgrid[: self.mcus[1], : self.mcus[0]])
        found = []
        for component, tables in chosen:
            h, v = component.sampling
            j, i = (grid.reshape(1, -1) for grid in np.mgrid[:v, :h])
            places = component.start + (y * v + j) * component.stride + x * h + i
            found.append(_with_tables(places, tables))
        return np.concatenate(found, axis=1)


def _with_tables(places: np.ndarray, tables: int) -> np.ndarray:
    if tables >> 4 > 3 or tables & 15 > 3:
        raise _UnknownError
    first, other = (np.full_like(places, n) for n in (tables >> 4, 4 + (tables & 15)))
    return np.stack([places, first, other], axis=-1).astype(np.int64)


def _intervals(data: bytes) -> list[np.ndarray] | None:
    """(N,) uint8 of each restart interval, without the zeros that are stuffed behind each 255; None
    where the restarts are not in order, so that some are missing."""
    values = np.frombuffer(data, np.uint8)
    before = np.concatenate([[False], values[:-1] == 0xFF])
    is_restart = before & (values >= _RESTARTS[0]) & (values <= _RESTARTS[-1])
    cuts = np.flatnonzero(is_restart)
    if (values[cuts] - _RESTARTS[0] != np.arange(len(cuts)) % 8).any():
        return None
    starts, ends = [0, *(cuts + 1)], [*(cuts - 1), len(values)]
    is_stuffed = before & (values == 0)
    return [
        np.ascontiguousarray(values[a:b][~is_stuffed[a:b]])
        for a, b in zip(starts, ends, strict=True)
    ]
