"""Pairs of crops: what leads from the left view to the right one, however the crops are varied."""

import shutil

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from datasets.synthetic import RigRequest, SyntheticSettings, stereo_rig, write_rig_dataset
from fitter.hand_models import load_hand_model
from fitter.rotations import roma
from init_net.posing import regressed_vertices
from init_net.samples.config import AugmentationConfig, StereoSamplesConfig
from init_net.samples.manifest import OneViewSource, StereoSource, claim
from init_net.samples.selection import PAIRS, in_portion
from init_net.samples.shards import HAND_FIELDS, ShardedSamples, true_hands
from init_net.samples.stereo_samples import StereoCropper
from init_net.samples.stereo_shards import StereoShards, render_stereo_shards
from init_net.samples.truth import true_keypoints
from tests.support.errors import raises
from tests.support.rendered_samples import write_sightings

COUNT, SIZE = 5, 40
WILD = AugmentationConfig(rotation_degrees=180, scale=0.3, shift=0.3)
SOURCE = StereoSource(
    seed=5,
    count=COUNT,
    baselines=(0.06, 0.14),
    size=SIZE,
    settings=SyntheticSettings(view="egocentric", object_share=0.0),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "stereo"
    render_stereo_shards(path, SOURCE)
    for camera, unseen in (("left", (1,)), ("right", ())):
        write_sightings(ShardedSamples(path / camera), noise=0.5, unseen=unseen)
    return path


@pytest.fixture(scope="module")
def pairs(folder):
    return StereoShards(folder)


@pytest.fixture(scope="module", params=["as they are", "varied"])
def crops(request, pairs):
    variation = WILD if request.param == "varied" else None
    return StereoCropper(pairs, SIZE, 1.6, variation).crop(range(COUNT), (3, 1))


def keypoints_of(samples):
    rows = samples.read(range(len(samples)), [*HAND_FIELDS, "keypoints_3d"])
    model = load_hand_model(dtype=torch.float64, children=True).keypoint_model()
    return true_keypoints(model, rows)[2]


class TestShards:
    def test_both_cameras_see_the_same_hands(self, pairs):
        left, right = keypoints_of(pairs.left), keypoints_of(pairs.right)
        moved = left.numpy() @ pairs.rotation.transpose(0, 2, 1) + pairs.translation[:, None]
        np.testing.assert_allclose(moved, right, atol=1e-6)
        assert (pairs.left.column("mode") == pairs.right.column("mode")).all()
        assert pairs.left.column("egocentric").all()

    def test_every_pair_has_its_baseline(self, pairs):
        baseline = np.linalg.norm(pairs.translation, axis=1)
        assert (baseline >= 0.06).all() and (baseline <= 0.14).all() and np.ptp(baseline) > 0.01

    def test_what_is_missing_is_made_again(self, folder, tmp_path):
        again = tmp_path / "again"
        shutil.copytree(folder, again)
        name = next(folder.glob("shard-*")).name
        # Killed after the left camera's shard was written.
        shutil.rmtree(again / name)
        shutil.rmtree(again / "right" / name)
        done = []
        render_stereo_shards(again, SOURCE, progress=done.append)
        assert done == [0, COUNT]
        for file in folder.rglob("shard-*/*.npy"):
            if "sightings" not in str(file):
                assert (again / file.relative_to(folder)).read_bytes() == file.read_bytes()

    def test_other_pairs(self, folder):
        other = StereoSource(seed=6, count=COUNT, baselines=(0.06, 0.14), size=SIZE)
        with raises("samples.other_option", file=folder, option="seed"):
            render_stereo_shards(folder, other)

    def test_too_few(self, folder):
        with raises("samples.too_few", expected=COUNT + 1, found=COUNT):
            StereoShards(folder, COUNT + 1)

    def test_one_camera_is_no_data_set_of_another(self, folder):
        with raises("samples.other_option", option="camera"):
            claim(folder / "left", OneViewSource(SOURCE, "right"))

    def test_a_subset(self, pairs):
        part = pairs.subset(np.array([3, 0]))
        assert len(part) == 2
        np.testing.assert_array_equal(part.translation, pairs.translation[[3, 0]])
        wanted = pairs.right.column("keypoints_2d")[[3, 0]]
        np.testing.assert_array_equal(part.right.column("keypoints_2d"), wanted)


class TestCrops:
    def test_keypoints_go_from_the_left_view_to_the_right_one(self, crops):
        left = crops.left.points + crops.left_wrist[:, None]
        right = crops.right.points + crops.right_wrist[:, None]
        moved = left @ crops.rotation.mT + crops.translation[:, None]
        torch.testing.assert_close(moved, right, rtol=0, atol=2e-6)

    def test_a_point_is_seen_along_the_line_of_sight_of_its_crop(self, crops):
        """The views' focal lengths, by which depths are known: near the middle of a crop."""
        for crop, wrist, focal in (
            (crops.left, crops.left_wrist, crops.left_focal),
            (crops.right, crops.right_wrist, crops.right_focal),
        ):
            points = crop.points + wrist[:, None]
            seen = focal[:, None, None] * points[..., :2] / points[..., 2:]
            size = crop.positions.flatten(1).abs().amax(1)
            assert ((seen - crop.positions).flatten(1).abs().amax(1) < 0.25 * size).all()
            assert (wrist[:, 2] > 0.2).all()

    def test_the_hand_is_the_same_turned(self, crops):
        turned = crops.rotation @ crops.left.rotations[:, 0]
        torch.testing.assert_close(turned, crops.right.rotations[:, 0], rtol=0, atol=2e-6)
        torch.testing.assert_close(
            crops.left.rotations[:, 1:], crops.right.rotations[:, 1:], rtol=0, atol=2e-6
        )
        assert torch.equal(crops.left.betas, crops.right.betas)

    def test_crops_of_a_pair_are_varied_apart(self, pairs):
        still = StereoCropper(pairs, SIZE, 1.6, None).crop(range(COUNT), (3, 1))
        varied = StereoCropper(pairs, SIZE, 1.6, WILD).crop(range(COUNT), (3, 1))
        turn = roma.rotmat_geodesic_distance(varied.rotation, still.rotation)
        assert turn.min() > 0.05
        again = StereoCropper(pairs, SIZE, 1.6, WILD).crop(range(COUNT), (3, 1))
        assert torch.equal(again.rotation, varied.rotation)
        assert torch.equal(again.left.image, varied.left.image)

    def test_what_the_network_sees(self, crops):
        inputs = crops.inputs
        assert torch.equal(inputs.left.image, crops.left.image)
        assert inputs.right.image.shape == (COUNT, 3, SIZE, SIZE)
        # Nothing was seen of the second hand in the left image.
        assert (inputs.left.confidence > 0).any(1).tolist() == [True, False, True, True, True]
        assert (crops.right.mask > 0.5).flatten(1).any(1).all()

    def test_vertices_are_those_of_the_model(self, pairs, crops):
        model = load_hand_model(dtype=torch.float32)
        found = regressed_vertices(model, crops.right.hands)
        rows = pairs.right.read(range(COUNT), [*HAND_FIELDS])
        exact = load_hand_model(dtype=torch.float64)(true_hands(rows))
        wanted = exact.vertices - exact.keypoints[:, :1]
        turn = (
            crops.right.rotations[:, 0].double()
            @ roma.rotvec_to_rotmat(true_hands(rows).global_orient).mT
        )
        torch.testing.assert_close(found.double(), wanted @ turn.mT, rtol=0, atol=1e-5)


class TestConfig:
    def test_baselines_in_order(self):
        assert StereoSamplesConfig(least_baseline=0.1, most_baseline=0.1).source.baselines == (
            0.1,
            0.1,
        )
        with pytest.raises(ValidationError, match="expected a least baseline up to the largest"):
            StereoSamplesConfig(least_baseline=0.2, most_baseline=0.1)

    def test_hands_are_seen_from_the_head(self):
        assert StereoSamplesConfig().source.settings.view == "egocentric"


class TestFolders:
    def test_whole_images_of_a_rig_are_no_pairs(self, tmp_path):
        """What `synth-hands --stereo` writes is refused and left as it is."""
        rig, settings = stereo_rig(0.1, (40, 40)), SOURCE.settings
        list(write_rig_dataset(RigRequest(
            out=tmp_path, count=1, seed=1, size=40, settings=settings, rig=rig)))  # fmt: skip
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        with raises("samples.other_folder", file=tmp_path):
            render_stereo_shards(tmp_path, SOURCE)
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


class TestParts:
    def test_what_is_not_learned_from_is_held_out(self, pairs):
        learned, rest = pairs.parted((0.0, 0.6))
        assert (len(learned), len(rest)) == (3, 2)
        shown = [shapes_of(part.left) for part in (learned, rest)]
        assert shapes_of(learned.right) == shown[0]
        assert not shown[0] & shown[1]
        assert shown[0] | shown[1] == shapes_of(pairs.left)
        assert len(learned.rotation) == len(learned.translation) == 3
        inside = in_portion(np.arange(5), (0.0, 0.6), PAIRS)
        np.testing.assert_array_equal(learned.rotation, pairs.rotation[inside])


def shapes_of(samples) -> set[tuple[float, ...]]:
    return {tuple(row) for row in samples.column("betas").tolist()}
