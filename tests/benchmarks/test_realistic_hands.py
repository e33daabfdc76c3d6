"""The experiments of RealisticHands measure what they say, their tables say what was measured."""

import json
from dataclasses import replace

import arms as trainings
import doc_realistic_hands as doc
import figure_realistic_hands as figure
import numpy as np
import pytest
import realistic_hands
import realistic_hands_arms as arms
import realistic_hands_figures as figures
import realistic_hands_masks as masks
import torch
from measuring import BenchmarkError

from datasets.synthetic import SyntheticSettings
from fitter.metrics import auc, pck
from fitter.system.lock import WriterLock
from init_net.records import RegressedHands
from init_net.samples.crop_samples import Cropper
from init_net.samples.shards import SampleSource, ShardedSamples
from tests.support.rendered_samples import render

COUNT, UNSEEN, SIDE = 10, 8, 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("samples") / "train"
    source = SampleSource(seed=7, count=COUNT, size=96)
    render(path, source, unseen=(UNSEEN,))
    return path


@pytest.fixture(scope="module")
def plan(folder, tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    return arms.HandsPlan(
        samples=folder,
        count=COUNT,
        validation=folder,
        work=work,
        held_out=50,
        refined=2,
        pairs=folder,
        pair_count=2,
    )


@pytest.fixture(scope="module")
def cropper(folder):
    return Cropper(ShardedSamples(folder), SIDE, 1.4, None)


def truth_of(cropper):
    """A network that knows the crops it is asked about, and tells what it was shown."""
    batches, shown = list(figures.batches(cropper)), []

    def say(inputs):
        shown.append(inputs)
        return batches[len(shown) - 1].hands

    return say, shown


def test_the_true_hands_are_without_error(cropper):
    say, _ = truth_of(cropper)
    found = figures.hand_figures(say, cropper, True)
    assert found.mpvpe_mm.max() < 1e-3 and found.rooted_mm.max() < 1e-3
    assert (found.f_5 == 1).all() and (found.f_15 == 1).all()
    assert (found.aligned_curve[:, 1:] == 1).all() and (found.rooted_curve[:, 1:] == 1).all()
    # A camera without perspective cannot see every keypoint where it is.
    assert 0 < found.keypoints_2d.mean() < 3


def test_an_alignment_forgives_a_turned_hand_and_nothing_else_does(cropper):
    say, _ = truth_of(cropper)
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])

    def turned(inputs) -> RegressedHands:
        hands = say(inputs)
        rotations = hands.rotations.clone()
        rotations[:, 0] = turn @ rotations[:, 0]
        return replace(hands, rotations=rotations)

    found = figures.hand_figures(turned, cropper, True)
    assert found.mpvpe_mm.max() < 1e-3 and (found.f_5 == 1).all()
    assert found.rooted_mm.min() > 20 and found.keypoints_2d.min() > 5
    assert (found.rooted_curve[:, -1] < 0.9).all() and (found.aligned_curve[:, -1] == 1).all()


def test_no_keypoints_are_empty_heatmaps_in_the_same_crop(cropper):
    say, with_keypoints = truth_of(cropper)
    figures.hand_figures(say, cropper, True)
    say, without = truth_of(cropper)
    figures.hand_figures(say, cropper, False)
    for seen, blind in zip(with_keypoints, without, strict=True):
        assert torch.equal(seen.image, blind.image)
        assert (blind.confidence == 0).all() and seen.confidence.sum() > 0


def test_curves_and_areas_are_those_of_the_metrics():
    errors = np.random.default_rng(2).gamma(2.0, 0.01, (7, 40))
    errors[0, 0] = 0.05  # on the last threshold
    found = figures.curves(errors)
    for row, own in zip(errors, found, strict=True):
        np.testing.assert_allclose(own, pck(row, figures.THRESHOLDS))
        assert figures.area(own) == pytest.approx(auc(row, figures.THRESHOLDS))
    np.testing.assert_allclose(found.mean(0), pck(errors, figures.THRESHOLDS))


