"""The experiments of S2HAND and Zhao measure what they say, their tables say what was measured."""

import json
import shutil
from dataclasses import fields, replace

import arms as trainings
import cv2
import doc_render_and_compare as doc
import figure_render_and_compare as figure
import numpy as np
import pytest
import render_and_compare
import render_and_compare_arms as recipes
import render_and_compare_figures as figures
import render_and_compare_start as start
import torch

from datasets.synthetic import SyntheticSettings
from fitter.metrics import pck
from fitter.system.lock import WriterLock
from init_net.networks.config import AutoencoderConfig
from init_net.samples.shards import SampleSource
from init_net.samples.sightings import TOLD
from init_net.training.autoencoder_evaluation import AutoencoderErrors, SpaceErrors
from init_net.training.loss_weights import AutoencoderWeights
from tests.support.errors import raises
from tests.support.nimble_files import nimble_folder
from tests.support.rendered_samples import render

COUNT, UNSEEN, SIDE = 10, 8, 64
ENCODER = "mobilenetv3_small_050"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("samples") / "train"
    render(path, SampleSource(seed=7, count=COUNT, size=96), unseen=(UNSEEN,))
    return path


@pytest.fixture
def plan(folder, tmp_path):
    return recipes.ComparePlan(
        samples=folder,
        count=COUNT,
        validation=tmp_path / "validation",
        work=tmp_path / "work",
        held_out=50,
        domain=tmp_path / "domain",
        pictures=2,
        held_out_pictures=2,
        leading=4,
        nimble=tmp_path / "nimble",
    )


def errors_of(count, generator):
    """Of hands that are off by chance; the 2D branch has said nothing."""
    gamma = generator.gamma
    space = SpaceErrors(
        gamma(2, 5, count), gamma(2, 5, count), generator.random((count, 2)),
        generator.random((count, 2)),
    )  # fmt: skip
    flat = {name: gamma(2, 3, (count, 21)) for name in ("projected", "detected", "from_detected")}
    return AutoencoderErrors(
        **flat,
        estimated=np.full((count, 21), np.nan),
        aligned=space,
        camera=space,
        rooted=gamma(2, 8, count),
    )


def test_shares_of_keypoints_are_those_of_the_metrics_in_pixels_of_the_papers_crop():
    errors = errors_of(9, np.random.default_rng(4))
    found = figures.keypoint_figures(errors, 112)
    assert set(found) == {"hands", "projected", "detected"} and found["hands"] == 9
    distance = 2 * errors.projected  # a crop of 224 is twice as wide
    assert found["projected"]["px"] == pytest.approx(distance.mean(), abs=1e-4)
    expected = pck(distance / 1000, figures.DISTANCES / 1000)
    np.testing.assert_allclose(found["projected"]["curve"], expected, atol=1e-4)


def test_a_summary_has_figures_and_their_scatter_and_nothing_that_is_not_known():
    errors = errors_of(8, np.random.default_rng(5))
    said = figures.summary(errors)
    assert said["pa_mpjpe_mm"] == pytest.approx(errors.aligned.keypoints.mean(), abs=1e-4)
    scatter = errors.rooted.std(ddof=1) / 8**0.5
    assert said["mpjpe_mm_se"] == pytest.approx(scatter, abs=1e-4)
    assert not any("estimated" in name for name in said)
    json.dumps(said)


def test_the_first_seed_of_everything_comes_before_the_second_of_what_decides():
    wanted = render_and_compare.ASKED.arms
    found = [(m, str(arm)) for m, arm in wanted(["table4", "table5", "fig4"], 9, [0, 2], True)]
    thrice = ("weak-leading", "self-found")
    first = [("hands", f"{name}-9-0") for name in
             ("location", "orientation", "photometric", "consistency", *thrice)]  # fmt: skip
    first += [
        ("keypoints", name) for name in ("orientation-9-0", "consistency-9-0", "estimator-18-0")
    ]
    second = [("hands", f"{name}-9-2") for name in
              ("location", "orientation", "photometric", *thrice)]  # fmt: skip
    assert found == [*first, *second, ("keypoints", "orientation-9-2")]
    every = [str(arm) for _, arm in wanted(["table4"], 9, [0, 2], False)]
    assert "consistency-9-2" in every


