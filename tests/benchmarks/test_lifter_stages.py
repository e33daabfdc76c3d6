"""The benchmark of the lifter's stages: what it measures, keeps and tells."""

import csv
from io import StringIO
from pathlib import Path

import lifter_stages
import numpy as np
import pytest
from lifter_stages import ARMS, Candidate, Line, measured, show
from lifter_stages_figures import SETS, Worth, rendered_hands, worth
from measuring import BenchmarkError
from rich.console import Console

from datasets.synthetic import SyntheticSettings
from fitter.config.options import load_config
from fitter.detection.networks.weights import detector_digest
from init_net.model_card import WeightsInfo
from init_net.networks.build import build_network
from init_net.networks.config import LifterConfig
from init_net.samples.shards import SampleSource
from init_net.training.config import load_train_config
from init_net.weights import save_weights
from tests.support.rendered_samples import render

COUNT, UNSEEN = 4, 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Samples whose hands are seen as they are, one of them not at all."""
    path = tmp_path_factory.mktemp("samples") / "validation"
    source = SampleSource(seed=7, count=COUNT, size=112, settings=SyntheticSettings.unoccluded())
    render(path, source, unseen=(UNSEEN,))
    return path


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "lifter.safetensors"
    config = LifterConfig(width=16, blocks=1)
    info = WeightsInfo(config, "train-hands", 5, {}, {}, detector=detector_digest())
    save_weights(path, build_network(config, 1).eval(), info)
    return path


@pytest.fixture(scope="module")
def known(folder):
    return rendered_hands(folder, 10, load_config(None, []))


def test_renders_are_the_hands_that_the_detector_found(known, folder):
    assert len(known.images) == len(known.truth) == COUNT - 1
    # The detector has seen the model's own keypoints exactly: without depth they are near.
    for image, truth in zip(known.images, known.truth, strict=True):
        seen = image.hands[0].keypoints
        projected = truth @ image.intrinsics.T
        np.testing.assert_allclose(projected[:, :2] / projected[:, 2:], seen, atol=0.01)
        assert image.crops[0] is not None


def test_a_network_is_measured_alone_and_in_the_fit(known, untrained):
    common = load_config(None, ["refine.stages={}"])
    found = {
        file: worth(Candidate("", None, "lifter", file).config(common), "lifter", known)
        for file in ("shipped", str(untrained))
    }
    shipped, nothing = found.values()
    assert shipped.alone.shape == shipped.fitted.shape == (COUNT - 1,)
    assert (shipped.alone < nothing.alone).all(), "what has learned nothing says less"
    assert nothing.fitted.mean() < nothing.alone.mean(), "and the fit mends what it said"


def test_what_was_measured_is_not_measured_again(tmp_path, monkeypatch):
    asked = []

    def once(config, network, known):
        asked.append((network, config.init.lifter, config.init.handnet))
        return Worth(np.array([1.0, 2.0]), np.array([3.0, 4.0]))

    class Two:
        truth = np.zeros((2, 21, 3))

    monkeypatch.setattr(lifter_stages, "worth", once)
    common = load_config(None, [])
    candidate = Candidate("a, b", 1, "handnet", "shipped")
    first = measured(candidate, {SETS[0]: Two()}, common, tmp_path)
    again = measured(candidate, {SETS[0]: Two(), SETS[1]: Two()}, common, tmp_path)
    assert asked == [("handnet", None, "shipped")] * 2, "a set each"
    np.testing.assert_array_equal(again[SETS[0]].fitted, first[SETS[0]].fitted)
    Two.truth = np.zeros((3, 21, 3))
    measured(candidate, {SETS[0]: Two()}, common, tmp_path)
    assert len(asked) == 3, "other hands"


class TestLines:
    shipped = Worth(np.array([6.0, 7.0, 8.0]), np.array([5.0, 6.0, 7.0]))

    def line(self, seed, more):
        found = Worth(self.shipped.alone + more, self.shipped.fitted - 1)
        return Line.of(Candidate("arm", seed, "lifter", ""), SETS[0], found, self.shipped)

    def test_differences_are_those_of_the_same_hands(self):
        line = self.line(0, 0.5)
        assert (line.alone, line.alone_more, line.fitted_more) == (7.5, 0.5, -1.0)
        assert line.alone_error == line.fitted_error == 0, "they scatter in nothing"
        scattered = self.line(0, np.array([0.0, 0.3, 0.6]))
        assert scattered.alone_error == pytest.approx(0.3 / 3**0.5)

    def test_seeds_are_put_together(self):
        lines = [self.line(seed, more) for seed, more in ((0, 0.2), (1, 0.6))]
        shown = StringIO()
        show(lines, Console(width=140, file=shown))
        told = shown.getvalue()
        assert "+0.40 ± 0.20" in told and "-1.00 ± 0.00" in told and "7.40" in told

    def test_the_file_holds_a_line_each(self, tmp_path):
        lifter_stages._write([self.line(0, 0.25), self.line(1, 0.5)], tmp_path / "lines.csv")
        rows = list(csv.DictReader((tmp_path / "lines.csv").open(encoding="utf-8")))
        assert [row["seed"] for row in rows] == ["0", "1"]
        assert rows[0]["alone_more"] == "0.2500" and rows[0]["hands"] == SETS[0]


def test_further_weights_say_which_network_they_are_of(untrained):
    found = lifter_stages._further(f"mine={untrained}")
    assert (found.network, found.file) == ("lifter", str(untrained))
    assert lifter_stages._further("theirs=handnet").network == "handnet"
    with pytest.raises(BenchmarkError, match="NAME=FILE"):
        lifter_stages._further(str(Path("mine")))


def test_every_arm_learns_from_the_same_samples():
    """Equally often, but for those that are twice as long."""
    read = {name: load_train_config(arm.preset, arm.changes) for name, arm in ARMS.items()}
    first = next(iter(read.values()))
    for name, config in read.items():
        assert config.network == first.network, name
        assert (config.data, config.further_data) == (first.data, first.further_data), name
        steps = sum(stage.steps for stage in config.stages.values()) or config.optimiser.steps
        assert steps == (4000 if "twice" in name else 2000), name
        assert config.optimiser.batch_size == first.optimiser.batch_size, name
