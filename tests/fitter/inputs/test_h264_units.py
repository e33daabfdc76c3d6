"""Where decoding of H.264 may begin, by the units of a packet."""

from __future__ import annotations

import pytest

from fitter.inputs.h264_units import begins_anew

START = b"\0\0\1"
IDR, SLICE = START + b"\x65\x88", START + b"\x61\x88"


def supplement(kind: int, content: bytes) -> bytes:
    """A unit of one supplemental message, Annex D and 7.3.2.3.1."""
    length = len(content)
    size = b"\xff" * (length // 255) + bytes([length % 255])
    return START + b"\x06" + bytes([kind]) + size + content + b"\x80"


@pytest.mark.parametrize(
    ("packet", "begins"),
    [
        (IDR, True),
        (SLICE, False),
        (supplement(6, b"\x84") + SLICE, True),  # ue(v) 1: no frames until it is right
        (supplement(6, b"\x24") + SLICE, False),  # ue(v) 00100: three
        (supplement(6, b"") + SLICE, False),
        (supplement(5, b"x" * 300) + supplement(6, b"\x84") + SLICE, True),
    ],
)
def test_where_decoding_begins(packet, begins):
    assert begins_anew(packet, b"") is begins


def test_a_number_of_many_bytes_is_told_by_its_first():
    long = b"\x84" + b"\xaa" * 2_000_000
    assert begins_anew(supplement(6, long) + SLICE, b"")
