"""Hands whose keypoints are fitted, as in the tests of fits."""

from tests.fitter.fitting.conftest import hands, model

__all__ = ["hands", "model"]
