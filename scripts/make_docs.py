"""Write the tables of `docs/` from the code: `python scripts/make_docs.py`.

A page marks where a table goes with ``<!-- begin NAME -->`` and ``<!-- end NAME -->``; what stands
between the two is replaced. `tests/docs/test_pages.py` fails when a page and the code disagree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, get_args, get_origin

import doc_models
import doc_realistic_hands
import doc_regularisers
import doc_render_and_compare
import doc_wsim
from doc_table import table
from pydantic.fields import FieldInfo

from datasets.evaluation import MEASURES
from datasets.evaluation.paper_tables import SHAPES
from fitter.config.energies import Need
from fitter.config.options import Config, InitConfig
from fitter.config.stages import StageConfig
from fitter.energies import ENERGIES
from fitter.errors import SENTENCES
from fitter.formats.mano_npz import KEYS as MANO_KEYS
from fitter.formats.tables import IMAGE_COLUMNS, array_columns, csv_variables
from fitter.hand_models.skeleton import MANO_SKELETON, NIMBLE_SKELETON
from fitter.store.row_kinds import FRAME_VARIABLES, RIG, RIG_VARIABLES
from fitter.store.schema import (
    CAMERA,
    DIMENSION_LABELS,
    IMAGE,
    JOINT_DIMENSIONS,
    MODEL,
    VARIABLES,
    with_initialisations,
)
from fitter.store.variables import Variable

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
ASSETS = ROOT / "fitter" / "hand_models" / "assets"

_FRAMES = {CAMERA: "camera", IMAGE: "image", MODEL: "model", RIG: "rig", "": ""}
"""What the variables' frames are called in the table; results.md says what each is."""


def variables() -> str:
    """Every variable of a result store."""
    return _variables(VARIABLES)


def frame_variables() -> str:
    """Every variable of a store of frames."""
    return _variables((*RIG_VARIABLES, *FRAME_VARIABLES))


def _variables(variables: Iterable[Variable]) -> str:
    return table(
        ("variable", "dimensions", "type", "unit", "frame", "meaning", "empty"),
        (
            (
                f"`{v.name}`",
                " ".join((*v.outer, *v.dims)),
                "text" if v.dtype == "string" else v.dtype,
                v.units,
                _FRAMES[v.frame],
                v.long_name,
                _empty(v),
            )
            for v in variables
        ),
    )


def _empty(variable: Variable) -> str:
    if variable.flags:
        return f"{variable.fill} ({variable.flags[0]})"
    if variable.dtype == "string":
        return "empty text"
    return str(variable.fill).replace("nan", "NaN").replace("False", "false")


def flags() -> str:
    """The codes of the flag variables."""
    return table(
        ("variable", "codes"),
        (
            (f"`{v.name}`", ", ".join(f"{code} {text}" for code, text in enumerate(v.flags)))
            for v in with_initialisations(VARIABLES, InitConfig().offer.initialisations)
            if v.flags
        ),
    )


def dimensions() -> str:
    """The dimensions of a store that have labels."""
    rows = [(f"`{name}`", names) for name, names in DIMENSION_LABELS.items()]
    for model, skeleton in (("", MANO_SKELETON), (" (NIMBLE)", NIMBLE_SKELETON)):
        every = (skeleton.names, skeleton.pose_names)
        rows += [(f"`{n}`{model}", own) for n, own in zip(JOINT_DIMENSIONS, every, strict=True)]
    return table(
        ("dimension", "length", "labels"),
        ((name, len(names), ", ".join(names)) for name, names in rows),
    )


def options() -> str:
    """Every option of the configuration."""
    rows = []
    for section, field in Config.model_fields.items():
        own = field.annotation.model_fields
        added = InitConfig().offer.options.model_fields if section == "init" else {}
        for name, option in (own | added).items():
            if name != "stages":
                rows.append(_option(f"{section}.{name}", option))
    return table(("option", "default", "values", "meaning"), rows)


def stage_options() -> str:
    """Every option of one stage."""
    fields = StageConfig.model_fields.items()
    return table(
        ("option", "default", "values", "meaning"),
        (_option(f"refine.stages.NAME.{name}", option) for name, option in fields),
    )


def energies() -> str:
    """Every energy that a stage may name."""
    return table(
        ("energy", "needs", "lm", "what it is"),
        (
            (
                f"`{energy.name}`",
                ", ".join(need for need in Need if need in energy.needs),
                "yes" if energy.least_squares else "",
                energy.equation.replace("|", "\\|").replace("``", "`"),
            )
            for energy in ENERGIES.values()
        ),
    )


def _option(name: str, option: FieldInfo) -> tuple[str, ...]:
    needed = option.is_required()
    default = "none" if needed else f"`{json.dumps(option.get_default(call_default_factory=True))}`"
    return f"`{name}`", default, _accepted(option), option.description


def _accepted(option: FieldInfo) -> str:
    collections = {list: "list of", dict: "number for each of"}
    outer = collections.get(get_origin(option.annotation))
    if outer:
        return f"{outer} {', '.join(get_args(get_args(option.annotation)[0]))}"
    kinds = {int: "whole number", float: "number", bool: "true, false", str: "text"}
    kind = kinds.get(option.annotation)
    if kind is None:
        choices = getattr(option.annotation, "__args__", ())
        names = {type(None): "null", str: "text", float: "number"}
        kind = ", ".join(
            f"list of {kinds[get_args(choice)[0]]}s"
            if get_origin(choice) is list
            else ", ".join([kinds[get_args(choice)[0]], *_bounds(get_args(choice)[1].metadata)])
            if get_origin(choice) is Annotated
            else ", ".join(map(str, get_args(choice))) or names.get(choice, str(choice))
            for choice in choices
        )
    return ", ".join([kind, *_bounds(option.metadata)])


