"""Files of data sets: JSON lists read entry by entry, tables, and what is no such file."""

import json
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.readers import files
from datasets.readers.files import JsonRows, numbers, read_pickled, read_yaml
from tests.support.errors import raises

ENTRIES = st.one_of(
    st.none(),
    st.floats(-1e3, 1e3),
    st.recursive(st.lists(st.floats(-1e3, 1e3), max_size=3), st.lists, max_leaves=4),
)


class TestJsonRows:
    @settings(max_examples=200, deadline=None)
    @given(st.lists(ENTRIES, max_size=6), st.sampled_from([None, 2]), st.sampled_from([3, 10**6]))
    def test_entries_are_those_of_the_list(self, tmp_path_factory, values, indent, chunk):
        path = tmp_path_factory.getbasetemp() / "list.json"
        path.write_text(json.dumps(values, indent=indent))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "_CHUNK", chunk)
            rows = JsonRows.open(path, "a test")
        content = path.read_bytes()
        read = [json.loads(content[a:b]) for a, b in zip(rows.starts, rows.ends, strict=True)]
        assert read == values and len(rows) == len(values)

    def test_rows_have_a_shape(self, tmp_path):
        path = tmp_path / "list.json"
        path.write_text("[[[1, 2], [3, 4]], [[5]], null, [[NaN, 1], [2, 3]], [[1, 2], [oops, 4]]]")
        rows = pickle.loads(pickle.dumps(JsonRows.open(path, "a test")))
        np.testing.assert_array_equal(rows.row(0, (2, 2), "a.jpg"), [[1, 2], [3, 4]])
        np.testing.assert_array_equal(rows.row(0, (-1, 2), "a.jpg"), [[1, 2], [3, 4]])
        for place, found in ((1, "1x1"), (2, "a single one")):
            with raises("dataset.values", file=path, key=f"entry {place}", found=found):
                rows.row(place, (2, 2), "a.jpg")
        with raises("dataset.not_finite", file=path, key="entry 3"):
            rows.row(3, (2, 2), "a.jpg")
        with raises("dataset.unreadable", file=path):
            rows.row(4, (2, 2), "a.jpg")
        with raises("dataset.no_entry", file=path, found=5, image="a.jpg"):
            rows.row(5, (2, 2), "a.jpg")

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("", "dataset.no_list"),
            ("5", "dataset.no_list"),
            ('{"a": 1}', "dataset.no_list"),
            ('{"a": [1]}', "dataset.no_list"),
            ("[[1]] [2]", "dataset.no_list"),
            ("[[1], [2", "dataset.cut_list"),
            ("[1, 2", "dataset.cut_list"),
        ],
    )
    def test_what_is_no_whole_list(self, tmp_path, text, code):
        path = tmp_path / "list.json"
        path.write_text(text)
        found = {"": "an empty file", "{": "an object"}.get(text[:1], "something else")
        with raises(code, file=path, **({"found": found} if code == "dataset.no_list" else {})):
            JsonRows.open(path, "a test")

    def test_a_long_list_takes_no_memory(self, tmp_path):
        path = tmp_path / "list.json"
        row = json.dumps(np.arange(3000).reshape(-1, 3).tolist())
        path.write_text("[" + ", ".join([row] * 400) + "]")
        tracemalloc.start()
        rows = JsonRows.open(path, "a test")
        rows.row(399, (1000, 3), "a.jpg")
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(rows) == 400 and kept < 50_000 < path.stat().st_size / 100


@pytest.mark.parametrize(
    ("value", "shape", "found"),
    [
        ([1, 2], (3,), "2"),
        ([[1, 2], [3]], (2, 2), "something else"),
        ("text", (1,), "something else"),
        ({}, (2,), "something else"),
        (5, (1,), "a single one"),
        (None, (), None),
        ([1, float("inf")], (2,), None),
    ],
)
def test_what_are_no_such_numbers(tmp_path, value, shape, found):
    code = "dataset.values" if found else "dataset.not_finite"
    with raises(code, file=tmp_path, key="here", **({"found": found} if found else {})):
        numbers(value, shape, tmp_path, "here")


def test_tables(tmp_path):
    path = tmp_path / "meta.yml"
    path.write_text("serials: ['836212060125']\nnum_frames: 72\n")
    assert read_yaml(path, "a test") == {"serials": ["836212060125"], "num_frames": 72}
    for text, code in (
        ("- 1\n", "dataset.no_table"),
        ("a: [1", "dataset.unreadable"),
        ("!!python/name:os.system\n", "dataset.unreadable"),
    ):
        path.write_text(text)
        with raises(code, file=path):
            read_yaml(path, "a test")


def test_a_pickled_list_is_no_table(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps([1, 2]))
    with raises("model.no_dictionary", file=path, found="list"):
        read_pickled(path, "a test")
