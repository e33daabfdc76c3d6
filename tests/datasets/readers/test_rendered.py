"""What synth-hands wrote, read back: the truth file's numbers are what the model makes of them."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch

from datasets.readers import open_dataset
from datasets.readers.posing import own_params
from datasets.synthetic import SyntheticEngine, SyntheticSettings
from datasets.synthetic.files import SyntheticRequest, write_dataset
from fitter.hand_models import load_hand_model
from fitter.hand_models.keypoint_definitions import KeypointDefinition
from tests.support.errors import raises
from tests.support.reader_checks import check_reader

SIZE, SEED = 64, 4
SETTINGS = SyntheticSettings(child_share=0.5, object_share=1.0, occluder_share=1.0)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    list(write_dataset(SyntheticRequest(folder, 5, seed=SEED, size=SIZE, settings=SETTINGS)))
    return folder


@pytest.fixture
def damaged(written, tmp_path):
    return shutil.copytree(written, tmp_path / "damaged")


def test_all_that_is_true_of_a_sample(written):
    images = check_reader(lambda: open_dataset("synthetic", written))
    batch = SyntheticEngine(SIZE, SETTINGS).batch(SEED, range(5))
    assert len(images) == 5 and images.split == "training"
    for row, sample in enumerate(images):
        annotation = sample.annotation
        (hand,) = annotation.hands
        np.testing.assert_allclose(hand.keypoints_3d, batch.keypoints_3d[row], atol=1e-6)
        np.testing.assert_array_equal(hand.visible, batch.visible[row])
        mask = batch.mask[row].numpy() > 0.5
        assert sample.masks.shape == (1, SIZE, SIZE) and (sample.masks[0] == mask).mean() > 0.98
        np.testing.assert_allclose(sample.depth, batch.depth[row], atol=6e-5)
        assert np.abs(sample.pixels.astype(int) - batch.image[row].numpy()).mean() < 2
        objects = batch.specs.objects
        assert len(annotation.objects) == int(objects.present[row].sum())
        if objects.present[row, 0]:
            np.testing.assert_allclose(annotation.objects[0].translation, objects.centre[row, 0])
            axis = annotation.objects[0].rotation @ [0, 0, 1]
            np.testing.assert_allclose(axis, objects.axes[row, 0, 2], atol=1e-8)


def test_parameters_give_the_keypoints(written):
    images = open_dataset("synthetic", written)
    model = load_hand_model("open_hand", dtype=torch.float64, children=True)
    definition = KeypointDefinition.of(model, images.definition)
    for place in range(len(images)):
        (hand,) = images.annotation(place).hands
        found = definition.keypoints(own_params(hand.parameters))[0]
        np.testing.assert_allclose(found, hand.keypoints_3d, atol=1e-6)


def test_only_complete_samples_are_listed(damaged):
    (damaged / "training" / "truth" / "00000002.json").unlink()
    images = pickle.loads(pickle.dumps(open_dataset("synthetic", damaged)))
    assert list(images.names) == [f"training/rgb/{i:08d}.jpg" for i in (0, 1, 3, 4)]
    assert images[2].annotation.name == "training/rgb/00000003.jpg"


def test_a_damaged_sample_is_alone(damaged):
    images = open_dataset("synthetic", damaged)
    path = damaged / "training" / "truth" / "00000001.json"
    truth = json.loads(path.read_text())
    path.write_text(json.dumps(truth | {"K": [[1, 2], [3, 4]]}))
    with raises("dataset.values", file=path, key="K", expected="3x3 numbers", found="2x2"):
        images[1]
    path.write_text(json.dumps({k: v for k, v in truth.items() if k != "K"}))
    with raises("dataset.no_key", file=path, key="K"):
        images[1]
    path.write_text(json.dumps(truth)[:100])
    with raises("json.invalid", file=path):
        images[1]
    path.write_text(json.dumps(truth | {"keypoint_state": ["hidden"] * 21}))
    with raises("dataset.states", file=path):
        images[1]
    (damaged / "training" / "rgb" / "00000003.jpg").unlink()
    with raises("image.missing"):
        images[3]
    mask = damaged / "training" / "mask" / "00000004.jpg"
    mask.write_bytes(mask.read_bytes()[:200])
    with raises("image.damaged", file=mask):
        images[4]
    assert images[0].annotation.hands and images[2].annotation.hands


def test_another_folder_is_named(damaged, tmp_path):
    with raises("dataset.lacks", file=tmp_path / "nowhere", what="folder"):
        open_dataset("synthetic", tmp_path / "nowhere")
    shutil.rmtree(damaged / "training" / "depth")
    with raises("dataset.lacks", file=damaged / "training" / "depth"):
        open_dataset("synthetic", damaged)
    (damaged / "training" / "depth").mkdir()
    for path in (damaged / "training" / "truth").iterdir():
        path.unlink()
    with raises("dataset.empty"):
        open_dataset("synthetic", damaged)