def test_a_summary_has_means_and_standard_errors_over_the_hands():
    generator = np.random.default_rng(3)
    true = generator.normal(0, 0.04, (5, 30, 3))
    moved = true + generator.normal(0, 0.01, true.shape)
    one = figures.HandFigures.of(moved[:2], true[:2], np.ones(2))
    two = figures.HandFigures.of(moved[2:], true[2:], np.zeros(3))
    whole = figures.HandFigures.together([one, two])
    said = whole.summary()
    assert said["hands"] == 5 and said["keypoints_2d"] == 0.4
    assert said["mpvpe_mm"] == pytest.approx(whole.mpvpe_mm.mean(), abs=1e-4)
    assert said["mpvpe_mm_se"] == pytest.approx(whole.mpvpe_mm.std(ddof=1) / 5**0.5, abs=1e-4)
    assert said["rooted_curve_auc"] == pytest.approx(
        figures.area(whole.rooted_curve.mean(0)), abs=1e-4
    )
    json.dumps(said)


def test_skin_is_what_the_rule_of_kolkur_says():
    # Light skin; dark skin, whose red is too low; a hue of skin with too little saturation, which
    # the chroma lets pass; grey; blue; red of a hue that is no skin's and a chroma that is none.
    colours = [[224, 172, 140], [80, 50, 35], [230, 200, 180], [120, 120, 120], [40, 60, 200],
               [230, 30, 90]]  # fmt: skip
    found = masks.kolkur_mask(np.array([colours], np.uint8))[0]
    assert found.tolist() == [True, False, True, False, False, False]


def test_a_decoder_that_is_right_has_an_iou_of_one(cropper):
    batches = iter([batch for batch in figures.batches(cropper) for _ in (True, False)])
    found = masks.mask_figures(lambda inputs: next(batches).mask - 0.5, cropper)
    assert list(found) == ["hsv", "kolkur", "decoder", "decoder, no keypoints"]
    for name in ("decoder", "decoder, no keypoints"):
        assert found[name]["mask_iou"] == 1 and found[name]["pixel_accuracy"] == 1
    assert 0 <= found["hsv"]["mask_iou"] < 1 and found["hsv"]["mask_iou_se"] > 0


def test_stages_have_the_proportions_of_the_paper():
    names = ["image", "keypoint", "fusion", "finalize", "segmentation"]
    assert arms.stage_steps(names, 2500) == [600, 500, 500, 900, 500]
    assert sum(arms.stage_steps(names[:4], 101)) == 101
    assert arms.stage_steps([], 101) == []
    with pytest.raises(BenchmarkError, match="stereo"):
        arms.stage_steps([*names, "stereo"], 9)


def test_nothing_that_was_learned_from_is_measured(plan):
    crops = trainings.held_out(plan, SIDE, 1.4)
    # Seven of ten are learned from; of the others the detector missed one.
    assert crops.samples.chosen.tolist() == [7, 9] and crops.variation is None
    assert len(trainings.held_out(replace(plan, held_out=1), SIDE, 1.4).samples) == 1
    with pytest.raises(BenchmarkError, match="behind the first 7"):
        trainings.held_out(replace(plan, held_out=0), SIDE, 1.4)


def test_the_first_seed_of_everything_comes_before_the_second_of_anything():
    found = [
        (measure, str(arm))
        for measure, arm in realistic_hands.wanted(["table2", "table3", "fig8"], 9, [0, 2])
    ]
    assert found == [
        ("hands", "single-stage-9-0"), ("hands", "multi-stage-9-0"), ("masks", "multi-stage-9-0"),
        ("hands", "single-stage-9-2"), ("hands", "multi-stage-9-2"), ("masks", "multi-stage-9-2"),
    ]  # fmt: skip


def write(folder, part, arm, seed, steps=100, **said):
    (folder / part).mkdir(parents=True, exist_ok=True)
    text = json.dumps({"arm": arm, "steps": steps, "seed": seed, **said})
    (folder / part / f"{arm}-{steps}-{seed}.json").write_text(text)


def said_of(mpvpe):
    curve = np.linspace(0, 1, 51).tolist()
    return {"mpvpe_mm": mpvpe, "f_5": 0.5, "f_15": 0.9, "rooted_mm": 20.0, "keypoints_2d": 4.0,
            "aligned_curve": curve, "rooted_curve": curve, "aligned_curve_auc": 0.5,
            "rooted_curve_auc": 0.5}  # fmt: skip


