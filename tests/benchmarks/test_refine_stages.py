"""The runs of the refinement benchmark: stages cut short, energies switched off, goals."""

import pytest
import refine

from fitter.config.options import load_config


def staged(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(
        """
refine:
  stages:
    one: {solver: adam, iterations: 4, free: [pose], rates: {pose: 0.1},
          energies: {keypoints: 1.0, limits: 2.0}}
    two: {solver: sgd, iterations: 6, free: [shape], rates: {shape: 0.1},
          energies: {silhouette_iou: 1.0}}
"""
    )
    return load_config(path).refine.stages


@pytest.mark.parametrize(
    ("iterations", "expected"),
    [
        (0, {}),
        (3, {"one": 3}),
        (4, {"one": 4}),
        (7, {"one": 4, "two": 3}),
        (99, {"one": 4, "two": 6}),
    ],
)
def test_stages_are_cut_off_after_a_number_of_iterations(tmp_path, iterations, expected):
    kept = refine.limited(staged(tmp_path), iterations)
    assert {name: stage.iterations for name, stage in kept.items()} == expected


def test_an_energy_can_be_switched_off(tmp_path):
    stages = staged(tmp_path)
    assert refine.without(stages, "limits")["one"].energies == {"keypoints": 1.0}
    assert list(refine.without(stages, "limits")) == ["one", "two"]
    assert list(refine.without(stages, "silhouette_iou")) == ["one"]


def row(iterations, variant="", **means):
    figures = dict.fromkeys(refine.FIGURES, 1.0) | means
    return refine.Row("p", variant, iterations, figures, figures, 0, 0, refine.Seconds(1.0, 1.0))


def test_goals_compare_the_last_iteration_with_the_start():
    start = row(0, iou=0.7, pa_vertex_mm=8.0, edge_mm=0.30)
    middle = row(10, iou=0.99, pa_vertex_mm=1.0, edge_mm=0.1)
    end = row(40, iou=0.8, pa_vertex_mm=6.0, edge_mm=0.345)
    ablated = row(40, "limits", iou=0.99, pa_vertex_mm=1.0, edge_mm=0.1)
    (reached,) = refine.goals([start, middle, end, ablated]).values()
    assert reached["iou_gain"] == pytest.approx(0.1) and not reached["iou_enough"]
    assert reached["pa_vertex_fall"] == pytest.approx(0.25) and reached["pa_vertex_enough"]
    assert reached["edge_rise"] == pytest.approx(0.15) and not reached["edge_enough"]


def test_a_high_iou_is_enough_without_a_gain():
    (reached,) = refine.goals([row(0, iou=0.9), row(5, iou=0.93)]).values()
    assert reached["iou_enough"]
    assert refine.goals([row(5)]) == {}
