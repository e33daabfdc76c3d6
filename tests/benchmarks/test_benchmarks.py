"""The benchmark that needs no images runs and writes what it measured."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

from PIL import Image

from tests.support.paths import ROOT


def test_all_parts_of_the_command_are_measured(tmp_path) -> None:
    source, figures = ROOT / "examples" / "open_palm.jpg", tmp_path / "command.json"
    (tmp_path / "masks").mkdir()
    with Image.open(source) as image:
        Image.new("L", image.size, 255).save(tmp_path / "masks" / "open_palm.png")
    command = [sys.executable, "benchmarks/command.py", source, "--masks", tmp_path / "masks"]
    subprocess.run(
        [*command, "--max-hands", "1", "--json", figures],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        timeout=120,
    )
    written = json.loads(figures.read_text())
    seconds = {name: part["wall"] for name, part in written["seconds"].items()}
    parts = ("read", "detect", "crop", "networks", "keypoints", "masks", "stages", "rows", "store")
    alone = {"MediaPipe alone"} if find_spec("mediapipe") else set()
    assert set(seconds) == {*parts, "fit"} | alone and written["hands"] == 1
    assert all(0 < seconds[name] < 20 for name in seconds)
    inner = sum(seconds[name] for name in ("networks", "keypoints", "masks", "stages", "rows"))
    assert abs(inner - seconds["fit"]) < 1e-6
    assert abs(sum(seconds[name] for name in parts) * written["images_per_second"] - 1) < 1e-6


def test_the_fit_is_measured(tmp_path) -> None:
    figures = tmp_path / "fit.json"
    command = [sys.executable, "benchmarks/fit.py", "--batch-sizes", "8", "--repeats", "1"]
    subprocess.run(
        [*command, "--first-order", "--set", "fit.num_initialisations=2", "--json", figures],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        timeout=120,
    )
    written = json.loads(figures.read_text())
    assert written["machine"]["threads"] == 1
    assert written["fit"]["num_initialisations"] == 2
    (measured,) = written["figures"]
    assert measured["batch_size"] == 8 and measured["diverged"] == 0
    assert measured["wall_ms"] > 0 and 1 <= measured["iterations"][0] <= measured["iterations"][1]
    stages = written["stages"]
    assert [stage["stages"] for stage in stages] == ["configured", "first_order"]
    assert all(stage["iou"][1] > stage["iou"][0] + 0.02 for stage in stages)
    assert stages[1]["iterations"] == [30, 30]
    configured = stages[0]
    assert set(configured["parts"]) == {"rendering", "outline", "keypoints", "rest"}
    assert all(0 < ms < 3 * configured["cpu_ms"] for ms in configured["parts"].values())
    assert written["mask_cpu_ms"] > 0


def test_readers_are_measured(tmp_path) -> None:
    figures = tmp_path / "readers.json"
    command = [sys.executable, "benchmarks/readers.py", "--annotations", "400", "--samples", "40"]
    subprocess.run(
        [*command, "--readers", "freihand", "dexycb", "--json", figures],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        timeout=120,
    )
    readings = json.loads(figures.read_text())["readers"]
    assert set(readings) == {"freihand", "dexycb"}
    for kinds in readings.values():
        annotations, samples = kinds["annotations"], kinds["samples"]
        assert (annotations["samples"], samples["samples"]) == (400, 40)
        # Processor time: the wall's is up to what else the machine does.
        assert 0 < annotations["cpu_ms"] < samples["cpu_ms"]
        assert all(measured["per_second"] > 0 for measured in kinds.values())
        assert (
            annotations["rss_before"] <= annotations["rss_most"] < 1.1 * annotations["rss_before"]
        )
