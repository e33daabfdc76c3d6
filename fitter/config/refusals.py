"""What is wrong in a configuration, said in one sentence about the option at fault."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from fitter.config.section import MISTAKE, Section
from fitter.config.stages import StageConfig
from fitter.errors import InputError

_EXPECTED = {
    "bool_type": "true or false",
    "float_type": "a number",
    "int_type": "a whole number",
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "too_short": "at least one name",
    "list_type": "a list",
    "dict_type": "a section of options",
}

_FEW = 6
"""Names that a sentence may spell out although one of them was meant for sure."""

OVERRIDE = "--set"
"""The flag of options by their whole names."""

_shortened = reprlib.Repr()
_shortened.maxstring = _shortened.maxother = 80


def hint(found: str, known: Sequence[str], prefix: str = "") -> dict[str, Any]:
    """Facts that help with an unknown name: `known`, the one that is `close` or None, `hint`.

    Args:
        found: the unknown name.
        known: all that there are.
        prefix: with which the user may type them.
    """
    close = next(iter(difflib.get_close_matches(found, known, n=1)), None)
    if close is not None:
        hint = f"did you mean {close!r}?"
    else:
        names = ", ".join(prefix + name for name in known)
        hint = f"expected one of {names}" if known else "there is none"
    return {"hint": hint, "close": close, "known": tuple(known)}


def refusal(
    error: ValidationError,
    root: type[Section],
    source_of: Callable[[tuple[str, ...]], str | None],
) -> InputError:
    """What to say of the first thing that is wrong; `source_of` says who gave an option."""
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        if first["type"] == MISTAKE:
            return _about(source_of(()), first["ctx"]["code"], **first["ctx"]["facts"])
        return _about(source_of(()), "config.expected_at_all", expected=_reason(first))
    keys, section = _location(first["loc"], root)
    source = source_of(keys)
    if first["type"] == MISTAKE:
        about = ".".join(keys) if source is None else f"{source}: {'.'.join(keys)}"
        return InputError(first["ctx"]["code"], file=about, **first["ctx"]["facts"])
    is_typed = source is not None and source.startswith(OVERRIDE)
    code, facts = _what_is_wrong(first, keys, section, is_typed)
    return _about(source, code, **facts)


def _what_is_wrong(
    first: Mapping[str, Any], keys: tuple[str, ...], section: type[BaseModel], is_typed: bool
) -> tuple[str, dict[str, Any]]:
    """Code and facts of one of Pydantic's errors about the option `keys` in `section`, which the
    user may have typed whole."""
    kind, name, found = first["type"], ".".join(keys), first["input"]
    if kind in ("extra_forbidden", "invalid_key"):
        # A section whose options come from elsewhere says which there are.
        known = first.get("ctx", {}).get("known", list(section.model_fields))
        # In a file a section's options stand below it.
        prefix = ".".join((*keys[:-1], "")) if is_typed else ""
        return "config.unknown_option", {"option": name, **hint(keys[-1], known, prefix)}
    if kind == "literal_error" and isinstance(found, str):
        known = re.findall("'([^']*)'", first["ctx"]["expected"])
        if len(known) > _FEW:
            return "config.unknown_name", {"option": name, "found": found, **hint(found, known)}
    if kind.startswith("union_tag"):
        option = f"{name}.{first['ctx']['discriminator'].strip(chr(39))}"
        if kind == "union_tag_not_found":
            return "config.missing", {"option": option}
        known = re.findall("'([^']*)'", first["ctx"]["expected_tags"])
        found = first["ctx"]["tag"]
        return "config.unknown_name", {"option": option, "found": found, **hint(found, known)}
    if kind in ("model_type", "model_attributes_type"):
        return "config.no_section", {"option": name, "found": kind_of(found)}
    if kind == "value_error":
        return "config.expected", {"option": name, "expected": _reason(first)}
    if kind == "missing":
        return "config.missing", {"option": name}
    if first["loc"][-1] == "[key]":
        name = f"a name in {name}"
    expected = _EXPECTED.get(kind, first["msg"].removeprefix("Input should be "))
    return "config.value", {"option": name, "expected": expected, "found": shown(found)}


def _about(source: str | None, code: str, **facts: Any) -> InputError:
    """An error about what `source` gave; None where nobody gave it."""
    return InputError(code, **facts) if source is None else InputError(code, file=source, **facts)


def _reason(first: Mapping[str, Any]) -> str:
    """What a validator of ours has said."""
    return str(first["ctx"]["error"])


def _location(
    place: tuple[int | str, ...], root: type[Section]
) -> tuple[tuple[str, ...], type[BaseModel]]:
    """Names on the way to the option at fault, and the section it is in.

    What follows the option's own name is a part of its value.
    """
    section: type[BaseModel] = root
    keys: list[str] = []
    # A name that is itself wrong is reported as the entry "[key]" of what it names.
    rest = list(map(str, place[:-2] if place[-1] == "[key]" else place))
    while rest:
        keys.append(rest.pop(0))
        if keys[-2:-1] == ["stages"]:
            section = StageConfig
            continue
        field = section.model_fields.get(keys[-1])
        inner = field.annotation if field else None
        if field is not None and isinstance(field.discriminator, str) and rest:
            # The place names the kind of a section of several kinds, the file does not.
            inner = _of_kind(field, field.discriminator, rest.pop(0))
        if get_origin(inner) is dict and rest and _section_in(inner) is not None:
            # Sections by names that the user gives them.
            keys.append(rest.pop(0))
            inner = _section_in(inner)
        elif type(None) in get_args(inner):
            inner = _section_in(inner) or inner
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            section = inner
        elif get_origin(inner) is not dict:
            break
    return tuple(keys), section


def _section_in(named: Any) -> type[BaseModel] | None:
    """The section that a dictionary, or something that may be none, holds."""
    for part in get_args(named):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def _of_kind(field: FieldInfo, discriminator: str, tag: str) -> type[BaseModel] | None:
    for member in get_args(field.annotation):
        if tag in get_args(member.model_fields[discriminator].annotation):
            return member
    return None


def shown(value: Any) -> str:
    """A value that was given, shortened, for a sentence."""
    return "nothing" if value is None else _shortened.repr(value)


def kind_of(value: Any) -> str:
    """What a value that was given is, for a sentence."""
    names = {str: "text", list: "a list", dict: "a section", bool: "a yes/no value"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "nothing")
