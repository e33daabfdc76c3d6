"""How a result store is laid out on disk, before any row is written.

One Zarr v3 group; an array for each variable of `fitter.rows`, one chunk per block of images;
coordinates with the names of images, keypoints, joints and axes; and attributes that say which
configuration, model and software the rows come from.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from fitter.rows import DIMENSION_LABELS, OPTIONAL_DIMENSIONS, VARIABLES

FORMAT = "fit-hands results"
FORMAT_VERSION = 1
MARKER = "image_status"
"""The variable whose chunks mark committed blocks: one uncompressed byte per image."""

_FIXED_SIZES = {"row": 3, "column": 3} | {
    dim: len(names) for dim, names in DIMENSION_LABELS.items()
}


@dataclass(frozen=True)
class StoreSpec:
    """What is fixed when a store is made, and must be the same when it is resumed.

    Attributes:
        images: the images' names, in order, each once (paths relative to the input folder).
        max_hands: hand slots per image.
        block_size: images per block, the unit of commit.
        num_betas: shape coefficients of the hand model.
        optional_sizes: lengths of those `OPTIONAL_DIMENSIONS` that the store has.
        config: the resolved configuration, JSON-able.
        model: the hand model, JSON-able: its name, its sha256, and how its parameters mean a
            left hand.
        versions: package name to version, of everything that shapes the numbers.
    """

    images: Sequence[str]
    max_hands: int
    block_size: int
    num_betas: int
    optional_sizes: Mapping[str, int] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        """Length of every dimension of the store."""
        sizes = {
            **_FIXED_SIZES,
            "image": len(self.images),
            "hand": self.max_hands,
            "shape_component": self.num_betas,
            **self.optional_sizes,
        }
        lacking = set(OPTIONAL_DIMENSIONS) - set(self.optional_sizes)
        kept = [{*v.outer, *v.dims} for v in VARIABLES if not lacking & set(v.dims)]
        return {dim: size for dim, size in sizes.items() if dim in set().union(*kept)}

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
        }


def is_result_store(path: Path) -> bool:
    """Whether `path` is a folder that holds one of our result stores."""
    try:
        metadata = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
        return metadata["attributes"]["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_layout(path: Path, spec: StoreSpec) -> None:
    """Write an empty store to `path`: metadata, the names of images and labels, and no row."""
    sizes = spec.sizes
    labels = {dim: names for dim, names in DIMENSION_LABELS.items() if dim in sizes}
    group = zarr.create_group(
        path, zarr_format=3, attributes=spec.attributes | {"coordinates": "image_name"}
    )
    for dim, names in labels.items():
        coordinate = group.create_array(
            dim, shape=(len(names),), dtype=str, dimension_names=[dim], fill_value=""
        )
        coordinate[:] = np.array(names, dtype=object)
    names = group.create_array(
        "image_name",
        shape=(len(spec.images),),
        chunks=(spec.block_size,),
        dtype=str,
        dimension_names=["image"],
        fill_value="",
        attributes={"long_name": "path relative to the input folder"},
    )
    names[:] = np.array(spec.images, dtype=object)
    for variable in VARIABLES:
        dims = (*variable.outer, *variable.dims)
        if not set(dims) <= set(sizes):
            continue  # the vertices of a store that leaves them out, for one
        shape = tuple(sizes[dim] for dim in dims)
        group.create_array(
            variable.name,
            shape=shape,
            chunks=(spec.block_size, *shape[1:]),
            dtype=str if variable.dtype == "string" else variable.dtype,
            dimension_names=dims,
            fill_value=variable.fill,
            attributes=variable.attributes,
            compressors=None if variable.name == MARKER else "auto",
        )
    with warnings.catch_warnings():
        # Zarr v3's text does not describe consolidated metadata yet. The variables' own metadata
        # stay readable without it; with it, readers open the store in one read.
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(path)
    _sort_consolidated(path / "zarr.json", [*labels, "image_name", *(v.name for v in VARIABLES)])


def _sort_consolidated(file: Path, order: Sequence[str]) -> None:
    """List the variables in the table's order: Zarr lists them as the file system happens to."""
    metadata = json.loads(file.read_text(encoding="utf-8"))
    members = metadata["consolidated_metadata"]["metadata"]
    metadata["consolidated_metadata"]["metadata"] = {
        name: members[name] for name in order if name in members
    }
    file.write_text(json.dumps(metadata, indent=2), encoding="utf-8")


def _to_json(value: Mapping[str, Any]) -> str:
    # Not sorted: the order of the stages is part of the configuration.
    return json.dumps(value)
