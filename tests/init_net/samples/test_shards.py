"""Rendered samples on disk: what they are depends on their number alone, whoever stops the work."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.poses.sampler import pose_modes
from datasets.synthetic import SyntheticEngine
from datasets.synthetic.poses import sample_adult, sample_mode
from datasets.synthetic.specs import APPEARANCE
from fitter.hand_models.open_hand import load_open_hand
from init_net.samples import shards
from init_net.samples.shards import SAMPLE_FIELDS, SampleSource, ShardedSamples, render_shards

SOURCE = SampleSource(seed=17, count=7, size=48)


def engine() -> SyntheticEngine:
    """The one that renders; it takes seconds to load."""
    return shards.engine_of(SOURCE.size, SOURCE.supersampling, SOURCE.settings)


@pytest.fixture
def by_three(monkeypatch):
    """Shards of three samples."""
    monkeypatch.setattr(shards, "SHARD", 3)


def everything(folder: Path, count: int | None = None) -> dict[str, np.ndarray]:
    samples = ShardedSamples(folder, count)
    return samples.read(range(len(samples)), list(SAMPLE_FIELDS))


def require_same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray], count: int) -> None:
    for name, (dtype, _) in SAMPLE_FIELDS.items():
        assert found[name].dtype == wanted[name].dtype == dtype
        assert len(found[name]) >= count <= len(wanted[name])
        np.testing.assert_array_equal(found[name][:count], wanted[name][:count], err_msg=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All samples, rendered in one go into one shard."""
    folder = tmp_path_factory.mktemp("samples") / "whole"
    render_shards(folder, SOURCE)
    return everything(folder)


class TestWhatASampleIs:
    def test_it_is_what_the_engine_draws(self, whole):
        batch = engine().batch(SOURCE.seed, [4])
        np.testing.assert_array_equal(whole["image"][4], batch.image[0].numpy())
        assert np.abs(whole["mask"][4] / 255 - batch.mask[0].numpy()).max() <= 0.5 / 255
        wanted = batch.specs.hand
        for name in shards.HAND_FIELDS:
            np.testing.assert_array_equal(whole[name][4], getattr(wanted, name)[0].float().numpy())
        np.testing.assert_allclose(whole["keypoints_3d"][4], batch.keypoints_3d[0], atol=1e-6)
        np.testing.assert_allclose(whole["keypoints_2d"][4], batch.keypoints_2d[0], atol=1e-4)
        assert whole["mode"][4] == batch.specs.mode[0]

    def test_shards_and_their_number_change_nothing(self, whole, by_three, tmp_path):
        render_shards(tmp_path / "s", replace(SOURCE, count=5))
        assert {path.name for path in (tmp_path / "s").iterdir()} == {
            "samples.json", "shard-000000000", "shard-000000003",
        }  # fmt: skip
        found = everything(tmp_path / "s")
        assert len(found["mode"]) == 5
        require_same(found, whole, 5)

    def test_another_seed_is_another_data_set(self, whole, tmp_path):
        render_shards(tmp_path / "s", replace(SOURCE, seed=18, count=1))
        assert not np.array_equal(everything(tmp_path / "s")["image"][0], whole["image"][0])

    def test_processes_of_their_own_render_the_same(self, tmp_path):
        source = SampleSource(seed=7, count=2, size=48)
        told = {1: [], 2: []}
        for workers, counts in told.items():
            render_shards(tmp_path / str(workers), source, workers, counts.append)
        alone = everything(tmp_path / "1")
        require_same(everything(tmp_path / "2"), alone, 2)
        assert told[1] == told[2] == [0, 2]


