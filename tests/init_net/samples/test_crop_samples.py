"""Crops of rendered samples: image, mask, camera and keypoints move as one."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from scipy.ndimage import map_coordinates

from datasets.synthetic import SyntheticSettings
from fitter.camera import back_project, project
from fitter.fitting.crops import crop_hands
from fitter.hand_models import KeypointDefinition, load_hand_model
from fitter.hand_models.keypoint_model import pose_keypoints
from fitter.raster import rasterize
from fitter.records import HandObservation, HandParams
from init_net.posing import regressed_keypoints, weak_projection
from init_net.samples.config import AugmentationConfig
from init_net.samples.crop_samples import Cropper, weak_camera
from init_net.samples.shards import HAND_FIELDS, SampleSource, ShardedSamples, true_hands
from init_net.samples.sightings import Sightings
from tests.support import rendered_samples

COUNT, UNSEEN, SIZE, MARGIN = 10, 3, 64, 1.4
STILL = {"colour": 0.0, "blur": 0.0, "noise": 0.0}
MOVED = AugmentationConfig(rotation_degrees=180, scale=0.3, shift=0.2, **STILL)
PLAIN = AugmentationConfig(rotation_degrees=0, scale=0, shift=0, **STILL)


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> ShardedSamples:
    folder: Path = tmp_path_factory.mktemp("samples") / "s"
    source = SampleSource(21, COUNT, 96, 2, SyntheticSettings.unoccluded())
    rendered_samples.render(folder, source, noise=1.0, unseen=(UNSEEN,), variants=2)
    return ShardedSamples(folder)


@pytest.fixture(scope="module")
def moved(samples):
    return Cropper(samples, SIZE, MARGIN, MOVED).crop(range(COUNT), (5, 1))


def truth(samples) -> tuple[HandParams, torch.Tensor, torch.Tensor]:
    """Parameters of the hands, their keypoints in the picture's camera, and K, float64."""
    hands = true_hands(samples.read(range(len(samples)), HAND_FIELDS))
    model = load_hand_model(dtype=torch.float64).keypoint_model()
    return hands, pose_keypoints(model, hands)[1], torch.tensor(samples.column("intrinsics"))


def sighted(samples) -> dict[str, np.ndarray]:
    """What the detector saw in the pictures as they were rendered."""
    numbers = np.arange(len(samples))
    return Sightings(samples).read(numbers, np.zeros_like(numbers))


def detected(samples) -> np.ndarray:
    found = sighted(samples)["keypoints"]
    return np.where(np.isfinite(found), found, samples.column("keypoints_2d"))


