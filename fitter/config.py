"""The configuration: every option of a run, typed, frozen, with its unit.

A configuration comes from a YAML file, or from the defaults below where there is none, and from
single overrides on top (``fit.max_iterations=10``). A key that is not known is an error, never
ignored. `Config.resolved` is what a run stores beside its results.
"""

from __future__ import annotations

import copy
import difflib
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_origin

import yaml
from pydantic import BaseModel, Field, ValidationError

from fitter.records import InputError
from fitter.stage_config import RefineConfig, Section, StageConfig
from fitter.yaml_files import StrictLoader

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

_shortened = reprlib.Repr()
_shortened.maxstring = _shortened.maxother = 80


class DetectorConfig(Section):
    """Finding the hands and their 21 keypoints."""

    max_hands: int = Field(2, ge=1, le=16, description="hands kept per image, the store's slots")
    min_score: float = Field(
        0.5, ge=0, le=1, description="detections below this confidence are dropped"
    )
    second_look: bool = Field(
        True, description="detect again in an enlarged crop around every hand found"
    )


class CameraConfig(Section):
    """What is assumed of a camera that nothing is known about."""

    default_fov_degrees: float = Field(
        60.0,
        gt=1,
        lt=179,
        description="field of view along the image's longer side, degrees, where neither the "
        "user nor the file tells",
    )


FingertipConvention = Literal["smplx", "freihand", "ho3d", "manopth_right", "manopth_left"]
"""The names in `fitter.conventions.FINGERTIP_VERTICES`."""


class ModelConfig(Section):
    """The hand model that is fitted."""

    name: str = Field("open_hand", min_length=1, description="which hand model")
    path: str | None = Field(
        None,
        min_length=1,
        description="file of a model that does not ship with the project",
    )
    fingertips: FingertipConvention | list[int] = Field(
        "smplx",
        description="which vertices of MANO are its fingertips: smplx, freihand, ho3d, "
        "manopth_right, manopth_left, or five vertices, thumb to little, of another mesh in "
        "MANO's layout",
    )
    fix_left_shapedirs: bool = Field(
        True, description="undo the known sign fault in the shape space of MANO_LEFT.pkl"
    )


class FitConfig(Section):
    """The objective and the budget of the keypoint fit.

    A crop unit is the side of the square crop around the hand. Each `scale` is where that term's
    robust loss leaves the quadratic: relative depth and bone directions become linear there, the
    2D keypoints level off (see `fitter.energies.residuals`).
    """

    max_iterations: int = Field(30, ge=1, description="linearisations per hand at the most")
    num_starts: int = Field(4, ge=1, description="starting points tried per hand")
    start_iterations: int = Field(
        3, ge=0, description="iterations from every start before the best one goes on"
    )
    keypoint_weight: float = Field(1.0, ge=0, description="weight of the 2D keypoints")
    keypoint_scale: float = Field(
        0.05, gt=0, description="robust scale of the 2D keypoints, crop units"
    )
    bone_direction_weight: float = Field(
        0.045, ge=0, description="weight of the detector's weak 3D bone directions"
    )
    bone_direction_scale: float = Field(
        0.08, gt=0, description="robust scale of the bone directions, length of a unit vector"
    )
    relative_depth_weight: float = Field(
        0.06, ge=0, description="weight of the detector's weak relative depth"
    )
    relative_depth_scale: float = Field(
        0.15, gt=0, description="robust scale of the relative depth, crop units"
    )
    relative_depth_gain: float = Field(
        1.25, gt=0, description="true depth per unit of the detector's relative depth"
    )
    limit_weight: float = Field(1.5, ge=0, description="weight of the anatomical joint limits")
    pose_prior_weight: float = Field(0.13, ge=0, description="weight of the prior of the pose")
    shape_prior_weight: float = Field(0.1, ge=0, description="weight of the prior of the shape")


