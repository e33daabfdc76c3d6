"""The networks by LiteRT and by PyTorch: the same numbers, whatever else is asked at once."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from fitter.detection.networks.litert import LiteRtNetworks
from fitter.detection.networks.on_torch import LARGEST_BATCH, TorchNetworks
from fitter.detection.networks.shapes import LANDMARK_PIXELS, PALM_PIXELS
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


def fields(said) -> dict[str, np.ndarray]:
    return {f.name: getattr(said, f.name) for f in dataclasses.fields(said)}


def test_palms_are_the_same_by_both(litert, by_torch, picture, windows):
    images = picture.cut(windows, PALM_PIXELS)
    one, other = litert.palms(images), by_torch.palms(images)
    assert one.values.shape == (5, 2016, 18) and one.logits.shape == (5, 2016)
    # LiteRT computes in half precision nowhere; both round, in another order.
    np.testing.assert_allclose(one.values, other.values, atol=0.05)
    np.testing.assert_allclose(one.logits, other.logits, atol=0.02)


def test_landmarks_are_the_same_by_both(litert, by_torch, picture, windows):
    images = picture.cut(windows, LANDMARK_PIXELS, repeats=True)
    one, other = fields(litert.landmarks(images)), fields(by_torch.landmarks(images))
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
        np.testing.assert_allclose(a.keypoints, b.keypoints, atol=0.05)
        assert a.side == b.side and a.score == pytest.approx(b.score, abs=1e-4)


@pytest.mark.parametrize("network", ["palms", "landmarks"])
def test_litert_says_of_many_what_it_says_of_each(litert, picture, windows, network):
    pixels = PALM_PIXELS if network == "palms" else LANDMARK_PIXELS
    images = picture.cut(windows, pixels)
    ask = getattr(litert, network)
    together = fields(ask(images))
    for i in range(len(images)):
        for name, value in fields(ask(images[i : i + 1])).items():
            np.testing.assert_array_equal(value[0], together[name][i])


@pytest.mark.parametrize("network", ["palms", "landmarks"])
def test_pytorch_says_of_many_what_it_says_of_each(by_torch, picture, windows, network):
    """Up to rounding: kernels may depend on the size of a batch."""
    pixels = PALM_PIXELS if network == "palms" else LANDMARK_PIXELS
    images = picture.cut(windows, pixels)
    ask = getattr(by_torch, network)
    together = fields(ask(images))
    for i in range(len(images)):
        for name, value in fields(ask(images[i : i + 1])).items():
            np.testing.assert_allclose(value[0], together[name][i], atol=1e-3)


def test_batches_are_cut_by_their_place(by_torch, monkeypatch, picture, windows):
    """More windows than a batch has give the numbers of their part of them, to the bit."""
    assert LARGEST_BATCH > 1
    monkeypatch.setattr("fitter.detection.networks.on_torch.LARGEST_BATCH", 2)
    images = picture.cut(windows, LANDMARK_PIXELS)
    together = fields(by_torch.landmarks(images))
    for start in (0, 2, 4):
        part = fields(by_torch.landmarks(images[start : start + 2]))
        for name, value in part.items():
            np.testing.assert_array_equal(value, together[name][start : start + 2])


@pytest.mark.parametrize("kind", ["litert", "by_torch"])
def test_no_windows_give_empty_answers(request, kind):
    networks = request.getfixturevalue(kind)
    palms = networks.palms(np.empty((0, PALM_PIXELS, PALM_PIXELS, 3), np.uint8))
    assert palms.values.shape == (0, 2016, 18)
    hands = networks.landmarks(np.empty((0, LANDMARK_PIXELS, LANDMARK_PIXELS, 3), np.uint8))
    assert hands.landmarks.shape == (0, 21, 3) and hands.features.shape == (0, 1152)
