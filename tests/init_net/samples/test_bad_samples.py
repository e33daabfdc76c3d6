"""Bad folders of rendered samples: each is refused with its code, and nothing is touched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.synthetic import SyntheticSettings
from fitter.errors import InputError
from fitter.system.lock import WriterLock
from init_net.samples import manifest as shard_manifest
from init_net.samples import shards
from init_net.samples.crop_samples import Cropper
from init_net.samples.detected_samples import DetectedSamples
from init_net.samples.shards import SAMPLE_FIELDS, SampleSource, ShardedSamples, render_shards
from init_net.samples.sightings import (
    SIGHTING_FIELDS,
    Sightings,
    look_at_shards,
    sightings_folder,
)
from tests.support import rendered_samples, training_cases
from tests.support.errors import raises

SOURCE = SampleSource(seed=3, count=4, size=16)
SHARD = "shard-000000000"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A whole data set, of zeros."""
    training_cases.blank_samples(tmp_path / "s", SOURCE)
    return tmp_path / "s"


@pytest.fixture(autouse=True)
def nobody_renders(monkeypatch):
    monkeypatch.setattr(shards, "engine_of", None)


def refused(folder: Path, code: str, count: int | None = None, **facts: object) -> None:
    with raises(code, **facts) as error:
        ShardedSamples(folder, count)
    assert "\n" not in str(error.value)


def refused_to_render(folder: Path, source: SampleSource, code: str, **facts: object) -> None:
    with raises(code, **facts) as error:
        render_shards(folder, source)
    assert "\n" not in str(error.value)


class TestOpening:
    def test_a_good_one(self, folder):
        assert len(ShardedSamples(folder, 4)) == 4

    def test_no_folder_and_no_data_set(self, tmp_path):
        nothing = tmp_path / "nothing"
        refused(nothing, "samples.no_manifest", file=nothing)
        nothing.mkdir()
        (nothing / "photo.jpg").touch()
        refused(nothing, "samples.no_manifest", file=nothing)

    def test_no_samples(self, tmp_path):
        (tmp_path / "samples.json").write_text('{"layout": 1, "size": 16, "seed": 3}')
        refused(tmp_path, "samples.none", file=tmp_path)

    def test_too_few(self, folder):
        refused(folder, "samples.too_few", 5, file=folder, expected=5, found=4)

    @pytest.mark.parametrize("text", ["", "{", '{"layout": 1,', "\x00\x01"])
    def test_a_manifest_that_is_no_json(self, folder, text):
        (folder / "samples.json").write_text(text)
        refused(folder, "samples.bad_manifest", file=folder / "samples.json")

    def test_a_manifest_that_is_no_text(self, folder):
        (folder / "samples.json").write_bytes(b"\xff\xfe\x00")
        refused(folder, "samples.bad_manifest", file=folder / "samples.json")

    @pytest.mark.parametrize("manifest", [[], 3, {}, {"layout": 2, "size": 16}])
    def test_another_layout(self, folder, manifest):
        (folder / "samples.json").write_text(json.dumps(manifest))
        refused(folder, "samples.other_layout", file=folder, expected=1)

    @pytest.mark.parametrize("name", ["size", "seed"])
    def test_a_manifest_without_a_number(self, folder, name):
        manifest = json.loads((folder / "samples.json").read_text())
        del manifest[name]
        (folder / "samples.json").write_text(json.dumps(manifest))
        refused(folder, f"samples.no_{name}", file=folder / "samples.json")


DAMAGE = {
    "missing": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "torn in its header": lambda file: file.write_bytes(file.read_bytes()[:20]),
    "torn in its numbers": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "words": lambda file: file.write_text("no array"),
    "an object": lambda file: np.save(file, np.array([{}] * 4), allow_pickle=True),
}


class TestADamagedShard:
    @pytest.mark.parametrize("damage", DAMAGE)
    @pytest.mark.parametrize("name", ["image", "mode", "betas"])
    def test_an_array(self, folder, name, damage):
        file = folder / SHARD / f"{name}.npy"
        DAMAGE[damage](file)
        refused(folder, "samples.bad_array", file=file)

    @pytest.mark.parametrize("name", SAMPLE_FIELDS)
    def test_numbers_of_another_kind(self, folder, name):
        file = folder / SHARD / f"{name}.npy"
        np.save(file, np.load(file).astype(np.complex64))
        wanted = SAMPLE_FIELDS[name][0]
        refused(folder, "samples.other_type", file=file, expected=wanted, found="complex64")

    @pytest.mark.parametrize("name", ["image", "betas"])
    def test_fields_of_different_length(self, folder, name):
        file = folder / SHARD / f"{name}.npy"
        np.save(file, np.load(file)[:3])
        refused(folder, "samples.too_few", file=file, expected=4, found=3)

    @pytest.mark.parametrize("damage", DAMAGE)
    def test_it_is_not_rendered_again(self, folder, damage):
        """Who knows what happened to the others: their owner decides."""
        file = folder / SHARD / "mode.npy"
        DAMAGE[damage](file)
        refused_to_render(folder, SOURCE, "samples.bad_array", file=file)


