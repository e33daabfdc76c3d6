"""Large JSON files, value by value: objects of a million entries of which a reader keeps arrays.

The text of the file is in memory while it is read; of the values only the one at hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasets.readers.files import require_file
from fitter.errors import InputError

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


class JsonStream:
    """A place in a JSON text that moves forward; make one with `opened_json`.

    ```python
    with opened_json(path, "COCO-WholeBody") as stream:
        for key in stream.members():
            if key == "annotations":
                for _ in stream.elements():
                    annotation = stream.value()
            else:
                stream.value()
    ```

    Whoever is given a key or a number takes its value before the next: by `value`, or by going
    through `members` or `elements` of it.
    """

    def __init__(self, text: str) -> None:
        """Stand at the start of a text."""
        self._text = text
        self._place = 0

    def value(self) -> Any:
        """The value here, whole; the place moves behind it."""
        value, self._place = _DECODER.raw_decode(self._text, self._after_space())
        return value

    def members(self) -> Iterator[str]:
        """The keys of the object here; the place is then at the value."""
        for _ in self._parts("{", "}"):
            key = self.value()
            if not isinstance(key, str):
                raise ValueError(f"a key that is no text before character {self._place}")
            self._take(":")
            yield key

    def elements(self) -> Iterator[int]:
        """The numbers of the values of the list here; the place is then at the value."""
        yield from self._parts("[", "]")

    def _parts(self, opening: str, closing: str) -> Iterator[int]:
        self._take(opening)
        if self._next() == closing:
            self._take(closing)
            return
        number = 0
        while True:
            yield number
            number += 1
            if self._next() == closing:
                self._take(closing)
                return
            self._take(",")

    def _after_space(self) -> int:
        match = _SPACE.match(self._text, self._place)
        assert match is not None  # the pattern admits nothing at all
        return match.end()

    def _next(self) -> str:
        return self._text[(place := self._after_space()) : place + 1]

    def _take(self, character: str) -> None:
        place = self._after_space()
        if self._text[place : place + 1] != character:
            raise ValueError(f"no {character} at character {place}")
        self._place = place + 1


@contextmanager
def opened_json(path: Path, dataset: str) -> Iterator[JsonStream]:
    """A JSON file of a data set, to be read value by value.

    Args:
        path: the file, in UTF-8.
        dataset: whose it is, for messages.

    Raises:
        InputError: there is no such file, it cannot be read, or, while it is read, it is no JSON,
            breaks off, or holds something else where the reader expects an object or a list.
    """
    try:
        stream = JsonStream(require_file(path, dataset).read_text(encoding="utf-8"))
        yield stream
    except OSError as error:
        raise InputError("dataset.unreadable", file=path, reason=error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise InputError("dataset.unreadable", file=path, reason=str(error)) from error
