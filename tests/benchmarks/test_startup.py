"""The benchmark of the start runs, and refuses what it cannot time."""

import json
import os
import subprocess
import sys

from tests.support.paths import ROOT

CHEAP = ("import fitter", "refused: bad argument", "refused: missing folder")


def startup(*options: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "benchmarks/startup.py", *map(str, options)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_start_is_timed(tmp_path) -> None:
    figures = tmp_path / "startup.json"
    done = startup("--repeats", 1, "--parts", *CHEAP, "--json", figures)
    assert done.returncode == 0, done.stderr
    seconds = json.loads(figures.read_text())["seconds"]
    assert tuple(seconds) == CHEAP
    for timed in seconds.values():
        assert timed["first"] > 0 and timed["all"] == [timed["median"]] and timed["median"] > 0


def test_a_part_that_there_is_not_is_refused() -> None:
    done = startup("--parts", "import numpy")
    assert done.returncode == 1 and "found 'import numpy'" in done.stderr