def similarities(samples, crops) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, 2, 2) and (B, 2) of ``crop = A picture + b``, as the detected keypoints have moved."""
    before, after = torch.tensor(detected(samples)).double(), crops.keypoints.double()
    ones = torch.ones(len(before), 21, 1).double()
    solved = torch.linalg.lstsq(torch.cat([before, ones], -1), after).solution.mT
    rest = torch.cat([before, ones], -1) @ solved.mT - after
    assert rest.abs().max() < 1e-3
    return solved[..., :2], solved[..., 2]


class TestGeometry:
    def test_it_is_a_similarity_as_large_as_it_was_asked_for(self, samples, moved):
        linear, _ = similarities(samples, moved)
        square = torch.linalg.det(linear)
        product = linear @ linear.mT / square[:, None, None]
        torch.testing.assert_close(product, torch.eye(2).double().expand(COUNT, 2, 2), atol=1e-4,
                                   rtol=0)  # fmt: skip
        keypoints = detected(samples)
        side = MARGIN * np.ptp(keypoints, axis=1).max(1)
        share = SIZE / (square.sqrt().numpy() * side) - 1
        assert np.abs(share).max() < 0.3 + 1e-3 and np.abs(share).max() > 0.1
        turn = torch.atan2(linear[:, 1, 0], linear[:, 0, 0]).rad2deg().abs()
        assert turn.max() > 90
        low, high = keypoints.min(1), keypoints.max(1)
        linear, offset = (x.numpy() for x in similarities(samples, moved))
        middle = (linear @ (0.5 * (low + high))[..., None])[..., 0] + offset
        shift = middle / SIZE - 0.5
        assert np.abs(shift).max() < 0.2 + 1e-3 and np.abs(shift).max() > 0.1

    def test_true_keypoints_move_with_the_detected_ones(self, samples, moved):
        linear, offset = similarities(samples, moved)
        _, points, K = truth(samples)
        wanted = project(points, K.double()) @ linear.mT + offset[:, None]
        torch.testing.assert_close(
            (moved.positions.double() + 0.5) * SIZE, wanted, rtol=0, atol=2e-3
        )

    def test_the_crops_own_camera_sees_what_is_there(self, samples, moved):
        """True points of the view frame where they are in the crop, however far off the axis, and
        as deep as in the image's camera."""
        _, points, _ = truth(samples)
        there = (moved.points + moved.wrist[:, None]).double()
        seen = there @ moved.projection.double().mT
        torch.testing.assert_close(seen[..., 2], points[..., 2], rtol=0, atol=1e-5)
        found = seen[..., :2] / seen[..., 2:]
        torch.testing.assert_close(found, moved.positions.double(), rtol=0, atol=2e-5)
        # Which a camera that looks at the crop's middle does not.
        turned = moved.focal[:, None, None] * there[..., :2] / there[..., 2:]
        assert SIZE * (turned - moved.positions).norm(dim=-1).max() > 0.3

    def test_joints_in_the_place_of_marks(self, samples, moved):
        """The same hands in the same crops, labelled as MANO's are."""
        crops = replace(Cropper(samples, SIZE, MARGIN, MOVED), marks=False).crop(
            range(COUNT), (5, 1)
        )
        model = load_hand_model(dtype=torch.float64)
        jointed = KeypointDefinition.of(model, "mano").reduced
        hands, marks, K = truth(samples)
        points = pose_keypoints(jointed, hands)[1]
        assert (points - marks).norm(dim=-1).max() > 0.005
        linear, offset = similarities(samples, moved)
        wanted = project(points, K.double()) @ linear.mT + offset[:, None]
        found = (crops.positions.double() + 0.5) * SIZE
        torch.testing.assert_close(found, wanted, rtol=0, atol=2e-3)
        lengths = (points - points[:, :1]).norm(dim=-1).float()
        torch.testing.assert_close(crops.points.norm(dim=-1), lengths, rtol=0, atol=1e-5)
        assert moved.is_marks.all() and not crops.is_marks.any()
        for name in ("image", "keypoints", "rotations", "betas"):
            assert torch.equal(getattr(crops, name), getattr(moved, name))

    def test_points_are_where_the_crops_camera_sees_them(self, samples, moved):
        """The camera of the crop is that of the picture, rolled and zoomed: in its view frame the
        ray through the middle of the crop is the z axis, and the turn to it has no roll."""
        linear, offset = similarities(samples, moved)
        _, points, K = truth(samples)
        K = K.double()
        zoom = torch.linalg.det(linear).sqrt()
        roll = torch.eye(3).double().repeat(COUNT, 1, 1)
        roll[:, :2, :2] = linear / zoom[:, None, None]
        crop_K = torch.eye(3).double().repeat(COUNT, 1, 1)
        crop_K[:, 0, 0] = crop_K[:, 1, 1] = zoom * K[:, 0, 0]
        crop_K[:, :2, 2] = (linear @ K[:, :2, 2:])[..., 0] + offset
        rolled = points @ roll.mT
        positions = (moved.positions.double() + 0.5) * SIZE
        torch.testing.assert_close(project(rolled, crop_K), positions, rtol=0, atol=2e-3)

        # The rotation from that camera to the view frame, from the points alone.
        relative = rolled - rolled[:, :1]
        turn = roma.special_procrustes(moved.points.double().mT @ relative)
        torch.testing.assert_close(relative @ turn.mT, moved.points.double(), rtol=0, atol=1e-6)
        middle = torch.full((COUNT, 1, 2), SIZE / 2).double()
        ray = back_project(middle, torch.ones(COUNT, 1).double(), crop_K)[:, 0]
        seen = (turn @ ray[..., None])[..., 0]
        assert (seen[:, :2].norm(dim=-1) / seen[:, 2]).max() < 1e-5
        assert roma.rotmat_to_rotvec(turn)[:, 2].abs().max() < 1e-5

    def test_parameters_pose_the_points(self, moved):
        model = load_hand_model().keypoint_model().to(torch.float32)
        found = regressed_keypoints(model, moved.hands)
        torch.testing.assert_close(found, moved.points, rtol=0, atol=1e-6)

    def test_the_hands_own_shape_and_fingers_stay(self, samples, moved):
        hands, _, _ = truth(samples)
        torch.testing.assert_close(moved.betas, hands.betas.float())
        fingers = roma.rotvec_to_rotmat(hands.hand_pose).float()
        torch.testing.assert_close(moved.rotations[:, 1:], fingers)

    def test_the_truth_in_other_words(self, moved):
        assert moved.truth.points is moved.points and moved.truth.positions is moved.positions
        assert moved.inputs.image is moved.image and moved.inputs.keypoints is moved.keypoints


