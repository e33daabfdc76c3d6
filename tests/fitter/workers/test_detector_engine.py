"""Which runtime a run's detector takes."""

import pytest

from fitter.config.options import load_config
from fitter.workers import image_detector
from fitter.workers.image_detector import ImageDetector


@pytest.mark.parametrize(
    ("engine", "device", "driver", "expected"),
    [
        ("auto", "cpu", True, None),
        ("auto", "auto", False, None),
        ("auto", "auto", True, "cuda"),
        ("litert", "auto", True, None),
        ("torch", "cpu", False, "cpu"),
        ("torch", "auto", True, "cuda"),
    ],
)
def test_the_networks_run_where_the_fit_does(monkeypatch, engine, device, driver, expected):
    monkeypatch.setattr(image_detector, "has_gpu_driver", lambda: driver)
    monkeypatch.setattr("torch.cuda.is_available", lambda: driver)
    config = load_config(None, [f"detector.engine={engine}", f"run.device={device}"])
    assert ImageDetector(config, detects=False)._device() == expected


def test_a_driver_without_a_gpu_is_no_gpu(monkeypatch):
    monkeypatch.setattr(image_detector, "has_gpu_driver", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for engine, expected in (("auto", None), ("torch", "cpu")):
        config = load_config(None, [f"detector.engine={engine}", "run.device=auto"])
        assert ImageDetector(config, detects=False)._device() == expected
