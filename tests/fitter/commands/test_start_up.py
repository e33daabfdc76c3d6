"""What is imported before a refusal, and by whom: nothing heavy where it is not used."""

import json
import subprocess
import sys

from tests.support import bad_files
from tests.support.fitted_stores import image_row, write_store
from tests.support.paths import ROOT

REFUSALS = [
    ["photos", "--out", "o.zarr", "--set", "fit.max_iteration=3"],
    ["missing", "--out", "o.zarr"],
    ["photos", "--out", "o.zarr", "--intrinsics", "1,2,3"],
    ["photos", "--out", "o.zarr", "--keypoints", "missing.json"],
    ["photos", "--out", "o.zarr", "--masks", "missing"],
    ["photos", "--out", "notes"],
    ["photos", "--out", "o.zarr", "--overlays", "photos/rendered"],
    ["photos", "--out", "o.zarr", "--views", "missing.json"],
]

REFUSED = """
import json, sys
from fitter.commands.fit_hands import fit_hands
for arguments in json.loads(sys.argv[1]):
    try:
        fit_hands(arguments)
    except SystemExit as ended:
        assert ended.code == 2, (arguments, ended.code)
print(json.dumps([*sys.modules]))
"""

FITTED = """
import json, sys
from fitter.commands.fit_hands import fit_hands
try:
    fit_hands(sys.argv[1:])
except SystemExit as ended:
    assert ended.code == 0, ended.code
print(json.dumps([*sys.modules]))
"""


def imported(program: str, *arguments: str) -> set[str]:
    """The modules that a program has imported at its end; the last line that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_a_refusal_loads_nothing_heavy(here):
    heavy = {"torch", "cv2", "mediapipe", "numba", "scipy", "xarray", "rich", "ray", "timm"}
    assert not heavy & imported(REFUSED, json.dumps(REFUSALS))


REFUSED_REPORTS = """
import json, sys
from fitter.commands.report_hands import report_hands
for arguments in json.loads(sys.argv[1]):
    try:
        report_hands(arguments)
    except SystemExit as ended:
        assert ended.code == 2, (arguments, ended.code)
print(json.dumps([*sys.modules]))
"""


def test_a_refusal_of_a_report_loads_nothing_heavy(tmp_path):
    write_store(tmp_path / "r.zarr", {"a.jpg": image_row()})
    (tmp_path / "there.html").touch()
    store = str(tmp_path / "r.zarr")
    refusals = [
        [store, "--out", str(tmp_path / "there.html")],
        [store, "--out", str(tmp_path / "none" / "r.html")],
        [store, "--out", str(tmp_path / "r.html"), "--thumbnail-size", "1"],
        [store, "--out", str(tmp_path / "r.html"), "--overlay-views", "below"],
        ["missing.zarr", "--out", str(tmp_path / "r.html")],
    ]
    heavy = {"torch", "cv2", "numba", "scipy", "xarray", "zarr", "rich", "jinja2"}
    assert not heavy & imported(REFUSED_REPORTS, json.dumps(refusals))


def test_a_run_loads_only_what_it_needs(tmp_path):
    """Detection has a process of its own, and so have overlays, which are not wanted here."""
    known = tmp_path / "known.json"
    known.write_text(json.dumps({bad_files.HAND.name: bad_files.known_hands()}))
    arguments = ["--out", tmp_path / "o.zarr", "--keypoints", known, "--device", "cpu"]
    found = imported(FITTED, *map(str, (bad_files.HAND, *arguments)))
    assert "fitter.engine" in found
    others = {"datasets", "mediapipe", "xarray", "fitter.workers.overlay_renderer", "torch._dynamo"}
    assert not others & found
