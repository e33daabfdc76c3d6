"""What readers keep of large files: JSON read value by value, names packed."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.readers.json_stream import JsonStream, opened_json
from datasets.readers.names import ChosenNames, PackedNames
from tests.support.errors import raises

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(LEAVES, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=20)


def walked(stream, value):
    """What is read member by member and element by element, `value` showing the way."""
    if isinstance(value, dict):
        return {key: walked(stream, value[key]) for key in stream.members()}
    if isinstance(value, list):
        return [walked(stream, value[number]) for number in stream.elements()]
    return stream.value()


class TestJsonStream:
    @given(VALUES, st.sampled_from([None, 1, "\t"]))
    def test_reads_as_the_library_does(self, value, indent):
        text = "\n " + json.dumps(value, indent=indent)
        assert walked(JsonStream(text), value) == value == JsonStream(text).value()

    def test_parts_are_taken_whole_or_further(self):
        stream = JsonStream('{"a": [1, [2, 3]], "b": {"c": 4}}')
        found = {}
        for key in stream.members():
            found[key] = (
                stream.value() if key == "b" else [stream.value() for _ in stream.elements()]
            )
        assert found == {"a": [1, [2, 3]], "b": {"c": 4}}

    @pytest.mark.parametrize(
        "text", ["", "[", "[1", "[1,", "[1 2]", "{", '{"a"', '{"a": 1', '{"a": 1,', "{1: 2}", "7"]
    )
    def test_what_is_no_list_or_object(self, tmp_path, text):
        path = tmp_path / "a.json"
        path.write_text(text)
        for way in (JsonStream.elements, JsonStream.members):
            with raises("dataset.unreadable", file=path), opened_json(path, "a test") as stream:
                for _ in way(stream):
                    stream.value()

    def test_what_is_no_text(self, tmp_path):
        path = tmp_path / "a.json"
        path.write_bytes(b"[\xff]")
        with raises("dataset.unreadable", file=path), opened_json(path, "a test"):
            pass
        with (
            raises("dataset.lacks", file=tmp_path / "b.json"),
            opened_json(tmp_path / "b.json", "x"),
        ):
            pass


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_packed_names_are_the_names(names):
    packed = PackedNames.of(names)
    assert len(packed) == len(names) and list(packed) == names
    assert list(packed[1:]) == names[1:] and [packed[i] for i in range(len(names))] == names
    assert all(packed[-1 - i] == name for i, name in enumerate(reversed(names)))
    with pytest.raises(IndexError):
        packed[len(names)]


def test_chosen_names():
    names = ChosenNames("a/{:03d}.png", np.array([0, 4, 12]))
    assert list(names) == ["a/000.png", "a/004.png", "a/012.png"]
    assert names[-1] == "a/012.png" and list(names[:2]) == list(names)[:2]
