"""The networks by LiteRT and by PyTorch: the same numbers, whatever else is asked at once."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from fitter.detection.networks.device_picture import DevicePicture
from fitter.detection.networks.litert import LiteRtNetworks
from fitter.detection.networks.on_torch import LARGEST_BATCH, TorchNetworks
from fitter.detection.own_networks import OwnNetworks
from fitter.detection.windows import Picture, Window
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def picture() -> Picture:
    with Image.open(ROOT / "examples" / "two_hands.jpg") as image:
        return Picture(np.asarray(image.convert("RGB")))


@pytest.fixture(scope="module")
def windows(picture) -> list[Window]:
    """Of hands, of parts of hands, and of none."""
    places = np.random.default_rng(1).uniform([60, 60], [580, 420], (5, 2))
    sizes = (200.0, 300.0, 640.0, 90.0, 400.0)
    turns = (0.0, 0.5, -1.0, 3.0, 0.0)
    return [Window(*each) for each in zip(places, sizes, turns, strict=True)]


@pytest.fixture(scope="module")
def litert() -> LiteRtNetworks:
    return LiteRtNetworks()


@pytest.fixture(scope="module")
def by_torch() -> TorchNetworks:
    return TorchNetworks("cpu")


class ByOpenCv:
    """A picture that is cut as LiteRT's is, for the networks alone to be compared."""

    def __init__(self, picture):
        self.picture = picture

    def cut(self, windows, pixels, repeats=False):
        images = self.picture.cut(windows, pixels, repeats)
        return torch.from_numpy(images).permute(0, 3, 1, 2).float()


@pytest.fixture
def same_images(by_torch, monkeypatch) -> TorchNetworks:
    monkeypatch.setattr(by_torch, "_moved", ByOpenCv)
    return by_torch


def fields(said) -> dict[str, np.ndarray]:
    return {f.name: getattr(said, f.name) for f in dataclasses.fields(said)}


def test_palms_are_the_same_by_both(litert, same_images, picture, windows):
    one, other = litert.palms(picture, windows), same_images.palms(picture, windows)
    assert one.values.shape == (5, 2016, 18) and one.logits.shape == (5, 2016)
    # LiteRT computes in half precision nowhere; both round, in another order.
    np.testing.assert_allclose(one.values, other.values, atol=0.05)
    np.testing.assert_allclose(one.logits, other.logits, atol=0.02)


def test_landmarks_are_the_same_by_both(litert, same_images, picture, windows):
    one, other = (fields(each.landmarks(picture, windows)) for each in (litert, same_images))
    shapes = {name: value.shape for name, value in one.items()}
    assert shapes == {name: value.shape for name, value in other.items()}
    limits = {"landmarks": 0.01, "presence": 1e-4, "handedness": 1e-4, "world": 1e-5}
    limits["features"] = 2e-3
    for name, limit in limits.items():
        np.testing.assert_allclose(one[name], other[name], atol=limit, err_msg=name)


def test_the_same_hands_are_found_by_both(litert, by_torch, picture):
    whole = [Window.whole(picture.pixels)]
    (one,), (other,) = (OwnNetworks(n, 0.5).find(picture, whole) for n in (litert, by_torch))
    assert len(one) == len(other) == 2
    for a, b in zip(one, other, strict=True):
        # Each cuts the picture for itself, to a 64th of a pixel the same.
        np.testing.assert_allclose(a.keypoints, b.keypoints, atol=0.4)
        assert a.side == b.side and a.score == pytest.approx(b.score, abs=0.01)


@pytest.mark.parametrize("network", ["palms", "landmarks"])
def test_litert_says_of_many_what_it_says_of_each(litert, picture, windows, network):
    ask = getattr(litert, network)
    together = fields(ask(picture, windows))
    for i in range(len(windows)):
        for name, value in fields(ask(picture, windows[i : i + 1])).items():
            np.testing.assert_array_equal(value[0], together[name][i])


@pytest.mark.parametrize("network", ["palms", "landmarks"])
def test_pytorch_says_of_many_what_it_says_of_each(by_torch, picture, windows, network):
    """Up to rounding: kernels may depend on the size of a batch."""
    ask = getattr(by_torch, network)
    together = fields(ask(picture, windows))
    for i in range(len(windows)):
        for name, value in fields(ask(picture, windows[i : i + 1])).items():
            np.testing.assert_allclose(value[0], together[name][i], atol=1e-3)


def test_batches_are_cut_by_their_place(by_torch, monkeypatch, picture, windows):
    """More windows than a batch has give the numbers of their part of them, to the bit."""
    assert LARGEST_BATCH > 1
    monkeypatch.setattr("fitter.detection.networks.on_torch.LARGEST_BATCH", 2)
    together = fields(by_torch.landmarks(picture, windows))
    for start in (0, 2, 4):
        part = fields(by_torch.landmarks(picture, windows[start : start + 2]))
        for name, value in part.items():
            np.testing.assert_array_equal(value, together[name][start : start + 2])


@pytest.mark.parametrize("kind", ["litert", "by_torch"])
def test_no_windows_give_empty_answers(request, picture, kind):
    networks = request.getfixturevalue(kind)
    assert networks.palms(picture, []).values.shape == (0, 2016, 18)
    hands = networks.landmarks(picture, [])
    assert hands.landmarks.shape == (0, 21, 3) and hands.features.shape == (0, 1152)


@pytest.mark.parametrize("size", [(480, 640), (301, 403), (37, 2000), (1, 90)])
@pytest.mark.parametrize("repeats", [False, True])
def test_a_picture_is_cut_on_a_device_as_by_opencv(size, repeats):
    """`DevicePicture` and its twin `Picture`: a smooth picture, whole and reduced windows."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(0.11 * x + 0.07 * y + k) for k in range(3)]
    picture = Picture(np.uint8(128 + 90 * np.stack(waves, axis=2)))
    middle = np.array([width, height]) / 2
    windows = [
        Window(middle, size, turn, mirrored)
        for size in (30.0, 64.0, 200.0, 700.0, 3000.0)
        for turn, mirrored in ((0.0, False), (0.6, True))
    ]
    expected = picture.cut(windows, 64, repeats=repeats).astype(int)
    found = DevicePicture(picture, torch.device("cpu")).cut(windows, 64, repeats=repeats)
    away = np.abs(found.permute(0, 2, 3, 1).numpy() - expected)
    assert away.mean() < 0.5
    # At the picture's edge, which is steep, a 64th of a pixel is up to 4 levels.
    assert np.percentile(away, 99.9) <= 6
    assert DevicePicture(picture, torch.device("cpu")).cut([], 64).shape == (0, 3, 64, 64)
