"""Shapes are checked where data enters."""

import numpy as np
import pytest

from fitter.shapes import check_shapes


def test_names_are_bound_where_they_are_met_first():
    points, K = np.zeros((8, 21, 2)), np.zeros((8, 3, 3))
    assert check_shapes(points=(points, ("B", "N", 2)), K=(K, ("B", 3, 3))) == {"B": 8, "N": 21}


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((7, 3, 3), "K: expected shape (8, 3, 3), found (7, 3, 3)"),
        ((8, 4, 4), "K: expected shape (8, 3, 3), found (8, 4, 4)"),
        ((3, 3), "K: expected shape (8, 3, 3), found (3, 3)"),
        ((3,), "K: expected shape (8, 3, 3), found (3,)"),
    ],
)
def test_the_error_names_the_tensor_what_is_expected_and_what_was_found(shape, said):
    with pytest.raises(ValueError) as caught:
        check_shapes(points=(np.zeros((8, 21, 2)), ("B", "N", 2)), K=(np.zeros(shape), ("B", 3, 3)))
    assert str(caught.value) == said


def test_a_name_without_a_size_stands_for_itself():
    with pytest.raises(ValueError, match=r"points: expected shape \(B, N, 2\), found \(2,\)"):
        check_shapes(points=(np.zeros(2), ("B", "N", 2)))
