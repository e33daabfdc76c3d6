"""The result store: a Zarr folder with one row for each image, written block by block.

`VARIABLES` names all that is stored, with dimensions, unit and meaning. `ResultStore` reads and
writes it so that a crash costs unfinished blocks alone. `fitter.open_results` reads a store as
records, `xarray.open_zarr` as arrays.

    results = xarray.open_zarr("results.zarr")
    decode_flags(results.side)  # "right", "left", or "none" in an empty slot
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from fitter.store.block_sizes import choose_block_size
    from fitter.store.failures import write_failures
    from fitter.store.files import check_target, require_resumable, require_store
    from fitter.store.layout import Block, StoreSpec, is_result_store
    from fitter.store.reader import StoreReader, decode_flags
    from fitter.store.result_store import ResultStore
    from fitter.store.schema import HAND_VARIABLES, IMAGE_VARIABLES, VARIABLES, HandRow, ImageRow

__all__ = [
    "HAND_VARIABLES",
    "IMAGE_VARIABLES",
    "VARIABLES",
    "Block",
    "HandRow",
    "ImageRow",
    "ResultStore",
    "StoreReader",
    "StoreSpec",
    "check_target",
    "choose_block_size",
    "decode_flags",
    "is_result_store",
    "require_resumable",
    "require_store",
    "write_failures",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Block": "fitter.store.layout",
        "HAND_VARIABLES": "fitter.store.schema",
        "HandRow": "fitter.store.schema",
        "IMAGE_VARIABLES": "fitter.store.schema",
        "ImageRow": "fitter.store.schema",
        "ResultStore": "fitter.store.result_store",
        "StoreReader": "fitter.store.reader",
        "StoreSpec": "fitter.store.layout",
        "VARIABLES": "fitter.store.schema",
        "check_target": "fitter.store.files",
        "choose_block_size": "fitter.store.block_sizes",
        "decode_flags": "fitter.store.reader",
        "is_result_store": "fitter.store.layout",
        "require_resumable": "fitter.store.files",
        "require_store": "fitter.store.files",
        "write_failures": "fitter.store.failures",
    },
)
