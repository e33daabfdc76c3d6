"""Rows of touching hands: right hands in their pictures, and what leads from one to the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.synthetic import SyntheticEngine, SyntheticSettings
from datasets.synthetic.touching.engine import InteractionEngine
from fitter.camera import project
from fitter.hand_models import load_hand_model
from init_net.samples.interaction_samples import (
    InteractionSamples,
    InteractionSource,
    render_interaction_shards,
)
from init_net.samples.shards import HAND_FIELDS, ShardedSamples, true_hands
from tests.support import errors

SIZE, SEED = 64, 21
FLIP = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("interaction") / "rows"
    render_interaction_shards(out, InteractionSource(SEED, 4, SIZE))
    return out


@pytest.fixture(scope="module")
def scene():
    engine = SyntheticEngine(SIZE, SyntheticSettings.unoccluded(), supersampling=1)
    touching = InteractionEngine(engine, "hands")
    return touching.render(touching.sample(SEED, 1))


def test_every_row_is_a_right_hand_in_its_picture(folder):
    rows = ShardedSamples(folder).read(
        range(4), ["keypoints_3d", "keypoints_2d", "intrinsics", "mask", *HAND_FIELDS]
    )
    model = load_hand_model(dtype=torch.float64)
    posed = model(true_hands(rows)).keypoints.numpy()
    np.testing.assert_allclose(posed, rows["keypoints_3d"], atol=2e-6)
    seen = project(torch.from_numpy(posed), torch.from_numpy(rows["intrinsics"]).double())
    np.testing.assert_allclose(seen, rows["keypoints_2d"], atol=2e-3)
    assert (rows["mask"].reshape(4, -1) > 0).any(1).all()


def test_rows_lead_to_each_other(folder, scene):
    samples = InteractionSamples(folder)
    right, left = scene
    wrists = [hand.keypoints_3d[0, 0].numpy() for hand in (right, left)]
    np.testing.assert_allclose(samples.relative[2], wrists[1] - wrists[0], atol=1e-9)
    # In the mirror, the other hand lies on the other side.
    np.testing.assert_allclose(samples.relative[3], (wrists[0] - wrists[1]) * FLIP, atol=1e-9)
    mirror = np.diag(FLIP)
    there, back = samples.rotation[2], mirror @ samples.rotation[3] @ mirror
    np.testing.assert_allclose(there @ back, np.eye(3), atol=1e-9)


def test_the_second_row_is_the_mirrored_picture(folder, scene):
    rows = ShardedSamples(folder).read((2, 3), ["image", "mask"])
    np.testing.assert_array_equal(rows["image"][0], rows["image"][1][:, ::-1])
    np.testing.assert_array_equal(rows["image"][0], scene[0].image[0].numpy())
    expected = (scene[1].mask[0] * 255).round().numpy()
    np.testing.assert_array_equal(rows["mask"][1][:, ::-1], expected)


def test_parts_keep_both_rows_of_a_scene(folder):
    samples = InteractionSamples(folder)
    part = samples.subset(np.array([1]))
    assert len(part) == 1 and len(part.samples) == 2
    np.testing.assert_array_equal(part.relative, samples.relative[2:])
    one, other = samples.parted((0.0, 0.5))
    assert len(one) + len(other) == 2


def test_a_whole_number_of_scenes():
    with pytest.raises(ValueError, match="two rows"):
        InteractionSource(SEED, 3)


def test_other_rows_are_refused(folder):
    with errors.raises("samples.other_option"):
        render_interaction_shards(folder, InteractionSource(SEED + 1, 4, SIZE))
