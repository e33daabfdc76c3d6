"""Whether decoding H.264 from a packet on gives what decoding from the first one gives.

Containers mark as key frames also those at which decoding may begin and is right some frames later
only: a stream that is refreshed part by part has no other. ITU-T H.264 (08/2021): the types of NAL
units are those of table 7-1, byte streams and start codes those of annex B, the recovery point that
of D.1.8 and D.2.8; the record before streams without start codes is that of ISO/IEC 14496-15,
5.3.3.1.
"""

from __future__ import annotations

from collections.abc import Iterator

_SLICE, _IDR, _SEI = 1, 5, 6
_RECOVERY_POINT = 6
_START = b"\x00\x00\x01"


def begins_anew(packet: bytes, header: bytes) -> bool:
    """Whether a packet that is marked as a key frame needs none before it.

    Args:
        packet: the bytes of a frame.
        header: what the container says once of the whole stream; empty where it says nothing.
    """
    for unit in _units(packet, header):
        kind = unit[0] & 31
        if kind == _IDR:
            return True
        if kind == _SEI and (frames := _frames_until_right(unit[1:])) is not None:
            return frames == 0
        if kind == _SLICE:
            return False
    return False


def _units(packet: bytes, header: bytes) -> Iterator[bytes]:
    """The NAL units of a packet, without start codes and lengths."""
    if len(header) > 4 and header[0] == 1:  # the record, with the length of lengths
        width, at = (header[4] & 3) + 1, 0
        while at + width < len(packet):
            length = int.from_bytes(packet[at : at + width], "big")
            if not length:
                return
            yield packet[at + width : at + width + length]
            at += width + length
        return
    at = packet.find(_START)
    while at >= 0 and at + len(_START) < len(packet):
        begin = at + len(_START)
        at = packet.find(_START, begin)
        yield packet[begin : at if at >= 0 else len(packet)]


def _frames_until_right(messages: bytes) -> int | None:
    """`recovery_frame_cnt` of a unit of supplemental messages; None where it has none."""
    content = messages.replace(b"\x00\x00\x03", b"\x00\x00")  # emulation prevention, 7.4.1.1
    at = 0
    while at + 2 < len(content):
        kind, at = _number(content, at)
        length, at = _number(content, at)
        if kind == _RECOVERY_POINT:
            return _exp_golomb(content[at : at + length])
        at += length
    return None


def _number(content: bytes, at: int) -> tuple[int, int]:
    """A number of supplemental messages, 7.3.2.3.1, and the place behind it."""
    value = 0
    while at < len(content) and content[at] == 255:
        value, at = value + 255, at + 1
    return value + (content[at] if at < len(content) else 0), at + 1


def _exp_golomb(content: bytes) -> int | None:
    """The first ``ue(v)`` of some bytes, 9.1; None where it takes more than eight."""
    content = content[:8]
    bits = f"{int.from_bytes(content, 'big'):0{8 * len(content)}b}" if content else ""
    zeros = len(bits) - len(bits.lstrip("0"))
    digits = bits[zeros : 2 * zeros + 1]
    return int(digits, 2) - 1 if len(digits) == zeros + 1 else None
