"""Networks learn from pictures that nobody has annotated: the hands that the detector finds."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from rich.console import Console

from datasets.readers.found_hands import PART
from fitter.inputs.intrinsics import Intrinsics
from init_net.samples import conversion
from init_net.samples.config import SamplesConfig, StereoSamplesConfig
from init_net.samples.shards import ShardedSamples
from init_net.training import export, preparing, sources
from init_net.training.autoencoder_task import AutoencoderTask
from init_net.training.checkpoints import load_checkpoint
from init_net.training.command import _public, train_hands
from init_net.training.config import TrainConfig, load_train_config
from init_net.training.learnable import (
    require_learnable,
    require_pictures_enough,
    without_confidence,
)
from init_net.training.smoke import smoke
from init_net.training.tasks import build_task
from init_net.weights import read_info
from tests.support.annotated_pictures import SIZE as SIDE
from tests.support.autoencoder_runs import autoencoder_config
from tests.support.errors import raises
from tests.support.found_pictures import CONFIDENCE, finding, found_hand, write_pictures
from tests.support.task_cases import CPU, SIZE, configured
from tests.support.training_cases import said


@pytest.fixture(autouse=True)
def anew(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    conversion._opened.cache_clear()
    sources.annotated_source.cache_clear()


@pytest.fixture
def detector(monkeypatch):
    return finding(monkeypatch)


@pytest.fixture
def photos(tmp_path):
    return write_pictures(tmp_path / "photos", "0-a.png", "1-b.png", "below/2-c.png")


def with_photos(folder: Path, photos: Path, batch_size: int = 4, **given) -> TrainConfig:
    found = {"dataset": "images", "folder": str(photos), "size": SIZE, "share": 0.5, **given}
    return configured(folder, "handnet", batch_size, datasets={"photos": found})


class TestSamples:
    def test_hands_that_were_found_are_samples(self, folder, photos, detector):
        source = with_photos(folder, photos).datasets["photos"]
        assert sources.pictures_to_search(source) == 3
        assert sources.prepare(source) == []
        found = ShardedSamples(source.samples_folder)
        names = ["keypoints_2d", "keypoints_3d", "intrinsics", "label_confidence", "label_score"]
        rows = found.read(range(3), names)
        assert found.column("usable").all() and found.column("is_marks").all()
        assert np.isnan(rows["keypoints_3d"]).all() and not found.column("has_mask").any()
        np.testing.assert_allclose(rows["label_score"], [0.8, 0.8, 0.5])
        np.testing.assert_allclose(rows["label_confidence"], np.tile(CONFIDENCE, (3, 1)))
        # Twice the box of the keypoints fills the sample; the left hand is mirrored.
        points = found_hand(1).keypoints
        factor = SIZE / (2 * np.ptp(points, axis=0).max())
        middle = (points.min(0) + points.max(0)) / 2
        seen = (points - middle) * factor + SIZE / 2
        np.testing.assert_allclose(rows["keypoints_2d"][2], np.stack([SIZE - seen[:, 0],
                                   seen[:, 1]], 1), atol=0.01)  # fmt: skip
        focal = SIDE / 2 / np.tan(Intrinsics().default_field_of_view / 2)
        np.testing.assert_allclose(rows["intrinsics"][:, 0, 0], focal * factor, rtol=1e-5)

    def test_hands_are_found_once_for_all_sizes_of_samples(self, folder, photos, detector):
        for size in (SIZE, 64):
            sources.prepare(with_photos(folder, photos, size=size).datasets["photos"])
        assert sorted(detector.looked) == ["0-a.png", "1-b.png", "below/2-c.png"]

    def test_pictures_that_cannot_be_read_are_counted(self, folder, photos, detector):
        (photos / "1-cut.png").write_bytes(b"cut")
        (sentence,) = sources.prepare(with_photos(folder, photos).datasets["photos"])
        assert sentence.startswith(f"{photos / '1-cut.png'}: expected a picture")

    def test_samples_of_other_pictures_are_not_mixed(self, folder, photos, detector, tmp_path):
        """A new name may stand behind all whose annotations are compared."""
        source = with_photos(folder, photos).datasets["photos"]
        sources.prepare(source)
        write_pictures(photos, "zz/1-new.png")
        sources.annotated_source.cache_clear()
        (found,) = Path("data").glob("found-*")
        with raises(
            "training.other_pictures", added=1, gone=0, kept=found, samples=source.samples_folder
        ):
            sources.prepare(source)
        shutil.rmtree(found)
        sources.annotated_source.cache_clear()
        with raises("samples.other_option", option="annotations"):
            sources.prepare(source)

    def test_pictures_are_counted_as_they_are_looked_at(self, folder, tmp_path, detector):
        """By whole parts, whose end a bar would pass otherwise."""
        photos = write_pictures(tmp_path / "many", *(f"1-{n:02d}.png" for n in range(PART + 3)))
        for count, searched in ((5, PART), (PART + 1, PART + 3), (None, PART + 3)):
            source = with_photos(folder, photos, count=count).datasets["photos"]
            assert sources.pictures_to_search(source) == searched
        told: list[int] = []
        sources.find_hands(with_photos(folder, photos, count=5).datasets["photos"], told.append)
        assert sum(told) == PART

    def test_the_unsure_are_left_out(self, folder, photos, detector):
        source = with_photos(folder, photos, least_score=0.6).datasets["photos"]
        sources.prepare(source)
        assert len(sources.learned_from([source]).samples) == 2


def test_they_are_mixed_with_renders(folder, photos, detector):
    config = with_photos(folder, photos, batch_size=20)
    assert require_learnable(config) == {
        "datasets.photos": "keypoints in 3D nor rotations and shape"
    }
    task = build_task(config, CPU)
    batch = task.batch(0)
    found = batch.rotations.isnan().flatten(1).any(1)
    assert int(found.sum()) == 10
    weights = torch.from_numpy(CONFIDENCE / CONFIDENCE.mean()).float()
    torch.testing.assert_close(batch.keypoint_weight[found], weights.expand(10, 21))
    terms = task.losses(batch, 0)
    assert all(term.isfinite().all() for term in terms.values())
    assert (terms["mano_joints_2d"][found] > 0).all()
    assert not terms["geometric_joints_3d"][found].any()


class TestPicturesAlone:
    """What `--data` makes of a configuration."""

    @pytest.fixture
    def written(self, tmp_path):
        options = {
            "network": {"kind": "segmentation", "input_size": 32},
            "data": {"seed": 5, "count": 7},
            "further_data": [{"folder": "more", "seed": 9}],
            "datasets": {"A": {"dataset": "freihand", "folder": "F", "share": 1.0}},
            "stages": {"One": {"steps": 9, "sources": {"A": 1.0}}, "Two": {"steps": 3}},
        }
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(options))
        return tmp_path / "mine.yaml"

    def test_all_other_sources_are_left_out(self, written, photos):
        config = load_train_config(
            written, ["datasets.photos.least_score=0.5", "optimiser.steps=4"], pictures=photos
        )
        assert list(config.learned_from) == ["photos"]
        found = config.datasets["photos"]
        assert (found.dataset, found.folder, found.least_score) == ("images", str(photos), 0.5)
        assert [config.shares_of(stage) for stage in config.stages.values()] == [
            {"photos": None}
        ] * 2
        assert config.held_out == (config.validation,), "renders"
        assert config.optimiser.steps == 4

    def test_in_miniature(self, written, photos):
        small = smoke(load_train_config(written, pictures=photos))
        assert TrainConfig.model_validate(small.resolved()) == small
        assert list(small.learned_from) == ["photos"] and small.datasets["photos"].count == 32

    def test_no_folder(self, written, photos):
        for path, found in ((photos / "no", "none"), (photos / "1-b.png", "a file")):
            with raises("found.no_folder", file=path, found=found):
                load_train_config(written, pictures=path)

    @pytest.mark.parametrize(
        ("network", "lacking"),
        [
            ("segmentation", "masks"),
            ("lifter", "keypoints in 3D in the camera, and K"),
            ("handnet", "keypoints in 3D and rotations and shape"),
        ],
    )
    def test_networks_that_need_more(self, folder, photos, network, lacking):
        config = configured(folder, network)
        with raises("training.needs_more", file=f"--data {photos}", expected=lacking):
            require_pictures_enough(config, photos)

    @pytest.mark.parametrize(
        ("given", "lacking"),
        [
            ({}, None),
            ({"losses": {"pixel": 1.0, "ssim": 1.0, "consistency": 0.0}}, None),
            ({"losses": {"joints_3d": 1.0}}, "keypoints in 3D in the camera, and K"),
            ({"losses": {"mask": 1.0, "depth": 1.0}}, "masks and rotations and shape"),
            (
                {"supervision": {"keypoints": "annotated"}},
                "annotated keypoints (supervision.keypoints; detected ones would do)",
            ),
        ],
    )
    def test_an_autoencoder_needs_no_more_unless_it_is_told_more(self, photos, given, lacking):
        config = TrainConfig.model_validate({"network": {"kind": "autoencoder"}, **given})
        if lacking is None:
            require_pictures_enough(config, photos)
            return
        with raises("training.needs_more", network="autoencoder", expected=lacking):
            require_pictures_enough(config, photos)

    def test_fewer_hands_than_a_batch_has(self, folder, photos, detector):
        config = with_photos(folder, photos, batch_size=4, share=None)
        sources.prepare(config.datasets["photos"])
        sources.require_full_batches(config)
        alone = config.model_copy(update={"data": config.data.model_copy(update={"share": 0.0})})
        with raises("training.few_hands", file=str(photos), expected=4, found=3):
            sources.require_full_batches(alone)


class TestCommand:
    """`train-hands CONFIG --data DIR`."""

    @pytest.fixture
    def learn(self, folder, detector, say):
        options = autoencoder_config(folder).resolved()
        Path("mine.yaml").write_text(yaml.safe_dump(options))

        def learn(*arguments: object):
            return say("mine.yaml", *arguments, command=train_hands)

        return learn

    def test_a_run_that_was_stopped_goes_on_as_if_it_was_not(self, learn, detector, monkeypatch):
        write_pictures(Path("mine"), *(f"1-{name}.png" for name in "abcdef"))
        told = learn("--data", "mine", "--prepare-only")
        assert told.status == 0
        assert "6 hands found in 6 pictures" in told.err and not Path("runs").exists()
        losses = AutoencoderTask.losses

        def stopped(self, batch, step):
            if step == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return losses(self, batch, step)

        monkeypatch.setattr(AutoencoderTask, "losses", stopped)
        assert learn("--data", "mine").status == 130
        monkeypatch.setattr(AutoencoderTask, "losses", losses)
        assert load_checkpoint(Path("runs/mine/checkpoint.pt")).step == 4
        # Wherever it is called from, it is the same folder.
        assert learn("--data", Path("mine").resolve()).status == 0
        assert learn("--data", "mine", "--out", "whole").status == 0
        one, other = (Path(run) / "metrics.jsonl" for run in ("runs/mine", "whole"))
        assert one.read_bytes() == other.read_bytes()
        assert sorted(detector.looked) == [f"1-{name}.png" for name in "abcdef"], "once"
        info = read_info(Path("whole/weights.safetensors"))
        assert info.command == "train-hands mine.yaml --data FOLDER --out whole"
        assert info.options["supervision"]["keypoints"] == "detected"
        assert "parameters" not in info.data["training"]
        shutil.rmtree("mine")
        assert learn("--data", "mine", "--export", "w.safetensors").status == 0
        assert Path("w.safetensors").exists()

    def test_pictures_without_hands(self, learn, tmp_path):
        photos = write_pictures(tmp_path / "photos", "0-a.png")
        told = learn("--data", photos, "-q", "--out", "none")
        facts = {"file": photos, "count": 1, "unread": 0, "reason": ""}
        assert (told.status, told.err) == (2, f"train-hands: {said('found.no_hands', **facts)}\n")

    def test_fewer_hands_than_a_batch_are_refused_before_anything_is_rendered(
        self, learn, tmp_path
    ):
        photos = write_pictures(tmp_path / "photos", "1-a.png")
        told = learn("--data", photos, "-q", "--out", "none", "--set", "validation.folder=rendered")
        facts = {"file": photos, "expected": 4, "found": 1}
        wanted = said("training.few_hands", **facts)
        assert (told.status, told.err) == (2, f"train-hands: {wanted}\n")
        assert not Path("rendered").exists()


def test_renders_to_validate_on_are_announced_where_they_are_missing(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(preparing, "_prepare", lambda *given: None)
    there = configured(folder, "handnet")
    preparing.prepare_all(there, Console(stderr=True))
    assert capsys.readouterr().err == ""
    held_out = there.validation.model_copy(update={"folder": str(tmp_path / "no"), "count": 2000})
    missing = there.model_copy(update={"validation": held_out})
    preparing.prepare_all(missing, Console(stderr=True, width=200))
    told = capsys.readouterr().err
    assert "2,000 samples" in told and "--set validation.count=" in told


def test_the_card_names_no_folder_of_the_user(photos):
    typed = ["train-hands", "--data", str(photos), "--out", "o"]
    assert [_public(a, b) for a, b in zip(typed[1:], typed, strict=False)] == [
        "--data", "FOLDER", "--out", "o",
    ]  # fmt: skip
    assert _public(f"--data={photos}", "s2hand") == "--data=FOLDER"
    for option in (
        "run.start", "network.hand_model", "data.hand_model", "validation.hand_model",
        "pairs.backgrounds", "data.backgrounds", "further_data", "datasets", "datasets.A",
        "validation_datasets.A.folder", "datasets.A.split",
    ):  # fmt: skip
        assert _public(f"{option}=/home/a user/mine", "--set") == f"{option}=FOLDER"
    for word in ("network.hand_model=open_hand", "pairs.backgrounds=mixed", "datasets.A.size=32",
                 "data.seed=3", "run.start=shipped"):  # fmt: skip
        assert _public(word, "--set") == word
    nimble = export._public(SamplesConfig(hand_model="/home/a user/nimble"))
    assert nimble["hand_model"] == "nimble"
    assert export._public(SamplesConfig())["hand_model"] == "open_hand"
    pairs = export._public(StereoSamplesConfig(backgrounds="/home/a user/pictures"))
    assert pairs["backgrounds"] == "a folder"


class TestConfidence:
    @pytest.mark.parametrize("columns", [2, 3])
    def test_keypoints_without_any_are_told(self, folder, tmp_path, columns):
        """Once for a data set, whose keypoints all count alike."""
        photos = write_pictures(tmp_path / "photos", "a.png", "b.png")
        marks = np.column_stack([found_hand(0).keypoints, CONFIDENCE])[:, :columns].tolist()
        hands = {name: [{"side": "right", "keypoints": marks}] for name in ("a.png", "b.png")}
        (photos / "marks.json").write_text(json.dumps(hands))
        given = {"dataset": "openpose", "folder": str(photos), "split": "marks.json", "size": SIZE}
        config = configured(folder, "handnet", datasets={"marks": {**given, "share": 0.5}})
        assert without_confidence(config) == (["datasets.marks"] if columns == 2 else [])
        sources.prepare(config.datasets["marks"])
        weights = sources.learned_from([config.datasets["marks"]]).weights
        assert (weights.hands == 1).all() and (weights.keypoints == 1).all() == (columns == 2)

    def test_nothing_is_told_of_data_sets_with_truth_in_3d(self, folder, monkeypatch):
        from tests.support.annotated_pictures import Pictures

        monkeypatch.setattr(conversion, "open_dataset", lambda *which: Pictures())
        given = {"dataset": "pictures", "folder": "here", "size": SIZE, "share": 0.5}
        assert not without_confidence(configured(folder, "handnet", datasets={"B": given}))
