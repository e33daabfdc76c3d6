"""What the detector sees in rendered samples: made once, whoever stops the work, and carried back
to the picture as it was rendered."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fitter.detection.backend import load_backend
from fitter.detection.networks.shapes import FEATURES
from fitter.detection.windows import Picture
from fitter.fitting.observations import ObservationBatch, normalise
from fitter.records import HandObservation
from init_net.samples import shards, sightings
from init_net.samples.shards import SampleSource, ShardedSamples, render_shards
from init_net.samples.sightings import (
    FOUND,
    SIGHTING_FIELDS,
    TOLD,
    WRONG_HAND,
    Sightings,
    look_at_shards,
    sightings_folder,
)
from init_net.samples.variations import Placement
from tests.support.paths import ROOT

SOURCE = SampleSource(seed=41, count=5, size=160)
VARIANTS = 3
MIRROR = Placement(0.0, 1.0, np.zeros(2), True, SOURCE.size)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("samples") / "s"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD", 2)
        render_shards(folder, SOURCE)
    return folder


@pytest.fixture
def by_two(monkeypatch) -> None:
    """Shards of two samples, as they were rendered."""
    for module in (shards, sightings):
        monkeypatch.setattr(module, "SHARD", 2)


@pytest.fixture
def folder(rendered, by_two, tmp_path) -> Path:
    """The same samples, which nobody has looked at."""
    (tmp_path / "s").mkdir()
    for path in rendered.iterdir():
        if not path.name.startswith("sightings"):
            (tmp_path / "s" / path.name).symlink_to(path)
    return tmp_path / "s"


@pytest.fixture
def whole(rendered, by_two) -> dict[str, np.ndarray]:
    """All sightings by the detector itself, made in one go."""
    samples = ShardedSamples(rendered)
    look_at_shards(samples, VARIANTS)
    return everything(samples)


def everything(samples: ShardedSamples, variants: int | None = None) -> dict[str, np.ndarray]:
    """Every field of all sightings, (samples, variants, ...)."""
    seen = Sightings(samples, None if variants is None else [variants])
    which = np.indices(seen.found.shape).reshape(2, -1)
    return {
        name: value.reshape(*seen.found.shape, *value.shape[1:])
        for name, value in seen.read(*which).items()
    }


def require_same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    for name, (dtype, _) in SIGHTING_FIELDS.items():
        assert found[name].dtype == wanted[name].dtype == dtype
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)


class TestByTheDetectorItself:
    def test_it_sees_the_hands_that_are_there(self, rendered, whole):
        samples = ShardedSamples(rendered)
        assert whole["found"].shape == (SOURCE.count, VARIANTS)
        assert (whole["found"][:, 0] > 0).sum() >= 3 and (whole["found"][:, 1:] > 0).sum() >= 3
        truth = samples.column("keypoints_2d")
        away = np.linalg.norm(whole["keypoints"] - truth[:, None], axis=-1).mean(-1)
        extent = np.ptp(truth, axis=1).max(1)[:, None]
        seen = whole["found"] > 0
        # Carried back to the rendered picture whatever was done to it.
        assert (away < WRONG_HAND * extent)[seen].all() and np.median((away / extent)[seen]) < 0.1
        for name in ("keypoints", "confidence", "depth", "xyz"):
            known = np.isfinite(whole[name]).reshape(*seen.shape, -1)
            assert (known.all(-1) == seen).all() and (known.any(-1) == seen).all(), name
        looks = np.isfinite(whole["features"]).all(-1)
        assert (looks == np.isfinite(whole["features"]).any(-1)).all()
        assert (looks.all(-1) == seen).all(), "confirmed by a look at the mirror image"
        assert (np.isfinite(whole["score"]) == (whole["found"] == FOUND)).all()
        assert (whole["presence"][seen] >= sightings.LEAST_SCORE).all()
        assert (whole["score"][whole["found"] == FOUND] >= sightings.LEAST_SCORE).all()

    def test_work_that_was_killed_continues(self, folder, whole):
        """Killed for real as soon as the first shard is done."""
        script = (
            "import sys\n"
            "from pathlib import Path\n"
            "from init_net.samples import shards, sightings\n"
            "shards.SHARD = sightings.SHARD = 2\n"
            "samples = shards.ShardedSamples(Path(sys.argv[1]))\n"
            f"sightings.look_at_shards(samples, {VARIANTS}, progress=lambda count: "
            "print(count, flush=True))\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", script, str(folder)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, env=environment, text=True
        ) as process:
            told = [process.stdout.readline().strip() for _ in range(2)]
            process.kill()
        assert told == ["0", "2"] and process.returncode == -signal.SIGKILL
        there = sightings_folder(folder)
        done = [path for path in there.iterdir() if path.suffix == ""]
        assert 1 <= len(done) < 3
        first = (there / shards.shard_name(0)).stat().st_ino
        counts: list[int] = []
        look_at_shards(ShardedSamples(folder), VARIANTS, progress=counts.append)
        assert counts[0] == 2 * len(done) and sum(counts) == SOURCE.count
        assert (there / shards.shard_name(0)).stat().st_ino == first, "what is whole is kept"
        require_same(everything(ShardedSamples(folder)), whole)
        assert {path.name for path in there.iterdir()} == {
            shards.shard_name(start) for start in (0, 2, 4)
        }

    def test_a_sighting_depends_on_its_number_alone(self, folder, whole):
        """Not on how many there are, of the sample or of samples."""
        look_at_shards(ShardedSamples(folder, 3), 2)
        found = everything(ShardedSamples(folder, 3))
        require_same(found, {name: value[:3, :2] for name, value in whole.items()})
        # More of them: what is there of fewer is looked at again.
        counts: list[int] = []
        look_at_shards(ShardedSamples(folder), 2, progress=counts.append)
        assert counts == [2, 2, 1]
        require_same(
            everything(ShardedSamples(folder)), {name: v[:, :2] for name, v in whole.items()}
        )
        require_same(
            everything(ShardedSamples(folder, 1), 1), {name: v[:1, :1] for name, v in whole.items()}
        )

    def test_the_rows_of_features_of_a_mirrored_picture(self, rendered, whole):
        """Carried back, each is that of the look at what the other's mirror image shows."""
        row = int(np.flatnonzero(whole["found"][:, 0] == FOUND)[0])
        samples = ShardedSamples(rendered)
        rows = samples.read([row], ["image", "keypoints_2d"])
        picture = Picture(MIRROR.pixels(rows["image"][0]))
        known = MIRROR.points(rows["keypoints_2d"][0].astype(float))
        backend = load_backend("builtin", sightings.LEAST_SCORE)
        found = sightings._detected(backend, picture, known, "left")
        assert found is not None and found.side == "left"
        back = MIRROR.back(found)
        assert back.side == "right"
        extent = np.ptp(rows["keypoints_2d"][0], axis=0).max()
        away = np.linalg.norm(back.keypoints - whole["keypoints"][row, 0], axis=1).mean()
        assert away < 0.05 * extent
        wanted = whole["features"][row, 0].astype(np.float32)
        for k in (0, 1):
            same, other = (similarity(back.features[k], wanted[j]) for j in (k, 1 - k))
            assert same > other + 0.05

    def test_a_left_hand_has_them_the_other_way_round(self):
        """In the frame of right hands: the look in which it was a right one first."""
        generator = np.random.default_rng(0)
        keypoints = generator.uniform(30, 120, (21, 2))
        features = generator.standard_normal((2, FEATURES)).astype(np.float32)
        right = HandObservation(keypoints, np.ones(21), "right", 1, 1, features=features)
        left = replace(right, side="left")
        K = np.array([[300.0, 0, 80], [0, 300, 80], [0, 0, 1]])
        unknown = replace(right, features=None)
        like = torch.zeros((), dtype=torch.float64)
        batch = ObservationBatch.of([right, left, unknown], [K, K, K], like)
        assert batch.features.dtype == torch.float32 and batch.features.shape == (3, 2, FEATURES)
        hands = normalise(batch)
        np.testing.assert_array_equal(hands.features[0], features)
        np.testing.assert_array_equal(hands.features[1], features[::-1])
        assert hands.features[2].isnan().all() and hands.is_usable.all()


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine of the angle between features."""
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


class Told:
    """A backend that says what it is told to and keeps the pictures that it was shown."""

    def __init__(self, found=(), followed=()) -> None:
        self.found, self.followed, self.pictures = found, followed, []
        self.mirrored: list[bool] = []

    def find(self, picture, windows):
        self.pictures.append(picture.pixels)
        return [list(self.found) for _ in windows]

    def follow(self, picture, hands, mirrored):
        self.mirrored.append(mirrored)
        return [self.followed[min(len(self.mirrored), len(self.followed)) - 1]] * len(hands)

    def close(self):
        pass


class TestWhatCountsAsSeen:
    TRUTH = np.random.default_rng(0).uniform(10, 90, (21, 2))
    IMAGE = np.zeros((100, 100, 3), np.uint8)

    def hand(self, offset: float = 0.0, side: str = "right", look: int = 0) -> HandObservation:
        features = np.full((2, FEATURES), np.nan, np.float32)
        features[look] = look
        return HandObservation(
            self.TRUTH + [offset, 0], np.ones(21), side, 0.9, 0.8, np.zeros(21),
            np.zeros((21, 3)), features, 0.7,
        )  # fmt: skip

    def sighting(self, backend: Told) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        return sightings._sighting(backend, self.IMAGE, self.TRUTH, rng, 0)

    def test_by_the_detector(self):
        """The nearest hand, confirmed in the mirror, where both looks have their row."""
        backend = Told([self.hand(20), self.hand(3)], [self.hand(1, look=1)])
        row = self.sighting(backend)
        assert row["found"] == FOUND and row["score"] == 0.8 and row["presence"] == 0.7
        assert backend.mirrored == [True]
        np.testing.assert_allclose(row["keypoints"], self.TRUTH + [2, 0])
        np.testing.assert_array_equal(row["features"], [[0] * FEATURES, [1] * FEATURES])

    def test_told_where_to_look(self):
        backend = Told([], [self.hand(3), self.hand(1, look=1)])
        row = self.sighting(backend)
        assert row["found"] == TOLD and backend.mirrored == [False, True]

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ({"offset": 60}, {"offset": 60}),
            ({}, None),
            ({"offset": -15}, {"offset": 15}),
            ({"side": "left"}, {"side": "left"}),
        ],
    )
    def test_nobody(self, first, second):
        """Far away, not confirmed, two looks apart, or of the other side."""
        again = None if second is None else self.hand(**second, look=1)
        for backend in (
            Told([self.hand(**first)], [again, None]),
            Told([], [self.hand(**first), again]),
        ):
            row = self.sighting(backend)
            assert row["found"] == 0
            for name, value in row.items():
                assert name == "found" or np.isnan(value).all(), name
            assert row.keys() == SIGHTING_FIELDS.keys()

    @pytest.fixture
    def nobody(self, monkeypatch) -> Iterator[Told]:
        backend = Told([], [None])
        monkeypatch.setattr(sightings, "load_backend", lambda *given: backend)
        sightings._opened.cache_clear()
        yield backend
        sightings._opened.cache_clear()

    def test_the_first_is_the_picture_as_it_was_rendered(self, folder, nobody):
        samples = ShardedSamples(folder)
        look_at_shards(samples, 2)
        images = samples.column("image")
        assert len(nobody.pictures) == 2 * SOURCE.count
        for image, plain, varied in zip(
            images, nobody.pictures[::2], nobody.pictures[1::2], strict=True
        ):
            np.testing.assert_array_equal(plain, image)
            assert varied.shape == image.shape and not np.array_equal(varied, image)
        found = everything(samples)
        assert not found["found"].any()
        assert all(np.isnan(value).all() for name, value in found.items() if name != "found")

    def test_enough_is_enough(self, folder, nobody):
        look_at_shards(ShardedSamples(folder), 2)
        shown = len(nobody.pictures)
        for variants in (1, 2):
            counts: list[int] = []
            look_at_shards(ShardedSamples(folder), variants, progress=counts.append)
            assert counts == [SOURCE.count] and len(nobody.pictures) == shown
        look_at_shards(ShardedSamples(folder), 3)
        assert len(nobody.pictures) == shown + 3 * SOURCE.count


def test_processes_of_their_own_see_the_same(tmp_path):
    """They have shards of the common size: one here, and a second one in the other folder."""
    source = SampleSource(seed=42, count=shards.SHARD + 1, size=16)
    from tests.support.training_cases import blank_samples

    for workers in (1, 2):
        folder = tmp_path / str(workers)
        blank_samples(folder, replace(source, count=shards.SHARD))
        more = folder / shards.shard_name(shards.SHARD)
        more.mkdir()
        for file in (folder / shards.shard_name(0)).iterdir():
            np.save(more / file.name, np.load(file)[:1])
        counts: list[int] = []
        look_at_shards(ShardedSamples(folder), 1, workers, counts.append)
        assert sorted(counts) == [0, 1, shards.SHARD]
    one, two = (everything(ShardedSamples(tmp_path / str(n))) for n in (1, 2))
    require_same(two, one)
