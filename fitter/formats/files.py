"""Files of exports onto the disk: whole, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from fitter.errors import InputError
from fitter.formats.hand_record import HandRecord
from fitter.formats.meshes import MESH_FORMATS, mesh_files
from fitter.store.files import refused_as
from fitter.system.files import whole_file

if TYPE_CHECKING:
    from fitter.meshes import HandMeshes
    from fitter.textures.texture import HandTexture

SAVED = (*MESH_FORMATS, "json", "csv")
"""What one hand can be saved as, by the file's ending."""


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files that belong together; none is seen in part, and a failure leaves none.

    Args:
        folder: where they go; it exists.
        files: name -> content; the last one points at the others.

    Raises:
        InputError: they cannot be written, such as on a full disk (`output.cannot_write`); what was
            there is kept.
    """
    last = folder / list(files)[-1]
    # All are written before the first gets its name, and names are given from the last on back.
    with refused_as("output.cannot_write", last), ExitStack() as stack:
        for name, content in reversed(list(files.items())):
            stack.enter_context(whole_file(folder / name, durable=False)).write_bytes(content)


def save_hand(
    record: HandRecord, meshes: HandMeshes, path: Path, texture: HandTexture | None = None
) -> None:
    """Write a fitted hand to a file of the format that its ending names.

    Args:
        record: of the hand.
        meshes: the model it was fitted with.
        path: of the file, which is replaced; its folder exists.
        texture: of the hand, or None.

    Raises:
        InputError: the ending is none of `SAVED`, or the file cannot be written.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind in ("csv", "json"):
        from fitter.formats.tables import csv_header, csv_lines, csv_row, json_object

        text = (
            csv_lines([csv_header(record.views is not None), csv_row(record)])
            if kind == "csv"
            else json_object(record, meshes) + "\n"
        )
        return write_files(path.parent, {path.name: text.encode()})
    if kind not in MESH_FORMATS:
        known = ", ".join(f".{ending}" for ending in SAVED)
        raise InputError("export.ending", file=path, expected=known, found=path.suffix)
    from fitter.formats.hand_asset import HandAsset

    asset = HandAsset.of(record.hand, meshes, record.hand.side or "hand", texture, record.facts)
    files = mesh_files(kind, [asset], path.stem)
    files[path.name] = files.pop(f"{path.stem}.{kind}")  # the ending as it was given
    return write_files(path.parent, files)
