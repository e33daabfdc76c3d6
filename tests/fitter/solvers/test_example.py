"""The example in the package's docstring runs."""

import doctest

import fitter.solvers


def test_the_example_of_the_solvers_runs() -> None:
    result = doctest.testmod(fitter.solvers)
    assert result.failed == 0 and result.attempted > 5
