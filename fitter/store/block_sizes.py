"""How many rows a block of a store has, and how many of them a reader takes at once."""

from __future__ import annotations

LONGEST_CHUNK, SHORTEST_CHUNK = 256, 32
"""Images that a reader takes at once from a block of many. A block without a divisor in between is
one chunk."""

SMALLEST_BLOCK, LARGEST_BLOCK, FEWEST_BLOCKS = 64, 16384, 64
"""What `choose_block_size` keeps to."""

LARGEST_BLOCK_BYTES = 256 * 2**20
"""A block is held in memory until it is written, so it has no more images than come to this."""


def choose_block_size(images: int, row_bytes: int) -> int:
    """Images per block of a store.

    What a crash costs is at most one block, so there should be many. What is stored is one file
    for each block and variable, so there should be few: from 4,096 images on a block is between a
    64th and a 128th of the run, up to 16,384 images. Where rows are large a block is smaller, so
    that it takes no more than `LARGEST_BLOCK_BYTES`.

    Args:
        images: of the store.
        row_bytes: see `StoreSpec.row_bytes`.
    """
    size = SMALLEST_BLOCK
    while size < LARGEST_BLOCK and images >= 2 * FEWEST_BLOCKS * size:
        size *= 2
    while size > 1 and size * row_bytes > LARGEST_BLOCK_BYTES:
        size //= 2
    return size


def chunk_length(block_size: int) -> int:
    """Images per chunk in a block's shards."""
    longest = min(block_size, LONGEST_CHUNK)
    divisors = range(longest, SHORTEST_CHUNK - 1, -1)
    return next((length for length in divisors if block_size % length == 0), block_size)
