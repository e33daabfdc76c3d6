"""The benchmark of penetration runs, and its pairs are as deep as it says."""

import json
import os
import subprocess
import sys

import pytest
from penetration import touching

from fitter.metrics import penetration_depth
from tests.support.paths import ROOT


def test_penetration_is_measured(tmp_path) -> None:
    out = tmp_path / "penetration.json"
    subprocess.run(
        [sys.executable, "benchmarks/penetration.py", "--json", out,
         *("--batch-sizes", "2", "--pairs", "2", "--repeats", "1", "--cells", "16")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        timeout=300,
    )  # fmt: skip
    written = json.loads(out.read_text())
    costs = {cost["name"]: cost for cost in written["costs"]}
    assert {"penetration, printed", "penetration, grid", "self_penetration"} < set(costs)
    assert all(cost["value"][0] > 0 for cost in costs.values())
    for found in written["agreement"]:
        assert found["cells"] == 16 and found["pairs"] == 2
        assert found["deepest"] > 0 and found["inside"] >= 1


def test_pairs_are_as_deep_as_they_are_to_be() -> None:
    pair = touching(2, 0.004, seed=3)
    assert penetration_depth(*pair, None).maximum.tolist() == pytest.approx([0.004] * 2, rel=1e-6)
