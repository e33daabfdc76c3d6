"""How a result store is laid out on disk, before any row is written.

One Zarr v3 group; an array for each variable of the rows' kind (`fitter.store.row_kinds`), one
shard per block of rows, which readers can take in smaller chunks; coordinates with the names of
images or frames, keypoints, joints and axes; and attributes that say which configuration, model and
software the rows come from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fitter.conventions import JOINT_NAMES
from fitter.kept_hands import HAND_BYTES, TYPICAL_HANDS
from fitter.rig import Rig
from fitter.store.block_sizes import chunk_length
from fitter.store.image_names import SizedNames
from fitter.store.older import FORMAT_VERSION
from fitter.store.optional_variables import (
    LENS_VARIABLES,
    OPTIONAL_DIMENSIONS,
    PASS_VARIABLES,
    PEOPLE_VARIABLES,
    TRACK_VARIABLES,
)
from fitter.store.row_kinds import FRAMES, IMAGES, RowKind
from fitter.store.row_names import create_names, write_names
from fitter.store.schema import (
    DIMENSION_LABELS,
    JOINT_DIMENSIONS,
    with_initialisations,
)
from fitter.store.variables import Variable
from fitter.system.files import write_whole

if TYPE_CHECKING:  # what only asks whether there is a store need not wait for Zarr
    import zarr

FORMAT = "fit-hands results"

PASSES = "passes"
"""Folder in a store with what was computed before the last pass; it is gone when that is done."""

_FIXED_SIZES = {"row": 3, "column": 3} | {
    dim: len(names) for dim, names in DIMENSION_LABELS.items()
}


@dataclass(frozen=True)
class Block:
    """Images or frames `start` to `stop` (exclusive), the block at place `index`."""

    index: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Difference:
    """Where a run is another than the one that made a store.

    Attributes:
        name: of the option or attribute, such as "configuration.fit.max_iterations".
        was, now: its value in the store and in the run; "absent" where there is none.
        is_order: whether both are the same parts in another order.
    """

    name: str
    was: Any
    now: Any
    is_order: bool = False


@dataclass(frozen=True)
class StoreSpec:
    """What is fixed when a store is made, and must be the same when it is resumed.

    Attributes:
        images: the images' names, in order, each once (paths relative to the input folder), or of
            frames the texts of `fitter.rig.FrameNames`; they may lie on disk.
        max_hands: hand slots per row.
        block_size: rows per block, the unit of commit.
        num_betas: shape coefficients of the hand model.
        joints: names of its joints, the root first.
        pose_joints: names of those of them that `hand_pose` rotates, in its order.
        initialisations: names of the networks that fits may start from.
        optional_sizes: lengths of those `OPTIONAL_DIMENSIONS` that the store has.
        has_people: whether the store has the `PEOPLE_VARIABLES`.
        has_tracks: whether the store has the `TRACK_VARIABLES`.
        detects: whether hands are found, and not given: what is found is kept from pass to pass.
        is_pass: whether its rows are of a pass before the last one; those of a run that detects
            have the `PASS_VARIABLES`.
        pass_sizes: `optional_sizes` of the rows of each pass before the last one, in order; those
            are kept in stores of their own in the store, see `pass_specs`.
        config: the resolved configuration, JSON-able.
        model: the hand model, JSON-able: its name, its sha256, and how its parameters mean a
            left hand.
        versions: package name to version, of everything that shapes the numbers.
        dataset: name, folder and split of the data set that the images are from; empty where they
            are from none. A continued run may find it in another folder.
        rig: the cameras whose frames are the rows; None where rows are images.
    """

    images: Sequence[str]
    max_hands: int
    block_size: int
    num_betas: int
    joints: Sequence[str] = JOINT_NAMES
    pose_joints: Sequence[str] = JOINT_NAMES[1:]
    initialisations: Sequence[str] = ()
    optional_sizes: Mapping[str, int] = field(default_factory=dict)
    has_people: bool = False
    has_tracks: bool = False
    detects: bool = False
    is_pass: bool = False
    pass_sizes: Sequence[Mapping[str, int]] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    dataset: Mapping[str, str] = field(default_factory=dict)
    rig: Rig | None = None

    @property
    def kind(self) -> RowKind:
        """What its rows are."""
        return IMAGES if self.rig is None else FRAMES

    @property
    def sizes(self) -> dict[str, int]:
        """Length of every dimension of the store."""
        sizes = {
            **_FIXED_SIZES,
            self.kind.item: len(self.images),
            **({} if self.rig is None else {"view": len(self.rig)}),
            "hand": self.max_hands,
            "shape_component": self.num_betas,
            "joint": len(self.joints),
            "pose_joint": len(self.pose_joints),
            **self.optional_sizes,
        }
        lacking = set(OPTIONAL_DIMENSIONS) - set(self.optional_sizes)
        kept = [{*v.outer, *v.dims} for v in self.kind.variables if not lacking & set(v.dims)]
        return {dim: size for dim, size in sizes.items() if dim in set().union(*kept)}

    @property
    def row_bytes(self) -> int:
        """What a row with a hand in every slot takes in memory. Of texts `detections` alone count,
        of `TYPICAL_HANDS`."""
        sizes, total = self.sizes, 0
        for variable in filter(self.has, self.kind.variables):
            if variable.name in PASS_VARIABLES:
                total += HAND_BYTES * min(TYPICAL_HANDS, self.max_hands)
            elif variable.dtype != "string":
                # Rows hold what is stored with 2 bytes as it was computed.
                width = max(4, np.dtype(variable.dtype).itemsize)
                dims = (*variable.outer[1:], *variable.dims)
                total += width * math.prod(sizes[dim] for dim in dims)
        return total

    @property
    def labels(self) -> dict[str, Sequence[str]]:
        """Names of the entries of the dimensions that have them, as far as the store has these."""
        labels = {**DIMENSION_LABELS, "joint": self.joints, "pose_joint": self.pose_joints}
        if self.rig is not None:
            labels["view"] = self.rig.names
        return {dim: names for dim, names in labels.items() if dim in self.sizes}

    @property
    def pass_specs(self) -> list[StoreSpec]:
        """Of the stores of the passes before the last one, which lie in `pass_folder`."""
        return [
            replace(self, optional_sizes=sizes, pass_sizes=(), is_pass=True)
            for sizes in self.pass_sizes
        ]

    def has(self, variable: Variable) -> bool:
        """Whether the store has a variable."""
        if variable.name in PEOPLE_VARIABLES and not self.has_people:
            return False
        if variable.name in TRACK_VARIABLES and not self.has_tracks:
            return False
        if variable.name in PASS_VARIABLES and not (self.is_pass and self.detects):
            return False
        if variable.name in LENS_VARIABLES and "lens_coefficient" not in self.optional_sizes:
            return False
        return {*variable.outer, *variable.dims} <= set(self.sizes)

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the store; nested values as JSON text, which every format can carry."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "block_size": self.block_size,
            "model": _to_json(self.model),
            "configuration": _to_json(self.config),
            "versions": _to_json(self.versions),
            **({"dataset": _to_json(self.dataset)} if self.dataset else {}),
            **({} if self.rig is None else self._rig_attributes(self.rig)),
        }

    def _rig_attributes(self, rig: Rig) -> dict[str, Any]:
        return {"rows": self.kind.name, "rig": _to_json(rig.as_json())}

    def difference_from(
        self, attributes: Mapping[str, Any], sizes: Mapping[str, int]
    ) -> Difference | None:
        """Where this differs from what a store says, its rows apart; None where it does not.

        Args:
            attributes: of the store.
            sizes: length of every dimension of the store.
        """
        stored = {key: _from_json(value) for key, value in attributes.items()}
        asked = {key: _from_json(value) for key, value in self.attributes.items()}
        items = {IMAGES.item, FRAMES.item}
        stored["sizes"] = {dim: size for dim, size in sizes.items() if dim not in items}
        asked["sizes"] = {dim: size for dim, size in self.sizes.items() if dim not in items}
        keys = ("configuration", "model", "versions", "block_size", "sizes")
        found = (_first_difference(stored[key], asked[key], key) for key in keys)
        return next(filter(None, found), None)


def is_result_store(path: Path) -> bool:
    """Whether `path` is a folder that holds one of our result stores."""
    try:
        metadata = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
        return metadata["attributes"]["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_layout(path: Path, spec: StoreSpec) -> None:
    """Write an empty store to `path`: metadata, the names of rows and labels, and no row."""
    import zarr

    sizes, kind = spec.sizes, spec.kind
    named = "image_name" if spec.rig is None else "frame_name image_name"
    group = zarr.create_group(
        path, zarr_format=3, attributes=spec.attributes | {"coordinates": named}
    )
    for dim, names in spec.labels.items():
        coordinate = group.create_array(
            dim, shape=(len(names),), dtype=str, dimension_names=[dim], fill_value=""
        )
        coordinate[:] = np.array(names, dtype=object)
    create_names(group, spec.rig, len(spec.images), spec.block_size)
    write_names(group, kind, spec.images, 0, spec.block_size)
    for variable in with_initialisations(kind.variables, spec.initialisations):
        dims = (*variable.outer, *variable.dims)
        if not spec.has(variable):
            continue  # the vertices of a store that leaves them out, for one
        shape = tuple(sizes[dim] for dim in dims)
        is_marker = variable.name == kind.marker
        chunk = spec.block_size if is_marker else chunk_length(spec.block_size)
        whole = chunk == spec.block_size
        group.create_array(
            variable.name,
            shape=shape,
            chunks=(chunk, *shape[1:]),
            shards=None if whole else (spec.block_size, *shape[1:]),
            dtype=str if variable.dtype == "string" else variable.dtype,
            dimension_names=dims,
            fill_value=variable.fill,
            attributes=variable.attributes,
            compressors=None if is_marker else "auto",
        )
    consolidate(path)
    if spec.pass_sizes:
        zarr.create_group(path / PASSES, zarr_format=3)
    for number, rows in enumerate(spec.pass_specs, 1):
        write_layout(pass_folder(path, number), rows)


def pass_folder(path: Path, number: int) -> Path:
    """Where the rows of a pass before the last one are, in the store at `path`.

    Args:
        path: the store.
        number: of the pass, from 1 on.
    """
    return path / PASSES / str(number)


def dimensions(array: zarr.Array) -> tuple[str, ...]:
    """Names of an array's dimensions, which Zarr v3 keeps and its types do not tell."""
    return tuple(cast(Any, array.metadata).dimension_names)