def test_arms_differ_in_what_their_recipes_say_alone(plan, monkeypatch):
    monkeypatch.setattr(
        recipes, "start_file", lambda plan, network, branch=None: plan.work / f"start {branch}"
    )
    monkeypatch.setattr(recipes, "pictures", lambda folder, count: {
        "dataset": "images", "folder": str(folder), "count": count})  # fmt: skip
    monkeypatch.setattr(recipes, "found_pictures", lambda plan, count: {
        "dataset": "images", "folder": str(plan.work), "count": count})  # fmt: skip
    configs = {name: recipes.arm_of(name, 100, 3).config(plan) for name in recipes.RECIPES}
    known = set(AutoencoderWeights.model_fields)
    for name, config in configs.items():
        assert set(config.losses) == known and config.run.seed == 3
        steps = [120, 80] if name == "estimator" else [60, 40]
        assert [stage.steps for stage in config.stages.values()] == steps
        assert config.network.encoder == ENCODER
        counted = {loss for loss, weight in config.losses.items() if weight}
        assert counted == set(recipes.RECIPES[name].losses)
    assert configs["photometric"].supervised.keypoints == "detected"
    weak = configs["weak-leading"].supervised
    assert weak.keypoints == "annotated" and not weak.confidence and not weak.of_bones
    assert_same_but_for(configs["weak-leading"], configs["self-found"], "found")
    bones = {name: configs[name].supervised.of_bones for name in doc.ZHAO_3}
    assert bones == {"zhao-leading": False, "zhao-leading-confidence": True,
                     "zhao-found-alike": False, "zhao-found": True}  # fmt: skip
    alike = configs["zhao-found-alike"].supervised
    assert alike.confidence and alike.keypoints == "detected"
    assert "estimator-200-3" in configs["consistency"].run.start
    assert configs["consistency"].run.start_parts == {
        "encoder": "encoder", "estimator": "estimator"}  # fmt: skip
    adapted = configs["adapted"]
    assert list(adapted.learned_from) == ["pictures"] and adapted.run.start_parts is None
    assert "orientation-100-3" in adapted.run.start


def assert_same_but_for(weak, other, source):
    """All but whom they believe is the same; both learn from as many pictures."""
    said = {"data": weak.data, "datasets": {}, "supervision": weak.supervision}
    assert other.model_copy(update=said) == weak
    assert list(other.learned_from) == [source] and list(weak.learned_from) == ["data"]
    assert other.datasets[source].count == weak.data.count == 4