class TestPictures:
    def source(self, samples, crops) -> list[np.ndarray]:
        """(2, S, S) for each crop: row and column of the picture that its pixels show."""
        linear, offset = (x.numpy() for x in similarities(samples, crops))
        v, u = np.mgrid[:SIZE, :SIZE] + 0.5
        places = []
        for a, b in zip(linear, offset, strict=True):
            x, y = np.linalg.solve(a, np.stack([u.ravel() - b[0], v.ravel() - b[1]]))
            places.append(np.stack([y, x]).reshape(2, SIZE, SIZE) - 0.5)
        return places

    def resampled(self, picture, place) -> np.ndarray:
        return map_coordinates(picture, place, order=1, mode="grid-constant", cval=0.0)

    def test_image_and_mask_move_with_the_keypoints(self, samples, moved):
        images, masks = samples.column("image"), samples.column("mask")
        for row, place in enumerate(self.source(samples, moved)):
            # Some pictures lose their colours, whatever else is asked for.
            wanted = self.resampled(images[row].mean(-1), place) / 255
            off = np.abs(moved.image[row].numpy().mean(0) - wanted)
            assert off.max() < 0.06 and off.mean() < 0.003
            wanted = self.resampled(masks[row].astype(float), place) / 255
            off = np.abs(moved.mask[row].numpy() - wanted)
            assert off.max() < 0.06 and off.mean() < 0.003

    def test_the_mask_shows_the_posed_hand(self, samples, moved):
        """The mesh drawn in the crop's camera: nothing lies in front of it but its own sleeve."""
        model = load_hand_model(dtype=torch.float64)
        hands, _, K = truth(samples)
        vertices = model(hands).vertices
        linear, offset = similarities(samples, moved)
        places = project(vertices, K.double()) @ linear.mT + offset[:, None]
        screen = torch.cat([places, vertices[..., 2:]], -1).float()
        drawn = rasterize(screen, model.faces, (SIZE, SIZE)).mask
        shown = moved.mask > 0.5
        both = (drawn & shown).sum((1, 2)) / shown.sum((1, 2))
        assert both.min() > 0.95
        assert ((drawn & shown).sum((1, 2)) / (drawn | shown).sum((1, 2))).median() > 0.85

    def test_without_variation_it_is_the_crop_of_the_fit(self, samples):
        crops = Cropper(samples, SIZE, MARGIN, None).crop(range(COUNT), (0,))
        _, points, _ = truth(samples)
        keypoints, confidence = detected(samples), sighted(samples)["confidence"]
        for row in range(COUNT):
            seen = np.nan_to_num(confidence[row])
            hand = HandObservation(keypoints[row].astype(float), seen, "right", 0.9, 0.9)
            pixels, K = samples.column("image")[row], samples.column("intrinsics")[row]
            (wanted,) = crop_hands(pixels, K, [hand], None, (SIZE, MARGIN))
            off = np.abs(255 * crops.image[row].permute(1, 2, 0).numpy() - wanted.pixels)
            assert off.max() <= 2 and off.mean() < 0.3
            np.testing.assert_allclose(crops.keypoints[row], wanted.keypoints, atol=1e-4)
            np.testing.assert_allclose(crops.confidence[row], seen, atol=1e-6)
            seen_at = project(points[row : row + 1], torch.tensor(wanted.intrinsics)[None])[0]
            np.testing.assert_allclose((crops.positions[row] + 0.5) * SIZE, seen_at, atol=1e-3)

    def test_colours_stay_colours(self, samples):
        wild = AugmentationConfig(colour=0.9, blur=3, noise=1)
        crops = Cropper(samples, SIZE, MARGIN, wild).crop(range(COUNT), (1,))
        assert crops.image.min() >= 0 and crops.image.max() <= 1
        plain = Cropper(samples, SIZE, MARGIN, PLAIN).crop(range(COUNT), (1,))
        assert ((crops.image - plain.image).abs().mean((1, 2, 3)) > 0.01).all()


class TestKeypoints:
    def test_of_a_hand_that_nobody_saw(self, samples):
        """It is cropped around its true keypoints, which the network is not told."""
        crops = Cropper(samples, SIZE, MARGIN, None).crop([UNSEEN, 0], (0,))
        assert (crops.confidence[0] == 0).all() and (crops.confidence[1] > 0.4).all()
        low, high = crops.positions[0].amin(0), crops.positions[0].amax(0)
        torch.testing.assert_close(0.5 * (low + high), torch.zeros(2), rtol=0, atol=1e-3)
        assert float((high - low).max()) == pytest.approx(1 / MARGIN, abs=1e-3)

    def test_confidence_is_the_detectors_however_crops_vary(self, samples, moved):
        plain = Cropper(samples, SIZE, MARGIN, None).crop(range(COUNT), (2,))
        assert torch.equal(moved.confidence, plain.confidence)
        confidence = torch.zeros(COUNT, 21)
        assert moved.with_confidence(confidence).inputs.confidence is confidence


