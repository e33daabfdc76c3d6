"""JSON files: what is said of those that are none."""

from __future__ import annotations

import pytest

from fitter.inputs.json_files import load_json
from tests.support.errors import raises


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b" \n\n", "an empty file"),
        (b"x,y\n1,2\n", "a file of another kind"),
        (b"\xff\xd8\xff\xe0", "something that is no text"),
        (b'{"a":\n[1, 2', "one that ends in line 2 before it is complete"),
        (b'{"a": 1,\n "b" 2}', "a mistake in line 2, column 6"),
        (b"[" * 100_000, "values that lie too deep in one another"),
        (b"9" * 5000, "a number of too many digits"),
    ],
)
def test_what_is_no_json_is_told(tmp_path, content, found):
    path = tmp_path / "k.json"
    path.write_bytes(content)
    with raises("json.invalid", file=path, content="intrinsics", reason=found):
        load_json(path, "intrinsics")


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    path = tmp_path / "k.json"
    path.write_bytes(b"\xef\xbb\xbf[1]")
    assert load_json(path, "intrinsics") == [1]
