"""Hands as rows of CSV and as objects of JSON."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from fitter.formats.hand_record import HandRecord, plain
from fitter.store.frame_schema import ViewHandRow
from fitter.store.row_kinds import FRAME_HAND_VARIABLES
from fitter.store.schema import DIMENSION_LABELS, HAND_VARIABLES, HandRow
from fitter.store.variables import Variable

if TYPE_CHECKING:
    from fitter.meshes import HandMeshes

IMAGE_COLUMNS: dict[str, str] = {
    "image_name": "the image's name",
    "hand": "slot of the hand in its image, from 0 on",
    "image_width": "pixels, upright",
    "image_height": "pixels, upright",
    "fx": "focal length, pixels",
    "fy": "focal length, pixels",
    "cx": "principal point, pixels",
    "cy": "principal point, pixels",
    "intrinsics_source": "where these four came from",
    "time": "seconds since the first frame of the video; empty for what is no video",
}
"""Columns about the image, and what they mean."""

FRAME_COLUMNS: dict[str, str] = {
    "frame_name": "the frame's name",
    "hand": "slot of the hand in its frame, from 0 on",
    "cameras": "names of the cameras whose views counted, with spaces between them",
}
"""The same about the frame, of hands that several cameras have seen."""

_ARRAYS = (
    "box",
    "transl",
    "global_orient",
    "keypoints_3d",
    "keypoints_2d",
    "keypoint_visibility",
)
"""Variables that have a column for each of their numbers."""


def array_columns(variable: Variable) -> list[str]:
    """Columns of a variable with labelled dimensions, such as ``keypoints_3d_wrist_x``."""
    labels = [DIMENSION_LABELS[dim] for dim in variable.dims]
    return ["_".join((variable.name, *which)) for which in itertools.product(*labels)]


def csv_variables(of_frames: bool = False) -> tuple[list[Variable], list[Variable]]:
    """The variables of a hand that are columns: those of one value, and those of several.

    Args:
        of_frames: of hands that several cameras have seen.
    """
    variables = FRAME_HAND_VARIABLES if of_frames else HAND_VARIABLES
    by_name = {variable.name: variable for variable in variables}
    single = [variable for variable in variables if not variable.dims]
    return single, [by_name[name] for name in _ARRAYS if name in by_name]


def csv_header(of_frames: bool = False) -> list[str]:
    """Names of all columns, in order; of frames as of `csv_variables`."""
    single, several = csv_variables(of_frames)
    names = [variable.name for variable in single]
    first = FRAME_COLUMNS if of_frames else IMAGE_COLUMNS
    return [*first, *names, *itertools.chain(*map(array_columns, several))]


def csv_row(record: HandRecord) -> list[str]:
    """A hand's values, in the order of `csv_header`; empty where there is none."""
    image, hand = record.image, record.hand
    K = np.full((3, 3), np.nan) if image.intrinsics is None else image.intrinsics
    values: list[Any] = [
        *(record.image_name, record.slot, image.image_width, image.image_height),
        *(K[0, 0], K[1, 1], K[0, 2], K[1, 2], image.intrinsics_source, image.time),
    ]
    if record.views is not None:
        counted = [name for name, view in record.views.items() if view.view_weight]
        values = [record.image_name, record.slot, " ".join(counted)]
    single, several = csv_variables(record.views is not None)
    values += [getattr(hand, variable.name) for variable in single]
    for variable in several:
        found = getattr(hand, variable.name)
        count = len(array_columns(variable))
        values += [None] * count if found is None else list(np.ravel(found))
    return [_cell(value) for value in values]


def csv_lines(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines of CSV (RFC 4180, with line feeds alone)."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def json_object(record: HandRecord, meshes: HandMeshes | None = None) -> str:
    """A hand as a JSON object on one line, with the names of `fitter.FittedHand.to_dict`.

    Args:
        record: the hand.
        meshes: the model it was fitted with, to add `vertices` and `faces`; None leaves them out.
    """
    hand, image = record.hand, record.image
    values: dict[str, Any] = {field.name: getattr(hand, field.name) for field in fields(HandRow)}
    values["hand"] = record.slot
    if record.views is None:
        values["image_name"] = record.image_name
        values["image_size"] = [image.image_width, image.image_height]
        values["intrinsics"] = image.intrinsics
        values["intrinsics_source"] = image.intrinsics_source
        values["time"] = image.time
        values["lens"] = None if image.lens is None else image.lens.as_json()
    else:
        values["frame_name"] = record.image_name
    values["vertices"] = values["faces"] = None
    if meshes is not None and not hand.has_failed and hand.side is not None:
        found = hand.vertices if hand.vertices is not None else meshes.vertices(hand)
        values["vertices"], values["faces"] = found, meshes.faces(hand.side)
    there = {name: plain(value) for name, value in values.items() if value is not None}
    if record.views is not None:
        there["views"] = {name: _view(view) for name, view in record.views.items()}
    return json.dumps(there, ensure_ascii=False, allow_nan=False)


def _view(view: ViewHandRow) -> dict[str, object]:
    """What a camera saw of a hand, for JSON."""
    values = {field.name: getattr(view, field.name) for field in fields(ViewHandRow)}
    return {name: plain(value) for name, value in values.items() if value is not None}


def _cell(value: Any) -> str:
    found = plain(value)
    return "" if found is None else str(found)
