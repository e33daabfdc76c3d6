"""The stereo network in the fit of pairs of views: what it says is a place to begin at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from views_data import SampledHands, frames_of, stereo

import fitter
from fitter.config.options import load_config
from fitter.engine import Engine
from fitter.fitting.crops import crop_hands
from fitter.fitting.detected_frame import DetectedFrame
from fitter.fitting.initializer import Prediction, ViewedRows
from fitter.store.reader import decode_flags
from init_net.model_card import WeightsInfo
from init_net.networks.build import build_network
from init_net.networks.config import HandNetConfig, StereoConfig
from init_net.offer import InitNetOptions
from init_net.predict import load_networks
from init_net.weights import save_weights, weights_file
from tests.support.errors import raises
from tests.support.rig_folders import turning_rig, write_frames

BARE = ["refine.stages={}", "init.lifter=null", "init.segmentation=null"]


def written(folder: Path, margin: float = 1.4) -> Path:
    """The weights of a small network that has learned nothing."""
    mono = HandNetConfig(hidden=[24, 16], grid_channels=8, input_size=64, margin=margin)
    config = StereoConfig(mono=mono)
    network = build_network(config, seed=3)
    save_weights(
        folder / "pair.safetensors", network, WeightsInfo(config, "train-hands", 1, {}, {})
    )
    return folder / "pair.safetensors"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return written(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def engine(weights) -> Engine:
    return Engine(load_config(None, [*BARE, f"init.stereo={weights}"]))


@pytest.fixture(scope="module")
def sampled(engine) -> SampledHands:
    return SampledHands.of(engine.fit_model, 4, seed=3)


@pytest.fixture
def frames(engine, sampled) -> list[DetectedFrame]:
    """Hands that both cameras of a pair see, 8 px off, with crops of noise."""
    rng = np.random.default_rng(7)
    found = frames_of(sampled, [stereo(rng, 0.1) for _ in sampled.sides], 8.0, rng)
    refine = engine.config.refine
    picture = rng.integers(0, 255, (480, 640, 3), np.uint8)

    def with_crop(view):
        crops = crop_hands(
            picture, view.intrinsics, view.hands, None, (refine.resolution, refine.margin)
        )
        return replace(view, crops=tuple(crops))

    return [replace(f, views=tuple(map(with_crop, f.views))) for f in found]


def sources(rows) -> set[str | None]:
    return {hand.initialisation_source for row in rows for hand in row.hands}


class Oracle:
    """An `Initializer` that knows of hands by two views what is true."""

    def __init__(self, alone, points: np.ndarray) -> None:
        self.alone, self.points, self.asked = alone, points, 0

    @property
    def digests(self):
        return self.alone.digests

    def __call__(self, hands, crops):
        return self.alone(hands, crops)

    def together(self, rows: ViewedRows) -> dict[str, Prediction]:
        self.asked += 1
        said = torch.full((len(rows.cameras), 21, 3), torch.nan, dtype=torch.float64)
        for k, camera in enumerate(rows.cameras):
            points = self.points[int(rows.hand[k])] @ camera.rotation.T + camera.translation
            points = torch.as_tensor(points * ([-1, 1, 1] if rows.is_left[k] else [1, 1, 1]))
            depth = points[0] @ rows.hands.view_direction[k]
            said[k] = rows.hands.intrinsics[k, 0, 0] * (points - points[0]) / depth
        return {"stereo": Prediction(said, torch.full_like(said[..., :2], torch.nan))}


def test_the_fit_begins_where_the_pair_is_right(engine, sampled, frames):
    """As it lies, before any iteration, the truth explains noisy views better than what is
    triangulated of them."""
    never = engine.config.fit.model_copy(update={"initialisation_iterations": 0})
    oracle = Oracle(engine.initializer, sampled.keypoints)
    config = engine.config.model_copy(update={"fit": never})
    rows = replace(engine.frames, config=config, initializer=oracle).fit(frames)
    assert oracle.asked and sources(rows) == {"stereo"}
    assert all(row.hands[0].valid for row in rows)


def test_a_network_that_knows_nothing_does_no_harm(engine, frames):
    """Its starts are tried beside the others and lose."""
    both = engine.config.init.model_copy(update={"source": "both"})
    config = engine.config.model_copy(update={"init": both})
    asked = replace(engine.frames, config=config)
    alone = replace(asked, initializer=None)
    found = asked.fit(frames)
    assert sources(found) <= {"keypoints", "stereo"}
    for one, other in zip(found, alone.fit(frames), strict=True):
        assert one.hands[0].final_cost <= 1.01 * other.hands[0].final_cost


def test_hands_of_one_view_go_without_it(engine, frames):
    """Nothing is said of them, and they begin at typical poses."""
    halves = [replace(frame, views=(frame.views[0], None)) for frame in frames]
    assert sources(engine.fit_frames(halves)) == {"keypoints"}


def test_its_weights_tell_a_store_from_others(engine, weights):
    (name,) = engine.initializer.digests
    assert name == "stereo" and len(engine.parts["stereo_sha256"]) == 64


class TestTheCommand:
    @pytest.fixture
    def pair(self, say, tmp_path, monkeypatch) -> Path:
        monkeypatch.chdir(tmp_path)
        write_frames(tmp_path / "in", turning_rig(["left", "right"]), 2)
        (tmp_path / "in" / "keypoints.json").rename(tmp_path / "keypoints.json")
        return tmp_path

    def told(self, say, weights: Path, *more: object, images: object = "in"):
        options = [
            word for option in (*BARE, f"init.stereo={weights}") for word in ("--set", option)
        ]
        return say(images, "--out", "r.zarr", "--keypoints", "keypoints.json", "--device", "cpu",
                   *options, *more)  # fmt: skip

    def test_pairs_are_fitted_and_their_store_says_by_what(self, pair, weights, say, tmp_path):
        found = self.told(say, weights, "--views", "in/rig.json")
        assert found.status == 0, found.err
        data = xr.open_zarr("r.zarr").load()
        assert data.valid[:, 0].all()
        flags = data.initialisation_source.attrs["flag_meanings"].split()
        assert "stereo" in flags
        assert set(decode_flags(data.initialisation_source[:, 0]).values.tolist()) <= set(flags[1:])
        other = written(tmp_path, margin=1.3)
        again = self.told(
            say, other, "--views", "in/rig.json", "--resume", "--set", "refine.margin=1.3"
        )
        assert again.status == 2 and "r.zarr" in again.err

    @pytest.mark.parametrize("cameras", [1, 3])
    def test_a_rig_of_other_cameras_is_refused(self, pair, weights, say, cameras):
        rig = turning_rig([f"c{k}" for k in range(cameras)])
        write_frames(pair / "other", rig, 1)
        found = self.told(say, weights, "--views", "other/rig.json", images="other")
        assert found.status == 2 and not Path("r.zarr").exists()
        assert "init.stereo: expected a rig of 2 cameras (--views), " in found.err
        assert f"found {cameras}" in found.err
        with raises("network.other_cameras", expected=2, found=cameras):
            fitter.fit_views({"c0": "other/c0/000.png"}, rig, **python(weights))

    def test_single_images_are_refused(self, pair, weights, say):
        found = self.told(say, weights, images="in/left")
        assert found.status == 2 and "init.stereo: expected a rig of 2 cameras" in found.err
        with raises("network.other_cameras", expected=2, found=1):
            fitter.fit("in/left/000.png", **python(weights))

    def test_it_is_not_asked_for_where_no_network_is(self, pair, weights, say):
        found = self.told(say, weights, "--init", "keypoints", images="in/left")
        assert "init.stereo" not in found.err


def python(weights: Path) -> dict[str, object]:
    return {"config": load_config(None, [*BARE, f"init.stereo={weights}"])}


def test_another_network_or_another_margin_is_refused(tmp_path):
    cpu = torch.device("cpu")
    path = weights_file("handnet")
    with raises("weights.other_network", file=path, expected="stereo", found="handnet"):
        load_networks(InitNetOptions(stereo=str(path)), ["stereo"], 1.4, cpu)
    path = written(tmp_path, margin=1.3)
    with raises("network.other_margin", file=path, expected=1.3, found=1.4):
        load_networks(InitNetOptions(stereo=str(path)), ["stereo"], 1.4, cpu)
