"""Stores that are exported, and what is asked of the files."""

from dataclasses import replace
from pathlib import Path

import numpy as np

import fitter
from fitter.fitted_hand import FittedHand
from fitter.formats.mano_fit import load_mano_meshes
from fitter.store.result_store import ResultStore
from fitter.store.schema import HandRow, ImageRow
from tests.support.fitted_stores import image_row, posed_hand, store_spec

FAILED = HandRow(valid=False, side="left", fit_error="diverged", box=np.array([1.0, 2, 3, 4]))
ROWS = {
    "a.jpg": image_row(posed_hand(1), posed_hand(2, "left")),
    "a.png": image_row(posed_hand(3)),
    "anna/b.jpg": image_row(FAILED, posed_hand(4, valid=False, fit_error="too low")),
    "anna/c.jpg": image_row(),
    "../out.jpg": image_row(posed_hand(5, "left")),
    "e.jpg": image_row(posed_hand(6), posed_hand(7)),
}
ALL = [("a.jpg", 0), ("a.jpg", 1), ("a.png", 0), ("../out.jpg", 0), ("e.jpg", 0), ("e.jpg", 1)]
"""The valid hands, by image and slot."""


def fitted(store: Path, name: str, slot: int) -> FittedHand:
    """A hand of a store."""
    return fitter.open_results(store)[name][slot]


def files(folder: Path) -> list[str]:
    """Paths of all files in a folder, relative to it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def write_mano_store(
    path: Path, mano: Path, rows: dict[str, ImageRow], where: Path | None = None, **spec: object
) -> None:
    """A store of hands that were fitted with a MANO file, which may be elsewhere now."""
    plain = store_spec(list(rows))
    model = {"name": "mano", "sha256": load_mano_meshes(mano).data.sha256}
    config = {**plain.config, "model": {"name": "mano", "path": str(where or mano)}}
    made = replace(plain, model=model, config=config, **spec)
    with ResultStore.create(path, made) as store:
        store.write_block(store.blocks()[0], list(rows.values()))


def write_people(path: Path, rows: dict[str, ImageRow]) -> None:
    """A store that says whose hands its rows' are."""
    spec = replace(store_spec(list(rows)), has_people=True)
    listed = list(rows.values())
    with ResultStore.create(path, spec) as store:
        for block in store.blocks():
            store.write_block(block, listed[block.start : block.stop])