class TestWorkThatIsContinued:
    def test_after_a_kill(self, whole, by_three, tmp_path, monkeypatch):
        """Killed while the second shard is written: half of it is left behind."""
        folder, save, saved = tmp_path / "s", np.save, []

        def killed(file, array):
            if len(saved) == len(SAMPLE_FIELDS) + 5:
                raise KeyboardInterrupt
            saved.append(file)
            save(file, array)

        monkeypatch.setattr(np, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            render_shards(folder, SOURCE)
        monkeypatch.undo()
        monkeypatch.setattr(shards, "SHARD", 3)
        left = [path for path in folder.iterdir() if "." in path.name and path.is_dir()]
        assert len(left) == 1 and len(list(left[0].iterdir())) == 5
        assert len(ShardedSamples(folder)) == 3, "what is whole is there"
        first = (folder / "shard-000000000").stat().st_ino
        counts: list[int] = []
        render_shards(folder, SOURCE, progress=counts.append)
        assert counts == [3, 3, 1]
        assert (folder / "shard-000000000").stat().st_ino == first
        assert not left[0].exists()
        require_same(everything(folder), whole, 7)

    def test_growing(self, whole, by_three, tmp_path):
        folder = tmp_path / "s"
        render_shards(folder, replace(SOURCE, count=4))
        before = [(folder / f"shard-00000000{start}").stat().st_ino for start in (0, 3)]
        counts: list[int] = []
        render_shards(folder, SOURCE, progress=counts.append)
        assert counts == [3, 3, 1]
        assert (folder / "shard-000000000").stat().st_ino == before[0], "a full shard is kept"
        assert (folder / "shard-000000003").stat().st_ino != before[1]
        require_same(everything(folder), whole, 7)

    def test_what_somebody_began_before_its_maker_was_said_grows(self, whole, tmp_path):
        folder = tmp_path / "s"
        render_shards(folder, replace(SOURCE, count=1))
        manifest = json.loads((folder / "samples.json").read_text())
        assert manifest.pop("made_by") == {
            "fit-hands": version("fit-hands"),
            "hand model": load_open_hand(keypoint_offsets=False).sha256,
        }
        (folder / "samples.json").write_text(json.dumps(manifest))
        render_shards(folder, replace(SOURCE, count=3))
        require_same(everything(folder), whole, 3)
        assert [path.name for path in tmp_path.iterdir()] == ["s"], "no lock is left"

    def test_enough_is_enough(self, by_three, tmp_path, monkeypatch):
        render_shards(tmp_path / "s", replace(SOURCE, count=4))
        monkeypatch.setattr(shards, "engine_of", None)
        for count in (1, 3, 4):
            counts: list[int] = []
            render_shards(tmp_path / "s", replace(SOURCE, count=count), progress=counts.append)
            assert counts == [count]

    def test_a_manifest_that_was_not_finished(self, tmp_path):
        (tmp_path / "samples.json.partial").write_text("{")
        render_shards(tmp_path, replace(SOURCE, count=1))
        assert len(ShardedSamples(tmp_path)) == 1

    def test_threads_are_left_as_they_are(self, tmp_path):
        """The process may go on to train."""
        threads = torch.get_num_threads()
        try:
            torch.set_num_threads(2)
            render_shards(tmp_path / "s", replace(SOURCE, count=1))
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(threads)


class TestReading:
    def test_any_order_across_shards(self, whole, by_three, tmp_path):
        render_shards(tmp_path / "s", SOURCE)
        samples = ShardedSamples(tmp_path / "s")
        order = [6, 0, 3, 3, 5]
        found = samples.read(np.array(order), ["image", "betas"])
        assert found.keys() == {"image", "betas"}
        np.testing.assert_array_equal(found["image"], whole["image"][order])
        np.testing.assert_array_equal(found["betas"], whole["betas"][order])
        np.testing.assert_array_equal(samples.column("transl"), whole["transl"])

    def test_the_first_few(self, by_three, tmp_path):
        render_shards(tmp_path / "s", SOURCE)
        samples = ShardedSamples(tmp_path / "s", 4)
        assert len(samples) == 4 == len(samples.column("image"))
        assert samples.size == SOURCE.size


class TestAShapeWithoutRoom:
    """Sample 387 of seed 1000: no pose of the mode that it drew leaves its fingers apart."""

    INDICES = (386, 387, 388)

    def drawn_mode(self, index: int) -> int:
        look = np.random.default_rng([1000, index, APPEARANCE])
        sample_adult(look, engine().pose_model)
        return sample_mode(look)

    def test_it_gets_another_mode_and_nobody_else_does(self):
        specs = engine().sample(1000, self.INDICES)
        drawn = [self.drawn_mode(index) for index in self.INDICES]
        assert [a == b for a, b in zip(drawn, specs.mode.tolist(), strict=True)] == [
            True, False, True,
        ]  # fmt: skip
        assert 0 <= specs.mode[1] < len(pose_modes())
        # It does not depend on its batch.
        alone = engine().sample(1000, [387])
        assert alone.mode[0] == specs.mode[1]
        for found, wanted in zip(vars(alone.hand).values(), vars(specs.hand).values(), strict=True):
            assert torch.equal(found[0], wanted[1])
