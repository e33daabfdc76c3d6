"""How configurations of any kind are read: files, presets and overrides."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from pydantic import ValidationError

from fitter.config.refusals import OVERRIDE, hint, kind_of, refusal, shown
from fitter.config.section import Section
from fitter.errors import InputError

Root = TypeVar("Root", bound=Section)


@dataclass(frozen=True)
class ConfigKind(Generic[Root]):
    """A kind of configuration: what is read from its files.

    Attributes:
        root: all its sections.
        presets: folder below ``configs/`` whose files are its presets.
        flag: of the command line that names a file, for messages; empty for an argument.
        section, override: examples of a section and of an override, for messages.
    """

    root: type[Root]
    presets: str
    flag: str
    section: str
    override: str


@dataclass(frozen=True)
class Flag:
    """A command-line flag that stands for an option of the configuration.

    Attributes:
        typed: the flag and its value as the user typed them, for messages.
        value: the option's value.
    """

    typed: str
    value: Any


def load_kind(
    kind: ConfigKind[Root],
    path: str | Path | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, Flag] | None = None,
    altered: Callable[[dict[str, Any]], dict[str, Any]] = lambda values: values,
) -> Root:
    """Read a configuration.

    Args:
        kind: what it is for.
        path: YAML file, or the name of a preset, see `find_preset`; options it leaves out keep
            their defaults. None for all defaults.
        overrides: ``section.option=value`` each, applied in order; the value is a YAML scalar.
        flags: ``section.option`` -> what a flag says of it, applied before the overrides.
        altered: what is taken of what the file says, before flags and overrides; it may be given
            anything that YAML can say.

    Raises:
        InputError: the file cannot be read, a key is unknown or a value has the wrong type.
    """
    values: dict[str, Any] = {}
    origin: dict[tuple[str, ...], str] = {}
    if path is not None:
        path = find_preset(path, kind)
        values = altered(_read_yaml(path, kind))
    given = [(*name.split("."), flag.value, flag.typed) for name, flag in (flags or {}).items()]
    for text in overrides:
        keys, value = _parse_override(text, kind.override)
        given.append((*keys, value, f"{OVERRIDE} {text}"))
    for *path_to, value, typed in given:
        keys = tuple(path_to)
        defaults = _defaults(kind.root)
        _place(values, defaults, keys, value, lambda known: _source(known, origin, path), typed)
        origin[keys] = typed
    try:
        return kind.root.model_validate(values)
    except ValidationError as error:
        raise refusal(error, kind.root, lambda known: _source(known, origin, path)) from None


def find_preset(given: str | Path, kind: ConfigKind[Any]) -> Path:
    """The file that is meant by a path, or by the name of a preset that ships with the project.

    A file of that name comes first. What has an ending or a folder is no preset's name.

    Args:
        given: path or name.
        kind: whose presets.

    Raises:
        InputError: a bare name of neither.
    """
    path = Path(given)
    if path.is_file() or path.suffix or len(path.parts) != 1:
        return path
    presets = {file.stem: file for file in (_preset_folder() / kind.presets).glob("*.yaml")}
    if path.name not in presets:
        typed = f"{kind.flag} {given}".lstrip()
        raise InputError("config.no_preset", file=typed, known=", ".join(sorted(presets)))
    return presets[path.name]


def described_presets(kind: ConfigKind[Any]) -> dict[str, str]:
    """Name of every preset of a kind, and the first line of its file, a comment that says what it
    is, without its ``#``."""
    files = sorted((_preset_folder() / kind.presets).glob("*.yaml"))
    return {
        file.stem: file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()
        for file in files
    }


def _preset_folder() -> Path:
    # An installed package holds them itself; in a checkout they lie beside it.
    inside, beside = (parent / "configs" for parent in Path(__file__).parents[1:3])
    return inside if inside.is_dir() else beside


def _read_yaml(path: Path, kind: ConfigKind[Any]) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), StrictLoader)
    except OSError as error:
        raise InputError("config.unreadable", file=path, reason=error.strerror) from error
    except RecursionError as error:
        raise InputError("config.nested", file=path) from error
    except UnicodeDecodeError as error:
        raise InputError("config.not_utf8", file=path) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "it cannot be parsed"
        if mark is None:
            raise InputError("config.not_yaml", file=path, reason=reason) from error
        line = mark.line + 1
        raise InputError("config.not_yaml_at", file=path, line=line, reason=reason) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(
            "config.no_sections", file=path, section=kind.section, found=kind_of(values)
        )
    # A section whose options are all commented out reads as None and means its defaults: that it is
    # not there, where that is the default.
    known = kind.root.model_fields
    return {
        key: {} if value is None else value
        for key, value in values.items()
        if not (value is None and key in known and known[key].default is None)
    }


def _parse_override(text: str, example: str) -> tuple[tuple[str, ...], Any]:
    name, equals, value = text.partition("=")
    keys = tuple(name.strip().split("."))
    if not equals or len(keys) < 2 or not all(keys):
        raise InputError("config.no_override", file=f"{OVERRIDE} {text}", example=example)
    try:
        return keys, yaml.load(value, StrictLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError("config.no_yaml_value", file=f"{OVERRIDE} {text}", found=value) from error


def _defaults(root: type[Section]) -> dict[str, Any]:
    """The defaults of all sections that have any, as `Config.resolved` gives them."""
    defaults = {}
    for name, field in root.model_fields.items():
        if not field.is_required():
            value = field.get_default(call_default_factory=True)
            defaults[name] = value.model_dump(mode="json") if isinstance(value, Section) else value
    return defaults


def _place(
    values: dict[str, Any],
    default: Any,
    keys: Sequence[str],
    value: Any,
    source: Callable[[tuple[str, ...]], str | None],
    typed: str,
) -> None:
    """Put the value of an override where it belongs.

    `default` holds the defaults of all sections; `source` says who gave an option before.
    """
    section = values
    for depth, key in enumerate(keys[:-1], 1):
        default = default.get(key, {}) if isinstance(default, dict) else {}
        name = ".".join(keys[:depth])
        if list(keys[: depth - 1]) == ["refine", "stages"] and key not in section:
            raise InputError(
                "config.unknown_stage", file=typed, stage=name, **hint(key, list(section))
            )
        if key not in section and not isinstance(default, dict):
            raise InputError("config.no_options", file=typed, option=name)
        # Stages replace one another whole: changing one option of one keeps the others.
        section = section.setdefault(key, copy.deepcopy(default) if depth > 1 else {})
        if not isinstance(section, dict):
            given = source(tuple(keys[:depth])) or typed
            raise InputError("config.no_section", file=given, option=name, found=shown(section))
    section[keys[-1]] = value


def _source(
    keys: tuple[str, ...], origin: dict[tuple[str, ...], str], path: Path | None
) -> str | None:
    """Who gave an option: the last flag or override that set it, a part of it or, failing that,
    what it is in; the file otherwise."""
    parts = [text for known, text in origin.items() if known[: len(keys)] == keys]
    wholes = [known for known in origin if known == keys[: len(known)]]
    if parts:
        return parts[-1]
    if wholes:
        return origin[max(wholes, key=len)]
    return None if path is None else str(path)


class StrictLoader(yaml.SafeLoader):
    """Safe YAML without two of PyYAML's traps.

    It reads 1e-3 as a number, which YAML 1.1 takes for text, and refuses a key that is given
    twice, of which PyYAML silently keeps the last.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As PyYAML's, but refuses a name that is given twice, and one that is no text."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    problem="a name cannot be a list or a section", problem_mark=key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"{key.value!r} is given twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)
