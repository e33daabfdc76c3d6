"""Numbers that come from outside."""

import warnings

import numpy as np
import pytest

from fitter.inputs.numbers import as_numbers


@pytest.mark.parametrize(
    "value",
    [
        "600", ["1", "2"], [b"1"], np.array(["1", 2], object), np.array([b"1"], object),
        1j, np.array([1 + 2j]), np.array([1, 2j], object), [[1], [2, 3]], {"a": 1},
        np.array(["2026-11-30"], "datetime64[D]"),
    ],
)  # fmt: skip
def test_words_and_complex_numbers_are_none(value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_numbers(value) is None


@pytest.mark.parametrize("value", [3, [1, 2.5], np.float16([1]), np.array([1, 2.5], object), True])
def test_numbers(value):
    found = as_numbers(value)
    assert found is not None and found.dtype == np.float64
    np.testing.assert_array_equal(found, np.array(value, float))
