"""The command `view-hands`: what it prints, how it ends, and what it refuses."""

import importlib.util
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from fitter.commands.view_hands import view_hands
from fitter.viewer import ViewerOptions, open_viewer
from tests.support.errors import raises
from tests.support.fitted_stores import image_row, posed_hand, write_store


@pytest.fixture
def store(tmp_path):
    write_store(tmp_path / "r.zarr", {"a.jpg": image_row(posed_hand(0))})
    return tmp_path / "r.zarr"


def test_it_serves_a_page_until_it_is_interrupted(store):
    pytest.importorskip("viser", reason="needs the package viser")
    code = "from fitter.commands.view_hands import view_hands; view_hands()"
    command = [sys.executable, "-c", code, str(store), "--port", "0"]
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What runs these tests in the background may have them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        url, elsewhere, end = (running.stdout.readline().strip() for _ in range(3))
        port = url.rpartition(":")[2]
        assert url == f"http://127.0.0.1:{port}"
        assert f"ssh -L {port}:127.0.0.1:{port} " in elsewhere
        assert f"http://localhost:{port}" in elsewhere and end == "Ctrl-C ends it"
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert b"<html" in answer.read()[:1000].lower()
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0
        assert running.stderr.read() == ""
    finally:
        running.kill()


def test_a_port_that_is_taken_gives_the_next(store):
    pytest.importorskip("viser", reason="needs the package viser")
    with open_viewer(store, options=ViewerOptions(port=0)) as first:
        options = ViewerOptions(port=first.port)
        with open_viewer(store, options=options) as second:
            assert second.port > first.port and second.url.endswith(f":{second.port}")


def said(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as ended:
        view_hands([str(argument) for argument in arguments])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_without_viser_one_sentence_says_what_installs_it(store, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "viser" else find(name)
    )
    assert "pip install 'fit-hands[viewer]'" in said(capsys, store)
    with raises("viewer.no_viser"):
        open_viewer(store)


def test_bad_input_is_told_in_a_line(store, tmp_path, capsys):
    assert str(tmp_path / "none.zarr") in said(capsys, tmp_path / "none.zarr")
    assert str(tmp_path / "gone") in said(capsys, store, "--images", tmp_path / "gone")
    assert "70000" in said(capsys, store, "--port", 70000)
    assert "256.0.0.1" in said(capsys, store, "--host", "256.0.0.1", "--port", 0)


def test_no_heavy_package_is_loaded_for_a_refusal(tmp_path):
    code = (
        "import sys\nfrom fitter.commands.view_hands import view_hands\n"
        f"try:\n    view_hands([{str(tmp_path / 'none.zarr')!r}])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'viser', 'zarr'} & set(sys.modules), sys.modules.keys()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