def _bounds(rules: Iterable[Any]) -> list[str]:
    """The limits that rules put on a number, in words."""
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return [
        f"{text} {getattr(rule, sign):g}"
        for sign, text in signs.items()
        for rule in rules
        if getattr(rule, sign, None) is not None
    ]


SENTENCE_TOPICS = {
    "images": ("image", "array"),
    "videos": ("video", "camera"),
    "lists": ("list", "json"),
    "addresses": ("address", "shard"),
    "intrinsics": ("intrinsics", "lens"),
    "keypoints": ("keypoints",),
    "hand-sizes": ("hand_size",),
    "people": ("people",),
    "masks": ("mask",),
    "objects": ("object", "contact"),
    "configuration": ("config", "stages"),
    "hand-models": ("model", "nimble", "appearance", "prior"),
    "detector": ("detector", "task", "onnx"),
    "networks": ("network", "weights"),
    "views": ("rig", "frames", "view", "views"),
    "runs": ("usage", "run", "device", "worker", "fit", "overlay", "ray"),
    "output": ("output", "store", "report", "viewer"),
    "python": ("door", "hand", "texture", "results"),
    "exports": ("export",),
    "training": ("samples", "training", "checkpoint"),
    "datasets": (
        *("dataset", "found", "evaluation", "predictions", "plots"),
        *("synthetic", "background", "definition", "noise"),
    ),
}
"""Table of sentences -> the topics of the codes in it, the part before the dot."""


def csv_columns() -> str:
    """The columns of export-hands --format csv."""
    single, several = csv_variables()
    rows = [(f"`{name}`", meaning) for name, meaning in IMAGE_COLUMNS.items()]
    rows += [(f"`{variable.name}`", _meaning(variable)) for variable in single]
    for variable in several:
        names = array_columns(variable)
        rows.append((f"`{names[0]}` ... `{names[-1]}`", _meaning(variable)))
    return table(("column", "meaning"), rows)


def _meaning(variable: Variable) -> str:
    unit = "" if variable.units in ("", "1") else f", {variable.units}"
    frame = f", {_FRAMES[variable.frame]} frame" if variable.frame else ""
    return f"{variable.long_name}{unit}{frame}"


def mano_keys() -> str:
    """The arrays of export-hands --format mano-npz."""
    return table(("key", "what"), ((f"`{name}`", what) for name, what in MANO_KEYS.items()))


def measures() -> str:
    """What eval-hands measures: the name in its JSON, what it is, its unit."""
    return table(
        ("in the JSON", "what", "unit", "a hand not found is charged"),
        (
            (f"`{key}`", measure.label.strip(), measure.unit, _CHARGES[measure.charge])
            for key, measure in MEASURES.items()
        ),
    )


_CHARGES = {"length": "the penalty", "area": "its AUC", "none": "nothing"}


def paper_tables() -> str:
    """The tables that eval-hands prints in the papers' shapes."""
    return table(
        ("`--table`", "which", "how"),
        ((f"`{name}`", shape.title, shape.note) for name, shape in SHAPES.items()),
    )


def sentences(topics: Sequence[str]) -> str:
    """The sentences that are said of some topics, by their codes."""
    return table(
        ("code", "what is said"),
        (
            (f"`{code}`", f"`{_as_pattern(wording)}`")
            for topic in topics
            for code, wording in SENTENCES.items()
            if code.partition(".")[0] == topic
        ),
    )


def _as_pattern(wording: str) -> str:
    """A sentence with the bare names of its facts in braces."""
    parts = Formatter().parse(wording)
    said = "".join(f"{text}{{{name}}}" if name else text for text, name, _, _ in parts)
    return said.strip().replace("|", "\\|")


BLOCKS: dict[str, Callable[[], str]] = {
    "variables": variables,
    "frame-variables": frame_variables,
    "flags": flags,
    "dimensions": dimensions,
    "options": options,
    "stage-options": stage_options,
    "energies": energies,
    "keypoints": doc_models.keypoints,
    "joints": doc_models.joints,
    "orders": doc_models.orders,
    "fingertips": doc_models.fingertips,
    "open-hand": doc_models.open_hand,
    "bone-lengths": doc_models.bone_lengths,
    "keypoint-offsets": doc_models.keypoint_offsets,
    "shape-variance": doc_models.shape_variance,
    "appearance": doc_models.appearance,
    "measures": measures,
    "paper-tables": paper_tables,
    "csv-columns": csv_columns,
    "mano-keys": mano_keys,
    **doc_realistic_hands.BLOCKS,
    **doc_regularisers.BLOCKS,
    **doc_render_and_compare.BLOCKS,
    **doc_wsim.BLOCKS,
    **{f"sentences-{name}": partial(sentences, topics) for name, topics in SENTENCE_TOPICS.items()},
}
"""Name in the markers -> what writes the text between them."""

MARKED = re.compile(r"(<!-- begin (?P<name>[\w-]+) -->\n).*?(<!-- end (?P=name) -->)", re.DOTALL)


def filled(text: str) -> str:
    """A page with every marked table made anew.

    Raises:
        KeyError: the page asks for a table that nobody makes.
    """
    return MARKED.sub(lambda m: f"{m[1]}{BLOCKS[m['name']]()}\n{m[3]}", text)


def main() -> None:
    """Rewrite all pages."""
    for page in sorted(DOCS.glob("*.md")):
        before = page.read_text(encoding="utf-8")
        after = filled(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            print(f"changed {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
