"""Whether all of a JPEG's bits are there: the entropy-coded data of one scan walked through.

What the bits say is not kept, only which coefficients are no longer zero, on which the length of a
progressive scan's codes depends. The tables, the order of the blocks and the codes are those of
ITU-T T.81 (09/92), annexes F.2 and G.1; the figures named below are its.
"""

from __future__ import annotations

import numpy as np

from fitter.numba_kernels import compile_kernel

DC, AC, SEQUENTIAL = 0, 1, 2
"""What a scan codes: the first coefficients or others of a progressive JPEG, or all of them."""

_Tables = tuple[np.ndarray, np.ndarray]
"""How codes are decoded, and their symbols."""


def huffman_table(lengths: bytes) -> np.ndarray:
    """How codes of each length are decoded (figure F.15).

    Args:
        lengths: 16 numbers of codes, of 1 to 16 bits.

    Returns:
        (17, 3) int32: of codes of each length, from 0 on, the first one, the one behind the last,
        and the place of the first one's symbol.
    """
    table = np.zeros((17, 3), np.int32)
    code = place = 0
    for length, count in enumerate(lengths, start=1):
        table[length] = code, code + count, place
        code, place = (code + count) << 1, place + count
    return table


@compile_kernel
def _bits(data: np.ndarray, at: int, count: int) -> int:
    """The next bits as a number, -1 where they are not all there."""
    if at + count > 8 * data.size:
        return -1
    value = 0
    for i in range(at, at + count):
        value = 2 * value + (int(data[i >> 3]) >> (7 - (i & 7)) & 1)
    return value


@compile_kernel
def _symbol(data: np.ndarray, at: int, table: np.ndarray, symbols: np.ndarray) -> tuple[int, int]:
    """The next symbol, -1 for none, and the place of the bit behind it (figure F.16)."""
    code = 0
    for length in range(1, 17):
        bit = _bits(data, at, 1)
        if bit < 0:
            return -1, at
        at += 1
        code = 2 * code + bit
        if code < table[length, 1]:
            place = table[length, 2] + code - table[length, 0]
            return (int(symbols[place]), at) if place < symbols.size else (-1, at)
    return -1, at


@compile_kernel
def _dc(data: np.ndarray, at: int, table: np.ndarray, symbols: np.ndarray, refines: bool) -> int:
    """The place behind a block's first coefficient, -1 where it is not there."""
    if refines:
        return at + 1 if _bits(data, at, 1) >= 0 else -1
    size, at = _symbol(data, at, table, symbols)
    return at + size if size >= 0 and at + size <= 8 * data.size else -1


@compile_kernel
def _ac_first(
    data: np.ndarray, at: int, tables: _Tables, band: tuple[int, int], run: int, seen: np.ndarray
) -> tuple[int, int]:
    """The place behind a block's other coefficients, and how many blocks of zeros follow (figures
    F.13 and G.3)."""
    table, symbols = tables
    if run > 0:
        return at, run - 1
    k = band[0]
    while k <= band[1]:
        both, at = _symbol(data, at, table, symbols)
        zeros, size = both >> 4, both & 15
        if both < 0 or at + (size if size else zeros % 15) > 8 * data.size:
            return -1, 0
        if size == 0 and zeros < 15:
            return at + zeros, (1 << zeros) - 1 + _bits(data, at, zeros)
        k += zeros
        at += size
        if size and k > band[1]:  # a coefficient that there is not
            return -1, 0
        if size:
            seen[k] = True
        k += 1
    return at, 0


@compile_kernel
def _ac_refined(
    data: np.ndarray, at: int, tables: _Tables, band: tuple[int, int], run: int, seen: np.ndarray
) -> tuple[int, int]:
    """The same where the coefficients get one bit more (figure G.7)."""
    table, symbols = tables
    k = band[0]
    while run == 0 and k <= band[1]:
        both, at = _symbol(data, at, table, symbols)
        zeros, size = both >> 4, both & 15
        if both < 0 or at + (1 if size else zeros % 15) > 8 * data.size:
            return -1, 0
        if size == 0 and zeros < 15:
            run = (1 << zeros) + _bits(data, at, zeros)
            at += zeros
            break
        at += 1 if size else 0
        while k <= band[1]:
            if seen[k]:
                at += 1
            elif zeros == 0:
                break
            else:
                zeros -= 1
            k += 1
        if size and k > band[1]:
            return -1, 0
        if size:
            seen[k] = True
        k += 1
    if run > 0:
        while k <= band[1]:
            at += 1 if seen[k] else 0
            k += 1
        run -= 1
    return (at, run) if at <= 8 * data.size else (-1, 0)


@compile_kernel
def walk(
    data: np.ndarray,
    blocks: np.ndarray,
    coding: _Tables,
    kind: int,
    band: tuple[int, int],
    refines: bool,
    seen: np.ndarray,
) -> bool:
    """Whether a restart interval is all of its blocks and nothing else.

    Behind the last block are less than 8 bits, which are 1 (F.1.2.3), and no blocks of zeros are
    left over. Where the end of the data was lost and something else has its place, such as the
    zeros of a file whose room was taken before it was written, that decodes to blocks, too; they
    end somewhere else.

    Args:
        data: (N,) uint8, its bytes without stuffed zeros.
        blocks: (M, 3) int64 of each block: its place in `seen`, and which tables its first and its
            other coefficients have.
        coding: (T, 17, 3) int32, see `huffman_table`, and (T, 256) uint8, the symbols.
        kind: `DC`, `AC` or `SEQUENTIAL`.
        band: first and last coefficient.
        refines: whether the coefficients get one bit more.
        seen: (blocks of the picture, 64) bool, coefficients that are not zero; changed.
    """
    codes, symbols = coding
    at, run = 0, 0
    for m in range(len(blocks)):
        own, first, other = blocks[m]
        if kind != AC:
            at = _dc(data, at, codes[first], symbols[first], refines)
        if at >= 0 and kind != DC:
            tables = (codes[other], symbols[other])
            inner = (max(band[0], 1), band[1])
            if refines:
                at, run = _ac_refined(data, at, tables, inner, run, seen[own])
            else:
                at, run = _ac_first(data, at, tables, inner, run, seen[own])
        if at < 0:
            return False
    left = 8 * data.size - at
    return run == 0 and left < 8 and _bits(data, at, left) == (1 << left) - 1