class TestRendering:
    @pytest.mark.parametrize(
        ("key", "other", "wanted", "found"),
        [
            ("seed", {"seed": 4}, 4, 3),
            ("size", {"size": 32}, 32, 16),
            ("supersampling", {"supersampling": 2}, 2, 1),
        ],
    )
    def test_another_data_set_is_there(self, folder, key, other, wanted, found):
        before = (folder / "samples.json").read_bytes()
        facts = {"file": folder, "option": key, "expected": wanted, "found": found}
        refused_to_render(folder, replace(SOURCE, **other), "samples.other_option", **facts)
        assert (folder / "samples.json").read_bytes() == before

    def test_other_settings(self, folder):
        other = replace(SOURCE, settings=SyntheticSettings(backgrounds="packages"))
        with raises("samples.other_option", option="settings") as error:
            render_shards(folder, other)
        backgrounds = [error.value.facts[name]["backgrounds"] for name in ("expected", "found")]
        assert backgrounds == ["packages", "procedural"]

    @pytest.mark.parametrize("name", ["fit-hands", "hand model"])
    def test_another_maker_has_begun(self, folder, name):
        mine = shard_manifest._maker()
        path = folder / "samples.json"
        other = {**json.loads(path.read_text()), "made_by": {**mine, name: "0.0"}}
        path.write_text(json.dumps(other))
        more = replace(SOURCE, count=5)
        facts = {"maker": name, "expected": mine[name], "found": "0.0"}
        refused_to_render(folder, more, "samples.other_maker", file=folder, **facts)
        # What is there may be learned from.
        render_shards(folder, SOURCE)

    @pytest.mark.parametrize("made_by", [3, {}, "me"])
    def test_a_maker_of_another_shape(self, folder, made_by):
        path = folder / "samples.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "made_by": made_by}))
        more = replace(SOURCE, count=5)
        refused_to_render(folder, more, "samples.other_maker", file=folder, maker="fit-hands")

    def test_another_process_renders_them(self, folder):
        lock = WriterLock(folder)
        with raises("run.busy", file=folder):
            render_shards(folder, replace(SOURCE, count=5))
        render_shards(folder, SOURCE)
        lock.release()
        assert [path.name for path in folder.parent.iterdir()] == ["s"]

    def test_something_else_is_there(self, tmp_path):
        (tmp_path / "photo.jpg").touch()
        refused_to_render(tmp_path, SOURCE, "samples.other_folder", file=tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]

    def test_a_file_is_there(self, tmp_path):
        file = tmp_path / "photo.jpg"
        file.write_text("picture")
        code, below = "samples.cannot_write", file / "s"
        refused_to_render(file, SOURCE, code, file=file, reason="File exists")
        refused_to_render(below, SOURCE, code, file=below, reason="Not a directory")
        assert file.read_text() == "picture"

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (OSError(28, "No space left on device"), "No space left on device"),
            # What NumPy raises.
            (OSError("48 requested and 7 written"), "48 requested and 7 written"),
        ],
    )
    def test_the_disk_refuses(self, tmp_path, monkeypatch, error, reason):
        class Engine:
            def batch(self, seed, indices):
                return None

        def full(file, array):
            Path(file).touch()
            raise error

        monkeypatch.setattr(shards, "engine_of", lambda *options: Engine())
        zeros = {name: np.zeros(4, dtype) for name, (dtype, _) in SAMPLE_FIELDS.items()}
        monkeypatch.setattr(shards, "stored", lambda batch: zeros)
        monkeypatch.setattr(np, "save", full)
        folder = tmp_path / "s"
        refused_to_render(folder, SOURCE, "samples.cannot_write", file=folder, reason=reason)
        assert [path.name for path in folder.iterdir()] == ["samples.json"]

    def test_there_are_no_such_backgrounds(self, tmp_path, monkeypatch):
        monkeypatch.undo()
        source = replace(SOURCE, settings=SyntheticSettings(backgrounds="nowhere"))
        with pytest.raises(InputError, match="nowhere"):
            render_shards(tmp_path / "s", source)


