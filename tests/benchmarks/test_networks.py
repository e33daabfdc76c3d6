"""The benchmark of the networks runs, and measures what it says."""

import json

import networks
import networks_figures
import networks_masks
import networks_speed
import numpy as np
import pytest
import torch

from datasets.synthetic import SyntheticSettings
from fitter.config.options import load_config
from fitter.metrics import auc, fscore, mask_iou, pa_mpjpe
from init_net.model_card import WeightsInfo
from init_net.networks.build import build_network
from init_net.networks.config import HandNetConfig, LifterConfig, SegmentationConfig
from init_net.samples.crop_samples import Cropper
from init_net.samples.shards import SampleSource, ShardedSamples
from init_net.training.config import load_train_config
from init_net.training.evaluation import HandErrors, crop_figures, standard_error, weighted_iou
from init_net.weights import load_network, save_weights
from tests.support.rendered_samples import render

COUNT, UNSEEN = 6, 4
NETWORKS = {
    "lifter": LifterConfig(width=16, blocks=1),
    "handnet": HandNetConfig(encoder="mobilenetv3_small_050", input_size=32, hidden=[16]),
    "segmentation": SegmentationConfig(
        encoder="tu-mobilenetv3_small_050", input_size=32, decoder_channels=[8] * 5
    ),
}
FITS = (
    "keypoint fit", "fit from lifter", "fit from HandNet", "fit from both networks",
    "fit from the best of all",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Samples whose hands are seen as they are, one of them not at all."""
    path = tmp_path_factory.mktemp("samples") / "validation"
    source = SampleSource(seed=7, count=COUNT, size=112, settings=SyntheticSettings.unoccluded())
    render(path, source, unseen=(UNSEEN,))
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights")
    for kind, config in NETWORKS.items():
        info = WeightsInfo(config, "train-hands", 5, {}, {})
        save_weights(path / f"{kind}.safetensors", build_network(config, 1).eval(), info)
    return path


@pytest.fixture(scope="module")
def written(folder, weights, tmp_path_factory):
    file = tmp_path_factory.mktemp("figures") / "networks.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks_speed, "ENGINES", ((32, 1), (48, 1)))
        words = [folder, "--weights", weights, "--images", 2, "--repeats", 1, "--json", file]
        networks.main([str(word) for word in words])
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def bench():
    return networks_figures.Bench(load_config(None, []), {}, torch.device("cpu"))


def test_every_initialisation_and_every_fit_has_a_row(written):
    rows = {row["name"]: row for row in written["validation"]}
    assert list(rows) == [
        "true hand", "detector's x, y and depth", "keypoint initialisation", "keypoint fit",
        "lifter", "HandNet", "HandNet, no keypoints", "fit from lifter", "fit from HandNet",
        "fit from both networks", "fit from the best of all", "HandNet, no keypoints, all",
    ]  # fmt: skip
    assert written["found"] == COUNT - 1 and written["steps"] == dict.fromkeys(NETWORKS, 5)
    assert {name: row["hands"] for name, row in rows.items()} == {
        name: COUNT if name.endswith(", all") else COUNT - 1 for name in rows
    }
    assert all(row["failed"] == 0 for row in rows.values())
    true = rows["true hand"]["figures"]
    assert true["pa_mpjpe_mm"] < 1e-6 and true["pa_mpvpe_mm"] < 1e-6 and true["f_5"] == 1
    assert true["error_2d_px"] < 1e-3 and true["mask_iou"] > 0.9
    # The detector has seen the model's own keypoints exactly, in two dimensions.
    seen = rows["detector's x, y and depth"]["figures"]
    assert seen["error_2d_px"] < 0.01 < seen["pa_mpjpe_mm"] < 15 and np.isnan(seen["mask_iou"])
    first = rows["keypoint initialisation"]["figures"]
    for name in FITS:
        fit = rows[name]["figures"]
        # Networks that have learned nothing are a prior that pulls.
        assert fit["error_2d_px"] < 0.9 * first["error_2d_px"] and fit["mask_iou"] > 0.7, name
    assert rows["keypoint fit"]["figures"]["pa_mpjpe_mm"] < first["pa_mpjpe_mm"]


def test_handnet_is_measured_as_its_training_measures_it(written, folder, weights):
    network = load_network(weights / "handnet.safetensors")
    expected = crop_figures(network, Cropper(ShardedSamples(folder), 32, 1.4, None), False)
    found = {row["name"]: row["figures"] for row in written["validation"]}
    found = found["HandNet, no keypoints, all"]
    for name in ("pa_mpjpe_mm", "pa_mpvpe_mm", "f_15"):
        assert found[name] == pytest.approx(expected[name], rel=0.02), name
    # There pixels are those of the network's crop.
    assert found["error_2d_px"] / 128 == pytest.approx(expected["keypoints_2d_px"] / 32, rel=0.05)


def test_what_handnet_should_say_is_the_true_hand(bench, folder):
    samples = ShardedSamples(folder)
    index = networks_figures.found_alone(samples)
    batch = bench.sample_batch(samples, index)
    truth = Cropper(samples, bench.side, 1.4, None).crop(index, (0,))
    said, true = bench.of_regressed(truth.hands), bench.of_params(batch.hands, batch)
    assert pa_mpjpe(said.keypoints.numpy(), true.keypoints.numpy()).max() < 1e-5
    assert pa_mpjpe(said.vertices.numpy(), true.vertices.numpy()).max() < 1e-5
    # A camera without perspective.
    assert (said.positions - true.positions).norm(dim=-1).mean() < 0.03 * bench.side
    assert mask_iou(said.silhouettes, true.silhouettes).mean() > 0.85
    assert mask_iou(np.roll(said.silhouettes, 12, axis=2), true.silhouettes).mean() < 0.8


def test_a_hand_without_a_fit_counts_as_failed_alone(bench, folder, monkeypatch):
    samples = ShardedSamples(folder)
    index = networks_figures.found_alone(samples)
    fitted = networks_figures.Bench.fitted

    def first_one_lost(self, batch, *given):
        lost = torch.arange(len(batch.crops)) == 0
        return fitted(self, batch, *given).map(
            lambda values: values.masked_fill(lost.view(-1, *[1] * (values.ndim - 1)), torch.nan)
        )

    whole = networks_figures.initialisation_rows(bench, samples, index[1:])
    monkeypatch.setattr(networks_figures.Bench, "fitted", first_one_lost)
    rows = {row.name: row for row in networks_figures.initialisation_rows(bench, samples, index)}
    (others,) = (row for row in whole if row.name == "keypoint fit")
    assert (rows["keypoint initialisation"].failed, rows["keypoint initialisation"].hands) == (
        0,
        COUNT - 1,
    )
    assert (rows["keypoint fit"].failed, rows["keypoint fit"].hands) == (1, COUNT - 2)
    assert rows["keypoint fit"].figures == pytest.approx(others.figures, rel=1e-3)
    masks = {row.name: row.figures for row in networks_masks.mask_rows(bench, samples, index)}
    assert masks["GrabCut"]["rejected"] >= 1 / len(index)


def test_every_kind_of_mask_has_a_row(written):
    rows = {row["name"]: row["figures"] for row in written["masks"]}
    assert list(rows) == [
        "network", "network, no keypoints", "GrabCut", "silhouette of the keypoint fit",
        *(f"HSV, {name}" for name in networks_masks.SKIN_RANGES),
    ]  # fmt: skip
    for name, figures in rows.items():
        for key in ("mask_iou", "believed_iou", "pixel_accuracy", "mask_iou_median"):
            assert 0 <= figures[key] <= 1, (name, key)
    assert rows["GrabCut"]["mask_iou"] > 0.6 and rows["GrabCut"]["rejected"] < 0.5
    assert rows["network"]["mask_iou"] < rows["GrabCut"]["mask_iou"]  # it has learned nothing
    assert np.isnan(rows["HSV, Sobottka & Pitas"]["rejected"])


def test_every_speed_has_a_row(written):
    rows = written["speed"]
    data = ("32 px, supersampling 1", "48 px, supersampling 1",
            "48 px, supersampling 1, and the detector")  # fmt: skip
    assert [(row["what"], row["name"], row["batch"]) for row in rows] == [
        *(("data", name, 2) for name in data),
        *(("training", kind, load_train_config(kind).optimiser.batch_size) for kind in NETWORKS),
        *(("inference", kind, size) for kind in NETWORKS for size in (1, 16, 64)),
    ]  # fmt: skip
    assert all(0 < row["seconds"]["wall"] < 60 and row["device"] == "cpu" for row in rows)


def test_skin_is_told_by_its_hue_saturation_and_value():
    skin = networks_masks.skin_mask
    # Hue 20, 40, 340 and 120 degrees of saturation 1/2; 20 degrees of 0.9; 20 degrees and dark.
    colours = [[200, 133, 100], [200, 167, 100], [200, 100, 133], [100, 200, 100], [200, 80, 20],
               [80, 53, 40]]  # fmt: skip
    pixels = np.array([colours], np.uint8)
    assert skin(pixels, "Sobottka & Pitas")[0].tolist() == [True, True, False, False, False, True]
    expected = [True, False, True, False, False, False]
    assert skin(pixels, "Tsekeridou & Pitas")[0].tolist() == expected


def test_pixels_count_by_their_weight():
    generator = np.random.default_rng(0)
    found, true = generator.random((2, 5, 8, 8)) < 0.4
    np.testing.assert_allclose(
        weighted_iou(found, true, np.full(true.shape, 0.3)), mask_iou(found, true)
    )
    half = np.broadcast_to(np.arange(8) < 4, true.shape)
    np.testing.assert_allclose(
        weighted_iou(found, true, half.astype(float)), mask_iou(found[..., :4], true[..., :4])
    )
    assert (weighted_iou(found, true, np.zeros(true.shape)) == 1).all()


def test_errors_of_batches_are_those_of_all_hands():
    generator = np.random.default_rng(1)
    joints, vertices = generator.normal(0, 0.04, (9, 21, 3)), generator.normal(0, 0.04, (9, 50, 3))
    found = [torch.from_numpy(a + generator.normal(0, 0.01, a.shape)) for a in (joints, vertices)]
    true = [torch.from_numpy(joints), torch.from_numpy(vertices)]

    def part(rows: slice) -> HandErrors:
        return HandErrors.of(found[0][rows], true[0][rows], found[1][rows], true[1][rows])

    together = HandErrors.together([part(slice(4)), part(slice(4, 9))])
    figures, spread = together.figures(), together.standard_errors()
    each = 1000 * pa_mpjpe(found[0].numpy(), joints)
    assert figures["pa_mpjpe_mm"] == pytest.approx(each.mean())
    assert spread["pa_mpjpe_mm"] == pytest.approx(each.std(ddof=1) / 3)
    meshes = pa_mpjpe(found[1].numpy(), vertices)
    assert figures["pa_mpvpe_mm"] == pytest.approx(1000 * meshes.mean())
    assert figures["auc"] == pytest.approx(auc(together.keypoints / 1000))
    # Scale and place do not count.
    moved = HandErrors.of(3 * found[0] + 1, true[0], 3 * found[1] + 1, true[1])
    np.testing.assert_allclose(moved.keypoints, together.keypoints)
    np.testing.assert_allclose(moved.f_scores, together.f_scores)
    assert not np.allclose(fscore(found[1].numpy(), vertices), together.f_scores)
    one = together[np.arange(9) == 3]
    assert one.figures()["pa_mpjpe_mm"] == pytest.approx(each[3])
    assert np.isnan(standard_error(each[3:4]))