class RunConfig(Section):
    """How the work is cut up and where it runs."""

    device: Literal["cpu", "cuda", "auto"] = Field(
        "auto", description="where the fit runs; auto takes a GPU where there is one"
    )
    batch_size: int = Field(
        64, ge=1, description="images looked at and fitted together, and hands fitted at once"
    )
    block_size: int = Field(
        0,
        ge=0,
        description="images per block: computed, written and repeated as one; 0 chooses it by "
        "the number of images",
    )


class OutputConfig(Section):
    """What the result store keeps."""

    save_vertices: bool = Field(False, description="store every hand's mesh, 12 bytes a vertex")


class Config(Section):
    """Everything a run can be told."""

    detector: DetectorConfig = Field(default_factory=DetectorConfig)
    camera: CameraConfig = Field(default_factory=CameraConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    fit: FitConfig = Field(default_factory=FitConfig)
    refine: RefineConfig = Field(default_factory=RefineConfig)
    run: RunConfig = Field(default_factory=RunConfig)
    output: OutputConfig = Field(default_factory=OutputConfig)

    def resolved(self) -> dict[str, Any]:
        """Every option with its value, as nested JSON-able dictionaries."""
        return self.model_dump(mode="json")


@dataclass(frozen=True)
class Flag:
    """A command-line flag that stands for an option of the configuration.

    Attributes:
        typed: the flag and its value as the user typed them, for messages.
        value: the option's value.
    """

    typed: str
    value: Any


def load_config(
    path: str | Path | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, Flag] | None = None,
) -> Config:
    """Read a configuration.

    Args:
        path: YAML file, or the name of a preset, see `find_config`; options it leaves out keep
            their defaults. None for all defaults.
        overrides: ``section.option=value`` each, applied in order; the value is a YAML scalar.
        flags: ``section.option`` -> what a flag says of it, applied before the overrides.

    Raises:
        InputError: the file cannot be read, a key is unknown or a value has the wrong type.
    """
    values: dict[str, Any] = {}
    origin: dict[tuple[str, ...], str] = {}
    if path is not None:
        path = find_config(path)
        values = _read_yaml(path)
    given = [(*name.split("."), flag.value, flag.typed) for name, flag in (flags or {}).items()]
    for text in overrides:
        keys, value = _parse_override(text)
        given.append((*keys, value, f"--set {text}"))
    for *keys, value, typed in given:
        _place(values, keys, value, lambda known: _source(known, origin, path), typed)
        origin[tuple(keys)] = typed
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise InputError(_sentence(error, origin, path)) from None


def find_config(given: str | Path) -> Path:
    """The file that is meant by a path, or by the name of a preset that ships with the project.

    A file of that name comes first. What has an ending or a folder is no preset's name.

    Raises:
        InputError: a bare name of neither.
    """
    path = Path(given)
    if path.is_file() or path.suffix or len(path.parts) != 1:
        return path
    presets = {file.stem: file for file in _preset_folder().glob("*.yaml")}
    if path.name not in presets:
        raise InputError(
            f"--config {given}: expected a YAML file or one of the presets "
            f"{', '.join(sorted(presets))}, found neither"
        )
    return presets[path.name]


