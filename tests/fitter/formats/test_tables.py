"""CSV and JSON: pandas and json read what the records hold."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from fitter.conventions import KEYPOINT_NAMES
from fitter.fitted_hand import FittedHand
from fitter.formats.hand_record import HandRecord
from fitter.formats.tables import csv_header, csv_lines, csv_row, json_object
from fitter.store.schema import HandRow, ImageRow
from tests.support import exported_hands as hands
from tests.support.fitted_stores import HEIGHT, WIDTH, K, image_row, posed_hand

NAMES = ["a.jpg", 'b, "quoted"\nname.jpg', "ö/c.jpg"]


@pytest.fixture(scope="module")
def records():
    rows = [posed_hand(1), posed_hand(2, "left", fit_error="score 0.3 is below 0.5", valid=False)]
    failed = HandRow(valid=False, side="left", fit_error="diverged", box=np.arange(4.0))
    rows.append(failed)
    return [
        HandRecord(name, place, place, image_row(row), row)
        for place, (name, row) in enumerate(zip(NAMES, rows, strict=True))
    ]


def read(records):
    lines = csv_lines([csv_header(), *map(csv_row, records)])
    # Its default reader of numbers is off in the last digit of double precision.
    return pd.read_csv(io.StringIO(lines), float_precision="round_trip")


def test_pandas_reads_the_same_numbers(records):
    table = read(records)
    assert list(table.columns) == csv_header() and len(set(csv_header())) == len(csv_header())
    assert list(table.image_name) == NAMES and list(table.side) == ["right", "left", "left"]
    assert table.valid.dtype == bool and list(table.valid) == [True, False, False]
    for place, record in enumerate(records[:2]):
        row = table.iloc[place]
        for name in ("keypoints_3d", "keypoints_2d"):
            axes = "xyz"[: getattr(record.hand, name).shape[1]]
            columns = [f"{name}_{k}_{axis}" for k in KEYPOINT_NAMES for axis in axes]
            found = row[columns].to_numpy(float).reshape(21, -1)
            np.testing.assert_array_equal(found, getattr(record.hand, name))
        box = row[[f"box_{side}" for side in ("x0", "y0", "x1", "y1")]].to_numpy(float)
        np.testing.assert_array_equal(box, record.hand.box)
        np.testing.assert_array_equal(row[["transl_x", "transl_y", "transl_z"]].to_numpy(float),
                                      record.hand.transl)  # fmt: skip
        assert row.score == record.hand.score
        assert (row.fx, row.fy, row.cx, row.cy) == (K[0, 0], K[1, 1], K[0, 2], K[1, 2])
        assert (row.image_width, row.image_height) == (WIDTH, HEIGHT)


def test_what_is_not_known_is_empty(records):
    row = read(records).iloc[2]
    assert row.fit_error == "diverged"
    assert row[["score", "keypoints_3d_wrist_x", "transl_z", "hand_size"]].isna().all()
    assert row.box_x1 == 2


def test_single_precision_comes_back_bit_by_bit():
    values = np.random.default_rng(0).normal(size=(21, 3)).astype(np.float32)
    row = posed_hand(1, keypoints_3d=values, score=np.float32(0.1))
    record = HandRecord("a.jpg", 0, 0, image_row(row), row)
    table = read([record])
    columns = [c for c in table.columns if c.startswith("keypoints_3d_")]
    back = table.loc[0, columns].to_numpy(float).astype(np.float32)
    np.testing.assert_array_equal(back, values.ravel())
    said = json.loads(json_object(record))
    np.testing.assert_array_equal(np.float32(said["keypoints_3d"]), values)
    assert np.float32(said["score"]) == row.score


def test_json_has_the_names_and_values_of_a_fitted_hand(records):
    meshes = hands.open_hand()
    record = records[1]
    hand = FittedHand.of(record.image_name, record.image, record.hand, meshes)
    said = json.loads(json_object(record, meshes))
    assert said.pop("hand") == record.slot
    expected = hand.to_dict()
    assert said.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, np.ndarray | float):
            np.testing.assert_allclose(said[name], value, rtol=1e-7, atol=1e-9)
        else:
            assert said[name] == (list(value) if isinstance(value, tuple) else value)
    light = json.loads(json_object(record))
    assert said.keys() - light.keys() == {"vertices", "faces"}


def test_json_has_null_for_what_is_no_number():
    row = posed_hand(1, keypoint_visibility=np.r_[np.nan, np.inf, np.ones(19)])
    line = json_object(HandRecord("a.jpg", 0, 0, image_row(row), row))
    assert "\n" not in line and "NaN" not in line
    assert json.loads(line)["keypoint_visibility"][:3] == [None, None, 1.0]


def test_an_image_of_which_nothing_is_known():
    row = HandRow(side="right")
    record = HandRecord("a.jpg", 0, 0, ImageRow(image_status="failed"), row)
    assert read([record]).loc[0, ["fx", "image_width"]].isna().all()
