"""The rasteriser's benchmark runs and writes what it measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT


def run(out: Path, *options: str) -> dict:
    subprocess.run(
        [sys.executable, "benchmarks/raster.py", "--json", out, *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        timeout=120,
    )
    return json.loads(out.read_text())


def test_the_rasteriser_is_measured(tmp_path) -> None:
    written = run(
        tmp_path / "raster.json",
        *("--batch-sizes", "2", "--image-sizes", "32", "--sphere-subdivisions", "1"),
        *("--repeats", "1", "--silhouettes", "edge"),
    )
    figures = written["figures"]
    assert len(figures) == 4  # the base and three things varied
    for figure in figures:
        assert figure["forward"][0] > 0 and figure["both"][0] > 0
        assert 0 < figure["peak_mb"] < 10 if figure["peak_mb"] is not None else True
        assert figure["pairs"] > figure["faces"]
        assert figure["pair_ns"] == pytest.approx(1e6 * figure["both"][1] / figure["pairs"])
    assert {figure["faces"] for figure in figures} == {80, 3336}