class TestSeed:
    def same(self, first, second) -> bool:
        return all(
            torch.equal(getattr(first, field.name), getattr(second, field.name))
            for field in fields(first)
        )

    def test_decides(self, samples, moved):
        cropper = Cropper(samples, SIZE, MARGIN, MOVED)
        assert self.same(cropper.crop(range(COUNT), (5, 1)), moved)
        other = cropper.crop(range(COUNT), (5, 2))
        assert not torch.equal(other.positions, moved.positions)
        wild = Cropper(samples, SIZE, MARGIN, AugmentationConfig())
        assert self.same(wild.crop([1, 2], (9,)), wild.crop([1, 2], (9,)))

    def test_is_for_the_variation_alone(self, samples):
        cropper = Cropper(samples, SIZE, MARGIN, None)
        together = cropper.crop(range(COUNT), (0,))
        assert self.same(cropper.crop(range(COUNT), (1,)), together)
        assert self.same(cropper.crop([4, 2], (1,)), together[torch.tensor([4, 2])])

    def test_a_part_of_a_batch_is_what_it_is_in_all_of_it(self, samples):
        """However it is varied: each crop draws by its place."""
        cropper = Cropper(samples, SIZE, MARGIN, AugmentationConfig())
        whole = cropper.crop(range(COUNT), (5, 1))
        assert self.same(cropper.crop(range(2, COUNT), (5, 1), first=2), whole[2:])
        assert not self.same(cropper.crop(range(2, COUNT), (5, 1)), whole[2:])


class TestWeakCamera:
    def test_written_out(self):
        """Three points in a row, a decimetre apart, seen a fifth of the crop apart from x = 0.1."""
        points = torch.tensor([[[0.0, 0, 0], [0.1, 0, 0.3], [0.2, 0, -0.3]]])
        positions = torch.tensor([[[0.1, 0.05], [0.3, 0.05], [0.5, 0.05]]])
        torch.testing.assert_close(weak_camera(points, positions), torch.tensor([[2.0, 0.1, 0.05]]))

    def test_it_is_found_again(self):
        generator = torch.Generator().manual_seed(0)
        points = 0.1 * torch.randn(5, 21, 3, generator=generator).double()
        camera = torch.rand(5, 3, generator=generator).double() + torch.tensor([3.0, -0.5, -0.5])
        found = weak_camera(points, weak_projection(points, camera))
        torch.testing.assert_close(found, camera)

    def test_no_other_is_better(self, moved):
        points, positions = moved.points.double(), moved.positions.double()
        camera = weak_camera(points, positions)

        def error(camera):
            return (weak_projection(points, camera) - positions).square().sum((1, 2))

        least = error(camera)
        assert least.max() < 0.05
        for change in torch.eye(3).double() * 1e-3:
            assert (error(camera + change) > least).all()
            assert (error(camera - change) > least).all()

    def test_points_on_one_line_of_sight(self):
        points = torch.tensor([[[0.0, 0, 0], [0, 0, 0.1]]])
        assert weak_camera(points, torch.zeros(1, 2, 2)).isfinite().all()


class TestGreyCrops:
    def spread(self, samples, share: float) -> np.ndarray:
        """(N,) largest difference between the channels of a pixel."""
        varied = AugmentationConfig(rotation_degrees=0, scale=0, shift=0, grey_share=share, **STILL)
        images = Cropper(samples, SIZE, MARGIN, varied).crop(range(COUNT), (5, 1)).image
        return (images.amax(1) - images.amin(1)).flatten(1).amax(1).numpy()

    def test_colours_are_left_alone_where_none_are_to_change(self, samples):
        varied = AugmentationConfig(rotation_degrees=0, scale=0, shift=0, grey_share=0, **STILL)
        for step in range(8):
            moved = Cropper(samples, SIZE, MARGIN, varied).crop(range(COUNT), (step,))
            plain = Cropper(samples, SIZE, MARGIN, None).crop(range(COUNT), (step,))
            torch.testing.assert_close(moved.image, plain.image)

    def test_as_many_lose_theirs_as_are_asked_for(self, samples):
        assert (self.spread(samples, 1.0) == 0).all()
        assert (self.spread(samples, 0.0) > 0.05).all()
