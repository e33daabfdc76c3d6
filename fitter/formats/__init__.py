"""Files that other programs read of fitted hands: records in, bytes out.

    GLB, OBJ, PLY            `HandAsset`, `mesh_files`: a mesh with colours or a texture; GLB with
                             a skeleton
    CSV, JSON                `csv_row`, `json_object`
    COCO-WholeBody           `coco_image`, `coco_person`
    FreiHAND's pred.json     `FreiHandEntries`
    MANO's parameters        `mano_npz`, of hands of any model by `ManoConverter`

`fitter.FittedHand.save` writes one hand, `fitter.export_results` the hands of a store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.formats.coco import coco_image, coco_person
    from fitter.formats.files import save_hand, write_files
    from fitter.formats.freihand import FreiHandEntries
    from fitter.formats.hand_asset import HandAsset
    from fitter.formats.hand_record import HandRecord
    from fitter.formats.mano_fit import ManoConverter, ManoHand
    from fitter.formats.mano_npz import mano_npz
    from fitter.formats.meshes import mesh_files
    from fitter.formats.tables import csv_header, csv_row, json_object

__all__ = [
    "FreiHandEntries",
    "HandAsset",
    "HandRecord",
    "ManoConverter",
    "ManoHand",
    "coco_image",
    "coco_person",
    "csv_header",
    "csv_row",
    "json_object",
    "mano_npz",
    "mesh_files",
    "save_hand",
    "write_files",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "FreiHandEntries": "fitter.formats.freihand",
        "HandAsset": "fitter.formats.hand_asset",
        "HandRecord": "fitter.formats.hand_record",
        "ManoConverter": "fitter.formats.mano_fit",
        "ManoHand": "fitter.formats.mano_fit",
        "coco_image": "fitter.formats.coco",
        "coco_person": "fitter.formats.coco",
        "csv_header": "fitter.formats.tables",
        "csv_row": "fitter.formats.tables",
        "json_object": "fitter.formats.tables",
        "mano_npz": "fitter.formats.mano_npz",
        "mesh_files": "fitter.formats.meshes",
        "save_hand": "fitter.formats.files",
        "write_files": "fitter.formats.files",
    },
)
