"""Failures counted by kind, each with the way out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from fitter.system.messages import count

_KINDS: Mapping[str, tuple[str, str, str]] = {
    # Codes of one kind begin alike; the longest beginning counts.
    "image.": ("is damaged or no picture", "are damaged or no pictures", "copy or convert anew"),
    "image.missing": ("is not there", "are not there", "is the disk or folder connected?"),
    "image.permission": ("may not be read", "may not be read", "see their permissions"),
    "image.memory": ("does not fit into memory", "do not fit into memory", "make them smaller"),
    "image.too_large": ("is too large", "are too large", "make them smaller"),
    "image.far_too_large": ("is too large", "are too large", "make them smaller"),
    "image.too_small": ("is too small", "are too small", "give larger ones"),
    "keypoints.": ("has unusable keypoints", "have unusable keypoints", "see docs/inputs.md"),
    "json.": (
        "has an unreadable file beside it",
        "have unreadable files beside them",
        "copy or write them anew",
    ),
    "json.missing": (
        "lacks a file that was promised",
        "lack files that were promised",
        "see their names",
    ),
    "intrinsics.": ("has no usable K", "have no usable K", "see docs/inputs.md"),
    "lens.": ("has no usable lens", "have no usable lens", "see docs/inputs.md"),
    "video.": (
        "is a frame that cannot be read",
        "are frames that cannot be read",
        "see docs/video.md, or convert the video anew",
    ),
    "camera.": (
        "came from a camera that cannot be read",
        "came from a camera that cannot be read",
        "is it connected?",
    ),
    "hand.": (
        "is another image than the one of its hands",
        "are other images than those of their hands",
        "give the images that were fitted",
    ),
    "shard.": (
        "cannot be read from its tar file",
        "cannot be read from their tar files",
        "copy or pack it anew",
    ),
    "address.": (
        "cannot be read from its address",
        "cannot be read from their addresses",
        "does the server answer?",
    ),
    "mask.": ("has an unusable mask", "have unusable masks", "see docs/inputs.md"),
    "dataset.no_mesh": ("lacks an object's mesh", "lack objects' meshes", "see docs/inputs.md"),
    "object": ("has unusable objects", "have unusable objects", "see docs/inputs.md"),
    "worker.undetectable": (
        "ended its process or took too long",
        "ended their processes or took too long",
        "--timeout-per-image gives more time",
    ),
    "worker.unfittable": (
        "ended the process that fitted it",
        "ended the process that fitted them",
        "--batch-size takes less memory",
    ),
    "worker.unexpected": (
        "met a fault of the program",
        "met a fault of the program",
        "please report it",
    ),
}

_OTHER = ("failed for another reason", "failed for other reasons", "")


def by_kind(codes: Counter[str], unit: str, table: Path | None) -> Iterator[str]:
    """One line for each kind, the most frequent first.

    Args:
        codes: of the errors of images that failed, and how often each was.
        unit: what the images are called, in the singular.
        table: of all failures, or None where it was not written.
    """
    kinds: Counter[tuple[str, str, str]] = Counter()
    for code, number in codes.items():
        kinds[_kind(code)] += number
    where = "the store says why" if table is None else f"see {table}"
    for (one, several, way), number in kinds.most_common():
        out = f" ({way})" if way else ""
        said = one if number == 1 else several
        yield f"{count(number, unit)} {said}{out}: {where}"


def _kind(code: str) -> tuple[str, str, str]:
    known = [start for start in _KINDS if code.startswith(start)]
    return _KINDS[max(known, key=len)] if known else _OTHER
