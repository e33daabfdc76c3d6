"""Plots: written where there is something to draw, of the figures and nothing else."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from datasets.annotations import Annotation
from datasets.evaluation import evaluate, open_estimates, write_plots
from datasets.evaluation import plots as module
from fitter import metrics
from fitter.conventions import KEYPOINT_NAMES
from tests.support.annotated import InMemoryImages, K, annotated_hand
from tests.support.errors import raises
from tests.support.scored_stores import ok, row_of, write_store

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(0, 0.04, (4, 21, 3)) + [0, 0, 0.6]
FOUND = (TRUTH + RNG.normal(0, 0.01, TRUTH.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    rows = {f"{i}.jpg": ok(row_of(hand)) for i, hand in enumerate(FOUND)}
    store = write_store(tmp_path_factory.mktemp("store") / "r.zarr", rows)
    images = InMemoryImages(
        [Annotation(f"{i}.jpg", K, (annotated_hand(hand),)) for i, hand in enumerate(TRUTH)]
    )
    return evaluate(open_estimates(store, images), images)


def with_overlap(evaluation, iterations, overlap):
    figures = evaluation.whole.figures | {"mask_iou": overlap}
    whole = replace(evaluation.whole, figures=figures)
    return replace(evaluation, whole=whole, iterations=iterations)


def drawn(plot, evaluations):
    axes = Figure().add_subplot()
    assert plot(axes, evaluations)
    return axes


def test_what_there_are_figures_for_is_written(tmp_path, evaluation):
    written = write_plots([evaluation, evaluation], tmp_path / "plots")
    names = {file.name for file in written}
    assert names == {"pck_joints.png", "fraction_2d.png", "error_by_joint.png"}
    assert {file.name for file in (tmp_path / "plots").iterdir()} == names
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in written)


def test_curves_are_the_shares_within_each_distance(evaluation):
    (line,) = drawn(module._pck_joints, [evaluation]).lines
    errors = metrics.point_errors(metrics.procrustes_aligned(FOUND, TRUTH), TRUTH)
    np.testing.assert_allclose(line.get_xdata(), np.linspace(0, 50, 100))
    np.testing.assert_allclose(line.get_ydata(), metrics.pck(errors))
    assert f"{evaluation.whole.figures['auc_j']:.3f}" in line.get_label()
    (line,) = drawn(module._fraction_2d, [evaluation]).lines
    assert f"{evaluation.whole.figures['kp2d_px']:.2f} px" in line.get_label()


def test_bars_are_the_errors_of_the_joints(evaluation):
    axes = drawn(module._error_by_joint, [evaluation, evaluation])
    assert len(axes.patches) == 2 * len(KEYPOINT_NAMES)
    heights = [bar.get_height() for bar in axes.patches[:21]]
    np.testing.assert_allclose(heights, list(evaluation.by_joint.values()))


def test_overlap_grows_along_the_budgets(tmp_path, evaluation):
    budgets = [with_overlap(evaluation, n, iou) for n, iou in ((10, 0.73), (0, 0.67), (3, 0.7))]
    (line,) = drawn(module._iou_by_iteration, budgets).lines
    np.testing.assert_array_equal(line.get_xydata(), [[0, 0.67], [3, 0.7], [10, 0.73]])
    files = write_plots(budgets, tmp_path)
    assert tmp_path / "iou_by_iteration.png" in files
    assert tmp_path / "iou_by_iteration.png" not in write_plots(budgets[:1], tmp_path)


def test_vertices_have_their_curve(evaluation):
    curve = np.linspace(0, 1, len(metrics.AUC_THRESHOLDS))
    of_meshes = replace(evaluation, curves=evaluation.curves._replace(vertices=curve))
    (line,) = drawn(module._pck_vertices, [evaluation, of_meshes]).lines
    np.testing.assert_array_equal(line.get_ydata(), curve)


def test_a_missing_matplotlib_is_said(tmp_path, evaluation, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with raises("plots.no_matplotlib", file="--plots"):
        write_plots([evaluation], tmp_path / "plots")
    assert not (tmp_path / "plots").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path, evaluation):
    (tmp_path / "plots").write_text("a file")
    with raises("output.cannot_write", file=tmp_path / "plots"):
        write_plots([evaluation], tmp_path / "plots")
