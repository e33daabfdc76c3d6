"""What `benchmarks/appearance.py` measures with: coverings, folds, collisions, and its verdict."""

from __future__ import annotations

from dataclasses import replace

import appearance
import appearance_data
import appearance_mesh
import numpy as np
import pytest
import torch
import trimesh
from appearance_data import SIZE, Scenes
from measuring import Seconds

from fitter.config.options import load_config
from fitter.config.stages import StageConfig
from tests.support.nimble_files import nimble_folder


def scenes() -> Scenes:
    mask = np.zeros((2, SIZE, SIZE), np.float32)
    mask[:, 60:200, 60:200] = 1
    grey = np.full((2, SIZE, SIZE, 3), 128, np.uint8)
    nothing = np.zeros((2, 1, 3))
    return Scenes(
        grey, np.eye(3)[None].repeat(2, 0), [], mask > 0, mask, nothing, torch.zeros(2, 1)
    )


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_things_cover_a_share_of_the_hand_and_no_mask_tells(share) -> None:
    plain = scenes()
    covered = appearance_data.covered(plain, share)
    left = covered.true_masks.sum((1, 2)) / plain.true_masks.sum((1, 2))
    assert (left <= 1 - share).all() and (left > 1 - share - 0.25).all()
    np.testing.assert_array_equal(covered.masks, plain.masks)
    again = appearance_data.covered(plain, share)
    np.testing.assert_array_equal(again.images, covered.images)
    changed = np.abs(covered.images.astype(int) - 128).max(-1) > 0
    bare = covered.true_masks > 0
    assert changed[bare].mean() < 0.2  # a little blur around the things
    assert changed[(plain.true_masks > 0) & ~bare].mean() > 0.95


def test_a_body_in_another_collides_and_one_alone_does_not() -> None:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.02)
    count = len(ball.vertices)
    faces = np.concatenate([ball.faces, ball.faces + count])
    apart, crossed = (
        np.concatenate([ball.vertices, ball.vertices + [shift, 0, 0]])[None]
        for shift in (0.05, 0.025)
    )
    assert appearance_mesh.colliding(apart, faces)[0] == 0
    # Of each ball the cap that lies within the other: (r - d / 2) / 2 r of its surface.
    expected = (0.02 - 0.0125) / 0.04
    assert appearance_mesh.colliding(crossed, faces)[0] == pytest.approx(expected, abs=0.03)
    inside_out = faces[:, ::-1]
    assert appearance_mesh.colliding(crossed, inside_out)[0] == 0


def test_a_face_that_is_turned_round_is_folded() -> None:
    ball = trimesh.creation.icosphere(subdivisions=1)
    folded = ball.vertices.copy()[None]
    assert appearance_mesh.folded(folded, folded, ball.faces)[0] == 0
    pushed = folded.copy()
    pushed[0, 0] *= -1  # one vertex through the ball and out on its other side
    assert 0 < appearance_mesh.folded(pushed, folded, ball.faces)[0] < 0.2


def test_a_sweep_changes_the_regularisers_alone() -> None:
    stages = appearance.image_stages(load_config("textured"))
    assert list(stages) == ["skin", "colour", "surface", "texture"]
    for name, stage in appearance.scaled(stages, 100.0).items():
        for energy, weight in stage.energies.items():
            factor = 100.0 if energy in appearance.REGULARISERS else 1.0
            assert weight == pytest.approx(factor * stages[name].energies[energy])
    blind = appearance.without_photometric(stages)
    assert list(blind) == ["colour", "surface"]
    assert not any("photometric" in e for stage in blind.values() for e in stage.energies)
    StageConfig.model_validate(blind["colour"].model_dump())


def test_the_verdict_is_on_the_last_preset() -> None:
    def row(name: str, psnr: float, vertex: float) -> appearance.Row:
        mean = dict.fromkeys(appearance.FIGURES, 1.0) | {"psnr": psnr, "vertex_mm": vertex}
        return appearance.Row(name, mean, 0, Seconds(0.0, 0.0))

    rows = [row("mean", 16, 40), row("light", 24, 40), row("all", 27, 41), row("blind", 16, 40)]
    found = appearance.goals(rows)
    assert found["psnr_gain_over_light_alone"] == 3
    assert found["psnr_enough"] and not found["vertex_enough"]
    # What light alone gives is no gain of the skin's.
    lit = replace(rows[1], mean=rows[1].mean | {"psnr": 24.1})
    assert not appearance.goals([rows[0], lit, *rows[2:]])["psnr_enough"]
    better = replace(rows[2], mean=rows[2].mean | {"vertex_mm": 40.5})
    assert appearance.goals([*rows[:2], better, rows[3]])["vertex_enough"]


def test_hands_of_nimble_are_measured_as_those_of_the_open_hand() -> None:
    folder = str(nimble_folder())
    rendered = appearance_data.render_scenes(1, source=folder)
    bench = appearance.Bench.of(rendered, folder)
    mean = appearance.row_of(bench, "mean skin", {}).mean
    lit = appearance.row_of(bench, "light", {"l": appearance.LIGHT_ALONE}).mean
    assert rendered.vertices.shape[1] == len(bench.hand.data.v_template)
    assert np.isfinite([*mean.values(), *lit.values()]).all()
    assert lit["psnr"] > mean["psnr"] + 1 and lit["colour"] == mean["colour"] > 0
