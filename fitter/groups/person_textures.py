"""Textures of people's hands as they are read from a store."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from fitter.records import HandKey
from fitter.store.people import PEOPLE
from fitter.store.people_textures import TEXTURES, StoredTextures
from fitter.textures.texture import HandTexture

KEPT = 4
"""Textures that are kept in memory: images of one person often follow on one another."""


class PersonTextures:
    """The textures that a run made of all images of each person's hand, `people.textures`."""

    def __init__(self, store: Path) -> None:
        """Take the folder of a result store; nothing is read before it is asked for."""
        self.store = store.absolute()
        self._stored = StoredTextures(self.store / PEOPLE / TEXTURES)
        self._kept: OrderedDict[HandKey, HandTexture | None] = OrderedDict()

    def of(self, key: HandKey) -> HandTexture | None:
        """The texture of a person's hand, or None where none was made.

        Raises:
            InputError: it is damaged.
        """
        if key not in self._kept:
            found = self._stored.of(key)
            self._kept[key] = None if found is None else HandTexture(found.colours, found.weight)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]
