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
from init_net.samples.detected_samples import DetectedSamples
from init_net.samples.shards import SAMPLE_FIELDS, SampleSource, ShardedSamples, render_shards
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
    monkeypatch.setattr(shards, "_engine", None)


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
        (tmp_path / "samples.json").write_text('{"layout": 1, "size": 16}')
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

    def test_a_manifest_without_a_size(self, folder):
        (folder / "samples.json").write_text('{"layout": 1}')
        refused(folder, "samples.no_size", file=folder / "samples.json")


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
    @pytest.mark.parametrize("name", ["image", "mode", "detected_xyz"])
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

    @pytest.mark.parametrize("name", ["fit-hands", "hand model", "mediapipe"])
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

        monkeypatch.setattr(shards, "_engine", lambda *options: Engine())
        monkeypatch.setattr(shards, "HandDetector", rendered_samples.Blind)
        zeros = {name: np.zeros(4, dtype) for name, (dtype, _) in SAMPLE_FIELDS.items()}
        monkeypatch.setattr(shards, "_truth", lambda batch: zeros)
        monkeypatch.setattr(shards, "_seen", lambda batch, detector: {})
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
    assert not samples.column("detected").any()
    with raises("samples.none_detected", file=folder, count=4):
        DetectedSamples.of(samples)