def _preset_folder() -> Path:
    # An installed package holds them itself; in a checkout they lie beside it.
    inside, beside = (parent / "configs" for parent in Path(__file__).parents[:2])
    return inside if inside.is_dir() else beside


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), StrictLoader)
    except OSError as error:
        raise InputError(f"cannot read configuration {path}: {error.strerror}") from error
    except RecursionError as error:
        raise InputError(f"configuration {path} is nested too deeply to be read") from error
    except UnicodeDecodeError as error:
        raise InputError(f"configuration {path} is not UTF-8 text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise InputError(f"configuration {path} is not valid YAML{where}: {problem}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(
            f"configuration {path} must hold sections such as 'fit:', found {_kind(values)}"
        )
    # A section whose options are all commented out reads as None, and means its defaults.
    return {key: {} if value is None else value for key, value in values.items()}


def _parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    name, equals, value = text.partition("=")
    keys = tuple(name.strip().split("."))
    if not equals or len(keys) < 2 or not all(keys):
        raise InputError(f"--set {text}: expected section.option=value, such as fit.num_starts=2")
    try:
        return keys, yaml.load(value, StrictLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"--set {text}: {value!r} is not a YAML value") from error


def _place(
    values: dict[str, Any],
    keys: Sequence[str],
    value: Any,
    source: Callable[[tuple[str, ...]], str | None],
    typed: str,
) -> None:
    """Put the value of an override where it belongs; `source` says who gave an option before."""
    section, default = values, Config().resolved()
    for depth, key in enumerate(keys[:-1], 1):
        default = default.get(key, {}) if isinstance(default, dict) else {}
        name = ".".join(keys[:depth])
        if list(keys[: depth - 1]) == ["refine", "stages"] and key not in section:
            raise InputError(f"{typed}: unknown stage {name!r}; {_hint(key, list(section))}")
        if key not in section and not isinstance(default, dict):
            raise InputError(f"{typed}: {name} has no options of its own")
        # Stages replace one another whole: changing one option of one keeps the others.
        section = section.setdefault(key, copy.deepcopy(default) if depth > 1 else {})
        if not isinstance(section, dict):
            given = source(tuple(keys[:depth])) or typed
            raise InputError(
                f"{given}: {name} must be a section of options, found {_shown(section)}"
            )
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


def _hint(found: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(found, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"expected one of {', '.join(known)}" if known else "there is none"


def _sentence(error: ValidationError, origin: dict[tuple[str, ...], str], path: Path | None) -> str:
    """One sentence about the first thing that is wrong."""
    first = error.errors(include_url=False)[0]
    keys, section = _location(first["loc"])
    name, found = ".".join(keys), first["input"]
    source = _source(keys, origin, path)
    if first["type"] in ("extra_forbidden", "invalid_key"):
        return f"{source}: unknown option {name!r}; {_hint(keys[-1], list(section.model_fields))}"
    if first["type"] == "literal_error" and isinstance(found, str):
        known = re.findall("'([^']*)'", first["ctx"]["expected"])
        if len(known) > _FEW:
            return f"{source}: unknown name {found!r} in {name}; {_hint(found, known)}"
    if first["type"] == "model_type":
        return f"{source}: {name} must be a section of options, found {_kind(found)}"
    if first["type"] == "value_error":
        return f"{source}: {name}: expected {first['ctx']['error']}"
    if first["type"] == "missing":
        return f"{source}: {name} is missing"
    if first["loc"][-1] == "[key]":
        name = f"a name in {name}"
    expected = _EXPECTED.get(first["type"], first["msg"].removeprefix("Input should be "))
    return f"{source}: {name} must be {expected}, found {_shown(found)}"


def _location(place: tuple[int | str, ...]) -> tuple[tuple[str, ...], type[BaseModel]]:
    """Names on the way to the option at fault, and the section it is in.

    What follows the option's own name is a part of its value.
    """
    section: type[BaseModel] = Config
    keys: list[str] = []
    # A name that is itself wrong is reported as the entry "[key]" of what it names.
    for key in map(str, place[:-2] if place[-1] == "[key]" else place):
        keys.append(key)
        if keys[-2:-1] == ["stages"]:
            section = StageConfig
            continue
        field = section.model_fields.get(key)
        inner = field.annotation if field else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            section = inner
        elif get_origin(inner) is not dict:
            break
    return tuple(keys), section


def _shown(value: Any) -> str:
    return "nothing" if value is None else _shortened.repr(value)


def _kind(value: Any) -> str:
    names = {str: "text", list: "a list", dict: "a section", bool: "a yes/no value"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "nothing")