def test_an_encoder_goes_on_where_it_was_killed(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(start, "STEPS", 4)
    monkeypatch.setattr(start, "EVERY", 2)
    monkeypatch.setattr(start, "BATCH", 3)
    sizes = (SIDE, 1.4)
    whole = start.started(ENCODER, folder, 7, sizes, tmp_path / "whole.safetensors")
    crop = start.Cropper.crop

    def killed(self, rows, seed):
        if seed[0] == 3:
            raise KeyboardInterrupt
        return crop(self, rows, seed)

    monkeypatch.setattr(start.Cropper, "crop", killed)
    out = tmp_path / "parts.safetensors"
    with pytest.raises(KeyboardInterrupt):
        start.started(ENCODER, folder, 7, sizes, out)
    assert not out.exists()
    monkeypatch.setattr(start.Cropper, "crop", crop)
    assert start.started(ENCODER, folder, 7, sizes, out).read_bytes() == whole.read_bytes()


def test_an_encoder_believes_the_detector_as_far_as_that_is_sure(folder):
    crops = start._crops(folder, 7, SIDE, 1.4).crop(range(4), (0,))
    seen = crops.keypoints / SIDE - 0.5
    assert start.keypoint_loss(seen, crops, SIDE) == 0
    off = seen.clone()
    off[:, 5] += 1
    assert start.keypoint_loss(off, crops, SIDE) > 0
    confidence = crops.confidence.clone()
    confidence[:, 5] = 0
    unsure = replace(crops, confidence=confidence)
    assert start.keypoint_loss(off, unsure, SIDE) == 0


def test_an_arm_begins_with_the_encoder_that_has_learned(plan, monkeypatch):
    monkeypatch.setattr(start, "STEPS", 2)
    monkeypatch.setattr(start, "BATCH", 2)
    network = AutoencoderConfig(encoder=ENCODER, input_size=SIDE)
    file = start.start_file(plan, network)
    begun = render_and_compare.load_network(file).parts["encoder"].state_dict()
    learned = start.load_file(plan.work / "encoder.safetensors")
    values = [learned[name] for name in start.encoder_names(ENCODER)]
    assert len(begun) == len(values) + 2  # of the layer behind the pooling
    for own, theirs in zip(begun.values(), values, strict=False):
        torch.testing.assert_close(own, theirs.to(own.dtype), rtol=1e-3, atol=1e-5)
    lock = WriterLock(plan.work / "start.arm")
    try:
        with raises("run.busy"):
            start.start_file(plan, network)
    finally:
        lock.release()


def test_hands_that_the_truth_helped_to_find_are_not_measured(plan, folder, tmp_path):
    samples = shutil.copytree(folder, tmp_path / "copied")
    (file,) = samples.glob("sightings-*/*/found.npy")
    found = np.load(file)
    found[COUNT - 1] = TOLD
    np.save(file, found)
    helped = replace(plan, samples=samples)
    rest = [number for number in range(helped.trained, COUNT) if number != UNSEEN]
    assert trainings.held_out(helped, SIDE, 1.4).samples.chosen.tolist() == rest[:-1]
    # Other benchmarks measure both.
    kept = {each.name: getattr(helped, each.name) for each in fields(trainings.Plan)}
    assert trainings.held_out(trainings.Plan(**kept), SIDE, 1.4).samples.chosen.tolist() == rest


def write(folder, part, arm, seed, **said):
    (folder / part).mkdir(parents=True, exist_ok=True)
    training = {"losses": {"location": 1.0, "pixel": 0.0}, "cpu_seconds": 60,
                "stages": {"together": {"losses": {"consistency": 2.0}}}}  # fmt: skip
    text = json.dumps({"arm": arm, "steps": 9, "seed": seed, "training": training, **said})
    (folder / part / f"{arm}-9-{seed}.json").write_text(text)


def said_of(mpjpe):
    errors = figures.summary(errors_of(5, np.random.default_rng(6)))
    return errors | {"pa_mpjpe_mm": mpjpe, "camera_mpjpe_mm": 10 * mpjpe}


def test_tables_have_means_over_seeds_beside_what_is_printed(tmp_path):
    for seed, mpjpe in enumerate((10.0, 12.0, 14.0)):
        write(tmp_path, "hands", "zhao-weak", seed, **said_of(mpjpe))
        write(tmp_path, "hands", "zhao-leading", seed, **said_of(mpjpe))
    write(tmp_path, "hands", "zhao-leading-confidence", 0, **said_of(20.0))
    rows = doc.confidence(tmp_path).splitlines()
    # A standard deviation of 2 mm over the root of three; the longer name is another arm's.
    assert "| WSL without confidence, here |" in rows[2] and "| 1.20 ± 0.12 |" in rows[2]
    assert rows[3].startswith("| WSL without confidence, the paper | 0.74 | 1.33 |")
    assert "| 2.00 |" in rows[4] and "n/a" in rows[6]
    assert "12.00 ± 1.15" in doc.joints_unaligned(tmp_path)
    assert "| `zhao-weak` | 9 | 0, 1, 2 | location 1, consistency 2 | 1.0" in doc.arms(tmp_path)
    for make in doc.BLOCKS.values():
        assert "|" in make()


def test_sets_of_keypoints_have_a_table_and_a_figure(tmp_path):
    errors = errors_of(7, np.random.default_rng(8))
    said = figures.keypoint_figures(replace(errors, estimated=errors.projected), 224)
    for arm in ("orientation", "estimator", "consistency"):
        write(tmp_path, "keypoints", arm, 0, **said)
    shown = doc.keypoints(tmp_path)
    share = (errors.detected < 5).mean()
    line = next(each for each in shown.splitlines() if "J^de" in each)
    assert f"| {errors.detected.mean():.2f} |" in line and f"| {share:.3f} |" in line
    figure.draw(tmp_path / "curves.png", tmp_path)
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_an_arm_is_trained_and_measured_once(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(start, "STEPS", 2)
    monkeypatch.setattr(render_and_compare, "TEXTURES", tmp_path / "textures.png")
    held_out = tmp_path / "validation"
    settings = SyntheticSettings(backgrounds="packages")
    render(held_out, SampleSource(seed=2000, count=2, size=96, settings=settings))
    options = ["data.seed=7", "data.size=96", "validation.count=2", "validation.size=96",
               "optimiser.batch_size=2", "optimiser.warmup_steps=1", "network.input_size=64",
               "network.hidden=[16]"]  # fmt: skip
    places = ["--work", tmp_path / "work", "--results", tmp_path / "results", "--samples", folder,
              "--validation", held_out]  # fmt: skip
    sizes = ["--count", COUNT, "--steps", 4, "--held-out", 9, "--seeds", 3]
    given = [*places, *sizes, *(word for option in options for word in ("--set", option))]
    words = ["table4", "fig4", "zhao6", "texture", "--nimble", *map(str, [nimble_folder(), *given])]
    render_and_compare.main(words)
    results = tmp_path / "results"
    made = sorted(str(file.relative_to(results)) for file in results.rglob("*.json"))
    names = ("consistency", "location", "orientation", "photometric")
    assert made == [f"hands/{name}-4-3.json" for name in names] + [
        *(f"joints/{name}-4-3.json" for name in ("zhao-nimble", "zhao-open")),
        *(f"keypoints/{name}-3.json" for name in ("consistency-4", "estimator-8", "orientation-4")),
        "mean/hands-0-0.json",
        "mean/joints-0-0.json",
    ]
    said = json.loads((results / "hands" / "photometric-4-3.json").read_text())
    assert said["hands"] == 2 and said["pa_mpjpe_mm"] > 0
    assert str(tmp_path) not in json.dumps(said)
    of_nimble = (results / "joints" / "zhao-nimble-4-3.json").read_text()
    assert json.loads(of_nimble)["training"]["network"]["hand_model"] == "nimble"
    assert str(nimble_folder()) not in of_nimble and "pa_mpvpe_mm" not in json.loads(of_nimble)
    of_branches = json.loads((results / "keypoints" / "estimator-8-3.json").read_text())
    assert of_branches["estimated"]["px"] > 0
    picture = cv2.imread(str(tmp_path / "textures.png"))
    assert picture.shape == (4 * SIDE, 2 * SIDE, 3) and picture.std() > 10
    shown = (doc.losses, doc.keypoints, doc.models)
    assert all("n/a" not in table(results) for table in shown)
    monkeypatch.setattr(trainings, "train_hands", lambda words: pytest.fail(f"trained {words}"))
    monkeypatch.setitem(render_and_compare.MEASURES, "hands", lambda *given: pytest.fail("again"))
    render_and_compare.main(words)
