"""Whose hands the images show: from a file, or one person's all.

A file is JSON or YAML, an object from names of images, or patterns that names match, to a person,
or to the persons of its hands by side or by slot::

    {"anna/*": "anna", "ben/*": "ben", "ben/with_anna.jpg": {"left": "anna", "right": "ben"}}

or CSV with the columns ``image``, ``person`` and, where a line is about one hand alone, ``hand``::

    image,person,hand
    anna/*,anna,
    ben/with_anna.jpg,anna,left
    ben/with_anna.jpg,ben,right

A name of its own goes before patterns; ``*`` in a pattern is any number of characters, slashes too.
A hand is "left", "right", or the number of its slot in the results, from 0 on. Hands of which the
file says nothing are fitted alone.

A person has one hand of a side: of several in an image that would be the same one, the first in the
order of the slots is taken, which is the surest, and the others are fitted alone.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fitter.errors import InputError
from fitter.inputs.by_image import ByImage
from fitter.records import Side

ONE_PERSON = "one person"
"""The name of the person whose hands all images show."""

SIDES: tuple[Side, ...] = ("left", "right")

_COLUMNS = ("image", "person", "hand")
ALL_HANDS = "all"
"""Stands for all hands of an image."""

_LONGEST_SLOT = 6
"""Digits of the number of a slot."""


def hand_title(hand: str) -> str:
    """What to call "left", "right" or the number of a slot, for messages."""
    return f"{hand} hand" if hand in SIDES else f"hand {hand}"


@dataclass(frozen=True)
class ImagePeople:
    """Whose hands one image shows.

    Attributes:
        by_hand: person by "left", "right", the number of a slot, or "all".
    """

    by_hand: Mapping[str, str]

    def of(self, sides: Sequence[Side]) -> list[str | None]:
        """The person of each hand of the image, None for a hand that is fitted alone.

        Args:
            sides: of the hands, in the order of their slots.
        """
        found: list[str | None] = []
        taken: set[tuple[str, Side]] = set()
        for slot, side in enumerate(sides):
            hands = (str(slot), side, ALL_HANDS)
            person = next((self.by_hand[hand] for hand in hands if hand in self.by_hand), None)
            if person is not None and (person, side) in taken:
                person = None
            if person is not None:
                taken.add((person, side))
            found.append(person)
        return found

    @property
    def persons(self) -> list[str]:
        """All that may be in the image, each once."""
        return sorted(set(self.by_hand.values()))


@dataclass(frozen=True)
class People:
    """Whose hands the images of a listing show.

    Build it with `People.open` or `People.one_person`.

    Attributes:
        said: by image; None where all hands are one person's.
    """

    said: ByImage[ImagePeople] | None = None

    @staticmethod
    def one_person() -> People:
        """All hands of a side are one person's."""
        return People()

    @staticmethod
    def open(path: Path) -> People:
        """Read the file.

        Raises:
            InputError: it is missing, of another kind, names an image or a hand twice, or an entry
                of it is no person.
        """
        lines: dict[str, dict[str, str]] = {}
        for image, hand, person in _entries(path):
            by_hand = lines.setdefault(image, {})
            if hand in by_hand:
                whose = "all hands" if hand == ALL_HANDS else f"the {hand_title(hand)}"
                raise InputError("people.twice", file=path, image=image, hand=whose)
            by_hand[hand] = person
        if not lines:
            raise InputError("people.empty", file=path)
        found = {image: ImagePeople(by_hand) for image, by_hand in lines.items()}
        return People(ByImage(path, found, "people.no_image", "people.two_patterns"))

    @property
    def kind(self) -> str:
        """How it was given, for the store."""
        return "one person" if self.said is None else "given for each image"

    def require_for(self, names: Iterable[str]) -> None:
        """See `ByImage.require_for`."""
        if self.said is not None:
            self.said.require_for(names)

    def of(self, name: str) -> ImagePeople | None:
        """Whose hands an image shows, or None where nothing is said of it; see `ByImage.of`."""
        return ImagePeople({ALL_HANDS: ONE_PERSON}) if self.said is None else self.said.of(name)


def _entries(path: Path) -> Iterator[tuple[str, str, str]]:
    """(image or pattern, hand, person) of each entry of a file."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError("people.missing", file=path) from error
    except OSError as error:
        raise InputError("people.unreadable", file=path, reason=error.strerror) from error
    except ValueError as error:
        raise InputError("people.kind", file=path, found="no text in UTF-8") from error
    if path.suffix.lower() == ".csv":
        yield from _of_table(path, content)
        return
    for image, said in _mapping(path, content).items():
        if not isinstance(said, Mapping):
            yield str(image), ALL_HANDS, _person(path, str(image), said)
            continue
        if not said:
            raise InputError("people.nobody", file=path, image=image)
        for hand, person in said.items():
            yield str(image), _hand(path, image, str(hand)), _person(path, str(image), person)


def _of_table(path: Path, content: str) -> Iterator[tuple[str, str, str]]:
    table = csv.DictReader(content.splitlines(), skipinitialspace=True, restkey="more", strict=True)
    try:
        header = list(table.fieldnames or [])
        rows = [(table.line_num, row) for row in table]
    except csv.Error as error:
        raise InputError("people.kind", file=path, found=f"no CSV ({error})") from error
    if not {"image", "person"} <= set(header) <= set(_COLUMNS):
        raise InputError("people.header", file=path, found=", ".join(header))
    for line, row in rows:
        image = (row["image"] or "").strip()
        if not image or "more" in row or row["person"] is None:
            raise InputError("people.line", file=path, line=line)
        hand = (row.get("hand") or "").strip()
        yield (
            image,
            _hand(path, image, hand) if hand else ALL_HANDS,
            _person(path, image, row["person"]),
        )


def _mapping(path: Path, content: str) -> Mapping[Any, Any]:
    """The object in a JSON or YAML file; keys that come twice are told."""
    is_yaml = path.suffix.lower() in (".yaml", ".yml")

    def once(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key, value in pairs:
            if key in found:
                raise InputError("people.twice", file=path, image=key, hand="all hands")
            found[key] = value
        return found

    try:
        value = _yaml(content, once) if is_yaml else json.loads(content, object_pairs_hook=once)
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        kind = "YAML" if is_yaml else "JSON"
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None)
        reason = f"line {mark.line + 1}: {problem}" if mark and problem else str(error)
        reason = " ".join(reason.split())
        raise InputError("people.kind", file=path, found=f"no {kind} ({reason})") from error
    if not isinstance(value, Mapping):
        raise InputError("people.kind", file=path, found=type(value).__name__)
    return value


def _yaml(content: str, once: Any) -> Any:
    class Loader(yaml.SafeLoader):
        """One that tells of keys that come twice."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
            self.flatten_mapping(node)
            return once(
                (self.construct_object(key, deep=True), self.construct_object(value, deep=True))
                for key, value in node.value
            )

    return yaml.load(content, Loader)


def _hand(path: Path, image: str, hand: str) -> str:
    if hand in SIDES:
        return hand
    if hand.isascii() and hand.isdigit() and len(hand) <= _LONGEST_SLOT:
        return str(int(hand))
    raise InputError("people.hand", file=path, image=image, found=hand)


def _person(path: Path, image: str, given: Any) -> str:
    """A person's name; numbers are names too."""
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)
    if not isinstance(given, str) or not given.strip():
        raise InputError("people.nobody", file=path, image=image)
    return given.strip()
