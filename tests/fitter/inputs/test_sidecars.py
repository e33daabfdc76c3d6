"""K of an image in the file beside it in a tar file, and what is none."""

import numpy as np
import pytest

from fitter.inputs.sidecars import sidecar_intrinsics
from tests.support.errors import raises
from tests.support.shard_files import K, k_json


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".json", k_json(caption="a hand")),
        (".json", b"[[800, 0, 320], [0, 800, 240], [0, 0, 1]]"),
        (".json", b'{"intrinsics": [800, 0, 320, 0, 800, 240, 0, 0, 1]}'),
        (".json", b'{"camera_matrix": [800, 800, 320, 240]}'),
        (".json", b'{"K": {"fx": 800, "fy": 800, "cx": 320, "cy": 240}}'),
        (".txt", b"800,800,320,240\n"),
        (".txt", b"800 0 320\n0 800 240\n0 0 1\n"),
    ],
)
def test_k_is_found_as_it_is_written(suffix, content):
    np.testing.assert_array_equal(sidecar_intrinsics(content, suffix, "x"), K)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [(".txt", b"a hand"), (".txt", b"1 2 3"), (".txt", b"\xff"), (".json", b'{"label": 3}')],
)
def test_what_says_nothing_of_k_is_no_k(suffix, content):
    assert sidecar_intrinsics(content, suffix, "x") is None


@pytest.mark.parametrize(
    ("suffix", "content", "code"),
    [
        (".json", b"{", "json.invalid"),
        (".json", b'{"K": "no"}', "intrinsics.no_numbers"),
        (".json", b'{"K": [1, 2]}', "intrinsics.shape"),
        (".txt", b"-800,800,320,240", "intrinsics.focal_length"),
    ],
)
def test_what_should_be_k_and_is_none_is_refused(suffix, content, code):
    with raises(code):
        sidecar_intrinsics(content, suffix, "x")
