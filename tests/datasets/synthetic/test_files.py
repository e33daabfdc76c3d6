"""Synthetic data sets on disk: FreiHAND's layout, continued, and the same for any workers."""

import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from datasets.readers import open_dataset
from datasets.synthetic import SyntheticEngine
from datasets.synthetic.backgrounds import load_bank, noise_tile, painted_bank
from datasets.synthetic.camera_effects import compressed
from datasets.synthetic.files import SyntheticRequest, write_dataset

SIZE = 64


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    assert list(write_dataset(SyntheticRequest(folder, 6, seed=4, size=SIZE))) == [0, 6]
    return folder


def test_reads_as_freihand(written):
    images = open_dataset("freihand", written, "training")
    batch = SyntheticEngine(SIZE).batch(4, range(6))
    assert len(images) == 6
    for row in range(6):
        (hand,) = images.annotation(row).hands
        np.testing.assert_allclose(hand.keypoints_3d, batch.keypoints_3d[row], atol=1e-6)
        np.testing.assert_allclose(hand.keypoints_2d, batch.keypoints_2d[row], atol=0.05)
        assert hand.vertices is None
        name = images.path(row).name
        with Image.open(images.path(row)) as picture:
            difference = np.array(picture).astype(int) - batch.image[row].numpy()
        assert np.abs(difference).mean() < 2.0
        mask = cv2.imread(str(written / "training" / "mask" / name), cv2.IMREAD_GRAYSCALE)
        assert ((mask > 127) == (batch.mask[row].numpy() > 0.5)).mean() > 0.98
        path = written / "training" / "depth" / f"{row:08d}.png"
        depth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) * 1e-4
        np.testing.assert_allclose(depth, batch.depth[row], atol=6e-5)


def test_all_parameters_are_there(written):
    truth = json.loads((written / "training" / "truth" / "00000002.json").read_text())
    specs = SyntheticEngine(SIZE).sample(4, [2])
    np.testing.assert_allclose(truth["specs"]["hand"]["hand_pose"], specs.hand.hand_pose[0])
    np.testing.assert_allclose(truth["specs"]["light"]["toward"], specs.light.toward[0], atol=1e-6)
    assert set(truth["keypoint_state"]) <= {"visible", "self_occluded", "occluded", "outside"}
    assert len(json.loads((written / "training_scale.json").read_text())) == 6


def test_continues_where_it_was_left(written, tmp_path):
    whole = content(written)
    for path, data in whole.items():
        # A run that was stopped between samples, and within one.
        if path.stem != "00000005" and path != whole and path.name != "training_K.json":
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(data)
    (tmp_path / "training" / "truth" / "00000003.json").unlink()
    assert list(write_dataset(SyntheticRequest(tmp_path, 6, seed=4, size=SIZE))) == [4, 6]
    assert content(tmp_path) == whole


def test_workers_write_the_same(written, tmp_path, monkeypatch):
    import datasets.synthetic.files

    monkeypatch.setattr(datasets.synthetic.files, "BATCH", 3)
    list(write_dataset(SyntheticRequest(tmp_path, 6, seed=4, size=SIZE, workers=2)))
    assert content(tmp_path) == content(written)


def test_more_samples_later(written, tmp_path):
    list(write_dataset(SyntheticRequest(tmp_path, 2, seed=4, size=SIZE)))
    list(write_dataset(SyntheticRequest(tmp_path, 6, seed=4, size=SIZE)))
    assert content(tmp_path) == content(written)


class TestBackgrounds:
    def test_painted_ones_are_always_the_same(self):
        bank = painted_bank()
        assert bank.dtype == np.uint8 and np.array_equal(bank, painted_bank())
        assert bank.std(axis=(1, 2, 3)).min() > 0.5

    def test_a_folder(self, tmp_path):
        pixels = np.zeros((40, 80, 3), np.uint8)
        pixels[:, 20:60] = [10, 200, 30]
        Image.fromarray(pixels).save(tmp_path / "a.png")
        bank = load_bank(str(tmp_path))
        assert bank.shape[0] == 1 and np.all(bank[0] == [10, 200, 30])

    def test_installed_packages(self):
        pytest.importorskip("matplotlib")
        assert len(load_bank("packages")) >= 1

    def test_noise_wraps_around(self):
        tile = noise_tile()
        for channel in range(4):
            inner = np.abs(np.diff(tile[..., channel], axis=0)).mean()
            seam = np.abs(tile[0, :, channel] - tile[-1, :, channel]).mean()
            assert seam < 1.5 * inner


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_compression_is_like_the_real_one(quality):
    generator = np.random.default_rng(2)
    field = cv2.GaussianBlur(generator.normal(0, 60, (48, 48, 3)) + 128, (0, 0), 1.5)
    pixels = (field + generator.normal(0, 6, field.shape)).clip(0, 255).astype(np.uint8)
    ok, file = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    real = cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1].astype(float)
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    ours = compressed(planes, torch.tensor([float(quality)]))[0].permute(1, 2, 0).numpy()
    assert ok
    error, apart = np.abs(real - pixels).mean(), np.abs(ours - real).mean()
    assert apart < 0.5 * error + 0.6