def test_a_table_has_means_over_seeds_beside_what_is_printed(tmp_path):
    for seed, mpvpe in enumerate((10.0, 12.0, 14.0)):
        write(
            tmp_path, "hands", doc.MULTI, seed, **{"with": said_of(mpvpe), "without": said_of(20.0)}
        )
    write(tmp_path, "hands", doc.SINGLE, 1, **{"with": said_of(15.0), "without": said_of(20.0)})
    rows = {line.split(" | ")[0].lstrip("| "): line for line in doc.training(tmp_path).splitlines()}
    # A standard deviation of 2 mm over the root of three.
    assert "2.00 ± 0.00 | 1.20 ± 0.12 |" in rows["multi-stage, 100 steps"]
    assert "2.00 | 1.50 |" in rows["single-stage, 100 steps"]  # one seed has no scatter
    assert "0.85 | 0.78 | 0.45 | 0.66 | 0.96 | 0.97 |" in rows["multi-stage, the paper"]
    # What was trained for longer has a row of its own, and the other tables are of it.
    write(tmp_path, "hands", doc.MULTI, 0, 2000, **{"with": said_of(8.0), "without": said_of(9.0)})
    assert "| multi-stage, 2,000 steps | 0.90 | 0.80 |" in doc.training(tmp_path)
    assert doc.lengths("hands", doc.MULTI, tmp_path) == [100, 2000]
    assert [each["seed"] for each in doc.results("hands", doc.MULTI, tmp_path)] == [0]
    for make in (doc.refinement, doc.masks, doc.stereo, doc.sizes):
        assert "n/a" in make(tmp_path)
    figure.draw(tmp_path / "curves.png", tmp_path)
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_masks_and_refinement_have_their_tables(tmp_path):
    for seed, iou in ((0, 0.9), (1, 0.94)):
        kinds = ("hsv", "kolkur", "decoder", "decoder, no keypoints")
        of_masks = {kind: {"mask_iou": iou, "pixel_accuracy": 0.97, "mask_iou_se": 0.01,
                           "pixel_accuracy_se": 0.001} for kind in kinds}  # fmt: skip
        write(tmp_path, "masks", doc.MULTI, seed, masks=of_masks)
        gains = {str(k): iou - 0.2 + 0.01 * k for k in doc.ITERATIONS}
        write(tmp_path, "refinement", doc.MULTI, seed, network={"iou": gains}, truth={"iou": gains})
    shown = doc.masks(tmp_path)
    ours = "| ours, decoder of the fifth stage | n/a | n/a | 0.920 ± 0.020 | 0.970 ± 0.000"
    assert f"{ours} | 0.95 | 0.99 |" in shown
    assert "| HSV | n/a | n/a | 0.900 ± 0.010 | 0.970 ± 0.001 | 0.18 | 0.72 |" in shown
    assert "| CNN | n/a | n/a | not rebuilt | not rebuilt | 0.93 | 0.99 |" in shown
    first, gain = "0.720 ± 0.020", "0.150 ± 0.000"
    line = next(
        each for each in doc.refinement(tmp_path).splitlines() if "own start and mask" in each
    )
    assert first in line and gain in line
    assert "0.071" in doc.refinement(tmp_path)  # what the paper gains


PAIRS = """
network:
  kind: stereo
  mono: {kind: handnet, input_size: 64, hidden: [16], decoder_channels: [8, 8, 8, 8, 8]}
pairs: {size: 64}
stages:
  SyntheticAdaption: {epochs: 1, trains: [image_front], without: [stereo]}
  Stereo: {epochs: 1, trains: [stereo]}
"""


def write_stages(folder):
    """A preset of all five stages of a network that is small."""
    text = """
network: {kind: handnet, input_size: 64, hidden: [16], decoder_channels: [8, 8, 8, 8, 8]}
stages:
  image:
    steps: 1
    trains: [image_front, tail, head]
    without: [keypoint_front, fusion, segmentation]
  keypoint: {steps: 1, trains: [keypoint_front], without: [image_front, fusion, segmentation]}
  fusion: {epochs: 3, trains: [fusion], without: [segmentation], learning_rate: 1.0e-4}
  finalize: {steps: 1, without: [segmentation], schedule: linear, decay_epochs: 1}
  segmentation: {steps: 1, trains: [segmentation], without: [head]}
"""
    path = folder / "stages.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def arguments(folder, tmp_path, monkeypatch):
    """Of a run of everything in miniature."""
    stages = write_stages(tmp_path)
    single = tmp_path / "single.yaml"
    single.write_text("network: {kind: handnet, input_size: 64, hidden: [16]}\n")
    pairs = tmp_path / "pairs.yaml"
    pairs.write_text(PAIRS)
    names = (doc.MULTI, doc.SINGLE, realistic_hands.STEREO)
    presets = dict(zip(names, map(str, (stages, single, pairs)), strict=True))
    monkeypatch.setattr(realistic_hands, "PRESETS", presets)
    held_out = tmp_path / "validation"
    settings = SyntheticSettings(backgrounds="packages")
    render(held_out, SampleSource(seed=2000, count=2, size=96, settings=settings))
    options = ["data.seed=7", "data.size=96", "validation.count=2", "validation.size=96",
               "optimiser.batch_size=2", "optimiser.warmup_steps=1"]  # fmt: skip
    sizes = [
        "--count",
        COUNT,
        "--steps",
        10,
        "--held-out",
        9,
        "--refined",
        2,
        "--pair-count",
        7,
    ]
    places = ["--work", tmp_path / "work", "--results", tmp_path / "results", "--samples", folder,
              "--validation", held_out, "--pairs", tmp_path / "pairs"]  # fmt: skip
    given = [*places, *sizes, *(word for option in options for word in ("--set", option))]
    return [str(word) for word in given]


