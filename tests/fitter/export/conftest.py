"""Stores that several files of tests export."""

import pytest

from fitter.export import ExportRequest, export_results
from tests.support.exported_stores import ROWS, write_people
from tests.support.fitted_stores import image_row, posed_hand, write_store
from tests.support.small_mano import write_small_mano


@pytest.fixture(scope="package")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "r.zarr"
    write_store(path, ROWS)
    return path


@pytest.fixture(scope="package")
def mano(tmp_path_factory):
    return write_small_mano(tmp_path_factory.mktemp("mano") / "MANO_RIGHT.pkl")


@pytest.fixture
def export(store, tmp_path):
    def run(kind, name="out", **values):
        request = ExportRequest(store, tmp_path / name, kind, quiet=True, **values)
        return export_results(request), request.out

    return run


@pytest.fixture(scope="package")
def people(tmp_path_factory):
    """Anna's hands in two images, her left one three times, Ben's in one, and one of nobody."""
    anna, ben = {"person": "anna"}, {"person": "../ben"}
    rows = {
        "1.jpg": image_row(posed_hand(3, **anna), posed_hand(4, "left", **anna)),
        "2.jpg": image_row(posed_hand(1, "left", **anna), posed_hand(2, "left", **anna)),
        "3.jpg": image_row(posed_hand(5, "left", **ben), posed_hand(6, person=None)),
    }
    path = tmp_path_factory.mktemp("people") / "p.zarr"
    write_people(path, rows)
    return path
