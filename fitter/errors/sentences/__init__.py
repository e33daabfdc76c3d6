"""The one table of sentences: code -> wording, with the names of facts in braces.

A sentence says what was expected and what was found. What it is about is its fact `file` (a path,
an option or a name) and stands in front of it, so sentences do not repeat it. Facts are formatted
by `str.format`: ``{found!r}`` shows quotes, ``{size:.2f}`` digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fitter.errors.sentences import (
    cameras,
    configuration,
    contact,
    datasets,
    door,
    exports,
    hand_models,
    inputs,
    networks,
    objects,
    runs,
    store,
    training,
    videos,
    viewer,
    views,
)

SENTENCES: dict[str, str] = {
    **cameras.SENTENCES,
    **configuration.SENTENCES,
    **contact.SENTENCES,
    **datasets.SENTENCES,
    **door.SENTENCES,
    **exports.SENTENCES,
    **hand_models.SENTENCES,
    **inputs.SENTENCES,
    **networks.SENTENCES,
    **objects.SENTENCES,
    **runs.SENTENCES,
    **store.SENTENCES,
    **training.SENTENCES,
    **viewer.SENTENCES,
    **videos.SENTENCES,
    **views.SENTENCES,
}


def sentence(code: str, facts: Mapping[str, Any]) -> str:
    """What is said of an error.

    Args:
        code: key of `SENTENCES`.
        facts: what its wording names; `file` is put in front.

    Raises:
        KeyError: there is no such code, or a fact is missing.
    """
    said = SENTENCES[code].format_map(facts)
    said = f"{facts['file']}: {said}" if "file" in facts else said
    if said.isascii():
        return said
    # A path whose bytes are no UTF-8 can be printed only so; images' names have it, too.
    plain = said.encode("utf-8", "surrogateescape" if _is_of_bytes(said) else "backslashreplace")
    return plain.decode("utf-8", "backslashreplace")


def _is_of_bytes(text: str) -> bool:
    """Whether all surrogates in a text stand for bytes of a file's name (PEP 383)."""
    return not any("\ud800" <= c <= "\udfff" and not "\udc80" <= c <= "\udcff" for c in text)
