"""The factors on deviations of relative places are those of the kept pairs."""

import json

import pytest
from fit_relative_place import RESULTS, fitted, rows_of

from fitter.interaction.relative_place import UNDERSTATED


def test_the_factors_in_use_are_those_of_the_kept_pairs() -> None:
    rows = rows_of(sorted(RESULTS.glob("*.json")))
    assert len(rows) >= 20
    assert fitted(rows) == UNDERSTATED


def test_factors_are_of_bare_deviations_and_choosing_seeds(tmp_path) -> None:
    def write(name, seed, std, factor):
        row = {"relative_place_xyz": [0.674, 1.349, -6.745], "relative_place_std": std}
        asked = {"seed": seed, "camera": "known", "understated": factor}
        alone = {"together": {"relative_place_std": None}}
        path = tmp_path / name
        path.write_text(json.dumps({"asked": asked, "pairs": [{"together": row}, alone, {}]}))
        return path

    paths = [
        write("a.json", 52, [2.0, 4.0, 6.0], [2.0, 2.0, 3.0]),
        write("b.json", 5200, [99.0, 99.0, 99.0], [1.0, 1.0, 1.0]),
    ]
    assert fitted(rows_of(paths)) == pytest.approx((1.0, 1.0, 5.0))
    with pytest.raises(ValueError, match="no pair"):
        fitted(rows_of(paths[1:]))
