"""Damaged pictures of every format that is read: the same ones for the same seed.

They are ruined by chance (bits, bytes, cut ends) and on purpose (headers that lie, with checksums
that agree). Nothing here says what a reader must make of a file: a flipped bit may leave a whole
picture.
"""

import functools
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from tests.support.picture_variants import originals
from tests.support.picture_variants import png_chunk as _chunk

Damage = Callable[[np.random.Generator, bytes], bytes]

SIZES = (0, 1, 2, 15, 16, 17, 64, 255, 256, 4000, 12_000, 12_247, 12_248, 16_383, 16_384, 30_000)
"""Sides that lie, beside those that a field's width suggests; 12,247 squared is just allowed."""

NUMBERS = (*SIZES, 65_500, 65_535, 65_536, 2**24 - 1, 2**31 - 1, 2**31, 2**32 - 16, 2**32 - 1)


def damaged_images(seed: int, count: int, pixels: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Ruin pictures, each in one way.

    Args:
        seed: says which ones.
        count: how many.
        pixels: (H, W, 3) uint8, what the whole pictures show.

    Yields:
        (file name, content); a name is its number, the variant, the damage and an ending.
    """
    rng = np.random.default_rng(seed)
    whole = originals(pixels)
    names = sorted(whole)
    for index in range(count):
        name = names[rng.integers(len(names))]
        stem, ending = name.rsplit(".", 1)
        content = whole[name]
        lies = [lie for start, lie in LIES if content.startswith(start)]
        if b"Exif\0" in content or b"eXIf" in content or b"EXIF" in content:
            lies.append(exif_entry)
        kinds = lies if rng.random() < 0.5 else list(BY_CHANCE)
        damage = kinds[rng.integers(len(kinds))]
        if rng.random() < 0.02:
            damage, stem, ending = bomb, "png", "png"
        if rng.random() < 0.02:
            damage, ending = renamed, ("jpg", "png", "bmp", "tif", "webp")[rng.integers(5)]
        if damage is joined:
            content += whole[names[rng.integers(len(names))]]
        yield f"{index:05d}_{stem}_{damage.__name__}.{ending}", damage(rng, content)


# Damage by chance, to any format.


def _place(rng: np.random.Generator, content: bytes) -> int:
    """Somewhere, half of the time near the beginning, where the headers are."""
    return int(rng.integers(min(len(content), 100) if rng.random() < 0.5 else len(content)))


def _flipped(rng: np.random.Generator, content: bytes, count: int) -> bytes:
    damaged = bytearray(content)
    for _ in range(count):
        damaged[_place(rng, content)] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def flip_1(rng: np.random.Generator, content: bytes) -> bytes:
    return _flipped(rng, content, 1)


def flip_8(rng: np.random.Generator, content: bytes) -> bytes:
    return _flipped(rng, content, 8)


def flip_64(rng: np.random.Generator, content: bytes) -> bytes:
    return _flipped(rng, content, 64)


def zero_run(rng: np.random.Generator, content: bytes) -> bytes:
    at, length = _place(rng, content), int(rng.integers(1, 500))
    return content[:at] + bytes(length) + content[at + length :]


def random_run(rng: np.random.Generator, content: bytes) -> bytes:
    at, length = _place(rng, content), int(rng.integers(1, 500))
    return content[:at] + rng.bytes(length) + content[at + length :]


def inserted(rng: np.random.Generator, content: bytes) -> bytes:
    at = _place(rng, content)
    return content[:at] + rng.bytes(int(rng.integers(1, 50))) + content[at:]


def removed(rng: np.random.Generator, content: bytes) -> bytes:
    at = _place(rng, content)
    return content[:at] + content[at + int(rng.integers(1, 50)) :]


def cut(rng: np.random.Generator, content: bytes) -> bytes:
    return content[: _place(rng, content)]


def zero_tail(rng: np.random.Generator, content: bytes) -> bytes:
    at = _place(rng, content)
    return content[:at] + bytes(len(content) - at)


def joined(rng: np.random.Generator, content: bytes) -> bytes:
    """Two files in one (`damaged_images` puts the second behind), the first of them short."""
    at = int(rng.integers(len(content)))
    return content[:at] + content[at + int(rng.integers(100)) :]


def renamed(rng: np.random.Generator, content: bytes) -> bytes:
    """Nothing but the name is wrong."""
    return content


BY_CHANCE = (
    *(flip_1, flip_8, flip_64, zero_run, random_run),
    *(inserted, removed, cut, zero_tail, joined),
)


# Headers that lie.


def _number(rng: np.random.Generator, bits: int) -> int:
    return int(rng.choice(NUMBERS)) % 2**bits


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        found.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _assembled(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def png_header(rng: np.random.Generator, content: bytes) -> bytes:
    """Another size, depth, kind of colour or interlacing, with the right checksum."""
    (_, header), *rest = _chunks(content)
    values = list(struct.unpack(">IIBBBBB", header))
    for field in rng.integers(0, 7, rng.integers(1, 3)):
        options = NUMBERS if field < 2 else (0, 1, 2, 3, 4, 6, 7, 8, 16, 255)
        values[field] = int(rng.choice(options))
    return _assembled([(b"IHDR", struct.pack(">IIBBBBB", *values)), *rest])


def png_chunk(rng: np.random.Generator, content: bytes) -> bytes:
    """A chunk with damaged content and the right checksum, taken away or doubled."""
    chunks = _chunks(content)
    at = int(rng.integers(len(chunks)))
    kind, body = chunks[at]
    if rng.random() < 0.3:
        chunks[at : at + 1] = chunks[at : at + 1] * (2 * int(rng.integers(2)))
    elif body:
        chunks[at] = (kind, (flip_8, zero_run, cut)[rng.integers(3)](rng, body))
    return _assembled(chunks)


def png_long_chunk(rng: np.random.Generator, content: bytes) -> bytes:
    """A text, profile or EXIF chunk that claims or unpacks to far more than there is."""
    kind = (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"tRNS", b"PLTE")[rng.integers(7)]
    if rng.random() < 0.5:
        body = b"name\0\0" + zlib.compress(bytes(8_000_000))
        extra = _chunk(kind, body if kind != b"iTXt" else b"name\0\1\0\0\0" + body[6:])
    else:
        extra = struct.pack(">I", _number(rng, 32)) + kind + b"name\0\0words"
    return content[:33] + extra + content[33:]


def jpeg_segment(rng: np.random.Generator, content: bytes) -> bytes:
    """A segment before the first scan that lies about its length or what it holds."""
    places, at = [], 2
    while content[at + 1] != 0xDA:
        places.append(at)
        at += 2 + struct.unpack_from(">H", content, at + 2)[0]
    at = places[rng.integers(len(places))]
    damaged = bytearray(content)
    if rng.random() < 0.3:
        struct.pack_into(">H", damaged, at + 2, _number(rng, 16))
    else:
        damaged[at + 4 + int(rng.integers(20))] = int(rng.integers(256))
    return bytes(damaged)


def jpeg_frame(rng: np.random.Generator, content: bytes) -> bytes:
    """Another size, precision, number of components, sampling or way of coding."""
    at = next(i for i in (content.find(b"\xff\xc0"), content.find(b"\xff\xc2")) if i > 0)
    damaged = bytearray(content)
    for _ in range(rng.integers(1, 3)):
        field = int(rng.integers(6))
        if field < 3:
            struct.pack_into(">H", damaged, at + 5 + 2 * (field % 2), _number(rng, 16))
        else:
            places = (4, 9, 11, 12, 14, 17, 1)
            value = rng.choice((0, 1, 2, 3, 4, 5, 8, 12, 17, 34, 68, 255, 0xC1, 0xC2, 0xC9, 0xCA))
            damaged[at + places[rng.integers(len(places))]] = int(value)
    return bytes(damaged)


def bmp_header(rng: np.random.Generator, content: bytes) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.integers(1, 3)):
        field = int(rng.choice((2, 10, 14, 18, 22, 22, 26, 28, 30, 34, 46)))
        small = rng.random() < 0.5
        value = int(rng.choice((0, 1, 2, 3, 4, 8, 12, 16, 24, 32, 40, 64))) if small else 0
        value = value or _number(rng, 32)
        if field in (26, 28):
            struct.pack_into("<H", damaged, field, value % 65536)
        else:
            sign = -1 if rng.random() < 0.3 and 0 < value < 2**31 else 1
            struct.pack_into("<I", damaged, field, sign * value % 2**32)
    return bytes(damaged)


def gif_header(rng: np.random.Generator, content: bytes) -> bytes:
    """Another screen, first frame or colour table."""
    damaged = bytearray(content)
    frame = content.find(b",\0\0\0\0")
    for at in rng.choice([6, 8, *[frame + i for i in (1, 3, 5, 7)]], rng.integers(1, 4)):
        struct.pack_into("<H", damaged, int(at), _number(rng, 16))
    if rng.random() < 0.3:
        damaged[int(rng.choice((10, 11, frame + 9, frame + 10)))] = int(rng.integers(256))
    return bytes(damaged)


def webp_chunk(rng: np.random.Generator, content: bytes) -> bytes:
    """A chunk that lies about its length, the canvas, a frame's place and size or its picture."""
    places, at = [], 12
    while at + 8 <= len(content):
        places.append(at)
        (length,) = struct.unpack_from("<I", content, at + 4)
        nested = content[at : at + 4] == b"ANMF"
        at += 24 if nested else 8 + length + length % 2
    at = places[rng.integers(min(len(places), 8))]
    damaged = bytearray(content)
    if rng.random() < 0.2:
        struct.pack_into("<I", damaged, at + 4 if rng.random() < 0.8 else 4, _number(rng, 32))
    elif content[at : at + 4] in (b"VP8X", b"ANMF"):
        fields = (4, 7) if content[at : at + 4] == b"VP8X" else (0, 3, 6, 9)
        for field in rng.choice(fields, 2):
            value = _number(rng, 24).to_bytes(3, "little")
            damaged[at + 8 + int(field) : at + 11 + int(field)] = value
    else:
        for _ in range(rng.integers(1, 5)):
            damaged[min(at + 8 + int(rng.integers(12)), len(content) - 1)] = int(rng.integers(256))
    return bytes(damaged)


BOXES = b"ftyp meta hdlr pitm iloc iinf infe iprp ipco ispe pixi colr av1C hvcC ipma mdat".split()


def iso_box(rng: np.random.Generator, content: bytes) -> bytes:
    """A box of a HEIF or AVIF that lies about its length, a size or where things lie."""
    places = [at for at in map(content.find, BOXES) if at >= 4]
    at = places[rng.integers(len(places))]
    damaged = bytearray(content)
    if rng.random() < 0.3:
        struct.pack_into(">I", damaged, at - 4, _number(rng, 32))
    elif rng.random() < 0.3:
        at = content.find(b"ispe")
        struct.pack_into(">I", damaged, at + 8 + 4 * int(rng.integers(2)), _number(rng, 32))
    else:
        for _ in range(rng.integers(1, 5)):
            damaged[min(at + int(rng.integers(24)), len(content) - 1)] = int(rng.integers(256))
    return bytes(damaged)


def _entry(rng: np.random.Generator, content: bytes, base: int) -> bytes:
    """A lie in one directory of a TIFF structure that begins at `base`."""
    order = "<" if content[base : base + 2] == b"II" else ">"
    damaged = bytearray(content)
    (offset,) = struct.unpack_from(order + "I", content, base + 4)
    first = base + offset
    (count,) = struct.unpack_from(order + "H", content, first)
    choice = rng.random()
    if choice < 0.1:
        struct.pack_into(order + "H", damaged, first, _number(rng, 16))
    elif choice < 0.2:  # the next directory: this one again, or nowhere
        value = offset if rng.random() < 0.5 else _number(rng, 32)
        struct.pack_into(order + "I", damaged, first + 2 + 12 * count, value)
    else:
        at = first + 2 + 12 * int(rng.integers(count))
        tag, kind, number, value = struct.unpack_from(order + "HHII", content, at)
        field = rng.random()
        if field < 0.1:
            tag = int(rng.choice((256, 257, 258, 259, 262, 273, 277, 279, 322, 330, 34665, 40965)))
        elif field < 0.25:
            kind = int(rng.integers(0, 20))
        elif field < 0.4:
            number = _number(rng, 32)
        else:
            value = _number(rng, 32) if rng.random() < 0.7 else int(rng.integers(2**16))
            if kind == 3 and order == ">":
                value = value % 2**16 * 2**16
        struct.pack_into(order + "HHII", damaged, at, tag, kind, number, value)
    return bytes(damaged)


def tiff_entry(rng: np.random.Generator, content: bytes) -> bytes:
    """An entry of the directory that lies, or a directory that is too long or endless."""
    return _entry(rng, content, 0)


def exif_entry(rng: np.random.Generator, content: bytes) -> bytes:
    """The same in an EXIF block."""
    base = max(content.find(b"II*\0"), content.find(b"MM\0*"))
    damaged = _entry(rng, content, base) if base > 0 else flip_8(rng, content)
    return _assembled(_chunks(damaged)) if content[:4] == b"\x89PNG" else damaged


@functools.cache
def _zeros(length: int) -> bytes:
    return zlib.compress(bytes(length))


def bomb(rng: np.random.Generator, content: bytes) -> bytes:
    """A small PNG that claims a huge picture, around the limit of 150 million pixels.

    A third of them hold all those pixels, black, one bit each.
    """
    side = int(rng.choice((12_000, 12_247, 12_248, 13_378, 40_000)))
    bits = side < 13_000 and rng.random() < 0.35
    depth, colour = (1, 0) if bits else (int(rng.choice((8, 16))), int(rng.choice((0, 2, 6))))
    header = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    body = _zeros(side * (side // 8 + 2) if bits else 100_000)
    return _assembled([(b"IHDR", header), (b"IDAT", body), (b"IEND", b"")])


LIES: tuple[tuple[bytes, Damage], ...] = (
    *((b"\x89PNG", lie) for lie in (png_header, png_chunk, png_long_chunk)),
    *((b"\xff\xd8", lie) for lie in (jpeg_segment, jpeg_frame)),
    *((start, tiff_entry) for start in (b"II", b"MM")),
    (b"BM", bmp_header),
    (b"GIF", gif_header),
    (b"RIFF", webp_chunk),
    (b"\0\0\0", iso_box),
)
"""What a content begins with, and a way to make its headers lie."""
