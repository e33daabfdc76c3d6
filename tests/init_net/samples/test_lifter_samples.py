"""What the lifter learns from: hands in the view frame, sampled or seen, without contradiction."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from datasets.detector import DetectedHands, DetectorNoise
from datasets.synthetic.records import VISIBLE
from fitter.camera import rotation_to
from fitter.conventions import BONES
from fitter.detection.networks.shapes import FEATURES
from fitter.fitting.observations import normalise, unknown_features
from fitter.hand_models import load_hand_model
from fitter.hand_models.keypoint_model import pose_keypoints
from init_net.posing import regressed_keypoints
from init_net.records import RegressedHands
from init_net.samples.detected_samples import (
    BARE,
    NOISE,
    ONE_LOOK,
    UNLOOKED,
    DetectedSamples,
    observed_samples,
    with_less,
)
from init_net.samples.hand_sampler import FARTHEST, NEAREST, HandSampler
from init_net.samples.lifter_samples import LifterSamples, rotated
from init_net.samples.shards import HAND_FIELDS, SampleSource, ShardedSamples, true_hands
from init_net.samples.sightings import Sightings
from tests.support import rendered_samples

COUNT = 400
SEED = (3, 1, 4)
PALM_ENDS, TIP_ENDS = (list(ends) for ends in zip(*BONES, strict=True))
CONFIDENCE = torch.linspace(0.2, 1.0, 21)
UNKNOWN = ("features", "visible")
"""What nobody knows of a hand without an image."""


class Exact:
    """A detector without noise, which is surer of some keypoints than of others."""

    def sample(self, positions, depth, bones, states, generator, definition_std=0.0):
        assert states is None and definition_std == 0
        return DetectedHands(positions, CONFIDENCE.expand(len(positions), 21), depth, bones)


@pytest.fixture(scope="module")
def model():
    return load_hand_model()


@pytest.fixture(scope="module")
def exact(model) -> LifterSamples:
    return HandSampler(model, Exact(), 0.0).sample(COUNT, SEED)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> ShardedSamples:
    """Samples that are seen twice without error, but for one that is not seen."""
    folder: Path = tmp_path_factory.mktemp("samples") / "s"
    rendered_samples.render(folder, SampleSource(5, 12, 32), unseen=(4,), variants=2)
    return ShardedSamples(folder)


@pytest.fixture(scope="module")
def seen(rendered) -> DetectedSamples:
    return DetectedSamples.of(rendered, as_rendered=True)


def bone_angles(hands: LifterSamples) -> torch.Tensor:
    """(B, 20) degrees between the bones that are seen and those of the true keypoints."""
    true = hands.keypoints[:, TIP_ENDS] - hands.keypoints[:, PALM_ENDS]
    cosine = torch.nn.functional.cosine_similarity(true, hands.bones, dim=-1)
    return cosine.clamp(-1, 1).acos().rad2deg()


def scales(model, hands: LifterSamples) -> torch.Tensor:
    """(B,) crop units a metre of hands whose parameters pose them onto their keypoints."""
    camera = torch.zeros(len(hands.betas), 3)
    reduced = model.keypoint_model().to(torch.float32)
    posed = regressed_keypoints(reduced, RegressedHands(hands.rotations, hands.betas, camera))
    scale = (posed * hands.keypoints).sum((1, 2)) / posed.square().sum((1, 2))
    torch.testing.assert_close(scale[:, None, None] * posed, hands.keypoints, rtol=0, atol=2e-5)
    return scale


def require_same(first: LifterSamples, second: LifterSamples, **tolerance: float) -> None:
    for field in fields(first):
        found, wanted = getattr(first, field.name), getattr(second, field.name)
        same = {"msg": field.name, "equal_nan": True, **tolerance}
        torch.testing.assert_close(found, wanted, **same)


EXACTLY = {"rtol": 0.0, "atol": 0.0}


class TestSampler:
    def test_positions_with_true_depth_give_the_joints(self, exact):
        placed = exact.positions * (1 + exact.keypoints[..., 2:] / exact.focal[:, None, None])
        torch.testing.assert_close(
            placed - exact.positions[:, :1], exact.keypoints[..., :2], rtol=0, atol=2e-5
        )

    def test_a_detector_without_noise_sees_the_truth(self, exact):
        # The crop follows what was seen from the exact crop: the two lines of sight are apart by
        # less than a degree.
        whole = exact[(exact.confidence > 0).all(1)]
        torch.testing.assert_close(whole.depth, whole.keypoints[..., 2], rtol=0, atol=0.02)
        assert bone_angles(whole).max() < 1.5
        torch.testing.assert_close(whole.confidence, CONFIDENCE.expand(len(whole.focal), 21))
        size = (whole.positions.amax(1) - whole.positions.amin(1)).amax(-1)
        torch.testing.assert_close(size, torch.full_like(size, 1 / 1.2), rtol=0, atol=0.03)

    def test_some_hands_are_seen_in_part(self, exact):
        """The square is around what is seen of them; some lack single keypoints, some a finger."""
        unseen = exact.confidence == 0
        parts = unseen.any(1)
        assert 0.25 < parts.float().mean() < 0.5 and not unseen.all(1).any()
        fingers = unseen[:, 1:].unflatten(1, (5, 4))[:, :, 1:].all(2).any(1)
        assert 0.05 < fingers.float().mean() < 0.2
        seen = torch.where(unseen[..., None], torch.nan, exact.positions)[parts]
        low = seen.nan_to_num(torch.inf).amin(1)
        high = seen.nan_to_num(-torch.inf).amax(1)
        torch.testing.assert_close(
            (high - low).amax(-1), torch.full((int(parts.sum()),), 1 / 1.2), rtol=0, atol=0.05
        )

    def test_some_hands_come_with_less(self, exact):
        less = with_less(exact, SEED)
        no_depth, no_bones = less.depth.isnan().all(1), less.bones.isnan().all((1, 2))
        for gone in (no_depth, no_bones):
            assert 0.15 < gone.float().mean() < 0.35
        assert (no_depth & no_bones).float().mean() > 0.1
        torch.testing.assert_close(less.depth[~no_depth], exact.depth[~no_depth])
        torch.testing.assert_close(less.bones[~no_bones], exact.bones[~no_bones])
        sure = ((less.confidence == 1) | (exact.confidence == 0)).all(1)
        assert 0.1 < sure.float().mean() < 0.3
        assert (less.confidence[exact.confidence == 0] == 0).all()
        for name in ("positions", "focal", "keypoints", "rotations", "betas", "visible", "metres"):
            assert getattr(less, name) is getattr(exact, name)

    def test_some_hands_come_without_looks(self, exact):
        seen = replace(exact, features=torch.zeros(COUNT, 2, FEATURES))
        less = with_less(seen, SEED)
        gone = less.features.isnan()
        assert (gone.all(-1) == gone.any(-1)).all(), "a look is there or it is not"
        looks = (~gone.any(-1)).sum(1)
        none, one = ((looks == count).float().mean() for count in (0, 1))
        assert abs(none - (1 - (1 - BARE) * (1 - UNLOOKED))) < 0.06
        assert abs(one - (1 - BARE) * (1 - UNLOOKED) * ONE_LOOK) < 0.05
        bare = less.depth.isnan().all(1) & less.bones.isnan().all((1, 2))
        assert looks[bare].eq(0).float().mean() > 0.8
        # Without features nothing else changes.
        require_same(replace(less, features=exact.features), with_less(exact, SEED), **EXACTLY)

    def test_parameters_pose_the_joints(self, model, exact):
        # At the wrist's distance Z a metre has focal / Z crop units.
        torch.testing.assert_close(1 / scales(model, exact), exact.metres, rtol=1e-3, atol=0)
        distance = exact.focal * exact.metres
        assert distance.min() > NEAREST - 0.15 and distance.max() < FARTHEST + 0.15
        shares = (distance.log() - np.log(NEAREST)) / np.log(FARTHEST / NEAREST)
        assert 0.4 < shares.mean() < 0.6 and shares.std() > 0.2

    def test_shapes_and_turns_are_many(self, exact):
        assert exact.betas.abs().max() <= 2 and exact.betas.std(0).min() > 0.6
        angles = roma.rotmat_to_rotvec(exact.rotations[:, 0]).norm(dim=-1)
        assert angles.max() > 2.8
        identity = torch.eye(3).expand(COUNT, 16, 3, 3)
        torch.testing.assert_close(
            exact.rotations @ exact.rotations.mT, identity, rtol=0, atol=1e-5
        )
        forward = torch.nn.functional.normalize(exact.keypoints[:, 9], dim=-1)[:, 2].abs()
        assert 0.05 < (forward > 0.75).float().mean() < 0.16, "any way at all: a quarter"

    def test_the_seed_decides(self, model, exact):
        sampler = HandSampler(model, DetectorNoise.load(), 0.01)
        noisy = sampler.sample(64, SEED)
        require_same(sampler.sample(64, SEED), noisy, **EXACTLY)
        require_same(HandSampler(model, Exact(), 0.0).sample(COUNT, SEED), exact, **EXACTLY)
        assert not torch.equal(sampler.sample(64, (3, 1, 5)).keypoints, noisy.keypoints)

    def test_with_the_measured_noise(self, model):
        hands = HandSampler(model, DetectorNoise.load(), 0.01).sample(COUNT, SEED)
        for field in fields(hands):
            finite = getattr(hands, field.name).isfinite()
            # Nobody has looked at them, and nothing hides them.
            assert not finite.any() if field.name in UNKNOWN else finite.all(), field.name
        assert hands.confidence.min() >= 0 and hands.confidence.max() <= 1
        assert (hands.depth[:, 0] == 0).all() and (hands.keypoints[:, 0] == 0).all()
        lengths = hands.bones.norm(dim=-1)
        torch.testing.assert_close(lengths, torch.ones_like(lengths))
        placed = hands.positions * (1 + hands.keypoints[..., 2:] / hands.focal[:, None, None])
        error = (placed - hands.positions[:, :1] - hands.keypoints[..., :2]).norm(dim=-1)[:, 1:]
        assert 0.01 < error.median() < 0.1
        # Whatever was seen, the truth is true.
        scales(model, hands)


class TestSeen:
    def test_only_what_was_detected(self, seen):
        assert seen.index.tolist() == [i for i in range(12) if i != 4]
        assert len(seen) == 11 == len(seen.samples.metres) == len(seen.samples.betas)
        assert (seen.variant == 0).all()
        dtypes = {name: value.dtype for name, value in vars(seen.samples).items()}
        assert dtypes.pop("features") == torch.float16
        assert {*dtypes.values()} == {torch.float32}

    def test_it_is_consistent(self, model, rendered, seen):
        hands = seen.samples
        placed = hands.positions * (1 + hands.keypoints[..., 2:] / hands.focal[:, None, None])
        torch.testing.assert_close(
            placed - hands.positions[:, :1], hands.keypoints[..., :2], rtol=0, atol=1e-4
        )
        torch.testing.assert_close(hands.depth, hands.keypoints[..., 2], rtol=0, atol=1e-4)
        assert bone_angles(hands).max() < 0.1
        torch.testing.assert_close(1 / scales(model, hands), hands.metres, rtol=1e-3, atol=0)
        true = true_hands(rendered.read(seen.index, HAND_FIELDS))
        torch.testing.assert_close(hands.betas, true.betas.float())
        exact = load_hand_model(dtype=torch.float64).keypoint_model()
        points = pose_keypoints(exact, true)[1]
        lengths = (points - points[:, :1]).norm(dim=-1).float()
        found = seen.samples.metres[:, None] * hands.keypoints.norm(dim=-1)
        torch.testing.assert_close(found, lengths, rtol=0, atol=1e-5)

    def test_the_wrist_is_turned_into_the_view_frame(self, rendered, seen):
        true = true_hands(rendered.read(seen.index, HAND_FIELDS))
        which = (seen.index, seen.variant)
        targets = normalise(observed_samples(rendered, Sightings(rendered), which))
        wrist = rotation_to(targets.view_direction) @ seen.samples.rotations[:, 0].double()
        wanted = roma.rotvec_to_rotmat(true.global_orient)
        torch.testing.assert_close(wrist, wanted, rtol=0, atol=1e-5)

    def test_parts_are_put_together(self, rendered, seen, monkeypatch):
        monkeypatch.setattr("init_net.samples.detected_samples._PART", 4)
        parts = DetectedSamples.of(rendered, as_rendered=True)
        require_same(parts.samples, seen.samples, rtol=0, atol=1e-6)

    def test_all_sightings_or_the_first_few(self, rendered, seen):
        every = DetectedSamples.of(rendered)
        assert every.index.tolist() == [i for i in range(12) for _ in range(2) if i != 4]
        assert every.variant.tolist() == 11 * [0, 1]
        first = torch.from_numpy(every.variant == 0)
        require_same(every.samples[first], seen.samples, rtol=0, atol=1e-6)
        require_same(DetectedSamples.of(rendered, variants=[1]).samples, seen.samples, **EXACTLY)
        assert not torch.equal(every.samples.features[first], every.samples.features[~first])

    def test_what_is_hidden_is_the_renders(self, rendered, seen):
        states = rendered.read(seen.index, ["keypoint_state"])["keypoint_state"]
        assert torch.equal(seen.samples.visible, torch.from_numpy(states == VISIBLE).float())
        assert 0.2 < seen.samples.visible.mean() < 1

    def test_features_are_those_of_the_sighting(self, rendered, seen):
        wanted = Sightings(rendered).read(seen.index, seen.variant, ["features"])["features"]
        assert torch.equal(seen.samples.features, torch.from_numpy(wanted))
        assert seen.samples.features.isfinite().all()


class TestBatches:
    ROWS = np.array([3, 0, 0, 7])

    def test_the_seed_decides(self, seen):
        first = seen.batch(self.ROWS, SEED)
        require_same(seen.batch(self.ROWS, SEED), first, **EXACTLY)
        other = seen.batch(self.ROWS, (3, 1, 5))
        assert not torch.equal(other.keypoints, first.keypoints)
        # The same hand twice is varied in two ways.
        assert not torch.allclose(first.keypoints[1], first.keypoints[2], atol=1e-3)
        torch.testing.assert_close(first.keypoints[1].norm(dim=-1), first.keypoints[2].norm(dim=-1))

    def test_nothing_at_all(self, seen):
        batch = seen.batch(np.array([], np.int64), SEED)
        assert batch.bones.shape == (0, 20, 3) and batch.positions.shape == (0, 21, 2)

    def test_the_truth_is_turned_and_stays_true(self, model, seen):
        batch = seen.batch(self.ROWS, SEED)
        torch.testing.assert_close(1 / scales(model, batch), batch.metres, rtol=1e-3, atol=0)
        assert batch.features.dtype == torch.float32
        for name in ("confidence", "focal", "betas", "visible", "metres"):
            found, wanted = getattr(batch, name), getattr(seen.samples, name)[self.ROWS]
            assert torch.equal(found, wanted)

    def test_what_is_seen_is_a_little_noisier(self, seen):
        rows = np.tile(np.arange(len(seen)), 30)
        batch = seen.batch(rows, SEED)
        placed = batch.positions * (1 + batch.keypoints[..., 2:] / batch.focal[:, None, None])
        error = placed - placed[:, :1] - batch.keypoints[..., :2]
        # Of both ends; the factors of hands are log-normal.
        assert 1 < error[:, 1:].std() / NOISE < 3
        deeper = (batch.depth - batch.keypoints[..., 2]).std()
        assert 1 < deeper / (1.5 * NOISE) < 2.5
        assert 0.5 < bone_angles(batch).mean() < 3


class TestTurned:
    def hand_ahead(self) -> tuple[torch.Tensor, LifterSamples]:
        """Two hands on the optical axis, (2, 21, 3), and what is seen of them, by hand."""
        generator = torch.Generator().manual_seed(2)
        points = 0.05 * torch.randn(2, 21, 3, generator=generator)
        points = points + torch.tensor([0.0, 0.0, 0.6])
        return points, self.seen(points, roma.random_rotmat(32, generator=generator))

    def seen(self, points, rotations) -> LifterSamples:
        focal = torch.tensor([2.0, 3.0])
        keypoints = focal[:, None, None] * (points - points[:, :1]) / points[:, :1, 2:]
        bones = points[:, TIP_ENDS] - points[:, PALM_ENDS]
        return LifterSamples(
            positions=focal[:, None, None] * points[..., :2] / points[..., 2:],
            confidence=torch.ones(2, 21),
            depth=keypoints[..., 2],
            bones=torch.nn.functional.normalize(bones, dim=-1),
            focal=focal,
            features=unknown_features(2, points),
            keypoints=keypoints,
            rotations=rotations.view(2, 16, 3, 3),
            betas=torch.zeros(2, 10),
            visible=torch.ones(2, 21),
            metres=points[:, 0, 2] / focal,
            weight=torch.ones(2),
            keypoint_weight=torch.ones(2, 21),
        )

    def test_it_is_what_a_rolled_camera_sees(self):
        points, hands = self.hand_ahead()
        angle = torch.tensor([0.7, -2.0])
        roll = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, 1.0]) * angle[:, None])
        rotations = hands.rotations.clone()
        rotations[:, 0] = roll @ rotations[:, 0]
        require_same(
            rotated(hands, angle), self.seen(points @ roll.mT, rotations), rtol=0, atol=1e-6
        )

    def test_turned_back_is_as_before(self, exact):
        angle = torch.linspace(-3, 3, COUNT)
        require_same(rotated(rotated(exact, angle), -angle), exact, rtol=0, atol=1e-5)
        require_same(rotated(exact, torch.zeros(COUNT)), exact, **EXACTLY)
        assert not torch.allclose(rotated(exact, angle).keypoints, exact.keypoints, atol=0.01)
