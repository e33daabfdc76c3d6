"""The detector's networks are what the script makes of MediaPipe's, bit for bit."""

import pytest

from fitter.detection.networks.weights import ASSETS

pytestmark = pytest.mark.mediapipe


def test_the_script_makes_what_ships(tmp_path, monkeypatch, capsys):
    import convert_detector

    monkeypatch.setattr(convert_detector, "ASSETS", tmp_path)
    monkeypatch.setattr("sys.argv", ["convert_detector.py"])
    convert_detector.main()
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(made) == {f"{n}.{e}" for n in ("palm", "landmark") for e in ("graph", "safetensors")}
    for name, content in made.items():
        assert content == (ASSETS / name).read_bytes(), name
    assert "palm" in capsys.readouterr().out
