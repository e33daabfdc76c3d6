"""The example pictures: present, small, consistent with their ground truth, rebuildable."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from fitter.camera import project
from fitter.hand_models import load_hand_model
from fitter.hand_models.anatomy import anatomical_angles, anatomy_of
from fitter.records import HandParams
from tests.support.paths import ROOT

FOLDER = ROOT / "examples"
TRUTH = json.loads((FOLDER / "ground_truth.json").read_text())
HANDS = TRUTH["hands"]
PICTURES = sorted({hand["image"] for hand in HANDS})


@pytest.fixture(scope="module")
def models():
    return {side: load_hand_model("open_hand", side, torch.float64) for side in ("left", "right")}


@pytest.fixture
def builder(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return pytest.importorskip("build_examples")


def params_of(hand: dict) -> HandParams:
    names = ("global_orient", "hand_pose", "betas", "transl")
    return HandParams(*(torch.tensor(hand[name], dtype=torch.float64)[None] for name in names))


def test_there_are_enough_pictures_of_both_sides_and_they_are_small():
    assert len(PICTURES) >= 6
    assert {hand["side"] for hand in HANDS} == {"left", "right"}
    assert max(sum(h["image"] == name for h in HANDS) for name in PICTURES) == 2
    assert sorted(path.name for path in FOLDER.glob("*.jpg")) == PICTURES
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_500_000


def test_pictures_show_the_model_that_is_shipped(models):
    # When this fails the model was rebuilt: run scripts/build_examples.py and look at the pictures.
    assert models["right"].data.sha256 == TRUTH["model_sha256"]


def test_the_intrinsics_file_says_what_the_ground_truth_says():
    cameras = json.loads((FOLDER / "intrinsics.json").read_text())
    assert sorted(cameras) == PICTURES
    assert all(cameras[hand["image"]] == hand["K"] for hand in HANDS)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_can_be_read_and_holds_its_hands(name):
    width, height = Image.open(FOLDER / name).size
    for hand in (h for h in HANDS if h["image"] == name):
        keypoints = np.array(hand["keypoints_2d"])
        assert keypoints.shape == (21, 2)
        assert (keypoints > 10).all() and (keypoints < np.array([width, height]) - 10).all()
        assert np.ptp(keypoints, axis=0).max() > 0.3 * height


@pytest.mark.parametrize("hand", HANDS, ids=lambda h: f"{h['image']}-{h['side']}")
def test_parameters_give_the_stored_keypoints(hand, models):
    keypoints = models[hand["side"]](params_of(hand)).keypoints
    stored = torch.tensor(hand["keypoints_3d"], dtype=torch.float64)
    assert (keypoints[0] - stored).abs().max() < 1e-5
    pixels = project(stored[None], torch.tensor(hand["K"], dtype=torch.float64)[None])[0]
    assert (pixels - torch.tensor(hand["keypoints_2d"], dtype=torch.float64)).abs().max() < 0.01


@pytest.mark.parametrize("hand", HANDS, ids=lambda h: f"{h['image']}-{h['side']}")
def test_poses_keep_to_the_limits_of_the_joints(hand, models):
    anatomy = anatomy_of(models[hand["side"]].data)
    angles = anatomical_angles(params_of(hand).hand_pose, anatomy.axes)[0].numpy()
    slack = 1e-6
    assert (angles >= anatomy.lower - slack).all() and (angles <= anatomy.upper + slack).all()


def test_rebuilding_the_ground_truth_gives_the_committed_one(builder, models):
    records = [
        builder.ground_truth(recipe, hand)
        for recipe in builder.RECIPES
        for hand in builder.pose_hands(models["right"], recipe)
    ]
    assert [(r["image"], r["side"]) for r in records] == [(h["image"], h["side"]) for h in HANDS]
    for record, hand in zip(records, HANDS, strict=True):
        for key in ("global_orient", "hand_pose", "betas", "transl", "keypoints_3d"):
            np.testing.assert_allclose(record[key], hand[key], atol=1e-6)


def test_rebuilding_a_picture_gives_the_committed_one(builder, models):
    recipe = builder.RECIPES[0]
    built = builder.render(models["right"], recipe, builder.pose_hands(models["right"], recipe))
    pixels = np.asarray(Image.open(io.BytesIO(built))).astype(float)
    committed = np.asarray(Image.open(FOLDER / f"{recipe.name}.jpg")).astype(float)
    # Equal to the byte on one machine; other JPEG encoders and maths libraries may round otherwise.
    assert np.abs(pixels - committed).mean() < 0.5