def test_nothing_was_detected(folder):
    samples = ShardedSamples(folder)
    rendered_samples.write_sightings(samples, unseen=(0, 1, 2, 3))
    for as_rendered in (False, True):
        with raises("samples.none_detected", file=folder, count=4):
            DetectedSamples.of(samples, as_rendered)


class TestSightings:
    """Bad folders of what the detector has seen."""

    @pytest.fixture
    def seen(self, folder) -> Path:
        """The one shard of sightings, two of each sample."""
        rendered_samples.write_sightings(ShardedSamples(folder), variants=2)
        return sightings_folder(folder) / SHARD

    def refused(self, folder: Path, code: str, variants: int | None = None, **facts) -> None:
        with raises(code, **facts) as error:
            Sightings(ShardedSamples(folder), None if variants is None else [variants])
        assert "\n" not in str(error.value)

    def test_none(self, folder):
        shard = sightings_folder(folder) / SHARD
        self.refused(folder, "samples.no_sightings", file=shard)
        with raises("samples.no_sightings", file=shard):
            DetectedSamples.of(ShardedSamples(folder))
        with raises("samples.no_sightings", file=shard):
            Cropper(ShardedSamples(folder), 16, 1.4, None).crop([0], (0,))

    def test_those_of_another_detector(self, folder, seen, monkeypatch):
        monkeypatch.setattr("init_net.samples.sightings.detector_digest", lambda: 64 * "0")
        missing = folder / "sightings-000000000000" / SHARD
        self.refused(folder, "samples.no_sightings", file=missing)

    def test_too_few_of_each(self, folder, seen):
        facts = {"expected": "4 x 3", "found": "4 x 2"}
        self.refused(folder, "samples.too_few_sightings", 3, file=seen, **facts)

    def test_of_too_few_samples(self, folder, seen):
        for file in seen.iterdir():
            np.save(file, np.load(file)[:3])
        facts = {"expected": "4 x 2", "found": "3 x 2"}
        self.refused(folder, "samples.too_few_sightings", file=seen, **facts)

    @pytest.mark.parametrize("name", ["keypoints", "features"])
    @pytest.mark.parametrize("cut", [np.s_[:3], np.s_[:, :1]])
    def test_an_array_of_another_count(self, folder, seen, name, cut):
        file = seen / f"{name}.npy"
        array = np.load(file)[cut]
        np.save(file, array)
        facts = {"expected": "4 x 2", "found": f"{array.shape[0]} x {array.shape[1]}"}
        self.refused(folder, "samples.too_few_sightings", file=file, **facts)

    @pytest.mark.parametrize("damage", DAMAGE)
    @pytest.mark.parametrize("name", ["found", "features"])
    def test_a_damaged_array(self, folder, seen, name, damage):
        file = seen / f"{name}.npy"
        DAMAGE[damage](file)
        self.refused(folder, "samples.bad_array", file=file)

    @pytest.mark.parametrize("name", SIGHTING_FIELDS)
    def test_numbers_of_another_kind(self, folder, seen, name):
        file = seen / f"{name}.npy"
        np.save(file, np.load(file).astype(np.complex64))
        wanted = SIGHTING_FIELDS[name][0]
        facts = {"expected": wanted, "found": "complex64"}
        self.refused(folder, "samples.other_type", file=file, **facts)

    def test_damage_is_not_looked_at_again(self, folder, seen):
        """Who knows what happened to the others: their owner decides."""
        file = seen / "found.npy"
        file.write_bytes(file.read_bytes()[:-1])
        with raises("samples.bad_array", file=file):
            look_at_shards(ShardedSamples(folder), 2)

    def test_another_process_looks(self, folder, seen):
        """What is whole may be read at the same time."""
        lock = WriterLock(seen.parent)
        samples = ShardedSamples(folder)
        with raises("run.busy", file=seen.parent):
            look_at_shards(samples, 3)
        look_at_shards(samples, 2)
        lock.release()

    def test_the_disk_refuses(self, folder, monkeypatch):
        def full(file, array):
            Path(file).touch()
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(np, "save", full)
        where = sightings_folder(folder)
        facts = {"file": where, "reason": "No space left on device"}
        with raises("samples.cannot_write", **facts):
            look_at_shards(ShardedSamples(folder), 1)
        assert [*where.iterdir()] == []