def lengthen(path: Path, names: SizedNames, count: int, block_size: int) -> None:
    """Add rows to the end of a store, which reads as it was before until `consolidate`.

    Args:
        path: the store.
        names: of the rows to add, as of `StoreSpec.images`; they may lie on disk.
        count: rows that the store has.
        block_size: of the store.
    """
    import zarr

    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    kind = RowKind.of(group.attrs)
    for _, array in group.arrays():
        if dimensions(array)[0] == kind.item:
            array.resize((count + len(names), *array.shape[1:]))
    write_names(group, kind, names, count, block_size)


def write_dataset_place(path: Path, place: Mapping[str, str]) -> None:
    """Replace what a store says of where its data set is, in one step, all of it on the disk.

    Args:
        path: the store.
        place: see `StoreSpec.dataset`.
    """
    file = path / "zarr.json"
    metadata = json.loads(file.read_text(encoding="utf-8"))
    metadata["attributes"]["dataset"] = _to_json(place)
    write_whole(file, json.dumps(metadata, indent=2).encode())


def consolidate(path: Path) -> None:
    """Gather the metadata of all variables in the group's file, in one step, all of it on the disk.

    Zarr v3's text does not describe consolidated metadata yet, and Zarr writes them in place. The
    variables' own metadata stay readable without them; with them, readers open the store in one
    read, and agree about how long it is.
    """
    file = path / "zarr.json"
    metadata = json.loads(file.read_text(encoding="utf-8"))
    kind = RowKind.of(metadata["attributes"])
    names = [*DIMENSION_LABELS, *JOINT_DIMENSIONS]
    names += [*(["view"] if kind is FRAMES else []), *kind.coordinates]
    names += [variable.name for variable in kind.variables]
    members = {
        name: json.loads((path / name / "zarr.json").read_text(encoding="utf-8"))
        for name in names
        if (path / name).is_dir()
    }
    metadata["consolidated_metadata"] = {
        "kind": "inline",
        "must_understand": False,
        "metadata": members,
    }
    write_whole(file, json.dumps(metadata, indent=2).encode())


def _to_json(value: Mapping[str, Any]) -> str:
    # Not sorted: the order of the stages is part of the configuration.
    return json.dumps(value)


def _first_difference(stored: Any, asked: Any, name: str) -> Difference | None:
    """Where two JSON-like values first differ, or None where they do not."""
    if isinstance(stored, Mapping) and isinstance(asked, Mapping):
        for key in sorted({*stored, *asked}):
            difference = _first_difference(
                stored.get(key, "absent"), asked.get(key, "absent"), f"{name}.{key}"
            )
            if difference:
                return difference
        # Of its parts in order, such as the stages, which follow on one another.
        if name.startswith("configuration") and [*stored] != [*asked]:
            return Difference(name, ", ".join(stored), ", ".join(asked), is_order=True)
        return None
    if stored == asked:
        return None
    return Difference(name, stored, asked)


def _from_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value.startswith("{") else value