def test_an_arm_is_trained_and_measured_once(arguments, tmp_path, monkeypatch):
    parts = ["table2", "table3", "fig9", "table4"]
    realistic_hands.main([*parts, *arguments, "--seeds", "3"])
    results = tmp_path / "results"
    made = sorted(str(file.relative_to(results)) for file in results.rglob("*.json"))
    assert made == [
        "hands/multi-stage-10-3.json", "hands/single-stage-10-3.json",
        "masks/multi-stage-10-3.json", "refinement/multi-stage-10-3.json",
        "stereo/stereo-10-3.json",
    ]  # fmt: skip
    said = json.loads((results / "hands" / "multi-stage-10-3.json").read_text())
    assert said["with"]["hands"] == 2 and said["with"]["mpvpe_mm"] > 0
    assert said["training"]["cpu_seconds"] > 0 and said["training"]["samples"]["trained_on"] == 7
    steps = [stage["steps"] for stage in said["training"]["stages"].values()]
    assert steps == [2, 2, 2, 4, 2]
    assert all("learning_rate" not in stage for stage in said["training"]["stages"].values())
    assert str(tmp_path) not in json.dumps(said)
    pair = json.loads((results / "stereo" / "stereo-10-3.json").read_text())
    assert pair["hands"] == 2 and pair["training"]["samples"] == {"pairs": 7}
    assert pair["mono"]["mpvpe_mm"] - pair["stereo"]["mpvpe_mm"] == pytest.approx(
        pair["gain_mm"], abs=1e-3
    )
    tables = [make(results) for make in (doc.training, doc.curves, doc.refinement, doc.stereo)]
    assert all("n/a" not in table for table in tables) and "2 image + 2" in doc.arms(results)
    # What is there is neither trained nor measured again, what is gone is measured alone.
    monkeypatch.setattr(trainings, "train_hands", lambda words: pytest.fail(f"trained {words}"))
    before = (results / "masks" / "multi-stage-10-3.json").read_text()
    (results / "masks" / "multi-stage-10-3.json").unlink()
    monkeypatch.setitem(realistic_hands.MEASURES, "hands", lambda *given: pytest.fail("measured"))
    realistic_hands.main(["table2", "table3", *arguments, "--seeds", "3"])
    assert (results / "masks" / "multi-stage-10-3.json").read_text() == before


def test_an_arm_that_somebody_trains_is_passed_over(plan, tmp_path, capsys):
    (tmp_path / "work").mkdir()
    lock = WriterLock(tmp_path / "work" / "single-stage-7-0.arm")
    try:
        here = replace(plan, work=tmp_path / "work")
        arm = arms.Arm(doc.SINGLE, "nothing.yaml", 7, 0)
        file = tmp_path / "results" / "hands.json"
        assert not trainings.measured(file, arm, here, lambda weights: pytest.fail("measured"))
        assert not file.exists()
    finally:
        lock.release()
    assert "single-stage-7-0: another process" in capsys.readouterr().err


def test_a_training_that_fails_is_told(arguments, tmp_path):
    words = [*arguments, "--set", "data.seed=8"]  # other samples than lie there
    with pytest.raises(BenchmarkError, match="train-hands ended with 2"):
        realistic_hands.main(["table2", *words])
    assert not list((tmp_path / "results").rglob("*.json"))
