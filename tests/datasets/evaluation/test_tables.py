"""Tables in the papers' shapes, and the forms that they are written in."""

import csv
import io
import json

import numpy as np
import pytest

from datasets.annotations import Annotation
from datasets.evaluation import FORMATS, evaluate, open_estimates, paper_table
from datasets.evaluation.measures import MEASURES
from datasets.evaluation.paper_tables import SHAPES, Figure
from datasets.evaluation.published import PUBLISHED
from datasets.evaluation.table import (
    Column,
    Table,
    comma_separated,
    json_text,
    latex,
    markdown,
    tables_text,
)
from tests.support.annotated import InMemoryImages, K, annotated_hand
from tests.support.errors import raises
from tests.support.scored_stores import ok, posed_row, write_store


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    """Two hands of an FreiHAND-like data set with meshes, found not quite where they are."""
    rng = np.random.default_rng(0)
    rows, annotations = {}, []
    for number in range(2):
        row, points, mesh = posed_row(number)
        rows[f"{number}.jpg"] = ok(row)
        noisy = mesh + rng.normal(0, 0.004, mesh.shape)
        hand = annotated_hand(points + 0.01, vertices=noisy)
        annotations.append(Annotation(f"{number}.jpg", K, (hand,)))
    store = write_store(tmp_path_factory.mktemp("store") / "r.zarr", rows)
    images = InMemoryImages(annotations, dataset="freihand")
    return evaluate(open_estimates(store, images), images, label="R_50%")


@pytest.mark.parametrize("name", SHAPES)
def test_published_rows_fit_their_columns_and_figures_are_measured(name, evaluation):
    shape = SHAPES[name]
    assert PUBLISHED[name] and all(len(row) == len(shape.columns) for row in PUBLISHED[name])
    figures = [i for i, column in enumerate(shape.columns) if isinstance(column, Figure)]
    for row in PUBLISHED[name]:
        assert any(row[i] for i in figures)
        assert all(0 <= float(row[i]) < 100 for i in figures if row[i])
    assert {shape.columns[i].key for i in figures} <= {*MEASURES, ""}
    table = paper_table(name, [evaluation])
    assert len(table.rows) == len(PUBLISHED[name]) + 1 and table.ours == 1


def test_tables_and_published_rows_belong_together():
    assert SHAPES.keys() == PUBLISHED.keys()


def test_our_row_has_the_papers_units_and_digits(evaluation):
    table = paper_table("s2hand2", [evaluation])
    figures = evaluation.whole.figures
    row = dict(zip((c.heading for c in table.columns), table.rows[-1], strict=True))
    assert row["Method"] == "R_50% (ours)" and row["Supervision"] == ""
    assert row["MPJPE"] == f"{figures['reflected_pa_mpjpe_mm'] / 10:.2f}"
    assert row["MPVPE"] == f"{figures['reflected_pa_mpvpe_mm'] / 10:.2f}"
    assert row["AUC_V"] == f"{figures['reflected_auc_v']:.2f}"
    assert row["F_15"] == f"{figures['reflected_f15']:.2f}"
    unaligned = paper_table("zhao5", [evaluation]).rows[-1]
    assert f"{figures['mpjpe_mm'] / 10:.2f}" in unaligned
    assert float(row["MPJPE"]) < 1 < figures["reflected_pa_mpjpe_mm"]


def test_columns_of_other_data_sets_and_unmeasured_ones_stay_empty(evaluation):
    row = paper_table("yu1", [evaluation]).rows[-1]
    figures = evaluation.whole.figures
    assert row[1:5] == [
        f"{figures['reflected_pa_mpjpe_mm']:.2f}",
        f"{figures['reflected_pa_mpvpe_mm']:.2f}",
        f"{figures['edge_mm']:.2f}",
        f"{figures['normal']:.2f}",
    ]
    assert set(row[5:]) == {""}
    assert set(paper_table("yu2", [evaluation]).rows[-1][1:]) == {""}
    assert paper_table("seeber9", [evaluation]).rows[-1][-1] == ""  # there was no mask


def test_a_table_that_is_not_there_is_refused(evaluation):
    with raises("evaluation.table", file="--table", found="zhao1"):
        paper_table("zhao1", [evaluation])


TABLE = Table(
    "Title & more",
    [Column("Method"), Column("AUC_J", "more", "A"), Column("MPJPE", "less", "A")],
    [["one|two", "0.70", ""], ["100%, {a}_b", "0.80", "1.20"]],
    1,
    ["A note."],
)


def test_markdown():
    lines = markdown(TABLE).splitlines()
    assert lines[0] == "**Title & more**"
    assert lines[2:6] == [
        "| Method | A AUC_J ↑ | A MPJPE ↓ |",
        "| --- | ---: | ---: |",
        r"| one\|two | 0.70 | - |",
        "| 100%, {a}_b | 0.80 | 1.20 |",
    ]
    assert lines[-1] == "A note."


def test_latex_escapes_and_parts_published_from_ours():
    text = latex(TABLE)
    assert r"\caption{Title \& more}" in text and r"100\%, \{a\}\_b & 0.80 & 1.20 \\" in text
    assert r"\multicolumn{2}{c}{A}" in text and r"AUC\_J $\uparrow$" in text
    rows = text.splitlines()
    middle = [i for i, row in enumerate(rows) if row == r"\midrule"]
    assert len(middle) == 2 and rows[middle[1] - 1].startswith("one|two")
    depth = text.count("{") - text.count("}")
    assert depth == text.count(r"\{") - text.count(r"\}") == 0
    body = [row for row in rows if row.endswith(r"\\") and "multicolumn" not in row]
    assert all(row.replace(r"\&", "").count("&") == 2 for row in body)


def test_csv_is_read_back():
    rows = list(csv.reader(io.StringIO(comma_separated(TABLE))))
    assert rows == [["Method", "A AUC_J", "A MPJPE"], *map(list, TABLE.rows)]


def test_json_has_numbers_and_nothing_for_what_is_missing():
    document = json.loads(json_text(TABLE))
    assert document["title"] == TABLE.title and document["notes"] == ["A note."]
    assert document["rows"] == [
        {"Method": "one|two", "A AUC_J": 0.7, "A MPJPE": None, "published": True},
        {"Method": "100%, {a}_b", "A AUC_J": 0.8, "A MPJPE": 1.2, "published": False},
    ]


def test_several_tables_are_one_text():
    assert tables_text([TABLE, TABLE], "markdown").count("**Title & more**") == 2
    assert json.loads(tables_text([TABLE, TABLE], "json")) == 2 * [json.loads(json_text(TABLE))]
    assert tables_text([TABLE], "json") == json_text(TABLE)
    assert tables_text([TABLE], "csv") == comma_separated(TABLE)
    with pytest.raises(ValueError, match="2"):
        tables_text([TABLE, TABLE], "csv")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", SHAPES)
def test_every_table_can_be_written_in_every_form(form, name, evaluation):
    write, ending = FORMATS[form]
    text = write(paper_table(name, [evaluation, evaluation]))
    assert text.count("ours") >= 2 and text.endswith("\n") and ending.startswith(".")
